"""The result as a Markdown table and as a plot of ratios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Row


def table(rows: Sequence[Row]) -> str:
    """Markdown: one line per row, missed targets in words below."""
    machine = rows[0].machine
    packages = [name for name in ("torch", "numpy", "scipy", "jax", "diffrax", "curvlinops-for-pytorch") if name in machine]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; Python {machine['python']}, "
        + ", ".join(f"{name} {machine[name]}" for name in packages)
        + f". One thread, CPU time, medians of {rows[0].rounds} interleaved rounds (range).",
        "",
        "| id | work | ours | peer | ratio (range) | target | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        amount = "{:.0f}".format if row.counted else _time
        times = f"{amount(row.ours_median)} | {row.peer}: {amount(row.peer_median)}"
        ratio = f"{row.ratio:.3g} ({row.ratio_range[0]:.3g}-{row.ratio_range[1]:.3g})"
        sign = "at most" if row.at_most else "at least"
        target = "" if row.target is None else f"{sign} {row.target:g}"
        met = {True: "met", False: "**missed**", None: ""}[row.met]
        lines.append(f"| {row.id} | {row.work}, per {row.unit} | {row.ours} {times} | {ratio} | {target} | {met} |")
    missed = [f"- {row.id} against {row.peer}: {row.ratio:.3g} of {row.target:g}. {row.why}" for row in rows if row.met is False]
    notes = [f"- {row.id}, {row.peer}: {row.note}" for row in rows if row.note]
    for title, items in (("Missed", missed), ("Notes", notes)):
        if items:
            lines += ["", f"{title}:", "", *items]
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[Row], path: Path) -> None:
    """Ratios with their ranges on a logarithmic axis, targets as ticks; a hollow mark misses its target."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 0.8 + 0.36 * len(rows)), layout="constrained")
    for position, row in enumerate(rows):
        low, high = row.ratio_range
        colour = "tab:orange" if row.at_most else "tab:blue"
        axes.plot([low, high], [position, position], color=colour, lw=2)
        axes.plot(row.ratio, position, "s" if row.at_most else "o", color=colour, mfc="white" if row.met is False else colour)
        if row.target is not None:
            axes.plot([row.target] * 2, [position - 0.35, position + 0.35], color="black", lw=1.5)
    axes.set_xscale("log")
    axes.axvline(1, color="0.7", lw=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), [f"{row.id}  {row.peer}" for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("CPU time of the peer / ours (circles); ours / floor (squares); black: target")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _time(seconds: float) -> str:
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds < 1e3 / factor:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"

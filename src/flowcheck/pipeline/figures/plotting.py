"""Figures for a two-column page: theme, colours that survive a grey printer, shared panels, files that are reproducible.

Meaning is never carried by colour alone: every curve family has its own line style or marker too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, NullLocator

from flowcheck.pipeline.evidence import atomic_file
from flowcheck.pipeline.figures.inspection import refuse, unaccepted

SINGLE, DOUBLE = 3.4, 7.0
"""Widths of one and of two columns, in inches."""

DPI = 300
FORMATS: Mapping[str, tuple[type[FigureCanvasBase], dict[str, None]]] = {
    "png": (FigureCanvasAgg, {"Software": None}),
    "svg": (FigureCanvasSVG, {"Date": None, "Creator": None, "Format": None, "Type": None}),
    "pdf": (FigureCanvasPdf, {"CreationDate": None, "Creator": None, "Producer": None}),
}
"""What a figure is written as, with what draws it and the metadata that would differ from run to run."""
# the ten colours of seaborn's palette "colorblind", after Okabe and Ito
BLUE, ORANGE, GREEN, VERMILION, PURPLE = "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"
BROWN, PINK, GREY, YELLOW, SKY = "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"
NO_TICKS = NullLocator()

Style = Mapping[str, Any]
SEEDS: Style = {"color": SKY, "linewidth": 0.8, "alpha": 0.7}
FLOW: Style = {"color": "black", "linestyle": (0, (4, 3)), "linewidth": 1.0}
FIRST: Style = {"color": VERMILION, "linestyle": "-", "linewidth": 1.4}
FIRST_BEYOND: Style = {"color": VERMILION, "linestyle": ":", "linewidth": 1.4}
SECOND: Style = {"color": BLUE, "linestyle": (0, (6, 1.5, 1, 1.5)), "linewidth": 1.3}
UPPER: Style = {"color": PURPLE, "linestyle": (0, (1.5, 1)), "linewidth": 1.3}
DEPTHS: Mapping[int, Style] = {
    1: {"color": "black", "linestyle": "-", "marker": "o"},
    2: {"color": BLUE, "linestyle": (0, (5, 1.5)), "marker": "s"},
    3: {"color": ORANGE, "linestyle": (0, (5, 1.5, 1, 1.5)), "marker": "^"},
    4: {"color": GREEN, "linestyle": (0, (2.5, 1)), "marker": "D"},
    5: {"color": VERMILION, "linestyle": (0, (5, 1.5, 1, 1.5, 1, 1.5)), "marker": "v"},
    6: {"color": PURPLE, "linestyle": (0, (1, 1)), "marker": "P"},
}
THEME: Any = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.borderaxespad": 0.2,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.4,
    "grid.color": "0.9",
    "axes.edgecolor": "0.3",
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.bottom": True,
    "ytick.left": True,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
    # a title need not make way for ticks above a panel: there are none, and looking for them is a tenth of the drawing
    "axes.titley": 1.0,
    "patch.edgecolor": "white",
    "patch.force_edgecolor": True,
    "patch.linewidth": 0.8,
    "legend.title_fontsize": 7,
    # text stays text, and identifiers do not depend on the run
    "svg.fonttype": "none",
    "svg.hashsalt": "flowcheck",
}


SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class PowersOfTen(LogFormatterSciNotation):
    """Matplotlib's labels of a logarithmic axis as text, 2×10⁻³: a reader can search it, and a formula takes long to parse."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = super().__call__(x, pos).removeprefix(r"$\mathdefault{").removesuffix("}$").replace(r"\times", "×")
        mantissa, power, exponent = text.partition("10^{")
        return f"{mantissa}10{exponent.rstrip('}').translate(SUPERSCRIPTS)}" if power else text


def set_theme() -> None:
    """Seaborn's white grid and colour-blind palette with our sizes, whatever a ``matplotlibrc`` says; `figure` calls it."""
    import seaborn as sns  # late: it brings pandas and scipy.stats, a second that judging does without

    mpl.rcdefaults()
    sns.set_theme(style="whitegrid", palette="colorblind", rc=THEME)


def figure(columns: int = 1, *, width: float = DOUBLE, height: float = 2.4, **options: Any) -> tuple[Figure, list[Axes]]:
    """A row of panels in our theme, lettered (a), (b), ... where there is more than one."""
    set_theme()
    drawn, axes = plt.subplots(1, columns, figsize=(width, height), squeeze=False, **options)
    if columns > 1:
        for letter, axis in zip("abcdefgh", axes[0], strict=False):
            axis.set_title(f"({letter})", loc="left", fontweight="bold")
    return drawn, list(axes[0])


def save_figure(
    figure: Figure,
    folder: str | Path,
    name: str,
    accepts: Mapping[str, str] | None = None,
    on_faults: Callable[[list[str]], object] = refuse,
) -> Path:
    """Write ``figures/{name}.png``, ``.svg`` and ``.pdf`` under `folder`, close the figure, return the path of the PNG.

    The same figure gives the same bytes: no dates, no versions, identifiers from a fixed salt. `on_faults` is given a sentence
    for each fault, but for those that `accepts` maps, by panel and kind, to a reason: ``{"(a) cut": "beyond it is no claim"}``.
    Without it a fault raises FigureError, and no file is left.
    """
    target = Path(folder) / "figures"
    _label_powers_as_text(figure)
    try:
        with mpl.rc_context(THEME):
            for suffix, (canvas, anonymous) in FORMATS.items():
                # the canvas itself: savefig would draw every format twice
                figure.dpi = DPI
                with atomic_file(target / f"{name}.{suffix}") as stream:
                    getattr(canvas(figure), f"print_{suffix}")(stream, metadata=anonymous)
                    if suffix == "png":
                        on_faults(unaccepted(figure, name, accepts))
                figure.set_layout_engine("none")  # the layout of the first format serves all
    finally:
        plt.close(figure)
    return target / f"{name}.png"


def _label_powers_as_text(figure: Figure) -> None:
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if axis.get_scale() == "log"):
        if type(axis.get_major_formatter()) is LogFormatterSciNotation:
            axis.set_major_formatter(PowersOfTen())
        if type(axis.get_minor_formatter()) is LogFormatterSciNotation:
            axis.set_minor_formatter(PowersOfTen())


def legend_below(figure: Figure, handles: Iterable[Any], columns: int) -> None:
    """One legend for the whole figure, below the panels, where it covers nothing."""
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns)


def sample(style: Style, label: str) -> Line2D:
    """A legend entry for a line of this style."""
    return Line2D([], [], **({"alpha": 1.0} | {k: v for k, v in style.items() if k != "alpha"}), label=label)


def draw_seeds(axis: Axes, x: np.ndarray, runs: np.ndarray, keep: int = 600, **style: Any) -> None:
    """One thin line per seed, thinned to about `keep` points: more do not show in print and make the vector files large."""
    stride = max(1, len(x) // keep)
    axis.plot(x[::stride], runs[:, ::stride].T, **{**SEEDS, **style})


def draw_band(axis: Axes, x: np.ndarray, runs: np.ndarray, **style: Any) -> None:
    """Median over the runs [run, x] with their middle half as a band; NaN is no value."""
    import seaborn as sns

    sns.lineplot(
        x=np.tile(x, len(runs)),
        y=runs.ravel(),
        estimator="median",
        errorbar=("pi", 50),
        err_kws={"alpha": 0.18, "linewidth": 0},
        ax=axis,
        **style,
    )


def draw_distribution(axis: Axes, values: np.ndarray, floor: float = -np.inf, **style: Any) -> None:
    """Share of the values that are at most x, as steps; NaN is no value, and what is below `floor` is drawn there."""
    import seaborn as sns

    sns.ecdfplot(x=np.maximum(values, floor), ax=axis, **style)


def draw_heat_map(axis: Axes, values: np.ndarray, rows: Iterable[str], columns: Iterable[str], **options: Any) -> QuadMesh:
    """Values [row, column] as colours and as numbers, the first row at the bottom. Returns what a colour bar shows."""
    import seaborn as sns

    numbers = [[f"{value:.1f}".replace("-", "−") for value in row] for row in values]
    labels = {"xticklabels": list(columns), "yticklabels": list(rows)}
    sns.heatmap(values, annot=numbers, fmt="", annot_kws={"size": 6}, cbar=False, ax=axis, **labels, **options)
    axis.invert_yaxis()
    axis.tick_params(length=0, labelrotation=0)
    (mesh,) = (drawn for drawn in axis.collections if isinstance(drawn, QuadMesh))
    return mesh


def draw_claimed(axis: Axes, x: np.ndarray, bound: np.ndarray, until: float = np.inf) -> None:
    """A bound, solid where it is claimed (x <= until) and dotted beyond."""
    claimed = x <= until
    axis.plot(x[claimed], bound[claimed], **FIRST)
    if not claimed.all():
        axis.plot(x[~claimed], bound[~claimed], **FIRST_BEYOND)


def mark_transition(axis: Axes, at: float, label: str = "$T$", height: float = 0.02) -> None:
    """A thin vertical line at the transition time, named at `height` (fraction of the panel)."""
    axis.axvline(at, color="0.45", linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)
    axis.annotate(label, (at, height), (2, 0), ("data", "axes fraction"), "offset points", va="bottom", fontsize=7, color="0.25")

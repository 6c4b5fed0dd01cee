"""Figures and notebooks: reproducible files, no network, notebooks without outputs, verdicts shown where they belong."""

import json
import os
import re
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

from flowcheck.errors import EvidenceError
from flowcheck.pipeline.evidence import Evidence, Measurement, save_sealed
from flowcheck.pipeline.figures import display, plotting
from flowcheck.pipeline.figures.notebook import run_notebook
from flowcheck.pipeline.seal import SEAL, blank_seal

ROOT = Path(__file__).parents[4]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*/*.ipynb"))
REQUEST = re.compile(
    r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)\s*=\s*["']?(?:https?:)?//|@import|url\(\s*["']?https?:|from\s+["']https?:"""
)


def sketch():
    figure, (left, right) = plotting.figure(2)
    x = np.linspace(0, 1, 2000)
    plotting.draw_seeds(left, x, np.stack([x, x**2]))
    plotting.draw_claimed(right, x, x**3, until=0.5)
    plotting.mark_transition(right, 0.5)
    plotting.legend_below(
        figure, [plotting.sample(plotting.SEEDS, "seeds"), plotting.sample(plotting.FIRST, r"$1-\cos\theta$")], 2
    )
    return figure


def test_same_figure_gives_same_bytes(tmp_path):
    for folder in ("one", "two"):
        plotting.save_figure(sketch(), tmp_path / folder, "sketch")
    files = sorted(path.name for path in (tmp_path / "one" / "figures").iterdir())
    assert files == ["sketch.pdf", "sketch.png", "sketch.svg"]
    for name in files:
        assert (tmp_path / "one/figures" / name).read_bytes() == (tmp_path / "two/figures" / name).read_bytes(), name


def test_text_stays_text_and_nothing_is_dated(tmp_path):
    png = plotting.save_figure(sketch(), tmp_path, "sketch")
    svg = png.with_suffix(".svg").read_text()
    assert "seeds</text>" in svg
    assert "<dc:date>" not in svg
    assert b"CreationDate" not in png.with_suffix(".pdf").read_bytes()
    assert b"Software" not in png.read_bytes()


def test_figure_is_closed_after_saving(tmp_path):
    figure = sketch()
    plotting.save_figure(figure, tmp_path, "sketch")
    assert not plotting.plt.fignum_exists(figure.number)


def test_bound_is_drawn_solid_where_claimed_and_dotted_beyond():
    figure, (axis,) = plotting.figure()
    plotting.draw_claimed(axis, np.arange(5.0), np.arange(5.0), until=2.0)
    assert [(line.get_linestyle(), len(line.get_xdata())) for line in axis.lines] == [("-", 3), (":", 2)]
    plotting.plt.close(figure)


def test_depths_differ_without_colour():
    dashes = [repr(style["linestyle"]) for style in plotting.DEPTHS.values()]
    markers = [style["marker"] for style in plotting.DEPTHS.values()]
    assert len(set(dashes)) == len(set(markers)) == len(plotting.DEPTHS)


def test_metrics_are_shown_with_error_interval_and_number():
    evidence = Evidence({"share": Measurement.exact(0.5, 16, (0.25, 0.75)), "gap": Measurement(2.0, 1e-9)})
    shown = display.show_metrics(evidence, ["share"]).data
    assert "0 (exact)" in shown
    assert "[0.25, 0.75]" in shown
    assert "<td>16</td>" in shown
    assert "gap" not in shown
    with pytest.raises(KeyError, match="no metric matches"):
        display.show_metrics(evidence, ["absent*"])


def write_claim(results, experiment):
    record = {
        "experiment": experiment,
        "label": "Theorem 0",
        "title": "Angle for $N=2$",
        "location": "Section 1",
        "variant": "printed",
    }
    record |= {"statement": r"$\cos\theta \ge 1 - \frac{2}{t}$", "verdict": "supported", "reason": "it holds", "n": 3}
    path = results / "claims" / "paper" / f"claim-{experiment}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_sealed(path, record | {"metric": "error_max", "value": 0.25, "slack": 0.5, "error": 1e-9, SEAL: blank_seal(path, [])})


NOTHING = {"panel 1 empty": "only the axis is looked at"}


@pytest.mark.parametrize(
    ("limits", "major", "minor"), [((1e-12, 1e-3), "10⁻¹⁰", None), ((0.2, 0.9), None, "2×10⁻¹"), ((1.0, 1e10), "10⁸", None)]
)
def test_powers_of_ten_are_text_where_matplotlib_would_set_a_formula(tmp_path, limits, major, minor):
    drawn, (axis,) = plotting.figure()
    axis.set_yscale("log")
    axis.set_ylim(*limits)
    svg = plotting.save_figure(drawn, tmp_path, "powers", NOTHING).with_suffix(".svg").read_text()
    for label in filter(None, (major, minor)):
        assert f">{label}<" in svg
    assert "mathdefault" not in svg


def test_a_formatter_that_a_notebook_chose_stays(tmp_path):
    drawn, (axis,) = plotting.figure()
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"<{value:g}>")
    svg = plotting.save_figure(drawn, tmp_path, "own", NOTHING).with_suffix(".svg").read_text()
    assert "&lt;1&gt;" in svg


def test_claims_of_the_experiment_are_shown_in_mathml(tmp_path):
    write_claim(tmp_path, "one")
    write_claim(tmp_path, "other")
    shown = display.show_claims(tmp_path / "paper" / "one").data
    assert shown.count('class="claim') == 1
    assert "<mfrac>" in shown
    assert "formula-error" not in shown
    assert "supported" in shown
    assert "error_max 0.25, slack 0.5" in shown
    assert "it holds" in shown
    assert "as printed" in shown
    assert "No claim" in display.show_claims(tmp_path / "paper" / "two").data


def test_a_damaged_verdict_stops_the_notebook_of_its_experiment_and_no_other(tmp_path):
    write_claim(tmp_path, "one")
    other = tmp_path / "claims" / "paper" / "claim-other.json"
    for content in ("", "[]", '{"experiment": "other"}'):
        other.write_text(content)
        assert len(display.verdicts(tmp_path / "paper" / "one")) == 1
    with pytest.raises(EvidenceError, match=r"claim-other\.json: damaged"):
        display.verdicts(tmp_path / "paper" / "other")


def test_executed_notebook_requests_nothing_from_a_network(tmp_path):
    folder = tmp_path / "results" / "paper" / "one"
    write_claim(tmp_path / "results", "one")
    Evidence({"gap": Measurement(2.0, 1e-9)}, {"x": np.arange(3.0)}).save(folder)
    cells = [
        nbformat.v4.new_code_cell('folder = ""', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "from pathlib import Path\n"
            "from flowcheck.pipeline.figures import plotting\n"
            "from flowcheck.pipeline.evidence import Evidence\n"
            "from flowcheck.pipeline.figures.display import show_claims, show_figure, show_metrics\n"
            "evidence = Evidence.load(Path(folder))\n"
            "figure, (axis,) = plotting.figure()\n"
            "axis.plot(evidence.arrays['x'])\n"
            "show_figure(figure, folder, 'line', 'A rising line')"
        ),
        nbformat.v4.new_code_cell("show_metrics(evidence)"),
        nbformat.v4.new_code_cell("show_claims(folder)"),
    ]
    source = tmp_path / "one.ipynb"
    language = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=language), source)
    run_notebook(source, folder, tmp_path / "one.log", lambda: ["line"])
    page = (folder / "notebook.html").read_text()
    assert not REQUEST.search(page), REQUEST.search(page)
    assert 'alt="A rising line"' in page
    assert "<math" in page
    assert page.count("<img") == 1
    assert (folder / "figures" / "line.pdf").is_file()


def test_a_notebook_runs_in_this_environment_whatever_the_machine_has_configured(tmp_path, monkeypatch):
    kernel = tmp_path / "site" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": ["false"], "display_name": "the site's Python", "language": "python"})
    )
    startup = tmp_path / "ipython" / "profile_default" / "startup" / "own.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("raise SystemExit('what a user runs at the start of every session')")
    template = tmp_path / "site" / "nbconvert" / "templates" / "classic" / "index.html.j2"
    template.parent.mkdir(parents=True)
    template.write_text("the page of a site")
    (template.parent / "conf.json").write_text("{}")
    (tmp_path / "first.py").write_text("raise SystemExit('what a user runs at the start of every Python')")
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfigure.dpi: 10\nimage.cmap: hot\n")
    machine = {"JUPYTER_PATH": "site", "IPYTHONDIR": "ipython", "MATPLOTLIBRC": "matplotlibrc", "PYTHONSTARTUP": "first.py"}
    machine |= {"JUPYTER_DATA_DIR": "site", "JUPYTER_CONFIG_PATH": "site", "JUPYTER_CONFIG_DIR": "site"}
    for name, value in machine.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    for name, text in {"MPLBACKEND": "no such backend", "PYTHONWARNINGS": "error", "JUPYTER_PREFER_ENV_PATH": "1"}.items():
        monkeypatch.setenv(name, text)
    asked = dict(os.environ)
    folder = tmp_path / "results" / "paper" / "one"
    Evidence({"gap": Measurement(2.0, 1e-9)}).save(folder)
    told = "import sys\nfrom flowcheck.pipeline.figures import plotting\nplotting.figure()\n"
    told += "print(sys.executable, plotting.mpl.rcParams['lines.linewidth'], plotting.mpl.rcParams['image.cmap'])"
    cells = [
        nbformat.v4.new_code_cell('folder = ""', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(told),
    ]
    source = tmp_path / "one.ipynb"
    language = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=language), source)
    run_notebook(source, folder, tmp_path / "one.log", list)
    executed = nbformat.read(folder / "notebook.ipynb", as_version=4)
    said = "".join(output.get("text", "") for output in executed.cells[-1].outputs)
    interpreter, width, colours = said.split()
    assert Path(interpreter).samefile(sys.executable)
    assert float(width) < 2
    assert colours != "hot"
    assert "the page of a site" not in (folder / "notebook.html").read_text()
    assert dict(os.environ) == asked  # as it was


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert [cell for cell in code if "parameters" in cell.metadata.get("tags", [])] == code[:1]
    assert code[0].source == f'folder = "results/laptop/{path.parent.name}/{path.stem}"'
    assert notebook.metadata.kernelspec.name == "python3"
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert not any("$" in text for text in prose), "formulas in prose need a network; statements are rendered by show_claims"


# ------------------------------------------------------------------------------------------------------ statistical panels


def test_a_band_is_the_median_with_the_middle_half():
    runs = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, np.nan], [5.0, 50.0]])
    drawn, (axis,) = plotting.figure()
    plotting.draw_band(axis, np.array([0.0, 1.0]), runs, color=plotting.BLUE)
    assert axis.lines[0].get_ydata().tolist() == [3.0, 25.0]
    (band,) = axis.collections
    heights = {tuple(vertex) for vertex in band.get_paths()[0].vertices.tolist()}
    assert {(0.0, 2.0), (0.0, 4.0), (1.0, 17.5), (1.0, 35.0)} <= heights
    plt.close(drawn)


def test_a_distribution_is_the_share_of_values_up_to_a_point():
    drawn, (axis,) = plotting.figure()
    plotting.draw_distribution(axis, np.array([3.0, 1.0, np.nan, 2.0, 4.0]))
    (line,) = axis.lines
    assert line.get_xdata()[1:].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert line.get_ydata().tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    plt.close(drawn)


def test_what_is_below_the_floor_of_a_distribution_is_drawn_there():
    """A distance of unit vectors may be 1e-61 by chance, and its axis would go on to there."""
    drawn, (axis,) = plotting.figure()
    plotting.draw_distribution(axis, np.array([1e-61, 1e-3, np.nan]), floor=1e-16)
    (line,) = axis.lines
    assert line.get_xdata()[1:].tolist() == [1e-16, 1e-3]
    assert line.get_ydata().tolist() == [0.0, 0.5, 1.0]
    plt.close(drawn)


def test_a_heat_map_has_its_first_row_at_the_bottom_and_its_numbers_in_it():
    drawn, (axis,) = plotting.figure()
    mesh = plotting.draw_heat_map(axis, np.array([[-1.0, 2.0], [3.0, 4.0]]), ["low", "high"], ["a", "b"], cmap="cividis")
    assert mesh.get_array().ravel().tolist() == [-1.0, 2.0, 3.0, 4.0]
    assert not axis.yaxis_inverted()
    assert [text.get_text() for text in axis.get_yticklabels()] == ["low", "high"]
    assert [text.get_text() for text in axis.texts] == ["−1.0", "2.0", "3.0", "4.0"]
    plt.close(drawn)


def test_the_theme_is_seaborns():
    plotting.set_theme()
    colours = [mpl.colors.to_hex(colour) for colour in plt.rcParams["axes.prop_cycle"].by_key()["color"]]
    assert colours[:5] == [plotting.BLUE, plotting.ORANGE, plotting.GREEN, plotting.VERMILION, plotting.PURPLE]
    assert plt.rcParams["axes.grid"]
    assert plt.rcParams["svg.hashsalt"] == "flowcheck"

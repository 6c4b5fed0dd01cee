"""What a reader would object to in a figure is found when it is saved; the same figure without the fault passes."""

import re

import numpy as np
import pytest

from flowcheck.pipeline.figures import plotting
from flowcheck.pipeline.figures.inspection import FigureError, check_figure

X = np.linspace(0.0, 1.0, 50)
PLAIN = {"color": "black", "label": "a line"}


def one(**options):
    """A panel with one line across it."""
    figure, (axis,) = plotting.figure(width=plotting.SINGLE, **options)
    axis.plot(X, X, **PLAIN)
    axis.set(xlabel="x", ylabel="y")
    return figure, axis


def several():
    figure, axes = plotting.figure(2)
    for axis in axes:
        axis.plot(X, X, color="black")
    return figure, axes


def cut(faulty):
    figure, axis = one()
    axis.set_ylim(-0.1, 0.5 if faulty else 1.1)
    return figure


def cut_by_a_logarithmic_axis(faulty):
    figure, (axis,) = plotting.figure()
    axis.plot(X + 1, np.where(X > 0.5, X, 0.0 if faulty else 0.5))
    axis.set(yscale="log")
    return figure


def cut_points(faulty):
    figure, axis = one()
    axis.scatter(X, X, color="black")
    axis.set_xlim(-0.1, 0.5 if faulty else 1.1)
    axis.lines[0].remove()
    return figure


def empty(faulty):
    figure, axis = one()
    axis.set_ylim(0, 2.0 if faulty else 1.5)
    return figure


def squashed_on_an_edge(faulty):
    """As the step sums once were: an axis of another figure, pasted."""
    figure, (axis,) = plotting.figure()
    axis.plot(X, 1 + X)
    axis.set(yscale="log")
    if faulty:
        axis.set_ylim(1e-50, 3)
    return figure


def crowded(faulty):
    figure, (axis,) = plotting.figure()
    x = np.linspace(0, 1, 1000)
    axis.plot(x, 0.01 / (1.01 - x) if faulty else x**2)
    return figure


def far(faulty):
    figure, (axis,) = plotting.figure()
    axis.plot(X, 10 ** (-(300 if faulty else 30) * X))
    axis.set(yscale="log")
    return figure


def far_by_its_labels(faulty):
    figure, axis = one()
    axis.set_yticks([0, 1], ["1", "$10^{-300}$" if faulty else "$10^{-30}$"])
    return figure


def overlapping_ticks(faulty):
    figure, axis = one()
    axis.set_xticks([0.5, 0.51] if faulty else [0.2, 0.8], ["a hundred", "a thousand"])
    return figure


def overlapping_titles(faulty):
    figure, axes = several()
    axes[0].set_title("a title so long that it must run into the letter at its left and beyond" if faulty else "short")
    return figure


def on_another_panel(faulty):
    figure, axes = several()
    beside = axes[0].annotate("beside it", (1.4 if faulty else 0.5, 0.5), xycoords="axes fraction")
    beside.set_in_layout(False)
    return figure


def outside_text(faulty):
    figure, axis = one()
    text = axis.annotate("a text that is long", (0.95 if faulty else 0.1, 0.5), xycoords="axes fraction")
    text.set_in_layout(False)
    return figure


def outside_legend(faulty):
    figure, _ = one()
    handles = [plotting.sample({"color": "black"}, "a line of this kind") for _ in range(4)]
    plotting.legend_below(figure, handles, 4 if faulty else 2)
    return figure


def covered(faulty):
    figure, axis = one()
    axis.legend(loc="upper right" if faulty else "upper left")
    return figure


def unnamed(faulty):
    figure, axis = one()
    axis.plot(X, X**2, color=plotting.BLUE)
    plotting.legend_below(
        figure,
        [plotting.sample({"color": "black"}, "a line"), plotting.sample({"color": plotting.BLUE}, "another")][: 1 + (not faulty)],
        2,
    )
    return figure


def unnamed_by_an_entry_without_words(faulty):
    figure, axis = one()
    axis.plot(X, X**2, color=plotting.BLUE)
    handles = [plotting.sample({"color": "black"}, "a line"), plotting.sample({"color": plotting.BLUE}, " " if faulty else "it")]
    plotting.legend_below(figure, handles, 2)
    return figure


def nothing_in_it(faulty):
    figure, (axis,) = plotting.figure()
    axis.plot(X, np.full(50, np.nan) if faulty else X)
    return figure


def never_drawn(faulty):
    figure, (axis,) = plotting.figure()
    if not faulty:
        axis.plot(X, X)
    axis.set(xlabel="x", ylabel="y")
    return figure


def cut_at_infinity(faulty):
    figure, (axis,) = plotting.figure()
    axis.plot(X, np.where(X < 0.98, X, np.inf if faulty else X))
    return figure


def cut_bars(faulty):
    figure, (axis,) = plotting.figure()
    axis.bar([0, 1, 2], [1.0, 2.0, 3.0])
    axis.set_ylim(0, 2.5 if faulty else 3.2)
    return figure


def cut_bars_on_a_logarithmic_axis(faulty):
    figure, (axis,) = plotting.figure()
    axis.bar([0, 1, 2], [1.0, 0.1, 10.0])
    axis.set(yscale="log", ylim=(0.03, 5 if faulty else 12))
    return figure


def a_label_that_is_not_drawn(faulty):
    figure, axis = one()
    axis.annotate("here", (1.5 if faulty else 0.5, 0.5), xytext=(0.2, 0.8), textcoords="axes fraction")
    return figure


def a_label_that_is_clipped(faulty):
    figure, axis = one()
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.text(0.9 if faulty else 0.1, 0.9, "a label that is long", clip_on=True)
    return figure


def unnamed_reference(faulty):
    figure, axis = one()
    plotting.legend_below(figure, [plotting.sample({"color": "black"}, "a line")], 1)
    axis.axhline(0.7, color="0.4")
    if not faulty:
        axis.annotate("threshold", (0.1, 0.71))
    return figure


def small(faulty):
    figure, axis = one()
    axis.annotate("a note", (0.2, 0.8), fontsize=4 if faulty else 7)
    return figure


FAULTS = {
    cut: "panel 1 cut",
    cut_by_a_logarithmic_axis: "panel 1 cut",
    cut_points: "panel 1 cut",
    empty: "panel 1 empty",
    squashed_on_an_edge: "panel 1 empty",
    crowded: "panel 1 crowded",
    far: "panel 1 range",
    far_by_its_labels: "panel 1 range",
    overlapping_ticks: "panel 1 overlap",
    overlapping_titles: "(a) overlap",
    on_another_panel: "(a) overlap",
    outside_text: "panel 1 outside",
    outside_legend: "figure outside",
    covered: "panel 1 covered",
    unnamed: "panel 1 unnamed",
    unnamed_reference: "panel 1 unnamed",
    small: "panel 1 small",
    unnamed_by_an_entry_without_words: "panel 1 unnamed",
    nothing_in_it: "panel 1 empty",
    never_drawn: "panel 1 empty",
    cut_at_infinity: "panel 1 cut",
    cut_bars: "panel 1 cut",
    cut_bars_on_a_logarithmic_axis: "panel 1 cut",
    a_label_that_is_not_drawn: "panel 1 outside",
    a_label_that_is_clipped: "panel 1 outside",
}
each = pytest.mark.parametrize(("draw", "key"), FAULTS.items(), ids=[draw.__name__ for draw in FAULTS])


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plotting.plt.close("all")


def checked(figure, accepts=None):
    """The faults that a figure has when it is drawn, as keys, or those of it that are not accepted."""
    figure.canvas.draw()
    try:
        check_figure(figure, "sketch", accepts)
    except FigureError as error:
        return [re.fullmatch(r"figure 'sketch', (.+?), (\w+): .+", line).groups() for line in str(error).splitlines()]
    return []


@each
def test_a_fault_is_found_in_its_panel_and_not_without_it(draw, key):
    assert tuple(key.rsplit(" ", 1)) in checked(draw(True))
    assert checked(draw(False)) == []


@each
def test_a_fault_is_accepted_with_a_reason(draw, key):
    faults = checked(draw(True))
    assert checked(draw(True), {key: "the test wants it so"}) == [fault for fault in faults if " ".join(fault) != key]


def test_a_figure_with_a_fault_is_an_error_and_leaves_no_file(tmp_path):
    figure = empty(True)
    with pytest.raises(
        FigureError, match="figure 'sketch', panel 1, empty: the data span 50% of its height, and 60% is the least"
    ):
        plotting.save_figure(figure, tmp_path, "sketch")
    assert not list(tmp_path.rglob("sketch.*"))
    assert not plotting.plt.fignum_exists(figure.number)
    assert plotting.save_figure(empty(True), tmp_path, "sketch", {"panel 1 empty": "the test wants it so"}).is_file()


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("panel 1 cut", "so"),
        ("panel 1 cut", ""),
        ("panel 2 cut", "the test wants it"),
        ("panel 1 cutt", "the test wants it"),
        ("cut", "the test wants it"),
    ],
)
def test_what_is_accepted_names_a_panel_and_a_kind_and_says_why(key, reason):
    with pytest.raises(ValueError, match=r"figure 'sketch' accepts .*: a panel .*, a kind .* and a reason of 3 words"):
        checked(cut(True), {key: reason})


def test_a_second_scale_and_an_inset_belong_to_the_panel_that_they_lie_in():
    figure, axes = several()
    other, inset = axes[0].twinx(), axes[1].inset_axes([0.6, 0.1, 0.3, 0.3])
    other.plot(X, X, color="black")
    inset.plot(X, X, color="black")
    other.set_ylim(0, 0.5)
    inset.set_xlim(0, 0.5)
    assert set(checked(figure)) == {("(a)", "cut"), ("(b)", "cut")}


def test_panels_that_share_an_axis_use_it_together():
    figure, axes = plotting.figure(2, sharey=True)
    axes[0].plot(X, 0.1 * X)
    axes[1].plot(X, X)
    assert checked(figure) == []


def test_bands_arrows_and_bars_are_data_and_a_colour_bar_names_them():
    figure, (axis,) = plotting.figure()
    arrows = axis.quiver(X, X, X, X, X)
    figure.colorbar(arrows)
    axis.bar([0.5], [1.0])
    assert checked(figure) == []
    axis.set_xlim(-0.1, 0.8)
    assert checked(figure) == [("panel 1", "cut")]


def test_a_start_at_time_zero_is_no_loss_on_a_logarithmic_axis():
    figure, (axis,) = plotting.figure()
    axis.plot([0, 0.1, 1], [1, 1, 2], color="black")
    axis.set(xscale="log")
    assert checked(figure) == []


def test_a_map_and_a_sphere_have_no_empty_parts():
    figure, (axis,) = plotting.figure()
    axis.pcolormesh(np.ones((3, 3)))
    axis.set(xlim=(0, 9), ylim=(0, 9))
    sphere, _ = plotting.figure(subplot_kw={"projection": "mollweide"})
    sphere.axes[0].plot([0, 0.1], [0, 0.1])
    assert checked(figure) == checked(sphere) == []

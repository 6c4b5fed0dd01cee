"""How Figure 1 is read."""

from dataclasses import replace

import numpy as np
import pytest

from flowcheck.papers.spherical_data import figure_curves, reduced_flow
from flowcheck.papers.spherical_data.figure_criteria import criteria, falls_then_rises, numbers

TIMES = np.linspace(0.0, 30.0, 3001)
CONTROLS = {"norm_pattern_inverted", "first_bound_beyond", "plateau_at_escape", "lower_as_upper"}


def shown(depth):
    """A run that is the population flow itself."""
    cosine, norm = figure_curves.population_flow(TIMES, depth, reduced_flow.RTOL)
    w_e = (norm * np.stack([np.sqrt(1 - cosine**2), cosine])).T[None]
    return figure_curves.curves(w_e, TIMES, depth)


SHOWN = {depth: shown(depth) for depth in (1, 4)}


@pytest.mark.parametrize("depth", [1, 4])
def test_the_population_flow_meets_every_criterion_and_no_control(depth):
    for name, met in criteria(SHOWN[depth], depth).items():
        assert bool(met[0]) is (name not in CONTROLS), name


@pytest.mark.parametrize(
    ("depth", "change", "missed"),
    [
        (1, {"cosine": -0.02}, {"follows_flow", "first_bound", "second_bound"}),
        (4, {"cosine": -0.02}, {"follows_flow", "first_bound", "second_bound"}),
        (4, {"upper_bound": -0.1}, {"upper_bound"}),
        (4, {"lower_norm": 0.1}, {"lower_norm"}),
        (1, {"transition": 1.0}, {"norm_pattern", "turning_time"}),
        (4, {"loss": TIMES * 0.1}, {"loss_falls"}),
        (4, {"loss": TIMES * -0.01}, {"plateau"}),
    ],
)
def test_a_curve_that_is_moved_misses_what_speaks_of_it(depth, change, missed):
    c = SHOWN[depth]
    moved = replace(c, **{name: getattr(c, name) + by for name, by in change.items()})
    met = criteria(moved, depth)
    assert {name for name, hits in met.items() if not hits[0]} - CONTROLS == missed


def test_a_run_falls_then_rises_outside_of_a_guard_around_its_turn():
    times = np.arange(0.0, 4.01, 0.25)
    runs = np.stack([1 + (times - 2) ** 2 + 0.1 * times, 1 - (times - 2) ** 2 + 0.1 * times, 1 + (times - 3) ** 2])
    assert falls_then_rises(runs, times, 2.0, 0.3).tolist() == [True, False, False]
    assert falls_then_rises(runs[2:], times, 2.0, 1.1).tolist() == [False]  # ends below its start
    bumped = runs[:1] + 5.0 * (times == 2.0)
    assert falls_then_rises(bumped, times, 2.0, 0.3).tolist() == [True]


def test_numbers_of_the_flow_are_those_of_the_flow():
    found = numbers(SHOWN[4], 4)
    assert found["cosine_gap"].value == pytest.approx([0.0], abs=1e-12)
    assert found["norm_gap"].value == pytest.approx([0.0], abs=1e-12)
    assert found["turning_time"].value == pytest.approx(SHOWN[4].transition, abs=0.01)
    assert found["final_loss"].value == SHOWN[4].loss[:, -1]


def test_errors_are_what_half_as_many_points_and_a_coarser_flow_change():
    c = SHOWN[1]
    found, turn = numbers(c, 1), int(c.norm[0].argmin())
    odd = np.arange(3001) == turn + 1 - turn % 2  # half of the points are the even ones
    spike = replace(c, norm=np.where(odd, 0.9 * c.norm, c.norm))
    assert numbers(spike, 1)["smallest_norm"].error == pytest.approx(0.1 * found["smallest_norm"].value, rel=1e-3)
    assert found["smallest_norm"].error < 1e-5
    assert found["cosine_gap"].error < 1e-9

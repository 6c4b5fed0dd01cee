"""How the captions of Figures 1, 3 and 4 are read on one run."""

import math
import pathlib

import numpy as np
import pytest
import torch
import yaml

from flowcheck.papers.two_homogeneous.figure_criteria import Reading, largest_drop, near_origin, near_saddle
from flowcheck.papers.two_homogeneous.figure_runs import Path
from flowcheck.papers.two_homogeneous.toy_problem import correlations, labelled

SETTINGS = pathlib.Path(__file__).resolve().parents[4] / "config/experiments/two_homogeneous/toy_descent.yaml"
READING = Reading(**yaml.safe_load(SETTINGS.read_text())["parameters"]["reading"])
THETA = torch.linspace(-3.1, 3.1, 50, dtype=torch.float64)
NCF = correlations(labelled(torch.stack([torch.cos(THETA), torch.sin(THETA)], dim=1)), np.random.default_rng(3).permutation(50))
MAXIMA = NCF.labels.critical.maxima
TIME = np.linspace(0.0, 1.0, 11)


def run_to(goal, start, loss_end=0.995, norm_end=0.1, shape=1 - (1 - TIME) ** 4):
    """Angles go from `start` to `goal` [20], fast and then slowly; the norm grows, the loss falls."""
    angles = start + shape[:, None] * (goal - start)
    norm = np.geomspace(1e-5, norm_end, 11)
    loss = 1.0 - (1.0 - loss_end) * TIME**4
    return Path(np.arange(0, 1100, 100), loss, norm, norm / 2, angles, angles[-2], 900)


def arrived(spread=0.01):
    """Neurons around each maximum, and where they started: uphill from there is that maximum."""
    goal = np.resize(MAXIMA, 20) + np.linspace(-spread, spread, 20)
    return goal, np.resize(MAXIMA, 20) + 0.6 * np.where(np.arange(20) % 4 < 2, 1.0, -1.0)


def test_a_run_that_does_what_the_captions_say_reproduces_figures_1_and_3():
    goal, start = arrived()
    found = near_origin(READING, run_to(goal, start), NCF)
    said = (
        *("barely_moves", "aligned", "aligned_in_phase", "calm_when_aligned", "basin_rule", "settled", "slowed", "reproduces"),
        *("calm_half_way", "turned_in_phase", "at_kkt_in_phase"),
    )
    assert {name: found[name] for name in said} == dict.fromkeys(said, 1.0)
    assert found["aligned_at_start"] == found["aligned_permuted"] == found["at_kkt_at_start"] == 0.0
    assert (found["neurons_near_maximum"], found["neurons_near_kkt"], found["escape"]) == (20, 20, 900)
    assert found["moved"] == pytest.approx(0.6, abs=0.02)
    assert found["gap_to_maximum"] == pytest.approx(0.005, abs=1e-3)
    assert found["gap_to_maximum_worst"] == pytest.approx(0.01, abs=1e-9)
    assert found["ncf_drop"] < 1e-4 < found["ncf_drop_permuted"]


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"loss_end": 0.9}, {"barely_moves", "settled"}),
        ({"norm_end": 0.5}, {"settled"}),
        ({"shape": TIME}, {"slowed"}),
        ({"goal": arrived(0.25)[0]}, {"aligned", "settled"}),
        ({"start": arrived()[0] - 0.1}, {"settled"}),
    ],
    ids=["loss falls", "norm grows", "still turning", "not arrived", "did not turn"],
)
def test_a_run_that_misses_one_of_them_does_not(change, missed):
    goal, start = arrived()
    found = near_origin(READING, run_to(**({"goal": goal, "start": start} | change)), NCF)
    assert {name for name in ("barely_moves", "aligned", "slowed", "settled") if not found[name]} == missed
    assert not found["reproduces"]


def test_the_phase_must_last_to_half_of_the_iterations():
    goal, start = arrived()
    for end, calm in ((499, 0.0), (500, 1.0)):
        assert near_origin(READING, run_to(goal, start)._replace(phase_end=end), NCF)["calm_half_way"] == calm


def test_what_has_not_turned_yet_at_the_end_of_the_phase_does_not_count():
    goal, start = arrived()
    found = near_origin(READING, run_to(goal, start)._replace(phase_angles=start + 0.1 * (goal - start)), NCF)
    assert found["turned_in_phase"] == found["at_kkt_in_phase"] == 0.0


def test_a_neuron_that_crosses_a_minimum_breaks_the_rule_of_basins():
    goal, start = arrived()
    minimum = NCF.labels.critical.minima[0]
    side = 0.05 * np.sign((goal[0] - minimum + math.pi) % (2 * math.pi) - math.pi)
    start[0] = minimum - side  # uphill from there is the other maximum
    assert near_origin(READING, run_to(goal, start), NCF)["basin_rule"] == 0.0


def test_the_fall_of_the_ncf_is_that_while_the_loss_is_kept():
    top, low = NCF.labels.critical.maxima[0], NCF.labels.critical.minima[0]
    path = run_to(np.full(20, low), np.full(20, top), shape=TIME)
    whole = largest_drop(READING, path, path.angles, NCF.labels)
    values = NCF.labels.value(path.angles[:, 0])
    assert whole == pytest.approx(-np.diff(values).min() / NCF.labels.maximum)
    lost = path._replace(loss_ratio=np.where(TIME > 0.2, 0.5, 1.0))
    assert largest_drop(READING, lost, lost.angles, NCF.labels) < whole


def saddle_run(last, start):
    """The fitted neurons stay at angle 0, the last ten go from `start` to `last`."""
    path = run_to(np.concatenate([np.zeros(10), last]), np.concatenate([np.zeros(10), start]))
    return path._replace(fitted_distance=np.full(11, 3e-6))


def test_a_run_near_the_saddle_is_explained_by_the_maximum_of_the_residual_and_its_flat_arc():
    top, arc = NCF.residual.critical.maxima[0], NCF.residual.critical.flat[0]
    flat = np.full(3, arc.mean())
    path = saddle_run(np.concatenate([flat, np.full(7, top)]), np.concatenate([flat, np.full(7, top - 0.8)]))
    found = near_saddle(READING, path, NCF)
    said = ("barely_moves", "explained_in_phase", "calm_when_explained", "reproduces")
    assert {name: found[name] for name in said} == dict.fromkeys(said, 1.0)
    assert found["explained_at_start"] == 0.0
    assert (found["neurons_flat"], found["neurons_at_maximum"], found["neurons_explained"]) == (3, 7, 10)
    assert found["flat_moved"] == 0.0
    assert found["steep_moved"] == pytest.approx(0.8)
    assert found["fitted_growth"] == 1.0
    assert found["last_growth"] > 100


def test_growth_near_the_saddle_is_read_while_the_loss_is_kept():
    top = NCF.residual.critical.maxima[0]
    path = saddle_run(np.full(10, top), np.full(10, top - 0.8))
    fitted = np.geomspace(1e-6, 1e-2, 11)
    path = path._replace(loss_ratio=np.where(TIME < 0.45, 1.0, 0.5), fitted_distance=fitted, distance=3 * fitted)
    found = near_saddle(READING, path, NCF)
    assert found["fitted_growth"] == pytest.approx(fitted[4] / fitted[0])
    assert found["last_growth"] == pytest.approx(fitted[4] / fitted[0])
    never = near_saddle(READING, path._replace(loss_ratio=np.ones(11)), NCF)
    assert never["fitted_growth"] == pytest.approx(fitted[-1] / fitted[0])


def test_neurons_that_stay_where_they_are_pulled_are_not_explained():
    top = NCF.residual.critical.maxima[0]
    still = np.full(10, top - 0.8)
    found = near_saddle(READING, saddle_run(still, still), NCF)
    assert (found["neurons_explained"], found["reproduces"]) == (0, 0)

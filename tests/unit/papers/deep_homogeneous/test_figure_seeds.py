"""Many draws, trained to their escapes, at two step sizes."""

import numpy as np
import pytest

from flowcheck.networks.zoo import squared_relu
from flowcheck.papers.deep_homogeneous.figure_anatomy import curves, drift
from flowcheck.papers.deep_homogeneous.figure_criteria import Criteria
from flowcheck.papers.deep_homogeneous.figure_draws import Pair, draw
from flowcheck.papers.deep_homogeneous.figure_seeds import COARSENING, Seeds
from flowcheck.papers.deep_homogeneous.plateau import Plateau

PLATEAU = Plateau(squared_relu([4, 4], 3), loss_ratio=0.99, rtol=1e-6)
DELTA, STEPS = 0.1, 800


@pytest.fixture(scope="module")
def seeds():
    pair = Pair(PLATEAU.network, squared_relu([2, 3], 3))
    draws = draw(pair, [np.random.default_rng(seed) for seed in range(5)], points=20)
    return Seeds.trained(PLATEAU, draws, DELTA, PLATEAU.escape_times(draws, DELTA), STEPS)


def test_runs_escape_where_the_flow_predicts_it(seeds):
    found = seeds.numbers(flow_error=1e-5)["escape_prediction_gap"]
    assert found.value == np.abs(seeds.crossing / STEPS - 1).max()
    assert found.value < 0.05
    assert (found.error, found.n) == (1e-5, 5)


def test_medians_have_what_longer_steps_can_move_them_by_as_their_error(seeds):
    found = seeds.medians()
    assert set(found) == {f"{name}_median" for name in curves(seeds.start, seeds.stop)}
    growth, coarse = seeds.stop.norm / DELTA, seeds.coarse.norm / DELTA
    assert found["growth_median"].value == pytest.approx(np.median(growth))
    moved = np.abs(growth - coarse)
    around = np.median(growth - moved), np.median(growth), np.median(growth + moved)
    assert found["growth_median"].error == pytest.approx(np.abs(np.diff(around)).max())


def test_eulers_identity_holds_for_the_degree_and_no_other(seeds):
    found = seeds.euler_defect()
    right, wrong = found["euler_defect"], found["euler_defect_wrong_degree"]
    assert right.value <= right.error < 1e-11
    assert wrong.value == pytest.approx(seeds.stop.cosine.min() / 4, rel=1e-6)


def test_the_drift_is_of_first_order_and_its_rounding_is_small(seeds):
    ratio = seeds.drift_ratio()
    assert ratio.value == pytest.approx(1 / COARSENING, rel=0.2)
    assert ratio.value == np.median(drift(seeds.start, seeds.stop) / drift(seeds.start, seeds.coarse))
    assert 0 < ratio.error < 1e-4


def test_runs_that_never_escape_are_far_from_their_prediction_and_have_no_drift(seeds):
    pair = Pair(PLATEAU.network, squared_relu([2, 3], 3))
    draws = draw(pair, [np.random.default_rng(seed) for seed in range(2)], points=20)
    late = Seeds.trained(PLATEAU, draws, DELTA, 0.1 * PLATEAU.escape_times(draws, DELTA), 100)
    found = late.numbers(flow_error=1e-5)
    assert found["escape_prediction_gap"].value > 1
    assert np.isnan(found["drift_ratio"].value)
    assert found["growth_median"].n == 0


def test_a_table_has_a_row_for_each_run_and_arrays_have_their_stage(seeds):
    criteria = Criteria(growth=1.0, across=20.0, rise=1.0, half_way=0.0, random_rows=1.0, balance=1.0)
    met = seeds.met(criteria, loss_rise=1e-9)
    assert met["monotone"].all()
    assert not seeds.met(criteria, loss_rise=-1.0)["monotone"].any(), "a loss that must vanish in one step"
    table = seeds.table(met)
    assert all(len(column) == 5 for column in table.values())
    assert {"escape", "norm", "growth", "monotone_ok", "aligned_ok"} <= set(table)
    arrays = seeds.arrays()
    assert arrays["loss"].shape == arrays["cosine"].shape == arrays["path_norm"].shape == (5, len(arrays["iterations"]))
    assert arrays["loss"][:, 0].tolist() == [1.0] * 5
    assert {"start_norm", "stop_rows", "coarse_singular"} <= set(arrays)

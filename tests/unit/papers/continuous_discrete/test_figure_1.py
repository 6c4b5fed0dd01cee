"""Runs of Figure 1 side by side: against a quadratic whose drift is known, and on a few digits against autograd."""

import numpy as np
import pytest
import torch

from flowcheck.data.mnist import Digits
from flowcheck.papers.continuous_discrete import drift_readings, figure_1, mnist_networks, step_studies
from flowcheck.papers.continuous_discrete.step_comparison import Recipe, between, compare, path, table


class Decay:
    """Descent on w^2 / 2 from 1 and from 2: every step multiplies by 1 - step."""

    def __init__(self, step_size):
        self.w, self.factor = torch.tensor([[1.0], [2.0]], dtype=torch.float64), 1 - step_size

    def advance(self, steps):
        self.w = self.w * self.factor**steps

    def weights(self):
        return self.w


def half_square(w):
    return 0.5 * (w**2).sum(dim=1)


RECIPE = Recipe(0.01, 200, 10, (2, 5, 20))


def test_the_same_times_are_compared_at_the_same_iterates():
    found = compare(Decay, half_square, RECIPE)
    k = np.arange(0, 201, 10)
    np.testing.assert_allclose(found.distance, np.outer([1, 2], 1 - 0.99**k), atol=1e-14)
    for row, r in enumerate(RECIPE.ratios):
        finer = (1 - 0.01 / r) ** (r * k)
        np.testing.assert_allclose(found.drift[row], np.outer([1, 2], finer - 0.99**k), atol=1e-14)
        np.testing.assert_allclose(found.loss[row + 1], np.outer([0.5, 2], finer**2), atol=1e-14)


def test_a_table_reads_the_largest_ratio_after_the_start_and_the_end():
    found = compare(Decay, half_square, RECIPE)
    rows = table(found, [4, 7], 0.0)
    assert rows[["draw", "ratio"]].to_numpy().tolist() == [[draw, r] for draw in (4, 7) for r in RECIPE.ratios]
    ratio = found.drift[1, 1, 1:] / found.distance[1, 1:]
    chosen = rows[(rows["draw"] == 7) & (rows["ratio"] == 5)].iloc[0]
    assert chosen.drift_ratio == ratio.max()
    assert chosen.drift_tenth == found.drift[1, 1, 2]
    assert chosen.loss_end == found.loss[[0, 2], 1, -1].max()
    assert chosen.loss_rises == chosen.distance_falls == 0


def test_rounding_of_a_run_with_more_steps_counts_as_often():
    found = compare(Decay, half_square, RECIPE)
    rows = table(found, [4, 7], np.full(21, 1e-6))
    assert rows["drift_error"].to_numpy() == pytest.approx(np.tile([3e-6, 6e-6, 21e-6], 2), rel=1e-5)


def test_runs_that_diverge_are_read_as_long_as_they_are_finite():
    class Growth(Decay):
        def __init__(self, step_size):
            super().__init__(step_size)
            self.factor = 1e50 * step_size

    rows = table(compare(Growth, half_square, Recipe(1.0, 10, 1, (2,))), [0, 1], 0.0)
    assert np.isfinite(rows.to_numpy(dtype=float)).all()
    assert (rows["drift_ratio"] > 0.1).all()


def test_the_drift_of_a_smooth_loss_is_of_first_order():
    rows = table(compare(Decay, half_square, RECIPE), [0, 1], 0.0)
    assert drift_readings.first_order_gap(rows).value < 0.01
    assert drift_readings.second_order_gap(rows).value == pytest.approx(1.9 * (3 / 4) / (1 - 1 / 400) - 1, abs=0.01)
    assert drift_readings.late_growth(rows).value == pytest.approx(10 * np.exp(-1.8), rel=0.05)


def test_the_same_runs_begun_twice_are_at_no_distance():
    assert not between(path(Decay, RECIPE, 1), path(Decay, RECIPE, 1)).any()


def few_digits():
    rng = np.random.default_rng(0)
    return Digits(torch.tensor(rng.standard_normal((12, 784))), torch.tensor(np.arange(12) % 10), "noise")


@pytest.mark.parametrize("name", ["linear", "relu"])
def test_networks_and_loss_are_those_of_the_paper(name):
    """Against a module with a cross-entropy of torch."""
    data, rng = few_digits(), np.random.default_rng(1)
    fit = mnist_networks.objective(name, data)
    assert fit.network.size == 42_200
    w = mnist_networks.xavier(rng)
    first, second, third = np.split(w, [39_200, 41_700])
    assert np.abs(first).max() == pytest.approx((6 / 834) ** 0.5, rel=1e-3)
    assert np.abs(second).max() == pytest.approx((6 / 100) ** 0.5, rel=1e-2)
    assert np.abs(third).max() == pytest.approx((6 / 60) ** 0.5, rel=2e-2)
    layers = [torch.tensor(part.reshape(shape)) for part, shape in ((first, (50, 784)), (second, (50, 50)), (third, (10, 50)))]
    between = torch.relu if name == "relu" else torch.nn.Identity()
    outputs = between(between(data.inputs @ layers[0].T) @ layers[1].T) @ layers[2].T
    expected = torch.nn.functional.cross_entropy(outputs, data.labels)
    assert float(fit.value(w[None])[0]) == pytest.approx(float(expected), rel=1e-12)


def test_a_study_holds_its_curves_a_row_for_each_draw_and_broken_runs():
    study = figure_1.Study(network="relu", precision="float64", draws=[0, 3], ratios=[2, 4], iterations=1000, interval=500)
    starts = np.stack([mnist_networks.xavier(np.random.default_rng(seed)) for seed in (0, 3)])
    arrays, rows = figure_1.run(study, few_digits(), starts, np.arange(12)[::-1].copy())
    assert arrays["drift"].shape == (2, 2, 3)
    assert arrays["loss"].shape == (3, 2, 3)
    assert rows[["draw", "ratio"]].to_numpy().tolist() == [[0, 2], [0, 4], [3, 2], [3, 4]]
    assert 0 < arrays["reordered"][-1] < 1e-9 < arrays["drift"].max() < 0.05
    assert (rows["drift_ratio_large_step"] > 0.1).all()
    labelled = step_studies.labelled({"mine": study}, {"mine": arrays})
    np.testing.assert_allclose(labelled["mine_prediction"][1], 1.5 * arrays["drift"][0])

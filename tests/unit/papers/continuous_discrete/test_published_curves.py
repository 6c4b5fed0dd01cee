"""The published curves: all of them, of the shape of their figure."""

from pathlib import Path

import numpy as np
import pytest

from flowcheck.errors import ConfigError
from flowcheck.papers.continuous_discrete.published_curves import DECIMALS, published, rms_distance

DATA = Path(__file__).resolve().parents[4] / "scripts" / "continuous_discrete" / "data"


@pytest.mark.parametrize("network", ["linear", "relu"])
def test_curves_are_those_of_descent_from_one_start(network):
    curves = published(DATA / f"figure_1_{network}.csv")
    assert curves.iterations.tolist() == list(range(0, 10_001, 100))
    assert np.ptp(curves.loss[:, 0]) == 0  # one start
    assert (np.diff(curves.loss, axis=1) < 0).all()  # descent
    assert curves.distance[0] == 0
    assert (np.diff(curves.distance) > 0).all()
    assert (curves.drift[:, 0] == 0).all()
    # the caption: drift is far below the distance travelled
    assert (curves.drift[:, 1:] < 0.02 * curves.distance[1:]).all()


def test_early_drift_of_the_linear_net_grows_with_r_as_one_minus_one_over_r():
    """First order in the step size, up to 2.6 %: what tells the columns apart."""
    drift = published(DATA / "figure_1_linear.csv").drift[:, 1:4]
    predicted = np.array([1 / 2, 4 / 5, 9 / 10, 19 / 20])[:, None]
    np.testing.assert_allclose(drift / drift[3], (predicted / predicted[3]).repeat(3, axis=1), rtol=0.03)


def test_numbers_have_the_decimals_that_they_are_said_to_have():
    loss = published(DATA / "figure_1_relu.csv").loss
    np.testing.assert_allclose(loss, np.round(loss, 5), atol=1e-12)
    assert DECIMALS == 0.5e-5


def test_another_table_is_refused(tmp_path):
    text = (DATA / "figure_1_relu.csv").read_text(encoding="utf-8")
    for name, wrong in {"columns": text.replace("loss_r5", "loss_r6"), "numbers": text.replace("0.19765", "")}.items():
        (tmp_path / name).write_text(wrong, encoding="utf-8")
        with pytest.raises(ConfigError, match="expected finite numbers"):
            published(tmp_path / name)


def test_the_distance_of_curves_is_over_what_both_have():
    distance, n = rms_distance(
        np.array([1.0, 9.0, 5.0]), np.array([0, 50, 100]), np.array([1.0, 1.0, 8.0]), np.array([0, 100, 200])
    )
    assert (distance, n) == (pytest.approx(np.sqrt(8)), 2)
    with pytest.raises(ValueError, match="no iteration in common"):
        rms_distance(np.ones(1), np.array([1]), np.ones(1), np.array([2]))

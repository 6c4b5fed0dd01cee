"""Rates near minima: of power laws that are made up, and of one idle weight whose flow is an integral."""

import numpy as np
import pytest
from scipy.integrate import quad

from flowcheck.measures.table import Table
from flowcheck.networks.zoo import power_net
from flowcheck.papers.deep_homogeneous import saddle_rates
from flowcheck.pipeline.evidence import Measurement
from flowcheck.saddles.departure import Departure, ResidualFlow, Start
from flowcheck.saddles.saddle import Saddle
from flowcheck.saddles.units import Units

LABEL, SHARE = 0.7, 0.1


def leaving(target):
    """A start at 1 on a line, where every direction is aligned at once."""
    return Start(np.ones(1), np.ones(1), ResidualFlow(lambda t: np.ones(1), target, np.zeros(1), np.ones(1), 1.0))


def line():
    """One weight fits the input -1, one idle weight meets the label of the input 1: w' = 3 w^2 (label - w^3)."""
    units = Units.of(power_net(1, 1, 3), np.array([[-1.0], [1.0]]))
    return Saddle(units, units, np.array([-1.0]), np.array([0.0, LABEL]))


def test_the_escape_time_is_an_integral_and_the_blow_up_is_known():
    deltas = np.array([1e-2, 1e-3, 1e-4])
    found = saddle_rates.escapes(line(), leaving(np.ones(1)), deltas, SHARE)
    assert found["blow_up"].value == pytest.approx(1 / (3 * LABEL), rel=1e-9)
    last = (LABEL * (1 - np.sqrt(1 - SHARE))) ** (1 / 3)
    for k, delta in enumerate(deltas):
        # 1 / (w^2 (label - w^3)) is 1 / (label w^2) and what follows from the quotient
        rest = quad(lambda w: w / (LABEL * (LABEL - w**3)), delta, last)[0]
        exact = ((1 / delta - 1 / last) / LABEL + rest) / 3
        assert abs(found[f"escape_{k}"].value - exact) <= found[f"escape_{k}"].error < 1e-3 * exact
    assert found["escape_2_coarse"].value != found["escape_2"].value


def test_nothing_escapes_along_a_direction_that_there_is_not():
    with pytest.raises(ValueError, match="u goes to zero"):
        saddle_rates.escapes(line(), leaving(None), np.ones(1), SHARE)


def test_sizes_are_read_up_to_the_first_time_and_at_the_end():
    a = np.arange(8.0).reshape(2, 4, 1)[:, ::-1]
    q = np.arange(8.0).reshape(2, 4, 1)
    path = Departure(np.array([0.1, 0.01]), np.array([0.0, 1.0, 2.0, 3.0]), a, q, np.ones((4, 1)), 1)
    found = saddle_rates.sizes(path, 2.0)
    assert found["deviation_0"] == pytest.approx(0.1 * 2)
    assert found["deviation_1"] == pytest.approx(0.01 * 6)
    assert (found["end_0"], found["end_1"]) == (0.0, pytest.approx(0.01 * 4))
    assert (found["farthest_0"], found["farthest_1"]) == (3.0, 7.0)


def test_slopes_are_those_of_the_powers_and_the_gap_that_of_the_last_escape():
    deltas, escape = np.array([1e-1, 1e-4, 1e-5, 1e-6]), np.array([1e-3, 1e-4, 1e-5])

    def row(degree, factor):
        powers = {"deviation": degree - 1, "still": degree, "end": degree, "farthest": 0}
        found = {f"{name}_{k}": factor * d**power for name, power in powers.items() for k, d in enumerate(deltas)}
        found |= {f"escape_{k}": 1.001 * factor * d ** (2 - degree) for k, d in enumerate(escape)} | {"blow_up": factor}
        return {"degree": degree} | {name: Measurement(value, 1e-6 * value) for name, value in found.items()}

    runs = Table.of([row(degree, factor) for degree in (3, 4) for factor in (1.0, 2.0)])
    found = saddle_rates.slopes(runs, deltas, (1e-6, 1e-4), escape)
    for degree in (3, 4):
        assert found[f"deviation_slope_L{degree}"].value == pytest.approx(degree - 1)
        assert found[f"still_deviation_slope_L{degree}"].value == pytest.approx(degree)
        assert found[f"end_slope_L{degree}"].n == 6  # two draws, three fitted deltas
        assert found[f"escape_time_slope_L{degree}"].value == pytest.approx(2 - degree)
        assert found[f"farthest_L{degree}"].value == 2.0
        gap = found[f"escape_over_blow_up_gap_L{degree}"]
        assert (gap.value, gap.error) == (pytest.approx(1e-3), pytest.approx(1.001 * 2e-6))

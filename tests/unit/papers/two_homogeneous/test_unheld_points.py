"""Points that hold nothing: distances in closed form, independent of delta, where a saddle's would shrink with it."""

import math

import numpy as np
import pytest

from flowcheck.papers.two_homogeneous import unheld_points
from flowcheck.papers.two_homogeneous.saddle_systems import figure_4

DELTAS = np.array([1e-4, 1e-5, 1e-6])


def test_the_flow_from_the_kink_leaves_along_a_hyperbola():
    # u_1^2 - u_2^2 stays 1 to order delta, so with u = (cosh s, sinh s): s' = -2 (sinh s cosh s - 1)
    s, steps = 0.0, 100_000
    for _ in range(steps):
        s -= 2 * (math.sinh(s) * math.cosh(s) - 1) * unheld_points.KINK_TIME / steps
    expected = math.hypot(math.cosh(s) - 1, math.sinh(s))
    assert unheld_points.from_the_kink(DELTAS[2:], 1e-10) == pytest.approx([expected], rel=1e-4)


def test_a_linear_flow_moves_by_its_speed_times_time():
    speed, start = np.array([3.0, 4.0]), np.array([0.0, 1.0])
    away = unheld_points.distance_after(0.5, lambda _, w: speed, start, start, 1e-8)
    assert away == pytest.approx(2.5)


def test_nothing_holds_there_however_small_delta_is():
    rng = np.random.default_rng(0)
    saddle = figure_4(rng)
    direction = rng.standard_normal(40)
    found = unheld_points.slopes(saddle, direction, DELTAS)
    for name in ("kink", "beside"):
        assert found[f"stay_slope_{name}"].value == pytest.approx(0.0, abs=1e-2)
        assert found[f"stay_slope_{name}"].error < 1e-3
        assert found[f"departure_{name}"] == pytest.approx(found[f"departure_{name}_coarse"], rel=1e-4)

"""A ball in which Eq. (15) of deep_homogeneous is proved: against dense samples, and where it fails."""

import dataclasses

import numpy as np
import pytest

from flowcheck.data.synthetic import unit_vectors
from flowcheck.networks.zoo import power_net
from flowcheck.papers.deep_homogeneous.power_saddles import fewer_units, strict_saddle
from flowcheck.saddles.inward_ball import _first_boxes, _halves, _Terms, _turned, holds_within
from flowcheck.saddles.saddle import Saddle
from flowcheck.saddles.units import Units


def minimum(degree, seed):
    rng = np.random.default_rng(seed)
    while True:
        saddle = fewer_units(degree, rng, 1)
        if np.linalg.eigvalsh(saddle.hessian)[0] > 0:
            return saddle


def directions(boxes, d=3):
    centre = np.insert(boxes[:, 1:d], 0, 1.0, axis=1)
    return _turned(centre / np.linalg.norm(centre, axis=1, keepdims=True), boxes[:, 0].astype(int))


def rates(saddle, boxes):
    """The inward rates at the centres."""
    return np.array([saddle.inward(float(r), v[None])[0] for r, v in zip(boxes[:, 3], directions(boxes), strict=True)])


@pytest.mark.parametrize("degree", [3, 4])
def test_no_sample_lies_below_the_lower_bound_of_its_box(degree):
    saddle, rng = minimum(degree, degree), np.random.default_rng(degree)
    boxes = rng.permutation(_halves(_first_boxes(3, 1.5)))[:200]
    lower, violated = _Terms(saddle).enclose(boxes)
    for _ in range(5):
        at = boxes.copy()
        at[:, 1:4] = boxes[:, 1:4] + boxes[:, 4:] * rng.uniform(-1, 1, (len(boxes), 3))
        assert (rates(saddle, at) >= lower - 1e-9 * np.abs(lower)).all()
    assert ((rates(saddle, boxes) < 0) == violated).all()


def test_the_lower_bound_closes_in_as_boxes_shrink():
    saddle, boxes = minimum(3, 0), _first_boxes(3, 1.0)[:1]
    gaps = []
    for _ in range(6):
        gaps.append(float(rates(saddle, boxes)[0] - _Terms(saddle).enclose(boxes)[0][0]))
        boxes = _halves(boxes)[:1]
    assert gaps[-1] < 0.7 * gaps[-2] < 0.7**2 * gaps[-3]


@pytest.mark.parametrize("degree", [3, 4])
def test_where_it_is_proved_dense_samples_agree(degree):
    dense = unit_vectors(np.random.default_rng(9), 2000, 3).numpy()
    for seed in range(2):
        saddle = minimum(degree, seed)
        assert holds_within(saddle, 0.05), "the Hessian is definite"
        for radius in (0.2, 1.0, 2.0):
            if holds_within(saddle, radius, boxes=30_000):
                assert min(saddle.inward(float(r), dense).min() for r in radius * np.linspace(0.05, 1, 8)) >= 0


def test_all_directions_are_in_some_box_and_boxes_are_cut_without_gaps():
    boxes = _first_boxes(3, 2.0)
    assert directions(boxes).shape == (len(boxes), 3)
    faces = {tuple(np.round(v).astype(int)) for v in _turned(np.tile([1.0, 0.0, 0.0], (6, 1)), np.arange(6))}
    assert faces == {(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)}

    def volume(found):
        return (2 * found[:, 4:]).prod(axis=1).sum()

    assert volume(boxes) == pytest.approx(6 * 4 * 2.0)
    assert volume(_halves(boxes)) == pytest.approx(volume(boxes))
    halves = _halves(boxes[:1])
    assert (halves[:, 1:4] - halves[:, 4:]).min(axis=0) == pytest.approx(boxes[0, 1:4] - boxes[0, 4:])
    assert (halves[:, 1:4] + halves[:, 4:]).max(axis=0) == pytest.approx(boxes[0, 1:4] + boxes[0, 4:])


def test_a_point_that_is_no_minimum_has_no_such_ball():
    saddle = minimum(3, 0)
    upside_down = dataclasses.replace(saddle, residual=saddle.residual + 20.0)  # the unit wants to grow everywhere
    assert not holds_within(upside_down, 0.1)


def test_what_it_is_not_made_for_is_refused():
    with pytest.raises(ValueError, match="one unit"):
        holds_within(strict_saddle(4, np.random.default_rng(0)), 0.1)
    saddle = minimum(3, 0)
    square = Units.of(power_net(1, 3, 2), saddle.fitted.x)
    with pytest.raises(ValueError, match="p of 3 or more"):
        holds_within(Saddle(square, Units.of(power_net(1, 3, 2), saddle.fitted.x), saddle.weights, saddle.residual), 0.1)

"""Teachers, points and starts."""

import numpy as np
import pytest

from flowcheck.papers.deep_homogeneous.figure_draws import PAIRS, Audible, draw, other_starts


def streams(count):
    return [np.random.default_rng(seed) for seed in range(count)]


def test_a_draw_is_the_points_then_the_teacher_then_the_start():
    pair = PAIRS["squared_relu"]
    drawn = draw(pair, streams(3), points=6)
    for number, rng in enumerate(streams(3)):
        x = rng.standard_normal((6, 10))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        w = rng.standard_normal(2 * 10 + 3 * 2)
        hidden = np.maximum(w[20:].reshape(3, 2) @ w[:20].reshape(2, 10) @ x.T, 0.0)
        start = rng.standard_normal(pair.network.size)
        assert drawn.x[number].numpy() == pytest.approx(x, rel=1e-14)
        assert drawn.y[number].numpy() == pytest.approx((hidden**2).sum(axis=0), rel=1e-12)
        assert drawn.w0[number].numpy() == pytest.approx(start / np.linalg.norm(start), rel=1e-13)
    assert drawn.number.tolist() == [0, 1, 2]
    assert len(drawn.take(np.array([2, 0]))) == 2
    assert drawn.take(np.array([2, 0])).numbered(0).w0.tolist() == drawn.w0[:1].tolist()
    assert len(drawn.numbered(7)) == 0


def test_silent_draws_are_not_followed_and_degenerate_ones_are_not_accepted():
    stream = draw(PAIRS["relu"], streams(12), points=20)
    label = stream.y.numpy().mean(axis=1)
    silent, degenerate = np.sort(label)[[3, 6]] + 1e-12
    audible = Audible.of(stream, silent=silent, degenerate=degenerate)
    assert audible.label == pytest.approx(label, rel=1e-14)
    assert len(audible.draws) == 8
    assert (label[audible.draws.number] > silent).all()
    assert len(audible.accepted) == 5
    assert (label[audible.draws.number[audible.accepted]] > degenerate).all()


def test_other_starts_have_the_data_of_one_draw():
    drawn = draw(PAIRS["relu"], streams(2), points=5)
    starts = other_starts(drawn.numbered(1), np.array([4, 9]), streams(2))
    assert starts.number.tolist() == [4, 9]
    assert (starts.x == drawn.x[1]).all()
    assert (starts.y == drawn.y[1]).all()
    assert starts.w0.norm(dim=-1).numpy() == pytest.approx(1.0)
    assert abs(float(starts.w0[0] @ starts.w0[1])) < 0.5
    with pytest.raises(ValueError, match="one set of data, not for 2"):
        other_starts(drawn, np.array([4, 9]), streams(2))

"""Rigorous maxima."""

import pytest

from flowcheck.measures.enclosure import enclose_maximum


def test_enclosure_contains_the_maximum_and_is_narrow():
    (low, high), boxes = enclose_maximum(lambda x, exp: x / (1 + exp(x)), 0.0, 40.0, 1e-4)
    assert low <= 0.27846454276 <= high <= low + 1e-4 + 1e-12
    assert sum(right - left for left, right, _ in boxes) == pytest.approx(40.0)

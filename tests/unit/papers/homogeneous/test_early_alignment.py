"""s beside u as numbers: against closed forms, with errors that hold, and against the end of another flow."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flowcheck.alignment import shadow
from flowcheck.losses import HALF_SUM, Loss
from flowcheck.measures.refinement import Refined
from flowcheck.papers.homogeneous.early_alignment import compare, for_all_cases, from_limit, solver_gaps

DELTAS = [0.1, 0.01]


@pytest.fixture(scope="module")
def parts(quadratic):
    study = quadratic.study(rtol=1e-7)
    of = {name: for_all_cases(deltas, study) for name, deltas in (("slopes", [0.3]), ("sweep", DELTAS), ("large", [2.0]))}
    elsewhere = replace(study.ends, limit=torch.tensor([[0.6, 0.8]], dtype=torch.float64))
    return study, compare(study, **of, own=for_all_cases([0.05, 0.02], study), wrong=elsewhere)


def test_numbers_are_those_of_the_closed_form_within_their_errors(quadratic, parts):
    sweep = parts[1].sweep
    assert sweep.epsilon.tolist() == [0.1, 0.01]
    for d, delta in enumerate(DELTAS):
        for e, time in enumerate(sweep.time[0]):
            s, u = quadratic.s(time, delta), quadratic.u(time)
            exact = {"norm": np.linalg.norm(s), "misalignment": 1 - s[0] / np.linalg.norm(s)}
            path = np.linspace(0, time, 400)[:, None]
            exact["deviation"] = np.linalg.norm(quadratic.s(path, delta) - quadratic.u(path), axis=1).max()
            exact["excess"] = np.linalg.norm(s) - np.linalg.norm(u)  # both norms grow
            for name, value in exact.items():
                found = getattr(sweep, name)[0, d, e]
                assert found.error < 2e-5
                assert abs(found.value - value) <= 20 * found.error + 1e-9, name


def test_the_deltas_are_handed_out_in_their_order(parts):
    comparisons = parts[1]
    every = [comparisons.slopes, comparisons.sweep, comparisons.large, comparisons.own]
    assert [part.deltas[0].tolist() for part in every] == [[0.3], DELTAS, [2.0], [0.05, 0.02]]
    assert all(part.norm.value.shape == (1, part.deltas.shape[1], 2) for part in every)
    assert comparisons.sweep.path_time.value.shape == (1, 2, 16)
    np.testing.assert_allclose(comparisons.sweep.moment.value[0, 1], comparisons.sweep.time[0], rtol=1e-6)
    assert comparisons.sweep.growing().tolist() == comparisons.sweep.growing(0).tolist() == [True]
    assert comparisons.sweep.growing(1).tolist() == [False]


def test_another_end_changes_the_angle_and_its_error_and_nothing_else(quadratic, parts):
    comparisons = parts[1]
    right, wrong = comparisons.sweep, comparisons.wrong
    s = quadratic.s(right.time[0, 1], DELTAS[1])
    assert wrong.misalignment.value[0, 1, 1] == pytest.approx(1 - s @ [0.6, 0.8] / np.linalg.norm(s), rel=1e-6)
    # far from a limit the angle matters in first order, near it in second: the errors are not those of the right end
    assert (wrong.misalignment.error > right.misalignment.error).all()
    for name in ("norm", "deviation", "excess", "path_time"):
        np.testing.assert_array_equal(getattr(wrong, name).value, getattr(right, name).value)


def test_without_another_end_there_is_no_such_comparison(quadratic):
    study = quadratic.study(rtol=1e-5)
    one = for_all_cases([0.1], study)
    assert compare(study, slopes=one, sweep=one, large=one, own=for_all_cases([0.1, 0.1], study)).wrong is None


def test_a_limit_that_is_known_to_an_angle_moves_the_cosine_by_no_more_than_the_error():
    rng = np.random.default_rng(8)
    turn, off = rng.uniform(0, np.pi, 500), rng.uniform(0, 0.3, 500)
    exact, moved = 1 - np.cos(turn), 1 - np.cos(turn + off * rng.choice([-1, 1], 500))
    found = from_limit(Refined(exact, np.zeros(500)), off)
    assert (np.abs(moved - exact) <= found.error).all()
    assert np.median(np.abs(moved - exact) / found.error) > 0.5


def test_another_solver_finds_s_and_not_u(cubic):
    gaps = solver_gaps(cubic.study(), 0.5)
    assert len(gaps.value) == 2  # one case of each loss
    assert gaps.value.max() < 1e-4


def test_a_loss_that_acts_too_weakly_on_s_is_found_out(cubic, monkeypatch):
    """The order in delta is the same, so that no slope tells."""
    weaker = Loss.residual
    monkeypatch.setattr(shadow, "of_own_loss", lambda losses, which, outputs, y, part: _weakened(losses, outputs, y, part))

    def _weakened(losses, outputs, y, part):
        full, none = part(losses[0], outputs, y), part(losses[0], 0 * outputs, y)
        return none + 0.2 * (full - none) if part is weaker else full

    assert solver_gaps(cubic.study(losses=(HALF_SUM,)), 0.5).value.min() > 0.5

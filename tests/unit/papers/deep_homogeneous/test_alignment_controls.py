"""Controls of early alignment do what they are there for, on one unit whose NCF flow is known."""

import dataclasses

import numpy as np
import pytest
import torch

from flowcheck.alignment.shadow import Cases
from flowcheck.alignment.study import Study
from flowcheck.networks.zoo import power_net
from flowcheck.papers.deep_homogeneous import alignment_controls

DELTAS = [1e-2, 1e-3, 1e-4]


@pytest.fixture(scope="module")
def study(cubic):
    return cubic.study()


def test_with_one_thing_wrong_the_deviation_does_not_vanish_with_delta(study):
    cases = study.cases.permuted(np.array([1, 0]))
    assert torch.equal(cases.z, study.cases.z.flip(1))
    wrong = Study.begin(study.network, study.x, study.losses, cases, study.epsilons, study.rtol)
    found = alignment_controls.deviation_slopes(study, wrong, power_net(1, 2, 4), DELTAS)
    # a distance of order one is left: u is driven by another vector, s is in another time, or degree four drives u and not s
    assert found["deviation_slope_permuted"].value == pytest.approx(0, abs=0.01)
    assert found["deviation_slope_unscaled"].value == pytest.approx(0, abs=0.05)
    assert found["deviation_slope_mixture"].value == pytest.approx(0, abs=0.05)
    assert all(0 < slope.error < 1e-6 for slope in found.values())


def test_a_case_whose_labels_stay_has_nothing_wrong_and_no_say(study):
    # the signs of both labels are equal: a permutation leaves the logistic case, whose deviation is of order delta^3
    y = torch.stack([study.cases.y[:1], study.cases.y[:1].sign()])
    cases = Cases.of(study.losses, y, study.cases.starts[:1])
    right, wrong = (
        Study.begin(study.network, study.x, study.losses, each, study.epsilons, study.rtol)
        for each in (cases, cases.permuted(np.array([1, 0])))
    )
    assert cases.driven_by_another(wrong.cases).tolist() == [True, False]
    slope = alignment_controls.deviation_slopes(right, wrong, power_net(1, 2, 4), DELTAS)["deviation_slope_permuted"]
    assert slope.value == pytest.approx(0, abs=0.01)
    assert slope.n == len(DELTAS)
    nothing = alignment_controls.deviation_slopes(right, right, power_net(1, 2, 4), DELTAS)["deviation_slope_permuted"]
    assert nothing.n == 0


def test_a_flow_that_is_near_its_end_at_once_has_no_say(study):
    starts = torch.cat([study.cases.starts[:1], torch.tensor([[1.0, 1e-3]]).to(study.x)])
    starts = starts / starts.norm(dim=-1, keepdim=True)
    cases = Cases.of(study.losses[:1], study.cases.y[:1].expand(2, -1)[None], starts)
    right, wrong = (
        Study.begin(study.network, study.x, study.losses[:1], each, study.epsilons, study.rtol)
        for each in (cases, cases.permuted(np.array([1, 0])))
    )
    found = alignment_controls.deviation_slopes(right, wrong, power_net(1, 2, 4), DELTAS)
    for name in ("permuted", "unscaled"):  # up to a moment that is not there
        assert found[f"deviation_slope_{name}"].n == len(DELTAS)
        assert found[f"deviation_slope_{name}"].value == pytest.approx(0, abs=0.05)
    assert found["deviation_slope_mixture"].n == 2 * len(DELTAS)  # up to a time that is


def test_beyond_the_blow_up_the_norm_exceeds_its_bound_and_without_room_it_is_not_asked(study):
    found = alignment_controls.late_norm_ratio(study, 1e-6)
    assert found.value == pytest.approx(alignment_controls.LATE, rel=1e-5)
    assert found.error < 1e-6
    assert found.n == 1
    never = dataclasses.replace(study.ends, blow_up=0 * study.ends.blow_up)
    assert alignment_controls.late_norm_ratio(dataclasses.replace(study, ends=never), 1e-6).value == 0

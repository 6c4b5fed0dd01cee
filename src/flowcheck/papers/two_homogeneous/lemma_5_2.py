r"""Lemma 5.2 of two_homogeneous, first part: the norm at every time, Eq. (25), the way out of the unit ball."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch

from flowcheck.alignment.reference import COARSER
from flowcheck.alignment.shadow import Cases
from flowcheck.alignment.study import Study
from flowcheck.data.synthetic import unit_vectors
from flowcheck.flows.ending import Ending
from flowcheck.flows.events import loss_ratio_below, norm_reaches
from flowcheck.flows.flow import Save, gradient_flow
from flowcheck.losses import HALF_SUM
from flowcheck.measures.refinement import Numbers, Refined, refined
from flowcheck.networks.problem import Objective
from flowcheck.networks.zoo import power_net
from flowcheck.papers.homogeneous.early_alignment import Compared
from flowcheck.papers.two_homogeneous import bounds
from flowcheck.papers.two_homogeneous.theorem_5_1 import Constants
from flowcheck.pipeline.evidence import Found, Measurement

EXIT_RTOL, SINGLE_RTOL = 1e-6, 1e-9
"""Tolerances of flows that leave the unit ball."""


def bounds_on_the_way(parts: Sequence[tuple[Constants, Compared]]) -> Found:
    r"""Largest $\ln(\|w\|/\delta)$ over its bound, and logarithm of the change of the loss's derivative over its own.

    At all times up to which delta is below the $C^{-1/2}$ of that time. As a control with $\delta^3$ in the bound of the change.
    """
    ratios, changes, degree_above = [], [], []
    for constants, part in parts:
        time, shape = part.path_time.value, part.path_time.value.shape
        log_delta = np.broadcast_to(np.log(part.deltas)[:, :, None], shape)
        beta, hat, tilde = (
            np.broadcast_to(each[:, None, None], shape) for each in (constants.beta, constants.beta_hat, constants.beta_tilde)
        )
        allowed = np.asarray(bounds.log_growth_bound(time, beta, tilde))
        inside = (log_delta <= -(1 - 1e-9) * allowed) & (time > 0)
        norm, change, most = part.path_norm[inside], part.path_change[inside], allowed[inside]
        late = part.path_time.error[inside] / time[inside]  # both bounds are proportional to a time that has an error of its own
        ratio = np.log(norm.value) / most
        ratios.append(Refined(ratio, norm.error / norm.value / most + ratio * late))
        bound = bounds.log_change_bound(time[inside], log_delta[inside], beta[inside], hat[inside], tilde[inside])
        excess = Refined(np.log(change.value) - bound, change.error / change.value + 2 * most * late)
        changes.append(excess)
        degree_above.append(Refined(excess.value - log_delta[inside], excess.error))
    return {
        "norm_log_ratio_max": Refined.joined(ratios).largest_of_all(),
        "change_log_excess_max": Refined.joined(changes).largest_of_all(),
        "change_log_excess_degree_above": Refined.joined(degree_above).largest_of_all(),
    }


def exit_ratios(study: Study, deltas: Sequence[float]) -> Refined:
    r"""When growing flows leave the unit ball, over $\ln\delta^{-2}/(4\beta\tilde\beta)$; NaN where they stay [R]."""
    rows = (study.ends.branch == Ending.GROWS).nonzero()[:, 0].repeat_interleave(len(deltas))
    cases = study.cases.take(rows)
    scales = torch.tensor(deltas, dtype=study.x.dtype, device=study.x.device).repeat(len(rows) // len(deltas))
    constants = Constants.of(study.network, study.x, study.losses, cases)
    earliest = bounds.earliest_exit(scales.log().cpu().numpy(), constants.beta, constants.beta_tilde)
    length = study.ends.steps.arc.nan_to_num(0.0).amax(dim=1)[rows] + 2 * (1 - scales.log()) / study.ends.value[rows]
    times = scales.new_full((2, len(scales)), torch.nan)
    for position, loss in enumerate(study.losses):
        own = (cases.loss == position).nonzero()[:, 0]
        both = own.repeat(2)
        path = gradient_flow(
            Objective(study.network, study.x, cases.y[both], loss),
            cases.starts[both],
            scales[both],
            rtol=scales.new_tensor([EXIT_RTOL, COARSER * EXIT_RTOL]).repeat_interleave(len(own)),
            length=length[both],
            until=[norm_reaches(1.0), loss_ratio_below(0.5)],
        )
        times[:, own] = torch.where(path.ended_by == 0, path.time, torch.nan).view(2, -1)
    return Refined.of(*(each / earliest for each in times.cpu().numpy()))


def single_input(label: float, delta: float, seeds: int, rng: np.random.Generator, device: torch.device) -> Found:
    r"""One unit, one input x and label y: beta is 1, the growth at most y / (1 + y) of what Eq. (23) allows. Nearly tight.

    As a control the flow of twice the label, against the bounds of the label.
    """
    network, x = power_net(1, 3, 2), torch.eye(3, dtype=torch.float64, device=device)[:1]
    starts = unit_vectors(rng, seeds, 3)
    starts[:, 0] = starts[:, 0].abs() + 0.5
    starts = (starts / starts.norm(dim=-1, keepdim=True)).to(device)
    y = torch.full((1,), label, dtype=torch.float64, device=device)
    constants = Constants.of(network, x, (HALF_SUM,), Cases.of((HALF_SUM,), y.expand(1, seeds, 1), starts))
    beta, tilde = constants.beta, constants.beta_tilde

    def ratios(of: float, rtol: float) -> dict[str, Numbers]:
        path = gradient_flow(
            Objective(network, x, of * y, HALF_SUM), starts, delta, rtol=rtol, until=[norm_reaches(1.0)], save=Save(steps=True)
        )
        assert path.every_step is not None
        time, growth = (part[:, 1:].cpu().numpy() for part in (path.every_step.time, path.every_step.log_growth))
        weights = path.every_step.weights()[:, 1:].nan_to_num(0.0)
        outputs = network.forward(weights.flatten(0, 1), x)
        change = HALF_SUM.derivative_change(outputs, y).norm(dim=-1).view(weights.shape[:2]).cpu().numpy()
        bound = bounds.log_change_bound(time, math.log(delta), beta[:, None], constants.beta_hat[:, None], tilde[:, None])
        exits = path.time.cpu().numpy() / bounds.earliest_exit(math.log(delta), beta, tilde)
        return {
            "norm": np.nanmax(growth / bounds.log_growth_bound(time, beta[:, None], tilde[:, None]), axis=1),
            "change": np.nanmax(np.log(np.where(change > 0, change, np.nan)) - bound, axis=1),
            "exit": exits,
        }

    found: dict[str, Measurement] = {}
    for of, name in ((1.0, ""), (2.0, "_label_doubled")):
        own = refined(functools.partial(ratios, of), SINGLE_RTOL, COARSER * SINGLE_RTOL)
        found[f"norm_log_ratio_single{name}"] = own["norm"].largest_of_all()
        found[f"change_log_excess_single{name}"] = own["change"].largest_of_all()
        found[f"exit_time_ratio_single{name}"] = own["exit"].smallest_of_all()
    return found

"""Early alignment of two-homogeneous networks: w/delta against the NCF flow u (two_homogeneous, Section 5.1).

Every network has inputs of its own; every seed has labels and a start. Both losses and all delta run beside u up to the moments
at which u is within epsilon of its end, then on until the loss has fallen by a hundredth. T is such a moment, so C is
exp(4 beta beta~ T): beyond float64, and kept as a logarithm, as is delta = C^(-1/2).
"""

import dataclasses
import math

import numpy as np
import torch
from pydantic import Field

from flowcheck import alignment_measures as measures
from flowcheck import early_alignment as early
from flowcheck import kinked
from flowcheck.alignment_measures import Dichotomy
from flowcheck.bounds import two_homogeneous as bounds
from flowcheck.data import gaussian, half_space_inputs, noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.early_alignment import Cases, Study
from flowcheck.evidence import Evidence
from flowcheck.experiment import Context, ParametersModel, main
from flowcheck.flow import loss_flow, norm_reaches
from flowcheck.hypotheses import require_degree, require_scale, require_signal
from flowcheck.losses import HALF_SUM, LOGISTIC
from flowcheck.networks import Network, Separable, power_net, relu_two_trainable, two_layer

LOSSES = (HALF_SUM, LOGISTIC)
GROWING: dict[str, Network] = {
    "SQ": power_net(6, 3, 2),
    "L2": two_layer(4, 3, 0.2),
    "D2": relu_two_trainable((4, 4), 3, (1.0, -1.0, 1.0, -1.0)),
}
ENDING: dict[str, Network] = {"collapse": power_net(2, 3, 2, signs=(-1.0, -1.0)), "rest": power_net(2, 3, 2, signs=(-1.0, -1.0))}
NETWORKS = GROWING | ENDING
"""Those of ENDING have negative outputs and positive labels: u goes to 0, or comes to rest where no unit is active."""
UNITS: dict[str, Network] = {"SQ": power_net(1, 3, 2), "L2": two_layer(1, 3, 0.2)}
"""One block of the separable networks."""
HIGHER: dict[str, Network] = {f"L{degree}": power_net(6, 3, degree) for degree in (2, 3, 4)}
SMALLEST_LOG = -320.0
"""Of delta: delta^2 must stay in float64, so a smaller C^(-1/2) is not run."""


class Parameters(ParametersModel):
    degrees: dict[str, float]
    seeds: int = Field(ge=3)
    samples: int = Field(ge=4)
    noise: float = Field(ge=0)
    label_scale: float = Field(ge=0)
    epsilons: list[float]
    fit_deltas: list[float] = Field(min_length=4)
    sweep: list[float]
    large_delta: float
    block_epsilons: list[float]
    block_deltas: list[float]
    escape_deltas: list[float]
    escape_aligned: float
    turning_time: float
    turning_deltas: list[float]
    single_label: float
    curve_deltas: list[float]
    rtol: float = Field(gt=0)

    @property
    def swept(self) -> slice:
        """Columns of the sweep; those for the slopes come before it, the large delta and C^(-1/2) after it."""
        return slice(len(self.fit_deltas), len(self.fit_deltas) + len(self.sweep))

    @property
    def scales(self) -> list[float]:
        return [*self.fit_deltas, *self.sweep, *self.block_deltas, *self.escape_deltas, *self.turning_deltas, *self.curve_deltas]


def draw(p: Parameters, name: str, context: Context) -> tuple[Network, torch.Tensor, Cases]:
    """A network, its inputs, and its cases: labels of a noisy teacher for the square loss, their signs for the logistic one."""
    rng, network = context.rng(name), NETWORKS[name]
    x = (half_space_inputs if name == "rest" else sphere_inputs)(rng, p.samples, network.inputs)
    if name in ENDING:
        y = 0.5 + gaussian(rng, p.seeds, p.samples).abs()
    else:
        y = noisy_teacher_labels(rng, network, x, p.seeds, p.noise)
    y = p.label_scale * y
    return network, x, Cases.of(LOSSES, torch.stack([y, y.sign()]), unit_vectors(rng, p.seeds, network.size))


def permuted(cases: Cases, context: Context) -> Cases:
    """The vector of the NCF belongs to other samples; labels and starts stay."""
    order = torch.from_numpy(context.rng("permutation").permutation(cases.z.shape[1]))
    return dataclasses.replace(cases, z=cases.z[:, order])


def constants(network: Network, x: torch.Tensor, cases: Cases) -> dict[str, np.ndarray]:
    r"""[S]: $\beta$ (an upper bound), $\hat\beta$ and $\tilde\beta$."""
    hat = np.array([LOSSES[loss].derivative_lipschitz(y) for loss, y in zip(cases.loss.tolist(), cases.y, strict=True)])
    beta = np.full(len(hat), network.output_bound(x))
    tilde = bounds.beta_tilde(beta, hat, cases.z.norm(dim=-1).numpy())
    return {"beta": beta, "beta_hat": hat, "beta_tilde": np.asarray(tilde)}


def compare(p: Parameters, study: Study, wrong: Study | None) -> dict[str, np.ndarray]:
    """Deltas for the slopes, the sweep, a large one, and C^(-1/2) for each epsilon."""
    arrays = study.ending() | constants(study.network, study.x, study.cases)
    log_own = -0.5 * bounds.log_c(arrays["time"], arrays["beta"][:, None], arrays["beta_tilde"][:, None])
    arrays["usable"] = log_own > SMALLEST_LOG
    own = torch.from_numpy(np.exp(np.where(arrays["usable"], log_own, math.log(min(p.sweep)))))
    shared = torch.tensor([*p.fit_deltas, *p.sweep, p.large_delta], dtype=own.dtype)
    deltas = torch.cat([shared.expand(len(own), -1), own], dim=1)
    return arrays | study.compare(deltas, wrong_limit=None if wrong is None else wrong.ends.limit)


def exits(p: Parameters, study: Study) -> dict[str, np.ndarray]:
    r"""When flows of growing cases leave the unit ball, over $\ln\delta^{-2}/(4\beta\tilde\beta)$; NaN where they stay, [R, D]."""
    deltas = torch.tensor(p.escape_deltas, dtype=study.x.dtype)
    rows = (study.ends.branch == early.DIRECTION).nonzero()[:, 0].repeat_interleave(len(deltas))
    cases, scales = study.cases.take(rows), deltas.repeat(len(rows) // len(deltas))
    ratio = np.full(len(rows), np.nan)
    of = constants(study.network, study.x, cases)
    length = study.ends.steps.arc.nan_to_num(0.0).amax(dim=1)[rows] + 2 * (1 - scales.log()) / study.ends.value[rows]
    for position, loss in enumerate(LOSSES):
        own = cases.loss == position
        y, starts = cases.y[own], cases.starts[own]
        path = loss_flow(study.network, study.x, y, loss, starts, scales[own], rtol=1e-6, length=length[own], until=[norm_reaches(1.0)])
        left = (path.ended_by == 0).numpy()
        earliest = bounds.earliest_exit(scales[own].log().numpy(), of["beta"][own], of["beta_tilde"][own])
        ratio[own.numpy()] = np.where(left, path.time.numpy() / earliest, np.nan)
    return {"ratio": ratio}


def single_input(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    r"""One unit, one input x and label y: beta is 1, the growth at most y / (1 + y) of what Eq. (23) allows. Nearly tight."""
    network, x = power_net(1, 3, 2), torch.eye(3, dtype=torch.float64)[:1]
    y = torch.full((1,), p.single_label, dtype=torch.float64)
    starts = unit_vectors(context.rng("single"), p.seeds, 3)
    starts[:, 0] = starts[:, 0].abs() + 0.5
    starts = starts / starts.norm(dim=-1, keepdim=True)
    delta = min(p.sweep)
    path = loss_flow(network, x, y, HALF_SUM, starts, delta, rtol=1e-9, until=[norm_reaches(1.0)], keep_steps=True)
    assert path.every_step is not None
    tilde = bounds.beta_tilde(1.0, 1.0, p.single_label)
    time, growth = path.every_step.time[:, 1:].numpy(), path.every_step.log_growth[:, 1:].numpy()
    allowed = bounds.log_growth_bound(time, network.output_bound(x), tilde)
    exit_ratio = path.time.numpy() / bounds.earliest_exit(math.log(delta), 1.0, tilde)
    return {"norm_ratio": growth / allowed, "exit_ratio": exit_ratio}


def blocks(p: Parameters, name: str, study: Study) -> dict[str, np.ndarray]:
    """Corollary 5.4.1: every block at the T at which the last of them is within epsilon of its own end, [S, D, E, H]."""
    network, unit = study.network, UNITS[name]
    count, size, cases = len(network.blocks), unit.size, study.cases
    parts = cases.starts.view(len(cases.starts), count, size)
    norms = parts.norm(dim=-1)
    z = cases.z.repeat_interleave(count, dim=0)
    starts = (parts / norms.unsqueeze(-1)).flatten(0, 1)
    ends = early.reference(unit, study.x, z, starts, smallest_epsilon=min(p.block_epsilons))
    floor = torch.where(ends.branch == early.COLLAPSE, torch.inf, ends.norm_floor).view(norms.shape) * norms
    moments = [ends.at(ends.moment(epsilon))[1].view(norms.shape).amax(dim=1) for epsilon in sorted(p.block_epsilons, reverse=True)]
    times = torch.stack(moments, dim=1)
    deltas = torch.tensor(p.block_deltas, dtype=times.dtype).expand(len(times), -1)
    both = early.shadow(network, study.x, LOSSES, cases, deltas, times, rtol=p.rtol)
    limit = ends.limit.view(len(cases.starts), 1, 1, count, size)
    found = []
    for run in both:
        s = run.s.unflatten(-1, (count, size))
        found.append((s.norm(dim=-1), early.misalignment(s, limit)))
    (norm, apart), (norm_coarse, apart_coarse) = found
    error = (norm - norm_coarse).abs() / norm.clamp_min(1.0) + (apart - apart_coarse).abs()
    return {
        "norm": norm.numpy(),
        "misalignment": apart.numpy(),
        "error": error.numpy(),
        "eta": 0.5 * floor.amin(dim=1).clamp_max(2.0).numpy(),
        "time": times.numpy(),
        "branch": ends.branch.numpy(),
        "residual": ends.residual.numpy(),
        "value": ends.value.numpy(),
    }


def higher(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    r"""Section 5.3: $1-\cos$ of w(T) and w_0 at a fixed T for degrees two, three and four, [seeds, deltas]."""
    arrays, deltas = {}, torch.tensor(p.turning_deltas, dtype=torch.float64)
    x = sphere_inputs(context.rng("higher"), p.samples, 3)
    for name, network in HIGHER.items():
        rng = context.rng("higher", name)
        y = p.label_scale * noisy_teacher_labels(rng, network, x, p.seeds, p.noise).repeat_interleave(len(deltas), dim=0)
        starts = unit_vectors(rng, p.seeds, network.size).repeat_interleave(len(deltas), dim=0)
        scales = deltas.repeat(p.seeds)
        length = p.turning_time * scales ** (network.degree - 2)
        ends = []
        for rtol in (p.rtol * 1e-2, p.rtol):
            path = loss_flow(network, x, y, HALF_SUM, starts, scales, rtol=rtol, length=length, clock="time")
            ends.append(early.misalignment(path.direction, starts).view(p.seeds, -1))
        arrays[name], arrays[f"{name}_error"] = ends[0].numpy(), (ends[0] - ends[1]).abs().numpy()
    return arrays


def controls(p: Parameters, study: Study, wrong: Study, context: Context) -> dict[str, np.ndarray]:
    """The shadow with the NCF of permuted labels, and a network of degree three in the time of degree two."""
    moment = max(p.epsilons)
    deltas = torch.tensor(p.sweep, dtype=torch.float64)
    arrays = {}
    until = wrong.ends.at(wrong.ends.moment(moment))[1]
    run, _ = early.shadow(study.network, study.x, LOSSES, wrong.cases, deltas.expand(len(until), -1), until[:, None], rtol=p.rtol)
    arrays["permuted_deviation"] = run.deviation()[..., -1].numpy()
    cubic, rng = HIGHER["L3"], context.rng("cubic")
    y = noisy_teacher_labels(rng, cubic, study.x, p.seeds, p.noise)
    cases = Cases.of(LOSSES, torch.stack([y, y.sign()]), unit_vectors(rng, p.seeds, cubic.size))
    ends = early.reference(cubic, study.x, cases.z, cases.starts, smallest_epsilon=min(p.epsilons))
    grows = (ends.branch == early.DIRECTION).nonzero()[:, 0]
    until = ends.at(ends.moment(moment))[1][grows]
    scales = deltas.expand(len(grows), -1)
    run, _ = early.shadow(cubic, study.x, LOSSES, cases.take(grows), scales, until[:, None], rtol=p.rtol, degree=2.0)
    arrays["cubic_deviation"] = run.deviation()[..., -1].numpy()
    arrays["cubic_norm"] = run.s.norm(dim=-1)[..., -1].numpy()
    arrays["cubic_misalignment"] = run.misalignment(ends.limit[grows])[..., -1].numpy()
    arrays["cubic_eta"] = 0.5 * ends.norm_floor[grows].numpy()
    return arrays


def cell(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    require_scale([*p.scales, p.large_delta])
    drawn = {name: draw(p, name, context) for name in NETWORKS}
    parts = {
        "hypotheses": {
            "degree_defect": np.array([require_degree(net, x, p.degrees[name]) for name, (net, x, _) in drawn.items()]),
            "signal": np.array([require_signal(net, x, z) for net, x, cases in drawn.values() for z in cases.z]),
        },
        "higher": higher(p, context),
        "single": single_input(p, context),
    }
    for name in context.progress(NETWORKS, what="networks"):
        network, x, cases = drawn[name]
        study = Study.begin(network, x, LOSSES, cases, p.epsilons, p.rtol)
        wrong = Study.begin(network, x, LOSSES, permuted(cases, context), p.epsilons, p.rtol) if name == "SQ" else None
        parts[name] = compare(p, study, wrong)
        if name in GROWING:
            parts[f"escape_{name}"] = study.escapes(p.escape_deltas)
            parts[f"exit_{name}"] = exits(p, study)
        if name in UNITS:
            assert isinstance(network, Separable) or len(network.blocks) > 1
            parts[f"blocks_{name}"], parts[f"curve_{name}"] = blocks(p, name, study), study.curves(p.curve_deltas)
        if wrong is not None:
            parts["control"] = controls(p, study, wrong, context)
    return {f"{part}/{key}": value for part, arrays in parts.items() for key, value in arrays.items()}

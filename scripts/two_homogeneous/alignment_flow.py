"""Early alignment of two-homogeneous networks: w/delta against the NCF flow u (two_homogeneous, Section 5.1).

Every network has inputs of its own; every seed has labels and a start. Both losses and all delta run beside u up to the moments
at which u is within epsilon of its end, then on until the loss has fallen by a hundredth. T is such a moment, so C is
exp(4 beta beta~ T): beyond float64, and kept as a logarithm, as is delta = C^(-1/2).
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field

from flowcheck import geometry
from flowcheck.alignment import reference
from flowcheck.alignment import shadow as early
from flowcheck.alignment.shadow import Cases
from flowcheck.alignment.study import LARGEST_CONDITION, Study
from flowcheck.data.synthetic import gaussian, noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.flows.ending import Ending
from flowcheck.flows.events import loss_ratio_below, norm_reaches
from flowcheck.flows.flow import Save, gradient_flow
from flowcheck.losses import HALF_SUM, LOGISTIC
from flowcheck.measures import readings
from flowcheck.networks.hypotheses import require_degree, require_scale, require_signal
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective
from flowcheck.networks.zoo import power_net, relu_two_trainable, two_layer
from flowcheck.papers.homogeneous import alignment_metrics as measures
from flowcheck.papers.homogeneous.alignment_metrics import Dichotomy
from flowcheck.papers.two_homogeneous import bounds, kink_example
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

LOSSES = (HALF_SUM, LOGISTIC)
GROWING: dict[str, Network] = {
    "SQ": power_net(6, 3, 2),
    "L2": two_layer(3, 3, 0.2),
    "D2": relu_two_trainable((3, 2), 3, (1.0, 1.0)),
}
ENDING: dict[str, Network] = {"collapse": power_net(1, 3, 2, signs=(-1.0,), slope=0.5)}
NETWORKS = GROWING | ENDING
"""That of ENDING has negative outputs and positive labels: u goes to 0."""
UNITS: dict[str, Network] = {"SQ": power_net(1, 3, 2), "L2": two_layer(1, 3, 0.2)}
"""One block of the separable networks."""
HIGHER: dict[str, Network] = {f"L{degree}": power_net(6, 3, degree) for degree in (2, 3, 4)}
RESOLUTION = 1000.0
"""Deviations that enter a slope are at least so many times their own error: a slope over one decade then errs by 0.002."""
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
    large_block_delta: float
    escape_deltas: list[float]
    escape_aligned: float
    control_deltas: list[float] = Field(min_length=3)
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
    """A network, its inputs, and its cases: labels of a noisy teacher for the square loss, their signs for the logistic one.

    Networks with kinks get orthonormal inputs, D2 positive labels too. Then both sides of a kink push the same way, or only one
    pushes at all: flows cross it or stop there, do not slide along it and do not branch.
    """
    rng, network = context.rng(name), NETWORKS[name]
    if name in ("L2", "D2"):
        x = torch.linalg.qr(gaussian(rng, network.inputs, network.inputs))[0]
    else:
        x = sphere_inputs(rng, p.samples, network.inputs)
    if name in ENDING or name == "D2":
        y = 0.5 + gaussian(rng, p.seeds, len(x)).abs()
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
    """Deltas for the slopes, the sweep, a large one, and C^(-1/2) for each epsilon.

    Where u has grown beyond half of the digits of float64, an absolute distance of epsilon cannot be told: not resolved.
    For D2 in units of 1/|u(T)|, and at most a tenth of it: once the loss has fallen, w slides along kinks.
    """
    arrays = study.ending() | constants(study.network, study.x, study.cases)
    log_own = -0.5 * bounds.log_c(arrays["time"], arrays["beta"][:, None], arrays["beta_tilde"][:, None])
    arrays["usable"] = log_own > SMALLEST_LOG
    own = torch.from_numpy(np.exp(np.where(arrays["usable"], log_own, math.log(min(p.sweep)))))
    shared = torch.tensor([*p.fit_deltas, *p.sweep, p.large_delta], dtype=own.dtype).expand(len(own), -1)
    if study.network is GROWING["D2"]:
        largest = torch.from_numpy(arrays["largest_norm"][:, -1:])
        shared, own = (shared / largest).clamp_max(0.1 / largest), own.clamp_max(0.1 / largest)
    deltas = torch.cat([shared, own], dim=1)
    compared = study.compare(deltas, wrong_limit=None if wrong is None else wrong.ends.limit)
    compared["resolved"] &= arrays["largest_norm"] <= LARGEST_CONDITION
    return arrays | compared


def exits(p: Parameters, study: Study) -> dict[str, np.ndarray]:
    r"""When growing flows leave the unit ball, over $\ln\delta^{-2}/(4\beta\tilde\beta)$; NaN where they stay, [R, D]."""
    deltas = torch.tensor(p.escape_deltas, dtype=study.x.dtype)
    rows = (study.ends.branch == Ending.GROWS).nonzero()[:, 0].repeat_interleave(len(deltas))
    cases, scales = study.cases.take(rows), deltas.repeat(len(rows) // len(deltas))
    ratio = np.full(len(rows), np.nan)
    of = constants(study.network, study.x, cases)
    length = study.ends.steps.arc.nan_to_num(0.0).amax(dim=1)[rows] + 2 * (1 - scales.log()) / study.ends.value[rows]
    for position, loss in enumerate(LOSSES):
        own = cases.loss == position
        y, starts = cases.y[own], cases.starts[own]
        until = [norm_reaches(1.0), loss_ratio_below(0.5)]
        path = gradient_flow(
            Objective(study.network, study.x, y, loss), starts, scales[own], rtol=1e-6, length=length[own], until=until
        )
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
    path = gradient_flow(
        Objective(network, x, y, HALF_SUM), starts, delta, rtol=1e-9, until=[norm_reaches(1.0)], save=Save(steps=True)
    )
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
    ends = reference.reference(unit, study.x, z, starts, smallest_epsilon=min(p.block_epsilons))
    floor = torch.where(ends.branch == Ending.VANISHES, torch.inf, ends.norm_floor).view(norms.shape) * norms
    moments = [
        ends.at(ends.moment(epsilon))[1].view(norms.shape).amax(dim=1) for epsilon in sorted(p.block_epsilons, reverse=True)
    ]
    times = torch.stack(moments, dim=1)
    deltas = torch.tensor([*p.block_deltas, p.large_block_delta], dtype=times.dtype).expand(len(times), -1)
    both = early.shadow(network, study.x, LOSSES, cases, deltas, times, rtol=p.rtol)
    limit = ends.limit.view(len(cases.starts), 1, 1, count, size)
    found = []
    for run in both:
        s = run.s.unflatten(-1, (count, size))
        found.append((s.norm(dim=-1), geometry.misalignment(s, limit)))
    (norm, apart), (norm_coarse, apart_coarse) = found
    error = (norm - norm_coarse).abs() / norm.clamp_min(1.0) + (apart - apart_coarse).abs()
    return {
        "norm": norm[:, :-1].numpy(),
        "misalignment": apart[:, :-1].numpy(),
        "error": error[:, :-1].numpy(),
        "large_norm": norm[:, -1].numpy(),
        "large_misalignment": apart[:, -1].numpy(),
        "large_error": error[:, -1].numpy(),
        "start_norm": norms.numpy(),
        "start_misalignment": geometry.misalignment(parts, limit[:, 0, 0]).numpy(),
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
            path = gradient_flow(Objective(network, x, y, HALF_SUM), starts, scales, rtol=rtol, length=length, clock="time")
            ends.append(geometry.misalignment(path.direction, starts).view(p.seeds, -1))
        arrays[name], arrays[f"{name}_error"] = ends[0].numpy(), (ends[0] - ends[1]).abs().numpy()
    return arrays


def controls(p: Parameters, study: Study, wrong: Study, context: Context) -> dict[str, np.ndarray]:
    """The shadow with the NCF of permuted labels, and a network of degree three in the time of degree two.

    The former at most until u has grown to 1 / delta: beyond, w trains, and no claim speaks of it.
    """
    moment = max(p.epsilons)
    deltas = torch.tensor(p.control_deltas, dtype=torch.float64)
    arrays = {}
    on_plateau = wrong.ends.below(-math.log(max(p.control_deltas)))
    until = wrong.ends.at(torch.minimum(wrong.ends.moment(moment), on_plateau))[1]
    run, _ = early.shadow(study.network, study.x, LOSSES, wrong.cases, deltas.expand(len(until), -1), until[:, None], rtol=p.rtol)
    arrays["permuted_deviation"], arrays["permuted_size"] = run.deviation()[..., -1].numpy(), run.u.norm(dim=-1)[:, 0, -1].numpy()
    cubic, rng = HIGHER["L3"], context.rng("cubic")
    y = noisy_teacher_labels(rng, cubic, study.x, p.seeds, p.noise)
    cases = Cases.of(LOSSES, torch.stack([y, y.sign()]), unit_vectors(rng, p.seeds, cubic.size))
    ends = reference.reference(cubic, study.x, cases.z, cases.starts, smallest_epsilon=min(p.epsilons))
    grows = (ends.branch == Ending.GROWS).nonzero()[:, 0]
    until = ends.at(ends.moment(moment))[1][grows]
    scales = deltas.expand(len(grows), -1)
    run, _ = early.shadow(cubic, study.x, LOSSES, cases.take(grows), scales, until[:, None], rtol=p.rtol, degree=2.0)
    arrays["cubic_deviation"], arrays["cubic_size"] = run.deviation()[..., -1].numpy(), run.u.norm(dim=-1)[:, 0, -1].numpy()
    arrays["cubic_norm"] = run.s.norm(dim=-1)[..., -1].numpy()
    arrays["cubic_misalignment"] = run.misalignment(ends.limit[grows])[..., -1].numpy()
    arrays["cubic_eta"] = 0.5 * ends.norm_floor[grows].numpy()
    return arrays


def cell(p: Parameters, context: Context) -> Evidence:
    require_scale([*p.scales, p.large_delta, p.large_block_delta])
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
        if name in UNITS:
            parts[f"escape_{name}"], parts[f"exit_{name}"] = study.escapes(p.escape_deltas), exits(p, study)
            parts[f"blocks_{name}"], parts[f"curve_{name}"] = blocks(p, name, study), study.curves(p.curve_deltas)
        if wrong is not None:
            parts["control"] = controls(p, study, wrong, context)
    return Evidence(arrays={f"{part}/{key}": value for part, arrays in parts.items() for key, value in arrays.items()})


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, parts = Evidence(), measures.parts_of(cells["all"].arrays)
    evidence.measure("degree_defect", parts["hypotheses"]["degree_defect"].max(), error=0.0, n=len(NETWORKS))
    evidence.measure("signal", parts["hypotheses"]["signal"].min(), error=0.0, n=len(parts["hypotheses"]["signal"]))
    evidence.measure("scale_min", min(p.scales), error=0.0)
    evidence.measure("sweep_decades", math.log10(max(p.sweep) / min(p.sweep)), error=1e-12, n=len(p.sweep))
    theorem(p, parts, evidence)
    norms(p, parts, evidence)
    shadows(p, parts, evidence)
    corollary(p, parts, evidence)
    escapes(p, parts, evidence)
    turning(p, parts["higher"], evidence)
    for name in UNITS:
        evidence.arrays |= {f"curve_{name}_{key}": value for key, value in parts[f"curve_{name}"].items()}
    return evidence


def eta_of(arrays: measures.Arrays) -> np.ndarray:
    """1 where u goes to 0, else half of the norm floor of Lemma C.7, at most 1."""
    return np.where(arrays["branch"] == Ending.VANISHES, 1.0, np.minimum(0.5 * arrays["norm_floor"], 1.0))


def largest_epsilon(eta: np.ndarray) -> np.ndarray:
    """Above it the cosine bound is below 0 and says nothing."""
    return 2 * eta / (2 * eta + 3)


def dichotomy(p: Parameters, arrays: measures.Arrays, columns: slice) -> Dichotomy:
    eta = eta_of(arrays)
    return Dichotomy.at(arrays, columns, p.epsilons, eta, largest_epsilon(eta), bounds.dichotomy_margin)


def theorem(p: Parameters, parts: dict[str, measures.Arrays], evidence: Evidence) -> None:
    """The dichotomy over the sweep and at C^(-1/2), and the same gone wrong."""
    resolved = np.concatenate([parts[name]["resolved"].ravel() for name in NETWORKS])
    evidence.measure("cases_unresolved", int((~resolved).sum()), error=0.0, n=len(resolved))
    measures.measure_endings(evidence, [parts[name] for name in NETWORKS])
    measures.measure_sweep(evidence, [dichotomy(p, parts[name], p.swept) for name in NETWORKS])
    own = slice(p.swept.stop + 1, None)
    at_own = [dichotomy(p, parts[name], own).diagonal().where(parts[name]["usable"]) for name in NETWORKS]
    Dichotomy.joined(at_own).measure(evidence, "explicit_")
    large = Dichotomy.joined([dichotomy(p, parts[name], slice(p.swept.stop, p.swept.stop + 1)) for name in UNITS])
    wrong = dichotomy(p, {**parts["SQ"], "misalignment": parts["SQ"]["misalignment_wrong"]}, p.swept)
    large.measure_margin(evidence, "dichotomy_margin_large_delta")
    wrong.close().measure_margin(evidence, "dichotomy_margin_permuted")
    control, epsilon = parts["control"], min(p.epsilons)
    margin = bounds.dichotomy_margin(control["cubic_norm"], control["cubic_misalignment"], control["cubic_eta"][:, None], epsilon)
    evidence.measure("dichotomy_margin_cubic", margin[:, -1].min(initial=np.inf), error=1e-4, n=len(margin))
    waits = torch.from_numpy(kink_example.branch(10.0, np.array([9.0])))
    limit = torch.full((1, 2), math.sqrt(0.5), dtype=waits.dtype)
    apart = geometry.misalignment(waits, limit).numpy()
    margin = bounds.dichotomy_margin(waits.norm(dim=-1).numpy(), apart, 0.5, epsilon)
    evidence.measure("dichotomy_margin_branching", margin[0], error=1e-14)
    evidence.measure("branching_distance", float((waits - limit).norm()), error=1e-14)


def norms(p: Parameters, parts: dict[str, measures.Arrays], evidence: Evidence) -> None:
    """Lemma 5.2, first part: the norm up to every time, the change of the loss's derivative, the time of exit."""
    ratios, errors, changes, degrees = [], [], [], []
    for name in NETWORKS:
        arrays = parts[name]
        time, log_delta = arrays["path_time"], np.log(arrays["deltas"])[:, :, None]
        beta, hat, tilde = (arrays[key][:, None, None] for key in ("beta", "beta_hat", "beta_tilde"))
        allowed = bounds.log_growth_bound(time, beta, tilde)
        inside = (log_delta <= -(1 - 1e-9) * allowed) & (time > 0)
        ratios.append((np.log(arrays["path_norm"]) / allowed)[inside])
        errors.append((arrays["path_norm_error"] / arrays["path_norm"] / allowed)[inside])
        excess = np.log(arrays["path_change"]) - bounds.log_change_bound(time, log_delta, beta, hat, tilde)
        changes.append(excess[inside])
        degrees.append((excess - log_delta)[inside])
    ratio, change = np.concatenate(ratios), np.concatenate(changes)
    evidence.measure("norm_log_ratio_max", ratio.max(), error=np.concatenate(errors)[ratio.argmax()], n=len(ratio))
    evidence.measure("change_log_excess_max", change.max(), error=1e-4, n=len(change))
    evidence.measure("change_log_excess_degree_above", np.concatenate(degrees).max(), error=1e-4, n=len(change))
    left = np.concatenate([parts[f"exit_{name}"]["ratio"] for name in UNITS])
    left = left[np.isfinite(left)]
    evidence.measure("exit_time_ratio_min", left.min(), error=1e-4 * left.min(), n=len(left))
    tight, exit_ratio = parts["single"]["norm_ratio"], parts["single"]["exit_ratio"]
    tight = tight[np.isfinite(tight)]
    for suffix, factor in (("", 1.0), ("_half_beta_tilde", 2.0)):
        evidence.measure(f"norm_log_ratio_single{suffix}", factor * tight.max(), error=1e-6, n=p.seeds)
        evidence.measure(f"exit_time_ratio_single{suffix}", exit_ratio.min() / factor, error=1e-6, n=p.seeds)


def shadows(p: Parameters, parts: dict[str, measures.Arrays], evidence: Evidence) -> None:
    """Lemma 5.2, second part: slopes of the deviation on delta."""
    columns, kept = slice(0, len(p.fit_deltas)), []
    for name in GROWING:
        for loss, label in ((0, ""), (1, "_logistic")):
            rows = (parts[name]["branch"] == Ending.GROWS) & (parts[name]["loss"] == loss)
            measures.measure_deviation_rate(evidence, f"shadowing_slope_{name}{label}", parts[name], rows, columns, RESOLUTION)
        rows = (parts[name]["branch"] == Ending.GROWS) & parts[name]["resolved"][:, 0]
        arrays = parts[name]
        taken = [arrays[key][rows, columns] for key in ("deltas", "deviation", "deviation_error")]
        kept.append([taken[0], taken[1][..., 0], taken[2][..., 0], arrays["largest_norm"][rows, 0]])
    pooled = measures.deviation_rate(*(np.concatenate(each) for each in zip(*kept, strict=True)), RESOLUTION)
    evidence.record("shadowing_slope", pooled)
    for name in ("permuted", "cubic"):
        deviation = parts["control"][f"{name}_deviation"]
        x = np.broadcast_to(np.log(np.array(p.control_deltas)), deviation.shape)
        found = readings.rate(x, np.log(deviation), np.full(x.shape, 1e-4), x < 0)
        evidence.record(f"shadowing_slope_{name}", found)
        evidence.measure(f"deviation_{name}_min", deviation[:, -1].min(), error=1e-4, n=len(deviation))
        evidence.arrays |= {f"{name}_{key}": parts["control"][f"{name}_{key}"] for key in ("deviation", "size")}
    evidence.arrays |= {"control_deltas": np.array(p.control_deltas), "fit_deltas": np.array(p.fit_deltas)}


def corollary(p: Parameters, parts: dict[str, measures.Arrays], evidence: Evidence) -> None:
    """Corollary 5.4.1: the smallest margin of any block, from the first delta on from which all blocks of a case have one."""
    epsilon = np.array(sorted(p.block_epsilons, reverse=True))
    margins, errors, missing, cases, residuals, values = [], [], 0, 0, [], []
    at_start, at_large, large_error = [], [], []
    for name in UNITS:
        arrays = parts[f"blocks_{name}"]
        eta = arrays["eta"][:, None, None, None]
        margin = bounds.dichotomy_margin(arrays["norm"], arrays["misalignment"], eta, epsilon[:, None])
        valid = np.broadcast_to((epsilon < largest_epsilon(arrays["eta"])[:, None])[:, None], margin.shape[:3])
        holds = measures.from_here_on((margin >= 0).all(axis=-1))
        used = valid & holds
        missing += int((valid[:, 0] & ~used.any(axis=1)).sum())
        cases += int(valid[:, 0].sum())
        margins.append(margin[used].ravel())
        errors.append(arrays["error"][used].ravel())
        start = [arrays[f"start_{key}"][:, None] for key in ("norm", "misalignment")]
        before = bounds.dichotomy_margin(*start, eta[:, 0], epsilon[:, None]).min(axis=-1)
        at_start.append(before[valid[:, -1]])
        large = bounds.dichotomy_margin(arrays["large_norm"], arrays["large_misalignment"], eta[:, 0], epsilon[:, None])
        at_large.append(large.min(axis=-1)[valid[:, -1]])
        large_error.append(arrays["large_error"].max(axis=-1)[valid[:, -1]])
        residuals.append(arrays["residual"])
        values.append(arrays["value"][arrays["branch"] != Ending.VANISHES])
        ending = np.bincount(arrays["branch"], minlength=3)
        evidence.measure(f"blocks_direction_{name}", int(ending[Ending.GROWS]), error=0.0, n=int(ending.sum()))
        evidence.measure(f"blocks_elsewhere_{name}", int(ending.sum() - ending[Ending.GROWS]), error=0.0, n=int(ending.sum()))
    before = np.concatenate(at_start)
    evidence.measure("block_margin_start", before.min(initial=np.inf), error=1e-12, n=len(before))
    for name, parts_of, errors_of in (("min", margins, errors), ("large_delta", at_large, large_error)):
        joined = np.concatenate(parts_of)
        evidence.record(f"block_margin_{name}", readings.smallest(joined, np.concatenate(errors_of)))
    evidence.measure("block_cases_without_delta_bar", missing, error=0.0, n=cases)
    evidence.measure("block_residual_max", np.concatenate(residuals).max(), error=1e-12, n=len(np.concatenate(residuals)))
    evidence.measure("block_value_min", np.concatenate(values).min(), error=1e-12, n=len(np.concatenate(values)))


def escapes(p: Parameters, parts: dict[str, measures.Arrays], evidence: Evidence) -> None:
    r"""Escape times $2\mathcal N(u_*)t$ against $\ln(1/\delta)$ once w is aligned at escape; the cost of the flow."""
    found = {name: parts[f"escape_{name}"] for name in UNITS}
    log_time, growth, kept = np.log(1 / np.array(p.escape_deltas)), [], []
    for name, arrays in found.items():
        scaled = 2 * arrays["value"][:, None] * arrays["time"]
        error = 2 * arrays["value"][:, None] * arrays["time_error"]
        use = np.isfinite(scaled) & (arrays["misalignment"] <= p.escape_aligned)
        kept.append([scaled, error, use])
        growth.append(arrays["time"][:, p.escape_deltas.index(1e-6)] / arrays["time"][:, p.escape_deltas.index(1e-2)])
        evidence.arrays |= {f"{name}_escape_time": scaled, f"{name}_escape_misalignment": arrays["misalignment"]}
    scaled, error, use = (np.concatenate(each) for each in zip(*kept, strict=True))
    x = np.broadcast_to(log_time, scaled.shape)
    evidence.record("escape_time_slope_L2", readings.rate(x, scaled, error, use))
    every = readings.rate(x, scaled, error, np.isfinite(scaled))
    evidence.record("escape_time_slope_any_alignment", every)
    halved = readings.rate(x, 0.5 * scaled, error, use)
    evidence.record("escape_time_slope_degree_one", halved)
    evidence.measure("escapes_missing", int(np.isnan(scaled).sum()), error=0.0, n=scaled.size)
    evidence.arrays["escape_deltas"] = np.array(p.escape_deltas)
    measures.measure_evaluations(evidence, list(found.values()), p.escape_deltas)
    ratio = np.concatenate(growth)
    evidence.measure("euler_growth_median", np.median(ratio), error=1e-4, n=len(ratio))


def turning(p: Parameters, arrays: measures.Arrays, evidence: Evidence) -> None:
    r"""Section 5.3: slopes of $1-\cos$ on delta for degrees two, three and four."""
    x = np.broadcast_to(np.log(np.array(p.turning_deltas)), arrays["L2"].shape)
    for name in HIGHER:
        turned, error = arrays[name], arrays[f"{name}_error"]
        found = readings.rate(
            x, np.log(turned), np.maximum(error / turned, 1e-6), (x <= math.log(1e-2)) & (turned >= 100 * error)
        )
        evidence.record(f"turning_slope_{name}", found)
        evidence.arrays[f"{name}_turned"] = turned
        evidence.measure(f"turned_{name}", np.median(turned[:, -1]), error=float(error[:, -1].max()), n=len(turned))
    evidence.arrays["turning_deltas"] = np.array(p.turning_deltas)


if __name__ == "__main__":
    main(Parameters, cell, gather)

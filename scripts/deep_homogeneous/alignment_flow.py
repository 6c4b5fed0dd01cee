"""Early alignment of deep homogeneous networks: w/delta against the NCF flow u (deep_homogeneous, Theorem 5.1).

Every network has inputs of its own; every seed has labels and a start. Both losses and all delta run beside u up to the moments
at which u is within epsilon of its end, then on until the loss has fallen by a hundredth. Equations (8) and (50) are checked on
the flow as it stands, in plain time.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field

from flowcheck.alignment import reference
from flowcheck.alignment import shadow as early
from flowcheck.alignment.shadow import Cases
from flowcheck.alignment.study import Study
from flowcheck.data.synthetic import gaussian, half_space_inputs, noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.flows.ending import Ending
from flowcheck.flows.events import Event
from flowcheck.flows.flow import gradient_flow
from flowcheck.losses import HALF_SUM, LOGISTIC_DOUBLED
from flowcheck.measures import readings
from flowcheck.networks.hypotheses import require_degree, require_scale, require_signal
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective
from flowcheck.networks.sums import Mixture
from flowcheck.networks.zoo import deep_linear, power_net, squared_relu
from flowcheck.papers.deep_homogeneous import bounds
from flowcheck.papers.deep_homogeneous.rescaling import descend, plain_flow
from flowcheck.papers.homogeneous import alignment_metrics as measures
from flowcheck.papers.homogeneous.alignment_metrics import Dichotomy
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

LOSSES = (HALF_SUM, LOGISTIC_DOUBLED)
POWERS: dict[str, Network] = {f"L{degree}": power_net(4, 3, degree) for degree in (3, 4, 5, 7)}
GROWING: dict[str, Network] = POWERS | {"squared_relu": squared_relu((4, 4), 3), "linear": deep_linear((4, 4), 3)}
ENDING: dict[str, Network] = {"collapse": power_net(2, 3, 4, slope=1.0), "rest": power_net(2, 3, 4)}
NETWORKS = GROWING | ENDING
"""Those of ENDING have positive outputs and negative labels: u goes to 0, or comes to rest where no unit is active."""
SMALLEST_LOG = -650.0
"""Of delta^L in float64; where the explicit delta of Eq. (45) lies below, it is not run."""


class Parameters(ParametersModel):
    degrees: dict[str, float]
    seeds: int = Field(ge=3)
    samples: int = Field(ge=4)
    noise: float = Field(ge=0)
    epsilons: list[float]
    sweep: list[float]
    large_delta: float
    fit_decades: int = Field(ge=4)
    escape_deltas: list[float]
    curve_deltas: list[float]
    rescaled_deltas: list[float]
    descent_steps: int
    rtol: float = Field(gt=0)

    @property
    def swept(self) -> slice:
        """Columns of the sweep; those for the slopes come before it, the large delta and Eq. (45) after it."""
        return slice(self.fit_decades, self.fit_decades + len(self.sweep))


def draw(p: Parameters, name: str, context: Context) -> tuple[Network, torch.Tensor, Cases]:
    """A network, its inputs, and its cases: labels of a noisy teacher for the square loss, their signs for the logistic one."""
    rng, network = context.rng(name), NETWORKS[name]
    x = (half_space_inputs if name == "rest" else sphere_inputs)(rng, p.samples, network.inputs)
    if name in ENDING:
        y = -0.5 - gaussian(rng, p.seeds, p.samples).abs()
    else:
        y = noisy_teacher_labels(rng, network, x, p.seeds, p.noise)
    return network, x, Cases.of(LOSSES, torch.stack([y, y.sign()]), unit_vectors(rng, p.seeds, network.size))


def permuted(cases: Cases, context: Context) -> Cases:
    """The vector of the NCF belongs to other samples; labels and starts stay."""
    order = torch.from_numpy(context.rng("permutation").permutation(cases.z.shape[1]))
    return dataclasses.replace(cases, z=cases.z[:, order])


def compare(p: Parameters, name: str, study: Study, wrong: Study | None) -> dict[str, np.ndarray]:
    """Deltas for the slopes, the sweep, a large one, and that of Eq. (45) for each epsilon."""
    arrays = study.ending() | constants(study)
    degree = study.network.degree
    arrays["usable"] = degree * arrays["log_delta_bar"] > SMALLEST_LOG
    own = torch.from_numpy(np.exp(np.where(arrays["usable"], arrays["log_delta_bar"], math.log(min(p.sweep)))))
    for_slopes = [10 ** (-(m + 1) / degree) for m in range(p.fit_decades)]
    shared = torch.tensor([*for_slopes, *p.sweep, p.large_delta], dtype=own.dtype)
    deltas = torch.cat([shared.expand(len(own), -1), own], dim=1)
    return arrays | study.compare(deltas, wrong_limit=None if wrong is None else wrong.ends.limit)


def constants(study: Study) -> dict[str, np.ndarray]:
    """[S, E]: the constants of Eq. (44) to (46) and ln of the explicit delta; NaN where the network has no closed bounds."""
    network, x, ending = study.network, study.x, study.ending()
    epsilon, size = np.array(study.epsilons), study.cases.y.norm(dim=-1).numpy()[:, None]
    radius, alpha, beta, slope = (
        ending["largest_norm"] + epsilon,
        *(
            math.nan if bound is None else bound
            for bound in (network.jacobian_bound(x), network.output_bound(x), network.jacobian_lipschitz_bound(x, 1.0))
        ),
    )
    lipschitz = slope * radius ** (network.degree - 2)
    change = bounds.log_change_constant(beta, radius, network.degree, size)
    common = (epsilon, ending["time"], radius, network.degree, alpha, lipschitz, size, change)
    return {
        "radius": radius,
        "label_norm": size,
        "beta": np.array(beta),
        "log_delta_bar": bounds.log_delta_bar(*common),
        "log_gronwall": bounds.log_gronwall_bound(*common, log_delta=0.0),
    }


def controls(p: Parameters, study: Study, wrong: Study) -> dict[str, np.ndarray]:
    """Degree 3 with one thing wrong at a time: the vector z, the time scale, homogeneity, a time after the blow-up."""
    ends, moment = study.ends, study.ends.moment(max(p.epsilons))
    time, short = ends.at(moment)[1], math.log(1.5) / (3 * ends.value)
    mixture = Mixture("degrees three and four", ((1.0, study.network), (0.5, NETWORKS["L4"])), 3.0)
    deltas = torch.tensor(p.sweep, dtype=torch.float64).expand(len(time), -1)
    arrays = {}
    for name, network, cases, until, degree in (
        ("permuted", study.network, wrong.cases, wrong.ends.before(0.5 * time), 3.0),
        ("unscaled", study.network, study.cases, time, 2.0),
        ("mixture", mixture, study.cases, short, 3.0),
    ):
        run, _ = early.shadow(network, study.x, LOSSES, cases, deltas, until[:, None], rtol=p.rtol, degree=degree)
        arrays[f"{name}_deviation"] = run.deviation()[..., -1].numpy()
    radius = ends.largest_norm(moment) + max(p.epsilons)
    rows = torch.tensor([row for row in study.growing().tolist() if float(radius[row]) * min(p.sweep) <= 1e-3])
    bound = radius[rows].log()
    until = Event("ten times the bound", lambda now: now.log_growth - bound[now.index] - math.log(10.0))
    y, starts = study.cases.y[rows], study.cases.starts[rows]
    late = gradient_flow(Objective(study.network, study.x, y, HALF_SUM), starts, min(p.sweep), rtol=1e-6, until=[until])
    in_time = late.time <= 2 * ends.blow_up[rows]
    return arrays | {"late_norm_ratio": torch.where(in_time, (late.log_growth - bound).exp(), 0.0).numpy()}


def rescaling(p: Parameters, name: str, study: Study) -> dict[str, np.ndarray]:
    """Equations (8) and (50): w in plain time against s, both losses; gradient descent on w against that on s."""
    network, x = study.network, study.x
    rows = (study.ends.branch == Ending.GROWS).nonzero()[:, 0].repeat_interleave(len(p.rescaled_deltas))
    cases, time = study.cases.take(rows), 0.7 * study.ends.blow_up[rows]
    deltas = torch.tensor(p.rescaled_deltas, dtype=x.dtype).repeat(len(rows) // len(p.rescaled_deltas))
    s = torch.empty_like(cases.starts)
    for position, loss in enumerate(LOSSES):
        of = cases.loss == position
        start, length = cases.starts[of], time[of]
        path = gradient_flow(Objective(network, x, cases.y[of], loss), start, deltas[of], rtol=1e-10, length=length, clock="time")
        s[of] = path.weights_over_delta()
    arrays = {"loss": cases.loss.numpy()}
    for key, power in (("flow", network.degree - 2), ("flow_degree_below", network.degree - 3)):
        w = plain_flow(network, x, LOSSES, cases, deltas, time * deltas**-power, rtol=1e-10)
        arrays[key] = relative_gap(w, s)

    steps = 0.5 * time * deltas ** (2 - network.degree) / p.descent_steps
    mixture = Mixture("with degree five", ((1.0, network), (0.5, NETWORKS["L5"])), network.degree) if name in POWERS else network
    for key, there, factor in (("descent", network, 1.0), ("descent_degree_above", network, deltas), ("mixture", mixture, 1.0)):
        plain = descend(there, x, LOSSES, cases, deltas, steps, p.descent_steps, rescaled=False)
        rescaled = descend(there, x, LOSSES, cases, deltas, factor * steps, p.descent_steps, rescaled=True)
        arrays[key] = relative_gap(plain, rescaled)
    return arrays


def relative_gap(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    return ((a - b).norm(dim=-1) / b.norm(dim=-1)).numpy()


def gradient_norms(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """Norm of the loss's gradient at delta w_0 for each power, and for degrees two and three together, [seeds, deltas]."""
    deltas = torch.tensor(p.sweep, dtype=torch.float64)
    arrays = {}
    for name in (*POWERS, "mixture"):
        network, x, cases = draw(p, "L3" if name == "mixture" else name, context)
        if name == "mixture":
            network = Mixture("degrees two and three", ((1.0, network), (1.0, power_net(4, 3, 2.0))), 3.0)
        w = (deltas[:, None] * cases.starts[: p.seeds, None]).flatten(0, 1)
        residual = HALF_SUM.residual(network.forward(w, x), cases.y[: p.seeds].repeat_interleave(len(deltas), dim=0))
        arrays[name] = network.pull(w, x, residual).norm(dim=-1).view(p.seeds, -1).numpy()
    return arrays


def cell(p: Parameters, context: Context) -> Evidence:
    require_scale([*p.sweep, *p.escape_deltas, *p.curve_deltas, *p.rescaled_deltas, p.large_delta])
    drawn = {name: draw(p, name, context) for name in NETWORKS}
    parts = {
        "hypotheses": {
            "degree_defect": np.array([require_degree(net, x, p.degrees[name]) for name, (net, x, _) in drawn.items()]),
            "signal": np.array([require_signal(net, x, z) for net, x, cases in drawn.values() for z in cases.z]),
        },
        "gradient": gradient_norms(p, context),
    }
    for name in context.progress(NETWORKS, what="networks"):
        network, x, cases = drawn[name]
        study = Study.begin(network, x, LOSSES, cases, p.epsilons, p.rtol)
        wrong = Study.begin(network, x, LOSSES, permuted(cases, context), p.epsilons, p.rtol) if name == "L3" else None
        parts[name] = compare(p, name, study, wrong)
        if name in POWERS:
            parts[f"escape_{name}"] = study.escapes(p.escape_deltas)
        if name in ("linear", "L4"):
            parts[f"rescaling_{name}"] = rescaling(p, name, study)
        if wrong is not None:
            parts["control"], parts["curve"] = controls(p, study, wrong), study.curves(p.curve_deltas)
    return Evidence(arrays={f"{part}/{key}": value for part, arrays in parts.items() for key, value in arrays.items()})


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, parts = Evidence(), measures.parts_of(cells["all"].arrays)
    evidence.measure("degree_defect", parts["hypotheses"]["degree_defect"].max(), error=0.0, n=len(NETWORKS))
    evidence.measure("signal", parts["hypotheses"]["signal"].min(), error=0.0, n=len(parts["hypotheses"]["signal"]))
    evidence.measure("scale_min", min(p.sweep), error=0.0)
    evidence.measure("sweep_decades", math.log10(max(p.sweep) / min(p.sweep)), error=1e-12, n=len(p.sweep))
    theorem(p, parts, evidence)
    explicit(p, parts, evidence)
    rates(p, parts, evidence)
    identities(p, parts, evidence)
    evidence.arrays |= {f"curve_{key}": value for key, value in parts["curve"].items()}
    return evidence


def dichotomy(p: Parameters, arrays: measures.Arrays, columns: slice) -> Dichotomy:
    """Theorem 5.1 with eta = 2 where u goes to 0, else at most 1, for epsilon < eta / 2."""
    eta = np.where(arrays["branch"] == Ending.VANISHES, 2.0, np.minimum(arrays["norm_floor"], 1.0))
    return Dichotomy.at(arrays, columns, p.epsilons, eta, eta / 2, bounds.dichotomy_margin)


def theorem(p: Parameters, parts: dict[str, measures.Arrays], evidence: Evidence) -> None:
    """Norm bound and dichotomy over the sweep, and the same gone wrong."""
    measures.measure_endings(evidence, [parts[name] for name in NETWORKS])
    measures.measure_sweep(evidence, [dichotomy(p, parts[name], p.swept) for name in NETWORKS])
    large = Dichotomy.joined([dichotomy(p, parts[name], slice(p.swept.stop, p.swept.stop + 1)) for name in GROWING])
    wrong = dichotomy(p, {**parts["L3"], "misalignment": parts["L3"]["misalignment_wrong"]}, p.swept)
    large.measure_margin(evidence, "dichotomy_margin_large_delta")
    wrong.close().measure_margin(evidence, "dichotomy_margin_permuted")
    late = parts["control"]["late_norm_ratio"]
    evidence.measure("late_norm_ratio_min", late.min(), error=1e-4, n=len(late))
    falling, epsilon = parts["collapse"], np.array(p.epsilons)
    largest = falling["excess"][:, p.swept] + 1.0
    error = falling["excess_error"][:, p.swept].max()
    evidence.measure("collapse_norm_ratio_max", (largest / (1 + epsilon)).max(), error=error, n=largest.size)
    evidence.measure("collapse_norm_ratio_printed_max", (largest / (2 * epsilon)).max(), error=100 * error, n=largest.size)


def explicit(p: Parameters, parts: dict[str, measures.Arrays], evidence: Evidence) -> None:
    """The delta of Eq. (45) itself; on the way to it Eq. (52) and the bound from Gronwall's inequality."""
    at_bar, excesses, changes, change_errors = [], [], [], []
    for name, network in NETWORKS.items():
        arrays, log_delta = parts[name], np.log(parts[name]["deltas"][:, p.swept])
        at_bar.append(dichotomy(p, arrays, slice(p.swept.stop + 1, None)).diagonal().where(arrays["usable"]))
        close = dichotomy(p, arrays, p.swept).close().valid
        deviation, error = (arrays[key][:, p.swept] for key in ("deviation", "deviation_error"))
        bound = arrays["log_gronwall"][:, None] + network.degree * log_delta[:, :, None]
        measured = close & (deviation >= 100 * error) & (deviation > 0) & np.isfinite(bound)
        excesses.append((2 * np.log(np.where(deviation > 0, deviation, 1.0)) - bound)[measured])
        logistic = arrays["loss"][:, None] == 1
        radius, size = arrays["radius"][:, -1:], arrays["label_norm"]
        allowed = bounds.log_change_bound(arrays["beta"], radius, network.degree, size, logistic=logistic)
        change, move = (arrays[f"path_change{suffix}"][:, p.swept] for suffix in ("", "_error"))
        most = np.exp(allowed + network.degree * log_delta)[:, :, None]
        for found, ratio in ((changes, change / most), (change_errors, move / most)):
            found.append([each[close[..., -1]].ravel() for each in (ratio, ratio / np.exp(log_delta)[:, :, None])])
    Dichotomy.joined(at_bar).measure(evidence, "explicit_")
    large = Dichotomy.joined([dichotomy(p, parts[name], slice(p.swept.stop, p.swept.stop + 1)) for name in POWERS])
    evidence.record("deviation_ratio_large_delta", readings.smallest(large.deviation, large.deviation_error, large.valid))
    excess = np.concatenate(excesses)
    evidence.record("gronwall_log_excess_max", readings.largest(excess, 0.02, np.isfinite(excess)))
    for k, name in enumerate(("change_ratio_max", "change_ratio_degree_above")):
        every, errors = (np.concatenate([each[k] for each in found]) for found in (changes, change_errors))
        evidence.record(name, readings.largest(every, errors, np.isfinite(every)))


def rates(p: Parameters, parts: dict[str, measures.Arrays], evidence: Evidence) -> None:
    """Slopes: of the deviation, of the escape time, of both where something is wrong; the cost of the flow."""
    for name in GROWING:
        for loss, label in ((0, "deviation_slope_"), (1, "deviation_slope_logistic_")):
            rows = (parts[name]["branch"] == Ending.GROWS) & (parts[name]["loss"] == loss)
            measures.measure_deviation_rate(evidence, f"{label}{name}", parts[name], rows, slice(0, p.fit_decades))
    for name in ("permuted", "unscaled", "mixture"):
        deviation = parts["control"][f"{name}_deviation"]
        x = np.broadcast_to(np.log(np.array(p.sweep)), deviation.shape)
        found = readings.rate(x, np.log(deviation), np.full(x.shape, 1e-4), x < 0)
        evidence.record(f"deviation_slope_{name}", found)

    escapes = {name: parts[f"escape_{name}"] for name in POWERS}
    gaps, errors = [], []
    for name, arrays in escapes.items():
        x = np.broadcast_to(np.log(np.array(p.escape_deltas)), arrays["time"].shape)
        log_time = np.log(arrays["time"]) - (POWERS[name].degree - 2) * x
        use = np.isfinite(log_time) & (x <= math.log(1e-2))
        found = readings.rate(x, log_time, arrays["time_error"] / arrays["time"], use)
        evidence.record(f"escape_time_slope_{name}", found)
        gaps.append(np.abs(arrays["time"][:, -1] / arrays["blow_up"] - 1))
        errors.append(arrays["time_error"][:, -1] / arrays["blow_up"] + reference.REFERENCE_RTOL)
        evidence.arrays |= {f"{name}_escape_log_time": log_time, f"{name}_escape_misalignment": arrays["misalignment"]}
    evidence.arrays["escape_deltas"] = np.array(p.escape_deltas)
    missing = sum(int(np.isnan(arrays["time"]).sum()) for arrays in escapes.values())
    evidence.measure("escapes_missing", missing, error=0.0, n=sum(arrays["time"].size for arrays in escapes.values()))
    gap, error = np.concatenate(gaps), np.concatenate(errors)
    evidence.measure("escape_time_gap_max", gap.max(), error=error.max(), n=len(gap))
    measures.measure_evaluations(evidence, list(escapes.values()), p.escape_deltas)
    log_time = evidence.arrays["L4_escape_log_time"]
    growth = np.exp(log_time[:, p.escape_deltas.index(1e-6)] - log_time[:, p.escape_deltas.index(1e-2)])
    evidence.measure("euler_growth_L4", growth.min(), error=1e-4 * growth.min(), n=len(growth))


def identities(p: Parameters, parts: dict[str, measures.Arrays], evidence: Evidence) -> None:
    """Gaps of identities are their own errors: the true value is 0. Slopes of the gradient at the start."""
    found = [parts["rescaling_linear"], parts["rescaling_L4"]]
    for loss, label in enumerate(("square", "logistic")):
        for kind in ("flow", "descent"):
            gaps = np.concatenate([arrays[kind][arrays["loss"] == loss] for arrays in found])
            evidence.measure(f"{kind}_rescaling_gap_{label}", gaps.max(), error=gaps.max(), n=len(gaps))
    for key in ("flow_degree_below", "descent_degree_above"):
        gaps = np.concatenate([arrays[key] for arrays in found])
        evidence.measure(f"rescaling_gap_{key}", gaps.min(), error=1e-6, n=len(gaps))
    gaps = parts["rescaling_L4"]["mixture"]
    evidence.measure("rescaling_gap_mixture", np.median(gaps), error=1e-6, n=len(gaps))
    slopes = {}
    for name, norms in parts["gradient"].items():
        x = np.broadcast_to(np.log(np.array(p.sweep)), norms.shape)
        slopes[name] = readings.rate(x, np.log(norms), np.full(x.shape, 1e-12), x <= math.log(1e-2))
    gap = max(abs(slopes[name].value - (network.degree - 1)) for name, network in POWERS.items())
    evidence.measure("gradient_slope_gap_max", gap, error=1e-9, n=sum(found.n or 0 for found in slopes.values()))
    evidence.measure("gradient_slope_gap_mixture", abs(slopes["mixture"].value - 2), error=1e-9, n=slopes["mixture"].n)


if __name__ == "__main__":
    main(Parameters, cell, gather)

"""Early alignment of deep homogeneous networks: w/delta against the NCF flow u (deep_homogeneous, Theorem 5.1).

Every network has inputs of its own; every seed has labels and a start. Both losses and all delta run beside u up to the moments
at which u is within epsilon of its end, then on until the loss has fallen by a hundredth. Equations (8) and (50) are checked on
the flow as it stands, in plain time.
"""

import dataclasses
import math

import numpy as np
import torch
from pydantic import Field

from flowcheck import early_alignment as early
from flowcheck.bounds import deep_homogeneous as bounds
from flowcheck.data import gaussian, half_space_inputs, noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.evidence import Evidence
from flowcheck.experiment import Context, ParametersModel, main
from flowcheck.flow import growth_reaches, loss_flow, loss_ratio_below
from flowcheck.hypotheses import require_degree, require_scale, require_signal
from flowcheck.losses import HALF_SUM, LOGISTIC_DOUBLED
from flowcheck.networks import Mixture, Network, deep_linear, power_net, squared_relu

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


def draw(p: Parameters, name: str, context: Context) -> tuple[torch.Tensor, early.Cases]:
    """Inputs of a network, and its cases: labels of a noisy teacher for the square loss, their signs for the logistic one."""
    rng, network = context.rng(name), NETWORKS[name]
    x = (half_space_inputs if name == "rest" else sphere_inputs)(rng, p.samples, network.inputs)
    if name in ENDING:
        y = -0.5 - gaussian(rng, p.seeds, p.samples).abs()
    else:
        y = noisy_teacher_labels(rng, network, x, p.seeds, p.noise)
    return x, early.Cases.of(LOSSES, torch.stack([y, y.sign()]), unit_vectors(rng, p.seeds, network.size))


def compare(p: Parameters, name: str, context: Context) -> dict[str, np.ndarray]:
    """One network beside its NCF flows, for every delta and epsilon, and at the explicit delta of Eq. (45); then its escapes."""
    network, (x, cases) = NETWORKS[name], draw(p, name, context)
    ends = early.reference(network, x, cases.z, cases.starts, smallest_epsilon=min(p.epsilons))
    explicit = constants(p, network, x, cases, ends)
    usable = network.degree * explicit["log_delta_bar"] > SMALLEST_LOG
    own = torch.from_numpy(np.exp(np.where(usable, explicit["log_delta_bar"], math.log(min(p.sweep)))))
    shared = torch.tensor([*fit_deltas(p, network.degree), *p.sweep, p.large_delta], dtype=x.dtype)
    deltas = torch.cat([shared.expand(len(own), -1), own], dim=1)
    wrong = wrong_ends(network, x, permuted(cases, context), p).limit if name == "L3" else None
    arrays = early.compare(network, x, LOSSES, cases, ends, p.epsilons, deltas, rtol=p.rtol, wrong_limit=wrong)
    if name in POWERS:
        rows = ((cases.loss == 0) & (ends.branch == early.DIRECTION)).nonzero()[:, 0]
        left = early.escape(network, x, HALF_SUM, cases, ends, rows, torch.tensor(p.escape_deltas, dtype=x.dtype), rtol=p.rtol)
        arrays |= {f"escape_{key}": value.numpy() for key, value in vars(left).items()} | {"escape_rows": rows.numpy()}
    return arrays | ending(ends) | explicit | {"usable": usable, "deltas": deltas.numpy(), "loss": cases.loss.numpy()}


def ending(ends: early.Reference) -> dict[str, np.ndarray]:
    return {key: getattr(ends, key).numpy() for key in ("branch", "value", "residual", "norm_floor", "blow_up")}


def fit_deltas(p: Parameters, degree: float) -> list[float]:
    """Scales at which delta^L falls by a decade each: the deviation follows it, whatever L."""
    return [10 ** (-(m + 1) / degree) for m in range(p.fit_decades)]


def constants(
    p: Parameters, network: Network, x: torch.Tensor, cases: early.Cases, ends: early.Reference
) -> dict[str, np.ndarray]:
    """[S, E]: the constants of Eq. (44) to (46) and ln of the explicit delta; NaN where the network has no closed bounds."""
    alpha, beta, size = network.jacobian_bound(x), network.output_bound(x), cases.y.norm(dim=-1).numpy()
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("radius", "lipschitz", "log_delta_bar")}
    for epsilon in p.epsilons:
        moment = ends.moment(epsilon)
        radius, time = ends.largest_norm(moment).numpy() + epsilon, ends.at(moment)[1].numpy()
        try:
            lipschitz = network.jacobian_lipschitz_bound(x, 1.0) * radius ** (network.degree - 2)
        except ValueError:
            lipschitz = np.full_like(radius, np.nan)
        change = bounds.log_change_constant(beta, radius, network.degree, size)
        log_delta = bounds.log_delta_bar(epsilon, time, radius, network.degree, alpha, lipschitz, size, change)
        for name, value in (("radius", radius), ("lipschitz", lipschitz), ("log_delta_bar", log_delta)):
            found[name].append(value)
    arrays = {name: np.stack(values, axis=1) for name, values in found.items()}
    return arrays | {"alpha": np.array(alpha), "beta": np.array(beta), "label_norm": size}


def controls(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """Degree 3 with one thing wrong at a time: the vector z, the time scale, homogeneity, a time after the blow-up."""
    network, (x, cases) = NETWORKS["L3"], draw(p, "L3", context)
    deltas = torch.tensor(p.sweep, dtype=x.dtype).expand(len(cases.starts), -1)
    ends = early.reference(network, x, cases.z, cases.starts, smallest_epsilon=min(p.epsilons))
    moment = ends.moment(max(p.epsilons))
    time = ends.at(moment)[1]
    wrong = permuted(cases, context)
    mixture = Mixture("degrees three and four", ((1.0, network), (0.5, NETWORKS["L4"])), 3.0)
    growth = math.log(1.5) / (3 * ends.value)
    arrays = {}
    for name, network_there, cases_there, until, degree in (
        ("permuted", network, wrong, wrong_ends(network, x, wrong, p).before(0.5 * time), 3.0),
        ("unscaled", network, cases, time, 2.0),
        ("mixture", mixture, cases, growth, 3.0),
    ):
        run, _ = early.shadow(network_there, x, LOSSES, cases_there, deltas, until[:, None], rtol=p.rtol, degree=degree)
        arrays[f"{name}_deviation"] = run.deviation()[..., -1].numpy()

    growing = ((cases.loss == 0) & (ends.branch == early.DIRECTION)).nonzero()[:, 0]
    radius = ends.largest_norm(moment)[growing] + max(p.epsilons)
    late = loss_flow(
        network,
        x,
        cases.y[growing],
        HALF_SUM,
        cases.starts[growing],
        min(p.sweep),
        rtol=1e-6,
        until=[growth_reaches(10 * float(radius.max())), loss_ratio_below(0.5)],
    )
    in_time = late.time <= 2 * ends.blow_up[growing]
    return arrays | {"late_norm_ratio": torch.where(in_time, late.log_growth.exp() / radius, 0.0).numpy()}


def permuted(cases: early.Cases, context: Context) -> early.Cases:
    """The vector of the NCF belongs to other samples; labels and starts stay."""
    order = torch.from_numpy(context.rng("permutation").permutation(cases.z.shape[1]))
    return dataclasses.replace(cases, z=cases.z[:, order])


def wrong_ends(network: Network, x: torch.Tensor, wrong: early.Cases, p: Parameters) -> early.Reference:
    return early.reference(network, x, wrong.z, wrong.starts, smallest_epsilon=min(p.epsilons))


def rescaling(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """Equations (8) and (50): w in plain time against s, both losses; gradient descent on w against that on s."""
    arrays: dict[str, np.ndarray] = {}
    for name in ("linear", "L4"):
        network, (x, cases) = NETWORKS[name], draw(p, name, context)
        ends = early.reference(network, x, cases.z, cases.starts, smallest_epsilon=min(p.epsilons))
        rows = (ends.branch == early.DIRECTION).nonzero()[:, 0].repeat_interleave(len(p.rescaled_deltas))
        some, time = cases.take(rows), 0.7 * ends.blow_up[rows]
        deltas = torch.tensor(p.rescaled_deltas, dtype=x.dtype).repeat(len(rows) // len(p.rescaled_deltas))
        s = torch.empty_like(some.starts)
        for position, loss in enumerate(LOSSES):
            of = some.loss == position
            start, length = some.starts[of], time[of]
            path = loss_flow(network, x, some.y[of], loss, start, deltas[of], rtol=1e-10, length=length, clock="time")
            s[of] = path.weights_over_delta()
        arrays[f"loss_{name}"] = some.loss.numpy()
        for key, exponent in (("", 2.0), ("_degree_below", 3.0)):
            plain = time * deltas ** (exponent - network.degree)
            w = early.plain_flow(network, x, LOSSES, some, deltas, plain, rtol=1e-10)
            arrays[f"flow_{name}{key}"] = relative_gap(w, s)
        steps = 0.5 * time * deltas ** (2 - network.degree) / p.descent_steps
        arrays |= descents(p, name, network, x, some, deltas, steps)
    return arrays


def descents(
    p: Parameters, name: str, network: Network, x: torch.Tensor, cases: early.Cases, deltas: torch.Tensor, steps: torch.Tensor
) -> dict[str, np.ndarray]:
    """Descent on w against descent on s: the network, a wrong exponent of the step, and a network that is not homogeneous."""

    def gap(network_there: Network, factor: torch.Tensor) -> np.ndarray:
        w = early.descend(network_there, x, LOSSES, cases, deltas, steps, p.descent_steps, rescaled=False)
        s = early.descend(network_there, x, LOSSES, cases, deltas, factor * steps, p.descent_steps, rescaled=True)
        return relative_gap(w, s)

    one = torch.ones_like(deltas)
    arrays = {f"descent_{name}": gap(network, one), f"descent_{name}_degree_above": gap(network, deltas)}
    if name in POWERS:
        mixture = Mixture("degrees four and five", ((1.0, network), (0.5, NETWORKS["L5"])), network.degree)
        arrays["descent_mixture"] = gap(mixture, one)
    return arrays


def relative_gap(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    return ((a - b).norm(dim=-1) / b.norm(dim=-1)).numpy()


def alignment_curves(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """For the figure: 1 - cos along one flow of degree 3 and several delta, and along its NCF flow."""
    network, (x, cases) = NETWORKS["L3"], draw(p, "L3", context)
    ends = early.reference(network, x, cases.z, cases.starts, smallest_epsilon=min(p.epsilons))
    case = int(((cases.loss == 0) & (ends.branch == early.DIRECTION)).nonzero()[0, 0])
    deltas = torch.tensor(p.curve_deltas, dtype=x.dtype)
    path = loss_flow(
        network,
        x,
        cases.y[case],
        HALF_SUM,
        cases.starts[case].expand(len(deltas), -1),
        deltas,
        until=[loss_ratio_below(0.99)],
        keep_steps=True,
    )
    assert path.every_step is not None
    limit = ends.limit[case]
    return {
        "time": (path.every_step.time / ends.blow_up[case]).numpy(),
        "misalignment": early.misalignment(path.every_step.direction, limit).numpy(),
        "ncf_time": (ends.steps.time[case] / ends.blow_up[case]).numpy(),
        "ncf_misalignment": early.misalignment(ends.steps.direction[case], limit).numpy(),
        "deltas": deltas.numpy(),
    }


def gradient_norms(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """Norm of the loss's gradient at delta w_0, per network, and for degrees two and three together."""
    deltas = torch.tensor(p.sweep, dtype=torch.float64)
    mixture = Mixture("degrees two and three", ((1.0, POWERS["L3"]), (1.0, power_net(4, 3, 2.0))), 3.0)
    arrays = {}
    for name, network in {**POWERS, "mixture": mixture}.items():
        x, cases = draw(p, "L3" if name == "mixture" else name, context)
        w = (deltas[:, None] * cases.starts[: p.seeds, None]).flatten(0, 1)
        y = cases.y[: p.seeds].repeat_interleave(len(deltas), dim=0)
        gradient = network.forward_and_pull(w, x, lambda outputs, y=y: HALF_SUM.residual(outputs, y))[1]
        arrays[name] = gradient.norm(dim=-1).view(p.seeds, -1).numpy()
    return arrays


def cell(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    defects, signals = [], []
    require_scale([*p.sweep, *p.escape_deltas, *p.curve_deltas, *p.rescaled_deltas, p.large_delta])
    for name, network in NETWORKS.items():
        x, cases = draw(p, name, context)
        defects.append(require_degree(network, x, p.degrees[name]))
        signals.append(min(require_signal(network, x, z) for z in cases.z))
    arrays = {"degree_defect": np.array(max(defects)), "signal": np.array(min(signals))}
    parts = {name: compare(p, name, context) for name in context.progress(NETWORKS, what="networks")}
    parts |= {"control": controls(p, context), "rescaling": rescaling(p, context)}
    parts |= {"curve": alignment_curves(p, context), "gradient": gradient_norms(p, context)}
    return arrays | {f"{part}/{key}": value for part, found in parts.items() for key, value in found.items()}


def gather(p: Parameters, cells: dict[str, dict[str, np.ndarray]], context: Context) -> Evidence:
    evidence, whole = Evidence(), cells["all"]
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key, value in whole.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = value
    evidence.measure("degree_defect", whole["degree_defect"], error=0.0, n=len(NETWORKS))
    evidence.measure("signal", whole["signal"], error=0.0)
    evidence.measure("scale_min", min(p.sweep), error=0.0)
    evidence.measure("sweep_decades", math.log10(max(p.sweep) / min(p.sweep)), error=1e-12, n=len(p.sweep))
    theorem(p, parts, evidence)
    explicit(p, parts, evidence)
    deviation_rates(p, parts, evidence)
    escape_rates(p, parts, evidence)
    identities(p, parts, evidence)
    evidence.arrays |= {key.replace("/", "_"): value for key, value in whole.items() if key.startswith("curve/")}
    return evidence


def table(p: Parameters, arrays: dict[str, np.ndarray], columns: slice) -> dict[str, np.ndarray]:
    """[S, D, E] for some of the deltas: both statements of Theorem 5.1, and whether epsilon is below eta / 2 and u resolved."""
    epsilon = np.array(p.epsilons)
    eta = np.where(arrays["branch"] == early.COLLAPSE, 2.0, np.minimum(arrays["norm_floor"], 1.0))[:, None, None]
    radius = arrays["radius"][:, None]
    of = {key: value[:, columns] for key, value in arrays.items() if value.ndim == 3}
    return {
        "valid": np.broadcast_to(arrays["resolved"][:, None] & (epsilon < eta / 2), of["norm"].shape),
        "deviation": of["deviation"] / epsilon,
        "deviation_error": of["deviation_error"] / epsilon,
        "norm": of["norm_max"] / radius,
        "norm_error": of["norm_max_error"] / radius,
        "margin": bounds.dichotomy_margin(of["norm"], of["misalignment"], eta, epsilon),
        "margin_error": of["norm_error"] + of["misalignment_error"],
    }


def joined(tables: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.concatenate([one[key].ravel() for one in tables]) for key in tables[0]}


def theorem(p: Parameters, parts: dict[str, dict[str, np.ndarray]], evidence: Evidence) -> None:
    """Norm bound and dichotomy at every delta of the sweep from which on s stays within epsilon of u; the same gone wrong."""
    swept = slice(p.fit_decades, p.fit_decades + len(p.sweep))
    tables = [table(p, parts[name], swept) for name in NETWORKS]
    for one in tables:
        one["used"] = early.from_here_on(one["deviation"] <= 1) & one["valid"]
    missing = sum(int((one["valid"].any(axis=1) & ~one["used"].any(axis=1)).sum()) for one in tables)
    every = joined(tables)
    evidence.measure("cases_without_delta_bar", missing, error=0.0, n=sum(int(one["valid"][:, 0].sum()) for one in tables))
    margin, error, n = early.smallest(every["margin"], every["margin_error"], every["used"])
    evidence.measure("dichotomy_margin_min", margin, error=error, n=n)
    ratio, error, n = early.smallest(-every["norm"], every["norm_error"], every["used"])
    evidence.measure("norm_bound_ratio_max", -ratio, error=error, n=n)
    for branch, name in enumerate(("direction", "collapse", "rest")):
        evidence.measure(f"cases_{name}", sum(int((parts[key]["branch"] == branch).sum()) for key in NETWORKS), error=0.0)
    evidence.measure("kkt_residual_max", max(parts[name]["residual"].max() for name in NETWORKS), error=1e-12)
    values = [parts[name]["value"][parts[name]["branch"] != early.COLLAPSE] for name in NETWORKS]
    evidence.measure("kkt_value_min", np.concatenate(values).min(), error=1e-12)

    control = parts["control"]
    large = joined([table(p, parts[name], slice(swept.stop, swept.stop + 1)) for name in GROWING])
    wrong = joined([table(p, parts["L3"] | {"misalignment": parts["L3"]["misalignment_wrong"]}, swept)])
    for name, broken in (("large_delta", large), ("permuted", wrong)):
        margin = np.median(broken["margin"][broken["valid"]])
        evidence.measure(f"dichotomy_margin_{name}", margin, error=1e-6, n=broken["valid"].sum())
    evidence.measure("late_norm_ratio_min", control["late_norm_ratio"].min(), error=1e-4, n=len(control["late_norm_ratio"]))
    falling = parts["collapse"]
    top, error = falling["norm_max"][:, swept], falling["norm_max_error"][:, swept].max()
    corrected, printed = (top / (start + np.array(p.epsilons)) for start in (1.0, np.array(p.epsilons)))
    evidence.measure("collapse_norm_ratio_max", corrected.max(), error=error, n=top.size)
    evidence.measure("collapse_norm_ratio_printed_max", printed.max(), error=error / (2 * min(p.epsilons)), n=top.size)


def explicit(p: Parameters, parts: dict[str, dict[str, np.ndarray]], evidence: Evidence) -> None:
    """The delta of Eq. (45) itself; the bounds on xi and on the deviation on the way to it."""
    first, last = p.fit_decades, p.fit_decades + len(p.sweep)
    at_bar: list[dict[str, np.ndarray]] = []
    gaps, excesses, changes = [], [], []
    for name, network in NETWORKS.items():
        arrays = parts[name]
        own = {key: np.diagonal(value, axis1=1, axis2=2) for key, value in table(p, arrays, slice(last + 1, None)).items()}
        at_bar.append(own | {"valid": own["valid"] & arrays["usable"]})
        swept = table(p, arrays, slice(first, last))
        used = early.from_here_on(swept["deviation"] <= 1) & swept["valid"]
        log_delta = np.log(arrays["deltas"][:, first:last])
        radius, size = arrays["radius"][:, None], arrays["label_norm"][:, None]
        largest = np.where(used, log_delta[:, :, None], -np.inf).max(axis=1)
        known = used.any(axis=1) & np.isfinite(arrays["log_delta_bar"])
        gaps.append((largest - arrays["log_delta_bar"])[known])
        constant = bounds.log_change_constant(arrays["beta"], radius, network.degree, size[:, None])
        bound = bounds.log_gronwall_bound(
            np.array(p.epsilons),
            arrays["moment"][:, None],
            radius,
            network.degree,
            arrays["alpha"],
            arrays["lipschitz"][:, None],
            size[:, None],
            constant,
            log_delta[:, :, None],
        )
        deviation, error = (arrays[key][:, first:last] for key in ("deviation", "deviation_error"))
        resolved = used & (deviation >= 100 * error) & (deviation > 0) & np.isfinite(bound)
        excesses.append((2 * np.log(np.where(deviation > 0, deviation, 1.0)) - bound)[resolved])
        loss = arrays["loss"][:, None] == 1
        allowed = (
            bounds.log_change_bound(arrays["beta"], radius[..., -1], network.degree, size, logistic=loss)
            + network.degree * log_delta
        )
        ratio = arrays["path_change"][:, first:last] / np.exp(allowed)[:, :, None]
        changes.append((ratio[used[..., -1]], (ratio / np.exp(log_delta)[:, :, None])[used[..., -1]]))
    bar = joined(at_bar)
    ratio, error, n = early.smallest(-bar["deviation"], bar["deviation_error"], bar["valid"])
    evidence.measure("explicit_deviation_ratio_max", -ratio, error=error, n=n)
    margin, error, n = early.smallest(bar["margin"], bar["margin_error"], bar["valid"])
    evidence.measure("explicit_dichotomy_margin_min", margin, error=error, n=n)
    ratio, error, n = early.smallest(-bar["norm"], bar["norm_error"], bar["valid"])
    evidence.measure("explicit_norm_bound_ratio_max", -ratio, error=error, n=n)
    large = joined([table(p, parts[name], slice(last, last + 1)) for name in POWERS])
    ratio, error, n = early.smallest(large["deviation"], large["deviation_error"], large["valid"])
    evidence.measure("deviation_ratio_large_delta", ratio, error=error, n=n)
    evidence.measure("delta_bar_log_gap_min", np.concatenate(gaps).min(), error=1e-6, n=sum(map(len, gaps)))
    evidence.measure("gronwall_log_excess_max", np.concatenate(excesses).max(), error=0.02, n=sum(map(len, excesses)))
    for position, name in enumerate(("change_ratio_max", "change_ratio_degree_above")):
        every = np.concatenate([pair[position].ravel() for pair in changes])
        evidence.measure(name, every.max(), error=1e-6 * every.max(), n=every.size)


def deviation_rates(p: Parameters, parts: dict[str, dict[str, np.ndarray]], evidence: Evidence) -> None:
    fit = slice(0, p.fit_decades)
    for name in GROWING:
        arrays = parts[name]
        for loss, label in ((0, ""), (1, "logistic_")):
            rows = (arrays["branch"] == early.DIRECTION) & (arrays["loss"] == loss) & arrays["resolved"][:, 0]
            deltas, deviation, error = (arrays[key][rows][:, fit] for key in ("deltas", "deviation", "deviation_error"))
            radius = arrays["radius"][rows, 0]
            found = early.deviation_rate(deltas, deviation[..., 0], error[..., 0], radius)
            evidence.measure(f"deviation_slope_{label}{name}", found.slope, error=found.error, interval=found.interval, n=found.n)
            if loss == 0:
                evidence.arrays |= {f"{name}_deltas": deltas[0], f"{name}_deviation": deviation[..., 0] / radius[:, None]}
    log_delta = np.log(np.array(p.sweep))
    for name in ("permuted", "unscaled", "mixture"):
        deviation = parts["control"][f"{name}_deviation"]
        found = early.rate(
            np.broadcast_to(log_delta, deviation.shape), np.log(deviation), np.full(deviation.shape, 1e-4), deviation > 0
        )
        evidence.measure(f"deviation_slope_{name}", found.slope, error=found.error, interval=found.interval, n=found.n)


def escape_rates(p: Parameters, parts: dict[str, dict[str, np.ndarray]], evidence: Evidence) -> None:
    log_delta = np.log(np.array(p.escape_deltas))
    coarse, fine = (int(np.argmin(np.abs(log_delta - math.log(delta)))) for delta in (1e-2, 1e-6))
    growths, gaps, missing = [], [], 0
    for name, network in POWERS.items():
        arrays = parts[name]
        time, error = arrays["escape_time"], arrays["escape_time_error"] / arrays["escape_time"]
        x = np.broadcast_to(log_delta, time.shape)
        use = np.isfinite(time) & (x <= math.log(1e-2) + 1e-9)
        found = early.rate(x, np.log(time) - (network.degree - 2) * x, error, use)
        evidence.measure(f"escape_time_slope_{name}", found.slope, error=found.error, interval=found.interval, n=found.n)
        missing += int((~np.isfinite(time)).sum())
        growths.append(arrays["escape_evaluations"][:, fine] / arrays["escape_evaluations"][:, coarse])
        gaps.append(np.abs(time[:, -1] / arrays["blow_up"][arrays["escape_rows"]] - 1))
        plain = time[:, fine] / time[:, coarse] * math.exp((network.degree - 2) * (log_delta[coarse] - log_delta[fine]))
        if name == "L4":
            evidence.measure("euler_growth_L4", plain.min(), error=plain.min() * error.max(), n=len(plain))
        evidence.arrays |= {
            f"{name}_escape_time": np.exp(np.log(time) - (network.degree - 2) * x),
            f"{name}_escape_misalignment": arrays["escape_misalignment"],
        }
    evidence.arrays["escape_deltas"] = np.array(p.escape_deltas)
    evidence.measure("escapes_missing", missing, error=0.0)
    evidence.measure("escape_time_gap_max", np.concatenate(gaps).max(), error=1e-6, n=sum(map(len, gaps)))
    evidence.measure("evaluations_growth", np.concatenate(growths).max(), error=0.0, n=sum(map(len, growths)))


def identities(p: Parameters, parts: dict[str, dict[str, np.ndarray]], evidence: Evidence) -> None:
    """Gaps of identities are their own errors: the true value is 0."""
    rescaling, gradient = parts["rescaling"], parts["gradient"]
    names = ("linear", "L4")
    for loss, label in enumerate(("square", "logistic")):
        for kind in ("flow", "descent"):
            gap = max(rescaling[f"{kind}_{name}"][rescaling[f"loss_{name}"] == loss].max() for name in names)
            evidence.measure(f"{kind}_rescaling_gap_{label}", gap, error=gap, n=p.seeds)
    for key in ("flow_{}_degree_below", "descent_{}_degree_above"):
        gap = min(rescaling[key.format(name)].min() for name in names)
        evidence.measure(key.format("rescaling_gap"), gap, error=1e-6)
    gap = np.median(rescaling["descent_mixture"])
    evidence.measure("descent_rescaling_gap_mixture", gap, error=1e-6)
    x = np.broadcast_to(np.log(np.array(p.sweep)), gradient["L3"].shape)
    slopes = {}
    for name, norms in gradient.items():
        slopes[name] = early.rate(x, np.log(norms), np.full(norms.shape, 1e-12), x <= math.log(1e-2) + 1e-9)
    gap = max(abs(slopes[name].slope - (network.degree - 1)) for name, network in POWERS.items())
    evidence.measure("gradient_slope_gap_max", gap, error=1e-9, n=sum(found.n for found in slopes.values()))
    evidence.measure("gradient_slope_gap_mixture", abs(slopes["mixture"].slope - 2), error=1e-9, n=slopes["mixture"].n)


if __name__ == "__main__":
    main(Parameters, cell, gather)

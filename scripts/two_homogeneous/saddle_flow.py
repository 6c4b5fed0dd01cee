"""Near a saddle, degree two: w_n stays, w_z / delta follows the NCF flow of the residual (two_homogeneous, Section 5.2).

Saddles made by construction (that of Figure 4; ReLU on orthogonal inputs and on two cones) and by Newton (fewer units than the
teacher has).
Theorem 5.5 with the constants of its proof, Lemma D.1 with its counterexample, Lemma 5.6.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from scipy.integrate import solve_ivp

from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import sphere_inputs, unit_vectors
from flowcheck.losses import HALF_SUM
from flowcheck.measures.readings import rate
from flowcheck.measures.statistics import slope_interval
from flowcheck.networks.hypotheses import require_degree, require_scale, require_signal
from flowcheck.networks.zoo import power_net, two_layer
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.saddles import departure
from flowcheck.saddles.constants import Growth, growth
from flowcheck.saddles.departure import Departure, ResidualFlow, Start
from flowcheck.saddles.saddle import Saddle, by_newton
from flowcheck.saddles.units import Units

POINTS = 120
DECOYS, DECOY_TOLERANCE = ("figure_4", "partly_fitted", "orthogonal_relu"), 0.02
"""Where the NCF with y in the place of the residual is followed, up to a sine that is small against the claim's bound."""

Arrays = dict[str, np.ndarray]

SMALLEST_DELTA = 1e-280
"""In the place of a delta of the proof that leaves float64."""


class Parameters(ParametersModel):
    datasets: Annotated[int, Field(ge=1)]
    starts: Annotated[int, Field(ge=1)]
    epsilons: list[float]
    scales: list[float]
    fitted_scales: list[float]
    largest_growth: float
    displacement: float
    counterexample_label: float
    counterexample_scale: float
    counterexample_constants: list[float]
    departure_scales: list[float]


def figure_4(rng: np.random.Generator) -> Saddle:
    """Ten units fit 5 max(0, x_1)^2; the residual 4 max(0, -x_1)^2 is left to ten units at zero."""
    x = sphere_inputs(rng, 50, 2).numpy()
    fitted, idle = (Units.of(power_net(10, 2, 2), x) for _ in range(2))
    return Saddle(fitted, idle, np.tile([math.sqrt(0.5), 0.0], 10), 4 * np.minimum(x[:, 0], 0) ** 2)


def partly_fitted(rng: np.random.Generator) -> Saddle:
    """Squared ReLU: two units fit a teacher of four, with signs of both kinds, as well as they can; two idle ones."""

    def draw(rng: np.random.Generator) -> tuple[Units, Units, np.ndarray]:
        x = sphere_inputs(rng, 30, 3).numpy()
        y = Units.of(power_net(4, 3, 2, signs=(1, 1, -1, 1)), x).outputs(rng.standard_normal(12))
        unit = Units.of(power_net(2, 3, 2, signs=(1, -1)), x)
        return unit, unit, y

    return by_newton(draw, rng)


def orthogonal_relu(rng: np.random.Generator) -> Saddle:
    """Two-layer ReLU on orthonormal inputs: one unit fits the first three labels and is inactive on the other two."""
    x = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    labels, fits = np.array([1.0, 1.5, 0.5, 2.0, -1.0]), np.arange(5) < 3
    weights = np.append(np.where(fits, labels, -0.5) @ x, 1.0)
    return Saddle(Units.of(two_layer(1, 5), x), Units.of(two_layer(3, 5), x), weights, np.where(fits, 0.0, labels))


def smooth_relu(rng: np.random.Generator) -> Saddle:
    """Two-layer ReLU on two opposite cones of inputs: one unit fits the first, two idle ones meet positive labels on the second.

    The idle readouts start positive: then no unit dies, and none slides along a kink.
    """
    side = np.repeat([1.0, -1.0], 6)[:, None]
    x = sphere_inputs(rng, 12, 3).numpy() + 2.5 * side * np.eye(3)[0]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weights = np.array([*(np.eye(3)[0] + 0.3 * rng.standard_normal(3)), 1.0])
    residual = np.where(side[:, 0] > 0, 0.0, rng.uniform(0.5, 1.5, 12))
    return Saddle(Units.of(two_layer(1, 3), x), Units.of(two_layer(2, 3), x), weights, residual)


def collapsing(rng: np.random.Generator) -> Saddle:
    """That of Figure 4 with one idle unit -(u.x)^2: its NCF is negative definite, so u goes to zero."""
    saddle = figure_4(rng)
    idle = Units.of(power_net(1, 2, 2, signs=(-1,), slope=1), saddle.idle.x)
    return Saddle(saddle.fitted, idle, saddle.weights, saddle.residual)


SYSTEMS = (figure_4, partly_fitted, orthogonal_relu, smooth_relu, collapsing)


def judge_path(p: Parameters, path: Departure, u: ResidualFlow, constants: Growth) -> dict[str, float]:
    """Theorem 5.5 and Lemma D.1 on the flows from one start: the smallest margins, and the largest ratios to a bound.

    Over all epsilons, and for each over the deltas that keep w_z / delta within epsilon of u.
    """
    eta = 1.0 if u.target is None else 0.5 * u.smallest
    cosine = np.ones_like(path.b_norm) if u.target is None else path.cosine(u.target)
    low: dict[str, list[float]] = {key: [] for key in ("cosine", "norm", "bound")}
    high: dict[str, list[float]] = {key: [] for key in ("within", "again", "collapse")}
    for epsilon, time in zip(p.epsilons, u.times, strict=True):
        at = int(np.searchsorted(path.tau, time))
        deviation = path.deviation[:, : at + 1].max(axis=1)
        close, bound = deviation <= epsilon, 1 - (1 + 1.5 / eta) * epsilon
        high["within"].append(deviation[-1] / epsilon)
        high["again"].append(np.sum(~close[np.argmax(close) :]))
        low["bound"].append(bound)
        if close.any():  # otherwise within > 1 contradicts the claim
            high["collapse"].append(path.b_norm[close, at].max() / (2 * epsilon))
            low["cosine"].append(cosine[close, at].min() - bound)
            low["norm"].append(path.b_norm[close, at].min() - eta)
    exponent = 2 * constants.m2 * path.tau[1:]
    claimed = math.log(2) + 2 * np.log(path.delta[:, None]) + exponent <= 2 * math.log(constants.radius)
    growth_ratio = np.log((path.a_norm**2 + path.b_norm**2)[:, 1:] / 2) / exponent
    found = {key: float(np.min(values)) if values else math.nan for key, values in low.items()}
    found |= {key: float(np.max(values)) if values else math.nan for key, values in high.items()}
    return found | {"rate_ratio": float(growth_ratio[claimed].max())}


def run(p: Parameters, name: str, saddle: Saddle, start: Start) -> tuple[dict[str, Any], Arrays]:
    """One row of the table of runs, at the second tolerance as `..._coarse`, and the paths for the figures."""
    u, constants = start.u, growth(saddle)
    # Lemma D.1 needs 2 C delta^2 <= min(1, gamma^2) with C = e^{2 M2 T}: this delta is the largest that meets it at all times
    literal = max(math.exp(-constants.m2 * u.times[-1]) * constants.radius / math.sqrt(2), SMALLEST_DELTA)
    delta = np.array([*sorted(p.scales, reverse=True), literal])
    tau = np.unique(np.concatenate([np.linspace(0, u.times[-1], POINTS), u.times]))
    row: dict[str, Any] = {"system": name, "m2": constants.m2, "literal_delta": literal, "growth": u.largest[-1]}
    decoy = wrong = None
    if u.target is not None:
        correlation = Correlation(saddle.idle.network, torch.from_numpy(saddle.idle.x), torch.from_numpy(saddle.residual))
        target = torch.from_numpy(u.target)[None]
        row |= {"kkt_residual": float(correlation.kkt_residual(target)), "kkt_value": float(correlation.value(target))}
    if name in DECOYS:
        y = saddle.residual + saddle.fitted.outputs(saddle.weights)
        decoy = departure.limit_directions(saddle.idle, y, start.z[None], DECOY_TOLERANCE)[0]
        wrong = solve_ivp(
            lambda _, v: saddle.idle.pull(v, y), (0, tau[-1]), start.z, "DOP853", t_eval=tau, rtol=1e-8, atol=1e-8
        ).y.T
    for suffix, coarser in (("_coarse", departure.COARSER), ("", 1.0)):
        path = departure.depart(saddle, delta, start.n, start.z, tau, u.curve, coarser=coarser)
        row |= {key + suffix: value for key, value in judge_path(p, path, u, constants).items()}
        if decoy is not None:
            row["decoy" + suffix] = float(path.cosine(decoy)[-1, -1]) - 1 + (1 + 3 / u.smallest) * p.epsilons[-1]
        for k, scale in enumerate(delta[:-1]):
            row[f"deviation_{k}{suffix}"] = path.deviation[k].max()
            if wrong is not None:
                row[f"astray_{k}{suffix}"] = np.linalg.norm(path.b[k] - wrong, axis=-1).max()
            row[f"stay_{k}{suffix}"] = scale * np.sqrt((path.a_norm[k] ** 2 + path.b_norm[k] ** 2).max())
    shown = {"tau": tau, "delta": delta, "a": path.a_norm, "b": path.b_norm, "times": u.times}
    return row, shown if u.target is None else shown | {"cosine": path.cosine(u.target)}


def counterexample(p: Parameters, coarser: float) -> Arrays:
    r"""Two opposite inputs; w_z grows at the rate 2K of its input, against M_2 = 2K + 12.

    In the unit ball around (1, 0) only the first input moves H_n, by (w_1^2 - 1, 0): mu1 = 3, mu3 = 4, mu2 = 0, and beta = 1.
    Z / delta^2 at t = ln(C) / M_2, and the largest rate ln(Z / 2 delta^2) / t.
    """
    x, label = np.array([[1.0, 0.0], [-1.0, 0.0]]), p.counterexample_label
    unit = Units.of(power_net(1, 2, 2), x)
    saddle = Saddle(unit, unit, np.array([1.0, 0.0]), np.array([0.0, label]))
    saddle.stationarity()
    m2 = max(3.0 * 4.0, 2 * (label + 3 + 1) + 4)
    times = np.log(p.counterexample_constants) / m2
    delta, zeta_n, zeta_z = np.array([p.counterexample_scale]), np.array([0.6, 0.8]), np.array([-1.0, 0.0])

    def u(t: float) -> np.ndarray:
        return math.exp(2 * label * t) * zeta_z

    path = departure.depart(saddle, delta, zeta_n, zeta_z, np.append(0.0, times), u, coarser=coarser)
    z = path.a_norm[0] ** 2 + path.b_norm[0] ** 2
    return {"z": z, "m2": np.array(m2), "rate": np.log(z[1:] / 2) / times}


def depart(
    rates: Callable[[float, np.ndarray], np.ndarray], start: np.ndarray, point: np.ndarray, time: float, rtol: float
) -> float:
    """Distance from `point` at `time`."""
    end = solve_ivp(rates, (0.0, time), start, "DOP853", rtol=rtol, atol=rtol).y[:, -1]
    return float(np.linalg.norm(end - point))


def departures(p: Parameters, rng: np.random.Generator, rtol: float) -> Arrays:
    """Points that meet no hypothesis: the kink of (u1|u2| - 1)^2 at (1, 0), and one beside the saddle of Figure 4."""

    def kink(_: float, u: np.ndarray) -> np.ndarray:
        return -2 * (u[0] * abs(u[1]) - 1) * np.array([abs(u[1]), u[0] * np.sign(u[1])])

    saddle = figure_4(rng)
    y, split = saddle.residual + saddle.fitted.outputs(saddle.weights), saddle.fitted.size
    beside = np.concatenate([saddle.weights, np.zeros(saddle.idle.size)])
    beside[0] += 0.3
    direction = np.concatenate([unit_vectors(rng, 1, part.size)[0].numpy() for part in (saddle.fitted, saddle.idle)])

    def flow(_: float, w: np.ndarray) -> np.ndarray:
        rest = y - saddle.fitted.outputs(w[:split]) - saddle.idle.outputs(w[split:])
        return np.concatenate([saddle.fitted.pull(w[:split], rest), saddle.idle.pull(w[split:], rest)])

    point = np.array([1.0, 0.0])
    return {
        "kink": np.array([depart(kink, point + d * np.ones(2), point, 0.1, rtol) for d in p.departure_scales]),
        "beside": np.array([depart(flow, beside + d * direction, beside, 0.03, rtol) for d in p.departure_scales]),
    }


def block_identity(saddle: Saddle, rng: np.random.Generator) -> dict[str, float]:
    """Lemma 5.6: the w_n block of the gradient of (13), from autograd, against the gradient of the restricted loss."""
    x, y = torch.from_numpy(saddle.fitted.x), torch.from_numpy(saddle.residual + saddle.fitted.outputs(saddle.weights))
    w_n, split = rng.standard_normal(saddle.fitted.size), saddle.fitted.size

    def gradient(w_z: np.ndarray) -> np.ndarray:
        w = torch.from_numpy(np.concatenate([w_n, w_z]))[None].requires_grad_()
        HALF_SUM.value(saddle.network.forward(w, x), y).sum().backward()
        assert w.grad is not None
        return w.grad[0, :split].numpy()

    restricted = -saddle.fitted.pull(w_n, y.numpy() - saddle.fitted.outputs(w_n))
    size = float(np.linalg.norm(restricted))
    at_zero, away = (
        float(np.linalg.norm(gradient(w_z) - restricted)) / size
        for w_z in (np.zeros(saddle.idle.size), rng.standard_normal(saddle.idle.size))
    )
    at_saddle = float(np.linalg.norm(saddle.fitted.pull(saddle.weights, saddle.residual)) / np.linalg.norm(saddle.residual))
    return {
        "block_identity": at_zero,
        "block_away": away,
        "restricted_gradient": at_saddle,
        "random_gradient": size / float(y.norm()),
    }


def cell(p: Parameters, context: Context) -> Evidence:
    require_scale(p.scales)
    table, blocks, shown = [], [], {}
    rejected, hypotheses = 0, {"degree_defect": 0.0, "stationarity": 0.0, "signal": math.inf}
    for build in context.progress(SYSTEMS, what="systems"):
        for dataset in range(p.datasets):
            rng = context.rng(build.__name__, dataset)
            saddle = build(rng)
            saddle = dataclasses.replace(saddle, weights=saddle.weights + p.displacement)
            x, residual = torch.from_numpy(saddle.idle.x), torch.from_numpy(saddle.residual)
            hypotheses["degree_defect"] = max(hypotheses["degree_defect"], require_degree(saddle.network, x))
            hypotheses["stationarity"] = max(hypotheses["stationarity"], saddle.stationarity())
            hypotheses["signal"] = min(hypotheses["signal"], require_signal(saddle.idle.network, x, residual))
            blocks.append(block_identity(saddle, rng))
            starts, refused = departure.draw_starts(
                saddle, p.starts, np.array(p.epsilons), p.largest_growth, rng, positive=build is smooth_relu
            )
            rejected += refused
            for start in starts:
                row, paths = run(p, build.__name__, saddle, start)
                table.append(row)
            shown |= {f"{build.__name__}_{key}": value for key, value in paths.items()}  # the last start of the last data set
    frame = pd.DataFrame(table)
    arrays = {f"run_{key}": column.to_numpy() if key != "system" else column.to_numpy(dtype=str) for key, column in frame.items()}
    arrays |= {f"block_{key}": column.to_numpy() for key, column in pd.DataFrame(blocks).items()}
    arrays |= {f"hypothesis_{key}": np.array(value) for key, value in hypotheses.items()}
    for suffix, coarser in (("", 1.0), ("_coarse", departure.COARSER)):
        arrays |= {f"counterexample_{key}{suffix}": value for key, value in counterexample(p, coarser).items()}
        arrays |= {
            f"departure_{key}{suffix}": value
            for key, value in departures(p, context.rng("departures"), coarser * departure.RTOL).items()
        }
    return Evidence(arrays=arrays | shown | {"rejected": np.array(rejected)})


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, arrays = Evidence(), cells["all"].arrays
    frame = pd.DataFrame({key.removeprefix("run_"): value for key, value in arrays.items() if key.startswith("run_")})
    aligned, collapsed = frame[frame.system != "collapsing"], frame[frame.system == "collapsing"]

    figures = tuple(build.__name__ for build in SYSTEMS)
    evidence.arrays |= {key: value for key, value in arrays.items() if key.startswith((*figures, "counterexample", "departure"))}
    evidence.arrays |= {"scales": np.array(sorted(p.scales, reverse=True)), "constants": np.array(p.counterexample_constants)}

    def extreme(name: str, runs: pd.DataFrame, column: str, pick: Callable[[pd.Series], float]) -> None:
        error = (runs[column] - runs[column + "_coarse"]).abs().max()
        evidence.measure(name, pick(runs[column]), error=error, n=len(runs))

    for key in ("degree_defect", "stationarity", "signal"):
        evidence.measure(key, float(arrays[f"hypothesis_{key}"]), error=0.0, n=len(frame))
    evidence.measure("scale_min", min(p.scales), error=0.0)
    extreme("cosine_margin_min", aligned, "cosine", min)
    extreme("cosine_margin_wrong_residual", aligned.dropna(subset="decoy"), "decoy", min)
    extreme("norm_margin_min", aligned, "norm", min)
    extreme("cosine_bound_min", aligned, "bound", min)
    extreme("collapse_ratio_max", collapsed, "collapse", max)
    extreme("deviation_over_epsilon_max", frame, "within", max)
    extreme("growth_rate_ratio_max", frame, "rate_ratio", max)
    evidence.measure("reappearing_deviations", float(frame.again.sum()), error=0.0, n=len(frame))
    evidence.measure("kkt_residual_max", aligned.kkt_residual.max(), error=0.0, n=len(aligned))
    evidence.measure("kkt_value_min", aligned.kkt_value.min(), error=1e-12, n=len(aligned))
    evidence.measure("rejected_starts", float(arrays["rejected"]), error=0.0, n=len(frame) + int(arrays["rejected"]))
    evidence.measure("runs", float(len(frame)), error=0.0)
    literal = np.log10(frame.literal_delta)
    evidence.measure("literal_log10_delta_max", literal.max(), error=0.0, n=len(frame))
    slopes(p, evidence, frame)
    measure_counterexample(p, evidence, arrays)
    for key in ("block_identity", "restricted_gradient"):
        evidence.measure(f"{key}_max", arrays[f"block_{key}"].max(), error=0.0, n=len(arrays[f"block_{key}"]))
    evidence.measure("block_away_min", arrays["block_block_away"].min(), error=1e-12, n=len(arrays["block_block_away"]))
    evidence.measure("random_gradient_min", arrays["block_random_gradient"].min(), error=1e-12)
    evidence.runs = frame
    return evidence


def slopes(p: Parameters, evidence: Evidence, frame: pd.DataFrame) -> None:
    """How the deviation from u and the distance from the saddle shrink with delta, and the distance where nothing holds it."""
    scales = np.array(sorted(p.scales, reverse=True))
    fitted = [k for k, scale in enumerate(scales) if p.fitted_scales[0] <= scale <= p.fitted_scales[1]]
    for name in ("deviation", "stay", "astray"):
        runs = frame[np.isin(frame.system, DECOYS)] if name == "astray" else frame
        fine, coarse = (runs[[f"{name}_{k}{suffix}" for k in fitted]].to_numpy() for suffix in ("", "_coarse"))
        moved = np.abs(np.log(coarse / fine))
        keep, x = moved <= 0.01, np.broadcast_to(np.log(scales[fitted]), fine.shape)
        evidence.record(f"{name}_slope", rate(x, np.log(fine), moved, keep))
        evidence.measure(f"{name}_points_dropped", float((~keep).sum()), error=0.0, n=keep.size)
    x = np.log(p.departure_scales)
    for name in ("kink", "beside"):
        fine, coarse = (np.log(evidence.arrays[f"departure_{name}{suffix}"]) for suffix in ("", "_coarse"))
        slope, interval = slope_interval(x, fine)
        evidence.measure(
            f"stay_slope_{name}", slope, error=2 * np.abs(fine - coarse).max() / np.ptp(x), interval=interval, n=len(x)
        )


def measure_counterexample(p: Parameters, evidence: Evidence, arrays: Arrays) -> None:
    """(56) and (18) as printed, with C delta^2 at t = ln(C) / M_2, and the growth rate against 2 M_2."""
    c = np.array(p.counterexample_constants)
    fine, coarse = arrays["counterexample_z"], arrays["counterexample_z_coarse"]
    ratios = fine[1:] / (2 * c)
    worst = int(np.argmax(ratios))
    relative = np.abs(coarse / fine - 1)[1:]
    evidence.measure("printed_56_ratio_max", ratios[worst], error=ratios[worst] * relative[worst], n=len(c))
    evidence.measure("printed_18_ratio_start", fine[0] / c[0], error=1e-14)
    evidence.measure("printed_18_ratio_max", 2 * ratios[worst], error=2 * ratios[worst] * relative[worst], n=len(c))
    m2, rate = float(arrays["counterexample_m2"]), arrays["counterexample_rate"].max()
    error = abs(rate - arrays["counterexample_rate_coarse"].max())
    evidence.measure("counterexample_rate_ratio", rate / (2 * m2), error=error / (2 * m2), n=len(c))
    evidence.measure("counterexample_rate_ratio_printed", rate / m2, error=error / m2, n=len(c))


if __name__ == "__main__":
    main(Parameters, cell, gather)

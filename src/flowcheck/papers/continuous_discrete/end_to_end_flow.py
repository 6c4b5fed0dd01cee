r"""The end-to-end vector of a deep linear network under the flow of its layers: Lemmas 35 to 44, Procedure 13, Appendix F.

The loss is half the squared distance of the end-to-end vector from a target of length one, Eq. (20), up to a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from flowcheck.integration import initial_value
from flowcheck.measures import readings
from flowcheck.measures.refinement import Refined
from flowcheck.networks.linear import (
    balanced_weights,
    balancedness_defect,
    end_to_end,
    end_to_end_rate,
    layer_flow,
)
from flowcheck.papers.continuous_discrete.procedure_13 import balanced_start
from flowcheck.papers.continuous_discrete.reparameterised_flow import ReparameterisedFlow
from flowcheck.pipeline.evidence import Found

RTOL, COARSE_RTOL = 1e-12, 1e-10
CLOCK_END, MOMENTS = 6.0, 25
"""Of the clock of Eq. (59), and how many moments of it are compared: the flows end within 1e-4 of the target."""
ANTIPARALLEL_END = 12.0
"""Flows from an aligned start are within 0.1 of the target by then; rounding off the axis, which grows by e^t, is below 1e-9."""
UNBALANCED = 1.5
"""What the control multiplies the first layer by, and divides the second by."""


def start_at(rng: np.random.Generator, target: Float[np.ndarray, " d"], nu: float, norm: float) -> Float[np.ndarray, " d"]:
    """A vector of this length and this cosine with the target, its other direction drawn."""
    across = rng.standard_normal(target.size)
    across -= (across @ target) * target
    return norm * (nu * target + np.sqrt(1 - nu**2) * across / np.linalg.norm(across))


def full_flows(
    rng: np.random.Generator, depths: Sequence[int], nus: Sequence[float], norms: Sequence[float], inputs: int, width: int
) -> Found:
    """Flows of all weights against the equation of the end-to-end vector and against the exact flow on its clock."""
    rows: dict[str, list[tuple[float, float]]] = {}

    def note(name: str, fine: float, coarse: float) -> None:
        rows.setdefault(name, []).append((fine, coarse))

    for depth in depths:
        for nu in nus:
            for norm in norms:
                target = rng.standard_normal(inputs)
                target /= np.linalg.norm(target)
                w0 = start_at(rng, target, nu, norm)
                weights = balanced_weights(w0, [width] * (depth - 1), rng)
                exact = ReparameterisedFlow(np.array([float(depth)]), np.array([nu]), np.array([norm]), CLOCK_END)
                kept = np.unique(np.linspace(0, len(exact.times) - 1, MOMENTS).astype(int))
                times = exact.clock[0, kept]
                values = [_compare(depth, weights, w0, target, exact, kept, times, rtol) for rtol in (RTOL, COARSE_RTOL)]
                for name in values[0]:
                    note(name, values[0][name], values[1][name])
    found = {name: Refined.of(*map(np.array, zip(*pairs, strict=True))) for name, pairs in rows.items()}
    largest = {f"{name}_max": column.largest() for name, column in found.items() if not name.endswith("unbalanced")}
    return largest | {f"{name}_min": column.smallest() for name, column in found.items() if name.endswith("unbalanced")}


def _compare(
    depth: int,
    weights: list[np.ndarray],
    w0: Float[np.ndarray, " d"],
    target: Float[np.ndarray, " d"],
    exact: ReparameterisedFlow,
    kept: np.ndarray,
    times: Float[np.ndarray, " p"],
    rtol: float,
) -> dict[str, float]:
    layers = layer_flow(weights, partial(_away_from, target), times, rtol=rtol)
    products = np.array([end_to_end(at) for at in layers])
    equation = initial_value.solve(
        lambda _, w: end_to_end_rate(w, w - target, depth), times[-1], w0, "DOP853", times, rtol=rtol, atol=1e-3 * rtol
    ).y.T
    cosine, norm = 1 - exact.one_minus_nu(exact.times[kept])[0], exact.norm[0, kept]
    measured = np.linalg.norm(products, axis=1)
    lengths = np.array([[np.linalg.norm(layer) for layer in at] for at in layers])
    unbalanced = [UNBALANCED * weights[0], weights[1] / UNBALANCED, *weights[2:]]
    other = np.array([end_to_end(at) for at in layer_flow(unbalanced, partial(_away_from, target), times, rtol=rtol)])
    return {
        "lemma35_gap": float(np.abs(products - equation).max()),
        "lemma35_gap_unbalanced": float(np.abs(other - equation).max()),
        "lemma37_layer_gap": float(np.abs(lengths / measured[:, None] ** (1 / depth) - 1).max()),
        "lemma37_total_over_bound": float((lengths**2).sum(axis=1).max() / (depth * (measured[0] + 2) ** (2 / depth))),
        "lemma43_norm_gap": float(np.abs(measured - norm).max()),
        "lemma43_cosine_gap": float(np.abs(products @ target / measured - cosine).max()),
        "balance_drift": float(max(balancedness_defect(at) for at in layers)),
        "procedure13_gap": _procedure_13(w0, depth, weights[0].shape[0]),
    }


def _away_from(target: Float[np.ndarray, " d"], w: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """The gradient of phi."""
    return w - target


def _procedure_13(w0: Float[np.ndarray, " d"], depth: int, width: int) -> float:
    """How far the start of Procedure 13 is from its end-to-end vector and from balance."""
    layers = balanced_start(w0[None], [width] * (depth - 1))
    return float(max(np.abs(end_to_end(layers) - w0).max(), balancedness_defect(layers)))


def identities(rng: np.random.Generator, draws: int) -> Found:
    """Lemmas 40 and 44 (ii) at random vectors, from Eq. (59) itself."""
    residuals = {name: np.zeros(draws) for name in ("lemma40", "lemma44", "lemma40_one_less", "lemma44_half")}
    for i in range(draws):
        n, size = float(rng.integers(2, 7)), int(rng.integers(2, 8))
        target = rng.standard_normal(size)
        target /= np.linalg.norm(target)
        u = rng.standard_normal(size) * 10 ** rng.uniform(-2, 1)
        norm = np.linalg.norm(u)
        nu = target @ u / norm
        rate = -norm * (n * u - target) + (n - 1) * u * (u @ target) / norm
        length_rate, unit = u @ rate / norm, norm * (1 + norm) * n
        cosine_rate = target @ (rate / norm - u * length_rate / norm**2)
        residuals["lemma40"][i] = abs(length_rate - n * norm * (nu - norm)) / unit
        residuals["lemma40_one_less"][i] = abs(length_rate - (n - 1) * norm * (nu - norm)) / unit
        residuals["lemma44"][i] = abs(cosine_rate - (1 - nu**2))
        residuals["lemma44_half"][i] = abs(cosine_rate - (1 - nu**2) / 2)
    rounding = 1e-13
    return {
        "lemma40_residual_max": readings.largest(residuals["lemma40"], rounding),
        "lemma40_residual_one_less_max": readings.largest(residuals["lemma40_one_less"], rounding),
        "lemma44_residual_max": readings.largest(residuals["lemma44"], rounding),
        "lemma44_residual_half_max": readings.largest(residuals["lemma44_half"], rounding),
    }


def whitened(rng: np.random.Generator, draws: int, samples: int, inputs: int) -> Found:
    """Appendix F: with whitened inputs the mean square loss is half the squared distance from Lambda_yx, up to a constant."""
    gaps, unwhitened = np.zeros(draws), np.zeros(draws)
    for i in range(draws):
        x = rng.standard_normal((inputs, samples)) * 10 ** rng.uniform(-1, 1, (inputs, 1))
        values, vectors = np.linalg.eigh(x @ x.T / samples)
        white, y = (vectors / np.sqrt(values)) @ vectors.T @ x, rng.standard_normal((2, samples))
        w = rng.standard_normal((2, inputs))
        gaps[i], unwhitened[i] = _appendix_f_gap(white, y, w), _appendix_f_gap(x, y, w)
    return {
        "appendix_f_gap_max": readings.largest(gaps, 1e-13),
        "appendix_f_gap_unwhitened_min": readings.smallest(unwhitened, 1e-13),
    }


def _appendix_f_gap(x: Float[np.ndarray, "d s"], y: Float[np.ndarray, "o s"], w: Float[np.ndarray, "o d"]) -> float:
    """Relative difference of the loss, and of its gradient, from the form of Eq. (20)."""
    samples = x.shape[1]
    cross = y @ x.T / samples
    loss = ((w @ x - y) ** 2).sum() / (2 * samples)
    constant = (y**2).sum() / (2 * samples) - (cross**2).sum() / 2
    form = ((w - cross) ** 2).sum() / 2 + constant
    gradient = (w @ x - y) @ x.T / samples
    return float(max(abs(loss - form) / abs(form), np.abs(gradient - (w - cross)).max() / np.abs(w - cross).max()))


def stays_antiparallel(depths: Sequence[int]) -> Found:
    """The control of Proposition 14: on the axis opposite to the target the flow ends at 0, and the loss at one half."""
    lowest = []
    for depth in depths:
        target = np.array([1.0, 0.0])
        weights = balanced_start(np.array([[-0.2, 0.0]]), [2] * (depth - 1))
        layers = layer_flow(weights, partial(_away_from, target), np.array([0.0, ANTIPARALLEL_END]), rtol=RTOL)
        lowest.append(((end_to_end(layers[-1]) - target) ** 2).sum() / 2)
    loss = np.array(lowest)
    return {
        "antiparallel_loss_min": readings.smallest(loss, 1e-9),
        "antiparallel_slack_max": readings.largest(np.log(0.05 / loss), 1e-8),
    }


def equation_59(rng: np.random.Generator, depths: Sequence[int], nus: Sequence[float], norm: float, inputs: int) -> Found:
    """Lemmas 38 and 42: Eq. (59), integrated as it is printed, has the exact flow as its solution, up to the end of the clock."""
    gaps: dict[int, list[tuple[float, float]]] = {0: [], 1: []}
    for depth in depths:
        for nu in nus:
            target = rng.standard_normal(inputs)
            target /= np.linalg.norm(target)
            u0 = start_at(rng, target, nu, norm)
            exact = ReparameterisedFlow(np.array([float(depth)]), np.array([nu]), np.array([norm]), CLOCK_END)
            for less in gaps:
                fine, coarse = (_gap_of(depth - less, u0, target, exact, rtol) for rtol in (RTOL, COARSE_RTOL))
                gaps[less].append((fine, coarse))
    found = {less: Refined.of(*map(np.array, zip(*pairs, strict=True))) for less, pairs in gaps.items()}
    return {"lemma38_gap_max": found[0].largest(), "lemma38_gap_one_less_min": found[1].smallest()}


def _gap_of(
    n: int, u0: Float[np.ndarray, " d"], target: Float[np.ndarray, " d"], exact: ReparameterisedFlow, rtol: float
) -> float:
    """The largest distance of the length of a solution of Eq. (59) from that of the exact flow."""

    def rates(_: float, u: np.ndarray) -> np.ndarray:
        norm = np.linalg.norm(u)
        return np.asarray(-norm * (n * u - target) + (n - 1) * u * (u @ target) / norm)

    times = exact.times[::4]
    solution = initial_value.solve(rates, times[-1], u0, "DOP853", times, rtol=rtol, atol=1e-3 * rtol).y
    return float(np.abs(np.linalg.norm(solution, axis=0) - exact.norm[0, ::4]).max())


def lemma_36(rng: np.random.Generator, draws: int) -> Found:
    """Lemma 36, quoted: a solution of q' <= g stays below one of q' >= g; g is a random sum of sines, Lipschitz in q."""
    least, wrong, times = np.zeros(draws), np.zeros(draws), np.linspace(0.0, 5.0, 101)
    for i in range(draws):
        a, b, c = rng.standard_normal(3), rng.uniform(0.5, 2.0, 3), rng.uniform(0, 6, 3)
        off = np.array([-1.0, 1.0]) * rng.uniform(0.1, 1.0, 2)

        def solved(rates: Callable[[float, np.ndarray], np.ndarray]) -> Float[np.ndarray, "2 p"]:
            found: np.ndarray = initial_value.solve(rates, 5.0, np.zeros(2), "DOP853", times, rtol=1e-9, atol=1e-11).y
            return found

        for sign, gaps in ((1.0, least), (-1.0, wrong)):
            path = solved(partial(_sines, a, b, c, sign * off))
            gaps[i] = (path[1] - path[0])[1:].min()
    return {"lemma36_gap_min": readings.smallest(least, 1e-8), "lemma36_gap_reversed_max": readings.largest(wrong, 1e-8)}


def _sines(a: np.ndarray, b: np.ndarray, c: np.ndarray, off: np.ndarray, t: float, q: np.ndarray) -> np.ndarray:
    """A random right side, below it in the first entry and above it in the second."""
    return np.asarray((a[:, None] * np.sin(b[:, None] * q + c[:, None] + t)).sum(axis=0) + off)

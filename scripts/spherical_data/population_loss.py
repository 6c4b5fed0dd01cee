"""Identities and inequalities of the population loss, point by point (spherical_data: Lemmas 2, 3, Propositions 1-3, 5, Eq. 14).

One cell per law. Gradients are taken by direct quadrature of Eq. (2), which knows only that the angle is uniform; the errors are
the distance to a quadrature with fewer panels. Samples of each law test Assumption 1 itself, and Lemma 2 once more in R^d.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.networks import linear
from flowcheck.papers.spherical_data.bounds import GROWTH_CAP
from flowcheck.papers.spherical_data.population import SphericalLaw, law, law_gradient, planar_gradient
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

ELLIPSE = np.diag([1.0, 3.0])
# The label-giving vector of the stretched data: any direction off the axes of the ellipse will do, this one is the inventory's.
TILTED = np.array([math.cos(0.7), math.sin(0.7)])


class Parameters(ParametersModel):
    law: str
    radii: list[Annotated[float, Field(gt=0)]] = Field(min_length=2)
    angles: int = Field(ge=5)
    random_points: int = Field(ge=20)
    samples: int = Field(ge=1000)
    depths: list[int]


def cell(p: Parameters, context: Context) -> Evidence:
    which = law(p.law)
    result = {"c0": which.c0, "mean_norm": which.mean_norm, "dimension": which.dimension}
    result |= pointwise(p, which, context) | smoothness(p, which, context) | parallel(which) | end_to_end_flow(p, which, context)
    result |= sampled(p, which, context)
    if p.law == "circle":
        result |= stretched(p, context) | square(p, context)
    return Evidence(arrays={key: np.asarray(value) for key, value in result.items()})


def pointwise(p: Parameters, which: SphericalLaw, context: Context) -> dict[str, np.ndarray]:
    """Lemma 2, Proposition 3(i), Proposition 2(i), Lemma 3(i)-(iii) on a grid of norms and angles, directions random in R^d."""
    rng, unit = context.rng("directions"), which.c0 / math.pi
    angles = np.concatenate([[0.01], np.linspace(0.05, math.pi - 0.05, p.angles), [0.5 * math.pi - 0.01, 0.5 * math.pi + 0.01]])
    rows = []
    for r in context.progress(p.radii, what="norms"):
        for angle in angles:
            v, z = orthonormal_pair(rng, which.dimension)

            def at(turned: float, v: np.ndarray = v, z: np.ndarray = z, r: float = r) -> np.ndarray:
                return r * (math.cos(turned) * v + math.sin(turned) * z)

            w = at(angle)
            gradient, coarse = law_gradient(which, w, v), law_gradient(which, w, v, panels=16)
            bar = w / r
            tangential = gradient - (bar @ gradient) * bar
            target = v - (bar @ v) * bar
            h = 1e-4
            turned = [-at(angle + s * h) @ law_gradient(which, at(angle + s * h), v) for s in (1, -1)]
            rows.append({
                "r": r,
                "angle": angle,
                "eq5": abs(-v @ tangential / unit - math.sin(angle) ** 2),
                "eq6": np.abs(tangential / unit + target).max(),
                "eq6_mean_norm": np.abs(tangential / (which.mean_norm / math.pi) + target).max(),
                "closed": np.abs(gradient - which.gradient(w, v)).max() / unit,
                "quadrature_error": np.abs(gradient - coarse).max() / unit,
                "size": np.linalg.norm(gradient) / which.c0,
                "pull": -v @ gradient / unit,
                "growth": -w @ gradient,
                "slope": (turned[0] - turned[1]) / (2 * h) / (r * math.sin(angle) * unit),
            })  # fmt: skip
    table = pd.DataFrame(rows)
    limit = which.c0 / (2 * math.pi * which.coordinate_second_moment / 4.0)  # L of Lemma 3(iv) is E|x|²/8 = E x_1²/4
    small = []
    for reach in (1.0, 4.0):
        ratios = []
        for _ in range(p.random_points):
            angle = rng.uniform(0.02, math.pi - 0.02)
            v, z = orthonormal_pair(rng, which.dimension)
            bar = math.cos(angle) * v + math.sin(angle) * z
            w = reach * limit * abs(math.cos(angle)) * (1.0 if reach > 1 else 10 ** rng.uniform(-2, 0)) * bar
            ratios.append(-bar @ law_gradient(which, w, v) / (unit * math.cos(angle)))
        small.append(min(ratios))
    return {f"grid/{key}": table[key].to_numpy() for key in table} | {
        "small_norm_min": small[0],
        "small_norm_four_times": small[1],
    }


def smoothness(p: Parameters, which: SphericalLaw, context: Context) -> dict[str, float]:
    """Proposition 1 on random pairs: Lipschitz, smooth, convex; and how the Hessian fades along v."""
    rng = context.rng("pairs")
    v = np.eye(which.dimension)[-1]
    lipschitz, smooth, jensen = [], [], []
    for _ in range(p.random_points):
        a, b = (10 ** rng.uniform(-0.5, 1.0) * x / np.linalg.norm(x) for x in rng.standard_normal((2, which.dimension)))
        loss_a, loss_b, middle = (float(which.loss(np.linalg.norm(x), x @ v / np.linalg.norm(x))) for x in (a, b, 0.5 * (a + b)))
        gap = np.linalg.norm(a - b)
        lipschitz.append(abs(loss_a - loss_b) / (which.mean_norm * gap))
        change = np.linalg.norm(law_gradient(which, a, v) - law_gradient(which, b, v))
        smooth.append(change / (0.25 * which.coordinate_second_moment * gap))
        jensen.append((0.5 * (loss_a + loss_b) - middle) / gap**2)
    k = np.array([1e3, 1e4])
    hessian = np.maximum(which.kappa(k) / k, which.kappa_slope(k))  # tangential and radial eigenvalues along v
    # the broken hypothesis: one tenth of the mass sits on {v·x = 0}, where the logistic curvature stays 1/4
    atom = 0.9 * hessian + 0.1 * 0.25 * which.coordinate_second_moment
    slope, slope_atom = (math.log(x[1] / x[0]) / math.log(10.0) for x in (hessian, atom))
    return {
        "lipschitz_max": max(lipschitz),
        "smooth_max": max(smooth),
        "jensen_min": min(jensen),
        "hessian_slope": slope,
        "hessian_slope_atom": slope_atom,
    }


def parallel(which: SphericalLaw) -> dict[str, float]:
    """Proposition 3(ii) and its two printed forms; the limit (21) far across v; the attained size of the gradient at -kv."""
    v, unit = np.eye(which.dimension)[-1], which.c0 / math.pi
    right, sign, exponent = [], [], []
    x, weight = which.coordinate_nodes, which.coordinate_weights
    for a in (-5.0, -1.0, 0.1, 1.0, 5.0):
        gradient = law_gradient(which, a * v, v)
        value, without_a = float(weight @ (x / (1.0 + np.exp(a * x)))), float(weight @ (x / (1.0 + np.exp(x))))
        right.append(np.abs(gradient + value * v).max() / unit)
        sign.append(np.abs(gradient - value * v).max() / unit)
        exponent.append(np.abs(gradient + without_a * v).max() / unit)
    z, beta = np.eye(which.dimension)[0], np.array([1e2, 1e3, 1e4])
    far = np.array([abs(-v @ which.gradient(v + b * z, v) / unit - 1.0) for b in beta])
    return {
        "parallel": max(right),
        "parallel_printed_sign": max(sign),
        "parallel_printed_exponent": max(exponent),
        "limit21_slope": math.log(far[-1] / far[0]) / math.log(beta[-1] / beta[0]),
        "limit21_gap": far[-1],
        "size_at_minus_v": np.linalg.norm(law_gradient(which, -100.0 * v, v)) / which.c0,
    }


def end_to_end_flow(p: Parameters, which: SphericalLaw, context: Context) -> dict[str, float]:
    """Eq. (14) at random balanced weights, at unbalanced ones, and at weights that satisfy Eq. (13) as it is printed."""
    rng, d = context.rng("weights"), which.dimension
    v, result = np.eye(d)[-1], {"balanced": 0.0, "unbalanced": math.inf, "printed13": math.inf, "printed13_defect": 0.0}
    for depth in p.depths:
        w = rng.standard_normal(d)
        weights = linear.balanced_weights(w, rng.integers(1, 7, depth - 1), rng)
        result["balanced"] = max(result["balanced"], end_to_end_residual(which, weights, v))
        weights[0], weights[1] = 2.0 * weights[0], 0.5 * weights[1]
        result["unbalanced"] = min(result["unbalanced"], end_to_end_residual(which, weights, v))
        # W_{j+1}^T W_{j+1} = W_j^T W_j needs square layers: W_j = q_j a^T with unit q_j, and the last row a^T
        a = rng.standard_normal(d)
        units = [x / np.linalg.norm(x) for x in rng.standard_normal((depth - 1, d))]
        printed = [*(np.outer(q, a) for q in units), a[None, :]]
        grams = [layer.T @ layer for layer in printed]
        result["printed13_defect"] = max(result["printed13_defect"], *(np.abs(g - grams[0]).max() for g in grams))
        result["printed13"] = min(result["printed13"], end_to_end_residual(which, printed, v))
    return {f"eq14_{key}": value for key, value in result.items()}


def end_to_end_residual(which: SphericalLaw, weights: list[np.ndarray], v: np.ndarray) -> float:
    """Relative distance between the product rule on the layers' velocities and the right side of Eq. (14)."""
    w_e = linear.end_to_end(weights)
    gradient = law_gradient(which, w_e, v)
    rate = linear.end_to_end_velocity(weights, gradient)
    predicted = linear.end_to_end_rate(w_e, gradient, len(weights))
    return float(np.linalg.norm(rate - predicted) / np.linalg.norm(predicted))


def sampled(p: Parameters, which: SphericalLaw, context: Context) -> dict[str, float]:
    """Assumption 1 on the sampler itself, and Lemma 2 by Monte Carlo in R^d; all as z-scores against their standard errors."""
    rng = context.rng("samples")
    x = which.sample(rng, p.samples)
    directions = np.linalg.qr(rng.standard_normal((which.dimension, which.dimension)))[0]
    turned = x @ directions
    moments = [turned[:, i] ** 2 / which.coordinate_second_moment - 1.0 for i in range(2)]
    plane = np.linalg.norm(turned[:, :2], axis=1) / which.c0 - 1.0
    v, w = directions[:, 0], 3.0 * (0.6 * directions[:, 1] - 0.8 * directions[:, 0])
    return {
        "assumption_z": max(abs(z_score(column)) for column in (*moments, moments[0] - moments[1], plane)),
        "lemma2_z": abs(z_score(lemma2_samples(x, w, v) - which.c0 / math.pi * 0.36)),
        "zero_margin_fraction": np.mean(x @ v == 0.0),
    }


def lemma2_samples(x: np.ndarray, w: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Samples whose mean is the left side of Eq. (5)."""
    label, bar = np.where(x @ v >= 0, 1.0, -1.0), w / np.linalg.norm(w)
    return label * (x @ (v - (bar @ v) * bar)) / (1.0 + np.exp(label * (x @ w)))


def stretched(p: Parameters, context: Context) -> dict[str, float]:
    """Lemma 2, Lemma 3(ii), (iii), Proposition 2(i) on broken data: points stretched by diag(1, 3), labels flipped."""
    ones, residual, obtuse, slope, pull = np.ones(1), [], [], [], []
    angle = np.linspace(0, 2 * math.pi, 4001)[:-1]
    c0 = float(np.linalg.norm(np.stack([np.cos(angle), 3.0 * np.sin(angle)]), axis=0).mean())
    across = np.array([-TILTED[1], TILTED[0]])
    for r in (0.5, 3.0):
        for turned in np.linspace(-3.1, 3.1, 63):

            def gradient(t: float, r: float = r) -> tuple[np.ndarray, np.ndarray]:
                w = r * (math.cos(t) * TILTED + math.sin(t) * across)
                return w, planar_gradient(ones, ones, w, TILTED, stretch=ELLIPSE, panels=12)

            w, g = gradient(turned)
            bar = w / r
            pull.append(-TILTED @ g / (c0 / math.pi))
            residual.append(np.abs((g - (bar @ g) * bar) / (c0 / math.pi) + TILTED - (bar @ TILTED) * bar).max())
            if abs(turned) > 0.5 * math.pi:
                obtuse.append(-bar @ g / (c0 / math.pi))
            elif abs(turned) > 0.05:
                (up, gu), (down, gd) = gradient(turned + 1e-4), gradient(turned - 1e-4)
                slope.append((-up @ gu + down @ gd) / 2e-4 / (r * c0 / math.pi) * math.copysign(1.0, turned))
    flipped = planar_gradient(ones, ones, np.array([0.0, 10.0]), np.array([0.0, 1.0]), flip_probability=0.1)
    return {
        "ellipse_lemma2": max(residual),
        "ellipse_obtuse": max(obtuse),
        "ellipse_slope": max(slope),
        "flipped_pull": -flipped[1] * math.pi,
        "ellipse_pull_min": min(pull),
        "finite_pull_min": finite_sets(p, context),
    }


def finite_sets(p: Parameters, context: Context) -> float:
    """Proposition 2(i) on random sets of 20 labelled points in R^3: smallest -v·∇L over the points' mean |v·x|."""
    rng, smallest = context.rng("finite"), math.inf
    for _ in range(p.random_points):
        x, v = rng.standard_normal((20, 3)), rng.standard_normal(3)
        v /= np.linalg.norm(v)
        w = 10 ** rng.uniform(-1, 0.5) * rng.standard_normal(3)
        label = np.where(x @ v >= 0, 1.0, -1.0)
        share = np.abs(x @ v) / (1.0 + np.exp(label * (x @ w)))
        smallest = min(smallest, share.mean() / np.abs(x @ v).mean())
    return smallest


def square(p: Parameters, context: Context) -> dict[str, float]:
    """The uniform square has a covariance proportional to the identity and no spherical symmetry: isotropy is not enough."""
    rng = context.rng("square")
    x = rng.uniform(-1.0, 1.0, (max(p.samples, 1_000_000), 2))
    c0 = (math.sqrt(2.0) + math.log(1.0 + math.sqrt(2.0))) / 3.0  # mean distance to the centre of [-1, 1]²
    v, w = np.array([0.0, 1.0]), 3.0 * np.array([0.6, -0.8])
    turned = (x[:, 0] + x[:, 1]) / math.sqrt(2.0)
    return {
        "square_lemma2_z": abs(z_score(lemma2_samples(x, w, v) - c0 / math.pi * 0.36)),
        "square_covariance_z": abs(z_score(x[:, 0] ** 2 - turned**2)),
        "ellipse_covariance_z": abs(z_score(x[:, 0] ** 2 - 9.0 * x[:, 1] ** 2)),
    }


def z_score(samples: np.ndarray) -> float:
    """Mean over its standard error; zero for samples that are all zero up to rounding."""
    spread = samples.std(ddof=1)
    return float(samples.mean() / spread * math.sqrt(len(samples))) if spread > 1e-12 else float(abs(samples.mean()) > 1e-9) * 1e9


def orthonormal_pair(rng: np.random.Generator, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.linalg.qr(rng.standard_normal((dimension, 2)))[0].T)


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence = Evidence()
    by_law = {name.removeprefix("law-"): cell.arrays for name, cell in cells.items()}
    frames = []
    for name, a in by_law.items():
        grid = {key.removeprefix("grid/"): value for key, value in a.items() if key.startswith("grid/")}
        frames.append(pd.DataFrame({"law": name} | grid))
    evidence.runs = runs = pd.concat(frames, ignore_index=True)
    points, quadrature = len(runs), runs.quadrature_error.max()

    def worst(name: str, key: str, pick=max, error: float = 1e-13) -> None:
        values = [float(a[key]) for a in by_law.values() if key in a]
        evidence.measure(name, pick(values), error=error, n=len(values))

    evidence.measure("lemma2_residual_eq5_max", runs.eq5.max(), error=quadrature, n=points)
    evidence.measure("lemma2_residual_eq6_max", runs.eq6.max(), error=quadrature, n=points)
    evidence.measure("closed_form_gradient_gap_max", runs.closed.max(), error=quadrature, n=points)
    high = {name for name, a in by_law.items() if int(a["dimension"]) > 2}
    wrong = runs[runs["law"].isin(high)].groupby("law").eq6_mean_norm.max()
    evidence.measure("lemma2_residual_full_norm_min", wrong.min(), error=quadrature, n=len(wrong))
    evidence.measure(
        "gradient_size_over_c0_max",
        max(runs["size"].max(), *(float(a["size_at_minus_v"]) for a in by_law.values())),
        error=1e-12,
        n=points,
    )
    evidence.measure(
        "gradient_size_over_half_c0_max", 2.0 * max(float(a["size_at_minus_v"]) for a in by_law.values()), error=1e-12
    )
    evidence.measure("pull_towards_v_min", runs.pull.min(), error=quadrature, n=points)
    evidence.measure("growth_over_cap_max", runs.growth.max() / GROWTH_CAP, error=1e-12, n=points)
    evidence.measure("growth_over_two_thirds_cap_max", runs.growth.max() / 0.2, error=1e-12, n=points)
    obtuse, acute = runs[runs.angle > 0.5 * math.pi], runs[runs.angle <= 0.5 * math.pi]
    evidence.measure("growth_obtuse_max", (obtuse.growth / obtuse.r).max(), error=quadrature, n=len(obtuse))
    # central differences of step 1e-4 err by step²/6 of the third derivative, plus rounding over the step
    evidence.measure("growth_slope_acute_max", acute.slope.max(), error=1e-5, n=len(acute))
    evidence.measure("growth_slope_acute_min", acute.slope.min(), error=1e-5, n=len(acute))
    worst("small_norm_growth_min", "small_norm_min", min)
    worst("small_norm_growth_at_four_times", "small_norm_four_times", max)
    worst("lipschitz_ratio_max", "lipschitz_max")
    worst("smoothness_ratio_max", "smooth_max", error=1e-11)
    evidence.measure("smoothness_ratio_constant_halved", 2 * max(float(a["smooth_max"]) for a in by_law.values()), error=1e-11)
    worst("jensen_gap_min", "jensen_min", min, error=1e-14)
    worst("hessian_slope_max", "hessian_slope", error=1e-10)
    worst("hessian_slope_with_atom_min", "hessian_slope_atom", min, error=1e-10)
    for key in ("parallel", "parallel_printed_sign", "parallel_printed_exponent"):
        worst(f"{key}_residual_max", key)
    worst("limit21_slope_max", "limit21_slope", error=1e-6)
    worst("limit21_gap_max", "limit21_gap")
    for key in ("balanced", "unbalanced", "printed13"):
        worst(f"equation14_residual_{key}", f"eq14_{key}", max if key == "balanced" else min)
    worst("printed13_defect_max", "eq14_printed13_defect")
    worst("assumption1_z_max", "assumption_z", error=0.0)
    worst("lemma2_z_max", "lemma2_z", error=0.0)
    worst("zero_margin_fraction_max", "zero_margin_fraction", error=0.0)
    for key in (
        "ellipse_lemma2",
        "ellipse_obtuse",
        "ellipse_slope",
        "ellipse_pull_min",
        "finite_pull_min",
        "flipped_pull",
        "square_lemma2_z",
        "square_covariance_z",
        "ellipse_covariance_z",
    ):
        worst(key, key, error=0.0 if key.endswith("_z") else 1e-13 if key == "finite_pull_min" else 1e-6)
    r = np.geomspace(1e-2, 1e2, 200)
    evidence.arrays = {"r": r} | {f"kappa_{name}": law(name).kappa(r) / law(name).c0 * math.pi for name in by_law}
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)

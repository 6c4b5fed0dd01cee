"""Where the norm grows: the sign map of Figure 2 (spherical_data, A.5), sampled as in the paper, with its exact boundary.

At each point w the sign of g(w) = E[y w·x / (1 + exp(y w·x))] is estimated from fresh samples on the circle; the boundary is the
curve cos θ = π κ(r) / c0.
"""

import math

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.measures.readings import count, fraction, largest, smallest
from flowcheck.papers.spherical_data.population import law
from flowcheck.pipeline.evidence import Evidence, Found, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main

CLOSED_FORM = 1e-15
"""Rounding of g and of κ: a quadrature of positive terms that add up to less than one."""
ARCCOSINE = 1e-14
"""Rounding of an angle: that of its cosine over the sine, which is 0.1 or more on the boundary."""


class Parameters(ParametersModel):
    half_widths: list[float] = Field(min_length=1)
    points: int = Field(ge=11)
    samples: int = Field(ge=100)


def cell(p: Parameters, context: Context) -> Evidence:
    evidence, maps = Evidence(arrays={"half_widths": np.array(p.half_widths)}), []
    for half_width in p.half_widths:
        axis = np.linspace(-half_width, half_width, p.points)
        w = np.stack(np.meshgrid(axis, axis, indexing="xy"), axis=-1).reshape(-1, 2)
        mean, error = np.empty(len(w)), np.empty(len(w))
        rng = context.rng("samples", half_width)
        for block in context.progress(np.array_split(np.arange(len(w)), 64), what=f"[-{half_width}, {half_width}]^2"):
            mean[block], error[block] = sampled_growth(w[block], p.samples, rng)
        r = np.linalg.norm(w, axis=1)
        cosine = np.divide(w[:, 1], r, out=np.zeros_like(r), where=r > 0)
        exact = law("circle").norm_growth(r, cosine)
        maps.append(pd.DataFrame({"x": w[:, 0], "y": w[:, 1], "sampled": mean, "error": error, "exact": exact})[r > 0])
        evidence.arrays |= {f"{key}_{half_width:g}": v for key, v in (("sampled", mean), ("exact", exact), ("error", error))}
    evidence.runs = pd.concat(maps, ignore_index=True)
    evidence.add(disagreement(evidence.runs))
    evidence.add(lemma3(evidence.runs))
    evidence.add(boundary(max(p.half_widths)))
    return evidence


def sampled_growth(w: np.ndarray, samples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """g(w) [n] from fresh points of the circle for each of w [n, 2], and its standard error."""
    angle = rng.uniform(0.0, 2.0 * math.pi, (len(w), samples))
    x, y = np.cos(angle), np.sin(angle)
    margin = np.where(y >= 0, 1.0, -1.0) * (x * w[:, :1] + y * w[:, 1:])
    values = margin / (1.0 + np.exp(margin))
    return values.mean(axis=1), values.std(axis=1, ddof=1) / math.sqrt(samples)


def polar(points: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Norm, cosine to v and the component across v of each point."""
    w = points[["x", "y"]].to_numpy()
    r = np.linalg.norm(w, axis=1)
    return r, w[:, 1] / r, w[:, 0] / r


def disagreement(points: pd.DataFrame) -> Found:
    """Signs of the samples against the exact ones, and against those of a map that is rotated by 0.3 rad."""
    r, cosine, across = polar(points)
    sampled, error = points.sampled.to_numpy(), points.error.to_numpy()
    rotated = law("circle").norm_growth(r, cosine * math.cos(0.3) - across * math.sin(0.3))
    found: dict[str, Measurement] = {}
    for key, growth in (("", points.exact.to_numpy()), ("_rotated", rotated)):
        differs = np.sign(sampled) != np.sign(growth)
        clear = np.abs(growth) > 4.0 * error
        found[f"clear_points_with_wrong_sign{key}"] = count((differs & clear)[clear])
        found[f"disagreement_fraction{key}"] = fraction(differs)
    return found


def lemma3(points: pd.DataFrame) -> Found:
    """Signs of g over the norm: negative in the lower half, positive on the axis and in the disc of Lemma 3."""
    r, cosine, across = polar(points)
    exact = points.exact.to_numpy()
    inside, wide = ((cosine > 0) & (r <= size / math.pi * cosine) for size in (4.0, 16.0))
    return {
        "growth_lower_half_max": largest(exact / r, CLOSED_FORM, cosine <= 0),
        "growth_on_axis_min": smallest(exact, CLOSED_FORM, (across == 0) & (cosine > 0)),
        "growth_upper_half_min": smallest(exact / r, CLOSED_FORM, cosine > 0),
        "growth_guaranteed_disc_min": smallest(exact / r**2, CLOSED_FORM, inside),
        "growth_disc_four_times_min": smallest(exact / r**2, CLOSED_FORM, wide),
    }


def boundary(radius: float) -> Found:
    """The curve on which g vanishes: once on every circle, where cos θ = π κ(r) / c0, at an angle that falls with r."""
    circle, radii, angles = law("circle"), np.geomspace(1e-3, radius, 400), np.linspace(0.0, 0.5 * math.pi, 2001)
    cosine, spacing = math.pi * circle.kappa(radii), angles[1] - angles[0]
    grid = circle.c0 / math.pi * np.cos(angles)[None, :] - circle.kappa(radii)[:, None]  # g over the norm
    changes = (np.diff(np.sign(grid), axis=1) != 0).sum(axis=1)
    gap = np.abs(angles[np.argmax(grid < 0, axis=1)] - np.arccos(cosine)) / spacing
    return {
        "sign_changes_per_circle_max": Measurement.count(changes.max(), len(radii)),
        "sign_changes_per_circle_min": Measurement.count(changes.min(), len(radii)),
        "boundary_angle_gap_in_spacings": largest(gap, CLOSED_FORM / spacing),
        "boundary_angle_increase_max": largest(np.diff(np.arccos(cosine)), ARCCOSINE),
        "boundary_r": radii,
        "boundary_cosine": cosine,
    }


if __name__ == "__main__":
    main(Parameters, cell)

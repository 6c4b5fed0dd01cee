"""Where the norm grows: the sign map of Figure 2 (spherical_data, A.5), sampled as in the paper, with its exact boundary.

At each point w the sign of g(w) = E[y w·x / (1 + exp(y w·x))] is estimated from fresh samples on the circle; the boundary is the
curve cos θ = π κ(r) / c0.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.measures.statistics import clopper_pearson
from flowcheck.papers.spherical_data.population import law
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main


class Parameters(ParametersModel):
    half_widths: list[float] = Field(min_length=1)
    points: int = Field(ge=11)
    samples: int = Field(ge=100)


def cell(p: Parameters, context: Context) -> Evidence:
    arrays = {}
    for half_width in p.half_widths:
        axis = np.linspace(-half_width, half_width, p.points)
        w = np.stack(np.meshgrid(axis, axis, indexing="xy"), axis=-1).reshape(-1, 2)
        mean, error = np.empty(len(w)), np.empty(len(w))
        rng = context.rng("samples", half_width)
        for block in context.progress(np.array_split(np.arange(len(w)), 64), what=f"[-{half_width}, {half_width}]^2"):
            angle = rng.uniform(0.0, 2.0 * math.pi, (len(block), p.samples))
            x, y = np.cos(angle), np.sin(angle)
            margin = np.where(y >= 0, 1.0, -1.0) * (x * w[block, :1] + y * w[block, 1:])
            values = margin / (1.0 + np.exp(margin))
            mean[block], error[block] = values.mean(axis=1), values.std(axis=1, ddof=1) / math.sqrt(p.samples)
        r = np.linalg.norm(w, axis=1)
        cosine = np.divide(w[:, 1], r, out=np.zeros_like(r), where=r > 0)
        exact = law("circle").norm_growth(r, cosine)
        arrays |= {f"{half_width}/{k}": v for k, v in {"w": w, "sampled": mean, "error": error, "exact": exact}.items()}
    return Evidence(arrays=arrays)


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, arrays = Evidence(), cells["all"].arrays
    stacked = {key: np.concatenate([arrays[f"{h}/{key}"] for h in p.half_widths]) for key in ("w", "sampled", "error", "exact")}
    away = np.linalg.norm(stacked["w"], axis=1) > 0
    w, sampled, error, exact = (stacked[key][away] for key in ("w", "sampled", "error", "exact"))
    r, n = np.linalg.norm(w, axis=1), int(away.sum())
    cosine, circle = w[:, 1] / r, law("circle")
    differs = np.sign(sampled) != np.sign(exact)
    rotated = circle.norm_growth(r, cosine * math.cos(0.3) - w[:, 0] / r * math.sin(0.3))
    clear = np.abs(exact) > 4.0 * error
    evidence.measure("clear_points_with_wrong_sign", (differs & clear).sum(), error=0.0, n=int(clear.sum()))
    clear_rotated = np.abs(rotated) > 4.0 * error
    wrong = (np.sign(sampled) != np.sign(rotated)) & clear_rotated
    evidence.measure("clear_points_with_wrong_sign_rotated", wrong.sum(), error=0.0, n=int(clear_rotated.sum()))
    for key, wrong in (("", differs), ("_rotated", np.sign(sampled) != np.sign(rotated))):
        interval = clopper_pearson(int(wrong.sum()), n)
        evidence.measure(f"disagreement_fraction{key}", wrong.mean(), error=0.0, interval=interval, n=n)
    lower, axis = cosine <= 0, (w[:, 0] == 0) & (w[:, 1] > 0)
    evidence.measure("growth_lower_half_max", (exact / r)[lower].max(), error=1e-15, n=int(lower.sum()))
    evidence.measure("growth_on_axis_min", exact[axis].min(), error=1e-15, n=int(axis.sum()))
    evidence.measure("growth_upper_half_min", (exact / r)[~lower].min(), error=1e-15, n=int((~lower).sum()))
    inside = (cosine > 0) & (r <= 4.0 / math.pi * cosine)
    evidence.measure("growth_guaranteed_disc_min", (exact / r**2)[inside].min(), error=1e-15, n=int(inside.sum()))
    wide = (cosine > 0) & (r <= 16.0 / math.pi * cosine)
    evidence.measure("growth_disc_four_times_min", (exact / r**2)[wide].min(), error=1e-15, n=int(wide.sum()))
    radii = np.geomspace(1e-3, max(p.half_widths), 400)
    boundary = math.pi * circle.kappa(radii)
    angles = np.linspace(0.0, 0.5 * math.pi, 2001)
    grid = circle.c0 / math.pi * np.cos(angles)[None, :] - circle.kappa(radii)[:, None]  # g over the norm
    changes = (np.diff(np.sign(grid), axis=1) != 0).sum(axis=1)
    crossing = angles[np.argmax(grid < 0, axis=1)]
    spacing = angles[1] - angles[0]
    evidence.measure("sign_changes_per_circle_max", changes.max(), error=0.0, n=len(radii))
    evidence.measure("sign_changes_per_circle_min", changes.min(), error=0.0, n=len(radii))
    evidence.measure(
        "boundary_angle_gap_in_spacings", np.abs(crossing - np.arccos(boundary)).max() / spacing, error=1e-9, n=len(radii)
    )
    evidence.measure("boundary_angle_increase_max", np.diff(np.arccos(boundary)).max(), error=1e-14, n=len(radii))
    evidence.arrays = {f"{key}_{h:g}": arrays[f"{h}/{key}"] for h in p.half_widths for key in ("sampled", "exact", "error")}
    evidence.arrays |= {"boundary_r": radii, "boundary_cosine": boundary, "half_widths": np.array(p.half_widths)}
    evidence.runs = pd.DataFrame({"x": w[:, 0], "y": w[:, 1], "sampled": sampled, "error": error, "exact": exact})
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)

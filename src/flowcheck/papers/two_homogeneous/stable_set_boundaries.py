"""Boundaries between stable sets (ours): found by section, with no knowledge of saddles, they are the stable sets of saddles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.flows import flow
from flowcheck.geometry import unit
from flowcheck.measures.readings import NOTHING
from flowcheck.measures.refinement import Refined
from flowcheck.papers.two_homogeneous import stable_sets
from flowcheck.papers.two_homogeneous.landscape import Landscape
from flowcheck.papers.two_homogeneous.stable_set_maps import SphereMap
from flowcheck.pipeline.evidence import Found

SECTIONS, ROUNDS = 33, 3
"""A segment between two stable sets is cut into 32 parts three times: 3e-5 of its length."""
CURVE_RTOL = 1e-9
"""Tolerance of the curves out of saddles."""
AWAY = 0.05
"""Distance from the saddle, on its stable set and beside it, from which flows are to reach the saddle, or not."""


@dataclass(frozen=True)
class Segments:
    """Pairs of directions [p, 3] on two sides of a boundary."""

    low: Float[Tensor, "p 3"]
    high: Float[Tensor, "p 3"]

    @property
    def middle(self) -> Float[Tensor, "p 3"]:
        return unit(self.low + self.high)

    @classmethod
    def across(cls, sphere: SphereMap, rng: np.random.Generator, count: int) -> Segments:
        """Neighbours on one latitude of the map that end at different maxima; `count` of them, or as many as there are."""
        differ = (sphere.table != sphere.table.roll(-1, 1)).nonzero()
        picked = differ[torch.from_numpy(rng.choice(len(differ), min(count, len(differ)), replace=False)).to(differ.device)]
        rows, columns = picked.T
        grid = sphere.grid.view(*sphere.table.shape, 3)
        return cls(grid[rows, columns], grid[rows, (columns + 1) % grid.shape[1]])

    def narrowed(self, landscape: Landscape) -> Segments:
        """The first of the equal parts of each on which the limit changes: a 32nd of it."""
        count, device = len(self.low), self.low.device
        share = torch.linspace(0, 1, SECTIONS, dtype=self.low.dtype, device=device)[None, :, None]
        points = unit((self.low[:, None] * (1 - share) + self.high[:, None] * share).view(-1, 3))
        owner = stable_sets.nearest(landscape.limits(points), landscape.maxima)[0].view(count, SECTIONS)
        first = (owner != owner[:, :1]).to(torch.int64).argmax(dim=1)
        points, every = points.view(count, SECTIONS, 3), torch.arange(count, device=device)
        return Segments(points[every, first - 1], points[every, first])


def boundaries(sphere: SphereMap, rng: np.random.Generator, count: int) -> Found:
    """Points on boundaries against the saddles' stable sets, and flows along these.

    The coarser numbers are those of curves with ten times the tolerance, and of segments that are cut once less. Where all
    directions end at one maximum there is no boundary, and nothing is measured.
    """
    landscape = sphere.landscape
    if not len(landscape.saddles) or bool((sphere.labels == sphere.labels[0]).all()):
        names = ("boundary_distance", "boundary_distance_unrefined", "saddle_approach", "saddle_approach_beside")
        none = np.zeros((0, 3))
        return {"curve_points": none, "curve_starts": np.zeros(1, dtype=np.int64), "boundary_points": none} | dict.fromkeys(
            names, NOTHING
        )
    fine, coarse = (
        stable_sets.stable_curves(landscape.ncf, landscape.saddles, landscape.points.relaxation, rtol=rtol)
        for rtol in (CURVE_RTOL, 10 * CURVE_RTOL)
    )
    rounds = [Segments.across(sphere, rng, count)]
    for _ in range(ROUNDS):
        rounds.append(rounds[-1].narrowed(landscape))
    distance = Refined.of(_apart(rounds[-1], fine), _apart(rounds[-2], coarse))
    before = Refined.of(_apart(rounds[0], fine), _apart(rounds[0], coarse))
    on, beside = _departures(fine)
    reached, missed = (
        Refined.of(*(closest_approach(landscape, starts, rtol) for rtol in (1e-8, 1e-7))) for starts in (on, beside)
    )
    return {
        "curve_points": torch.cat(fine).cpu().numpy(),
        "curve_starts": np.cumsum([0, *(len(curve) for curve in fine)]),
        "boundary_points": rounds[-1].middle.cpu().numpy(),
        "boundary_distance": distance.largest(),
        "boundary_distance_unrefined": before.largest(),
        "saddle_approach": reached.largest(),
        "saddle_approach_beside": missed.smallest(),
    }


def _apart(segments: Segments, curves: list[Float[Tensor, "n 3"]]) -> Float[np.ndarray, " p"]:
    """Distance of the middles from the nearest of the curves."""
    return torch.stack([stable_sets.distance_to_curve(segments.middle, curve) for curve in curves]).amin(dim=0).cpu().numpy()


def _departures(curves: list[Float[Tensor, "n 3"]]) -> tuple[Float[Tensor, "c 3"], Float[Tensor, "c 3"]]:
    """On each curve the first point that is `AWAY` from its saddle, and one as far beside the curve there."""
    away = [int(((curve - curve[0]).norm(dim=1) > AWAY).to(torch.int64).argmax()) for curve in curves]
    on, ahead = (torch.stack([curve[k + step] for curve, k in zip(curves, away, strict=True)]) for step in (0, 1))
    return on, unit(on + AWAY * unit(torch.linalg.cross(on, ahead - on)))


def closest_approach(landscape: Landscape, starts: Float[Tensor, "s 3"], rtol: float) -> Float[np.ndarray, " s"]:
    """Smallest distance to any saddle at the steps of the flows from these directions."""
    path = flow.gradient_flow(landscape.ncf, starts, length=landscape.points.relaxation, rtol=rtol, save=flow.Save(steps=True))
    assert path.every_step is not None
    distance = (path.every_step.direction[:, :, None] - landscape.saddles).norm(dim=3).amin(dim=2)
    return distance.nan_to_num(nan=math.inf).amin(dim=1).cpu().numpy()  # steps after the end of a row are NaN

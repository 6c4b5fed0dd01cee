"""Stable sets as a map (ours): the maximum that each direction of a sphere ends at; in the plane the arcs between minima."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.correlation.planar import RESOLUTION, PlanarCorrelation, angular_distance
from flowcheck.measures.refinement import Refined
from flowcheck.papers.two_homogeneous import stable_sets
from flowcheck.papers.two_homogeneous.landscape import Landscape
from flowcheck.pipeline.evidence import Found, Measurement

ASCENTS = 400
"""Directions of the grid, at most, from which ascent looks for maxima."""


@dataclass(frozen=True)
class SphereMap:
    """The limit of every direction of a grid of b latitudes and a longitudes, row by row.

    Attributes:
        landscape: whose flows they are.
        longitude, latitude: centres of the cells.
        grid, ends: directions and where they end, [b a, 3].
        labels, distance: number of the maximum next to each end, and how far it is.
    """

    landscape: Landscape
    longitude: Float[Tensor, " a"]
    latitude: Float[Tensor, " b"]
    grid: Float[Tensor, "g 3"]
    ends: Float[Tensor, "g 3"]
    labels: Int[Tensor, " g"]
    distance: Float[Tensor, " g"]

    @classmethod
    def of(cls, landscape: Landscape, longitudes: int, latitudes: int) -> SphereMap:
        """Follow all of them."""
        along = landscape.maxima.new_tensor
        longitude = along((np.arange(longitudes) + 0.5) / longitudes * 2 * math.pi - math.pi)
        latitude = along((np.arange(latitudes) + 0.5) / latitudes * math.pi - math.pi / 2)
        b, a = torch.meshgrid(latitude, longitude, indexing="ij")
        grid = torch.stack([b.cos() * a.cos(), b.cos() * a.sin(), b.sin()], dim=-1).view(-1, 3)
        ends = landscape.limits(grid)
        return cls(landscape, longitude, latitude, grid, ends, *stable_sets.nearest(ends, landscape.maxima))

    @property
    def table(self) -> Int[Tensor, "b a"]:
        """The labels, a latitude in each row."""
        return self.labels.view(len(self.latitude), len(self.longitude))

    @property
    def weight(self) -> Float[Tensor, "b a"]:
        """Share of the sphere in each cell."""
        across = self.latitude.cos()[:, None].repeat(1, len(self.longitude))
        return across / across.sum()

    def found(self) -> Found:
        """The map for its figure, and whether its ends are the maxima, all of them, and not the nearest ones."""
        points, n = self.landscape.points, len(self.grid)
        closest, start = stable_sets.nearest(self.grid, self.landscape.maxima)
        ascents = ascend(self.landscape.ncf, self.grid[:: max(1, n // ASCENTS)])
        by_ascent = stable_sets.nearest(ascents.points[ascents.distinct()], self.landscape.maxima)[0]
        sets, maxima = len(set(self.labels.tolist())), self.landscape.counts[0]
        arrays = {
            "longitude": self.longitude,
            "latitude": self.latitude,
            "labels": self.table,
            "values": self.landscape.ncf.value(self.grid).view(self.table.shape),
            "share": torch.stack([self.weight[self.table == number].sum() for number in range(maxima)]),
            "critical_points": points.points,
            "critical_index": points.index,
            "critical_value": points.value,
        }
        heights = self.landscape.heights
        found: dict[str, np.ndarray | Measurement] = {name: array.cpu().numpy() for name, array in arrays.items()}
        return found | {
            "map_limit_distance": self._largest(
                self.distance, lambda ends: stable_sets.nearest(ends, self.landscape.maxima)[1], points.location_error
            ),
            "map_limit_distance_start": Measurement(float(start.max()), points.location_error, n=n),
            "map_residual": self._largest(self.landscape.ncf.kkt_residual(self.ends), self.landscape.ncf.kkt_residual),
            "map_sets": Measurement.count(sets, n),
            "map_sets_minus_maxima": Measurement.count(abs(sets - maxima), n),
            "map_sets_minus_ascent": Measurement.count(abs(sets - len(set(by_ascent.tolist()))), n),
            "map_growing_maxima": Measurement.count(int((heights > 0).sum()), maxima),
            "map_collapsing_maxima": Measurement.count(int((heights < 0).sum()), maxima),
            "map_misassigned_by_distance": self.share_of((self.labels != closest).view(self.table.shape)),
        }

    def _largest(self, values: Float[Tensor, " g"], of_ends: Callable[[Tensor], Tensor], besides: float = 0.0) -> Measurement:
        return _at_two_tolerances(values, of_ends, self.landscape.limits, self.grid, besides)

    def share_of(self, cells: Tensor) -> Measurement:
        """The share of the sphere that some cells [b, a] make up.

        Its error is its largest change from the whole grid to one of the four grids of half the resolution in it, and no less
        than a cell, which a set may slip through.
        """
        shares = []
        for rows in (0, 1):
            for columns in (0, 1):
                part = self.weight[rows::2, columns::2]
                shares.append(float((part * cells[rows::2, columns::2]).sum() / part.sum()))
        whole = float((self.weight * cells).sum())
        error = max(float(self.weight.max()), *(abs(whole - share) for share in shares))
        return Measurement(whole, error, n=cells.numel())


def _at_two_tolerances(
    values: Float[Tensor, " s"],
    of_ends: Callable[[Tensor], Tensor],
    limits: Callable[[Tensor, float], Tensor],
    starts: Float[Tensor, "s k"],
    besides: float = 0.0,
) -> Measurement:
    """The largest of numbers that the ends of flows have; its error is its change when that flow has ten times the tolerance."""
    row = int(values.argmax())
    again = of_ends(limits(starts[row : row + 1], 10 * stable_sets.RTOL))
    return replace(Refined.of(float(values[row]), float(again[0])).with_rounding(besides).number(), n=len(values))


def circle(ncf: Correlation, count: int) -> Found:
    """Flows in the plane from `count` angles against the closed form: the stable set of a maximum is the arc between minima."""
    exact = PlanarCorrelation(ncf.x.cpu().numpy(), ncf.z.cpu().numpy())
    theta = (np.arange(count) + 0.5) / count * 2 * math.pi - math.pi
    starts = ncf.x.new_tensor(np.stack([np.cos(theta), np.sin(theta)], axis=-1))
    length = stable_sets.critical_points(ncf, starts[::8]).relaxation

    def angles(ends: Float[Tensor, "s 2"]) -> np.ndarray:
        return torch.atan2(ends[:, 1], ends[:, 0]).cpu().numpy()

    def limits(rows: Float[Tensor, "s 2"], rtol: float = stable_sets.RTOL) -> Tensor:
        return stable_sets.limits(ncf, rows, length, rtol=rtol)

    def largest_gap(targets: np.ndarray) -> Measurement:
        gaps = torch.from_numpy(angular_distance(ends, targets))
        row = int(gaps.argmax())
        return _at_two_tolerances(
            gaps, lambda again: torch.from_numpy(angular_distance(angles(again), targets[row])), limits, starts, RESOLUTION
        )

    ends, maxima = angles(limits(starts)), exact.critical.maxima
    closest = maxima[np.stack([angular_distance(theta, maximum) for maximum in maxima]).argmin(axis=0)]
    reached = np.unique(np.round(np.unwrap(ends) % (2 * math.pi), 4))
    return {
        "circle_theta": theta,
        "circle_value": exact.value(theta),
        "circle_ends": ends,
        "circle_maxima": maxima,
        "circle_minima": exact.critical.minima,
        "circle_limit_gap": largest_gap(exact.limit(theta)),
        "circle_limit_gap_nearest": largest_gap(closest),
        "circle_sets_minus_maxima": Measurement.count(abs(len(reached) - len(maxima)), count),
        "circle_maxima_count": Measurement.count(len(maxima), 1),
    }

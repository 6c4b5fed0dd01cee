"""Which initial direction ends at which KKT point (ours, origin flowcheck): one squared-ReLU neuron in the plane and in space.

In the plane the arcs between minima of the NCF, in closed form. On the sphere of directions in R^3 the map from flows, its
boundaries as stable sets of saddles, and the loss flow from small initialisation against both.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.correlation.planar import PlanarCorrelation, angular_distance
from flowcheck.data import synthetic
from flowcheck.flows import events, flow
from flowcheck.geometry import unit
from flowcheck.losses import HALF_SUM
from flowcheck.measures.readings import fraction
from flowcheck.networks import zoo
from flowcheck.networks.hypotheses import require_scale
from flowcheck.networks.problem import Objective
from flowcheck.papers.homogeneous.hypotheses import Presupposed, measure
from flowcheck.papers.two_homogeneous import stable_sets as sets
from flowcheck.pipeline.evidence import Evidence, Found, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main

FLAT = 0.3
"""Curvature below which a draw of the data is left out: it has, or nearly has, a set of KKT points that are not isolated."""
SECTIONS, ROUNDS = 33, 3
"""A segment between two stable sets is cut into 32 parts three times: 3e-5 of its length."""


class Parameters(ParametersModel):
    inputs: int = Field(ge=4)
    displayed: int = Field(ge=0, description="number of the draw of the data that the map shows")
    longitudes: int = Field(ge=12)
    latitudes: int = Field(ge=6)
    draws: int = Field(ge=1, description="further draws, without a map")
    directions: int = Field(ge=20, description="random directions for each further draw, and for the loss flow")
    boundary_points: int = Field(ge=5)
    delta: float = Field(gt=0, lt=1e-2)


class Landscape(NamedTuple):
    """The NCF of one neuron with its critical points."""

    ncf: Correlation
    points: sets.CriticalPoints

    def limits(self, starts: torch.Tensor) -> torch.Tensor:
        return sets.limits(self.ncf, starts, self.points.relaxation)

    @property
    def maxima(self) -> torch.Tensor:
        return self.points.of_index(0)

    @property
    def saddles(self) -> torch.Tensor:
        return self.points.of_index(1)

    @property
    def counts(self) -> list[int]:
        return [len(self.points.of_index(index)) for index in range(3)]


def landscape(p: Parameters, context: Context, draw: int) -> Landscape:
    """Draw number `draw`: inputs uniform on the sphere, labels +1 or -1."""
    rng = context.rng("data", draw)
    x, z = synthetic.sphere_inputs(rng, p.inputs, 3), synthetic.gaussian(rng, p.inputs).sign()
    ncf = Correlation(zoo.power_net(1, 3, 2.0), x, z)
    return Landscape(ncf, sets.critical_points(ncf, synthetic.unit_vectors(rng, 400, 3)))


def cell(p: Parameters, context: Context) -> Evidence:
    require_scale([p.delta])
    shown = landscape(p, context, p.displayed)
    curves = sets.stable_curves(shown.ncf, shown.saddles, shown.points.relaxation)
    labels, grid, part = sphere_map(p, shown)
    evidence = Evidence.of(
        [
            part,
            boundaries(p, context, shown, curves, labels, grid),
            early_alignment(p, context, shown),
            further_draws(p, context),
            circle(p, context),
        ]
    )
    columns = ["draw", "maxima", "saddles", "minima", "found_by_ascent"]
    evidence.runs = pd.DataFrame(evidence.arrays.pop("draw_counts"), columns=columns)
    return evidence


def sphere_map(p: Parameters, shown: Landscape) -> tuple[torch.Tensor, torch.Tensor, Found]:
    """The limit of every direction of a grid of longitudes and latitudes."""
    longitude = (torch.arange(p.longitudes, dtype=torch.float64) + 0.5) / p.longitudes * 2 * math.pi - math.pi
    latitude = (torch.arange(p.latitudes, dtype=torch.float64) + 0.5) / p.latitudes * math.pi - math.pi / 2
    b, a = torch.meshgrid(latitude, longitude, indexing="ij")
    grid = torch.stack([b.cos() * a.cos(), b.cos() * a.sin(), b.sin()], dim=-1).view(-1, 3)
    ends = shown.limits(grid)
    labels, distance = sets.nearest(ends, shown.maxima)
    closest, _ = sets.nearest(grid, shown.maxima)
    found = ascend(shown.ncf, grid[:: max(1, len(grid) // 400)])
    by_ascent = sets.nearest(found.points[found.distinct()], shown.maxima)[0].unique()
    weight = b.cos().flatten() / b.cos().sum()
    share = torch.stack([weight[labels == number].sum() for number in range(len(shown.maxima))])
    return (
        labels,
        grid,
        {
            "longitude": longitude.numpy(),
            "latitude": latitude.numpy(),
            "labels": labels.view(p.latitudes, p.longitudes).numpy(),
            "values": shown.ncf.value(grid).view(p.latitudes, p.longitudes).numpy(),
            "share": share.numpy(),
            "critical_points": shown.points.points.numpy(),
            "critical_index": shown.points.index.numpy(),
            "critical_value": shown.points.value.numpy(),
            **measure([Presupposed(shown.ncf.network, shown.ncf.x, shown.ncf.z[None], 2)]),
            "map_limit_distance": Measurement(float(distance.max()), 1e-6, n=len(grid)),
            "map_limit_distance_start": Measurement(float(sets.nearest(grid, shown.maxima)[1].max()), 1e-12, n=len(grid)),
            "map_residual": Measurement(float(shown.ncf.kkt_residual(ends).max()), 1e-9, n=len(grid)),
            "map_sets": Measurement.count(len(labels.unique()), len(grid)),
            "map_sets_minus_maxima": Measurement.count(abs(len(labels.unique()) - shown.counts[0]), len(grid)),
            "map_sets_minus_ascent": Measurement.count(abs(len(labels.unique()) - len(by_ascent)), len(grid)),
            "map_growing_maxima": Measurement.count(int((shown.points.value[shown.points.index == 0] > 0).sum()), 1),
            "map_collapsing_maxima": Measurement.count(int((shown.points.value[shown.points.index == 0] < 0).sum()), 1),
            "map_misassigned_by_distance": Measurement(float(weight[labels != closest].sum()), 1.0 / p.latitudes**2, n=len(grid)),
        },
    )


def boundaries(
    p: Parameters, context: Context, shown: Landscape, curves: list[torch.Tensor], labels: torch.Tensor, grid: torch.Tensor
) -> Found:
    """Boundary points by section, with no knowledge of saddles, against the saddles' stable sets; and flows along these."""
    rng = context.rng("boundaries")
    table = labels.view(p.latitudes, p.longitudes)
    rows, columns = ((table != table.roll(-1, 1)).nonzero()).T
    picked = torch.from_numpy(rng.choice(len(rows), min(p.boundary_points, len(rows)), replace=False))
    cells = grid.view(p.latitudes, p.longitudes, 3)
    low, high = cells[rows[picked], columns[picked]], cells[rows[picked], (columns[picked] + 1) % p.longitudes]
    middle = unit(low + high)
    for _ in range(ROUNDS):
        fraction = torch.linspace(0, 1, SECTIONS, dtype=low.dtype)[None, :, None]
        points = unit((low[:, None] * (1 - fraction) + high[:, None] * fraction).view(-1, 3))
        owner, _ = sets.nearest(shown.limits(points), shown.maxima)
        owner = owner.view(len(low), SECTIONS)
        first = (owner != owner[:, :1]).to(torch.int64).argmax(dim=1)
        points, every = points.view(len(low), SECTIONS, 3), torch.arange(len(low))
        low, high = points[every, first - 1], points[every, first]
    apart = torch.stack([sets.distance_to_curve(unit(low + high), curve) for curve in curves]).amin(dim=0)
    # forward from 0.05 away from the saddle on each half of its stable set, and from 0.05 beside it
    away = [int(((curve - curve[0]).norm(dim=1) > 0.05).to(torch.int64).argmax()) for curve in curves]
    on, ahead = (torch.stack([curve[k + step] for curve, k in zip(curves, away, strict=True)]) for step in (0, 1))
    beside = unit(on + 0.05 * unit(torch.linalg.cross(on, ahead - on)))
    approach, coarse, missed = (
        closest_approach(shown, starts, rtol) for starts, rtol in ((on, 1e-8), (on, 1e-7), (beside, 1e-8))
    )
    closest = torch.stack([sets.distance_to_curve(middle, curve) for curve in curves]).amin(dim=0)
    points = torch.cat(curves).numpy()
    return {
        "curve_points": points,
        "curve_starts": np.cumsum([0, *(len(curve) for curve in curves)]),
        "boundary_points": unit(low + high).numpy(),
        "boundary_distance": Measurement(float(apart.max()), 1e-5, n=len(low)),
        "boundary_distance_unrefined": Measurement(float(closest.max()), 1e-5, n=len(low)),
        "saddle_approach": Measurement(float(approach.max()), float((approach - coarse).abs().max()), n=len(on)),
        "saddle_approach_beside": Measurement(float(missed.min()), 1e-5, n=len(beside)),
    }


def closest_approach(shown: Landscape, starts: torch.Tensor, rtol: float) -> torch.Tensor:
    """Smallest distance to any saddle along the flows from these directions."""
    path = flow.gradient_flow(shown.ncf, starts, length=shown.points.relaxation, rtol=rtol, save=flow.Save(steps=True))
    steps = path.every_step.direction
    distance = (steps[:, :, None] - shown.saddles).norm(dim=3).amin(dim=2)
    return distance.nan_to_num(nan=math.inf).amin(dim=1)


def early_alignment(p: Parameters, context: Context, shown: Landscape) -> Found:
    """The loss flow from delta w_0 ends its first phase nearest to the KKT point that the map gives w_0."""
    rng, ncf = context.rng("early"), shown.ncf
    starts = synthetic.unit_vectors(rng, p.directions, 3)
    predicted, _ = sets.nearest(shown.limits(starts), shown.maxima)
    shuffled = Correlation(ncf.network, ncf.x, ncf.z[torch.from_numpy(rng.permutation(p.inputs))])
    other, _ = sets.nearest(sets.limits(shuffled, starts, shown.points.relaxation), shown.maxima)
    small = math.log(p.delta)
    ends = [events.norm_reaches(math.sqrt(p.delta)), events.log_norm_below(2 * small)]
    path = flow.gradient_flow(Objective(ncf.network, ncf.x, ncf.z, HALF_SUM), starts, p.delta, until=ends, rtol=1e-8)
    reached, distance = sets.nearest(path.direction, shown.maxima)
    growing = shown.points.value[shown.points.index == 0][predicted] > 0
    agree, wrong = (reached == predicted).numpy(), (reached == other).numpy()
    n = p.directions
    return {
        "early_directions": starts.numpy(),
        "early_agreement": fraction(agree),
        "early_agreement_labels_permuted": fraction(wrong),
        "early_phase_mismatches": Measurement.count(int(((path.ended_by == 0) != growing).sum()), n),
        "early_distance_median": Measurement(float(distance.median()), 1e-7, n=n),
    }


def further_draws(p: Parameters, context: Context) -> Found:
    """Other data: every direction ends at a maximum, each maximum has a stable set, and the count of critical points is right."""
    lost, missing, defects, left_out, counts = 0, 0, 0, 0, []
    for draw in range(p.draws):
        drawn = landscape(p, context, draw)
        if float(drawn.points.curvature.abs().min()) < FLAT:
            left_out += 1
            continue
        maxima, saddles, minima = drawn.counts
        starts = synthetic.unit_vectors(context.rng("further", draw), p.directions, 3)
        _, distance = sets.nearest(drawn.limits(starts), drawn.maxima)
        ends = ascend(drawn.ncf, starts)
        by_ascent, gap = sets.nearest(ends.points[ends.distinct()], drawn.maxima)
        lost += int((distance > 1e-4).sum())
        missing += int((gap > 1e-4).sum())
        defects += maxima - saddles + minima != 2
        counts.append([draw, maxima, saddles, minima, len(by_ascent.unique())])
    n = len(counts)
    return {
        "draw_counts": np.array(counts),
        "draws_kept": Measurement.count(n, p.draws),
        "draws_left_out": Measurement.count(left_out, p.draws),
        "draw_directions_lost": Measurement.count(lost, n * p.directions),
        "draw_ascents_lost": Measurement.count(missing, n * p.directions),
        "draw_euler_defects": Measurement.count(defects, n),
        "draw_euler_defects_without_minima": Measurement.count(sum(row[1] - row[2] != 2 for row in counts), n),
    }


def circle(p: Parameters, context: Context) -> Found:
    """In the plane the stable set of a maximum is the arc between the minima beside it."""
    rng, count = context.rng("circle"), 4 * p.longitudes
    x, z = synthetic.sphere_inputs(rng, p.inputs, 2), synthetic.gaussian(rng, p.inputs).sign()
    exact = PlanarCorrelation(x.numpy(), z.numpy())
    theta = (np.arange(count) + 0.5) / count * 2 * math.pi - math.pi
    starts = torch.from_numpy(np.stack([np.cos(theta), np.sin(theta)], axis=-1))
    ncf = Correlation(zoo.power_net(1, 2, 2.0), x, z)
    ends = sets.limits(ncf, starts, sets.critical_points(ncf, starts[::8]).relaxation)
    ends = torch.atan2(ends[:, 1], ends[:, 0]).numpy()
    distances = np.stack([angular_distance(theta, maximum) for maximum in exact.critical.maxima])
    closest = exact.critical.maxima[distances.argmin(axis=0)]
    reached = np.unique(np.round(np.unwrap(ends) % (2 * math.pi), 4))
    return {
        "circle_theta": theta,
        "circle_value": exact.value(theta),
        "circle_ends": ends,
        "circle_maxima": exact.critical.maxima,
        "circle_minima": exact.critical.minima,
        "circle_limit_gap": Measurement(angular_distance(ends, exact.limit(theta)).max(), 1e-6, n=count),
        "circle_limit_gap_nearest": Measurement(angular_distance(ends, closest).max(), 1e-6, n=count),
        "circle_sets_minus_maxima": Measurement.count(abs(len(reached) - len(exact.critical.maxima)), count),
        "circle_maxima_count": Measurement.count(len(exact.critical.maxima), 1),
    }


if __name__ == "__main__":
    main(Parameters, cell)

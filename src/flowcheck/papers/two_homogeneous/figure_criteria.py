"""How the captions of Figures 1, 3 and 4 (two_homogeneous) are read on one run of descent: numbers, and yes or no."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from flowcheck.correlation.planar import PlanarCorrelation, angular_distance
from flowcheck.papers.two_homogeneous.figure_runs import Path
from flowcheck.papers.two_homogeneous.toy_problem import FITTED, Correlations
from flowcheck.pipeline.experiment import ParametersModel

SAME = 1e-6
"""Two angles computed as the limit of a flow are one."""
Positive = Annotated[float, Field(gt=0)]


class Reading(ParametersModel):
    """How the captions are read: what counts as unchanged, small, close."""

    loss_kept: Positive
    phase_loss_kept: Positive
    small_norm: Positive
    small_distance: Positive
    moved: Positive
    close: Positive
    near: Positive
    slowed: Positive
    near_flat: Positive
    half_way: Positive
    kkt_residual: Positive
    neurons_near: int = Field(ge=0)
    last_neurons_explained: int = Field(ge=0)


def near_origin(reading: Reading, path: Path, ncf: Correlations) -> dict[str, float]:
    """What the captions of Figures 1 and 3 say, measured on one run."""

    def aligned(theta: Float[np.ndarray, "*t 20"], z: PlanarCorrelation = ncf.labels) -> Bool[np.ndarray, "*t"]:
        gap = z.distance_to_maximum(theta)
        close, near = np.median(gap, axis=-1) <= reading.close, (gap <= reading.near).sum(axis=-1) >= reading.neurons_near
        return np.asarray(close & near)

    start, end, phase = path.angles[0], path.angles[-1], path.phase_angles

    def follows(z: PlanarCorrelation) -> bool:
        """No neuron has left the basin it started in, and all but a few have arrived at its maximum."""
        goal = z.limit(start)
        kept, arrived = angular_distance(z.limit(phase), goal) < SAME, angular_distance(phase, goal) <= reading.near
        return bool(kept.all()) and int(arrived.sum()) >= reading.neurons_near

    gap = ncf.labels.distance_to_maximum(end)
    speed = angular_distance(path.angles[1:], path.angles[:-1]) / np.diff(path.iterations)[:, None]
    calm = (path.loss_ratio >= reading.loss_kept) & (path.distance <= reading.small_norm)
    measured = {
        "loss_ratio": path.loss_ratio[-1],
        "norm": path.distance[-1],
        "moved": np.median(angular_distance(end, start)),
        "gap_to_maximum": np.median(gap),
        "gap_to_maximum_worst": gap.max(),
        "neurons_near_maximum": (gap <= reading.near).sum(),
        "neurons_close_to_maximum": (gap <= reading.close).sum(),
        "neurons_near_kkt": (ncf.labels.distance_to_critical(end) <= reading.near).sum(),
        "speed_left": np.median(speed[-1] / speed.max(axis=0)),
        "kkt_residual": np.median(ncf.labels.kkt_residual(end)),
        "ncf_drop": largest_drop(reading, path, path.angles, ncf.labels),
        "ncf_drop_permuted": largest_drop(reading, path, path.angles, ncf.permuted),
        "barely_moves": path.loss_ratio[-1] >= reading.loss_kept,
        "calm_half_way": path.phase_end >= reading.half_way * path.iterations[-1],
        "turned_in_phase": np.median(angular_distance(phase, start)) >= reading.moved,
        "at_kkt_in_phase": np.median(ncf.labels.kkt_residual(phase)) <= reading.kkt_residual,
        "at_kkt_at_start": np.median(ncf.labels.kkt_residual(start)) <= reading.kkt_residual,
        "aligned": aligned(end),
        "aligned_in_phase": aligned(phase),
        "aligned_permuted": aligned(phase, ncf.permuted),
        "aligned_at_start": aligned(start),
        "calm_when_aligned": calm[np.argmax(aligned(path.angles))] and bool(aligned(path.angles).any()),
        "basin_rule": follows(ncf.labels),
        "basin_rule_permuted": follows(ncf.permuted),
        "escape": path.phase_end,
    }
    measured["slowed"] = measured["speed_left"] <= reading.slowed
    measured["settled"] = measured["aligned"] and measured["moved"] >= reading.moved and calm[-1]
    measured["reproduces"] = measured["settled"] and measured["slowed"]
    return {name: float(value) for name, value in measured.items()}


def near_saddle(reading: Reading, path: Path, ncf: Correlations) -> dict[str, float]:
    """What the caption of Figure 4 says, measured on one run; angles are those of the last ten neurons."""
    track = path.angles[:, FITTED:]
    start, end, phase = track[0], track[-1], path.phase_angles[FITTED:]
    nearly_flat = ncf.residual.value(start) <= reading.near_flat * ncf.residual.maximum
    flat, moved = ncf.residual.in_flat(start), angular_distance(track, start).max(axis=0)

    def explained(theta: Float[np.ndarray, "*t 10"]) -> Int[np.ndarray, "*t"]:
        at_maximum = ncf.residual.distance_to_maximum(theta) <= reading.near
        return np.asarray((at_maximum | nearly_flat).sum(axis=-1))

    def explained_by(z: PlanarCorrelation) -> int:
        arrived = angular_distance(phase, z.limit(start)) <= reading.near
        return int((arrived | (z.value(start) <= reading.near_flat * z.maximum)).sum())

    enough = explained(track) >= reading.last_neurons_explained
    calm = (path.loss_ratio >= reading.loss_kept) & (path.distance <= reading.small_distance)
    last, phase_end = np.sqrt(path.distance**2 - path.fitted_distance**2), phase_record(reading, path)
    measured = {
        "loss_ratio": path.loss_ratio[-1],
        "distance": path.distance[-1],
        "fitted_growth": path.fitted_distance[phase_end] / path.fitted_distance[0],
        "last_growth": last[phase_end] / last[0],
        "neurons_explained": explained(end),
        "neurons_at_maximum": (ncf.residual.distance_to_maximum(end) <= reading.near).sum(),
        "neurons_nearly_flat": nearly_flat.sum(),
        "neurons_flat": flat.sum(),
        "flat_moved": moved[flat].max(initial=0.0),
        "steep_moved": np.median(moved[~nearly_flat]),
        "gap_to_maximum": np.median(ncf.residual.distance_to_maximum(end)),
        "ncf_drop": largest_drop(reading, path, track, ncf.residual),
        "ncf_drop_permuted": largest_drop(reading, path, track, ncf.permuted),
        "barely_moves": path.loss_ratio[-1] >= reading.loss_kept,
        "calm_half_way": path.phase_end >= reading.half_way * path.iterations[-1],
        "explained_in_phase": explained(phase) >= reading.last_neurons_explained,
        "explained_at_start": enough[0],
        "explained_by_labels": explained_by(ncf.labels) >= reading.last_neurons_explained,
        "explained_permuted": explained_by(ncf.permuted) >= reading.last_neurons_explained,
        "calm_when_explained": calm[np.argmax(enough)] and bool(enough.any()),
        "escape": path.phase_end,
        "reproduces": calm[-1] and enough[-1],
    }
    return {name: float(value) for name, value in measured.items()}


def phase_record(reading: Reading, path: Path) -> int:
    """Place of the last record before the loss first falls below its phase share."""
    fallen = path.loss_ratio < reading.phase_loss_kept
    return int(np.argmax(fallen)) - 1 if fallen.any() else len(fallen) - 1


def largest_drop(reading: Reading, path: Path, track: np.ndarray, z: PlanarCorrelation) -> float:
    """Largest fall of N along a neuron's recorded angles while the loss keeps its phase share, over the maximum of N."""
    value = z.value(track[path.loss_ratio >= reading.phase_loss_kept])
    return float(-np.diff(value, axis=0).min(initial=0.0) / z.maximum)

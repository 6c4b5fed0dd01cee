"""Propositions 8, 12 and 24 over a table of networks, losses and starts: the smallest eigenvalue along flows over the bounds.

Starts have the norms epsilon for which the bounds are made; broken bounds and starts that are far from zero, with the epsilon of
one that is near, are the controls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.losses import HALF_SUM
from flowcheck.measures import readings
from flowcheck.measures.refinement import Refined
from flowcheck.networks.tied import TiedLayer, TiedNetwork
from flowcheck.papers.continuous_discrete import balance_laws, flow_bounds
from flowcheck.papers.continuous_discrete.curvature_flows import KINK, Followed, follow, on_kinks, ratios, spectrum_ends
from flowcheck.papers.continuous_discrete.hessians import convolutional, random_problem
from flowcheck.papers.continuous_discrete.training_loss import TrainingLoss
from flowcheck.pipeline.evidence import Found

BELOW = {"linear": 1.0, "relu": 0.0, "leaky": 0.2, "steep": -1.5}
"""Slopes of the activations below zero; above it is one. The last bends the other way and is steeper below."""
NEAR, FAR = 1e-6, 4.0
"""The epsilon that is claimed of the far starts, and the norm of their first layer; the others have a thousandth."""
SHORT, SHORTER = 0.01, 1e-6
"""Norm of all weights at starts whose last layer is short, and its norm over that of each other layer."""
Pair = tuple[TrainingLoss, tuple[int, ...] | None]
Bound = Callable[[TrainingLoss, Tensor, float], Tensor]


@dataclass(frozen=True, eq=False)
class Seen:
    """A flow with the ends of the spectrum at its points, at both tolerances, and which of them lie on kinks."""

    flow: Followed
    ends: tuple[Float[np.ndarray, "2 p"], Float[np.ndarray, "2 p"]]
    kinks: np.ndarray
    _known: dict[tuple[Bound, float], Refined] = field(default_factory=dict, init=False, repr=False)

    def ratio(self, bound: Bound, epsilon: float | None = None) -> Refined:
        """Minus the smallest eigenvalue over the bound, at the points that lie on no kink; kept, as tables ask for it again."""
        flow, size = self.flow, self.flow.epsilon if epsilon is None else epsilon
        if (bound, size) not in self._known:
            self._known[bound, size] = ratios(flow, lambda w: bound(flow.problem, w, size), self.ends)[~self.kinks]
        return self._known[bound, size]


def fitted(rng: np.random.Generator, problem: TrainingLoss) -> TrainingLoss:
    """With labels that a random setting of the weights gives, for the square loss; others keep theirs."""
    if problem.loss.kind != "square":
        return problem
    labels = problem.outputs(torch.as_tensor(rng.standard_normal(problem.network.size))).flatten()
    return TrainingLoss(problem.network, problem.x, labels / labels.square().mean().sqrt().clamp_min(1e-3), problem.loss)


def dense(rng: np.random.Generator, depths: Sequence[int], draws: int, activations: Sequence[str]) -> Iterator[Pair]:
    """Fully connected networks: square loss with one and with two outputs, logistic loss, cross-entropy."""
    for depth in depths:
        for name in activations:
            for kind, outputs in (("square", 1), ("square", 2), ("logistic", 1), ("cross_entropy", 3)):
                for _ in range(draws):
                    widths = (int(rng.integers(3, 6)), *(int(n) for n in rng.integers(2, 5, depth - 1)), outputs)
                    network = TiedNetwork.fully_connected(widths, 1.0, BELOW[name])
                    yield fitted(rng, random_problem(rng, network, kind)), widths


def one_sample(rng: np.random.Generator, depths: Sequence[int], draws: int, activations: Sequence[str]) -> Iterator[Pair]:
    """One output and one sample, on which Eq. (18) loses nothing by the triangle inequality."""
    for depth in depths:
        for name in activations:
            for _ in range(draws):
                widths = (3, *(int(n) for n in rng.integers(2, 5, depth - 1)), 1)
                network = TiedNetwork.fully_connected(widths, 1.0, BELOW[name])
                yield fitted(rng, random_problem(rng, network, "square", samples=1)), widths


def whitened(rng: np.random.Generator, depths: Sequence[int], draws: int) -> Iterator[Pair]:
    """Linear networks with one output whose loss is half the squared distance of the end-to-end vector from a unit vector.

    Flows of three layers and more converge from almost all starts, at a rate of order one.
    """
    for depth in depths:
        for _ in range(draws):
            widths = (int(rng.integers(3, 6)), *(int(n) for n in rng.integers(2, 5, depth - 1)), 1)
            x = widths[0] ** 0.5 * torch.eye(widths[0], dtype=torch.float64)
            target = torch.as_tensor(rng.standard_normal(widths[0]))
            labels = widths[0] ** 0.5 * target / torch.linalg.norm(target)
            yield TrainingLoss(TiedNetwork.fully_connected(widths, 1.0, BELOW["linear"]), x, labels, HALF_SUM), widths


def tied(rng: np.random.Generator, draws: int, activations: Sequence[str]) -> Iterator[Pair]:
    """Strided convolutions without biases of 3 and 4 layers; layers of which all rows share their weights, one sample."""
    for name in activations:
        for depth, kind, outputs in ((3, "square", 2), (3, "logistic", 1), (4, "cross_entropy", 3)):
            for _ in range(draws):
                yield fitted(rng, random_problem(rng, convolutional(depth, outputs, 1.0, BELOW[name]), kind, samples=3)), None
        rows = torch.arange(3).expand(3, 3)
        network = TiedNetwork("shared rows", (TiedLayer(rows), TiedLayer(rows), TiedLayer.dense(1, 3)), 1.0, BELOW[name])
        yield fitted(rng, random_problem(rng, network, "square", samples=1)), None


def seen(
    rng: np.random.Generator,
    chosen: Sequence[Pair],
    epsilons: Sequence[float],
    points: int,
    ratio: float,
    lengths: tuple[float, float],
) -> list[Seen]:
    """Flows from a random direction of each network, at each norm; largest arcs of smooth networks and of others."""
    found = []
    for problem, widths in chosen:
        unit = rng.standard_normal(problem.network.size)
        starts = np.array([epsilon * unit / np.linalg.norm(unit) for epsilon in epsilons])
        length = lengths[0] if problem.network.has_lipschitz_gradient else lengths[1]
        found += [_seen(flow) for flow in follow(problem, widths, starts, points, ratio=ratio, length=length)]
    return found


def far(rng: np.random.Generator, chosen: Sequence[Pair], points: int, length: float) -> list[Seen]:
    """Flows from starts whose first layer is long and whose others are short."""
    return _from_layers(rng, chosen, lambda depth: [FAR, *[1e-3 * FAR] * (depth - 1)], points, length)


def short_last(rng: np.random.Generator, chosen: Sequence[Pair], points: int, length: float) -> list[Seen]:
    """Flows from near zero whose last layer is far shorter: the end-to-end matrix is shorter still, the Hessian is not."""
    return _from_layers(rng, chosen, lambda depth: SHORT / depth**0.5 * np.array([*[1.0] * (depth - 1), SHORTER]), points, length)


def _from_layers(
    rng: np.random.Generator, chosen: Sequence[Pair], norms: Callable[[int], Iterable[float]], points: int, length: float
) -> list[Seen]:
    """Flows from random layers of the norms that the depth is given."""
    found = []
    for problem, widths in chosen:
        parts = [torch.as_tensor(rng.standard_normal(layer.size)) for layer in problem.network.layers]
        start = torch.cat([size * part / torch.linalg.norm(part) for size, part in zip(norms(len(parts)), parts, strict=True)])
        found += [_seen(flow) for flow in follow(problem, widths, start.numpy()[None], points, ratio=0.5, length=length)]
    return found


def _seen(flow: Followed) -> Seen:
    return Seen(flow, (spectrum_ends(flow.problem, flow.fine), spectrum_ends(flow.problem, flow.coarse)), on_kinks(flow))


def judged(name: str, flows: Sequence[Seen], away: Sequence[Seen], bound: Bound, law: balance_laws.Drift) -> Found:
    """A proposition along all flows: the largest ratio, its median over flows, the drift, and the ratio of starts far away."""
    per_flow = [one.ratio(bound) for one in flows]
    kept = [found for found in per_flow if found.value.size]
    top = [(float(found.value.max()), float(found.error[found.value.argmax()])) for found in kept]
    broken = Refined.joined([one.ratio(bound, NEAR) for one in away])
    drifts = np.array([balance_laws.drift(one.flow, law) for one in flows])
    on_kink = np.concatenate([one.kinks for one in flows])
    return {
        f"{name}_ratio_max": Refined.joined(kept).largest(),
        f"{name}_ratio_median": readings.median(*np.array(top).T),
        f"{name}_ratio_far_start_max": broken.largest(),
        f"{name}_drift_max": readings.largest(*drifts.T),
        f"{name}_fallen_flows": readings.count(np.array([one.flow.loss_ratio[-1] <= 0.5 for one in flows])),
        f"{name}_flows_without_points": readings.count(np.array([not found.value.size for found in per_flow])),
        f"{name}_kinks_share": readings.fraction(on_kink),
    }


def proposition_8(flows: Sequence[Seen], away: Sequence[Seen], short: Sequence[Seen]) -> Found:
    """Linear networks; from starts whose last layer is short also the ratio to the first term of Eq. (14) alone."""
    without = Refined.joined([one.ratio(lambda p, w, e: flow_bounds.proposition_8(p, w, e, rest=0.0)) for one in short])
    return {
        **judged("proposition8", flows, away, flow_bounds.proposition_8, balance_laws.balance),
        "proposition8_ratio_short_last_max": Refined.joined([one.ratio(flow_bounds.proposition_8) for one in short]).largest(),
        "proposition8_ratio_first_term_max": without.largest(),
    }


def proposition_12(flows: Sequence[Seen], away: Sequence[Seen]) -> Found:
    """Activations that are linear in pieces; the drift is that of flows whose kinks were located, and the others are counted."""
    located = [one for one in flows if one.flow.kink <= KINK]
    drifts = np.array([balance_laws.drift(one.flow, balance_laws.norm_gaps) for one in located])
    return {
        **judged("proposition12", flows, away, flow_bounds.proposition_12, balance_laws.norm_gaps),
        "proposition12_located_drift_max": readings.largest(*drifts.T),
        "proposition12_stepped_flows": readings.count(np.array([one.flow.kink > KINK for one in flows])),
    }


def proposition_24(flows: Sequence[Seen], away: Sequence[Seen]) -> Found:
    """Tied weights, and the same without the operator norms; the drift of networks without kinks, which no step crosses."""
    without = [one.ratio(lambda p, w, e: flow_bounds.proposition_24(p, w, e, operator_norms=False)) for one in flows]
    smooth = [one for one in flows if one.flow.problem.network.has_lipschitz_gradient]
    drifts = np.array([balance_laws.drift(one.flow, balance_laws.norm_gaps) for one in smooth])
    return {
        **judged("proposition24", flows, away, flow_bounds.proposition_24, balance_laws.norm_gaps),
        "proposition24_smooth_drift_max": readings.largest(*drifts.T),
        "proposition24_ratio_untied_max": Refined.joined(without).largest(),
    }


def listing(groups: Mapping[str, tuple[Sequence[Seen], Bound]]) -> dict[str, np.ndarray]:
    """A row for each flow."""
    rows = [(name, one, one.ratio(bound).value) for name, (flows, bound) in groups.items() for one in flows]
    return {
        "proposition": np.array([name for name, _, _ in rows]),
        "network": np.array([one.flow.problem.network.name for _, one, _ in rows]),
        "depth": np.array([one.flow.depth for _, one, _ in rows]),
        "weights": np.array([one.flow.problem.network.size for _, one, _ in rows]),
        "below": np.array([one.flow.problem.network.below for _, one, _ in rows]),
        "loss": np.array([one.flow.problem.loss.kind for _, one, _ in rows]),
        "outputs": np.array([one.flow.problem.network.outputs_per_sample for _, one, _ in rows]),
        "epsilon": np.array([one.flow.epsilon for _, one, _ in rows]),
        "loss_ratio": np.array([one.flow.loss_ratio[-1] for _, one, _ in rows]),
        "lowest_eigenvalue": np.array([one.ends[0][0].min() for _, one, _ in rows]),
        "last_eigenvalue": np.array([one.ends[0][0][-1] for _, one, _ in rows]),
        "largest_ratio": np.array([found.max() if found.size else np.nan for _, _, found in rows]),
        "points_off_kinks": np.array([found.size for _, _, found in rows]),
    }

r"""Activation patterns of piecewise-linear networks: the smooth pieces of their gradient flow, and solutions that slide.

Where a preactivation $z_c$ changes sign, the gradient jumps. The gradient with the pattern held fixed is smooth, and is the true
one inside its piece. If it points back from both sides, the solution of the inclusion slides along $z_c=0$: the derivative $b_c$
of the activation takes the value between its two that keeps $z_c$ at 0, until that value reaches an end of its interval. As
$z_c=0$, changing $b_c$ adds a multiple of $\nabla z_c$ to the pull, so on the kinks C the pull is the projection of that of any
pattern on the complement of $\{\nabla z_c:c\in C\}$, the element of smallest norm (two_homogeneous, Appendix A.1).

Kinks with parallel gradients are one kink (parallel inputs; samples that reach a unit through the same single unit): they are
crossed together, and their derivatives move together from one side to the other.

Where a kink along which the solution slides begins to repel (an output weight changes sign), the solution is not unique; this
one stays. With one kinked layer it is a Clarke flow. With several, the derivatives of different layers are independent, as in
the chain rule (two_homogeneous, Lemma A.2): at a sample for which two units slide and all others of their layer are off, that
allows more than the Clarke subdifferential, and the solution may be another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcheck.integration.crossings import Pieces
from flowcheck.networks.activation import Activation
from flowcheck.networks.feed_forward import FeedForward
from flowcheck.networks.network import Network, Response, kept_by_autograd
from flowcheck.networks.sums import Separable

SLIDING = 0.0
"""The mode of a kink on which the solution slides; +1 and -1 on its two sides."""
RIDGE = 1e-14
"""Relative to the squared norms of the normals: decides between normals that depend on each other."""
PARALLEL = 1e-9
"""One minus the cosine of normals that count as parallel."""

NOISE = 1e-14
"""Preactivations below this fraction of the largest are zero: in a layer above one that is off, or that slides, all are."""


def has_patterns(network: Network) -> bool:
    """Whether `Patterns` knows the network: feed-forward or a separable sum of equal parts, all kinks of one (leaky) ReLU."""
    part = _part(network)
    if not isinstance(part, FeedForward) or (isinstance(network, Separable) and any(other != part for other in network.parts)):
        return False
    kinked = {layer.activation for layer in part.layers if not layer.activation.has_lipschitz_gradient}
    return len(kinked) == 1 and kinked.pop().power == 1


class Patterns(Pieces):
    """Pieces of the flow of `network`. Modes [A, M] follow the columns of `network.preactivations`.

    The first k components of a state are the weights, up to a positive factor.

    Args:
        inputs: index [A] -> x, [n, d] or [A, n, d].
        response: (state, index) -> the map from outputs to the vector that the Jacobian is multiplied with.

    Attributes:
        modes: the mode of every trajectory of the batch, from `begin` on.
    """

    modes: Float[Tensor, "s kinks"]

    def __init__(
        self, network: Network, inputs: Callable[[Tensor], Tensor], response: Callable[[Tensor, Tensor], Response]
    ) -> None:
        part = _part(network)
        assert isinstance(part, FeedForward)
        self.network, self.part, self.inputs, self.response = network, part, inputs, response
        self.copies = len(network.parts) if isinstance(network, Separable) else 1
        kinked = [layer for layer in part.layers if not layer.activation.has_lipschitz_gradient]
        self.units, self.depth = sum(layer.rows for layer in kinked), len(kinked)
        self.high, self.low = max(1.0, kinked[0].activation.slope), min(1.0, kinked[0].activation.slope)
        super().__init__(self._preactivations)

    def begin(self, state: Float[Tensor, "a m"], index: Int[Tensor, " a"]) -> Float[Tensor, "a kinks"]:
        """See `Pieces`: for the whole batch."""
        self.modes = super().begin(state, index)
        return self.modes.clone()

    def pull(self, state: Float[Tensor, "a m"], mode: Float[Tensor, "a kinks"], index: Int[Tensor, " a"]) -> Float[Tensor, "a k"]:
        """The pull of a mode."""
        branch = self._branch(mode)
        pulled = self._frozen(state, branch).pull(self.inputs(index), self.response(state, index))
        sliding = mode == SLIDING
        if not bool(sliding.any()):
            return pulled
        normals = self._normals(state, branch, sliding, index)
        return pulled - _combine(normals, _components(normals, normals @ pulled.unsqueeze(-1)))

    def inside(
        self, state: Float[Tensor, "a m"], mode: Float[Tensor, "a kinks"], index: Int[Tensor, " a"]
    ) -> Float[Tensor, "a kinks"]:
        """Distance to the kinks; for one that slides, of its derivative to the ends of the interval, as a fraction of it."""
        values = self.kinks(state, index)
        margins = torch.where(values.abs() <= NOISE * values.abs().amax(dim=-1, keepdim=True), 0.0, values * mode)
        sliding = mode == SLIDING
        if not bool(sliding.any()):
            return margins
        fraction = self._fraction(state, mode, index)
        return torch.where(sliding, torch.minimum(fraction, 1 - fraction), margins)

    def switch(
        self,
        state: Float[Tensor, "a m"],
        mode: Float[Tensor, "a kinks"],
        hit: Bool[Tensor, "a kinks"],
        index: Int[Tensor, " a"],
    ) -> Float[Tensor, "a kinks"]:
        """Beyond a kink: the other side, or a slide if the pull points back there. After a slide: the side of its last value."""
        after = torch.where(hit, -mode, mode)
        released = hit & (mode == SLIDING)
        if bool(released.any()):
            side = torch.where(self._fraction(state, mode, index) > 0.5, 1.0, -1.0).to(mode.dtype)
            after = torch.where(released, side, after)
        crossed = hit & ~released
        if bool(crossed.any()):
            normals = self._normals(state, self._branch(after), crossed, index)
            speed = (normals @ self.pull(state, after, index).unsqueeze(-1)).squeeze(-1)
            rows, columns, slots = _pairs(crossed)
            back = speed[rows, slots] * after[rows, columns] < 0
            after[rows[back], columns[back]] = SLIDING
        self.modes[index] = after
        return after

    def settle(
        self, state: Float[Tensor, "a m"], mode: Float[Tensor, "a kinks"], index: Int[Tensor, " a"]
    ) -> Float[Tensor, "a m"]:
        """The state put back on the kinks along which it slides: one Newton step against the drift of the integration."""
        sliding = mode == SLIDING
        if not bool(sliding.any()):
            return state
        normals = self._normals(state, self._branch(mode), sliding, index)
        rows, columns, slots = _pairs(sliding)
        drift = state.new_zeros(normals.shape[:2])
        drift[rows, slots] = self.kinks(state, index)[rows, columns]
        change = _combine(normals, _components(normals, drift.unsqueeze(-1)))
        return torch.cat([state[:, : self.network.size] - change, state[:, self.network.size :]], dim=-1)

    def _preactivations(self, state: Tensor, index: Tensor) -> Tensor:
        """`network.preactivations`, all copies in one batch."""
        stacked = state[:, : self.network.size].reshape(-1, self.part.size)
        return self.part.preactivations(stacked, _for_copies(self.inputs(index), self.copies)).reshape(len(state), -1)

    def _branch(self, mode: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * (mode > 0).to(mode.dtype)

    def _frozen(self, state: Tensor, branch: Tensor) -> _FrozenBatch:
        return _FrozenBatch(self.part, self.copies, state[:, : self.network.size], branch)

    def _normals(self, state: Tensor, branch: Tensor, chosen: Tensor, index: Tensor) -> Tensor:
        r"""$\nabla z_c$ of the chosen kinks of each row, [A, slots, k], padded by 0. Each is a pull of one sample."""
        rows, columns, slots = _pairs(chosen)
        each = chosen.shape[1] // self.copies
        samples = each // self.units
        copy, unit, sample = columns // each, columns % each // samples, columns % samples
        x = self.inputs(index)
        x = x[sample] if x.dim() == 2 else x[rows, sample]
        pattern = branch.view(-1, self.copies, self.units, samples)[rows, copy, :, sample]
        weights = state[:, : self.network.size].reshape(len(state), self.copies, -1)[rows, copy]
        with torch.inference_mode(False), torch.enable_grad():
            x, pattern, unit, leaf = (kept_by_autograd(part) for part in (x, pattern, unit, weights.detach()))
            leaf.requires_grad_(True)
            z = _Frozen(**_of_part(self.part), branch=pattern).preactivations(leaf, x.unsqueeze(-2))
            (gradient,) = torch.autograd.grad(z.gather(1, unit.unsqueeze(-1)).sum(), leaf)
        normals = state.new_zeros((len(state), int(slots.max()) + 1, self.copies, self.part.size))
        normals[rows, slots, copy] = gradient
        return normals.flatten(start_dim=2)

    def _fraction(self, state: Tensor, mode: Tensor, index: Tensor) -> Tensor:
        """Where between `low` and `high` the derivative of each sliding kink lies, [A, M]; 1/2 elsewhere.

        Newton on the components of the pull along the normals, one unknown for parallel ones; exact for the last kinked layer
        after one iteration, for the layer below after two, and so on.
        """
        sliding, branch = mode == SLIDING, self._branch(mode)
        rows, columns, slots = _pairs(sliding)
        fraction = state.new_zeros((len(state), int(slots.max()) + 1))
        for _ in range(self.depth):
            normals = self._normals(state, branch, sliding, index)
            leader, along = _leaders(normals)
            side, first = along.sign()[rows, slots], leader[rows, slots]
            own = torch.where(side < 0, 1 - fraction[rows, first], fraction[rows, first])
            branch = branch.index_put((rows, columns), self.low + (self.high - self.low) * own)
            pulled, upstream = self._frozen(state, branch).pull_and_upstream(self.inputs(index), self.response(state, index))
            components = _components(normals, normals @ pulled.unsqueeze(-1))
            rate = torch.zeros_like(fraction)
            rate[rows, slots] = (self.high - self.low) * upstream[rows, columns] * along[rows, slots].abs()
            slope = torch.zeros_like(fraction).scatter_add(1, leader, rate)
            fraction = torch.where(slope != 0, fraction - components / slope, 0.5)
        own = torch.where(side < 0, 1 - fraction[rows, first], fraction[rows, first])
        return torch.full_like(mode, 0.5).index_put((rows, columns), own)


def _pairs(chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns of the chosen entries, and the position of each among those of its row."""
    rows, columns = chosen.nonzero(as_tuple=True)
    return rows, columns, (chosen.cumsum(dim=-1) - 1)[rows, columns]


def _leaders(normals: Tensor) -> tuple[Tensor, Tensor]:
    """For each normal the first of its row that is parallel to it, and its length in units of that one, signed; [A, slots]."""
    gram = normals @ normals.mT
    norm = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    parallel = gram.abs() >= (1 - PARALLEL) * norm.unsqueeze(-1) * norm.unsqueeze(-2)
    leader = parallel.to(torch.int64).argmax(dim=-1)
    length = gram.gather(-1, leader.unsqueeze(-1)).squeeze(-1) / norm.gather(-1, leader) ** 2
    return leader, torch.where(norm > 0, length, 1.0)


def _components(normals: Tensor, products: Tensor) -> Tensor:
    """Coefficients [A, slots] of the vector in the span of the normals that has the given products [A, slots, 1] with them.

    Of parallel normals only the first has one.
    """
    leader, _ = _leaders(normals)
    leads = (leader == torch.arange(leader.shape[1], device=leader.device)).unsqueeze(-1).to(normals.dtype)
    gram = leads * (normals @ normals.mT) * leads.mT
    diagonal = gram.diagonal(dim1=-2, dim2=-1)
    regular = torch.where(diagonal > 0, RIDGE * diagonal, 1.0)
    return torch.linalg.solve(gram + torch.diag_embed(regular), leads * products).squeeze(-1)


def _combine(normals: Tensor, coefficients: Tensor) -> Tensor:
    return (coefficients.unsqueeze(-2) @ normals).squeeze(-2)


@dataclass(frozen=True, eq=False)
class _Branch(Activation):
    """b z, or b z + shift, with fixed factors b [S, rows, n]."""

    factors: Tensor = field(default_factory=lambda: torch.ones((), device="cpu"))
    shift: Tensor | None = None

    def __call__(self, z: Tensor) -> Tensor:
        return self.factors * z if self.shift is None else self.factors * z + self.shift

    def derivative(self, z: Tensor) -> Tensor:
        return self.factors

    def pull(self, z: Tensor, upstream: Tensor) -> Tensor:
        return self.factors * upstream


@dataclass(frozen=True, eq=False)
class _Frozen(FeedForward):
    """A feed-forward network whose kinked activations are b z, or b z + shift; b and shift the columns of `branch` [S, M]."""

    branch: Tensor = field(default_factory=lambda: torch.zeros((), device="cpu"))
    shift: Tensor | None = None

    def __post_init__(self) -> None:
        """Nothing to check: its layers are those of a network."""

    def segments(self, w: Tensor) -> list[tuple[list[tuple[Tensor, bool]], Activation]]:
        plain = super().segments(w)
        rows = [0 if a.has_lipschitz_gradient else matrices[-1][0].shape[-2] for matrices, a in plain]
        samples, start = self.branch.shape[1] // sum(rows), 0
        frozen = []
        for (matrices, activation), count in zip(plain, rows, strict=True):
            columns, shape = slice(start, start + count * samples), (len(w), count, samples)
            shift = None if self.shift is None else self.shift[:, columns].view(shape)
            kinked = _Branch(factors=self.branch[:, columns].view(shape), shift=shift) if count else activation
            frozen.append((matrices, kinked))
            start += count * samples
        return frozen


def _of_part(part: FeedForward) -> dict[str, Any]:
    """What a frozen network has from the network it freezes."""
    return {"name": part.name, "inputs": part.inputs, "layers": part.layers, "readout": part.readout}


@dataclass(frozen=True)
class _FrozenBatch:
    """Weights [A, k] of a network that is the sum of `copies` copies of `part`, with the pattern of `branch` [A, M]."""

    part: FeedForward
    copies: int
    weights: Tensor
    branch: Tensor

    def pull(self, x: Tensor, response: Response) -> Tensor:
        """The pull [A, k]."""
        frozen, stacked, each = self._network(self.branch), self.weights.reshape(-1, self.part.size), _for_copies(x, self.copies)

        def shared(outputs: Tensor) -> Tensor:
            """Every copy sees the response to their sum."""
            z = response(self._sum(outputs))
            return z.expand(len(self.weights), z.shape[-1]).repeat_interleave(self.copies, dim=0)

        return frozen.forward_and_pull(stacked, each, response if self.copies == 1 else shared)[1].view(self.weights.shape)

    def pull_and_upstream(self, x: Tensor, response: Response) -> tuple[Tensor, Tensor]:
        """The pull [A, k] and the derivative of the pulled outputs by the output of each kinked unit, [A, M]."""
        with torch.inference_mode(False), torch.enable_grad():
            x, branch, leaf = (kept_by_autograd(part) for part in (x, self.branch, self.weights.detach()))
            leaf.requires_grad_(True)
            shift = torch.zeros_like(branch).requires_grad_(True)
            each = self._network(branch, shift.reshape(len(leaf) * self.copies, -1))
            outputs = self._sum(each.forward(leaf.reshape(-1, self.part.size), _for_copies(x, self.copies)))
            z = kept_by_autograd(response(outputs.detach()))
            pulled, upstream = torch.autograd.grad((outputs * z).sum(), (leaf, shift))
        return pulled, upstream

    def _network(self, branch: Tensor, shift: Tensor | None = None) -> _Frozen:
        branch = branch.reshape(len(branch) * self.copies, -1)
        return _Frozen(**_of_part(self.part), branch=branch, shift=shift)

    def _sum(self, outputs: Tensor) -> Tensor:
        return outputs.view(len(self.weights), self.copies, -1).sum(dim=1)


def _for_copies(x: Tensor, copies: int) -> Tensor:
    """Inputs of the batch of all copies of all runs."""
    return x if x.dim() == 2 or copies == 1 else x.repeat_interleave(copies, dim=0)


def _part(network: Network) -> Network:
    return network.parts[0] if isinstance(network, Separable) else network

"""Networks made of networks: separable sums, mixtures, rotations."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.networks.network import Network, Response


@dataclass(frozen=True)
class Separable(Network):
    r"""$\mathcal H(x;w)=\sum_b\mathcal H_b(x;w_b)$ with disjoint weights (Section 5.2 of both papers).

    Raises ValueError if the parts differ in degree, in the dimension of the input or in the number of outputs.
    """

    name: str
    parts: tuple[Network, ...]

    def __post_init__(self) -> None:
        if len(kinds := {(part.degree, part.inputs, part.outputs_per_sample) for part in self.parts}) != 1:
            raise ValueError(f"{self.name}: the parts differ in degree, inputs or outputs: {sorted(kinds)}")

    @property
    def inputs(self) -> int:  # type: ignore[override]
        return self.parts[0].inputs

    @property
    def outputs_per_sample(self) -> int:  # type: ignore[override]
        return self.parts[0].outputs_per_sample

    @property
    def degree(self) -> float:  # type: ignore[override]
        return self.parts[0].degree

    @functools.cached_property
    def size(self) -> int:  # type: ignore[override]
        return sum(part.size for part in self.parts)

    @property
    def has_lipschitz_gradient(self) -> bool:  # type: ignore[override]
        return all(part.has_lipschitz_gradient for part in self.parts)

    @functools.cached_property
    def part_slices(self) -> tuple[slice, ...]:
        """Where the weights of each part lie in w."""
        ends = [0]
        for part in self.parts:
            ends.append(ends[-1] + part.size)
        return tuple(slice(a, b) for a, b in itertools.pairwise(ends))

    @functools.cached_property
    def blocks(self) -> tuple[slice, ...]:  # type: ignore[override]
        return tuple(
            slice(where.start + block.start, where.start + block.stop)
            for part, where in zip(self.parts, self.part_slices, strict=True)
            for block in part.blocks
        )

    @functools.cached_property
    def _repeated(self) -> bool:
        """Whether all parts are the same network: then they are one batch."""
        return all(part == self.parts[0] for part in self.parts)

    def _for_parts(self, x: Tensor) -> Tensor:
        """Inputs of the batch of all runs' parts."""
        return x if x.ndim == 2 else x.repeat_interleave(len(self.parts), dim=0)

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s o"]:
        if self._repeated:
            each = self.parts[0].forward(w.reshape(-1, self.parts[0].size), self._for_parts(x))
            return each.view(w.shape[0], len(self.parts), -1).sum(dim=1)
        outputs = [part.forward(w[:, where], x) for part, where in zip(self.parts, self.part_slices, strict=True)]
        return torch.stack(outputs).sum(dim=0)

    def forward_and_pull(
        self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"], response: Response
    ) -> tuple[Float[Tensor, "s o"], Float[Tensor, "s k"]]:
        """The parts one by one: each is pulled by the same z."""
        if self._repeated:
            return self._repeated_and_pull(w, x, response)
        outputs = self.forward(w, x)
        z = response(outputs).expand_as(outputs)
        pulls = [part.pull(w[:, where], x, z) for part, where in zip(self.parts, self.part_slices, strict=True)]
        return outputs, torch.cat(pulls, dim=-1)

    def _repeated_and_pull(self, w: Tensor, x: Tensor, response: Response) -> tuple[Tensor, Tensor]:
        """Equal parts as one batch, in one pass: each sees the response to the sum of all."""
        sums = []

        def shared(outputs: Tensor) -> Tensor:
            total = outputs.view(len(w), len(self.parts), -1).sum(dim=1)
            sums.append(total)
            return response(total).expand_as(total).repeat_interleave(len(self.parts), dim=0)

        part = self.parts[0]
        pulled = part.forward_and_pull(w.reshape(-1, part.size), self._for_parts(x), shared)[1]
        return sums[0], pulled.view(w.shape)

    def preactivations(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s m"]:
        kinked = [part.preactivations(w[:, where], x) for part, where in zip(self.parts, self.part_slices, strict=True)]
        return torch.cat(kinked, dim=-1)

    def output_bound(self, x: Float[Tensor, "n d"]) -> float | None:
        r"""The largest of the parts' bounds: $\sum_b\beta_b\|w_b\|^L\le\max_b\beta_b$ on the sphere, for L >= 2."""
        return _largest_known(part.output_bound(x) for part in self.parts)

    def jacobian_bound(self, x: Float[Tensor, "n d"]) -> float | None:
        r"""The largest of the parts' bounds: $\sum_b\alpha_b^2\|w_b\|^{2L-2}\le\max_b\alpha_b^2$ on the sphere, for L >= 2."""
        return _largest_known(part.jacobian_bound(x) for part in self.parts)


def _largest_known(bounds: Iterable[float | None]) -> float | None:
    """The largest, if all are known."""
    found = list(bounds)
    known = [bound for bound in found if bound is not None]
    return max(known) if len(known) == len(found) else None


@dataclass(frozen=True)
class Mixture(Network):
    r"""$\sum_i c_i\mathcal H_i(x;w)$ with shared weights: a control, homogeneous only if all parts have the declared degree."""

    name: str
    parts: tuple[tuple[float, Network], ...]
    degree: float
    has_lipschitz_gradient: bool = field(default=True)

    def __post_init__(self) -> None:
        if len({(part.size, part.inputs, part.outputs_per_sample) for _, part in self.parts}) != 1:
            raise ValueError(f"{self.name}: the parts differ in weights, inputs or outputs")

    @property
    def inputs(self) -> int:  # type: ignore[override]
        return self.parts[0][1].inputs

    @property
    def outputs_per_sample(self) -> int:  # type: ignore[override]
        return self.parts[0][1].outputs_per_sample

    @property
    def size(self) -> int:  # type: ignore[override]
        return self.parts[0][1].size

    @property
    def blocks(self) -> tuple[slice, ...]:  # type: ignore[override]
        return self.parts[0][1].blocks

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s o"]:
        return sum(factor * part.forward(w, x) for factor, part in self.parts)  # type: ignore[return-value]


class Rotated(Network):
    r"""A field that is no gradient: that of `base` plus $r\|w\|^{L-2}Kw$; K turns planes of neighbouring entries by a quarter."""

    def __init__(self, base: Network, rate: float) -> None:
        self.base, self.rate = base, rate
        self.name, self.inputs, self.size, self.degree = f"rotated {base.name}", base.inputs, base.size, base.degree
        self.outputs_per_sample = base.outputs_per_sample
        self.has_lipschitz_gradient, self.blocks = base.has_lipschitz_gradient, (slice(0, base.size),)

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s o"]:
        return self.base.forward(w, x)

    def forward_and_pull(
        self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"], response: Response
    ) -> tuple[Float[Tensor, "s o"], Float[Tensor, "s k"]]:
        outputs, pulled = self.base.forward_and_pull(w, x, response)
        turned, pairs = torch.zeros_like(w), w.shape[1] // 2 * 2
        turned[:, 0:pairs:2], turned[:, 1:pairs:2] = -w[:, 1:pairs:2], w[:, 0:pairs:2]
        return outputs, pulled + self.rate * w.norm(dim=-1, keepdim=True) ** (self.base.degree - 2) * turned

    def output_bound(self, x: Float[Tensor, "n d"]) -> float | None:
        return self.base.output_bound(x)

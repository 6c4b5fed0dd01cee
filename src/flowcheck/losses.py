r"""Training losses with an explicit normalisation, and the negative derivative $-\ell'(\hat y,y)$ that drives the flow.

Square: $c\sum_i(\hat y_i-y_i)^2$ with c = 1/2 (`half_sum`, as both papers print it), 1/(2n) (`half_mean`), 1/n (`mean`)
or 1 (`sum`).
Logistic: $s\,c\sum_i\ln(1+e^{-\hat y_iy_i})$ with c = 1 (`sum`) or 1/n (`mean`) and a scale s (1 in two_homogeneous, 2 in
deep_homogeneous, so that $-\ell'(0,y)=y$).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Normalisation = Literal["half_sum", "half_mean", "mean", "sum"]


@dataclass(frozen=True)
class Loss:
    """A loss of n outputs. Raises ValueError for a normalisation that the kind does not have, or a scale that is not positive.

    >>> outputs, y = torch.tensor([[1.0, 3.0]]), torch.tensor([0.0, 1.0])
    >>> HALF_SUM.value(outputs, y).item()  # (1 + 4) / 2
    2.5
    >>> HALF_SUM.residual(outputs, y).tolist()
    [[-1.0, -2.0]]
    """

    kind: Literal["square", "logistic"]
    normalisation: Normalisation
    scale: float = 1.0

    def __post_init__(self) -> None:
        allowed = ("half_sum", "half_mean", "mean", "sum") if self.kind == "square" else ("sum", "mean")
        if self.normalisation not in allowed:
            raise ValueError(f"{self.kind} loss: normalisation {self.normalisation!r} is not one of {', '.join(allowed)}")
        if self.scale <= 0:
            raise ValueError(f"the scale of a loss must be positive, got {self.scale:g}")

    def factor(self, n: int) -> float:
        """What multiplies the bare sum of (ŷ - y)² or ln(1 + e^{-ŷy})."""
        bare = {"half_sum": 0.5, "half_mean": 0.5 / n, "mean": 1.0 / n, "sum": 1.0}[self.normalisation]
        return self.scale * bare

    def value(self, outputs: Float[Tensor, "*s n"], y: Float[Tensor, "*b n"]) -> Float[Tensor, "*s"]:
        """The loss of each run."""
        bare = (outputs - y) ** 2 if self.kind == "square" else torch.nn.functional.softplus(-outputs * y)
        return self.factor(y.shape[-1]) * bare.sum(dim=-1)

    def residual(self, outputs: Float[Tensor, "s n"], y: Float[Tensor, "*b n"]) -> Float[Tensor, "s n"]:
        """-ℓ'(ŷ, y): the vector z that the Jacobian is multiplied with in the gradient flow."""
        factor = self.factor(y.shape[-1])
        if self.kind == "square":
            return (2.0 * factor) * (y - outputs)
        return factor * y * torch.sigmoid(-outputs * y)

    def correlation_vector(self, y: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
        """-ℓ'(0, y): the vector of the neural correlation function near the origin."""
        factor = self.factor(y.shape[-1])
        return 2.0 * factor * y if self.kind == "square" else 0.5 * factor * y

    def derivative_change(self, outputs: Float[Tensor, "*s n"], y: Float[Tensor, "*b n"]) -> Float[Tensor, "*s n"]:
        r"""$\xi=\ell'(\hat y,y)-\ell'(0,y)$ without cancellation, down to the smallest outputs."""
        factor = self.factor(y.shape[-1])
        return 2.0 * factor * outputs if self.kind == "square" else 0.5 * factor * y * torch.tanh(0.5 * outputs * y)

    def derivative_lipschitz(self, y: Float[Tensor, " n"]) -> float:
        r"""$\hat\beta$: Lipschitz constant of ŷ -> ℓ'(ŷ, y) (two_homogeneous, Eq. (4)); exact for the square loss."""
        factor = self.factor(y.shape[-1])
        return 2.0 * factor if self.kind == "square" else 0.25 * factor * float((y**2).max())


HALF_SUM = Loss("square", "half_sum")
HALF_MEAN = Loss("square", "half_mean")
MEAN = Loss("square", "mean")
LOGISTIC = Loss("logistic", "sum")
LOGISTIC_DOUBLED = Loss("logistic", "sum", scale=2.0)

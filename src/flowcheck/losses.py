r"""Training losses with an explicit normalisation, and the negative derivative $-\ell'(\hat y,y)$ that drives the flow.

Square: $c\sum_i(\hat y_i-y_i)^2$ with c = 1/2 (`half_sum`, as both papers print it), 1/(2n) (`half_mean`), 1/n (`mean`)
or 1 (`sum`).
Logistic: $s\,c\sum_i\ln(1+e^{-\hat y_iy_i})$ with c = 1 (`sum`) or 1/n (`mean`) and a scale s (1 in two_homogeneous, 2 in
deep_homogeneous, so that $-\ell'(0,y)=y$).
Cross-entropy of a softmax over the c outputs of a sample: $-s\,c\sum_{ij}y_{ij}\ln\mathrm{softmax}(\hat y_i)_j$, with the factors
of the logistic loss; y holds the probabilities of the classes (`one_hot`).

Outputs and labels are flat [S, n c], sample by sample; n counts samples in every normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
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

    kind: Literal["square", "logistic", "cross_entropy"]
    normalisation: Normalisation
    scale: float = 1.0
    outputs_per_sample: int = 1

    def __post_init__(self) -> None:
        allowed = ("half_sum", "half_mean", "mean", "sum") if self.kind == "square" else ("sum", "mean")
        if self.normalisation not in allowed:
            raise ValueError(f"{self.kind} loss: normalisation {self.normalisation!r} is not one of {', '.join(allowed)}")
        if self.scale <= 0:
            raise ValueError(f"the scale of a loss must be positive, got {self.scale:g}")
        if self.outputs_per_sample < (2 if self.kind == "cross_entropy" else 1):
            raise ValueError(f"{self.kind} loss: {self.outputs_per_sample} outputs for each sample are too few")

    def samples(self, y: Float[Tensor, "*b o"]) -> int:
        """N. Raises ValueError if the labels are not those of whole samples."""
        count, rest = divmod(y.shape[-1], self.outputs_per_sample)
        if rest:
            raise ValueError(f"{y.shape[-1]} labels are not those of samples with {self.outputs_per_sample} outputs each")
        return count

    @property
    def counts_outputs(self) -> bool:
        """Whether it matters how many outputs a sample has: to a mean over samples, or to a softmax over them."""
        return self.kind == "cross_entropy" or self.normalisation in ("mean", "half_mean")

    def _mass(self, y: Tensor) -> Tensor:
        """The sum of a sample's labels, at each of them: one where they are probabilities."""
        return (
            self._by_sample(y).sum(dim=-1, keepdim=True).expand(*y.shape[:-1], -1, self.outputs_per_sample).flatten(start_dim=-2)
        )

    def _by_sample(self, flat: Tensor) -> Tensor:
        """[.., n c] as [.., n, c]."""
        return flat.view(*flat.shape[:-1], -1, self.outputs_per_sample)

    def factor(self, n: int) -> float:
        """What multiplies the bare sum of (ŷ - y)², ln(1 + e^{-ŷy}) or -y ln softmax(ŷ), for n samples."""
        bare = {"half_sum": 0.5, "half_mean": 0.5 / n, "mean": 1.0 / n, "sum": 1.0}[self.normalisation]
        return self.scale * bare

    def value(self, outputs: Float[Tensor, "*s o"], y: Float[Tensor, "*b o"]) -> Float[Tensor, "*s"]:
        """The loss of each run."""
        factor = self.factor(self.samples(y))
        if self.kind == "cross_entropy":
            log_probability = torch.log_softmax(self._by_sample(outputs), dim=-1).flatten(start_dim=-2)
            return -factor * (y * log_probability).sum(dim=-1)
        bare = (outputs - y) ** 2 if self.kind == "square" else torch.nn.functional.softplus(-outputs * y)
        return factor * bare.sum(dim=-1)

    def residual(self, outputs: Float[Tensor, "s o"], y: Float[Tensor, "*b o"]) -> Float[Tensor, "s o"]:
        """-ℓ'(ŷ, y): the vector z that the Jacobian is multiplied with in the gradient flow."""
        factor = self.factor(self.samples(y))
        if self.kind == "square":
            return (2.0 * factor) * (y - outputs)
        if self.kind == "cross_entropy":
            return factor * (y - self._mass(y) * torch.softmax(self._by_sample(outputs), dim=-1).flatten(start_dim=-2))
        return factor * y * torch.sigmoid(-outputs * y)

    def correlation_vector(self, y: Float[Tensor, "*b o"]) -> Float[Tensor, "*b o"]:
        """-ℓ'(0, y): the vector of the neural correlation function near the origin."""
        factor = self.factor(self.samples(y))
        if self.kind == "cross_entropy":
            return factor * (y - self._mass(y) / self.outputs_per_sample)
        return 2.0 * factor * y if self.kind == "square" else 0.5 * factor * y

    def derivative_change(self, outputs: Float[Tensor, "*s o"], y: Float[Tensor, "*b o"]) -> Float[Tensor, "*s o"]:
        r"""$\xi=\ell'(\hat y,y)-\ell'(0,y)$ without cancellation, down to the smallest outputs."""
        factor = self.factor(self.samples(y))
        if self.kind == "cross_entropy":
            return factor * self._mass(y) * self._softmax_change(self._by_sample(outputs)).flatten(start_dim=-2)
        return 2.0 * factor * outputs if self.kind == "square" else 0.5 * factor * y * torch.tanh(0.5 * outputs * y)

    def _softmax_change(self, outputs: Tensor) -> Tensor:
        """softmax(ŷ) - 1/c for small ŷ too: with ŷ centred it is that of expm1(ŷ), centred, over the sum of e^ŷ."""
        centred = outputs - outputs.mean(dim=-1, keepdim=True)
        grown = torch.expm1(centred.clamp(-1.0, 1.0))
        near = (grown - grown.mean(dim=-1, keepdim=True)) / (grown + 1.0).sum(dim=-1, keepdim=True)
        far = torch.softmax(outputs, dim=-1) - 1.0 / self.outputs_per_sample
        return torch.where(centred.abs().amax(dim=-1, keepdim=True) <= 1.0, near, far)

    def derivative_lipschitz(self, y: Float[Tensor, " o"]) -> float:
        r"""$\hat\beta$: Lipschitz constant of ŷ -> ℓ'(ŷ, y) (two_homogeneous, Eq. (4)); exact for the square loss."""
        factor = self.factor(self.samples(y))
        if self.kind == "cross_entropy":  # diag(p) - p p^T has norm at most 1/2, attained for two classes
            return 0.5 * factor * float(self._mass(y).abs().max())
        return 2.0 * factor if self.kind == "square" else 0.25 * factor * float((y**2).max())


def one_hot(classes: Int[Tensor, " n"], count: int) -> Float[Tensor, " o"]:
    """Labels of the cross-entropy, flat [n * count]: one for the class of each sample, in double precision.

    Raises ValueError if a class is not one of 0 ... count - 1.

    >>> one_hot(torch.tensor([2, 0]), 3).tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    """
    if len(classes) and not (int(classes.min()) >= 0 and int(classes.max()) < count):
        raise ValueError(f"classes are numbered 0 to {count - 1}, found {int(classes.min())} to {int(classes.max())}")
    return torch.nn.functional.one_hot(classes.long(), count).double().flatten()


def cross_entropy(classes: int, normalisation: Normalisation = "sum") -> Loss:
    """Softmax cross-entropy of networks with one output for each class."""
    return Loss("cross_entropy", normalisation, outputs_per_sample=classes)


HALF_SUM = Loss("square", "half_sum")
HALF_MEAN = Loss("square", "half_mean")
MEAN = Loss("square", "mean")
LOGISTIC = Loss("logistic", "sum")
LOGISTIC_DOUBLED = Loss("logistic", "sum", scale=2.0)

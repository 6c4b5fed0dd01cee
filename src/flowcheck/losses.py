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
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import POSITIVE, number, one_of, whole
from flowcheck.tensors import Numbers, floating, tensor

Kind = Literal["square", "logistic", "cross_entropy"]
Normalisation = Literal["half_sum", "half_mean", "mean", "sum"]


@dataclass(frozen=True)
class Loss:
    """A loss of n outputs. Raises ValueError for a normalisation that the kind does not have, or a scale that is not positive.

    Outputs and labels of any floating precision keep it; integers and lists become float64.

    >>> outputs, y = torch.tensor([[1.0, 3.0]]), torch.tensor([0.0, 1.0])
    >>> HALF_SUM.value(outputs, y).item()  # (1 + 4) / 2
    2.5
    >>> HALF_SUM.residual(outputs, y).tolist()
    [[-1.0, -2.0]]
    """

    kind: Kind
    normalisation: Normalisation
    scale: float = 1.0
    outputs_per_sample: int = 1

    def __post_init__(self) -> None:
        one_of("the kind of a loss", self.kind, get_args(Kind))
        allowed = get_args(Normalisation) if self.kind == "square" else ("sum", "mean")
        if self.normalisation not in allowed:
            raise ValueError(f"{self.kind} loss: normalisation {self.normalisation!r} is not one of {', '.join(allowed)}")
        object.__setattr__(self, "scale", number("the scale of a loss", self.scale, POSITIVE))
        least = 2 if self.kind == "cross_entropy" else 1
        object.__setattr__(self, "outputs_per_sample", whole("outputs_per_sample", self.outputs_per_sample, least))

    def samples(self, y: Float[Tensor, "*b o"]) -> int:
        """N, at least 1. Raises ValueError if the labels are not those of whole samples."""
        found = y.shape[-1] if y.ndim else 0
        count, rest = divmod(found, self.outputs_per_sample)
        if rest or not count:
            raise ValueError(f"{found} labels y are not those of samples with {self.outputs_per_sample} outputs each")
        return count

    def _given(self, outputs: Numbers, y: Numbers) -> tuple[Tensor, Tensor, float]:
        """Outputs and labels as tensors, and the factor. Raises ValueError unless there is one label for each output."""
        found, labels = floating("outputs", outputs), floating("y", y)
        if found.shape[-1:] != labels.shape[-1:]:
            raise ValueError(f"outputs {tuple(found.shape)} and labels {tuple(labels.shape)} are not as many")
        return found, labels, self.factor(self.samples(labels))

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

    def value(self, outputs: Numbers, y: Numbers) -> Float[Tensor, "*s"]:
        """The loss of each run."""
        outputs, y, factor = self._given(outputs, y)
        if self.kind == "cross_entropy":
            log_probability = torch.log_softmax(self._by_sample(outputs), dim=-1).flatten(start_dim=-2)
            return -factor * (y * log_probability).sum(dim=-1)
        bare = (outputs - y) ** 2 if self.kind == "square" else torch.nn.functional.softplus(-outputs * y)
        return factor * bare.sum(dim=-1)

    def residual(self, outputs: Numbers, y: Numbers) -> Float[Tensor, "s o"]:
        """-ℓ'(ŷ, y): the vector z that the Jacobian is multiplied with in the gradient flow."""
        outputs, y, factor = self._given(outputs, y)
        if self.kind == "square":
            return (2.0 * factor) * (y - outputs)
        if self.kind == "cross_entropy":
            return factor * (y - self._mass(y) * torch.softmax(self._by_sample(outputs), dim=-1).flatten(start_dim=-2))
        return factor * y * torch.sigmoid(-outputs * y)

    def correlation_vector(self, y: Numbers) -> Float[Tensor, "*b o"]:
        """-ℓ'(0, y): the vector of the neural correlation function near the origin."""
        y = floating("y", y)
        factor = self.factor(self.samples(y))
        if self.kind == "cross_entropy":
            return factor * (y - self._mass(y) / self.outputs_per_sample)
        return 2.0 * factor * y if self.kind == "square" else 0.5 * factor * y

    def derivative_change(self, outputs: Numbers, y: Numbers) -> Float[Tensor, "*s o"]:
        r"""$\xi=\ell'(\hat y,y)-\ell'(0,y)$ without cancellation, down to the smallest outputs."""
        outputs, y, factor = self._given(outputs, y)
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

    def derivative_lipschitz(self, y: Numbers) -> float:
        r"""$\hat\beta$: Lipschitz constant of ŷ -> ℓ'(ŷ, y) (two_homogeneous, Eq. (4)); exact for the square loss."""
        y = floating("y", y)
        factor = self.factor(self.samples(y))
        if self.kind == "cross_entropy":  # diag(p) - p p^T has norm at most 1/2, attained for two classes
            return 0.5 * factor * self._mass(y).abs().max().item()
        return 2.0 * factor if self.kind == "square" else 0.25 * factor * (y**2).max().item()


def one_hot(classes: Numbers, count: int) -> Float[Tensor, " o"]:
    """Labels of the cross-entropy, flat [n * count]: one for the class of each sample, in double precision.

    Raises ValueError if a class is not one of 0 ... count - 1.

    >>> one_hot(torch.tensor([2, 0]), 3).tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    """
    numbers, count = tensor("classes", classes).detach(), whole("count", count, 1)
    if numbers.ndim != 1:
        raise ValueError(f"classes are one for each sample [n], got shape {tuple(numbers.shape)}")
    wrong = ~((numbers >= 0) & (numbers < count) & (numbers == numbers.floor()))
    if bool(wrong.any()):
        raise ValueError(f"classes are numbered 0 to {count - 1}, found {float(numbers[wrong][0]):g}")
    return torch.nn.functional.one_hot(numbers.long(), count).double().flatten()


def cross_entropy(classes: int, normalisation: Normalisation = "sum") -> Loss:
    """Softmax cross-entropy of networks with one output for each class. Raises ValueError for less than two, as `Loss` does."""
    return Loss("cross_entropy", normalisation, outputs_per_sample=whole("classes", classes, 2))


HALF_SUM = Loss("square", "half_sum")
HALF_MEAN = Loss("square", "half_mean")
MEAN = Loss("square", "mean")
LOGISTIC = Loss("logistic", "sum")
LOGISTIC_DOUBLED = Loss("logistic", "sum", scale=2.0)

"""Products of the Hessian of a loss with vectors, for any function of flat weights that autograd differentiates twice.

The graph of the gradient is built once for a point and kept, so that a product is one pass back through it: a fourth of the cost
of `jvp(grad)` for a network on a thousand digits. On a kink of a network autograd gives the Hessian of one side without a word;
`require_twice_differentiable` tells by differences of gradients whether there is one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import POSITIVE, number
from flowcheck.errors import HypothesisError
from flowcheck.tensors import Numbers, finite, tensors

EPSILON = float(np.finfo(np.float64).eps)
STEP = EPSILON ** (1 / 3)
"""Of the differences, relative to the length of the weights."""
ROUNDING = 100 * EPSILON
"""Of a gradient, relative to its length: sums of some thousand terms."""


class HessianProducts:
    """v -> H v, with the Hessian H of `loss` at the weights `w` [k].

    Args:
        loss: of weights [k], a tensor with one number.

    Attributes:
        value, gradient: of the loss at w.
        count: products so far.

    Raises ValueError if the loss is no finite number, does not depend on w or cannot be differentiated twice, and HypothesisError
    if its gradient changes and autograd does not see it. A product raises ValueError if it is not finite.

    >>> products = HessianProducts(lambda w: (w**3).sum(), [1.0, 2.0])
    >>> products([1.0, 1.0]).tolist()
    [6.0, 12.0]
    """

    def __init__(self, loss: Callable[[Tensor], Tensor], w: Numbers) -> None:
        self._point = _weights(w).requires_grad_()
        self.value, self._slopes = _differentiated(loss, self._point)
        self.gradient: Float[Tensor, " k"] = self._slopes.detach()
        self.count, self._loss = 0, loss
        if not self._slopes.requires_grad:
            self._require_constant_gradient()

    @property
    def size(self) -> int:
        """The number k of weights."""
        return len(self.gradient)

    def __call__(self, v: Numbers) -> Float[Tensor, " k"]:
        """The product with one vector [k]."""
        (direction,) = tensors(v=v)
        if direction.shape != self.gradient.shape:
            raise ValueError(f"v is one vector of {self.size} numbers, got shape {tuple(direction.shape)}")
        self.count += 1
        if not self._slopes.requires_grad:
            return torch.zeros_like(direction)
        try:
            parts: tuple[Tensor | None, ...] = torch.autograd.grad(
                self._slopes, self._point, direction, retain_graph=True, allow_unused=True
            )
        except RuntimeError as error:  # of a function of the user's, or one that torch knows no second derivative of
            raise ValueError(f"loss is not twice differentiable: {str(error).splitlines()[0]}") from None
        if (found := parts[0]) is None:
            self._require_constant_gradient()
            return torch.zeros_like(direction)
        return finite("the product of Hessian and v", found)

    def _require_constant_gradient(self) -> None:
        """A gradient without a way back to the weights is that of a linear loss, or autograd has lost something."""
        point = self._point.detach()
        beside = point + STEP * (1.0 + torch.linalg.vector_norm(point))
        change = float(torch.linalg.vector_norm(gradient_at(self._loss, beside) - self.gradient))
        if change > ROUNDING * float(torch.linalg.vector_norm(self.gradient)):
            raise HypothesisError("gradient_change", change, "autograd loses the changes of the gradient of loss")


def gradient_at(loss: Callable[[Tensor], Tensor], w: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """The gradient at one point, without a graph."""
    return _differentiated(loss, w.detach().requires_grad_(), graph=False)[1].detach()


def second_derivative_defect(loss: Callable[[Tensor], Tensor], w: Numbers, along: Numbers) -> float:
    """How far differences of gradients to either side of w are from the Hessian times `along`, relative to the largest of them.

    About 1e-5 where the loss is smooth, of the order of a share of the samples where a kink lies within a step, and one where
    autograd has lost a derivative.

    >>> second_derivative_defect(lambda w: w.abs().pow(3).sum(), [1.0], [1.0]) < 1e-4
    True
    >>> second_derivative_defect(lambda w: (w * w.abs()).sum(), [0.0], [1.0]) > 0.1
    True
    """
    point, direction = _weights(w), _weights(along, "along")
    products = HessianProducts(loss, point)
    exact = products(direction)
    length = float(torch.linalg.vector_norm(direction))
    if not length:
        raise ValueError("along has length 0")
    step = STEP * max(1.0, float(torch.linalg.vector_norm(point))) / length
    sides = [(gradient_at(loss, point + h * direction) - products.gradient) / h for h in (step, -step)]
    largest = max(float(torch.linalg.vector_norm(part)) for part in (exact, *sides))
    if not largest:
        return 0.0
    rounding = ROUNDING * float(torch.linalg.vector_norm(products.gradient)) / step
    apart = max(float(torch.linalg.vector_norm(side - exact)) for side in sides)
    return max(0.0, apart - rounding) / largest


def require_twice_differentiable(loss: Callable[[Tensor], Tensor], w: Numbers, along: Numbers, tolerance: float = 1e-3) -> float:
    """The `second_derivative_defect`. Raises HypothesisError with it if it is above the tolerance."""
    allowed = number("tolerance", tolerance, POSITIVE)
    found = second_derivative_defect(loss, w, along)
    if found <= allowed:
        return found
    said = "loss is not twice differentiable at w, as differences of gradients beside it say"
    raise HypothesisError("second_derivative_defect", found, said)


def _weights(given: Numbers, name: str = "w") -> Float[Tensor, " k"]:
    """A vector of its own."""
    (found,) = tensors(**{name: given})
    if found.ndim != 1 or not len(found):
        raise ValueError(f"{name} is one vector of numbers, got shape {tuple(found.shape)}")
    return found.clone()


def _differentiated(loss: Callable[[Tensor], Tensor], point: Tensor, graph: bool = True) -> tuple[float, Tensor]:
    """The loss at a point that requires its gradient, and that gradient."""
    value = loss(point)
    if not isinstance(value, Tensor) or value.numel() != 1:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss must give a tensor with one number, got {shape}")
    if not bool(torch.isfinite(value)):
        raise ValueError(f"loss is {float(value.detach())} at w")
    if not value.requires_grad:
        raise ValueError("loss does not depend on w, or its graph was cut")
    (slopes,) = torch.autograd.grad(value.sum(), point, create_graph=graph, allow_unused=True)
    if slopes is None:
        raise ValueError("loss does not depend on w")
    finite("the gradient of loss", slopes.detach())
    return float(value.detach()), slopes

"""The activation max(x, a x)^p and its derivative."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flowcheck.arguments import number


@dataclass(frozen=True)
class Activation:
    """max(x, slope x)^power, element-wise. slope 0 is ReLU^power, slope 1 the polynomial x^power, (1, 1) the identity.

    >>> Activation(slope=-1.0, power=2)(torch.tensor([-2.0, 3.0])).tolist()
    [4.0, 9.0]
    >>> relu_power(2).derivative(torch.tensor([-2.0, 3.0])).tolist()
    [0.0, 6.0]
    """

    slope: float = 0.0
    power: float = 1.0

    def __post_init__(self) -> None:
        slope, power = number("the slope of an activation", self.slope), number("the power of an activation", self.power)
        object.__setattr__(self, "slope", slope)
        object.__setattr__(self, "power", power)
        if power < 1:
            raise ValueError(f"an activation needs a power of at least 1, got {self.power:g}")
        if self.slope == 1 and self.power != int(self.power):
            raise ValueError(f"x^{self.power:g} is not defined for x < 0: a polynomial activation needs a whole power")

    @property
    def is_identity(self) -> bool:
        return self.slope == 1 and self.power == 1

    @property
    def has_lipschitz_gradient(self) -> bool:
        return self.power >= 2 or self.slope == 1

    def __call__(self, z: Tensor) -> Tensor:
        return _power(self._base(z), self.power)

    def derivative(self, z: Tensor) -> Tensor:
        """One element of the Clarke subdifferential at each entry: 0 at 0 for ReLU."""
        if self.slope == 1:
            return torch.ones_like(z) if self.power == 1 else self.power * _power(z, self.power - 1)
        if self.slope == 0:
            if self.power == 1:
                return (z > 0).to(z.dtype)
            return self.power * _power(z.clamp_min(0), self.power - 1)
        high, low = max(1.0, self.slope), min(1.0, self.slope)
        branch = low + (high - low) * (z > 0).to(z.dtype)
        return branch if self.power == 1 else self.power * _power(self._base(z), self.power - 1) * branch

    def pull(self, z: Tensor, upstream: Tensor) -> Tensor:
        """derivative(z) * upstream, broadcast to z; one pass where torch has a kernel for it."""
        if self.slope == 0 and self.power == 1:
            return torch.ops.aten.threshold_backward(upstream.expand_as(z), z, 0)
        if self.slope == 0 and self.power == 2:
            return z.clamp_min(0) * (2 * upstream)
        return upstream.expand_as(z) if self.is_identity else self.derivative(z) * upstream

    def _base(self, z: Tensor) -> Tensor:
        return z if self.slope == 1 else z.clamp_min(0) if self.slope == 0 else torch.maximum(z, self.slope * z)


def _power(z: Tensor, power: float) -> Tensor:
    """z^power; by squaring for small whole powers, where torch's kernel is many times slower."""
    if power != int(power) or not 1 <= power <= 8:
        return z**power
    product, square, bits = None, z, int(power)
    while bits:
        if bits % 2:
            product = square if product is None else product * square
        square, bits = (square * square if bits > 1 else square), bits // 2
    assert product is not None
    return product


IDENTITY = Activation(1.0, 1.0)
RELU = Activation()


def relu_power(power: float) -> Activation:
    """max(x, 0)^power."""
    return Activation(0.0, power)

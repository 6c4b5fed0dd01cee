"""The loss of a `torch.nn.Module` on data as a function of its flat weights, in double precision.

The module itself is neither changed nor converted: parameters that require a gradient become one vector, those that do not and
all buffers are held as they are. Whatever needs derivatives of a function of weights, `HessianProducts` first of all, takes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from flowcheck.arguments import POSITIVE, instance, number
from flowcheck.errors import HypothesisError
from flowcheck.tensors import dense, finite


@dataclass(frozen=True, eq=False)
class ModuleLoss:
    """w [k] -> loss(module(x), y).

    Args:
        module: called with x alone.
        loss: of the module's outputs and y, one number; `torch.nn.functional.cross_entropy`, say.
        x, y: inputs and labels of all samples along the first dimension; floating numbers become double precision.

    Raises ValueError if the module has no weights to differentiate, x and y are not as many or not finite, or the loss is another
    each time that it is computed (dropout).

    >>> line = torch.nn.Linear(1, 1, bias=False)
    >>> found = ModuleLoss(line, torch.nn.functional.mse_loss, torch.ones(2, 1), torch.zeros(2, 1))
    >>> found(torch.tensor([3.0], dtype=torch.float64)).item()
    9.0
    """

    module: torch.nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    x: Shaped[Tensor, ...]
    y: Shaped[Tensor, ...]

    def __post_init__(self) -> None:
        """Data become double precision."""
        instance("module", self.module, torch.nn.Module)
        for name in ("x", "y"):
            given = getattr(self, name)
            instance(name, given, Tensor)
            object.__setattr__(self, name, _double(name, given))
        if not self.x.ndim or not self.y.ndim or len(self.x) != len(self.y) or not len(self.x):
            shapes = f"{tuple(self.x.shape)} and {tuple(self.y.shape)}"
            raise ValueError(f"x and y hold the same samples along their first dimension, got shapes {shapes}")
        if not self._free():
            raise ValueError("module has no parameter that requires a gradient")
        with torch.no_grad():
            first, again = (float(self(self.weights)) for _ in range(2))
        if first != again and not (math.isnan(first) and math.isnan(again)):
            raise ValueError(f"the loss of module is random: {first:.17g}, then {again:.17g}; eval() switches dropout off")

    @property
    def weights(self) -> Float[Tensor, " k"]:
        """Those of the module now, one after the other in the order of `named_parameters`."""
        return torch.cat([part.detach().double().flatten() for part in self._free().values()])

    def __call__(self, w: Float[Tensor, " k"]) -> Tensor:
        return self._of(w, self.x, self.y)

    def mean_defect(self) -> float:
        """How far the loss is from a mean over samples: its relative change when every sample is there twice. One for a sum."""
        with torch.no_grad():
            once = float(self(self.weights))
            twice = float(self._of(self.weights, torch.cat([self.x, self.x]), torch.cat([self.y, self.y])))
        return abs(twice - once) / abs(once) if once else abs(twice)

    def require_mean(self, tolerance: float = 1e-10) -> None:
        """Raises HypothesisError with the measured `mean_defect` if it is above the tolerance."""
        allowed = number("tolerance", tolerance, POSITIVE)
        found = self.mean_defect()
        if not found <= allowed:
            raise HypothesisError("mean_defect", found, "the loss is not a mean over samples: it changes if each is there twice")

    def _free(self) -> dict[str, Tensor]:
        return {name: part for name, part in self.module.named_parameters() if part.requires_grad}

    def _of(self, w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        free = self._free()
        parts = torch.split(w, [part.numel() for part in free.values()])
        state = {name: part.view(free[name].shape) for name, part in zip(free, parts, strict=True)}
        held = {name: part.detach() for name, part in self.module.named_parameters() if name not in free}
        held |= {name: part.clone() for name, part in self.module.named_buffers()}  # a module may count in its buffers
        state |= {name: part.double() if part.is_floating_point() else part for name, part in held.items()}
        return self.loss(torch.func.functional_call(self.module, state, (x,)), y)


def _double(name: str, given: Tensor) -> Tensor:
    """Floating numbers in double precision; class labels as they are."""
    found = dense(name, given.detach())
    if found.is_complex():
        raise ValueError(f"{name} must hold real numbers, got {str(found.dtype).removeprefix('torch.')}")
    return finite(name, found.double()) if found.is_floating_point() else found

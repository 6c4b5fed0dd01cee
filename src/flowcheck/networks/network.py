"""The contract that every homogeneous network keeps: forward, forward and pull, bounds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Response = Callable[[Tensor], Tensor]
"""Outputs [S, n c] -> the vector z [S, n c] or [n c] that the Jacobian is multiplied with."""


class Network:
    r"""A network of declared degree. Subclasses give `forward`; where they know more, they override the rest.

    A network may have c outputs for each sample. They are one flat vector [S, n c], sample by sample: entry i c + j is output j
    of sample i, and labels y, residuals and z are flat in the same way. Then $z^\top\mathcal H(X;w)$ is the inner product of the
    matrices, and all that is said of the neural correlation function of a scalar network holds as it stands.

    Attributes:
        name: for tables and test ids.
        inputs, size: d and k.
        outputs_per_sample: c.
        degree: the declared L. `hypotheses.require_degree` measures whether it is true.
        has_lipschitz_gradient: whether the gradient with respect to the weights is locally Lipschitz.
        blocks: slices of w on which a separable network acts one by one; one slice where it is not separable.
    """

    name: str
    inputs: int
    size: int
    outputs_per_sample: int = 1
    degree: float
    has_lipschitz_gradient: bool
    blocks: tuple[slice, ...]

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s o"]:
        raise NotImplementedError

    def forward_and_pull(
        self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"], response: Response
    ) -> tuple[Float[Tensor, "s o"], Float[Tensor, "s k"]]:
        r"""Outputs and $\mathcal J(X;w)^\top z$ with z = response(outputs), in one pass. Autograd; no graph is kept."""
        with torch.inference_mode(False), torch.enable_grad():
            leaf = kept_by_autograd(w).detach().requires_grad_(True)
            outputs = self.forward(leaf, kept_by_autograd(x))
            z = response(outputs.detach()).expand_as(outputs)
            (pulled,) = torch.autograd.grad(outputs, leaf, z)
        return outputs.detach(), pulled

    def pull(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"], z: Float[Tensor, "*s o"]) -> Float[Tensor, "s k"]:
        r"""$\mathcal J(X;w)^\top z$: the gradient of the neural correlation function for z."""
        return self.forward_and_pull(w, x, lambda _: z)[1]

    def preactivations(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s m"]:
        """What changes sign where the gradient jumps: one column per unit and sample; no columns for a smooth network."""
        return w.new_zeros((w.shape[0], 0))

    def output_bound(self, x: Float[Tensor, "n d"]) -> float | None:
        r"""Upper bound of $\beta=\sup_{\|w\|=1}\|\mathcal H(X;w)\|_2$ in closed form; None where there is none."""
        return None

    def jacobian_bound(self, x: Float[Tensor, "n d"]) -> float | None:
        r"""Upper bound of $\alpha=\sup_{\|w\|=1}\|\mathcal J(X;w)\|_2$ in closed form; None where there is none.

        With one input it bounds $\chi$ of that input (two_homogeneous, Appendix J).
        """
        return None

    def jacobian_lipschitz_bound(self, x: Float[Tensor, "n d"], radius: float) -> float | None:
        r"""Upper bound of the Lipschitz constant of $\mathcal J(X;\cdot)$ on $\|w\|\le$ radius; None where there is none."""
        return None


def kept_by_autograd(x: Tensor) -> Tensor:
    """The tensor, or outside of inference mode a copy of one that was made in it: autograd keeps none of those."""
    return x.clone() if x.is_inference() else x

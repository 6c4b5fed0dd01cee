r"""What Figures 1 to 5 (deep_homogeneous) show of weights: norm, alignment, rows, singular values; and the flow's invariants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.geometry import unit
from flowcheck.networks import anatomy as layers
from flowcheck.networks.feed_forward import FeedForward
from flowcheck.papers.deep_homogeneous.figure_draws import Draws

ORDER = 0
"""Root seed of the order in which `shuffled` puts entries: the same for all runs."""
EPS = float(np.finfo(np.float64).eps)
OPERATIONS = 1400
"""Operations of float64 in a row behind a number of an anatomy: forward and back through three layers of at most 20 columns, sums
over 100 points, a product over 1000 weights, and singular values of 20 columns."""
ROUNDING = OPERATIONS * EPS
"""Bound on the rounding error of a number of an anatomy that is a cosine or a share of the norm: all are at most one, and what
is cancelled in them is at most as large as what is left."""


@dataclass(frozen=True)
class Anatomy:
    r"""Of weights w, one entry for each run (and layer).

    Attributes:
        norm: $\|w\|$.
        cosine: of w and the gradient of the NCF.
        cosine_permuted: the same for the NCF of labels in reverse order.
        cosine_over_degree: $\mathcal N(\hat w)/\|\nabla\mathcal N(\hat w)\|$: the cosine over L, by Euler's identity.
        rows: alignment of the rows of each matrix (`weighted_row_cosine`).
        random_rows: the alignment that is expected of random rows.
        shares: of each matrix in the squared norm.
        singular: singular values over the norm, in descending order, padded with NaN.
        shuffled: the same of matrices whose entries are put in another order.
        invariants: constants of the flow.
    """

    norm: Float[np.ndarray, " s"]
    cosine: Float[np.ndarray, " s"]
    cosine_permuted: Float[np.ndarray, " s"]
    cosine_over_degree: Float[np.ndarray, " s"]
    rows: Float[np.ndarray, "s l"]
    random_rows: Float[np.ndarray, "s l"]
    shares: Float[np.ndarray, "s l"]
    singular: Float[np.ndarray, "s l r"]
    shuffled: Float[np.ndarray, "s l r"]
    invariants: Float[np.ndarray, "s m"]

    @classmethod
    def of(cls, network: FeedForward, draws: Draws, w: Float[Tensor, "s k"]) -> Anatomy:
        """NaN where the weights are: a run that never escaped has none."""
        known = torch.isfinite(w).all(dim=-1)
        w = torch.where(known[:, None], w, 1.0)  # singular values of NaN are an error
        correlation, norm = Correlation(network, draws.x, draws.y), w.norm(dim=-1)
        permuted = Correlation(network, draws.x, draws.y.flip(-1))
        matrices = network.unpack(w)
        expected = w.new_tensor([expected_row_cosine(matrix.shape[-1]) for matrix in matrices])
        found = {
            "norm": norm,
            "cosine": correlation.cosine(w),
            "cosine_permuted": permuted.cosine(w),
            "cosine_over_degree": correlation.normalised(w) / correlation.gradient(unit(w)).norm(dim=-1),
            "rows": torch.stack([layers.weighted_row_cosine(matrix) for matrix in matrices], dim=-1),
            "random_rows": expected.expand(len(w), -1),
            "shares": layers.shares(network, w),
            "singular": singular_values(matrices) / norm[:, None, None],
            "shuffled": singular_values([shuffled(matrix) for matrix in matrices]) / norm[:, None, None],
            "invariants": layers.invariants(network, w),
        }
        return cls(
            **{
                name: torch.where(known.view(-1, *[1] * (value.dim() - 1)), value, torch.nan).cpu().numpy()
                for name, value in found.items()
            }
        )

    def arrays(self, stage: str) -> dict[str, np.ndarray]:
        """All of it, by name, with the stage of the run before it."""
        return {f"{stage}_{field.name}": getattr(self, field.name) for field in fields(self)}

    def first(self, count: int) -> Anatomy:
        """Of the first runs."""
        return Anatomy(**{field.name: getattr(self, field.name)[:count] for field in fields(self)})

    def rescaled(self, norm: float) -> Anatomy:
        """Of the same directions with another norm, as far as `meets` looks at it."""
        return replace(self, norm=np.full_like(self.norm, norm))

    def ratio(self) -> Float[np.ndarray, "s l"]:
        """s_2 / s_1 of each matrix."""
        return self.singular[..., 1] / self.singular[..., 0]


def singular_values(matrices: Sequence[Float[Tensor, "s _ _"]]) -> Float[Tensor, "s l r"]:
    """Of each matrix, in descending order, padded with NaN."""
    found = [torch.linalg.svdvals(matrix).mT for matrix in matrices]
    return torch.nn.utils.rnn.pad_sequence(found, padding_value=torch.nan).permute(2, 1, 0)


def shuffled(matrix: Float[Tensor, "s a b"]) -> Float[Tensor, "s a b"]:
    """The same entries in a fixed random order: as large, and without the structure."""
    order = np.random.Generator(np.random.PCG64(ORDER)).permutation(matrix.shape[-2] * matrix.shape[-1])
    return matrix.flatten(start_dim=-2)[:, torch.from_numpy(order).to(matrix.device)].view_as(matrix)


def expected_row_cosine(columns: int) -> float:
    r"""E |cos| of the angle of two random directions in d dimensions: $\Gamma(d/2)/(\sqrt\pi\,\Gamma((d+1)/2))$.

    >>> round(expected_row_cosine(2), 6)  # 2 / π
    0.63662
    """
    return math.exp(math.lgamma(columns / 2) - math.lgamma((columns + 1) / 2)) / math.sqrt(math.pi)


def per_layer(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """[runs, layers] -> name_W1, name_W2, ..."""
    return {f"{name}_W{layer}": column for layer, column in enumerate(values.T, 1)}


def curves(start: Anatomy, at: Anatomy) -> dict[str, Float[np.ndarray, " s"]]:
    """What the figures show, one number for each run."""
    shown = {"growth": at.norm / start.norm, "cosine": at.cosine, "cosine_permuted": at.cosine_permuted}
    return shown | per_layer("rows", at.rows) | per_layer("ratio", at.ratio())


def drift(start: Anatomy, at: Anatomy) -> Float[np.ndarray, " s"]:
    """Change of the flow's invariants, over the squared norm of the weights."""
    return np.linalg.norm(at.invariants - start.invariants, axis=1) / at.norm**2


def drift_rounding(steps: float) -> float:
    r"""Bound on the rounding error of `drift` over so many steps of descent: $2(n+\text{operations})\varepsilon$.

    A step rounds each weight to within half of $\varepsilon$ of itself, which moves an invariant by at most $2\varepsilon$ times
    the squared norm: a matrix stands in two of them, and a square moves twice as far as its root. Norms grow along the way. The
    gradients, which add up to the path of the weights, add the operations behind one of them.
    """
    return 2.0 * (steps + OPERATIONS) * EPS

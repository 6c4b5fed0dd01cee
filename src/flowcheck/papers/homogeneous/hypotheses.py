"""What the statements of both homogeneous papers presuppose, measured in one call under the names that claims ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from flowcheck.measures.readings import largest_of, smallest_of
from flowcheck.networks.hypotheses import require_degree, require_scale, require_signal
from flowcheck.networks.network import Network
from flowcheck.pipeline.evidence import Measurement

ROUNDING = 1e-13
"""Bound on the rounding error of a relative defect or a cosine of outputs: 400 operations of float64 in a row, 1.1e-16 each,
lie behind an output of the deepest network, and a power c^L doubles that."""


@dataclass(frozen=True)
class Presupposed:
    """One network with its inputs and all vectors z whose NCF is followed; `degree` as claimed, or the network's own."""

    network: Network
    x: Float[Tensor, "n d"]
    z: Float[Tensor, "s n"]
    degree: float | None = None


def measure(problems: Iterable[Presupposed], scales: Sequence[float] = ()) -> dict[str, Measurement]:
    """`degree_defect` (largest) and `signal` (smallest) over all problems, and `scale_min` of the scales.

    Raises HypothesisError where one of them is not met, and ValueError without a problem.
    """
    found = {"scale_min": Measurement.exact(require_scale(scales))} if scales else {}
    defects: list[float] = []
    signals: list[float] = []
    for problem in problems:
        defects.append(require_degree(problem.network, problem.x, problem.degree))
        signals += [require_signal(problem.network, problem.x, z) for z in problem.z]
    return found | {
        "degree_defect": Measurement(max(defects), ROUNDING, n=len(defects)),
        "signal": Measurement(min(signals), ROUNDING, n=len(signals)),
    }


def worst(cells: Iterable[Mapping[str, Measurement]]) -> dict[str, Measurement]:
    """What several cells presuppose, together: each of the three numbers where it is worst, counted over all cells."""
    measured = list(cells)
    chosen = {"scale_min": smallest_of, "degree_defect": largest_of, "signal": smallest_of}
    return {name: choose(cell[name] for cell in measured) for name, choose in chosen.items()}

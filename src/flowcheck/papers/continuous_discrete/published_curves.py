"""Figures 1 and 3 (continuous_discrete) as their authors published them: numbers to lay beside ours.

Those of Figure 1 are read from vector graphics every 100 iterations, to five decimals; those of Figure 3 from pictures, by eye
and at few iterations. The draw of the weights and the images behind them are the authors', so that no run of ours has to meet
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from flowcheck.errors import ConfigError

RATIOS = (1, 2, 5, 10, 20)
"""r of the step sizes 0.001 / r, in the order of the rows of `Published.loss`."""
COLUMNS = (
    "iteration",
    *(f"loss_r{r}" for r in RATIOS),
    "distance_travelled",
    *(f"drift_r{r}" for r in RATIOS[1:]),
)
DECIMALS = 5e-6
"""Half a unit of the last decimal; how exactly the graphics hold what was plotted is not known."""

READ_OFF = 0.03
"""How far what was read off a picture may be from what was plotted."""
QUANTITIES = ("loss", "distance", "drift")


@dataclass(frozen=True)
class Published:
    """The curves of one network.

    Attributes:
        iterations: steps of size 0.001.
        loss: training loss for each r of `RATIOS`, at equal time.
        distance: of the run with r = 1 from its start.
        drift: distance between the runs with r = 1 and with each larger r.
    """

    iterations: Int[np.ndarray, " t"]
    loss: Float[np.ndarray, "5 t"]
    distance: Float[np.ndarray, " t"]
    drift: Float[np.ndarray, "4 t"]


def published(path: Path) -> Published:
    """The curves in a file of ``scripts/continuous_discrete/data``. Raises ConfigError if it is not one of these."""
    table = pd.read_csv(path, comment="#")
    if tuple(table.columns) != COLUMNS or not np.isfinite(table.to_numpy(dtype=float)).all():
        raise ConfigError(f"{path}: expected finite numbers in the columns {', '.join(COLUMNS)}")
    rows = table.to_numpy(dtype=float).T
    return Published(rows[0].astype(np.int64), rows[1:6], rows[6], rows[7:])


def read_off(path: Path) -> dict[str, tuple[Int[np.ndarray, " t"], Float[np.ndarray, " t"]]]:
    """Iterations and values of loss, distance travelled and largest drift of one network of Figure 3.

    Raises ConfigError if the file is not one of these.
    """
    table = pd.read_csv(path, comment="#")
    if tuple(table.columns) != ("quantity", "iteration", "value") or set(table["quantity"]) != set(QUANTITIES):
        raise ConfigError(f"{path}: expected the columns quantity, iteration, value with {', '.join(QUANTITIES)}")
    parts = {name: table[table["quantity"] == name] for name in QUANTITIES}
    return {
        name: (part["iteration"].to_numpy(dtype=np.int64), part["value"].to_numpy(dtype=float)) for name, part in parts.items()
    }


def rms_distance(
    ours: Float[np.ndarray, " n"], at: Int[np.ndarray, " n"], theirs: Float[np.ndarray, " t"], theirs_at: Int[np.ndarray, " t"]
) -> tuple[float, int]:
    """Root mean square of the difference of two curves over the iterations that both have, and how many these are.

    Raises ValueError if they have none in common.
    """
    common, here, there = np.intersect1d(at, theirs_at, return_indices=True)
    if not len(common):
        raise ValueError("the curves have no iteration in common")
    return float(np.sqrt(np.mean((ours[here] - theirs[there]) ** 2))), len(common)

"""Initial value problems by scipy, which steps one state at a time: the reference solvers, and the stiff flows of saddles.

scipy never ends on an interval that ends at NaN, and says in a field of its answer that it gave up: both are errors here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from jaxtyping import Float


def solve(
    rates: Callable[[float, np.ndarray], np.ndarray],
    end: float,
    start: Float[np.ndarray, " k"],
    method: Literal["DOP853", "LSODA", "Radau", "RK45"],
    times: Float[np.ndarray, " p"] | None = None,
    *,
    what: str = "the flow",
    **options: Any,
) -> Any:
    """The answer of `scipy.integrate.solve_ivp` for y' = `rates`(t, y) from y(0) = `start` to `end`, at `times` if given.

    `options` are scipy's. Raises ValueError if the end or the start is not finite or `rates` writes into its argument, and
    RuntimeError if the solver gives up, all about `what`.

    >>> float(solve(lambda t, y: -y, 1.0, np.array([2.0]), "DOP853", rtol=1e-10, atol=1e-12).y[0, -1]).__round__(9)
    0.735758882
    """
    from scipy.integrate import solve_ivp  # takes a second to import, and who only multiplies layers does not need it

    if not (np.isfinite(end) and np.isfinite(start).all()):
        raise ValueError(f"{what}: a flow to {end:g} from {np.array2string(np.asarray(start), threshold=8)} has no end")
    given = np.array(start, dtype=np.float64)
    rates(0.0, given)
    if not np.array_equal(given, start):
        raise ValueError(f"{what}: the right-hand side changes the state that it is given; it must give a new one")
    solution = solve_ivp(rates, (0.0, end), start, method, times, **options)
    if not solution.success:
        raise RuntimeError(f"{what}: {solution.message}")
    return solution

r"""The proofs of Theorems 15 and 32, line by line, with their constants as logarithms.

Step sizes of 1e-18 to 1e-70 and 1e80 iterations cannot be run. What can be run through is the arithmetic: that the printed step
size implies the condition of Theorem 3 with the constants of Proposition 14. A slack is ln of the right over the left side of an
inequality.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from flowcheck.measures import readings
from flowcheck.papers.continuous_discrete import deep_linear_bounds as bounds
from flowcheck.pipeline.evidence import Found

ROUNDING = 1e-11
"""Of sums of a dozen logarithms of up to some hundreds."""
Grid = Float[np.ndarray, " g"]


def grid(largest_depth: int, points: int, longest: float) -> tuple[Grid, Grid, Grid, Grid]:
    """Depths, cosines, lengths and accuracies: every combination, the cosines dense near -1."""
    depths = np.arange(2.0, largest_depth + 1)
    nus = np.concatenate([np.geomspace(1e-4, 1.0, points) - 1, np.linspace(0.1, 1.0, 4)])
    lengths, accuracies = np.geomspace(1e-8, longest, points), np.geomspace(1e-8, 1.0, points)
    n, nu, norm, accuracy = (axis.ravel() for axis in np.meshgrid(depths, nus, lengths, accuracies, indexing="ij"))
    return n, nu, norm, accuracy


def theorem_15(n: Grid, nu: Grid, norm: Grid, accuracy: Grid) -> dict[str, Grid]:
    """Slacks of the lines of I.13, with the step size of Eq. (23) and the iterations of Eq. (24)."""
    inflation, largest = bounds.log_inflation(n, nu), np.log(np.maximum(1.0, bounds.x_of(nu)))
    target = bounds.log_target(n, nu, norm, accuracy)
    log_eta, log_time = bounds.log_step(n, nu, norm, accuracy), bounds.log_time(n, nu, norm, accuracy / 2)
    # k eta is between t-bar and t-bar + eta
    log_run = np.logaddexp(log_time, log_eta)
    log_epsilon = np.log(norm * accuracy / (15 * n**3)) - inflation - log_run
    m = 1.0 + np.log(n**2 / norm**2) + 2.5 * (n - 1) * (2 + largest)
    first = -log_epsilon + np.log(96) + 1.5 * np.log(n) + log_run + m
    second = np.log(4500) + 6.5 * np.log(n) + (6 * n - 5) + (3.5 * n - 2.5) * largest - np.log(norm**3 * accuracy) + 2 * log_run
    third = second - 2 * log_run + np.log(9 * n**2 / norm**2) + 2 * inflation + 2 * np.log(target)
    last = 8.5 * np.log(n) + (7 * n + 6) + (5.5 * n - 2.5) * largest - np.log(norm**5 * accuracy) + 2 * np.log(target)
    return {
        "radius": -np.log(2 * n) - log_epsilon,
        "loss": np.log(accuracy / (12 * np.sqrt(n))) - log_epsilon,
        "equation78": np.log(1.5) + log_time - log_run,
        "line_one": second - first,
        "line_two": third - second,
        "line_three": last - third,
        "line_four": -log_eta - last,
        "equation7": -log_eta - first,
    }


def theorem_32(n: Grid, nu: Grid, norm: Grid, accuracy: Grid) -> dict[str, Grid]:
    """The same for I.20, at the worst that Lemma 88 leaves: length 2/3 of the start's, max{1, X} = Y."""
    y, shorter = np.log(bounds.y_of(nu)), 2 * norm / 3
    inflation = n * (np.log(1.5) + y)
    target = np.log(15 * n * bounds.y_of(nu) / (shorter * accuracy))
    log_eta, log_hat = bounds.log_step_unbalanced(n, nu, norm, accuracy), bounds.log_unbalancedness(n, nu, norm, accuracy)
    log_time = np.log(2 * n / shorter) + inflation + np.log(target)
    log_run = np.logaddexp(log_time, log_eta)
    log_epsilon = np.log(shorter * accuracy / (15 * n**3)) - inflation - log_run
    m = 1.0 + np.log(n**2 / shorter**2) + 2.5 * (n - 1) * (2 + y)
    offset = m + 1.5 * np.log(n) + log_hat / 2
    # Theorem 3 with an initial offset of at most half of epsilon
    left = log_epsilon + np.log1p(-np.minimum(np.exp(offset - log_epsilon), 1 - 1e-15))
    condition = left - (np.log(96) + 1.5 * np.log(n) + log_run + m)
    return {
        "radius": -np.log(2 * n) - log_epsilon,
        "loss": np.log(accuracy / (12 * np.sqrt(n))) - log_epsilon,
        "offset": log_epsilon - np.log(2) - offset,
        "equation7": condition - log_eta,
        "iterations": bounds.log_time_unbalanced(n, nu, norm, accuracy) - log_time,
    }


def proofs(largest_depth: int, points: int) -> Found:
    """The smallest slack of each line over the grid, and of the last ones with a step size a thousand times as large."""
    balanced, unbalanced = grid(largest_depth, points, 0.2), grid(largest_depth, points, 0.1)
    found = {f"theorem15_{name}_min": values for name, values in theorem_15(*balanced).items()}
    found |= {f"theorem32_{name}_min": values for name, values in theorem_32(*unbalanced).items()}
    # what the same lines leave for larger steps and more unbalance
    found["theorem15_equation7_large_step_min"] = theorem_15(*balanced)["equation7"] - np.log(1e3)
    found["theorem32_equation7_large_step_min"] = theorem_32(*unbalanced)["equation7"] - np.log(1e3)
    found["theorem32_offset_more_unbalanced_min"] = theorem_32(*unbalanced)["offset"] - np.log(1e2) / 2
    found["theorem32_iterations_twenty_two_min"] = found["theorem32_iterations_min"] + _logarithm_ratio(*unbalanced)
    return {name: readings.smallest(values, ROUNDING) for name, values in found.items()}


def _logarithm_ratio(n: Grid, nu: Grid, norm: Grid, accuracy: Grid) -> Grid:
    """Ln of the change of Eq. (36) if its constant 23 were 22: 15 times 3/2 is 22.5."""
    target = bounds.log_target_unbalanced(n, nu, norm, accuracy)
    return np.log((target + np.log(22 / 23)) / target)


def printed_sizes(depths: Float[np.ndarray, " n"]) -> Found:
    """log10 of the printed step size, iterations and unbalancedness for accuracy 0.1, by depth and for three cosines."""
    nus, shape = np.array([0.9, 0.0, -0.9]), (3, len(depths))
    n, nu = np.broadcast_to(depths, shape), np.broadcast_to(nus[:, None], shape)
    norm, accuracy = np.full(shape, 0.1), np.full(shape, 0.1)
    step = bounds.log_step(n, nu, norm, accuracy)
    iterations = (bounds.log_time(n, nu, norm, accuracy / 2) - step) / np.log(10)
    polynomial = (np.log(2 * n / norm) + 8.5 * np.log(n)) / np.log(10)
    return {
        "printed_iterations_growth_min": readings.smallest(np.diff(iterations, axis=1), ROUNDING),
        "printed_iterations_growth_linear_max": readings.largest(np.diff(polynomial[:, -2:], axis=1), ROUNDING),
        "printed_depths": depths,
        "printed_cosines": nus,
        "printed_steps": step / np.log(10),
        "printed_iterations": iterations,
        "printed_unbalancedness": bounds.log_unbalancedness(n, nu, norm, accuracy) / np.log(10),
    }

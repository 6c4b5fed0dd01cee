"""Saddles of one power unit with idle units at zero: minima by Newton, split units, and one whose idle unit shrinks to zero."""

import numpy as np

from flowcheck.data.synthetic import sphere_inputs, unit_vectors
from flowcheck.networks.zoo import power_net
from flowcheck.saddles.inward_ball import holds_within
from flowcheck.saddles.saddle import Saddle, by_newton
from flowcheck.saddles.units import Units

RADII = np.geomspace(1e-6, 1.0, 37)
"""Where Eq. (15) is sampled, and in whose balls it is proved."""


def fewer_units(degree: int, rng: np.random.Generator, units: int) -> Saddle:
    """A critical point of `units` power units with three idle units; labels of a teacher of three, signs of both kinds in either.

    Idle units of one sign would leave most starts of the NCF with a value that is not positive.
    """

    def draw(rng: np.random.Generator) -> tuple[Units, Units, np.ndarray]:
        x = sphere_inputs(rng, 30, 3).numpy()
        y = Units.of(power_net(3, 3, degree, signs=(1, 1, -1)), x).outputs(rng.standard_normal(9))
        return Units.of(power_net(units, 3, degree), x), Units.of(power_net(3, 3, degree, signs=(1, -1, 1)), x), y

    return by_newton(draw, rng)


def with_lowest(saddle: Saddle, directions: np.ndarray) -> np.ndarray:
    """Directions [s, k] and, both ways, the lowest eigenvector of the Hessian."""
    lowest = np.linalg.eigh(saddle.hessian)[1][:, 0]
    return np.vstack([directions, lowest, -lowest])


def inward_radius(saddle: Saddle, directions: np.ndarray) -> tuple[float, np.ndarray]:
    """Gamma of (15) on a grid of radii up to 1, and the smallest inward rate at each radius.

    Over sampled directions and, both ways, the lowest eigenvector of the Hessian, which decides at small radii.
    """
    directions = with_lowest(saddle, directions)
    rates = np.array([saddle.inward(float(radius), directions).min() for radius in RADII])
    outward = np.flatnonzero(rates < 0)
    return float(RADII[-1] if not len(outward) else RADII[max(outward[0] - 1, 0)]), rates


def proved_radius(saddle: Saddle, sampled: float, smallest: float) -> float:
    """The largest of `RADII`, from `smallest` to the `sampled` gamma, in whose ball (15) is proved; 0 if there is none."""
    candidates = RADII[(smallest < RADII) & (sampled >= RADII)]
    return next((float(radius) for radius in candidates[::-1] if holds_within(saddle, float(radius))), 0.0)


def stable_saddle(
    degree: int, directions: np.ndarray, smallest: float, rng: np.random.Generator
) -> tuple[Saddle, float, np.ndarray]:
    """A minimum with definite Hessian that satisfies (15) in a ball of more than a radius: gamma, proved, and inward rates."""
    for _ in range(50):
        saddle = fewer_units(degree, rng, 1)
        sampled, rates = inward_radius(saddle, directions)
        if np.linalg.eigvalsh(saddle.hessian)[0] > 0 and (gamma := proved_radius(saddle, sampled, smallest)):
            return saddle, gamma, rates
    raise RuntimeError(f"degree {degree}: no minimum satisfies (15) in a ball of radius {smallest:g}")


def strict_saddle(degree: int, rng: np.random.Generator) -> Saddle:
    """The unit of a minimum split into two equal halves where moving them apart lowers the loss: the Hessian is indefinite."""
    for _ in range(50):
        whole = fewer_units(degree, rng, 1)
        two = Units.of(power_net(2, 3, degree), whole.fitted.x)
        saddle = Saddle(two, whole.idle, np.tile(0.5 ** (1 / degree) * whole.weights, 2), whole.residual)
        if np.linalg.eigvalsh(saddle.hessian)[0] < -0.5:
            return saddle
    raise RuntimeError(f"degree {degree}: no split unit is unstable")


def collapsing_saddle(rng: np.random.Generator) -> Saddle:
    """Degree 4: one unit fits its half-space exactly, labels are negative on the other; the idle unit (u.x)^4 shrinks to zero."""
    x = sphere_inputs(rng, 30, 3).numpy()
    fitted, idle = Units.of(power_net(1, 3, 4), x), Units.of(power_net(1, 3, 4, slope=1), x)
    weights = 1.5 * unit_vectors(rng, 1, 3)[0].numpy()
    return Saddle(fitted, idle, weights, np.where(x @ weights > 0, 0.0, -rng.uniform(1.0, 2.0, 30)))

r"""How far Euler's method, or gradient descent, strays from the solution of $\dot q=g(t,q)$: a bound, and the step it admits.

With $m$ an upper bound of the logarithmic norm of the Jacobian between the two, and $\delta$ of the defect
$\|\dot{\bar q}-g(t,\bar q)\|$ of the polygon $\bar q$ through the iterates, the distance $E$ obeys $E'\le mE+\delta$. That is
Theorem 2 of continuous_discrete (Theorem 10.6 of Hairer, Norsett and Wanner); Theorem 3 there takes $\delta=\beta\gamma\eta$.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import FINITE_NOT_NEGATIVE, POSITIVE, finite_array, number, whole
from flowcheck.tensors import Numbers, finite, tensor, unwritten

Rates = Callable[[Tensor, Tensor], Tensor]
"""g: a time [] and a state [d] to a velocity [d], in float64, which torch.func may differentiate and map."""
Solution = Callable[[Float[np.ndarray, " p"]], Float[np.ndarray, "p d"]]
"""The exact solution at times."""
SMALL = 1e-2
"""Below it a series of five terms has the quotients of exponentials to 1e-13."""


def deviation_bound(
    times: Numbers,
    growth: Numbers,
    defect: Numbers,
    offset: float = 0.0,
) -> Float[np.ndarray, " p"]:
    r"""$e^{\mu(t)}\bigl(E_0+\int_0^te^{-\mu}\delta\bigr)$ with $\mu=\int_0^tm$: the right side of Eq. (4), at all times.

    `times` [p] increase from the start; `growth` [p - 1] is m, constant on each interval; `defect` [p - 1, 2] is delta where an
    interval begins and where it ends, and linear between; `offset` is the distance at the start. The result bounds the distance
    where growth and defect are upper bounds of theirs on each interval. Raises ValueError where shapes or numbers do not fit.

    >>> deviation_bound([0.0, 1.0, 2.0], [0.0, 0.0], [[0.0, 1.0], [0.0, 1.0]], offset=0.5).tolist()
    [0.5, 1.0, 1.5]
    """
    grid, m = _intervals(times, growth)
    ends = finite_array("defect", defect)
    if ends.shape != (len(m), 2) or (ends < 0).any():
        raise ValueError(f"defect holds two numbers of at least 0 for each of {len(m)} intervals, got shape {ends.shape}")
    bound = [number("offset", offset, FINITE_NOT_NEGATIVE)]
    factor, first, last = _weights(m, np.diff(grid))
    for grown, added in zip(factor.tolist(), (first * ends[:, 0] + last * ends[:, 1]).tolist(), strict=True):
        bound.append(grown * bound[-1] + added)
    return np.array(bound)


def largest_step(
    times: Numbers,
    growth: Numbers,
    smoothness: float,
    slope: float,
    radius: float,
    offset: float = 0.0,
) -> float:
    r"""The step below which descent stays within `radius` of the flow up to the last of `times`: the right side of Eq. (7).

    `growth` [p - 1] bounds minus the smallest eigenvalue of the Hessian on each interval, within the radius of the flow;
    `smoothness` the norm of the Hessian there (beta), `slope` that of the gradient (gamma). The infimum is over all times, not
    only the ends of intervals. 0 if the offset alone may leave the radius. Raises ValueError where shapes or numbers do not fit.

    >>> round(largest_step([0.0, 2.0], [0.0], smoothness=1.0, slope=1.0, radius=0.1), 12)  # radius / (beta gamma t)
    0.05
    """
    grid, m = _intervals(times, growth)
    reach = number("radius", radius, POSITIVE)
    beta, gamma = number("smoothness", smoothness, POSITIVE), number("slope", slope, POSITIVE)
    nothing = np.zeros((len(m), 2))
    grown = deviation_bound(grid, m, nothing, offset)
    stretched = deviation_bound(grid, m, nothing + 1.0)
    # both are monotone on an interval with one m, so that the worse of its ends holds all over it
    left = reach - np.maximum(grown[:-1], grown[1:])
    step = left / (beta * gamma * np.maximum(stretched[:-1], stretched[1:]))
    return max(0.0, float(step.min()))


def logarithmic_norm(matrix: Float[Tensor, "*b d d"]) -> Float[Tensor, "*b"]:
    """The largest eigenvalue of the symmetric part: how fast distances can grow.

    >>> logarithmic_norm(torch.tensor([[-1.0, 4.0], [0.0, -1.0]])).item()
    1.0
    """
    largest: Tensor = torch.linalg.eigvalsh((matrix + matrix.mT) / 2)[..., -1]
    return largest


@dataclass(frozen=True)
class Discrepancy:
    """Euler's method beside the exact solution, at times between the iterates too.

    Attributes:
        times: at which both were compared, [p].
        deviation: their distance, [p].
        growth: the largest logarithmic norm met on the segment between them, in the middle of each interval, [p - 1].
        defect: |polygon's velocity - g(t, polygon)| where each interval begins and ends, [p - 1, 2].
        is_iterate: which of the times belong to iterates, [p].
    """

    times: Float[np.ndarray, " p"]
    deviation: Float[np.ndarray, " p"]
    growth: Float[np.ndarray, " i"]
    defect: Float[np.ndarray, "i 2"]
    is_iterate: np.ndarray

    @property
    def bound(self) -> Float[np.ndarray, " p"]:
        """`deviation_bound` of what was met, which is a quadrature: its error falls with the square of the intervals."""
        return deviation_bound(self.times, self.growth, self.defect, float(self.deviation[0]))


def along_euler(
    rates: Rates,
    solution: Solution,
    start: Numbers,
    step_size: float,
    steps: int,
    parts: int = 4,
    along: int = 5,
) -> Discrepancy:
    """Euler's method from `start`, the solution at the same times, and what Theorem 2 makes of both.

    `rates` maps a time and a state to a velocity, `solution` times [p] to states [p, d]. Each step is cut into `parts`, and the
    logarithmic norm is looked at in `along` points of each segment. Raises ValueError if a step leaves the finite numbers, or
    where arguments do not fit.

    >>> found = along_euler(lambda t, q: q, lambda t: np.exp(t)[:, None], [1.0], 0.1, 10)
    >>> bool((abs(found.deviation[1:] / found.bound[1:] - 1) < 1e-6).all())  # of q' = q the bound is the distance
    True
    """
    return beside(rates, solution, euler(rates, start, step_size, steps), step_size, parts, along)


def beside(
    rates: Rates, solution: Solution, states: Float[Tensor, "k d"], step_size: float, parts: int = 4, along: int = 5
) -> Discrepancy:
    """The same for iterates that are known, as `euler` gives them."""
    eta, count = number("step_size", step_size, POSITIVE), len(states) - 1
    pieces, across = whole("parts", parts, 1), whole("along", along, 2)
    shares = torch.arange(pieces + 1, dtype=states.dtype, device=states.device) / pieces
    begin = eta * torch.arange(count, dtype=states.dtype, device=states.device)
    clock = begin[:, None] + eta * shares  # [k, parts + 1]
    mapped = torch.func.vmap(rates)
    velocity = mapped(begin, states[:-1])
    polygon = states[:-1, None] + eta * shares[:, None] * velocity[:, None]
    there = mapped(clock.flatten(), polygon.flatten(0, 1)).reshape(polygon.shape)
    defect = torch.linalg.norm(velocity[:, None] - there, dim=-1)

    times = np.append(clock[:, :-1].numpy().ravel(), eta * count)
    exact = torch.as_tensor(solution(times))
    ours = torch.cat([polygon[:, :-1].flatten(0, 1), states[-1:]])
    if exact.shape != ours.shape:
        raise ValueError(f"solution must give states of shape {tuple(ours.shape)}, got {tuple(exact.shape)}")
    middle = torch.as_tensor((times[1:] + times[:-1]) / 2)
    met = _largest_growth(rates, middle, torch.as_tensor(solution(middle.numpy())), (ours[1:] + ours[:-1]) / 2, across)
    return Discrepancy(
        times,
        torch.linalg.norm(exact - ours, dim=1).numpy(),
        met.numpy(),
        torch.stack([defect[:, :-1], defect[:, 1:]], dim=-1).flatten(0, 1).numpy(),
        np.arange(len(times)) % pieces == 0,
    )


def euler(rates: Rates, start: Numbers, step_size: float, steps: int) -> Float[Tensor, "k d"]:
    """The start and the iterates after it. Raises ValueError where a step leaves the finite numbers, or arguments do not fit."""
    eta, count = number("step_size", step_size, POSITIVE), whole("steps", steps, 1)
    first = finite("start", tensor("start", start))
    if first.ndim != 1 or not len(first):
        raise ValueError(f"start must be one state [d], got shape {tuple(first.shape)}")
    unwritten("rates", rates, torch.zeros((), dtype=torch.float64, device=first.device), first)
    states = [first.detach()]
    for k in range(count):
        states.append(states[-1] + eta * rates(torch.tensor(k * eta, dtype=torch.float64, device=first.device), states[-1]))
        if not bool(torch.isfinite(states[-1]).all()):
            raise ValueError(f"Euler's method with a step_size of {eta:g} leaves the finite numbers at step {k + 1}")
    return torch.stack(states)


def _largest_growth(
    rates: Rates, times: Float[Tensor, " p"], exact: Float[Tensor, "p d"], ours: Float[Tensor, "p d"], along: int
) -> Float[Tensor, " p"]:
    jacobian = torch.func.vmap(torch.func.jacrev(rates, argnums=1))
    found = [logarithmic_norm(jacobian(times, exact + share * (ours - exact))) for share in np.linspace(0, 1, along).tolist()]
    return torch.stack(found).amax(dim=0)


def _intervals(times: object, growth: object) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " i"]]:
    grid, m = finite_array("times", times), finite_array("growth", growth)
    if grid.ndim != 1 or len(grid) < 2 or (np.diff(grid) <= 0).any():
        raise ValueError("times must be at least two numbers that increase")
    if m.shape != (len(grid) - 1,):
        raise ValueError(f"growth is one number for each of {len(grid) - 1} intervals, got shape {m.shape}")
    return grid, m


def _weights(m: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the distance is multiplied by on each interval, and what the defect at its two ends is."""
    z = m * h
    large = np.abs(z) > SMALL
    safe = np.where(large, z, 1.0)
    whole_ = np.where(large, np.expm1(safe) / safe, 1 + z / 2 + z**2 / 6 + z**3 / 24 + z**4 / 120)
    late = np.where(large, (np.expm1(safe) - safe) / safe**2, 0.5 + z / 6 + z**2 / 24 + z**3 / 120 + z**4 / 720)
    return np.exp(z), h * (whole_ - late), h * late

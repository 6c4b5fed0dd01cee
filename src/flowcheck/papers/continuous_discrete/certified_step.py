r"""The step that Theorem 3 certifies on digits, with constants measured along the run, against the step that works as well.

With $E(t)=\int_0^te^{\int_{t'}^tm}dt'$, Eq. (7) certifies $\epsilon/(\beta\gamma\max E)$. Here $\epsilon$ is the deviation that
the step size of Figure 1 really has, so that this step size works. $\beta$, $\gamma$ and m are what is met at points of the run,
m the smaller of two neighbours, where the theorem asks for bounds in a neighbourhood of the whole flow: the certified step is
taken too large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import logsumexp
from torch import Tensor

from flowcheck.curvature.hessian_products import HessianProducts
from flowcheck.curvature.lanczos import spectrum_ends
from flowcheck.data.mnist import Digits
from flowcheck.descent.classifier import ClassifierDescent
from flowcheck.descent.input_span import InputSpan
from flowcheck.integration.discrepancy import euler
from flowcheck.measures import readings
from flowcheck.measures.refinement import Refined
from flowcheck.papers.continuous_discrete import mnist_networks
from flowcheck.papers.continuous_discrete.step_comparison import Runs
from flowcheck.pipeline.evidence import Found

FINER, COARSER = 8, 4
"""Fractions of the step size whose runs stand for the flow; the change between them is the error of the deviation."""
RTOL, PRODUCTS = 1e-3, 400
"""Of eigenvalues, and products that each may take."""
SHORT, SHORT_STEP = 0.05, 5e-4
"""Time and step of the control, in which a bowl is hardly left."""


@dataclass(frozen=True)
class Measured:
    """One run at points of its way.

    Attributes:
        step_size: eta.
        times: [p].
        deviation: of the run with this step from the flow.
        lowest, highest: ends of the spectrum of the Hessian, [p].
        slope: length of the gradient, [p].
    """

    step_size: float
    times: Float[np.ndarray, " p"]
    deviation: Refined
    lowest: Float[np.ndarray, " p"]
    highest: Float[np.ndarray, " p"]
    slope: Float[np.ndarray, " p"]

    @property
    def growth(self) -> Float[np.ndarray, " i"]:
        """On the intervals: the smaller of both ends, as the theorem may take a rate that varies between them."""
        return np.minimum(-self.lowest[:-1], -self.lowest[1:])

    @property
    def log_bound(self) -> Float[np.ndarray, " q"]:
        r"""The logarithm of $\beta\gamma\eta E$ at the times after the first: what Theorem 3 bounds the deviation by."""
        smoothness = max(np.abs(self.lowest).max(), np.abs(self.highest).max())
        return np.asarray(np.log(smoothness * self.slope.max() * self.step_size) + log_stretch(self.times, self.growth))

    def orders(self) -> Refined:
        """The logarithm to base ten of the step size over the certified step, with the error of the deviation."""
        far = self.deviation.value.max()
        return Refined(
            np.asarray((self.log_bound.max() - np.log(far)) / np.log(10)),
            np.asarray(float(self.deviation.error.max()) / far / np.log(10) + RTOL),
        )


def log_stretch(times: Float[np.ndarray, " p"], growth: Float[np.ndarray, " i"]) -> Float[np.ndarray, " i"]:
    """The logarithm of E at the ends of intervals, with m constant on each.

    >>> np.exp(log_stretch(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0]))).round(9).tolist()
    [1.0, 2.0]
    """
    lengths = np.diff(times)
    ends = np.concatenate([[0.0], np.cumsum(growth * lengths)])
    z = np.maximum(np.abs(growth * lengths), 1e-12)
    own = np.log(lengths) + np.maximum(growth * lengths, 0.0) + np.log(-np.expm1(-z) / z)  # of the integral over one of them
    return np.array([logsumexp(own[: k + 1] + ends[k + 1] - ends[1 : k + 2]) for k in range(len(own))])


def measured(
    begin: Callable[[float], Runs],
    loss: Callable[[Tensor], Tensor],
    step_size: float,
    iterations: int,
    points: int,
    rng: np.random.Generator,
) -> Measured:
    """Runs with a step size and fractions of it, at so many points, and curvature and slope along the finest."""
    marks = np.unique(np.linspace(0, iterations, points).round().astype(int))
    own, half, fine = (_path(begin, step_size, marks, ratio) for ratio in (1, COARSER, FINER))
    far = [np.linalg.norm(own - other, axis=1) / (1 - 1 / ratio) for other, ratio in ((fine, FINER), (half, COARSER))]
    lowest, highest, slope = [], [], []
    for w in fine:
        products = HessianProducts(loss, w)
        ends = spectrum_ends(products, rng.standard_normal(len(w)), rtol=RTOL, most_products=PRODUCTS)
        lowest.append(ends.low)
        highest.append(ends.high)
        slope.append(float(torch.linalg.norm(products.gradient)))
    curves = (np.array(part) for part in (lowest, highest, slope))
    return Measured(step_size, step_size * marks, Refined.of(far[0], far[1]), *curves)


def _path(begin: Callable[[float], Runs], step_size: float, marks: np.ndarray, ratio: int) -> Float[np.ndarray, "p k"]:
    """Weights of the only run at these iterations of the step size, run with a fraction of it."""
    runs = begin(step_size / ratio)
    kept = [runs.weights()[0].numpy()]
    for count in np.diff(marks).tolist():
        runs.advance(ratio * count)
        kept.append(runs.weights()[0].numpy())
    return np.array(kept)


def on_digits(name: mnist_networks.Name, data: Digits, rng: np.random.Generator, iterations: int, points: int) -> Measured:
    """A network of Figure 1 from a random start, in double precision."""
    fit, start = mnist_networks.objective(name, data), torch.from_numpy(mnist_networks.xavier(rng))[None]
    descent = partial(ClassifierDescent, fit, start, precision="float64", span=InputSpan.of(fit.x))
    return measured(
        lambda eta: descent(step_size=eta), lambda w: fit.value(w[None])[0], mnist_networks.STEP_SIZE, iterations, points, rng
    )


class _OnBowl:
    """Descent on half the square of two numbers."""

    def __init__(self, step_size: float) -> None:
        self.step_size, self.w = step_size, torch.tensor([1.0, 0.5], dtype=torch.float64)

    def advance(self, steps: int) -> None:
        """So many iterations."""
        self.w = euler(lambda _, w: -w, self.w, self.step_size, steps)[-1]

    def weights(self) -> Float[Tensor, "1 k"]:
        """Of the one run."""
        return self.w[None]


def on_bowl(rng: np.random.Generator) -> Measured:
    """The control: in a short time on a bowl the condition of Theorem 3 is sharp up to a factor of two."""
    return measured(_OnBowl, lambda w: (w**2).sum() / 2, SHORT_STEP, round(SHORT / SHORT_STEP), 5, rng)


def read(name: str, runs: Sequence[Measured]) -> Found:
    """What all draws of a network say, and the curves of the first."""
    each = [one.orders() for one in runs]
    orders = Refined(np.array([one.value for one in each]), np.array([one.error for one in each]))
    stretched = np.array([float((one.growth * np.diff(one.times)).sum()) for one in runs])
    first = runs[0]
    return {
        f"{name}_orders_min": orders.smallest(),
        f"{name}_orders_max": orders.largest(),
        f"{name}_stretch_max": readings.largest(stretched, RTOL * np.abs(stretched)),
        f"{name}_times": first.times[1:],
        f"{name}_deviation": first.deviation.value[1:],
        f"{name}_log10_bound": first.log_bound / np.log(10),
        f"{name}_lowest": first.lowest,
        f"{name}_highest": first.highest,
    }


def control(rng: np.random.Generator) -> Found:
    """The same on the bowl."""
    return {"bowl_orders": on_bowl(rng).orders().number()}

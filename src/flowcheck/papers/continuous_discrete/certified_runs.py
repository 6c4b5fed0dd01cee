r"""Runs of descent with a tube around the flow, held against the flow itself: does the tube hold it, and how wide is the bound.

The flow is integrated at two tolerances; a number's error is its change between them. Beside it stands the right side of Theorem
3, $\beta\gamma\eta\int e^{\int m}$, where its constants are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.curvature.certificate import PARTS, Certificate, Loss, Third, certify
from flowcheck.integration.discrepancy import deviation_bound
from flowcheck.measures import readings
from flowcheck.measures.refinement import Refined
from flowcheck.networks.linear import balanced_weights
from flowcheck.papers.continuous_discrete import enclosed_network, theorem_2, theorem_3
from flowcheck.papers.continuous_discrete.beside_the_flow import Instance
from flowcheck.papers.continuous_discrete.certified_networks import ACTIVATIONS, Layered, TwoLayer, deep_linear_third
from flowcheck.papers.continuous_discrete.near_the_flow import DeepLinear
from flowcheck.pipeline.evidence import Found

RTOL, COARSE_RTOL = 1e-11, 1e-9
WIDTH = 3
"""Inputs, and units of a layer of deep linear networks."""
LENGTH, RADIUS = 0.2, 0.02
"""Of the end-to-end vector at the start, and epsilon of Theorem 3."""
SAMPLES, UNITS = 20, 8
"""Of random data, and of networks with one hidden layer."""
SMALL = {2: 0.05, 3: 0.2}
"""Standard deviation of the weights at a start near a saddle, by depth."""
ESCAPE = 6.0
"""Until when such a run is followed."""


@dataclass(frozen=True)
class Run:
    """One loss and a start.

    Attributes:
        third: bounds the third derivative; None if no bound is known.
        end: until when it is followed.
        theorem_3: the instance of Theorem 3 of which this is one, if it is.
    """

    name: str
    loss: Loss
    third: Third | None
    start: Float[np.ndarray, " k"]
    end: float
    theorem_3: Instance | None = None


def balanced(rng: np.random.Generator, depths: Sequence[int], cosines: Sequence[float]) -> list[Run]:
    """Deep linear networks from balanced starts, to which Theorem 3 applies with the constants of Lemmas 63 and 64."""
    found = []
    for depth in depths:
        for nu in cosines:
            until = 2.0 if depth == 2 else 1.0
            target, across = np.eye(WIDTH)[:2]
            layers = balanced_weights(LENGTH * (nu * target + (1 - nu**2) ** 0.5 * across), [WIDTH] * (depth - 1), rng)
            network = DeepLinear(depth, WIDTH, WIDTH, torch.as_tensor(target))
            known = theorem_3.deep_linear(depth, nu, LENGTH, RADIUS, until)
            start = np.concatenate([layer.ravel() for layer in layers])
            found.append(Run(known.name, network.loss, partial(deep_linear_third, network), start, until, known))
    return found


def near_saddles(rng: np.random.Generator, draws: int) -> list[Run]:
    """Deep linear networks from near zero: the flow leaves a saddle, which spreads it."""
    found = []
    for depth, scale in SMALL.items():
        network = DeepLinear(depth, WIDTH, WIDTH, torch.eye(WIDTH, dtype=torch.float64)[0])
        size = sum(rows * columns for rows, columns in network.shapes)
        for _ in range(draws):
            start = scale * rng.standard_normal(size)
            found.append(Run(f"saddle, {depth} layers", network.loss, partial(deep_linear_third, network), start, ESCAPE))
    return found


def tanh_pairs(rng: np.random.Generator, draws: int, until: float, intervals: int) -> list[Run]:
    """The network of two units for which the constants of Theorem 3 are enclosed."""
    points, values = (torch.tensor(given, dtype=torch.float64) for given in (theorem_2.POINTS, theorem_2.VALUES))
    network, found = TwoLayer(2, ACTIVATIONS["tanh"], points, values), []
    for _ in range(draws):
        start = 0.7 * rng.standard_normal(6)
        known = enclosed_network.instance(start, RADIUS, until, intervals)[0]
        found.append(Run("two tanh units", network.loss, network.third, start, until, known))
    return found


def two_layer(rng: np.random.Generator, draws: int, until: float) -> list[Run]:
    """Smooth units on random data."""
    found = []
    for name, activation in ACTIVATIONS.items():
        for _ in range(draws):
            x, y = random_data(rng)
            network = TwoLayer(UNITS, activation, x, y)
            start = Layered((WIDTH, UNITS, 1), activation.function, x, y).start(rng, rng.uniform(0.3, 1.0))
            found.append(Run(f"{name}, one layer", network.loss, network.third, start, until))
    return found


def layered(rng: np.random.Generator, draws: int, until: float) -> list[Run]:
    """Networks of three layers on random data; no bound of their third derivatives is used."""
    found = []
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "linear": torch.nn.Identity(),
        **{name: one.function for name, one in ACTIVATIONS.items()},
    }
    for name, function in functions.items():
        for _ in range(draws):
            network = Layered((WIDTH, 6, 5, 1), function, *random_data(rng))
            found.append(Run(f"{name}, three layers", network.loss, None, network.start(rng, rng.uniform(0.3, 1.0)), until))
    return found


def random_data(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Normal inputs and labels."""
    return torch.as_tensor(rng.standard_normal((SAMPLES, WIDTH))), torch.as_tensor(rng.standard_normal(SAMPLES))


@dataclass(frozen=True)
class Held:
    """A certificate beside the flow, at the iterates after the first: NaN from where no tube was found.

    Attributes:
        deviation: of the iterates from the flow.
        away: of the middle of the tube from the flow.
    """

    run: Run
    found: Certificate
    deviation: Refined
    away: Refined

    def radius(self, growth: float = 1.0, defect: float = 1.0) -> Float[np.ndarray, " p"]:
        """Of the tube at these iterates; broken, if the curvature or the defect is taken times a factor."""
        count = len(self.found.growth)
        part = self.found.times[1] / PARTS
        bound = deviation_bound(part * np.arange(count + 1), growth * self.found.growth, defect * self.found.defect)[PARTS::PARTS]
        return np.concatenate([bound, np.full(len(self.found.times) - 1 - len(bound), np.nan)])

    def tube_ratio(self, growth: float = 1.0, defect: float = 1.0) -> Refined:
        """Distance of the flow from the middle of the tube over its radius, the largest of the run."""
        return _largest(self.away, self.radius(growth, defect))

    def upper_ratio(self) -> Refined:
        """The bound over the deviation, the largest of the run; infinite if the tube ends before the run."""
        upper = self.found.upper[1:]
        return Refined.of((upper / self.deviation.value).max(), (upper / (self.deviation.value + self.deviation.error)).max())

    def last_ratio(self, bound: float) -> Refined:
        """A bound over the deviation of the last iterate."""
        last = self.deviation[-1]
        return Refined.of(bound / last.value, bound / (last.value + last.error))

    def right_side(self) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, " q"]]:
        """Times, and the right side of Theorem 3 there; NaN where its constants are not known."""
        known, eta = self.run.theorem_3, float(self.found.times[1])
        if known is None:
            return self.found.times, np.full(len(self.found.times), np.nan)
        defect = np.full((len(known.growth), 2), known.smoothness * known.slope * eta)
        return known.times, deviation_bound(known.times, known.growth, defect)


def _largest(away: Refined, radius: Float[np.ndarray, " p"]) -> Refined:
    ratio = away.value / radius
    place = int(np.nanargmax(ratio))
    return Refined(np.asarray(ratio[place]), np.asarray(away.error[place] / radius[place]))


def held(run: Run, step_size: float, corrections: Sequence[int], guaranteed: bool) -> list[Held]:
    """A run with its certificates, one for each number of corrections, beside the flow at two tolerances."""
    third, count = run.third if guaranteed else None, round(run.end / step_size)
    system, times = theorem_2.descending(run.name, run.loss, run.start), step_size * np.arange(1, count + 1)
    flows = [system.integrated(times, rtol) for rtol in (RTOL, COARSE_RTOL)]
    kept = []
    for rounds in corrections:
        found = certify(run.loss, run.start, step_size, count, corrections=rounds, third=third)
        ours = (found.iterates[1:].numpy(), found.path[1:].numpy())
        kept.append(
            Held(run, found, *(Refined.of(*(np.linalg.norm(points - flow, axis=1) for flow in flows)) for points in ours))
        )
    return kept


def joined(parts: Sequence[Refined]) -> Refined:
    """Single numbers as one row."""
    return Refined(np.array([part.value for part in parts]), np.array([part.error for part in parts]))


def guaranteed(runs: Sequence[Run], saddles: Sequence[Run], step_size: float) -> Found:
    """Tubes that are guaranteed, after one and two corrections; what breaks them where the flow leaves a saddle."""
    once, twice = zip(*(held(run, step_size, (1, 2), True) for run in [*runs, *saddles]), strict=True)
    spread = once[len(runs) :]
    bounds = joined([one.last_ratio(float(one.right_side()[1][-1])) for one in twice])
    deep = np.array([one.run.name.startswith("deep") for one in twice])
    pairs = ~deep & ~np.isnan(bounds.value)
    upper = [joined([one.upper_ratio() for one in chosen]) for chosen in (once, twice)]
    return {
        "tube_ratio_max": joined([one.tube_ratio() for one in [*once, *twice]]).largest(),
        "tube_ratio_no_curvature_median": joined([one.tube_ratio(growth=0.0) for one in spread]).median(),
        "tube_ratio_wrong_sign_median": joined([one.tube_ratio(growth=-1.0) for one in spread]).median(),
        "tube_ratio_half_defect_min": joined([one.tube_ratio(defect=0.5) for one in spread]).smallest(),
        "open_tubes": readings.count(np.array([not np.isfinite(one.found.radius[-1]) for one in twice])),
        "open_tubes_once": readings.count(np.array([not np.isfinite(one.found.radius[-1]) for one in once])),
        "upper_ratio_max": upper[1].largest_of_all(),
        "upper_ratio_once_median": upper[0].median(),
        "theorem3_deep_ratio_min": bounds.smallest(deep),
        "theorem3_deep_ratio_max": bounds.largest(deep),
        "theorem3_tanh_ratio_min": bounds.smallest(pairs),
        "guaranteed_names": np.array([one.run.name for one in twice]),
        "guaranteed_upper": upper[1].value,
        "guaranteed_upper_once": upper[0].value,
        "guaranteed_theorem3": bounds.value,
    }


def sampled(runs: Sequence[Run], step_size: float) -> Found:
    """Tubes with sampled curvature and defect: the share of runs whose flow they hold, and how wide the bound is."""
    chosen = [held(run, step_size, (2,), False)[0] for run in runs]
    ratio, upper = joined([one.tube_ratio() for one in chosen]), joined([one.upper_ratio() for one in chosen])
    return {
        "sampled_covered": readings.fraction(ratio.value <= 1),
        "sampled_covered_half_defect": readings.fraction(joined([one.tube_ratio(defect=0.5) for one in chosen]).value <= 1),
        "sampled_tube_ratio_max": ratio.largest(),
        "sampled_upper_ratio_max": upper.largest_of_all(),
        "sampled_upper_ratio_median": upper.median(),
        "sampled_names": np.array([one.run.name for one in chosen]),
        "sampled_upper": upper.value,
    }


def order(runs: Sequence[Run], step_sizes: Sequence[float]) -> Found:
    """How the radius after one correction shrinks with the step size, relative to the deviation: to first order."""
    rows = [[held(run, eta, (1,), False)[0] for eta in step_sizes] for run in runs]
    shares = np.array([[one.found.radius[-1] / one.deviation.value[-1] for one in row] for row in rows])
    errors = np.array([[one.last_ratio(one.found.radius[-1]).error for one in row] for row in rows])
    return {"tube_order": readings.log_rate(np.array(step_sizes), shares, errors + 1e-12 * shares)}


def displayed(run: Run, step_size: float) -> Found:
    """One run for the figure: deviation, both ends of what is guaranteed after one and two corrections, and Theorem 3."""
    once, twice = held(run, step_size, (1, 2), True)
    times, bound = once.right_side()
    return {
        "shown_times": once.found.times[1:],
        "shown_deviation": once.deviation.value,
        "shown_upper_once": once.found.upper[1:],
        "shown_lower_once": once.found.lower[1:],
        "shown_upper": twice.found.upper[1:],
        "shown_lower": twice.found.lower[1:],
        "shown_theorem3_times": times[1:],
        "shown_theorem3": bound[1:],
    }

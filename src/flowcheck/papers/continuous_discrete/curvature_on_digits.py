r"""The smallest eigenvalue of the Hessian along descent on digits, beside the bounds of Lemmas 7, 11 and Propositions 8, 12.

The networks of Figure 1 with their own starts and with starts near zero. Descent is no flow, and what the flow conserves drifts;
the propositions are taken with an $\epsilon^2$ that is larger by this drift. Hessians are those of the network whose first layer
is in coordinates of the span of the digits: they are zero across it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from flowcheck.curvature.hessian_products import HessianProducts
from flowcheck.curvature.lanczos import ROUNDING, Spectrum, spectrum_ends
from flowcheck.data.mnist import Digits
from flowcheck.descent.classifier import ClassifierDescent
from flowcheck.descent.input_span import InputSpan
from flowcheck.losses import cross_entropy
from flowcheck.measures import readings
from flowcheck.networks.linear import partial_products
from flowcheck.networks.tied import TiedNetwork
from flowcheck.papers.continuous_discrete import balance_laws, curvature_bounds, flow_bounds, mnist_networks
from flowcheck.papers.continuous_discrete.rough_convexity import rescaled
from flowcheck.papers.continuous_discrete.training_loss import TrainingLoss
from flowcheck.pipeline.evidence import Found, Measurement

SETTLED, LOOK = 1e-4, 0.1
"""How well ends are to be known, relative to themselves; the second where any direction below a bound will do."""
PRODUCTS = 150
"""At least, for each point: what is probable of the spectrum is then within 0.01 of its spread."""
FACTOR = 1000.0
"""Of the first layer at rescaled points."""
RISK = 1e-8
"""That a spectrum reaches farther than `probable` says, at one point; there are less than a hundred."""
Bound = Callable[[TrainingLoss, Tensor, float], Tensor]
BOUNDS: dict[str, Bound] = {
    "lemma7": lambda problem, w, epsilon: curvature_bounds.lemma_7(problem, w),
    "lemma11": lambda problem, w, epsilon: curvature_bounds.lemma_11(problem, w),
    "lemma11_spectral": lambda problem, w, epsilon: curvature_bounds.lemma_11(problem, w, spectral=True),
    "proposition8": flow_bounds.proposition_8,
    "proposition12": flow_bounds.proposition_12,
}
NEAR_ZERO = "proposition8"
LINEAR_ONLY = ("lemma7", NEAR_ZERO)


class Run(BaseModel):
    """Descent of one network from one draw of its weights, scaled to a norm where one is given; iterations that are looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: mnist_networks.Name
    draw: int = Field(ge=0, le=10**6)
    norm: float | None = Field(default=None, gt=0, le=10)
    step_size: float = Field(gt=0, le=0.01)
    records: list[Annotated[int, Field(ge=0, le=10**7)]] = Field(min_length=2)

    @property
    def bounds(self) -> list[str]:
        """Those that speak of it: Lemma 7 and Proposition 8 of linear networks, Proposition 8 of starts near zero."""
        linear = [name for name in LINEAR_ONLY if self.network == "linear" and (name != NEAR_ZERO or self.norm is not None)]
        return [*linear, *(name for name in BOUNDS if name not in LINEAR_ONLY)]

    def start(self, rng: np.random.Generator) -> Float[np.ndarray, " k"]:
        """Xavier weights, scaled."""
        drawn = mnist_networks.xavier(rng)
        return drawn if self.norm is None else self.norm / np.linalg.norm(drawn) * drawn


@dataclass(frozen=True)
class InSpan:
    """A training loss whose first layer is in coordinates of the span of the inputs."""

    problem: TrainingLoss
    span: InputSpan

    @classmethod
    def of(cls, problem: TrainingLoss, span: InputSpan) -> InSpan:
        """The loss itself, and the span of its inputs."""
        outer = problem.network
        widths = [span.rank, *(layer.index.shape[0] for layer in outer.layers)]
        network = TiedNetwork.fully_connected(widths, outer.above, outer.below)
        return cls(TrainingLoss(network, span.coordinates, problem.y, problem.loss), span)

    def weights(self, w: Float[Tensor, " k"]) -> Float[Tensor, " r"]:
        """Those of the whole network in these coordinates."""
        rows = self.problem.network.layers[0].index.shape[0]
        size = rows * len(self.span.basis)
        return torch.cat([self.span.within(w[:size].view(rows, -1)).flatten(), w[size:]])

    def value(self, w: Float[Tensor, " r"]) -> Tensor:
        """The loss; that of a linear network through its end-to-end matrix, which costs a fifth."""
        problem = self.problem
        if not problem.network.has_lipschitz_gradient:
            return problem.at(w)
        outputs = problem.x @ partial_products(problem.network.matrices(w))[-1].mT
        return problem.loss.value(outputs.flatten()[None], problem.y)[0] / problem.samples

    def spectrum(self, w: Float[Tensor, " k"], rng: np.random.Generator) -> Spectrum:
        """Its ends there."""
        products, start = self._begin(w, rng)
        return spectrum_ends(products, start, rtol=SETTLED, least_products=PRODUCTS)

    def below(self, w: Float[Tensor, " k"], rng: np.random.Generator) -> float:
        """A number that the smallest eigenvalue is no larger than."""
        products, start = self._begin(w, rng)
        return spectrum_ends(products, start, ends=("smallest",), rtol=LOOK, least_products=2 * PRODUCTS).low

    def _begin(self, w: Float[Tensor, " k"], rng: np.random.Generator) -> tuple[HessianProducts, Tensor]:
        products = HessianProducts(self.value, self.weights(w))
        return products, torch.from_numpy(rng.standard_normal(products.size))


def problem_of(run: Run, digits: Digits) -> TrainingLoss:
    """Its training loss."""
    fit = mnist_networks.objective(run.network, digits)
    return TrainingLoss(mnist_networks.network(run.network), fit.x, fit.y, cross_entropy(mnist_networks.CLASSES))


def along(run: Run, digits: Digits, start: Float[np.ndarray, " k"], rng: np.random.Generator) -> Iterator[dict[str, float]]:
    """A row for each record: the ends of the spectrum, the bounds, and at the last one what is found off the run."""
    fit, problem = mnist_networks.objective(run.network, digits), problem_of(run, digits)
    span = InputSpan.of(fit.x)
    inside = InSpan.of(problem, span)
    descent = ClassifierDescent(fit, torch.from_numpy(start)[None], step_size=run.step_size, span=span)
    begin = descent.weights()
    for record in run.records:
        if record > descent.iteration:
            descent.advance(record - descent.iteration)
        w = descent.weights()[0]
        drift = _drift(problem, begin, w[None])
        epsilon = math.sqrt(float((begin**2).sum()) + drift)
        found = inside.spectrum(w, rng)
        assert found.smallest is not None
        assert found.largest is not None
        row = {"iteration": float(record), "loss": float(problem.at(w)), "epsilon": epsilon, "drift": drift}
        row |= {"smallest": found.smallest.value, "residual": found.smallest.residual, "products": float(found.products)}
        row |= {"probable": found.probable(RISK)[0], "largest": found.largest.value, "kinks": float(_kinks(problem, w))}
        row |= {name: float(BOUNDS[name](problem, w, epsilon)) for name in run.bounds}
        if record == run.records[-1]:
            row |= _off_the_run(run, inside, problem, w, row, rng)
        yield row


def _off_the_run(
    run: Run, inside: InSpan, problem: TrainingLoss, w: Float[Tensor, " k"], row: dict[str, float], rng: np.random.Generator
) -> dict[str, float]:
    """At other Xavier weights of the norm of the iterate; at the iterate with its first layer times FACTOR, its second over it.

    The latter has the outputs of the iterate, and is held against the bounds with the epsilon and the norms of the run.
    """
    other = torch.from_numpy(mnist_networks.xavier(rng))
    away = rescaled(problem, w[None], FACTOR)[0]
    lowest = inside.below(away, rng)
    found = {"other_start": inside.below(torch.linalg.norm(w) / torch.linalg.norm(other) * other, rng)}
    found["rescaled_proposition12"] = -lowest / float(flow_bounds.proposition_12(problem, away, row["epsilon"]))
    return found | {f"rescaled_{name}": -lowest / row[name] for name in run.bounds if name != "proposition12"}


def readings_of(table: pd.DataFrame) -> Found:
    """What is said of all runs of one network; a row is a record of a run."""
    name = str(table["network"].iloc[0])
    depth, residual = -table["smallest"].to_numpy(), table["residual"].to_numpy()
    known = residual + ROUNDING * table["largest"].to_numpy()
    found: dict[str, Measurement] = {
        f"{name}_drift_max": readings.largest(table["drift"].to_numpy(), 1e-12),
        f"{name}_largest_eigenvalue_max": readings.largest(table["largest"].to_numpy(), SETTLED * table["largest"].to_numpy()),
        f"{name}_residual_max": readings.largest(residual / depth, 1e-12),
        f"{name}_kinks": Measurement.count(int(table["kinks"].sum()), len(table)),
    }
    for bound in (one for one in BOUNDS if table[one].notna().any()):
        size = table[bound].to_numpy()
        found |= {
            f"{name}_{bound}_ratio_max": readings.largest(depth / size, known / size),
            f"{name}_{bound}_ratio_median": readings.median(depth / size, known / size),
            f"{name}_{bound}_probable_ratio_max": readings.largest(-table["probable"].to_numpy() / size, known / size),
        }
    for bound in (one for one in BOUNDS if f"rescaled_{one}" in table and table[f"rescaled_{one}"].notna().any()):
        away = table[f"rescaled_{bound}"].to_numpy()
        found[f"{name}_{bound}_rescaled_ratio_max"] = readings.largest(away, 1e-9 * np.abs(away))
    return found


def depth_at_the_end(table: pd.DataFrame) -> Found:
    """How deep the smallest eigenvalue is at the end of runs from Xavier weights, and at other such weights, over its lowest."""
    name, ends, others, errors = str(table["network"].iloc[0]), [], [], []
    for _, run in table[table["norm"].isna()].groupby("run"):
        lowest = -run["smallest"].min()
        ends.append(-run["smallest"].iloc[-1] / lowest)
        others.append(-run["other_start"].iloc[-1] / lowest)
        errors.append(2 * run["residual"].max() / lowest)
    return {
        f"{name}_end_over_lowest_max": readings.largest(np.array(ends), np.array(errors)),
        f"{name}_other_start_over_lowest_min": readings.smallest(np.array(others), np.array(errors)),
    }


def _drift(problem: TrainingLoss, begin: Float[Tensor, "1 k"], now: Float[Tensor, "1 k"]) -> float:
    """How far what the flow conserves has moved: the matrices of balance of a linear network, the squared norms of others."""
    law = balance_laws.balance if problem.network.has_lipschitz_gradient else balance_laws.norm_gaps
    return float(torch.linalg.norm(law(problem.network, now) - law(problem.network, begin)))


def _kinks(problem: TrainingLoss, w: Float[Tensor, " k"]) -> int:
    """Samples and units at which the activation is on its kink; a linear one has none."""
    if problem.network.has_lipschitz_gradient:
        return 0
    return sum(int((z == 0).sum()) for z in problem.network.layerwise(w[None], problem.x))

r"""Lemma 10: of several flows of degree two, those with the largest $\mathcal G_i(w_i^*)$ keep a share of the norm.

Eq. (57): $\|w_i(t)\|=\alpha_i(t)e^{2t\mathcal G_i(w_i^*)}$, and $\alpha_i$ stays between two positive numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from flowcheck.correlation.ncf import Correlation
from flowcheck.measures.readings import NOTHING, largest, largest_of, smallest_of
from flowcheck.measures.refinement import Refined, change
from flowcheck.papers.neuron_pursuit.summands import NcfFlows, PowerSums, Summands
from flowcheck.pipeline.evidence import Found, Measurement

TIE, GAP = 1e-6, 0.05
"""Values that differ by less than the first share of the larger one are equal. Nothing is said of competitions with a value that
is between the two shares below the largest: it has not yet fallen behind."""
EFOLDS = 10.0
"""By so much, at least, the norm of others has fallen behind after the first of two times, and by twice that after the second."""


@dataclass(frozen=True)
class Growth:
    r"""Competitions at a time t and at 2t.

    Attributes:
        limit: $\mathcal G_i(w_i^*)$ [C, m], by which functions are ranked.
        end: 2t [C, 1].
        log_norm: at t and 2t [C, m, 2].
    """

    limit: Refined
    end: Float[np.ndarray, "c 1"]
    log_norm: Refined

    @classmethod
    def of(cls, flows: Summands, ranked: Refined | None = None) -> Growth:
        """From when on all directions have settled; `ranked` are other values by which functions are ranked."""
        limit = flows.limit_value if ranked is None else ranked
        largest = limit.value.max(axis=1, keepdims=True)
        time = np.maximum(flows.settled.max(axis=-1, keepdims=True), EFOLDS / (2 * GAP * largest))
        ends = np.broadcast_to(2 * time, limit.value.shape)
        return cls(limit, 2 * time, flows.log_norms(ends, np.array([0.5, 0.0])))

    @property
    def behind(self) -> Float[np.ndarray, "c m"]:
        """The largest value less the own, as a share of the largest."""
        best = self.limit.value.max(axis=1, keepdims=True)
        return np.asarray(1 - self.limit.value / best)

    @property
    def dominant(self) -> Bool[np.ndarray, "c m"]:
        """Of those with the largest value."""
        return (self.behind <= TIE) & self.decided

    @property
    def decided(self) -> Bool[np.ndarray, "c 1"]:
        """Competitions in which all others have fallen behind."""
        return np.asarray(((self.behind <= TIE) | (self.behind >= GAP)).all(axis=1, keepdims=True))

    @property
    def others(self) -> Bool[np.ndarray, "c m"]:
        """Of those whose value is smaller by more than `GAP`."""
        return (self.behind >= GAP) & self.decided

    def log_share(self) -> Refined:
        """Ln of the own norm over that of all together [C, m, 2]."""
        together = 0.5 * np.logaddexp.reduce(2 * self.log_norm.value, axis=1)[:, None]
        return Refined(self.log_norm.value - together, self.log_norm.error + self.log_norm.error.max(axis=1, keepdims=True))

    def rate_gap(self) -> Refined:
        r"""$|\ln(\|w(2t)\|/\|w(t)\|)/(2t\mathcal G(w^*))-1|$ [C, m]."""
        expected = self.end * self.limit.value
        value = np.diff(self.log_norm.value, axis=-1)[..., 0] / expected - 1
        error = self.log_norm.error.sum(axis=-1) / expected + self.limit.error / self.limit.value
        return Refined(np.abs(value), error)

    def prefactor_change(self) -> Refined:
        r"""$|\ln\alpha_i(2t)-\ln\alpha_i(t)|$ [C, m]."""
        gap, expected = self.rate_gap(), self.end * self.limit.value
        return Refined(gap.value * expected, gap.error * expected)

    def share_change(self) -> Refined:
        """How far the logarithm of the share moves from t to 2t [C, m]."""
        share = self.log_share()
        return Refined(np.abs(np.diff(share.value, axis=-1)[..., 0]), share.error.sum(axis=-1))

    def share(self) -> Refined:
        """At 2t [C, m]."""
        log = self.log_share()[..., 1]
        return Refined(np.exp(log.value), np.exp(log.value) * log.error + 1e-300)


def all_of(parts: Iterable[Measurement], worst: str) -> Measurement:
    """The largest or the smallest of several kinds, those that do not speak of the matter left out."""
    found = [part for part in parts if part.n]
    return {"largest": largest_of, "smallest": smallest_of}[worst](found) if found else NOTHING


def readings(kinds: Iterable[Growth]) -> Found:
    """The worst of all competitions of all kinds; how often the largest value is that of several functions."""
    kinds = list(kinds)
    ties = np.concatenate([kind.dominant.sum(axis=1) > 1 for kind in kinds])
    between = np.concatenate([~kind.decided[:, 0] for kind in kinds])
    return {
        "lemma10_rate_gap_max": all_of([kind.rate_gap().largest() for kind in kinds], "largest"),
        "lemma10_prefactor_change_max": all_of([kind.prefactor_change().largest() for kind in kinds], "largest"),
        "lemma10_dominant_share_change_max": all_of([kind.share_change().largest(kind.dominant) for kind in kinds], "largest"),
        "lemma10_others_share_max": all_of([kind.share().largest(kind.others) for kind in kinds], "largest"),
        "lemma10_ties": Measurement.count(int(ties.sum()), len(ties)),
        "lemma10_near_ties": Measurement.count(int(between.sum()), len(between)),
        "lemma10_value_min": all_of([kind.limit.smallest() for kind in kinds], "smallest"),
    }


def second_order(kinds: Iterable[NcfFlows]) -> Measurement:
    r"""Largest eigenvalue of $\nabla^2\mathcal G-\lambda I$ across w^*, over lambda: not positive at second-order KKT points."""
    values, errors = [], []
    for flows in kinds:
        for number in range(len(flows.z)):
            top = []
            for where in (flows.limits[number], flows.ends.direction[len(flows.z) + number]):
                correlation = Correlation(flows.network, flows.x[number], flows.z[number])
                eigenvalue = correlation.tangent_curvature(where)[-1]
                top.append(float(eigenvalue / (2 * correlation.value(where[None])[0])))
            values.append(top[0])
            errors.append(float(change(np.array(top[0]), np.array(top[1]))))
    return largest(np.array(values), np.array(errors))


def outside_stable_sets(flows: PowerSums) -> Measurement:
    """The largest share of others where the function with the largest value starts across that point, and goes elsewhere.

    Functions are ranked by the points that their flows would have gone to.
    """
    best = flows.limit_value
    starts, leader = flows.starts.copy(), best.value.argmax(axis=1)
    rows = np.arange(len(starts))
    starts[rows, leader, flows.winner[rows, leader, 0]] = 0.0
    starts /= np.linalg.norm(starts, axis=-1, keepdims=True)
    growth = Growth.of(PowerSums(flows.degree, flows.coefficients, starts), ranked=best)
    return growth.share().largest(growth.others)


def degree_three(flows: PowerSums) -> Measurement:
    """How far the share of those with the largest value moves while their norm grows by 100, where the degree is three."""
    blow_up = flows.blow_up.value.min(axis=1, keepdims=True)
    log_norm = flows.log_norms(np.broadcast_to(blow_up, flows.blow_up.value.shape), np.array([1e-4, 1e-6]))
    growth = Growth(flows.limit_value, blow_up, log_norm)
    return growth.share_change().largest(growth.dominant)


def turning(rng: np.random.Generator, draws: int, rate: float = 1.0) -> Measurement:
    r"""Largest rate gap of $\dot w=2(\mathrm{diag}(a,b)+rK)w$ in the plane: K is a quarter turn, so this is no gradient.

    Its norm grows at the rate a + b, and $\mathcal G$ where it is read has another value. The flow is a matrix exponential.
    """
    gaps = []
    for _ in range(draws):
        a, b = rng.uniform(0.2, 1.0, 2)
        matrix = torch.tensor([[a, -rate], [rate, b]], dtype=torch.float64)
        w = unit_start(rng)
        half, whole = (torch.linalg.matrix_exp(2 * t * matrix) @ w for t in (5.0, 10.0))
        direction = whole / whole.norm()
        value = float(direction @ (matrix @ direction))
        gaps.append(abs(float(torch.log(whole.norm() / half.norm())) / (10.0 * value) - 1))
    return largest(np.array(gaps), 1e-12)


def unit_start(rng: np.random.Generator) -> torch.Tensor:
    """A point on the circle."""
    angle = rng.uniform(0, 2 * np.pi)
    return torch.tensor([np.cos(angle), np.sin(angle)], dtype=torch.float64)


def shares(flows: Summands, points: int = 60) -> dict[str, np.ndarray]:
    """For a figure: times up to a tenth of that of `Growth`, and the shares of the first competition [P, m]."""
    end = Growth.of(flows).end
    left = np.linspace(1.0, 0.95, points)
    log_norm = flows.log_norms(np.broadcast_to(end, flows.limit_value.value.shape), left).value[0]
    return {"shares_time": (1 - left) * end[0], "shares": np.exp(log_norm - 0.5 * np.logaddexp.reduce(2 * log_norm, axis=0)).T}

r"""Lemma 11: of several flows of degree L > 2, those that blow up first keep a share of the norm, the others none.

Eq. (27) bounds the time of each blow-up from both sides, by values where the flow starts and where it ends; Eqs. (58) and (59)
bound the norm on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.events import Event
from flowcheck.flows.flow import gradient_flow
from flowcheck.integration.initial_value import solve
from flowcheck.measures.readings import largest
from flowcheck.measures.refinement import Refined, change
from flowcheck.networks.sums import Rotated
from flowcheck.papers.neuron_pursuit.lemma_10 import all_of
from flowcheck.papers.neuron_pursuit.summands import NcfFlows, PowerSums, Summands
from flowcheck.pipeline.evidence import Found, Measurement

TIE, GAP = 1e-6, 0.01
"""Times of blow-up that differ by less than the first share are equal; between the two shares nothing is said."""
ON_THE_WAY = np.array([0.9, 0.7, 0.5, 0.3, 0.1])
"""Of the own time, what is left where norms are compared with their bounds; both sides start equal."""

ARC = 200.0


def _scaled(flows: Summands) -> Refined:
    """L (L - 2) T."""
    factor = flows.degree * (flows.degree - 2)
    return Refined(factor * flows.blow_up.value, factor * flows.blow_up.error)


def _product(one: Refined, other: Refined) -> Refined:
    value = one.value * other.value
    return Refined(value, np.abs(one.value) * other.error + np.abs(other.value) * one.error)


def over_bounds(flows: Summands) -> tuple[Refined, Refined]:
    """T over its upper bound and over its lower one, Eq. (27) [C, m]."""
    time = _scaled(flows)
    return _product(time, flows.start_value), _product(time, flows.limit_value)


def norm_excess(flows: Summands) -> tuple[Refined, Refined]:
    r"""How far $(1-\|w\|^{-(L-2)})/(L(L-2)t)$ exceeds $\mathcal G(w_0)$, and $\mathcal G(w^*)$, relative to them [C, m, P].

    Eq. (58) says that the first is not negative, Eq. (59) that the second is not positive.
    """
    gap, time = flows.degree - 2, flows.blow_up
    log_norm = flows.log_norms(time.value, ON_THE_WAY)
    t = flows.degree * gap * time.value[..., None] * (1 - ON_THE_WAY)
    rate, error = -np.expm1(-gap * log_norm.value) / t, gap * np.exp(-gap * log_norm.value) * log_norm.error / t

    def beyond(value: Refined) -> Refined:
        bound, relative = value.value[..., None], (value.error / np.abs(value.value))[..., None]
        return Refined(rate / bound - 1, error / np.abs(bound) + relative * np.abs(rate / bound) + 1e-13)

    return beyond(flows.start_value), beyond(flows.limit_value)


@dataclass(frozen=True)
class Race:
    """Competitions shortly before the first blow-up.

    Attributes:
        late: the own time of blow-up over the first, less one [C, m].
        left: of the first time, at two moments.
        log_norm: there [C, m, 2].
    """

    late: Float[np.ndarray, "c m"]
    left: Float[np.ndarray, " 2"]
    log_norm: Refined

    @classmethod
    def of(cls, flows: Summands) -> Race:
        first = flows.blow_up.value.min(axis=1, keepdims=True)
        log_norm = flows.log_norms(np.broadcast_to(first, flows.blow_up.value.shape), flows.left)
        return cls(flows.blow_up.value / first - 1, flows.left, log_norm)

    @property
    def first(self) -> Bool[np.ndarray, "c m"]:
        return self.late <= TIE

    @property
    def others(self) -> Bool[np.ndarray, "c m"]:
        return self.late >= GAP

    def _together(self) -> Refined:
        value = 0.5 * np.logaddexp.reduce(2 * self.log_norm.value, axis=1)
        return Refined(value, self.log_norm.error.max(axis=1))

    def growth(self) -> Refined:
        """Slope of the logarithm of the whole norm on that of what is left of the time [C]."""
        span = np.log(self.left[-1] / self.left[0])
        together = self._together()
        return Refined(
            np.asarray((together.value[:, -1] - together.value[:, 0]) / span), together.error.max(axis=1) * 2 / abs(span)
        )

    def fall(self) -> Refined:
        """By how many powers of the whole norm the own share falls [C, m]: 0 if it keeps its share, 1 if its norm stays."""
        together = self._together()
        rise = (together.value[:, -1] - together.value[:, 0])[:, None]
        own = self.log_norm.value[..., -1] - self.log_norm.value[..., 0]
        error = 2 * (self.log_norm.error.max(axis=-1) + together.error.max(axis=-1)[:, None]) / rise
        return Refined(1 - own / rise, error)


def tied(flows: Summands) -> Summands:
    """The function that blows up last is made faster, so that it blows up with the first."""
    time = flows.blow_up.value
    rows, last = np.arange(len(time)), time.argmax(axis=1)
    factor = np.ones(time.shape)
    factor[rows, last] = time[rows, last] / time.min(axis=1)
    return flows.faster(factor)


def readings(kinds: Iterable[Summands]) -> Found:
    """The worst of all competitions of all kinds, as they are drawn and with a tie in each; shares of the tied ones apart."""
    kinds = list(kinds)
    bounds, norms = [over_bounds(flows) for flows in kinds], [norm_excess(flows) for flows in kinds]
    races = [(flows.degree, Race.of(some)) for flows in kinds for some in (flows, tied(flows))]
    growth = [
        Refined(np.abs(race.growth().value * (degree - 2) + 1), race.growth().error * (degree - 2)) for degree, race in races
    ]
    fall = [(race, race.fall()) for _, race in races]
    between = np.concatenate([(~(race.first | race.others)).ravel() for _, race in races])
    ties = np.concatenate([race.first.sum(axis=1) > 1 for _, race in races])
    return {
        "lemma11_time_over_upper_max": all_of([upper.largest() for upper, _ in bounds], "largest"),
        "lemma11_time_over_lower_min": all_of([lower.smallest() for _, lower in bounds], "smallest"),
        "lemma11_norm_excess_min": all_of([above.smallest() for above, _ in norms], "smallest"),
        "lemma11_norm_excess_max": all_of([below.largest() for _, below in norms], "largest"),
        "lemma11_growth_gap_max": all_of([part.largest() for part in growth], "largest"),
        "lemma11_fall_first_max": all_of([part.largest(race.first) for race, part in fall], "largest"),
        "lemma11_fall_others_min": all_of([part.smallest(race.others) for race, part in fall], "smallest"),
        "lemma11_ties": Measurement.count(int(ties.sum()), len(ties)),
        "lemma11_near_ties": Measurement.count(int(between.sum()), between.size),
        "lemma11_start_value_min": all_of([flows.start_value.smallest() for flows in kinds], "smallest"),
    }


def dominant_that_lose(kinds: Iterable[Summands]) -> Measurement:
    r"""Competitions in which the function with the largest $\mathcal G(w^*)$ is not the first to blow up."""
    lost = np.concatenate([kind.limit_value.value.argmax(axis=1) != kind.blow_up.value.argmin(axis=1) for kind in kinds])
    return Measurement.count(int(lost.sum()), len(lost))


def from_kkt_points(kinds: Iterable[NcfFlows]) -> Measurement:
    """Largest distance of T over its upper bound from one where flows start at w^*."""
    found = []
    for flows in kinds:
        upper, _ = over_bounds(replace(flows, starts=flows.limits))
        found.append(Refined(np.abs(upper.value - 1), upper.error).largest())
    return all_of(found, "largest")


def long_starts(kinds: Iterable[NcfFlows], norm: float = 2.0) -> Found:
    """Both quotients where starts have another norm than one."""
    found = [over_bounds(replace(flows, starts=norm * flows.starts)) for flows in kinds]
    return {
        "lemma11_time_over_upper_long_starts_max": all_of([upper.largest() for upper, _ in found], "largest"),
        "lemma11_time_over_lower_long_starts_min": all_of([lower.smallest() for _, lower in found], "smallest"),
    }


def turned(flows: NcfFlows, rate: float, longest: float = 2.0) -> Measurement:
    """Largest T over its upper bound where a rotation is added to the gradient; at most `longest`, to which flows are followed.

    A flow that is still on its way at the arc `ARC` blows up later than it has come.
    """
    bound = 1 / (flows.degree * (flows.degree - 2) * flows.correlation.value(torch.cat([flows.starts, flows.starts])))
    blown_up = Event("nearly blown up", lambda now: now.log_growth - 20.0 / (flows.degree - 2))
    late = Event("later than the bound", lambda now: now.time - longest * bound[now.index], follows_clock=True)
    correlation = Correlation(Rotated(flows.network, rate), flows.correlation.x, flows.correlation.z)
    starts = torch.cat([flows.starts, flows.starts])
    tolerances = torch.tensor([1e-7, 1e-6], dtype=starts.dtype).repeat_interleave(len(flows.z))
    ends = gradient_flow(correlation, starts, rtol=tolerances, length=ARC, until=[blown_up, late])
    fine, coarse = (ends.time / bound).clamp_max(longest).numpy().reshape(2, -1)
    return largest(fine, change(fine, coarse))


def of_two_degrees() -> Measurement:
    """How the share falls of a function of degree four that blows up together with one of degree three."""
    one = np.ones((1, 1, 1))
    cubic, quartic = PowerSums(3.0, one / 3, one), PowerSums(4.0, one / 8, one)  # both at time one
    both = [flows.log_norms(np.ones((1, 1)), flows.left) for flows in (cubic, quartic)]
    race = Race(np.zeros((1, 2)), cubic.left, Refined.joined(both, axis=1))
    return race.fall().largest(race.first)


def coupled(rtol: float = 1e-10) -> Measurement:
    r"""How the share of $w_2$ falls in $w_1^3+w_1^2w_2+w_2^3/10$, which is no sum: alone it would blow up later.

    From $\|w\|=100$ to 10,000.
    """

    def rates(_: float, w: np.ndarray) -> np.ndarray:
        return np.array([3 * w[0] ** 2 + 2 * w[0] * w[1], w[0] ** 2 + 0.3 * w[1] ** 2])

    def fall(tolerance: float) -> float:
        def grown(_: float, w: np.ndarray) -> float:
            return float(np.log(np.linalg.norm(w) / 1e4))

        grown.terminal = True  # type: ignore[attr-defined]
        found = solve(rates, 1.0, np.array([1.0, 0.5]), "DOP853", rtol=tolerance, atol=tolerance, events=grown)
        norms = np.linalg.norm(found.y, axis=0)
        begin = int((norms >= 100).argmax())
        return float(1 - np.log(found.y[1, -1] / found.y[1, begin]) / np.log(norms[-1] / norms[begin]))

    fine, coarse = fall(rtol), fall(10 * rtol)
    return Measurement(fine, float(change(np.array(fine), np.array(coarse))))


def shares(flows: Summands, points: int = 60) -> dict[str, np.ndarray]:
    """For a figure: what is left of the first time, and the shares of the first competition until then [P, m]."""
    first = flows.blow_up.value.min(axis=1, keepdims=True)
    left = np.geomspace(1.0, 1e-6, points)
    log_norm = flows.log_norms(np.broadcast_to(first, flows.blow_up.value.shape), left).value[0]
    return {"late_left": left, "late_shares": np.exp(log_norm - 0.5 * np.logaddexp.reduce(2 * log_norm, axis=0)).T}


def rows(kinds: Mapping[str, Summands]) -> pd.DataFrame:
    """Every flow: its kind, degree, values at both ends, the time of its blow-up."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "kind": name,
                    "degree": flows.degree,
                    "start_value": flows.start_value.value.ravel(),
                    "limit_value": flows.limit_value.value.ravel(),
                    "time": flows.blow_up.value.ravel(),
                }
            )
            for name, flows in kinds.items()
        ],
        ignore_index=True,
    )

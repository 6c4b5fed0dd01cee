"""What every lemma on NCF flows says of every run: a table with a row for each, and the error of each number.

Columns are those of the tables in the evidence; NaN where a statement does not speak of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from flowcheck.data.synthetic import unit_vectors
from flowcheck.flows.ending import Ending, Ends
from flowcheck.measures.refinement import Refined, refined
from flowcheck.networks.hypotheses import require_signal
from flowcheck.papers.homogeneous import kkt_search
from flowcheck.papers.homogeneous import ncf_lemmas as lemmas
from flowcheck.papers.homogeneous.families import Family
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.papers.homogeneous.later import FollowedOn, Later, kkt_defect, on_kinks
from flowcheck.papers.homogeneous.ncf_lemmas import Numbers, OnMesh
from flowcheck.papers.homogeneous.trajectories import Flows, Followed

if TYPE_CHECKING:
    import pandas as pd

Points = kkt_search.FoundPoints | kkt_search.ListedPoints
BLOW_UP = ("blow_up_time", "over_upper", "over_lower")
"""Columns that are T* in some unit."""
ERRORS = {
    "upper_error": "over_upper",
    "lower_error": "over_lower",
    "norm_excess_error": "norm_excess",
    "growth_error": "growth_excess",
}
"""Columns that are the errors of others."""
IDENTITIES = {"angle": lemmas.angle_identity, "energy": lemmas.energy_identity, "norm": lemmas.norm_identity}


@dataclass(frozen=True)
class Runs:
    """Many runs, [R] each.

    Attributes:
        facts: what is known without an error: names, settings, counts, and errors themselves.
        numbers: all others.
    """

    facts: Mapping[str, np.ndarray]
    numbers: Mapping[str, Refined]

    @classmethod
    def of(cls, parts: Sequence[Runs]) -> Runs:
        """The runs of several families, one after the other."""
        facts = {name: np.concatenate([part.facts[name] for part in parts]) for name in parts[0].facts}
        numbers = {name: Refined.joined([part.numbers[name] for part in parts]) for name in parts[0].numbers}
        return cls(facts, numbers)

    def __getitem__(self, name: str) -> Refined:
        return self.numbers[name]

    def __len__(self) -> int:
        return len(self.facts["family"])

    def ended(self, *endings: str) -> Bool[np.ndarray, " r"]:
        """Whether they ended in one of these ways."""
        return np.isin(self.facts["outcome"], endings)

    def table(self) -> pd.DataFrame:
        # here: the flows have been followed by now, and their memory need not be on top of that of pandas
        import pandas as pd

        return pd.DataFrame({**self.facts, **{name: number.value for name, number in self.numbers.items()}})


def twice(measure: Callable[[Any], Mapping[str, Numbers]], flows: Flows | FollowedOn) -> dict[str, Refined]:
    """What is measured of both readings: the error of a number is its change, and its rounding."""
    return {name: _rounded(number) for name, number in refined(measure, flows.fine, flows.coarse).items()}


def largest_defect(identity: Callable[[Followed], OnMesh], flows: Flows) -> Refined:
    """Largest defect of an identity along each flow; it moves by no more than the defect that moves most.

    That of two readings can agree by chance: the true one is 0, and each has its own.
    """
    defect = Refined.of(identity(flows.fine), identity(flows.coarse))
    return _rounded(Refined(np.abs(defect.value), defect.error).worst(axis=1))


def _rounded(number: Refined) -> Refined:
    """Numbers up to one are sums and differences of numbers of order one."""
    size = np.where(np.isfinite(number.value), np.abs(number.value), 0.0)
    return number.with_rounding(ROUNDING * np.maximum(1.0, size))


def read(flows: Flows, on: FollowedOn, ends: Ends, rng: np.random.Generator, ascents: int) -> Runs:
    """Every statement, of a family: of its flows up to their stop, and of their limits `on` from there.

    The generator gives the random directions, and the starts of the ascents to KKT points.
    """
    f, family = flows.fine, flows.fine.family
    ended, count = lemmas.outcome(f, ends), len(family.starts)
    random = unit_vectors(rng, count, family.network.size).to(family.starts)
    points = _kkt_points(family, rng, ascents) if ended.grows.any() else None
    numbers = twice(lambda each: statements(each, lemmas.outcome(each, ends)), flows)
    numbers |= twice(lambda each: limits(each, followed_outcome(each, ends), points), on)
    if family.degree > 2:  # what is still to come after the end of both runs is no change
        relative = flows.blow_up_error / f.blow_up_time
        numbers |= {name: _rounded(Refined(numbers[name].value, relative * numbers[name].value)) for name in BLOW_UP}
    once = {
        "degree_defect": np.full(count, family.correlation.degree_defect),
        "signal": np.array([require_signal(family.network, x, z) for x, z in zip(family.x, family.z, strict=True)]),
        "start_value": f.samples.value[:, 0] / f.bound,
        "kkt_defect_random": kkt_defect(family, random.cpu().numpy()),
        "kkt_defect_random_kinks": kkt_defect(family, on_kinks(family, random.cpu().numpy())),
        "random_distance": _nearest(points, random.cpu().numpy())[0],
    }
    numbers |= {name: _rounded(Refined(value, np.zeros(count))) for name, value in once.items()}
    numbers |= {f"{name}_identity": largest_defect(identity, flows) for name, identity in IDENTITIES.items()}
    facts = {
        "family": np.full(count, family.name),
        "degree": np.full(count, family.degree),
        "outcome": followed_outcome(on.fine, ends).names,
        "case": lemmas.floor_margin(f, ended)[1],
        "evaluations": flows.evaluations,
        "value_error": flows.value_error / f.bound,
        "log_norm_error": flows.log_norm_error,
        "identity_error": np.max([numbers[f"{name}_identity"].error for name in IDENTITIES], axis=0),
    }
    facts |= {name: numbers[number].error for name, number in ERRORS.items() if number in numbers}
    if family.degree > 2:
        times, _, _ = lemmas.alignment_times(f, ended, lemmas.EPSILONS)
        facts["unaligned"] = np.where(ended.vanishes, 0, np.isnan(times).sum(axis=1))
    return Runs(facts, numbers)


def statements(f: Followed, ended: lemmas.Outcome) -> dict[str, Numbers]:
    """All columns that depend on the run up to its stop."""
    s = f.samples
    floor, _ = lemmas.floor_margin(f, ended)
    exponent, fall = lemmas.kurdyka_lojasiewicz(f, ended)
    return {
        "log_norm": s.log_norm[:, -1],
        "time": s.time[:, -1],
        "increase": lemmas.increase(f),
        "polygon_gap": np.abs(lemmas.polygon_gap(f)),
        "polygon_gap_radial": lemmas.polygon_gap(f, radial=True),
        "fall_since_positive": lemmas.norm_fall(f, positive=True),
        "fall": lemmas.norm_fall(f, positive=False),
        "floor": floor,
        "kl_exponent": exponent,
        "kl_fall": fall,
        **(_degree_two(f) if f.family.degree == 2 else _deeper(f, ended)),
    }


def followed_outcome(later: Later, ends: Ends) -> lemmas.Outcome:
    """As told at the stop, and open where the flow ran on from there."""
    return lemmas.Outcome(np.where(later.runs_on, Ending.OPEN, lemmas.outcome(later.flows, ends).of))


def limits(later: Later, ended: lemmas.Outcome, points: Points | None) -> dict[str, Numbers]:
    """All columns about where the flow goes, from what comes after the stop."""
    nearest = zip(("kkt_distance", "kkt_value", "found_defect"), _nearest(points, later.direction), strict=True)
    return {
        "limit_value": later.value,
        "kkt_defect": later.kkt_defect,
        "length": later.flows.samples.length[:, -1] + later.length,
        "length_ratio": later.length_ratio,
        "further_rise": np.where(ended.grows, later.further_rise, np.nan),
        "late_value": later.scaled_value,
        **{name: np.where(ended.grows, number, np.nan) for name, number in nearest},
    }


def _degree_two(f: Followed) -> dict[str, Numbers]:
    s = f.samples
    fall, rise = lemmas.decay_share(f)
    start = np.where(s.value[:, 0] > 0, s.value[:, 0], np.nan)
    return {
        "fall_share": fall,
        "rise_share": rise,
        "growth_excess": lemmas.growth_excess(f),
        "growth_excess_doubled": lemmas.growth_excess(f, factor=2.0),
        "time_over_bound_of_degree_three": s.time[:, -1] * 3 * start,
    }


def _deeper(f: Followed, ended: lemmas.Outcome) -> dict[str, Numbers]:
    degree = f.samples.degree
    upper, lower = lemmas.blow_up_bounds(f)
    slope, prefactor = lemmas.blow_up_rate(f)
    decay_slope, decay_prefactor = lemmas.decay_rate(f, ended)
    growing = {
        "blow_up_time": f.blow_up_time,
        "over_upper": upper,
        "over_lower": lower,
        "norm_excess": lemmas.norm_excess(f, power=degree - 2),
        "rate": np.abs(slope),
        "rate_degree_more": np.abs((slope - 1) * (degree - 1) / (degree - 2) + 1),
        "prefactor": prefactor,
    }
    return {name: np.where(ended.grows, number, np.nan) for name, number in growing.items()} | {
        "decay_rate": np.abs(decay_slope),
        "decay_prefactor": decay_prefactor,
        "log_norm_at_alignment": lemmas.alignment_times(f, ended, lemmas.EPSILONS)[2].max(axis=1),
    }


def _kkt_points(family: Family, rng: np.random.Generator, ascents: int) -> Points | None:
    """KKT points found without the flow; None for two-layer units in other than three dimensions."""
    if not family.system.exact:
        return kkt_search.search(family, rng, ascents)
    return kkt_search.ListedPoints.of(family) if family.network.inputs == kkt_search.LISTED else None


def _nearest(points: Points | None, directions: Float[np.ndarray, "s k"]) -> tuple[Numbers, ...]:
    """Distance, value and defect of the nearest KKT point; NaN where that is not known."""
    unknown = np.full(len(directions), np.nan)
    if points is None:
        return unknown, unknown, unknown
    if isinstance(points, kkt_search.ListedPoints):
        return points.distance(directions), unknown, unknown
    return points.nearest(torch.from_numpy(directions).to(points.weights))

r"""What the lemmas on NCF flows say about sampled flows: one function per statement, one number per flow, or one on the mesh.

Numbers are relative: values of N(θ) to the bound $\beta\|z\|\ge|\mathcal N(\theta)|$ of their flow, N(u) also to the largest
$\|u\|^L$ of the flow. Statements of two_homogeneous (Lemma 5.3, Appendix C) and deep_homogeneous (Lemma 5.2, Appendix B).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from flowcheck.flows.ending import Ending, Ends
from flowcheck.papers.homogeneous.trajectories import Followed

KL_EXPONENT = 0.95
"""An exponent above 1/2 (non-degenerate KKT points) and 1 - 1/L (flows of degree L <= 5 that rest), and below 1."""
MOTIONLESS = 1e-9
"""Length of the curve θ below which a flow starts at its limit direction."""
EPSILONS = np.array([1e-1, 1e-2, 1e-3, 1e-4])
"""The accuracies at which Lemma B.6 of deep_homogeneous is checked."""

Numbers = Float[np.ndarray, " s"]
OnMesh = Float[np.ndarray, "s m"]


@dataclass(frozen=True)
class Outcome:
    """The `Ending` of each flow, `of` [S]."""

    of: Int[np.ndarray, " s"]

    @property
    def grows(self) -> Bool[np.ndarray, " s"]:
        """In a fixed direction."""
        return self.of == Ending.GROWS

    @property
    def vanishes(self) -> Bool[np.ndarray, " s"]:
        """To the origin, in a fixed direction."""
        return self.of == Ending.VANISHES

    @property
    def rests(self) -> Bool[np.ndarray, " s"]:
        """At a point other than the origin."""
        return self.of == Ending.RESTS

    @property
    def open(self) -> Bool[np.ndarray, " s"]:
        """Not followed to an end that can be told."""
        return self.of == Ending.OPEN

    @property
    def names(self) -> np.ndarray:
        return np.array([Ending(code).name.lower() for code in self.of])


def outcome(f: Followed, ends: Ends) -> Outcome:
    """Told from the last state of each flow."""
    value, speed = limit_value(f), f.samples.speed[:, -1] / f.bound
    last = (value, np.hypot(f.samples.degree * value, speed), speed, f.samples.log_norm[:, -1])
    return Outcome(ends.tell(*(torch.from_numpy(array) for array in last)).numpy())


def limit_value(f: Followed) -> Numbers:
    """N(θ) at the stop."""
    return f.samples.value[:, -1] / f.bound


def increase(f: Followed) -> Numbers:
    """Smallest increase of N(θ) between neighbouring mesh points: Eq. (33) of two_homogeneous, (25) of deep_homogeneous."""
    return np.diff(f.samples.value, axis=1).min(axis=1) / f.bound


def angle_identity(f: Followed) -> OnMesh:
    r"""Defect of $\mathcal N(\theta(s))-\mathcal N(\theta(0))=\int\|\theta'\|^2ds$ (the same equations, integrated)."""
    s = f.samples
    return (s.value - s.value[:, :1] - s.integral(s.node_speed**2)) / f.bound[:, None]


def energy_identity(f: Followed) -> OnMesh:
    r"""Defect of $\mathcal N(u(t))-\mathcal N(u(0))=\int\|\nabla\mathcal N(u)\|^2dt$ (Lemma A.3; Lemma B.4)."""
    s, top = f.samples, f.samples.log_norm.max(axis=1)
    power = (s.degree**2 * s.node_value**2 + s.node_speed**2) * np.exp(s.degree * (s.node_log_norm - top[:, None, None]))
    value = s.value * np.exp(s.degree * (s.log_norm - top[:, None]))
    return (value - value[:, :1] - s.integral(power)) / f.bound[:, None]


def norm_identity(f: Followed) -> OnMesh:
    r"""Defect of $\|u(t)\|^2-\|u(0)\|^2=2L\int\mathcal N(u)dt$, over the largest $\|u\|^2$ (Lemma C.4; Lemma B.5)."""
    s, top = f.samples, f.samples.log_norm.max(axis=1)
    integral = 2 * s.degree * s.integral(s.node_value * np.exp(2 * (s.node_log_norm - top[:, None, None])))
    squared = np.exp(2 * (s.log_norm - top[:, None]))
    return squared - squared[:, :1] - integral


def polygon_gap(f: Followed, *, radial: bool = False) -> Numbers:
    r"""$\int\|\theta'\|ds$ against the length of the polygon through the mesh points (Eq. (34); Eq. (29) of deep_homogeneous).

    `radial`: the whole gradient in place of its tangential part, which is wrong. NaN for a flow that keeps its direction.
    """
    s = f.samples
    polygon = np.array([np.linalg.norm(np.diff(path, axis=0), axis=1).sum() for path in s.direction])  # all at once is large
    speed = np.hypot(s.node_speed, s.degree * s.node_value) if radial else s.node_speed
    length = s.integral(speed)[:, -1]
    return np.where(length > MOTIONLESS, 1 - polygon / np.maximum(length, MOTIONLESS), np.nan)


def norm_fall(f: Followed, positive: bool) -> Numbers:
    """Largest fall of ln|u| below an earlier value once N >= 0 (`positive`), or from the start on; NaN if N stays negative."""
    s = f.samples
    since = (s.value >= 0) if positive else np.ones_like(s.value, dtype=bool)
    highest = np.maximum.accumulate(np.where(since, s.log_norm, -np.inf), axis=1)
    with np.errstate(invalid="ignore"):
        fall = np.where(since, highest - s.log_norm, -np.inf).max(axis=1)
    return np.where(since.any(axis=1), fall, np.nan)


def floor_margin(f: Followed, ended: Outcome) -> tuple[Numbers, np.ndarray]:
    r"""Smallest $\ln(\|u(t)\|/\eta)$ over $t\ge T$ with the proof's eta and T, and which of its cases it is (Lemma C.7; B.6).

    "positive": N(u_0) > 0, eta = |u_0|, T = 0. "turning": eta and T from the first mesh point with N > 0. "resting": eta the
    limit of |u|, T = 0. Vanishing flows, which the lemma excludes, are measured with eta = |u_0|: "excluded".
    """
    s = f.samples
    first = (s.value > 0).argmax(axis=1)
    case = np.where(ended.grows, np.where(first == 0, "positive", "turning"), np.where(ended.rests, "resting", "excluded"))
    begin = np.where(ended.grows, first, 0)
    floor = np.where(ended.rests, s.log_norm[:, -1], np.take_along_axis(s.log_norm, begin[:, None], axis=1)[:, 0])
    after = np.arange(s.arc.shape[1]) >= begin[:, None]
    return np.where(after, s.log_norm - floor[:, None], np.inf).min(axis=1), case


def decay_share(f: Followed) -> tuple[Numbers, Numbers]:
    r"""For L = 2, the largest fall and rise of ln|u| over $2t\beta\|z\|$ (Lemma C.3; Lemma D.1 of deep_homogeneous)."""
    s = f.samples
    moved = (s.log_norm - s.log_norm[:, :1])[:, 1:] / (2 * np.maximum(s.time[:, 1:], 1e-300) * f.bound[:, None])
    return (-moved).max(axis=1), moved.max(axis=1)


def growth_excess(f: Followed, factor: float = 1.0) -> Numbers:
    r"""Smallest $(\|u\|^2-\|u_0\|^2)/(4\gamma t)-1$ for N(u_0) = gamma > 0 and L = 2 (Eq. (32)); `factor` multiplies gamma.

    From $t=0.05/(\beta\|z\|)$ on: the two sides start equal. NaN where N(u_0) <= 0.
    """
    s, bound = f.samples, f.bound
    gamma = np.where(s.value[:, 0] > 0, s.value[:, 0], np.nan) * np.exp(2 * s.log_norm[:, 0])
    counted = s.time >= 0.05 / bound[:, None]
    rise = np.exp(2 * np.minimum(s.log_norm, 300.0)) - np.exp(2 * s.log_norm[:, :1])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = rise / (4 * factor * gamma[:, None] * s.time)
    return np.where(counted, ratio, np.inf).min(axis=1) - 1


def blow_up_bounds(f: Followed) -> tuple[Numbers, Numbers]:
    r"""T* over its upper bound $1/(L(L-2)\tilde{\mathcal N}(u_0)\|u_0\|^{L-2})$, and over the lower one with $\beta\|z\|$.

    After Eq. (27) of deep_homogeneous, with the exponent L - 2 on the norm. NaN where N(u_0) <= 0.
    """
    s, degree = f.samples, f.samples.degree
    scale = degree * (degree - 2) * np.exp((degree - 2) * s.log_norm[:, 0]) * f.blow_up_time
    start = np.where(s.value[:, 0] > 0, s.value[:, 0], np.nan)
    return scale * start, np.where(np.isnan(start), np.nan, scale * f.bound)


def norm_excess(f: Followed, *, power: float, rate: float = 1.0, since: float = 0.1) -> Numbers:
    r"""Smallest $(1-(\|u_0\|/\|u\|)^p)/(\text{rate}\,ct\|u_0\|^p)-1$, $c=L(L-2)\tilde{\mathcal N}(u_0)$: not negative iff
    $\|u(t)\|^p\ge\|u_0\|^p/(1-ct\|u_0\|^p)$, p = L - 2 corrected, p = L/2 - 1 printed (deep_homogeneous, after Eq. (27)).

    From `since` T* to 0.9 T*: the two sides start equal. NaN where N(u_0) <= 0.
    """
    s, degree = f.samples, f.samples.degree
    c = degree * (degree - 2) * np.where(s.value[:, :1] > 0, s.value[:, :1], np.nan)
    counted = (s.time >= since * f.blow_up_time[:, None]) & (s.time <= 0.9 * f.blow_up_time[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = -np.expm1(-power * (s.log_norm - s.log_norm[:, :1])) / (rate * c * s.time * np.exp(power * s.log_norm[:, :1]))
    return np.where(counted, share, np.inf).min(axis=1) - 1


def remaining_time(f: Followed) -> Float[np.ndarray, "s m"]:
    r"""T* - t on the mesh, summed from the end, with the tail $e^{-(L-2)\rho}/(L(L-2)\mathcal N(\theta))$ of a settled flow."""
    s, gap = f.samples, f.samples.degree - 2
    value = np.where(s.value[:, -1] > 0, s.value[:, -1], np.nan)
    tail = np.exp(-gap * s.log_norm[:, -1]) / (s.degree * gap * value)
    return s.remaining(np.exp(-gap * s.node_log_norm)) + tail[:, None]


def blow_up_rate(f: Followed, window: float = 6.0) -> tuple[Numbers, Numbers]:
    r"""Slope of ln|u| against ln(T* - t), times L - 2, plus 1; prefactor over $[L(L-2)\mathcal N(u^*)]^{-1/(L-2)}$, minus 1.

    Over the last e^`window` of growth; NaN for flows that grow less or not at all.
    """
    s, gap, rest = f.samples, f.samples.degree - 2, remaining_time(f)
    counted = (s.log_norm >= s.log_norm[:, -1:] - window) & (s.log_norm[:, -1:] - s.log_norm[:, :1] >= window)
    scaled = s.log_norm + np.log(s.degree * gap * s.value[:, -1:] * rest) / gap
    return _slopes(np.log(rest), s.log_norm, counted) * gap + 1, _largest(np.expm1(scaled), counted)


def decay_rate(f: Followed, ended: Outcome, window: float = 2.0) -> tuple[Numbers, Numbers]:
    r"""The same for u -> 0 and L > 2: ln|u| against ln t, and $[L(L-2)|\mathcal N(\theta_\infty)|t]^{-1/(L-2)}$."""
    s, gap = f.samples, f.samples.degree - 2
    counted = (s.log_norm <= s.log_norm[:, -1:] + window) & (s.time > 0) & ended.vanishes[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = s.log_norm + np.log(s.degree * gap * -s.value[:, -1:] * s.time) / gap
        return _slopes(np.log(s.time), s.log_norm, counted) * gap + 1, _largest(np.expm1(scaled), counted)


def kurdyka_lojasiewicz(f: Followed, ended: Outcome, low: float = 1e-6, high: float = 1e-3) -> tuple[Numbers, Numbers]:
    r"""Along each flow, the slope of $\ln\|\theta'\|$ against the logarithm of the gap $\bar f-\mathcal N(\theta)$, and the
    largest fall of $\ln(\|\theta'\|/\text{gap}^e)$, e = KL_EXPONENT; while $\|\theta'\|/\beta\|z\|$ falls from `high` to `low`.

    As $\|u\|\|\nabla\tilde{\mathcal N}(u)\|=\|\theta'\|$, the inequality of Lemma A.4 (A.1) with $\Psi(s)\propto s^{1-e}$ says
    that the ratio stays away from 0. The gap is the integral of $\|\theta'\|^2$ still to come; $-\mathcal N(\theta)$ for a
    flow that rests. NaN for flows with fewer than five mesh points there.
    """
    s, bound = f.samples, f.bound[:, None]
    gap = np.where(ended.rests[:, None], -s.value, s.remaining(s.node_speed**2))
    behind = np.maximum.accumulate((s.speed > high * bound)[:, ::-1], axis=1)[:, ::-1]
    counted = ~behind & (s.speed >= low * bound) & (gap > 0) & (ended.grows | ended.rests)[:, None]
    enough = counted.sum(axis=1) >= 5
    with np.errstate(divide="ignore", invalid="ignore"):
        log_gap, log_speed = np.log(gap), np.log(s.speed)
        ratio = np.where(counted, log_speed - KL_EXPONENT * log_gap, -np.inf)
        fall = np.where(counted, np.maximum.accumulate(ratio, axis=1) - ratio, 0.0).max(axis=1)
    return np.where(enough, _slopes(log_gap, log_speed, counted), np.nan), np.where(enough, fall, np.nan)


def flat_fall() -> float:
    r"""The same fall for $f(r)=e^{-1/r}$ while r falls from 0.02 to 0.002: no power of f bounds its gradient from below."""
    r = np.geomspace(0.02, 0.002, 50)
    ratio = -1 / r - 2 * np.log(r) + KL_EXPONENT / r
    return float((np.maximum.accumulate(ratio) - ratio).max())


def alignment_times(f: Followed, ended: Outcome, epsilons: Float[np.ndarray, " e"]) -> tuple[Float[np.ndarray, "s e"], ...]:
    r"""For each epsilon the first mesh point with $u^\top u^*/\|u\|\ge1-\epsilon$ after the T of Lemma B.6: its time, the time
    left to T* over T* (1 for a flow without blow-up) and the largest ln|u| so far, ln B_epsilon. NaN if there is none.
    """
    s = f.samples
    after = np.arange(s.arc.shape[1]) >= np.where(ended.grows, (s.value > 0).argmax(axis=1), 0)[:, None]
    gap = 0.5 * ((s.direction - s.direction[:, -1:]) ** 2).sum(axis=2)
    share = remaining_time(f) / f.blow_up_time[:, None]
    left = np.where(ended.grows[:, None], share, 1.0)
    largest = np.maximum.accumulate(s.log_norm, axis=1)
    found = (gap[:, None, :] <= epsilons[:, None]) & after[:, None, :] & ~ended.vanishes[:, None, None]
    at = found.argmax(axis=2)

    def pick(values: np.ndarray) -> np.ndarray:
        return np.where(found.any(axis=2), np.take_along_axis(values, at, axis=1), np.nan)

    return pick(s.time), pick(left), pick(largest)


def _slopes(x: Float[np.ndarray, "s m"], y: Float[np.ndarray, "s m"], counted: Bool[np.ndarray, "s m"]) -> Numbers:
    """Least-squares slope of each row over the counted points; NaN for fewer than two."""
    n = counted.sum(axis=1)
    x, y = (np.where(counted, values, 0.0) for values in (x, y))
    with np.errstate(divide="ignore", invalid="ignore"):
        dx, dy = (np.where(counted, values - (values.sum(axis=1) / n)[:, None], 0.0) for values in (x, y))
        return np.where(n >= 2, (dx * dy).sum(axis=1) / (dx**2).sum(axis=1), np.nan)


def _largest(values: Float[np.ndarray, "s m"], counted: Bool[np.ndarray, "s m"]) -> Numbers:
    """Largest absolute value of each row over the counted points; NaN without any."""
    return np.where(counted.any(axis=1), np.where(counted, np.abs(values), 0.0).max(axis=1), np.nan)

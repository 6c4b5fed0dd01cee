"""Gradient flow and gradient descent on the objective of Appendix B, in closed form and extended precision.

Both pass through three regions, told apart by the second coordinate: an inner one (Lemmas 70 and 72), a transition (Lemmas 75
and 77) and an isotropic one, where both move on rays through the origin (Lemmas 80, 82 and 84).
"""

from __future__ import annotations

from dataclasses import dataclass

from mpmath import mp, mpf

from flowcheck.papers.continuous_discrete.worst_case import WorstCase

Point = tuple[mpf, mpf, mpf]
LONGEST_TRANSITION = 1_000_000
"""Steps of descent inside the transition. Steps that Proposition 20 speaks of need one or two."""


@dataclass(frozen=True)
class Start:
    """Where both begin. The second coordinate is given by its distance from the axis, which is some 1e-6.

    Attributes:
        first: in (1/2, 1) in the paper.
        from_axis: the second coordinate minus rho/2 - 1.
        third: above 2 in the paper.
    """

    first: mpf
    from_axis: mpf
    third: mpf


@dataclass(frozen=True)
class Flow:
    """Gradient flow: where it is at any time up to `leaves`."""

    objective: WorstCase
    start: Start

    @property
    def enters_transition(self) -> mpf:
        """When the second coordinate reaches 1 - rho (Lemma 70); for an isotropic objective, when it reaches 1."""
        o = self.objective
        span = 2 - 3 * o.width / 2 if o.anisotropic else mpf(1)
        return mp.log(span / self.start.from_axis) / (o.a * o.inner_curvature)

    @property
    def enters_isotropic(self) -> mpf:
        """t_1, when the second coordinate reaches 1 (Definition 74)."""
        if not self.objective.anisotropic:
            return self.enters_transition
        (low, high), turns = self._phases
        return self.enters_transition + (high - low) / turns

    @property
    def _phases(self) -> tuple[tuple[mpf, mpf], mpf]:
        """Eq. (80) is a Riccati equation: z - 1 + 2 rho is a tangent of these phases, which grow at this rate."""
        rho = self.objective.width
        scale = mp.sqrt(rho * (1 - rho))
        return (mp.atan(rho / (2 * scale)), mp.atan(rho / scale)), self.objective.a * scale / (2 * rho)

    @property
    def leaves(self) -> mpf:
        """When the second coordinate reaches its cut point (Lemma 80)."""
        return self.enters_isotropic + mp.log(self.objective.second_cut) / self.objective.a

    def at(self, time: mpf) -> Point:
        """The three coordinates. Raises ValueError beyond the cut point, where no closed form is known."""
        o, s, rho = self.objective, self.start, self.objective.width
        first, third = s.first * mp.exp(o.a * time), s.third * mp.exp(-12 * o.a * time)
        if time <= self.enters_transition:
            return first, o.second.axis + s.from_axis * mp.exp(o.a * o.inner_curvature * time), third
        if time < self.enters_isotropic:
            (low, _), turns = self._phases
            tangent = mp.tan(low + turns * (time - self.enters_transition))
            return first, 1 - 2 * rho + 2 * mp.sqrt(rho * (1 - rho)) * tangent, third
        if time <= self.leaves:
            return first, mp.exp(o.a * (time - self.enters_isotropic)), third
        raise ValueError(f"time {mp.nstr(time, 6)} lies beyond the cut point, which is reached at {mp.nstr(self.leaves, 6)}")


@dataclass(frozen=True)
class Descent:
    """Gradient descent: where it is after any number of steps up to `leaves`."""

    objective: WorstCase
    start: Start
    step_size: mpf
    transition: tuple[mpf, ...]
    """The second coordinate from the first step at 1 - rho or beyond to the first at 1 or beyond."""

    @classmethod
    def of(cls, objective: WorstCase, start: Start, step_size: mpf) -> Descent:
        """Steps through the transition one by one.

        Raises ValueError if that takes more than `LONGEST_TRANSITION` steps.
        """
        found = cls(objective, start, step_size, ())
        second = found.inner(found.enters_transition)
        passed = [second]
        while second < 1:
            if len(passed) > LONGEST_TRANSITION:
                raise ValueError(f"steps of {mp.nstr(step_size, 3)} need more than {LONGEST_TRANSITION} for the transition")
            second = second - step_size * objective.second.derivative(second, 1)
            passed.append(second)
        return cls(objective, start, step_size, tuple(passed))

    @property
    def enters_transition(self) -> int:
        """The first iterate at 1 - rho or beyond (Lemma 72 (i))."""
        o = self.objective
        span = 2 - 3 * o.width / 2 if o.anisotropic else mpf(1)
        return int(mp.ceil(mp.log(span / self.start.from_axis) / mp.log1p(o.a * o.inner_curvature * self.step_size)))

    @property
    def enters_isotropic(self) -> int:
        """k_1, the first iterate at 1 or beyond (Definition 76)."""
        return self.enters_transition + len(self.transition) - 1

    @property
    def leaves(self) -> int:
        """The first iterate at the cut point or beyond (Lemma 82)."""
        o = self.objective
        more = mp.log(o.second_cut / self.transition[-1]) / mp.log1p(o.a * self.step_size)
        return self.enters_isotropic + int(mp.ceil(more))

    def inner(self, k: int) -> mpf:
        """The second coordinate after k steps, up to the first at 1 - rho or beyond (Lemma 72 (ii))."""
        o = self.objective
        return o.second.axis + self.start.from_axis * (1 + o.a * o.inner_curvature * self.step_size) ** k

    def first(self, k: int) -> mpf:
        """The first coordinate after k steps, before its own cut point (Lemma 68)."""
        return self.start.first * (1 + self.objective.a * self.step_size) ** k

    def at(self, k: int) -> Point:
        """The three coordinates after k steps. Raises ValueError beyond the cut point."""
        third = self.start.third * (1 - 12 * self.objective.a * self.step_size) ** k
        if k <= self.enters_transition:
            return self.first(k), self.inner(k), third
        if k <= self.enters_isotropic:
            return self.first(k), self.transition[k - self.enters_transition], third
        if k <= self.leaves:
            grown = (1 + self.objective.a * self.step_size) ** (k - self.enters_isotropic)
            return self.first(k), self.transition[-1] * grown, third
        raise ValueError(f"iterate {k} lies beyond the cut point, which {self.leaves} reaches")

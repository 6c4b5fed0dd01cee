"""Claims: what a paper says, as data a reviewer can audit without reading code.

A claim names the experiment that measures it, the hypotheses it stands on, the predicates that must hold, and the controls
(the same check on a broken claim) that must fail. All thresholds live here, each with its reason; none in code.
"""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from flowcheck.pipeline.names import Label, Line, Number

Comparison = Literal["<=", ">=", "<", ">"]
EQUAL = 1e-3
"""Relative: two sides of a printed equation that differ by more are not equal."""
LARGEST = 1e30
"""No number of a claim is larger: beyond it a condition could not fail."""


def _said(text: str, words: int = 1) -> str:
    if len(re.findall(r"\w*[^\W\d_]\w*", text)) < words or len(text.strip()) < 3:
        raise ValueError(f"{'a reason of three words or more' if words > 1 else 'words'} expected, found {text!r}")
    return text


Sentence = Annotated[Line, AfterValidator(_said)]
Prose = Annotated[str, AfterValidator(_said)]
"""Words in as many lines as they need; only a page shows them."""
Reason = Annotated[str, AfterValidator(lambda text: _said(text, words=3) if text else text)]
"""Of something that may be absent, and empty where there is nothing to give a reason for."""
Threshold = Annotated[Number, Field(ge=-LARGEST, le=LARGEST)]


class Verdict(StrEnum):
    """The six verdicts of DESIGN section 4."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"
    VACUOUS = "vacuous"
    HYPOTHESIS_NOT_MET = "hypothesis-not-met"
    NOT_RUN = "not-run"


class Condition(BaseModel):
    """`metric` compared with a threshold. The metric's unit is the threshold's unit."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)

    metric: str
    comparison: Comparison = Field(alias="is")
    value: Threshold

    @property
    def pass_region(self) -> tuple[float, float]:
        """The interval of values that satisfy the condition (ends: -inf, inf or the threshold)."""
        return (-math.inf, self.value) if self.comparison in ("<=", "<") else (self.value, math.inf)

    def overlaps(self, other: Condition) -> bool:
        """Whether one number could satisfy both conditions."""
        low = max(self.pass_region[0], other.pass_region[0])
        high = min(self.pass_region[1], other.pass_region[1])
        if low == high:  # the thresholds touch: only two closed ends share the point
            return "=" in self.comparison and "=" in other.comparison
        return low < high


class Predicate(Condition):
    """A condition the claim implies, and the reason for its threshold (the claim itself, or the numerical error).

    With a margin above `vacuous_above`, in the metric's unit, it holds only trivially; `vacuous_why` says why from there on.
    `bound` says that it is one, and in which form the metric has what is bounded over the bound: that `ratio`, its `excess` over
    one, or its `log`. Its looseness is that ratio or its inverse, whichever is above one; `typical` is the metric that has the
    same at the median run.
    `implied` says what it follows from where it follows from how the run was chosen or stopped: such a predicate is shown, and
    neither supports nor contradicts a claim.
    """

    why: Sentence
    vacuous_above: Annotated[Number, Field(gt=0)] | None = None
    vacuous_why: Reason = ""
    implied: Reason = ""
    bound: Literal["ratio", "excess", "log"] | None = None
    typical: str | None = None

    def looseness(self, value: float) -> float | None:
        """The factor, 1 or more, by which the bound is missed; None if it is no bound, or if no such factor is finite.

        >>> half = Predicate.model_validate({"metric": "share", "is": "<=", "value": 1.0, "why": "the bound", "bound": "ratio"})
        >>> half.looseness(0.5)
        2.0
        """
        if self.bound == "log":
            log = value - self.value
        elif self.bound == "ratio" and value * self.value > 0:
            log = math.log(value / self.value)
        elif self.bound == "excess" and value > -1:
            log = math.log1p(value)
        else:
            return None
        return math.exp(min(abs(log), math.log(LARGEST))) if math.isfinite(log) else None

    @model_validator(mode="after")
    def _typical_is_of_a_bound(self) -> Predicate:
        if self.typical and not self.bound:
            raise ValueError(f"'typical' is for bounds, and {self.metric!r} has no 'bound': ratio, excess or log")
        return self

    @model_validator(mode="after")
    def _limit_of_triviality_has_a_reason(self) -> Predicate:
        if (self.vacuous_above is None) != (not self.vacuous_why):
            raise ValueError(
                f"'vacuous_above' and its reason 'vacuous_why' go together, and {self.metric!r} has "
                f"{'the reason' if self.vacuous_why else 'the limit'} only"
            )
        return self


class Hypothesis(Condition):
    """A condition the claim presupposes, measured on the run itself."""

    why: Sentence


class Control(Condition):
    """The check on a broken claim. The condition says by how much the broken claim must miss the predicate `against`.

    `against` names the metric of the predicate that the control tests; it may be left out where there is one predicate.
    """

    name: Sentence
    against: str | None = None


class Passing(BaseModel):
    """The same check where it must hold: shows that a check that fails could have passed.

    Its number is held against the predicate `against`, comparison and threshold as they are; `against` may be left out where
    there is one predicate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Sentence
    metric: str
    against: str | None = None


class Covers(BaseModel):
    """How much of a result a claim checks: which `parts` of the statement, `over` what, and what it leaves out, with the reason.

    Starts, data and times that are drawn are samples, and `over` says so. A case, depth, dimension, class of networks or
    direction that the statement speaks of and nobody runs is left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    parts: Sentence
    over: Sentence
    leaves_out: dict[Sentence, Sentence] = {}


class Side(BaseModel):
    """One side of an inequality or equation at the input of a counterexample: what it is, and its value to six digits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    says: Sentence
    value: Number


class Counterexample(BaseModel):
    """The input at which a printed statement fails, and both sides there; the statement asks for left `asks` right.

    `by` is the function that gives both sides for the input, by its full name: ``flowcheck.papers.<paper>.<module>.<function>``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+$")]
    input: dict[str, int | float | str] = Field(min_length=1)
    left: Side
    asks: Literal["<=", "<", ">=", ">", "="]
    right: Side

    def holds(self, left: float, right: float) -> bool:
        """Whether these values are as the statement asks; equal are values to a thousandth of the larger."""
        near = abs(left - right) <= EQUAL * max(abs(left), abs(right))
        return {"<=": left <= right, "<": left < right, ">=": left >= right, ">": left > right, "=": near}[self.asks]

    @model_validator(mode="after")
    def _violates(self) -> Counterexample:
        if self.holds(self.left.value, self.right.value):
            raise ValueError(f"{self.left.value:g} {self.asks} {self.right.value:g} holds, so it is no counterexample")
        return self


class ClaimEntry(BaseModel):
    """One numbered result, figure or checkable sentence of a paper, as its file has it.

    `result` names what it is about, in the list of the paper; left out, it is the result with the claim's own id. `waives` names
    hypotheses of the file that this claim does not stand on, each with the reason.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)

    id: Label
    label: Line
    title: Sentence
    location: Line
    kind: Literal[
        "theorem", "proposition", "lemma", "corollary", "equation", "figure", "remark", "assumption", "example", "sentence"
    ]
    claim_class: Literal[
        "identity", "inequality", "existence", "asymptotic", "rate", "figure", "property", "tool", "hypothesis"
    ] = Field(alias="class")
    priority: Literal["A", "B", "C"]
    variant: Literal["corrected", "printed", "extracted"] = "corrected"
    origin: Literal["paper", "flowcheck"] = "paper"
    strength: Literal["symbolic", "enclosed", "measured"] = "measured"
    result: Label | None = None
    covers: Covers | None = None
    counterexample: Counterexample | None = None
    statement: Prose
    note: str = ""
    figures: list[str] = []
    hypotheses: list[Hypothesis] = []
    waives: dict[str, Sentence] = {}
    predicates: list[Predicate] = Field(min_length=1)
    controls: list[Control] = []
    no_control: Reason = ""
    passes: list[Passing] = []

    @model_validator(mode="after")
    def _is_about_something(self) -> ClaimEntry:
        if self.origin == "flowcheck" and self.result:
            raise ValueError(f"a claim of ours is about no result of the paper, and 'result' is {self.result!r}")
        if self.variant == "printed" and self.counterexample is None:
            raise ValueError(
                "a claim on a printed statement needs 'counterexample': the input at which it fails, and both sides there"
            )
        if self.origin == "paper" and self.variant == "corrected" and self.covers is None:
            raise ValueError("a claim on a result as it is meant needs 'covers': parts, over, leaves_out")
        return self

    @property
    def about(self) -> str | None:
        """The result of the paper that it is about; None for a claim of ours."""
        return (self.result or self.id) if self.origin == "paper" else None

    @model_validator(mode="after")
    def _has_teeth(self) -> ClaimEntry:
        if bool(self.controls) == bool(self.no_control):
            raise ValueError(
                "a claim needs either 'controls' (at least one) or 'no_control' with the reason why none can exist, "
                f"and has {'both' if self.controls else 'neither'}"
            )
        if all(predicate.implied for predicate in self.predicates):
            raise ValueError("all predicates are 'implied': one at least must be able to fail, whatever run was chosen")
        for passing in self.passes:
            if self.predicate_of(passing).metric == passing.metric:
                raise ValueError(f"'{passing.name}' under 'passes' measures {passing.metric!r}, which is the predicate itself")
        presupposed = {hypothesis.metric for hypothesis in self.hypotheses}
        for control in self.controls:
            predicate = self.predicate_of(control)
            if control.metric == predicate.metric or control.metric in presupposed:
                raise ValueError(
                    f"control {control.name!r} measures {control.metric!r}, which is "
                    f"{'what it is to break' if control.metric == predicate.metric else 'a hypothesis'}: a control is the same "
                    "check on a broken claim, and has a number of its own"
                )
            if control.overlaps(predicate):
                raise ValueError(
                    f"control {control.name!r} ({control.metric} {control.comparison} {control.value:g}) could pass the "
                    f"predicate it is meant to miss ({predicate.metric} {predicate.comparison} {predicate.value:g}): "
                    "threshold on the wrong side"
                )
        return self

    def predicate_of(self, control: Control | Passing) -> Predicate:
        """The predicate that `control` is held against. Raises ValueError if there is no such predicate.

        Of a two-sided check (two predicates on one metric) it is the side that a control lies beyond, and the first for one that
        passes.
        """
        metrics = list(dict.fromkeys(predicate.metric for predicate in self.predicates))
        against = metrics[0] if control.against is None and len(metrics) == 1 else control.against
        sides = [predicate for predicate in self.predicates if predicate.metric == against]
        if not sides:
            role = "control" if isinstance(control, Control) else "passing check"
            raise ValueError(f"{role} {control.name!r}: 'against' is {against!r}; allowed: " + ", ".join(map(repr, metrics)))
        beyond = (side for side in sides if isinstance(control, Control) and not control.overlaps(side))
        return next(beyond, sides[0])

    def unbroken(self) -> list[Predicate]:
        """Predicates, of two-sided checks sides, that no control breaks; of those that can fail."""
        broken = [self.predicate_of(control) for control in self.controls]
        return [predicate for predicate in self.predicates if predicate not in broken and not predicate.implied]

    def metrics(self) -> set[str]:
        """All metrics that the judge will ask for."""
        conditions: list[Condition] = [*self.hypotheses, *self.predicates, *self.controls]
        typical = {predicate.typical for predicate in self.predicates if predicate.typical}
        return {condition.metric for condition in conditions} | {passing.metric for passing in self.passes} | typical


class ClaimsFile(BaseModel):
    """The claims that one experiment decides, and the hypotheses that all of them stand on."""

    model_config = ConfigDict(extra="forbid")

    hypotheses: list[Hypothesis] = []
    claims: list[ClaimEntry] = Field(min_length=1)


class Claim(ClaimEntry):
    """A claim with its experiment, and with all its hypotheses."""

    experiment: str


def stand_on(entry: ClaimEntry, experiment: str, inherited: list[Hypothesis]) -> Claim:
    """The claim of an entry: with the hypotheses of its file that it does not waive, and then its own.

    Raises ValueError if it waives what its file does not presuppose.
    """
    shared = {hypothesis.metric for hypothesis in inherited}
    if unknown := sorted(set(entry.waives) - shared):
        allowed = ", ".join(map(repr, sorted(shared))) or "none"
        raise ValueError(f"waives {unknown[0]!r}, which is no hypothesis of the file; allowed: {allowed}")
    kept = [hypothesis for hypothesis in inherited if hypothesis.metric not in entry.waives]
    fields = {name: getattr(entry, name) for name in ClaimEntry.model_fields} | {"hypotheses": [*kept, *entry.hypotheses]}
    return Claim(**fields, experiment=experiment)


class Deviation(BaseModel):
    """Something done differently from what the paper prints, or a printed statement that is wrong.

    kind `erratum` accuses an author. It needs a `proof`, a `defence` (in what reading would the printed form be right?), and what
    it `hits`: of which results the statement, the proof, or the notation only. `extraction` is damage of the text we read, shown
    by the paper's own proof using the right form; `deviation` is a choice of ours; `clarification` fills in what the paper leaves
    open.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Label
    kind: Literal["deviation", "clarification", "erratum", "extraction"]
    location: Line
    paper_says: Prose
    authors_code_does: str = "no code was published"
    we_do: Prose
    effect: Prose
    hits: dict[Label, Literal["statement", "proof", "notation"]] = {}
    proof: str = ""
    defence: Reason = ""
    claims: list[str] = []

    @model_validator(mode="after")
    def _errata_are_proved(self) -> Deviation:
        if self.kind == "erratum" and not self.proof:
            raise ValueError("an erratum needs a 'proof': a derivation or the claim that holds the counterexample")
        if self.kind == "erratum" and not self.defence:
            raise ValueError("an erratum needs a 'defence': in what reading the printed form would be right, or why in none")
        if bool(self.hits) != (self.kind == "erratum"):
            raise ValueError(
                "an erratum needs 'hits': of which results it is about the statement, the proof or the notation"
                if self.kind == "erratum"
                else f"'hits' is for errata, and this is of kind {self.kind!r}"
            )
        return self

"""The judge: claim and evidence in, verdict out. A pure function; it reads no file and runs no experiment.

Order of the questions (DESIGN section 4): is there evidence; are the hypotheses met; do the controls fail; is the margin
resolved against numerical error and confidence interval; does every predicate hold; does it hold trivially.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from flowcheck.pipeline.claims import Claim, Condition, Predicate, Verdict
from flowcheck.pipeline.evidence import Measurement

TEETH = 0.1
"""A control that misses its predicate by a smaller share of the slack that the claim itself has shows little."""
ERROR_FACTOR = 10.0
"""A margin counts as resolved when it is at least this many times the number's own error (DESIGN section 4)."""

Outcome = Literal["holds", "fails", "undecided", "missing"]


class Finding(BaseModel):
    """One condition confronted with its measurement. `margin` > 0 on the side that satisfies the condition."""

    role: Literal["predicate", "control", "passing", "hypothesis"]
    name: str = ""
    metric: str
    comparison: str
    threshold: float
    why: str = ""
    against: str | None = None
    outcome: Outcome
    reason: str
    value: float | None = None
    error: float | None = None
    interval: tuple[float, float] | None = None
    n: int | None = None
    margin: float | None = None
    vacuous_above: float | None = None
    vacuous_why: str = ""
    implied: str = ""
    over_error: float | None = None
    over_threshold: float | None = None
    looseness: float | None = None
    typical: float | None = None


class Ruling(BaseModel):
    """The verdict on one claim, with everything it rests on.

    `slack` is the margin of the predicate that is the `tightest`, beside its `value`, `threshold` and `error`; `over_error` and
    `over_threshold` are the margin in units that can be compared between claims. `looseness` is that of the tightest bound.
    """

    verdict: Verdict
    reason: str
    metric: str | None
    value: float | None
    threshold: float | None
    slack: float | None
    error: float | None
    over_error: float | None
    over_threshold: float | None
    looseness: float | None
    n: int | None
    weak: list[str]
    predicates: list[Finding]
    controls: list[Finding]
    passes: list[Finding]
    hypotheses: list[Finding]


def judge(claim: Claim, metrics: Mapping[str, Measurement] | None) -> Ruling:
    """Judge one claim on the metrics of its experiment; `None` or an empty mapping says that it was not run."""
    metrics = metrics or {}
    predicates = [
        _with_slack(confront(p, metrics, "predicate", why=p.why), p, metrics.get(p.typical or "")) for p in claim.predicates
    ]
    hypotheses = [confront(h, metrics, "hypothesis", why=h.why) for h in claim.hypotheses]
    controls = [confront(c, metrics, "control", name=c.name, against=claim.predicate_of(c).metric) for c in claim.controls]
    passes = [
        confront(
            Condition.model_validate({"metric": p.metric, "is": against.comparison, "value": against.value}),
            metrics,
            "passing",
            name=p.name,
            against=against.metric,
        )
        for p, against in ((p, claim.predicate_of(p)) for p in claim.passes)
    ]
    verdict, reason = _decide(metrics, predicates, hypotheses, controls, passes)
    nearest = tightest(predicates)
    return Ruling(
        verdict=verdict,
        reason=reason,
        metric=nearest.metric if nearest else None,
        value=nearest.value if nearest else None,
        threshold=nearest.threshold if nearest else None,
        slack=nearest.margin if nearest else None,
        error=nearest.error if nearest else None,
        over_error=nearest.over_error if nearest else None,
        over_threshold=nearest.over_threshold if nearest else None,
        looseness=min((f.looseness for f in predicates if f.looseness is not None), default=None),
        n=nearest.n if nearest else None,
        weak=weaknesses(claim, predicates, controls),
        predicates=predicates,
        controls=controls,
        passes=passes,
        hypotheses=hypotheses,
    )


def _with_slack(finding: Finding, predicate: Predicate, typical: Measurement | None) -> Finding:
    """The finding of a predicate, with its margin over the error and over the threshold, and how loose it is as a bound.

    The threshold is the unit of a margin; where it is 0, for a count, a relative excess or a logarithm, the unit is 1.
    """
    margin, holds = finding.margin, finding.outcome == "holds"
    known: dict[str, Any] = {name: getattr(predicate, name) for name in ("vacuous_above", "vacuous_why", "implied")}
    if margin is not None:
        known["over_threshold"] = _finite(margin / (abs(predicate.value) or 1.0))
        known["over_error"] = _finite(margin / finding.error) if finding.error else None
    if holds and finding.value is not None:
        known["looseness"] = predicate.looseness(finding.value)
        known["typical"] = predicate.looseness(typical.value) if typical is not None else None
    return finding.model_copy(update=known)


def tightest(predicates: list[Finding]) -> Finding | None:
    """The predicate with the smallest margin over its threshold, or None if nothing was measured.

    A count that meets its limit exactly (no violations among n) says nothing about slack, so it is passed over where there is
    another predicate. One that is implied has the slack that the run was chosen with.
    """
    measured = [(f.over_threshold, f) for f in predicates if f.over_threshold is not None and not f.implied]
    telling = [(m, f) for m, f in measured if m != 0 or f.error or f.interval or f.outcome != "holds"]
    return min(telling or measured, key=lambda pair: pair[0], default=(None, None))[1]


def weaknesses(claim: Claim, predicates: list[Finding], controls: list[Finding]) -> list[str]:
    """What is accepted and proves little, a sentence each: it is shown beside the verdict."""
    found = []
    if claim.controls and (unbroken := claim.unbroken()):
        named = ", ".join(f"{predicate.metric} {predicate.comparison} {predicate.value:g}" for predicate in unbroken)
        found.append(f"no control breaks {len(unbroken)} of {len(predicates)} predicates: {named}")
    if not claim.controls and not claim.passes:
        found.append("no control breaks it, and no measure shows that it can pass")
    if single := [finding.metric for finding in predicates if finding.n == 1]:
        found.append(f"one run stands behind {', '.join(dict.fromkeys(single))}")
    asked = {finding.metric for finding in predicates}
    for control, finding in zip(claim.controls, controls, strict=True):
        if finding.metric in asked:
            found.append(f"control '{finding.name}' is a predicate of the claim too: {finding.metric}")
        target = claim.predicate_of(control)
        own = next(f for f in predicates if (f.metric, f.comparison) == (target.metric, target.comparison))
        if finding.value is None or not own.margin or own.margin < 0:
            continue
        if (share := -_margin(target, finding.value) / own.margin) < TEETH:
            found.append(f"control '{finding.name}' misses by {share:.2g} of the slack that the claim has")
    return found


def _decide(
    metrics: Mapping[str, Measurement],
    predicates: list[Finding],
    hypotheses: list[Finding],
    controls: list[Finding],
    passes: list[Finding],
) -> tuple[Verdict, str]:
    if not metrics:
        return Verdict.NOT_RUN, "there is no evidence: an empty set of measurements proves nothing"
    for finding in [*hypotheses, *predicates]:
        if finding.outcome == "missing":
            return Verdict.NOT_RUN, finding.reason
    # a run that one hypothesis ended has no number for the others: the measured one is the reason
    for finding in sorted(hypotheses, key=lambda finding: finding.outcome != "fails"):
        if finding.outcome != "holds":
            return Verdict.HYPOTHESIS_NOT_MET, f"{finding.why}: {finding.reason}"
    for finding in controls:
        # a control condition states that the broken claim misses; anything but a resolved miss leaves the check toothless
        if finding.outcome != "holds":
            return Verdict.INCONCLUSIVE, f"the check has no teeth, control '{finding.name}' does not fail: {finding.reason}"
    for finding in passes:
        if finding.outcome != "holds":
            return Verdict.INCONCLUSIVE, f"the check cannot pass, '{finding.name}' does not: {finding.reason}"
    for finding in predicates:
        if finding.implied and finding.outcome != "holds":
            return Verdict.INCONCLUSIVE, f"measured otherwise than the run was chosen ({finding.implied}): {finding.reason}"
    telling = [finding for finding in predicates if not finding.implied]
    # a conjunction with one resolved failure is false whatever the other parts are
    for finding in telling:
        if finding.outcome == "fails":
            return Verdict.CONTRADICTED, finding.reason
    for finding in telling:
        if finding.outcome == "undecided":
            return Verdict.INCONCLUSIVE, finding.reason
    for finding in telling:
        if finding.vacuous_above is not None and finding.margin is not None and finding.margin > finding.vacuous_above:
            return Verdict.VACUOUS, (
                f"{finding.metric} {finding.comparison} {finding.threshold:g} holds only trivially: "
                f"its margin {finding.margin:.3g} is above {finding.vacuous_above:g}, {finding.vacuous_why}"
            )
    besides = f", {implied} of them implied" if (implied := len(predicates) - len(telling)) else ""
    return Verdict.SUPPORTED, f"all {len(predicates)} predicates hold{besides}, all {len(controls)} controls fail"


def confront(
    condition: Condition,
    metrics: Mapping[str, Measurement],
    role: Literal["predicate", "control", "passing", "hypothesis"],
    *,
    name: str = "",
    why: str = "",
    against: str | None = None,
) -> Finding:
    """Compare one condition with its measurement, taking numerical error and confidence interval into account."""
    measurement = metrics.get(condition.metric)
    outcome, reason, margin = _compare(condition, measurement)
    known: dict[str, Any] = {}
    if measurement is not None:
        known = {
            "value": _finite(measurement.value),
            "error": _finite(measurement.error),
            "interval": measurement.interval if _all_finite(measurement.interval) else None,
            "n": measurement.n,
        }
    return Finding(
        role=role,
        name=name,
        metric=condition.metric,
        comparison=condition.comparison,
        threshold=condition.value,
        why=why,
        against=against,
        outcome=outcome,
        reason=reason,
        margin=margin,
        **known,
    )


def _compare(condition: Condition, measurement: Measurement | None) -> tuple[Outcome, str, float | None]:
    text = f"{condition.metric} {condition.comparison} {condition.value:g}"
    if measurement is None:
        return "missing", f"metric {condition.metric} was not measured", None
    if measurement.n is not None and measurement.n <= 0:
        return "missing", f"{text}: measured on an empty set", None
    if not math.isfinite(measurement.value) or not math.isfinite(measurement.error):
        found = f"{measurement.value:g} with an error of {measurement.error:g}"
        return "undecided", f"{text}: measured {found}, and both must be finite numbers", None
    margin = _margin(condition, measurement.value)
    if measurement.interval is not None:
        if not _all_finite(measurement.interval):
            return "undecided", f"{text}: an end of the confidence interval is not a finite number", margin
        low, high = measurement.interval
        if low == high:
            return "undecided", f"{text}: a confidence interval of no width says nothing of chance", margin
        sides = {_holds(condition, low), _holds(condition, high), _holds(condition, measurement.value)}
        if len(sides) > 1:
            return "undecided", f"{text}: the interval [{low:.4g}, {high:.4g}] straddles the threshold", margin
        # the interval's nearer end decides, so the numerical error is held against that end too
        margin = min(margin, _margin(condition, low), _margin(condition, high), key=abs)
    if abs(margin) < ERROR_FACTOR * measurement.error:
        return (
            "undecided",
            f"{text}: measured {measurement.value:.6g}, margin {margin:.2g} is below {ERROR_FACTOR:g} times the error "
            f"{measurement.error:.2g}",
            margin,
        )
    outcome: Outcome = "holds" if _holds(condition, measurement.value) else "fails"
    return outcome, f"{text} {outcome}: measured {measurement.value:.6g}, margin {margin:.3g}", margin


def _margin(condition: Condition, value: float) -> float:
    margin = condition.value - value if condition.comparison in ("<=", "<") else value - condition.value
    return max(-sys.float_info.max, min(sys.float_info.max, margin))  # an overflow is no number, and JSON has none for it


def _holds(condition: Condition, value: float) -> bool:
    margin = _margin(condition, value)
    return margin >= 0 if "=" in condition.comparison else margin > 0


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _all_finite(interval: tuple[float, float] | None) -> bool:
    return interval is not None and all(math.isfinite(end) for end in interval)

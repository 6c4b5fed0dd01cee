"""Early alignment of deep homogeneous networks: w/delta against the NCF flow u (deep_homogeneous, Theorem 5.1).

Every network has inputs of its own; every seed has labels and a start. Both losses and all delta run beside u up to the moments
at which u is within epsilon of its end, then on until the loss has fallen by a hundredth. Equations (8) and (50) are checked on
the flow as it stands, in plain time.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PositiveFloat

from flowcheck.alignment.study import Study
from flowcheck.measures.readings import fraction
from flowcheck.measures.refinement import Refined
from flowcheck.networks.sums import Mixture
from flowcheck.networks.zoo import power_net
from flowcheck.papers.deep_homogeneous import (
    alignment_controls,
    equation_45,
    equation_52,
    escape_time,
    rescaling,
    starting_gradient,
)
from flowcheck.papers.deep_homogeneous.alignment_cases import GROWING, LOSSES, NETWORKS, POWERS, draw
from flowcheck.papers.deep_homogeneous.equation_45 import Constants
from flowcheck.papers.deep_homogeneous.escape_time import Escaped
from flowcheck.papers.deep_homogeneous.rescaling import Gaps
from flowcheck.papers.deep_homogeneous.theorem_5_1 import collapse, dichotomy
from flowcheck.papers.homogeneous import deviation_rate, hypotheses
from flowcheck.papers.homogeneous.early_alignment import Compared, Comparisons, compare, for_all_cases, solver_gaps
from flowcheck.papers.homogeneous.hypotheses import Presupposed
from flowcheck.papers.homogeneous.theorem_5_1 import Dichotomy, decades, endings, over_sweeps
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.pipeline.names import keyed_by

CONTROL = "L3"
"""The network of the controls and of the figure of curves."""
RESCALED = ("linear", "L4")
"""Networks whose flow and descent are followed in plain time too."""


class Parameters(ParametersModel):
    degrees: Annotated[dict[str, Annotated[float, Field(gt=0, le=100)]], keyed_by(NETWORKS)]
    seeds: int = Field(ge=3)
    samples: int = Field(ge=4)
    noise: float = Field(ge=0)
    epsilons: list[PositiveFloat] = Field(min_length=1)
    sweep: list[PositiveFloat] = Field(min_length=2)
    large_delta: PositiveFloat
    fit_decades: int = Field(ge=4)
    escape_deltas: list[PositiveFloat] = Field(min_length=3)
    curve_deltas: list[PositiveFloat] = Field(min_length=1)
    rescaled_deltas: list[PositiveFloat] = Field(min_length=1)
    descent_steps: int = Field(ge=1)
    sharp_degrees: list[Annotated[int, Field(ge=3)]] = Field(min_length=1)
    solver_share: Annotated[float, Field(gt=0, le=1)]
    rtol: float = Field(gt=0, lt=1)


def cell(p: Parameters, context: Context) -> Evidence:
    drawn = {
        name: draw(name, context.rng(name), seeds=p.seeds, samples=p.samples, noise=p.noise, device=context.device)
        for name in NETWORKS
    }
    asked = [Presupposed(network, x, cases.z, p.degrees[name]) for name, (network, x, cases) in drawn.items()]
    scales = [*p.sweep, *p.escape_deltas, *p.curve_deltas, *p.rescaled_deltas, p.large_delta]
    evidence = Evidence.of([hypotheses.measure(asked, scales)])
    evidence.record("sweep_decades", decades(p.sweep))
    studies: dict[str, Study] = {}
    constants: dict[str, Constants] = {}
    compared: dict[str, Comparisons] = {}
    escaped: dict[str, Escaped] = {}
    gaps: list[Gaps] = []
    solvers: list[Refined] = []
    for name in context.progress(NETWORKS, what="networks"):
        network, x, cases = drawn[name]
        studies[name] = study = Study.begin(network, x, LOSSES, cases, p.epsilons, p.rtol)
        constants[name], wrong = Constants.of(study), None
        if name == CONTROL:
            order = context.rng("permutation").permutation(cases.z.shape[1])
            wrong = Study.begin(network, x, LOSSES, cases.permuted(order), p.epsilons, p.rtol)
            evidence.add(alignment_controls.deviation_slopes(study, wrong, NETWORKS["L4"], p.sweep))
            evidence.record("late_norm_ratio_min", alignment_controls.late_norm_ratio(study, min(p.sweep)))
            evidence.arrays |= {f"curve_{key}": values for key, values in study.curves(p.curve_deltas).items()}
        compared[name] = compare(
            study,
            slopes=for_all_cases([10 ** (-(m + 1) / network.degree) for m in range(p.fit_decades)], study),
            sweep=for_all_cases(p.sweep, study),
            large=for_all_cases([p.large_delta], study),
            own=torch.from_numpy(constants[name].delta_bar(min(p.sweep))).to(x),
            wrong=None if wrong is None else wrong.ends,
        )
        solvers.append(solver_gaps(study, p.solver_share))
        if name in POWERS:
            escaped[name] = Escaped.of(study, p.escape_deltas)
        if name in RESCALED:
            gaps.append(rescaling.gaps(study, p.rescaled_deltas, p.descent_steps, NETWORKS["L5"] if name in POWERS else None))
    evidence.add(endings(list(studies.values())))
    sharp = equation_45.nearly_sharp(p.sharp_degrees, p.epsilons, p.rtol)
    evidence.add(theorem(compared, constants, sharp))
    swept = [(constants[name], each.sweep) for name, each in compared.items()]
    evidence.record("gronwall_log_excess_max", equation_45.gronwall_log_excess([*swept, *sharp]))
    evidence.record("solver_gap_max", Refined.joined(solvers).largest())
    evidence.add(equation_52.changes(swept))
    for name in GROWING:
        for loss, label in enumerate(("deviation_slope_", "deviation_slope_logistic_")):
            slopes = compared[name].slopes
            evidence.add(deviation_rate.of_cases(f"{label}{name}", slopes, slopes.growing(loss)))
    evidence.add(escape_time.readings(escaped, p.escape_deltas))
    evidence.record("euler_growth_L4", escape_time.euler_growth(escaped["L4"], p.escape_deltas))
    evidence.add(rescaling.readings(gaps))
    mixture = Mixture("degrees two and three", ((1.0, POWERS["L3"]), (1.0, power_net(4, 3, 2.0))), 3.0)
    evidence.add(starting_gradient.slope_gaps({name: drawn[name] for name in POWERS}, mixture, drawn["L3"], p.sweep))
    return evidence


def theorem(
    compared: Mapping[str, Comparisons], constants: Mapping[str, Constants], sharp: Sequence[tuple[Constants, Compared]]
) -> Found:
    """Norm bound and dichotomy over the sweep and at the delta of Eq. (45), nearly sharp cases among them, and gone wrong."""
    large = {name: dichotomy(compared[name].large) for name in GROWING}
    at_powers = Dichotomy.joined([large[name] for name in POWERS])
    explicit = [(constants[name], each.own) for name, each in compared.items()] + list(sharp)
    own = [dichotomy(each).diagonal().where(its.usable) for its, each in explicit]
    wrong = compared[CONTROL].wrong
    assert wrong is not None
    return {
        "unresolved_share": fraction(np.concatenate([~each.sweep.resolved.ravel() for each in compared.values()])),
        **over_sweeps([(each.sweep, dichotomy(each.sweep)) for each in compared.values()], bounded=True),
        **Dichotomy.joined(own).readings("explicit_"),
        "dichotomy_margin_large_delta": Dichotomy.joined(list(large.values())).smallest_margin(),
        "deviation_ratio_large_delta": at_powers.deviation.smallest_of_all(),
        "dichotomy_margin_permuted": dichotomy(wrong).at_smallest().smallest_margin(),
        **collapse(compared["collapse"].sweep),
    }


if __name__ == "__main__":
    main(Parameters, cell)

"""Early alignment of two-homogeneous networks: w/delta against the NCF flow u (two_homogeneous, Section 5.1).

Every network has inputs of its own; every seed has labels and a start. Both losses and all delta run beside u up to the moments
at which u is within epsilon of its end, then on until the loss has fallen by a hundredth. T is such a moment, so C is
exp(4 beta beta~ T): beyond float64, and kept as a logarithm, as is delta = C^(-1/2).
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from flowcheck.alignment.study import Study
from flowcheck.data.synthetic import noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.measures.readings import fraction
from flowcheck.measures.refinement import Refined
from flowcheck.papers.homogeneous import deviation_rate, hypotheses
from flowcheck.papers.homogeneous.early_alignment import Compared, Comparisons, solver_gaps
from flowcheck.papers.homogeneous.hypotheses import Presupposed
from flowcheck.papers.homogeneous.theorem_5_1 import Dichotomy, decades, endings, over_sweeps
from flowcheck.papers.two_homogeneous import alignment_controls, corollary_5_4_1, escape_time, lemma_5_2, section_5_3
from flowcheck.papers.two_homogeneous.alignment_cases import GROWING, HIGHER, LOSSES, NETWORKS, UNITS, both_losses, draw
from flowcheck.papers.two_homogeneous.corollary_5_4_1 import Blocks
from flowcheck.papers.two_homogeneous.escape_time import Escaped
from flowcheck.papers.two_homogeneous.theorem_5_1 import Constants, branching, compare, dichotomy, usable
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.pipeline.names import keyed_by

CONTROL = "SQ"
"""The network of the controls."""
RESOLUTION = 1000.0
"""Deviations that enter a slope are at least so many times their own error: a slope over one decade then errs by 0.002."""


class Parameters(ParametersModel):
    degrees: Annotated[dict[str, Annotated[float, Field(gt=0, le=100)]], keyed_by(NETWORKS)]
    seeds: int = Field(ge=3)
    samples: int = Field(ge=4)
    noise: float = Field(ge=0)
    label_scale: float = Field(ge=0)
    epsilons: list[PositiveFloat] = Field(min_length=1)
    fit_deltas: list[PositiveFloat] = Field(min_length=4)
    sweep: list[PositiveFloat] = Field(min_length=2)
    large_delta: PositiveFloat
    block_epsilons: list[PositiveFloat] = Field(min_length=1)
    block_deltas: list[PositiveFloat] = Field(min_length=2)
    large_block_delta: PositiveFloat
    escape_deltas: list[PositiveFloat] = Field(min_length=3)
    escape_aligned: PositiveFloat
    control_deltas: list[PositiveFloat] = Field(min_length=3)
    turning_time: PositiveFloat
    turning_deltas: list[PositiveFloat] = Field(min_length=3)
    solver_share: Annotated[float, Field(gt=0, le=1)]
    single_label: PositiveFloat
    curve_deltas: list[PositiveFloat] = Field(min_length=1)
    rtol: float = Field(gt=0, lt=1)


def cell(p: Parameters, context: Context) -> Evidence:
    drawn = {
        name: draw(
            name,
            context.rng(name),
            seeds=p.seeds,
            samples=p.samples,
            noise=p.noise,
            label_scale=p.label_scale,
            device=context.device,
        )
        for name in NETWORKS
    }
    asked = [Presupposed(network, x, cases.z, p.degrees[name]) for name, (network, x, cases) in drawn.items()]
    scales = [*p.fit_deltas, *p.sweep, *p.block_deltas, *p.escape_deltas, *p.turning_deltas, *p.curve_deltas]
    evidence = Evidence.of([hypotheses.measure(asked, [*scales, p.large_delta, p.large_block_delta])])
    evidence.record("sweep_decades", decades(p.sweep))
    x, angles = sphere_inputs(context.rng("higher"), p.samples, 3), {}
    for name, network in HIGHER.items():
        rng = context.rng("higher", name)
        y, starts = (
            p.label_scale * noisy_teacher_labels(rng, network, x, p.seeds, p.noise),
            unit_vectors(rng, p.seeds, network.size),
        )
        data = (part.to(context.device) for part in (x, y, starts))
        angles[name] = section_5_3.turned(network, *data, time=p.turning_time, deltas=p.turning_deltas, rtol=p.rtol)
    evidence.add(section_5_3.slopes(angles, p.turning_deltas))
    evidence.add(lemma_5_2.single_input(p.single_label, min(p.sweep), p.seeds, context.rng("single"), context.device))
    studies: dict[str, Study] = {}
    constants: dict[str, Constants] = {}
    compared: dict[str, Comparisons] = {}
    escaped: dict[str, Escaped] = {}
    blocks: dict[str, Blocks] = {}
    exits: list[Refined] = []
    gaps: list[Refined] = []
    for name in context.progress(NETWORKS, what="networks"):
        network, x, cases = drawn[name]
        studies[name] = study = Study.begin(network, x, LOSSES, cases, p.epsilons, p.rtol)
        constants[name], wrong = Constants.of(network, x, LOSSES, cases), None
        if name == CONTROL:
            order, rng = context.rng("permutation").permutation(cases.z.shape[1]), context.rng("cubic")
            wrong = Study.begin(network, x, LOSSES, cases.permuted(order), p.epsilons, p.rtol)
            evidence.add(alignment_controls.permuted(study, wrong, p.control_deltas))
            labels = noisy_teacher_labels(rng, HIGHER["L3"], x.cpu(), p.seeds, p.noise)
            cubic = both_losses(labels, HIGHER["L3"], rng).on(context.device)
            evidence.add(alignment_controls.cubic(study, HIGHER["L3"], cubic, p.control_deltas))
        compared[name] = compare(
            study,
            constants[name],
            slopes=p.fit_deltas,
            sweep=p.sweep,
            large=p.large_delta,
            by_size=name == "D2",
            wrong=None if wrong is None else wrong.ends,
        )
        gaps.append(solver_gaps(study, p.solver_share))
        if name in UNITS:
            escaped[name] = Escaped.of(study, p.escape_deltas)
            exits.append(lemma_5_2.exit_ratios(study, p.escape_deltas))
            blocks[name] = Blocks.of(study, UNITS[name], p.block_epsilons, p.block_deltas, p.large_block_delta)
            evidence.arrays |= {f"curve_{name}_{key}": values for key, values in study.curves(p.curve_deltas).items()}
    evidence.add(endings(list(studies.values())))
    evidence.add(theorem(compared, {name: usable(each.log_delta(studies[name])) for name, each in constants.items()}))
    evidence.add(branching(min(p.epsilons)))
    evidence.add(lemma_5_2.bounds_on_the_way([(constants[name], part) for name, each in compared.items() for part in each[:4]]))
    evidence.record("exit_time_ratio_min", Refined.joined(exits).smallest())
    evidence.record("solver_gap_max", Refined.joined(gaps).largest())
    evidence.add(shadows({name: compared[name].slopes for name in GROWING}))
    evidence.add(corollary_5_4_1.readings(blocks))
    evidence.add(escape_time.readings(escaped, p.escape_deltas, p.escape_aligned))
    evidence.arrays |= {"control_deltas": np.array(p.control_deltas), "fit_deltas": np.array(p.fit_deltas)}
    return evidence


def theorem(compared: Mapping[str, Comparisons], usable: Mapping[str, np.ndarray]) -> Found:
    """The dichotomy over the sweep and at C^(-1/2), and the same gone wrong."""
    own = [dichotomy(each.own).diagonal().where(usable[name]) for name, each in compared.items()]
    wrong = compared[CONTROL].wrong
    assert wrong is not None
    return {
        "unresolved_share": fraction(np.concatenate([~each.sweep.resolved.ravel() for each in compared.values()])),
        **over_sweeps([(each.sweep, dichotomy(each.sweep)) for each in compared.values()], bounded=False),
        **Dichotomy.joined(own).readings("explicit_"),
        "dichotomy_margin_large_delta": Dichotomy.joined([dichotomy(compared[name].large) for name in UNITS]).smallest_margin(),
        "dichotomy_margin_permuted": dichotomy(wrong).at_smallest().smallest_margin(),
    }


def shadows(compared: Mapping[str, Compared]) -> Found:
    """Lemma 5.2, second part: slopes of the deviation on delta, of each network and loss, and of all."""
    slopes = {
        f"shadowing_slope_{name}{label}": (found, found.growing(loss))
        for name, found in compared.items()
        for loss, label in enumerate(("", "_logistic"))
    }
    every = [(found, found.growing()) for found in compared.values()]
    parts = [deviation_rate.of_cases(name, *cases, RESOLUTION) for name, cases in slopes.items()]
    return {key: value for part in parts for key, value in part.items()} | {
        "shadowing_slope": deviation_rate.pooled(every, RESOLUTION)
    }


if __name__ == "__main__":
    main(Parameters, cell)

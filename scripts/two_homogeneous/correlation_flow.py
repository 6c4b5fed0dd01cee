"""NCF flows for L = 2 (two_homogeneous: Lemma 5.3 with Eqs. (32)-(34), Lemmas A.3, A.4, C.3, C.4, C.7).

Random problems on squared-ReLU, quadratic, deep ReLU and two-layer leaky ReLU nets, each flow followed until it has grown in a
fixed direction, vanished, or come to rest. Two-layer nets are followed in closed form, sliding along kinks included.
"""

import numpy as np

from flowcheck.measures.readings import count
from flowcheck.papers.homogeneous.ncf_experiment import Parameters, broken_hypotheses, common_metrics, study
from flowcheck.papers.homogeneous.ncf_table import Runs
from flowcheck.papers.two_homogeneous import lemma_a_3
from flowcheck.pipeline.evidence import Evidence, Found, Measurement
from flowcheck.pipeline.experiment import Context, main


def cell(p: Parameters, context: Context) -> Evidence:
    drawn = [s.draw(name, context, runs=p.runs, dimension=p.dimension) for name, s in p.families.items()]
    families = [family.on(context.device) for family in drawn]
    two_layer, example = [family for family in families if family.system.exact], lemma_a_3.example()
    runs, curves = study([*families, example], p.drawn, context, ends=p.ends, rtol=p.rtol, coarser=p.coarser, ascents=p.ascents)
    degree = min(family.degree for family in p.families.values())
    evidence = Evidence.of(
        [
            common_metrics(runs),
            curves,
            broken_hypotheses(degree, context, runs=p.runs, dimension=p.dimension, rotation=p.rotation, arc=p.rotated_arc),
            growth_and_decay(runs, example.name),
            lemma_a_3.sliding(two_layer),
            lemma_a_3.kink_example(),
        ]
    )
    exact = np.isin(runs.facts["family"], [family.name for family in (*two_layer, example)])
    evidence.record("energy_identity_kinks_max", runs["energy_identity"].largest(exact))
    evidence.record("kkt_defect_random_kinks", runs["kkt_defect_random_kinks"].median(exact))
    evidence.runs = runs.table()
    return evidence


def growth_and_decay(runs: Runs, example: str) -> Found:
    """Lemma 5.3, Eq. (32), and Lemma C.3, whose bound is attained by the decay of the example along a KKT direction."""
    from_example = runs.facts["family"] == example
    attained = runs["fall_share"].largest(from_example)
    return {
        "growth_excess_min": runs["growth_excess"].smallest(),
        "growth_excess_doubled": runs["growth_excess_doubled"].smallest(),
        "fall_share_max": runs["fall_share"].largest(~from_example),
        "fall_share_rate_lowered": Measurement(attained.value / 0.9, attained.error / 0.9, n=1),
        "kink_example_mismatches": count(runs.facts["outcome"][from_example] != np.array(lemma_a_3.ENDS)),
    }


if __name__ == "__main__":
    main(Parameters, cell)

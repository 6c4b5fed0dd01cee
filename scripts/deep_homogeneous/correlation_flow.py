"""NCF flows for L > 2 (deep_homogeneous: Lemma 5.2, Lemmas A.1-A.3, B.1-B.6, D.1).

Random problems on power, polynomial, squared-ReLU and deep linear nets, each flow followed until it has blown up along a fixed
direction, vanished, or come to rest; flows that start at KKT points; flows of degree 2, which stay finite.
"""

from pydantic import Field

from flowcheck.papers.deep_homogeneous import euler_identities, lemma_5_2, lemma_d_1
from flowcheck.papers.homogeneous import gronwall, kkt_search, ncf_experiment
from flowcheck.papers.homogeneous.ncf_experiment import FamilySettings, broken_hypotheses, common_metrics, study
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, main


class Parameters(ncf_experiment.Parameters):
    """`finite_time`: how long flows of degree 2 are followed. `grown`: ln|u| to which flows from KKT points are."""

    finite_time: float = Field(gt=0)
    grown: float = Field(gt=0)
    gronwall_cases: int = Field(ge=2)
    gronwall_steps: int = Field(ge=2)


def cell(p: Parameters, context: Context) -> Evidence:
    drawn = [s.draw(name, context, runs=p.runs, dimension=p.dimension) for name, s in p.families.items()]
    families = [family.on(context.device) for family in drawn]
    runs, curves = study(families, p.drawn, context, ends=p.ends, rtol=p.rtol, coarser=p.coarser, ascents=p.ascents)
    degree = min(family.degree for family in p.families.values())
    kkt_points = [
        kkt_search.search(family, context.rng("kkt start", family.name), p.ascents).as_starts()
        for family in families
        if family.kind == "power" and p.families[family.name].labels == "mixed"
    ]
    quadratic = [
        FamilySettings(kind=kind, degree=2)
        .draw(f"{kind} of degree 2", context, runs=p.runs, dimension=p.dimension)
        .on(context.device)
        for kind in ("power", "polynomial")
    ]
    evidence = Evidence.of(
        [
            common_metrics(runs),
            curves,
            broken_hypotheses(degree, context, runs=p.runs, dimension=p.dimension, rotation=p.rotation, arc=p.rotated_arc),
            lemma_5_2.blow_up(runs),
            lemma_5_2.from_kkt_points(kkt_points, grown=p.grown, rtol=p.rtol),
            lemma_d_1.no_blow_up(quadratic, time=p.finite_time, grown=p.grown, rtol=p.rtol),
            lemma_d_1.sharp(rtol=p.rtol),
            euler_identities.largest_defects(families, context.rng("tools"), p.runs),
            gronwall.inequality(lambda increasing: context.rng("gronwall", increasing), p.gronwall_cases, p.gronwall_steps),
        ]
    )
    evidence.runs = runs.table()
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)

"""The worked example of pursuit (neuron_pursuit, Figure 5): its stages, and how many random data sets lead to the target."""

import numpy as np
import torch
from pydantic import Field, PositiveFloat

from flowcheck.measures.readings import count, fraction, largest, smallest
from flowcheck.papers.neuron_pursuit import figure_5
from flowcheck.papers.neuron_pursuit.figure_5 import RECOVERED
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

ROUNDING = 1e-9


class Parameters(ParametersModel):
    runs: int = Field(ge=5, description="data sets, each with a seed of its own")
    shuffled_runs: int = Field(ge=1)
    iterations: int = Field(ge=2)
    steps: int = Field(ge=1000, description="of descent in each iteration")
    step_size: PositiveFloat


def cell(p: Parameters, context: Context) -> Evidence:
    settings = (p.iterations, p.steps, p.step_size)
    found = [figure_5.run(context.rng("run", k), k, *settings) for k in context.progress(range(p.runs), what="runs")]
    shuffled = [figure_5.run(context.rng("shuffled", k), k, *settings, shuffled=True) for k in range(p.shuffled_runs)]
    errors = np.full((p.runs, p.iterations), np.nan)
    for k, pursuit in enumerate(found):
        errors[k, : len(pursuit.history)] = [figure_5.cube_error(step.grown) for step in pursuit.history]
        errors[k, len(pursuit.history) :] = errors[k, len(pursuit.history) - 1]  # it has ended
    exact = errors <= RECOVERED
    two = [pursuit for pursuit, hit in zip(found, exact[:, 1], strict=True) if hit]
    trained, points = (
        [figure_5.stage(rows.numpy()) for rows in chosen]
        for chosen in (
            [pursuit.history[0].grown.layers[0] for pursuit in found],
            [pursuit.history[0].point.parts[0] for pursuit in found],
        )
    )
    evidence = Evidence()
    evidence.record("recovery_fraction", fraction(exact[:, 1]))
    evidence.record("recovery_fraction_in_the_end", fraction(exact[:, -1]))
    evidence.record("recovered_error_max", largest(np.where(exact[:, 1], errors[:, 1], np.nan), ROUNDING))
    evidence.record("shuffled_error_min", smallest(np.array([figure_5.cube_error(s.grown) for s in shuffled]), ROUNDING))
    evidence.record("recovered_in_other_layer", count(np.array([pursuit.history[1].point.layer != 1 for pursuit in two])))
    ends = [figure_5.stage(pursuit.history[1].grown.layers[0].numpy()).norm for pursuit in two]
    evidence.record("recovered_other_weights_max", largest(np.array(ends), ROUNDING))
    evidence.record("first_other_weights_max", largest(np.array([one.largest for one in trained]), ROUNDING))
    shrunk = np.array([one.norm / other.norm for one, other in zip(trained, points, strict=True)])
    evidence.record("first_other_weights_change_max", largest(shrunk, ROUNDING))
    random = [figure_5.stage(context.rng("vector", k).standard_normal((1, 20))).largest for k in range(p.runs)]
    evidence.record("random_other_weights_min", smallest(np.array(random), ROUNDING))

    shown = two[0] if two else found[0]  # the first that recovers the target in two iterations
    at = np.arange(0, 1 << figure_5.SIZE, 1 << (figure_5.SIZE - 11))
    x = np.concatenate([figure_5.vertices(i, i + 1) for i in at.tolist()])
    evidence.arrays |= {"errors": errors, "at": at, "truth": figure_5.target(x)}
    for number, step in enumerate(shown.history[:2]):
        first, second, last = (layer.numpy() for layer in step.grown.layers)
        evidence.arrays |= {f"first_{number}": first, f"second_{number}": second, f"last_{number}": last}
        incoming, outgoing = step.point.parts[0].numpy(), step.point.parts[1].numpy()
        evidence.arrays |= {f"incoming_{number}": incoming.ravel(), f"outgoing_{number}": outgoing.ravel()}
        evidence.arrays[f"learned_{number}"] = step.grown.predict(torch.from_numpy(x))[:, 0].numpy()
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)

"""Descent beside the flow (continuous_discrete, Sections 2 and 3, Appendix A): Theorems 1 to 3, Corollary 4, Lemma 19.

The bounds of the distance between Euler's method and the exact solution, on systems whose solution is known, with the constants
that they ask for; descent at the step sizes that they admit, and far beyond.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from pydantic import Field

from flowcheck.papers.continuous_discrete import corollary_4, enclosed_network, lemma_19, theorem_1, theorem_2, theorem_3
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main

INTEGRATED = ("non-normal", "double well", "smooth network", "driven pendulum", "turning axes")
"""Systems of Theorem 2 on which two integrators are held against each other."""


class Parameters(ParametersModel):
    step_sizes: list[Annotated[float, Field(gt=1e-5, le=0.1)]] = Field(min_length=3, description="of Euler's method, Theorem 2")
    depths: list[Annotated[int, Field(ge=2, le=8)]] = Field(min_length=1, description="of deep linear networks, Theorem 3")
    long_depth: int = Field(ge=1, le=8, description="networks of up to so many layers are followed up to time 2 as well")
    cosines: list[Annotated[float, Field(gt=-1, lt=1)]] = Field(min_length=1)
    length: float = Field(gt=1e-3, le=0.2, description="of the end-to-end vector at the start")
    radius: float = Field(gt=1e-4, le=0.0625, description="epsilon")
    enclosed_draws: int = Field(ge=1, le=50)
    enclosed_radius: float = Field(gt=1e-5, le=0.1)
    enclosed_until: float = Field(gt=0.1, le=10)
    enclosed_intervals: int = Field(ge=20, le=5000)
    draws: int = Field(ge=2, le=200, description="of functions for Lemma 19, of constants for Corollary 4")


def cell(p: Parameters, context: Context) -> Evidence:
    systems = theorem_2.systems(context.rng("systems"))
    enclosed = context.rng("enclosed")
    parts: list[Callable[[], Found]] = [
        partial(theorem_1.existence, [system for system in systems if system.name in INTEGRATED]),
        partial(theorem_2.fundamental_theorem, context.rng("offsets"), systems, p.step_sizes),
        partial(theorem_3.step_condition, p.depths, p.long_depth, p.cosines, p.length, p.radius),
        partial(enclosed_network.enclosed, enclosed, p.enclosed_draws, p.enclosed_radius, p.enclosed_until, p.enclosed_intervals),
        corollary_4.regimes,
        corollary_4.scaling,
        partial(corollary_4.against_theorem_3, context.rng("constants"), p.draws),
        partial(lemma_19.growth, context.rng("functions"), p.draws),
    ]
    return Evidence.of(part() for part in context.progress(parts, what="parts"))


if __name__ == "__main__":
    main(Parameters, cell)

r"""What the statements on descent say of descent with a hypothesis broken: controls, which must fail (spherical_data).

Points of the circle with a tenth of the labels flipped pull towards v with 0.8 of the force, and on an ellipse of mean norm one
the cosine may fall. Gradients are direct quadratures. All constants of the bounds are those of the circle, $c_0=1$.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flowcheck.measures import readings
from flowcheck.measures.refinement import refined
from flowcheck.papers.spherical_data import lemma_4, lemma_5, proposition_2, remark_3, theorem_2
from flowcheck.papers.spherical_data.broken_data import ELLIPSE, ellipse_c0
from flowcheck.papers.spherical_data.broken_flows import BESIDE_TILTED, FLIPPED, V
from flowcheck.papers.spherical_data.descent import PopulationPath
from flowcheck.papers.spherical_data.population import COARSE_PANELS, PANELS, TILTED, law, planar_gradient
from flowcheck.pipeline.evidence import Found

Array = np.ndarray

SHORT, LONG, HUGE = 0.01, 20.0, 100.0
"""Step sizes: where Lemmas 4 and 5 are sharp, for late growth, and beyond 2/β."""
STEPS, LATE_STEPS, TRIALS = 40, 300, 60


def descent(
    w0: Float[Array, " 2"],
    v: Float[Array, " 2"],
    step_sizes: Float[Array, " n"],
    panels: int,
    *,
    stretch: Float[Array, "2 2"] | None = None,
    flip_probability: float = 0.0,
) -> PopulationPath:
    """One run in the plane, for points of the circle, perhaps stretched, and labels of v, some of them flipped."""
    circle, across, w = np.ones(1), np.array([v[1], -v[0]]), [w0]
    for step in step_sizes:
        gradient = planar_gradient(circle, circle, w[-1], v, stretch=stretch, flip_probability=flip_probability, panels=panels)
        w.append(w[-1] - step * gradient)
    path = np.array(w)
    return PopulationPath(law("circle"), step_sizes[None], (path @ v)[None], (path @ across)[None])


def flipped(norm: float, angle: float, step_sizes: Float[Array, " n"], panels: int) -> PopulationPath:
    """A run with a tenth of the labels flipped."""
    start = norm * np.array([math.sin(angle), math.cos(angle)])
    return descent(start, V, step_sizes, panels, flip_probability=FLIPPED)


def stretched(w0: Float[Array, " 2"], step_sizes: Float[Array, " n"], panels: int) -> PopulationPath:
    """A run on the ellipse, with the labels of `TILTED`."""
    return descent(w0, TILTED, step_sizes, panels, stretch=ELLIPSE / ellipse_c0())


def bounds(panels: int) -> dict[str, float]:
    """Excesses over the bounds of Theorem 2, Lemma 4 and Lemma 5, progress along v and its late growth."""
    many = np.full(STEPS, SHORT)
    away = stretched(30.0 * BESIDE_TILTED, 10 * many, panels)
    sharp = flipped(*theorem_2.SHARP_START, theorem_2.SHARP_STEP, panels)
    wrong_side, right_side = flipped(1.0, remark_3.START, many, panels), flipped(*theorem_2.SHARP_START, many, panels)
    back = flipped(6.0, 0.1, np.full(LATE_STEPS, LONG), panels)
    return {
        "theorem2_excess_stretched": theorem_2.against_bound(away).value[0],
        "theorem2_sharp_gap_flipped": theorem_2.sharp_gap(sharp).value,
        "lemma4_excess_flipped": lemma_4.against_bound(wrong_side).value[0],
        "lemma5_excess_flipped": lemma_5.against_bound(right_side, lemma_5.condition(right_side).min(axis=1)).value[0],
        "descent_progress_flipped": back.least_progress()[0][0],
        "descent_late_gap_flipped": proposition_2.late_descent_gap(back)[0],
    }


def steps(rng: np.random.Generator) -> Found:
    """Single steps on the ellipse that Eq. (11) judges wrongly, and huge steps at which the loss grows with labels flipped."""
    drawn = []
    for _ in range(TRIALS):
        angle, norm, step = rng.uniform(0.0, 2.0 * math.pi), 10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-1, 2)
        drawn.append(stretched(norm * np.array([math.cos(angle), math.sin(angle)]), np.array([step]), PANELS))
    falls, unmet = lemma_5.single_steps(together(drawn))
    huge = flipped(1.0, remark_3.START, np.full(STEPS, HUGE), PANELS)
    rises = np.diff(remark_3.losses(huge, 0, 1.0 - 2.0 * FLIPPED)) > 0
    return {
        "one_step_mismatches_stretched": readings.count(falls != unmet),
        "huge_step_loss_increases_flipped": readings.count(rises),
    }


def together(paths: Sequence[PopulationPath]) -> PopulationPath:
    """Runs of as many steps in one batch."""
    parts = (np.concatenate([getattr(path, name) for path in paths]) for name in ("step_sizes", "along", "across"))
    return PopulationPath(paths[0].law, *parts)


def measure(rng: np.random.Generator) -> Found:
    """All controls; numbers with their change from fewer panels."""
    return {name: each.number() for name, each in refined(bounds, PANELS, COARSE_PANELS).items()} | dict(steps(rng))

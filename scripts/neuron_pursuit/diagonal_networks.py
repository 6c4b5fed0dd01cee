"""Diagonal networks (neuron_pursuit, Appendix D.5): pursuit is orthogonal matching pursuit, and no limit of gradient descent.

The example of the paper and random problems, beside scikit-learn's OMP and scipy's linear programme; Lemma 21 on single neurons.
"""

import numpy as np
from pydantic import Field, PositiveFloat

from flowcheck.measures.readings import count, fraction, largest, log_rate, smallest
from flowcheck.papers.neuron_pursuit import diagonal, lemma_21
from flowcheck.papers.neuron_pursuit.diagonal import B, X
from flowcheck.pipeline.evidence import Evidence, Found, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main

ROUNDING = 1e-13
"""Of some hundred thousand steps that contract towards the solution, and of least squares on three columns."""


class Parameters(ParametersModel):
    steps: int = Field(ge=1000, description="of each descent of the example")
    problems: int = Field(ge=10, description="random ones")
    random_steps: int = Field(ge=1000, description="of each of their descents")
    random_step_size: PositiveFloat
    iterations: int = Field(ge=2, le=6, description="of pursuit on random problems")
    deltas: list[PositiveFloat] = Field(min_length=3, description="sizes of small starts of descent of all weights")
    large_delta: PositiveFloat
    starts: int = Field(ge=1)
    all_steps: int = Field(ge=1000, description="of descent of all weights")
    all_step_size: PositiveFloat
    neurons: int = Field(ge=10, description="of Lemma 21")
    neuron_steps: int = Field(ge=1000)


def cell(p: Parameters, context: Context) -> Evidence:
    evidence = Evidence.of(
        [
            example(p.steps),
            ncf(context),
            random(context, p.problems, p.iterations, p.random_steps, p.random_step_size),
            all_weights(context, [*p.deltas, p.large_delta], p.starts, p.all_steps, p.all_step_size),
            neurons(context, p.neurons, p.neuron_steps),
        ]
    )
    evidence.arrays["path"] = diagonal.example_path(p.steps)
    return evidence


def example(steps: int) -> Found:
    """The iterates of the example, of pursuit, of OMP with and without columns of length one; with columns 1 to n only."""
    found, peer = diagonal.pursue_diagonal(X[None], B[None], 2, steps), diagonal.matching_pursuit(X, B, 2)
    errors, iterates = found.change[0] + ROUNDING, found.coefficients[0]
    numbers = {
        f"{name}_iterate_{j + 1}": Measurement(iterates[i, j], errors[i])
        for i, name in enumerate(("first", "second"))
        for j in range(3)
    }
    lengths = np.linalg.norm(X, axis=0)
    normalised = diagonal.matching_pursuit(X / lengths, B, 2) / lengths
    few = diagonal.pursue_diagonal(X[None], B[None], 2, steps, columns=len(B)).coefficients[0]
    error = float(errors.max())
    l1 = diagonal.smallest_l1(X, B)
    numbers |= {
        "iterate_omp_distance_max": Measurement(np.abs(iterates - peer).max(), error),
        "iterate_omp_distance_normalised": Measurement(np.abs(iterates - normalised).max(), error),
        "iterate_omp_distance_first_columns": Measurement(np.abs(few - peer).max(), error),
        "second_product_gap_printed": Measurement(abs(iterates[1, 2] - diagonal.PRINTED_PRODUCT), error),
        "second_product_gap_omp": Measurement(abs(iterates[1, 2] - 1.875), error),
        "l1_norm": Measurement(float(np.abs(l1).sum()), ROUNDING),
        "pursuit_l1_norm": Measurement(np.abs(iterates[1]).sum(), 3 * error),
        "pursuit_l1_distance": Measurement(float(np.linalg.norm(iterates[1] - l1)), 2 * error),
        "pursuit_l1_distance_normalised": Measurement(float(np.linalg.norm(normalised[1] - l1)), 2 * error),
    }
    return numbers | {f"l1_solution_{j + 1}": Measurement(l1[j], ROUNDING) for j in range(3)}


def ncf(context: Context) -> Found:
    """Maxima of the NCF of single neurons by ascents, over the closed form: with 1/2, and with the printed 1/sqrt(2)."""
    rng = context.rng("ncf")
    x, y = diagonal.random_problems(rng, 3)
    pairs = [(X, B), (X, B - X @ diagonal.matching_pursuit(X, B, 1)[0]), *zip(x, y, strict=True)]
    gaps, printed = [], []
    for columns, residual in pairs:
        score = np.abs(columns.T @ residual)
        ratio = diagonal.ncf_maxima(columns, residual, rng)[0][score > 1e-9] / score[score > 1e-9]
        gaps += list(np.abs(ratio / 0.5 - 1.0))
        printed += list(np.abs(ratio * np.sqrt(2.0) - 1.0))
    return {
        "ncf_maximum_gap_max": largest(np.array(gaps), ROUNDING),
        "ncf_maximum_gap_printed_min": smallest(np.array(printed), ROUNDING),
    }


def random(context: Context, problems: int, iterations: int, steps: int, step_size: float) -> Found:
    """Pursuit and OMP on random problems: which columns, and coefficients where every descent so far reached its minimum."""
    x, y = diagonal.random_problems(context.rng("problems"), problems)
    found = diagonal.pursue_diagonal(x, y, iterations, steps, step_size)
    peers = np.stack([diagonal.matching_pursuit(a, b, iterations) for a, b in zip(x, y, strict=True)])
    scaled = x / np.linalg.norm(x, axis=1, keepdims=True)
    textbook = np.stack([diagonal.matching_pursuit(a, b, iterations) for a, b in zip(scaled, y, strict=True)])
    order, other = (np.stack([diagonal.order(path) for path in paths]) for paths in (peers, textbook))
    before = np.column_stack([np.ones(problems, dtype=bool), found.reached[:, :-1]])
    distance = np.linalg.norm(found.coefficients - peers, axis=2) / np.linalg.norm(peers, axis=2)
    a, b = diagonal.sign_change()
    turned = diagonal.pursue_diagonal(a[None], b[None], 2, steps, step_size)
    apart = float(np.linalg.norm(turned.coefficients[0, 1] - diagonal.matching_pursuit(a, b, 2)[1]))
    return {
        "random_choice_mismatches": count((found.chosen != order)[before]),
        "random_choice_mismatches_normalised": count((found.chosen != other)[before]),
        "random_coefficient_distance_max": largest(distance, diagonal.REACHED * 1e-3, where=found.reached),
        "random_sequence_share": fraction((found.chosen == order).all(axis=1)),
        "random_reached_share": fraction(found.reached[:, -1]),
        "sign_change_distance": Measurement(apart, float(turned.change.max()) + 1e-6),
        "random_pursuit": found.coefficients[:, -1].ravel(),
        "random_omp": peers[:, -1].ravel(),
    }


def all_weights(context: Context, deltas: list[float], starts: int, steps: int, step_size: float) -> Found:
    """Distances from the solution of minimal l1 norm of descent of all weights, from small starts and a large one, the last."""
    l1 = diagonal.smallest_l1(X, B)
    ends, change = diagonal.small_starts(context.rng("starts"), deltas, starts, steps, step_size)
    distance, error = np.linalg.norm(ends - l1, axis=2), 2 * change + ROUNDING
    smallest_start = int(np.argmin(deltas))
    return {
        "descent_l1_distance_max": largest(distance[:, smallest_start], error[:, smallest_start]),
        "descent_l1_distance_large_min": smallest(distance[:, -1], error[:, -1]),
        "descent_l1_rate": log_rate(np.array(deltas[:-1]), distance[:, :-1], error[:, :-1]),
        "descent_deltas": np.array(deltas[:-1]),
        "descent_l1_distances": distance[:, :-1],
    }


def neurons(context: Context, runs: int, steps: int) -> Found:
    """Lemma 21 over steps, signs and starts; the wrong sign, and a step beyond what any start admits."""
    c, delta = lemma_21.draws(context.rng("neurons"), runs)
    ends = [lemma_21.run(c, rate, delta, steps) for rate in lemma_21.RATES]
    long, wrong = (lemma_21.run(c, rate, delta, steps, sign) for rate, sign in ((1.2, 1.0), (0.25, -1.0)))
    numbers: dict[str, Measurement] = {
        "lemma21_product_error_max": largest(np.concatenate([end.error for end in ends]), lemma_21.EPSILON),
        "lemma21_product_error_long_step_min": smallest(long.error, lemma_21.EPSILON),
        "lemma21_product_error_wrong_sign_min": smallest(wrong.error, lemma_21.EPSILON),
    }
    for name in ("unequal", "overshot", "fell", "loss_rose"):
        numbers[f"lemma21_{name}"] = count(np.concatenate([getattr(end, name) for end in ends]))
    return numbers | {"lemma21_overshot_long_step": count(long.overshot), "lemma21_loss_rose_long_step": count(long.loss_rose)}


if __name__ == "__main__":
    main(Parameters, cell)

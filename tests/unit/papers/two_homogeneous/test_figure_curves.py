"""What Figures 1, 3 and 4 draw."""

import numpy as np
import pytest
import torch

from flowcheck.papers.two_homogeneous.figure_curves import ANGLES, displayed, quartiles, seen_from
from flowcheck.papers.two_homogeneous.figure_runs import Recorded
from flowcheck.papers.two_homogeneous.toy_problem import correlations, labelled

THETA = torch.linspace(-3.1, 3.1, 40, dtype=torch.float64)
NCF = correlations(labelled(torch.stack([torch.cos(THETA), torch.sin(THETA)], dim=1)), np.arange(40))
RNG = np.random.default_rng(1)
RUNS = Recorded(
    iterations=np.array([0, 1, 5]),
    loss=RNG.uniform(1, 2, (4, 3)),
    distance=RNG.uniform(0, 1, (4, 3)),
    fitted_distance=RNG.uniform(0, 1, (4, 3)),
    angles=RNG.uniform(-3, 3, (4, 3, 20)),
    phase_angles=np.zeros((4, 20)),
    phase_end=np.zeros(4, dtype=int),
)


def test_the_displayed_run_is_drawn_over_the_ncf_that_it_climbs():
    drawn = displayed({"origin": RUNS, "saddle": RUNS}, NCF, 2, beside=3)
    assert np.array_equal(drawn["origin_losses"], RUNS.loss[:3])
    assert np.array_equal(drawn["saddle_distances"], RUNS.distance[:3])
    assert np.array_equal(drawn["saddle_angles"], RUNS.angles[2])
    assert np.array_equal(drawn["origin_ncf"], NCF.labels.value(ANGLES))
    assert np.array_equal(drawn["saddle_ncf"], NCF.residual.value(ANGLES))
    assert drawn["origin_maxima_value"] == pytest.approx(NCF.labels.value(NCF.labels.critical.maxima))
    assert drawn["saddle_flat"].shape == (1, 2)


@pytest.mark.parametrize(("start", "first"), [("origin", 0), ("saddle", 10)])
def test_quartiles_are_over_the_runs_that_are_asked(start, first):
    rows = np.array([0, 1, 3])
    found = quartiles(start, RUNS, [NCF] * 4, rows)
    assert found["loss_ratio"][:, 0].tolist() == [1.0, 1.0, 1.0]
    assert found["distance"][1] == pytest.approx(np.median(RUNS.distance[rows], axis=0))
    gap = np.median(seen_from(start, NCF).distance_to_maximum(RUNS.angles[rows, 2, first:]), axis=1)
    assert found["gap"][:, 2] == pytest.approx(np.quantile(gap, [0.25, 0.5, 0.75]))

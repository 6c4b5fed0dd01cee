"""What is drawn for Section 5.1."""

import numpy as np
import pytest
import torch

from flowcheck.papers.deep_homogeneous.alignment_cases import ENDING, LOSSES, NETWORKS, draw


def drawn(name, seeds=4):
    return draw(name, np.random.default_rng(5), seeds=seeds, samples=6, noise=0.5, device=torch.device("cpu"))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_seed_has_both_losses_from_one_start(name):
    network, x, cases = drawn(name)
    assert x.shape == (6, network.inputs)
    assert cases.loss.tolist() == [0] * 4 + [1] * 4
    torch.testing.assert_close(cases.starts[:4], cases.starts[4:])
    torch.testing.assert_close(cases.starts.norm(dim=-1), torch.ones(8, dtype=torch.float64))
    torch.testing.assert_close(cases.y[4:], cases.y[:4].sign())
    for loss in (0, 1):  # both have z = y
        torch.testing.assert_close(cases.z[cases.loss == loss], LOSSES[loss].correlation_vector(cases.y[cases.loss == loss]))
        torch.testing.assert_close(cases.z, cases.y)


@pytest.mark.parametrize("name", ENDING)
def test_flows_that_do_not_grow_have_outputs_that_are_positive_and_labels_that_are_not(name):
    network, x, cases = drawn(name)
    assert (cases.y < 0).all()
    assert (network.forward(cases.starts, x) >= 0).all()

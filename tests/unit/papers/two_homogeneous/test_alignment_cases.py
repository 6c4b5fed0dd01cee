"""What is drawn near the origin."""

import numpy as np
import pytest
import torch

from flowcheck.papers.two_homogeneous.alignment_cases import HIGHER, LOSSES, NETWORKS, UNITS, draw


def drawn(name, label_scale=1.0):
    size = {"seeds": 4, "samples": 6, "noise": 0.5, "label_scale": label_scale, "device": torch.device("cpu")}
    return draw(name, np.random.default_rng(5), **size)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_seed_has_both_losses_from_one_start(name):
    network, x, cases = drawn(name)
    assert x.shape[1] == network.inputs
    assert cases.loss.tolist() == [0] * 4 + [1] * 4
    torch.testing.assert_close(cases.starts[:4], cases.starts[4:])
    torch.testing.assert_close(cases.y[4:], cases.y[:4].sign())
    for loss in (0, 1):
        own = cases.loss == loss
        torch.testing.assert_close(cases.z[own], LOSSES[loss].correlation_vector(cases.y[own]))
    torch.testing.assert_close(drawn(name, 2.0).cases.y[:4], 2 * cases.y[:4])


@pytest.mark.parametrize("name", ["L2", "D2"])
def test_networks_with_kinks_have_orthonormal_inputs(name):
    x = drawn(name).x
    torch.testing.assert_close(x @ x.mT, torch.eye(3, dtype=torch.float64))


def test_the_flow_to_the_origin_has_outputs_that_are_negative_and_labels_that_are_not():
    network, x, cases = drawn("collapse")
    assert (cases.y > 0).all()
    assert (network.forward(cases.starts, x) <= 0).all()


def test_units_are_the_blocks_of_their_networks():
    for name, unit in UNITS.items():
        assert [block.stop - block.start for block in NETWORKS[name].blocks] == [unit.size] * len(NETWORKS[name].blocks)
    assert [network.degree for network in HIGHER.values()] == [2, 3, 4]

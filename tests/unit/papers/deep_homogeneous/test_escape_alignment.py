"""Alignment at the escape."""

import numpy as np
import torch

from flowcheck.data.synthetic import gaussian, sphere_inputs, unit_vectors
from flowcheck.networks.zoo import power_net
from flowcheck.papers.deep_homogeneous.escape_alignment import misalignment


def test_alignment_improves_with_the_scale_and_a_flow_that_is_cut_short_says_nothing():
    rng = np.random.default_rng(0)
    network = power_net(2, 3, 3.0)
    x = sphere_inputs(rng, 8, 3)
    y, starts = gaussian(rng, 8).abs()[None], unit_vectors(rng, 1, network.size)
    found = misalignment(network, x, y, starts, [1e-1, 1e-4], arc=1e9, rtol=(1e-8, 4e-8))
    assert found.shape == (2, 1, 2)
    assert (found[..., 1] < 0.1 * found[..., 0]).all()
    assert np.allclose(found[0], found[1], rtol=1e-3)
    assert np.isnan(misalignment(network, x, torch.as_tensor(y), starts, [1e-4], arc=1e-3, rtol=(1e-8,))).all()

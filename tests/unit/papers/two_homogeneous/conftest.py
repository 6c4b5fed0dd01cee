"""Shared by the tests of this paper's room."""

import numpy as np
import pytest
import torch

from flowcheck.data import synthetic
from flowcheck.papers.two_homogeneous.neuron_points import neuron_points


@pytest.fixture
def rng():
    """A stream of a fixed seed."""
    torch.set_num_threads(1)
    return np.random.default_rng(12)


@pytest.fixture(scope="session")
def neurons():
    """KKT points of a neuron on one draw of the data, off kinks and on them."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(12)
    return neuron_points(synthetic.sphere_inputs(rng, 6, 3), synthetic.gaussian(rng, 6), rng, 10)

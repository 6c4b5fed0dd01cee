"""What every statement presupposes."""

import pytest
import torch

from flowcheck.errors import HypothesisError
from flowcheck.networks.zoo import power_net
from flowcheck.papers.homogeneous.hypotheses import ROUNDING, Presupposed, measure, worst
from flowcheck.pipeline.evidence import Measurement


def test_the_worst_of_several_problems_is_measured_and_a_wrong_degree_is_refused():
    network, x, z = power_net(2, 3, 3.0), torch.eye(3, dtype=torch.float64), torch.tensor([[1.0, 2.0, 3.0]] * 2).double()
    found = measure([Presupposed(network, x, z)], [0.1, 0.01])
    assert found["scale_min"].value == 0.01
    assert found["degree_defect"].value < ROUNDING
    assert 0.1 < found["signal"].value <= 1
    assert found["signal"].n == 2
    with pytest.raises(HypothesisError, match="not homogeneous of degree 4"):
        measure([Presupposed(network, x, z, degree=4.0)])


def test_cells_are_merged_where_each_number_is_worst():
    first = {"scale_min": Measurement.exact(0.1), "degree_defect": Measurement(2e-16, 1e-13, n=4)}
    second = {"scale_min": Measurement.exact(0.2), "degree_defect": Measurement(5e-16, 3e-13, n=2)}
    first["signal"], second["signal"] = Measurement(0.3, 1e-13, n=4), Measurement(0.7, 1e-13, n=2)
    assert worst([first, second]) == {
        "scale_min": Measurement.exact(0.1),
        "degree_defect": Measurement(5e-16, 3e-13, n=6),
        "signal": Measurement(0.3, 1e-13, n=6),
    }

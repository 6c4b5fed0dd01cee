"""How an NCF flow ends, told from closed forms: one weight x w^L grows or vanishes, two opposite squared-ReLU samples rest."""

import math

import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.ending import Ending, Ends
from flowcheck.flows.flow import gradient_flow
from flowcheck.networks.zoo import power_net

ONE = torch.ones(1, 1, dtype=torch.float64)
ENDS = Ends(settled=1e-7, rest=1e-8, vanished=-12.0, escaped=8.0)


def told(network, x, z, start, ends=ENDS):
    path = gradient_flow(Correlation(network, x, z), start, until=ends.events(z.norm()[None].expand(len(start))), rtol=1e-9)
    gradient = network.pull(path.direction, x, z)
    along = (gradient * path.direction).sum(dim=-1, keepdim=True)
    value = (network.forward(path.direction, x) * z).sum(dim=-1)
    sizes = gradient.norm(dim=-1), (gradient - along * path.direction).norm(dim=-1)
    return path, [Ending(code) for code in ends.tell(value, *sizes, path.log_norm(), z.norm().expand(len(start))).tolist()]


@pytest.mark.parametrize(
    ("z", "ending", "log_norm"), [(1.0, Ending.GROWS, 8.0), (-1.0, Ending.VANISHES, -12.0)], ids=["grows", "vanishes"]
)
def test_a_quartic_of_one_weight_ends_by_the_sign_of_its_label(z, ending, log_norm):
    path, found = told(power_net(1, 1, 4.0, slope=1.0), ONE, z * ONE[0], ONE)
    assert found == [ending]
    assert path.log_norm().item() == pytest.approx(log_norm, abs=1e-6)


def test_a_flow_rests_where_the_gradient_dies():
    """max(w, 0)^2 on x = 1 with z = -1 in the plane: w_1 falls to 0 while w_2 stays."""
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    start = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    path, found = told(power_net(1, 2, 2.0), x, -ONE[0], start)
    assert found == [Ending.RESTS]
    assert path.weights()[0, 1].item() == pytest.approx(0.8, abs=1e-9)


def test_a_flow_that_was_not_followed_far_enough_is_open():
    settled = torch.zeros(1, dtype=torch.float64)
    value, length, far = ONE[0], 4 * ONE[0], torch.tensor([-5.0], dtype=torch.float64)
    assert ENDS.tell(value, length, settled + 1e-4, far).item() == Ending.OPEN  # has not settled
    assert ENDS.tell(-value, length, settled, far).item() == Ending.OPEN  # has fallen by less than half of what ends a flow
    assert ENDS.tell(-value, length, settled, 2 * far).item() == Ending.VANISHES
    assert ENDS.tell(1e-7 * value, length, settled, far).item() == Ending.OPEN  # neither value nor rest


def test_a_sine_is_measured_by_the_gradient_and_a_fraction_by_the_size():
    """Near the end the gradient of x w^4 has length 4: a fraction of |z| = 1 is reached later than the same sine."""
    network, x = power_net(1, 2, 4.0, slope=1.0), torch.eye(2, dtype=torch.float64)
    z, start = torch.tensor([1.0, 0.5], dtype=torch.float64), torch.tensor([[0.9, 0.6]], dtype=torch.float64)
    tangential = {}
    for sine in (True, False):
        path, found = told(network, x, z, start, Ends(1e-3, 1e-8, -12.0, decided=1e-2, sine=sine))
        assert found == [Ending.GROWS]
        gradient = network.pull(path.direction, x, z)
        radial = (gradient * path.direction).sum(dim=-1, keepdim=True) * path.direction
        tangential[sine] = float((gradient - radial).norm()), float(gradient.norm())
    assert tangential[True][0] == pytest.approx(1e-3 * tangential[True][1], rel=1e-6)
    assert tangential[False][0] == pytest.approx(1e-3 * float(z.norm()), rel=1e-6)


def test_growth_beyond_what_is_asked_ends_a_flow_in_any_case():
    path, _ = told(power_net(1, 1, 2.0, slope=1.0), ONE, ONE[0], ONE, Ends(-1.0, -1.0, -math.inf, grown=3.0))
    assert path.log_norm().item() == pytest.approx(3.0, abs=1e-9)

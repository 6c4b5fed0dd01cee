"""Gradient flow in rescaled time against closed forms, against plain time, and against itself at other scales."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from flowcheck import flow, networks
from flowcheck.losses import HALF_SUM, LOGISTIC

torch.set_num_threads(1)


def data(n=12, d=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True), torch.randn(n, generator=g, dtype=torch.float64)


def directions(size, count, seed=1):
    w = torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return w / w.norm(dim=1, keepdim=True)


SMOOTH = [
    networks.power_net(3, 3, 2.0, (1.0, 1.0, -1.0), slope=1.0),
    networks.deep_linear([4, 3], 3),
    networks.power_net(2, 3, 4.0, (1.0, -1.0)),
    networks.squared_relu((4, 4), 3),
]


@pytest.mark.parametrize("loss", [HALF_SUM, LOGISTIC], ids=lambda loss: loss.kind)
@pytest.mark.parametrize("network", SMOOTH, ids=lambda network: network.name)
def test_loss_flow_agrees_with_scipy_in_plain_time(network, loss):
    x, y = data()
    delta, start = 0.3, directions(network.size, 2)
    path = flow.loss_flow(network, x, y, loss, start, delta, rtol=1e-11, length=0.7)

    def velocity(_, w):
        w = torch.from_numpy(w)[None]
        return network.forward_and_pull(w, x, lambda h: loss.residual(h, y))[1][0].numpy()

    for row in range(2):
        t = float(path.plain_time()[row])
        solved = solve_ivp(velocity, (0, t), (delta * start[row]).numpy(), method="DOP853", rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(path.weights()[row].numpy(), solved.y[:, -1], rtol=0, atol=1e-8)

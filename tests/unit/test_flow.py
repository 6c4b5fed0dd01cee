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


def test_inputs_and_labels_of_its_own_give_each_trajectory_the_flow_it_has_alone():
    network = networks.squared_relu((4, 4), 3)
    sets = [data(seed=seed) for seed in range(3)]
    x, y = torch.stack([x for x, _ in sets]), torch.stack([y.abs() for _, y in sets])
    start = directions(network.size, 3)
    together = flow.loss_flow(network, x, y, HALF_SUM, start, 0.1, until=[flow.loss_ratio_below(0.9)])
    for row in range(3):
        alone = flow.loss_flow(network, x[row], y[row], HALF_SUM, start[row : row + 1], 0.1, until=[flow.loss_ratio_below(0.9)])
        np.testing.assert_allclose(together.direction[row], alone.direction[0], atol=1e-6)
        np.testing.assert_allclose(together.time[row], alone.time[0], rtol=1e-6)

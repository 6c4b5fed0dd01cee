"""Tubes around flows that are known in closed form or by an integrator, and what is refused."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from flowcheck.curvature import certificate
from flowcheck.curvature.certificate import Pieces, certify, doubling
from flowcheck.errors import HypothesisError

MATRIX = torch.tensor([[2.0, 0.3], [0.3, -0.5]], dtype=torch.float64)
START = torch.tensor([1.0, 0.2], dtype=torch.float64)


def quadratic(w):
    return w @ MATRIX @ w / 2


def double_well(w):
    return (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2 + w[0] * w[1] ** 2 / 2


def steep_well(w, reach):
    """Of the double well: 6 |w_0| for the first coordinate three times, one for each of three pairs with the second twice."""
    return 6 * (float(w[0].abs()) + reach) + 3


def flow_of_quadratic(times, start=START):
    values, vectors = torch.linalg.eigh(MATRIX)
    return (torch.exp(-torch.as_tensor(times)[:, None] * values) * (vectors.T @ start)) @ vectors.T


def flow_of(loss, start, times):
    slope = torch.func.grad(loss)
    rates = lambda _, w: -slope(torch.as_tensor(w)).numpy()  # noqa: E731
    found = solve_ivp(rates, (0, times[-1]), start, "Radau", times, rtol=1e-11, atol=1e-13)
    return found.y.T


@pytest.mark.parametrize("corrections", [0, 1, 2])
def test_the_tube_of_a_quadratic_holds_its_flow(corrections):
    found = certify(quadratic, START, 0.05, 60, corrections=corrections, third=lambda w, reach: 0.0)
    away = torch.linalg.norm(found.path - flow_of_quadratic(found.times), dim=1).numpy()
    assert (away <= found.radius + 1e-14).all()
    assert away[1] >= 0.5 * found.radius[1]


@pytest.mark.parametrize("third", [None, steep_well], ids=["sampled", "guaranteed"])
@pytest.mark.parametrize("corrections", [1, 2])
def test_bounds_of_the_deviation_enclose_it_on_a_double_well(third, corrections):
    start = np.array([0.05, 0.6])
    found = certify(double_well, start, 0.02, 200, corrections=corrections, third=third)
    far = np.linalg.norm(found.iterates.numpy() - flow_of(double_well, start, found.times), axis=1)
    assert (found.lower <= far + 1e-11).all()
    assert (far <= found.upper + 1e-11).all()
    assert (found.upper[1:] <= 2 * far[1:]).all()
    assert found.kind == ("sampled" if third is None else "guaranteed")


def test_the_first_correction_is_the_linearised_deviation():
    """E' = -H e - (eta / 2) H grad f has, for a quadratic, the solution -(eta / 2) t H grad f(theta(t))."""
    eta = 1e-3
    found = certify(quadratic, START, eta, 1000, corrections=1)
    flow = flow_of_quadratic(found.times)
    expected = -eta / 2 * torch.as_tensor(found.times)[:, None] * (flow @ MATRIX @ MATRIX)
    torch.testing.assert_close(found.iterates - found.path, expected, rtol=0, atol=5e-3 * float(expected.abs().max()))


def test_each_correction_gains_an_order_in_the_step_size():
    ends = {}
    for corrections in (0, 1, 2):
        runs = [certify(double_well, [0.4, 0.6], eta, round(2 / eta), corrections=corrections) for eta in (0.04, 0.02)]
        radii = [run.radius[-1] for run in runs]
        ends[corrections] = np.log2(radii[0] / radii[1])
    assert ends[0] == pytest.approx(1, abs=0.15)
    assert ends[1] == pytest.approx(2, abs=0.25)
    assert ends[2] == pytest.approx(3, abs=0.35)


def test_a_tube_without_curvature_or_with_half_of_the_defect_loses_the_flow():
    start = torch.tensor([0.0, 1.0], dtype=torch.float64)
    found = certify(quadratic, start, 0.05, 60, corrections=0, third=lambda w, reach: 0.0)
    away = torch.linalg.norm(found.iterates - flow_of_quadratic(found.times, start), dim=1).numpy()[-1]
    part = found.times[1] / certificate.PARTS
    times = part * np.arange(len(found.growth) + 1)
    assert away <= found.radius[-1]
    assert away > certificate.deviation_bound(times, 0 * found.growth, found.defect)[-1]
    assert away > certificate.deviation_bound(times, found.growth, found.defect / 2)[-1]


def test_pieces_pass_through_their_nodes_with_the_slopes_of_the_flow():
    nodes = flow_of_quadratic(np.linspace(0, 1, 6))
    pieces = Pieces(quadratic, nodes, 0.2)
    for share, nodes_there in ((0.0, nodes[:-1]), (1.0, nodes[1:])):
        state, velocity = pieces.at(share)
        torch.testing.assert_close(state, nodes_there)
        torch.testing.assert_close(velocity, -nodes_there @ MATRIX)
        torch.testing.assert_close(pieces.defect(share), torch.zeros_like(state), rtol=0, atol=1e-14)
    ahead, behind = (pieces.at(0.5 + h)[0] for h in (1e-4, -1e-4))
    torch.testing.assert_close((ahead - behind) / (2e-4 * 0.2), pieces.at(0.5)[1], rtol=1e-6, atol=1e-8)
    first, last = pieces.accelerations
    torch.testing.assert_close((pieces.at(1.0)[1] - pieces.at(0.0)[1]) / 0.2, (first + last) / 2)


def test_a_tube_that_cannot_be_closed_is_infinite_and_not_wrong():
    found = certify(double_well, [0.05, 0.6], 0.02, 100, third=lambda w, reach: 1e4)
    assert np.isinf(found.radius[-1])
    assert found.radius[0] == 0
    assert len(found.growth) == certificate.PARTS * (np.isfinite(found.radius).sum() - 1)


def test_doubling_tells_the_deviation_to_first_order():
    times, gap = doubling(quadratic, START, 1e-3, 1001)
    found = certify(quadratic, START, 1e-3, 1000)
    far = torch.linalg.norm(found.iterates - flow_of_quadratic(found.times), dim=1).numpy()[::2]
    assert times == pytest.approx(found.times[::2])
    assert gap[1:] == pytest.approx(far[1:], rel=1e-2)


def test_a_jump_of_the_gradient_is_found_and_measured():
    """F = w_0^2 / 2 + 0.3 |w_1| from (1, 0.05): the second coordinate crosses 0, where the gradient jumps by 0.6."""
    with pytest.raises(HypothesisError, match="gradient jumps between iterates") as caught:
        certify(lambda w: w[0] ** 2 / 2 + 0.3 * w[1].abs(), [1.0, 0.05], 0.01, 40)
    assert caught.value.metric == "gradient_jump"
    assert caught.value.measured == pytest.approx(0.6, rel=1e-3)


def test_a_strongly_curved_smooth_loss_is_not_taken_for_one_with_a_jump():
    assert np.isfinite(certify(lambda w: torch.cosh(3 * w).sum() / 9, [1.0, -0.5], 0.02, 50).radius).all()


@pytest.mark.parametrize(
    ("loss", "start", "step_size", "said"),
    [
        (quadratic, [1.0, float("nan")], 0.1, "start holds numbers that are not finite"),
        (quadratic, [[1.0, 0.0]], 0.1, "start must be one vector"),
        (lambda w: w, [1.0, 0.0], 0.1, "loss must give one number"),
        (lambda w: (w / 0).sum(), [1.0, 1.0], 0.1, "loss is inf at the start"),
        (quadratic, [1.0, 0.0], -0.1, "step_size must be"),
        (quadratic, [1.0, 0.0], 1e200, "leaves the finite numbers at step"),
        (lambda w: (w**2).sum(), [1.0], 2.0, "a step_size of 2 diverges: the loss grows"),
    ],
)
def test_what_is_refused_and_why(loss, start, step_size, said):
    with pytest.raises(ValueError, match=said):
        certify(loss, start, step_size, 20)


def test_a_loss_that_torch_cannot_differentiate_twice_is_refused():
    class Once(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(w):
            return w.square()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, slope):
            raise RuntimeError("no derivative is known")

    with pytest.raises(ValueError, match="loss is not twice differentiable by torch"):
        certify(lambda w: Once.apply(w).sum(), [1.0, 2.0], 0.1, 5)

"""The mathematics works on the device of its arguments.

A tensor that a function makes without saying where lands on the default device. With ``meta`` as the default every such tensor is
one that holds nothing and refuses to be mixed with others: code that passes here runs on a GPU too. Where there is one, the same
calls run on it and must agree with the CPU.
"""

import ast
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from flowcheck import geometry
from flowcheck.alignment.reference import reference
from flowcheck.alignment.shadow import Cases
from flowcheck.alignment.study import Study
from flowcheck.correlation.ascent import ascend, largest_jacobian, largest_output
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.descent.gradient_descent import gradient_descent
from flowcheck.flows import events
from flowcheck.flows.flow import Save, gradient_flow
from flowcheck.flows.stabilised import stabilised_flow
from flowcheck.integration.chebyshev import integrate_stabilised
from flowcheck.losses import HALF_SUM, LOGISTIC
from flowcheck.networks import hypotheses, zoo
from flowcheck.networks.problem import Objective
from flowcheck.networks.sums import Mixture, Separable


def problem(network, count=3, points=5):
    """Inputs, labels and unit starts of a fixed draw, as numpy arrays."""
    rng = np.random.Generator(np.random.PCG64(7))
    x = synthetic.sphere_inputs(rng, points, network.inputs)
    y = synthetic.gaussian(rng, points)
    return x, y, synthetic.unit_vectors(rng, count, network.size)


NETWORKS = {
    "squared ReLU": zoo.power_net(3, 3, 2.0),
    "leaky, trained": zoo.two_layer(3, 3, slope=0.1),
    "deep ReLU": zoo.deep_relu((3, 2), 3),
    "deep linear": zoo.deep_linear((2, 2), 3),
    "sum": Separable("sum", (zoo.power_net(1, 3, 3.0), zoo.power_net(2, 3, 3.0))),
    "mixture": Mixture("mixture", ((1.0, zoo.power_net(2, 3, 2.0)), (0.5, zoo.power_net(2, 3, 3.0))), 2),
}


def _bounds(network, x, y, w):
    return [network.forward(w, x), network.pull(w, x, y), geometry.angle(w, w.flip(0)), geometry.misalignment(w, w.flip(0))]


def _hypotheses(network, x, y, w):
    return [
        torch.tensor([hypotheses.degree_defect(network, x, network.degree), hypotheses.signal(network, x, y)], device=x.device)
    ]


def _correlation(network, x, y, w):
    ncf = Correlation(network, x, y)
    return [ncf.value(w), ncf.gradient(w), ncf.kkt_residual(w)]


def _ascent(network, x, y, w):
    return [ascend(Correlation(network, x, y), w, tolerance=1e-6).points]


def _largest(network, x, y, w):
    found = [largest_output(network, x, w), largest_jacobian(network, x, w)]
    return [torch.tensor(found, device=x.device)]


def _correlation_flow(network, x, y, w):
    path = gradient_flow(Correlation(network, x, y), w, length=0.5, until=[events.growth_reaches(2.0)], rtol=1e-6)
    return [path.direction, path.log_growth]


def _recorded(network, x, y, w):
    at = torch.linspace(0.0, 0.4, 4, dtype=x.dtype, device=x.device)
    path = gradient_flow(Objective(network, x, y, HALF_SUM), w, 1e-2, length=0.5, rtol=1e-6, save=Save(at=at))
    return [path.recorded.direction, path.recorded.log_growth]


def _loss_flow(network, x, y, w):
    ends = [events.loss_ratio_below(0.9), events.norm_reaches(1.0), events.log_norm_below(-40.0)]
    path = gradient_flow(Objective(network, x, torch.sign(y), LOGISTIC), w, 0.1, length=2.0, until=ends, rtol=1e-6)
    return [path.direction, path.time]


def _stabilised(network, x, y, w):
    return [stabilised_flow(Objective(network, x, y, HALF_SUM), 0.3 * w, 1.0, rtol=1e-4).state]


def _descent(network, x, y, w):
    path = gradient_descent(Objective(network, x, y, HALF_SUM), 0.3 * w, step_size=0.01, steps=20, compile=False)
    return [path.last]


def _reference(network, x, y, w):
    ends = reference(network, x, y.expand(len(w), -1), w, smallest_epsilon=0.1)
    return [ends.limit, ends.value]


def _study(network, x, y, w):
    cases = Cases.of((HALF_SUM, LOGISTIC), torch.stack([y.expand(len(w), -1), y.sign().expand(len(w), -1)]), w)
    study = Study.begin(network, x, (HALF_SUM, LOGISTIC), cases, (0.3, 0.1), 1e-4)
    found = study.compare(torch.full_like(study.times, 0.1), points=2)
    return [found.fine.deviation(), found.fine.excess(), found.coarse.misalignment(study.ends.limit), study.escapes([0.1]).time]


CALLS = {
    "network": (_bounds, NETWORKS),
    "hypotheses": (_hypotheses, NETWORKS),
    "correlation": (_correlation, NETWORKS),
    "ascent": (_ascent, ["squared ReLU", "deep linear"]),
    "largest": (_largest, ["squared ReLU", "deep linear"]),
    "correlation flow": (_correlation_flow, ["squared ReLU", "leaky, trained", "deep ReLU", "deep linear", "sum"]),
    "recorded loss flow": (_recorded, ["squared ReLU", "leaky, trained", "deep linear"]),
    "loss flow": (_loss_flow, ["squared ReLU", "leaky, trained", "deep linear", "sum"]),
    "stabilised flow": (_stabilised, ["squared ReLU", "deep linear"]),
    "reference": (_reference, ["squared ReLU"]),
    "study": (_study, ["squared ReLU"]),
    "descent": (_descent, NETWORKS),
}
TABLE = [pytest.param(call, NETWORKS[name], id=f"{what}-{name}") for what, (call, names) in CALLS.items() for name in names]


@pytest.fixture
def no_default_device():
    """Tensors that are made without saying where hold nothing."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.mark.parametrize(("call", "network"), TABLE)
def test_no_tensor_is_made_without_saying_where(call, network, no_default_device):
    for found in call(network, *problem(network)):
        assert found.device.type == "cpu"
        assert bool(torch.isfinite(found).all())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
@pytest.mark.parametrize(("call", "network"), TABLE)
def test_the_gpu_agrees_with_the_cpu(call, network):
    here = call(network, *problem(network))
    there = call(network, *(part.cuda() for part in problem(network)))
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(a, b.cpu(), rtol=1e-6, atol=1e-8)


def test_the_stabilised_integrator_counts_where_it_integrates(no_default_device):
    start = torch.ones(2, 1, dtype=torch.float64, device="cpu")
    found = integrate_stabilised(lambda y, index: -y, start, 1.0)
    for field in fields(found):
        assert getattr(found, field.name).device.type == "cpu"


def test_a_tensor_made_without_saying_where_is_noticed(no_default_device):
    with pytest.raises(RuntimeError, match="device"):
        torch.ones(3, dtype=torch.float64, device="cpu") + torch.arange(3)


FACTORIES = {"arange", "empty", "eye", "full", "linspace", "logspace", "ones", "rand", "randn", "tensor", "zeros"}
WINGS = ("networks", "data", "correlation", "descent", "integration", "flows", "alignment", "saddles", "geometry.py", "losses.py")
PACKAGE = Path(__file__).resolve().parents[2] / "src" / "flowcheck"


def factories_without_a_device(source):
    """Lines on which torch is told to make a tensor and not where. Indexing with such a tensor can go wrong without an error."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FACTORIES:
            torch_made = isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"
            if torch_made and not any(keyword.arg == "device" for keyword in node.keywords):
                yield node.lineno


def test_no_wing_makes_a_tensor_without_saying_where():
    files = [file for wing in WINGS for file in ([PACKAGE / wing] if wing.endswith(".py") else (PACKAGE / wing).glob("*.py"))]
    found = [f"{file.relative_to(PACKAGE)}:{line}" for file in files for line in factories_without_a_device(file.read_text())]
    assert not found, f"torch makes a tensor there without saying where: {', '.join(found)}"


def test_a_factory_without_a_device_is_seen():
    assert list(factories_without_a_device("a = torch.zeros(3)\nb = torch.zeros(3, device=a.device)\nc = np.zeros(3)")) == [1]

"""Every function of docs/library.md with what users give it: other types and layouts of the same numbers, and what is no number.

Run as a program, without the type checker of the tests, as users have none: prints how many cases there are and which of them
fail, as JSON. A case is a call, one of its arguments, and what is given for it. What is the same must give the same to the last
digit; all else must be refused by one sentence that names the argument, and no hypothesis must be said to fail.
"""

import dataclasses
import functools
import json
import math
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flowcheck import geometry, losses
from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.curvature.certificate import certify, doubling
from flowcheck.curvature.hessian_products import HessianProducts, require_twice_differentiable, second_derivative_defect
from flowcheck.curvature.lanczos import spectrum_ends
from flowcheck.curvature.module_loss import ModuleLoss
from flowcheck.data import mnist, mnist_files, synthetic
from flowcheck.descent.classifier import ClassifierDescent
from flowcheck.descent.gradient_descent import every, gradient_descent, log_spaced
from flowcheck.flows import events
from flowcheck.flows.flow import Method, Save, blow_up_time, gradient_flow
from flowcheck.flows.stabilised import stabilised_flow
from flowcheck.integration.adaptive import integrate
from flowcheck.integration.chebyshev import integrate_stabilised
from flowcheck.measures import statistics
from flowcheck.networks import activation, hypotheses, linear, zoo
from flowcheck.networks.problem import Objective
from flowcheck.networks.tied import TiedNetwork
from flowcheck.pursuit.candidates import Ascent
from flowcheck.pursuit.descent import Descent
from flowcheck.pursuit.pursue import Plan, pursue

DOUBLE = torch.float64
NAN, INF = math.nan, math.inf
NOT_FINITE = {"NaN": NAN, "infinity": INF, "minus infinity": -INF}
NO_NUMBERS = {"complex": 1.0 + 1.0j, "text": "1", "nothing": None, "NaN": NAN, "truth": True, "a dictionary": {}}


@dataclasses.dataclass(frozen=True)
class Kind:
    """What may be given for an argument: `same`, which changes nothing, and `refused`, by a sentence with the pattern `said`."""

    base: Any
    same: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    refused: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    said: str = ""

    def allowing(self, *names: str) -> "Kind":
        """Some of what is refused is not."""
        return dataclasses.replace(self, refused={name: given for name, given in self.refused.items() if name not in names})

    def refusing(self, **more: Any) -> "Kind":
        return dataclasses.replace(self, refused={**self.refused, **more})

    def saying(self, said: str) -> "Kind":
        return dataclasses.replace(self, said=said)

    def of_any_precision(self) -> "Kind":
        """The function computes in the precision that it is given, and passes on what is not finite."""
        kept = {name: given for name, given in self.same.items() if "precision" not in name}
        return dataclasses.replace(self, same=kept).allowing(*NOT_FINITE, "empty", "one dimension too many", "too wide")


def array(values: Any) -> Kind:
    """An array whose entries half precision holds."""
    base = torch.tensor(values, dtype=DOUBLE)
    plain = base.numpy()
    wide, frozen = torch.zeros(*base.shape[:-1], 2 * base.shape[-1], dtype=DOUBLE), plain.copy()
    wide[..., ::2] = base
    frozen.flags.writeable = False
    same: dict[str, Any] = {
        "a list": base.tolist(),
        "a tuple": tuple(base.tolist()),
        "numpy": plain.copy(),
        "numpy, single precision": plain.astype(np.float32),
        "numpy, Fortran order": np.asfortranarray(plain),
        "numpy, negative strides": np.flip(np.flip(plain).copy()),
        "numpy, other byte order": plain.astype(">f8"),
        "numpy, read only": frozen,
        "fractions": np.vectorize(Fraction, otypes=[object])(plain).tolist(),
        "a list of tensors": list(base),
        "single precision": base.float(),
        "half precision": base.half(),
        "with a graph": base.clone().requires_grad_(),
        "a parameter": torch.nn.Parameter(base.clone()),
        "not contiguous": wide[..., ::2],
    }
    if bool((base == base.round()).all()):
        same |= {"integers": base.long(), "bytes": base.to(torch.int8), "a list of integers": base.long().tolist()}
    refused: dict[str, Any] = {
        "complex": base.to(torch.complex128) + 1j,
        "complex, numpy": plain + 1j,
        "text": np.full(plain.shape, "a").tolist(),
        "nothing": None,
        "unequal rows": [[1.0, 2.0], [1.0]],
        "sparse": base.to_sparse(),
        "without data": base.to("meta"),
        "empty": base[:0],
        "a number": torch.tensor(1.0, dtype=DOUBLE),
        "one dimension too many": base[None, None],
        "a date": np.full(plain.shape, "2024-01-01", dtype="datetime64[D]"),
        "objects": np.full(plain.shape, None, dtype=object),
        "a set": {1.0, 2.0},
    }
    for name, value in NOT_FINITE.items():
        spoiled = base.clone()
        spoiled.view(-1)[-1] = value
        refused[name] = spoiled
    if base.ndim > 1:
        refused["too wide"] = torch.cat([base, base], dim=-1)
    return Kind(base, same, refused)


def number(base: float, *refused: float) -> Kind:
    """One number; `refused` are those that are not allowed, besides NaN."""
    same = {
        "numpy": np.float64(base),
        "a tensor": torch.tensor(base, dtype=DOUBLE),
        "an array": np.array(base),
        "a fraction": Fraction(base),
    }
    if base == round(base):
        same |= {"whole": int(base), "numpy, whole": np.int64(base)}
    return Kind(base, same, NO_NUMBERS | {f"{value:g}": value for value in refused})


def for_each(base: float, *refused: float, runs: int = 2) -> Kind:
    """One number, or one for each run."""
    one = number(base, *refused)
    row = torch.full((runs,), base, dtype=DOUBLE)
    same = {"a list": row.tolist(), "a row": row, "a row of numpy": row.numpy(), "a row, single precision": row.float()}
    wrong = {"for more": [base] * (runs + 1), "for none": [], "a column": row[:, None]}
    wrong |= {f"{value:g} for one": [base] * (runs - 1) + [value] for value in (*refused, NAN)}
    return Kind(base, one.same | same, one.refused | wrong)


def whole(base: int, *refused: float) -> Kind:
    """A whole number."""
    same = {"numpy": np.int64(base), "a tensor": torch.tensor(base), "written with a point": float(base)}
    return Kind(base, same, NO_NUMBERS | {"infinity": INF} | {f"{value:g}": value for value in (base + 0.5, *refused)})


def wholes(base: list[int]) -> Kind:
    """A list of widths."""
    same = {
        "a tuple": tuple(base),
        "numpy": np.array(base),
        "a tensor": torch.tensor(base),
        "with points": [float(n) for n in base],
    }
    wrong = {"zero": [0] * len(base), "negative": [-1] * len(base), "not whole": [1.5] * len(base), "NaN": [NAN] * len(base)}
    return Kind(base, same, wrong | {"one number": 3, "text": "3", "nothing": None})


def one_of(base: Any, *refused: Any) -> Kind:
    return Kind(base, {}, {repr(given)[:40]: given for given in refused})


NET = zoo.power_net(units=1, inputs=2, power=3)
X, Y, W = [[1.0, 2.0], [0.5, -1.0], [2.0, 0.0]], [1.0, 2.0, -1.0], [[1.0, 0.5], [0.25, 1.0]]
FIT, NCF = Objective(NET, X, Y, losses.HALF_SUM), Correlation(NET, X, Y)
LAYERS = [np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[3.0, 4.0]])]
FRESH = "a fresh generator"


def flow(**given: Any) -> Any:
    """A short flow; what belongs to `Save` and `Method` is given beside the rest."""
    save = Save(at=given.pop("at", None))
    method = Method(given.pop("order", None), given.pop("locate_kinks", None), given.pop("max_steps", 1000))
    arguments = {"problem": FIT, "directions": W, "delta": 0.5, "length": 0.25, "save": save, "method": method} | given
    return gradient_flow(arguments.pop("problem"), arguments.pop("directions"), arguments.pop("delta"), **arguments)


def until(make: Callable[..., Any]) -> Callable[..., Any]:
    """A flow that the event ends, or its length."""
    return lambda **given: flow(until=[make(**given)], length=0.5)


def descend(**given: Any) -> Any:
    arguments = {"objective": FIT, "start": W, "step_size": 0.125, "steps": 4} | given
    return gradient_descent(arguments.pop("objective"), arguments.pop("start"), **arguments)


def classify(**given: Any) -> Any:
    """Two runs on two samples of two classes, a few iterations on."""
    network = TiedNetwork.fully_connected([2, 1, 2])
    fit = Objective(network, [[1.0, 0.5], [2.0, -1.0]], losses.one_hot([0, 1], 2), losses.cross_entropy(2, "mean"))
    arguments = {"objective": fit, "start": CLASSIFIERS, "step_size": 0.125} | given
    runs = ClassifierDescent(arguments.pop("objective"), arguments.pop("start"), **arguments)
    runs.advance(3)
    return runs.weights()


def solve(solver: Callable[..., Any], **given: Any) -> Any:
    """Y' = -y."""
    arguments = {"rhs": lambda y, index: -y, "start": W, "length": 0.25} | given
    return solver(arguments.pop("rhs"), arguments.pop("start"), arguments.pop("length"), **arguments)


def chase(**given: Any) -> Any:
    """Two iterations of a short pursuit, with leaky units."""
    plan = Plan(
        **{name: given.pop(name) for name in ("first_delta", "later_delta") if name in given},
        ascent=Ascent(**{"starts": 2, "iterations": 20} | given.pop("ascent", {})),
        inner=Descent(**{"step_size": 0.0625, "steps": 4, "looks": 1} | given.pop("descent", {})),
    )
    arguments = {"x": X, "y": Y, "depth": 2, "iterations": 2, "activation": activation.Activation(0.5, 1)} | given
    return pursue(arguments.pop("x"), arguments.pop("y"), plan=plan, **arguments)


def planned(part: str, name: str) -> Callable[..., Any]:
    """The same with another setting of a part of the plan."""
    return lambda **given: chase(**{part: {name: given[name]}})


def layer_flow(**given: Any) -> Any:
    arguments = {"weights": LAYERS, "gradient": lambda w: w - 1.0, "times": np.array([0.0, 0.125])} | given
    return linear.layer_flow(arguments.pop("weights"), arguments.pop("gradient"), arguments.pop("times"), **arguments)


def fresh(function: Callable[..., Any]) -> Callable[..., Any]:
    """With a generator of its own for each call."""
    return lambda rng, **given: function(rng=np.random.default_rng(5) if rng == FRESH else rng, **given)


def of(function: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
    """Some arguments have a value where no other is given."""
    return lambda **given: function(**fixed | given)


DATA_X = array(X).saying("x").allowing("one dimension too many")
DATA_Y = array(Y)
ROWS = array(W)
WEIGHTS = ROWS.allowing(*NOT_FINITE, "empty")  # what is evaluated at NaN is NaN
VALUES = array([1.0, 2.5, 4.0])
STARTS = ROWS.saying("start")
CLASSIFIERS = [[1.0, 0.5, 0.25, -0.5], [0.5, -1.0, 1.0, 0.5]]
NETWORK = one_of(NET, None, "power_net", zoo.power_net)
LOSS = one_of(losses.HALF_SUM, None, "square", losses.Loss)
RNG = Kind(FRESH, {}, {"a seed": 1, "nothing": None, "of torch": torch.Generator(), "old": np.random.RandomState(0)}, "rng")
LAYERS_OF = Kind(
    LAYERS,
    {"a tuple": tuple(LAYERS)},
    {"none": [], "a list": [[[1.0]]], "that do not fit": LAYERS[::-1], "vectors": [np.ones(2)], "nothing": None, "a number": 1.0},
    "weights",
)
AT = array([0.0, 0.125, 0.25]).allowing("empty", "nothing").refusing(negative=[-0.125], others=[[0.125]] * 3).saying("at")
ORDER, MAX_STEPS = one_of(5, 4, 6, "5", True, 5.5), whole(1000, 0, -1)
LENGTH = for_each(0.25, -1.0, -INF)
SIGNED, AFTER_ZERO, SHARE = (INF, -INF), (0.0, -1.0, INF), (0.0, 1.0, -1.0, 2.0, INF)
CONFIDENCE = {"confidence": number(0.5, *SHARE)}
OF_LOSS = {"outputs": array([[1.0, 2.0, -0.5]]).of_any_precision().refusing(too_few=[[1.0]]), "y": DATA_Y.of_any_precision()}
TARGET = array([1.0, 0.5]).refusing(zero=[0.0, 0.0], too_long=[1.0, 0.0, 0.0], for_others=[[1.0, 0.0]] * 3).saying("target")
HYPOTHESIS = {"network": NETWORK, "x": DATA_X.refusing(rows=[[[1.0, 2.0]]])}

POINT = {"w": array([1.0, 2.0, -0.5]), "along": array([0.5, 0.0, 1.0])}
LINE = torch.nn.Linear(2, 1, bias=False)


def cube(w: torch.Tensor) -> torch.Tensor:
    return (w**3).sum()


def tensors_only(base: list[list[float]]) -> Kind:
    """What a module is called with: tensors of any precision, and nothing else."""
    kind = array(base).allowing("too wide")
    others = {name: given for name, given in kind.same.items() if not isinstance(given, torch.Tensor)}
    same = {name: given for name, given in kind.same.items() if name not in others}
    return dataclasses.replace(kind, same=same, refused={**kind.refused, **others})


DIGITS = Path(tempfile.mkdtemp())
mnist_files.keep(mnist_files.surrogate(), DIGITS)

CASES: dict[str, tuple[Callable[..., Any], dict[str, Kind]]] = {
    "geometry.unit": (geometry.unit, {"u": ROWS.of_any_precision()}),
    "geometry.angle": (geometry.angle, {"u": ROWS.of_any_precision(), "v": ROWS.of_any_precision().refusing(other=[[1.0] * 3])}),
    "geometry.misalignment": (geometry.misalignment, {"u": ROWS.of_any_precision(), "v": ROWS.of_any_precision()}),
    "losses.Loss": (
        losses.Loss,
        {
            "kind": one_of("square", "squared", None, 1),
            "normalisation": one_of("half_sum", "half", None, 1),
            "scale": number(2.0, *AFTER_ZERO),
            "outputs_per_sample": whole(1, 0, -1),
        },
    ),
    "networks.zoo.power_net": (
        zoo.power_net,
        {
            "units": whole(2, 0, -1),
            "inputs": whole(2, 0, -1),
            "power": number(3.0, 0.5, -1.0, INF),
            "slope": number(0.5, INF),
            "signs": array([1.0, -1.0]).allowing("empty").refusing(too_many=[1.0, 1.0, 1.0]).saying("signs|fixed layer"),
        },
    ),
    "networks.zoo.two_layer": (zoo.two_layer, {"units": whole(2, 0, -1), "inputs": whole(2, 0, -1), "slope": number(0.5, INF)}),
    "networks.zoo.relu_two_trainable": (
        zoo.relu_two_trainable,
        {
            "widths": wholes([3, 2]).refusing(one=[2]),
            "inputs": whole(2, 0),
            "output": array([1.0, -1.0]).refusing(too_many=[1.0] * 3).saying("output|fixed layer"),
        },
    ),
    "networks.zoo.squared_relu": (zoo.squared_relu, {"widths": wholes([3, 2]).refusing(one=[2]), "inputs": whole(2, 0)}),
    "networks.zoo.deep_relu": (zoo.deep_relu, {"widths": wholes([3, 2]), "inputs": whole(2, 0)}),
    "networks.zoo.deep_linear": (zoo.deep_linear, {"widths": wholes([3]), "inputs": whole(2, 0), "outputs": whole(2, 0)}),
    "networks.activation.Activation": (
        activation.Activation,
        {"slope": number(0.5, INF), "power": number(2.0, 0.5, -1.0, INF)},
    ),
    "networks.activation.relu_power": (activation.relu_power, {"power": number(2.0, 0.5, -1.0, INF)}),
    "networks.linear.end_to_end": (linear.end_to_end, {"weights": LAYERS_OF}),
    "networks.linear.balancedness_defect": (linear.balancedness_defect, {"weights": LAYERS_OF}),
    "networks.linear.balanced_weights": (
        fresh(linear.balanced_weights),
        {"w_e": array([1.0, 2.0]).refusing(zero=[0.0, 0.0]), "widths": wholes([3]), "rng": RNG},
    ),
    "networks.linear.layer_flow": (
        layer_flow,
        {
            "weights": LAYERS_OF.refusing(not_finite=[np.array([[NAN]])], batches=[np.ones((2, 2, 2))]),
            "times": array([0.0, 0.125]).refusing(late=[0.1, 0.2], back=[0.0, 0.2, 0.1], twice=[0.0, 0.1, 0.1]),
            "rtol": number(2.0**-20, *AFTER_ZERO),
        },
    ),
    "data.synthetic.sphere_inputs": (fresh(synthetic.sphere_inputs), {"rng": RNG, "n": whole(3, -1), "d": whole(2, 0, -1)}),
    "data.synthetic.unit_vectors": (fresh(synthetic.unit_vectors), {"rng": RNG, "count": whole(3, -1), "size": whole(2, 0, -1)}),
    "data.synthetic.teacher_labels": (
        fresh(synthetic.teacher_labels),
        {"teacher": NETWORK, "x": array(X).allowing("empty"), "rng": RNG},
    ),
    "data.mnist.digits": (
        of(mnist.digits, folder=DIGITS, count=3),
        {
            "folder": Kind(DIGITS, {"text": str(DIGITS)}, {"a number": 3}, "folder"),
            "count": whole(3, 0, -1, 1798),
        },
    ),
    "networks.problem.Objective": (Objective, {"network": NETWORK, "x": DATA_X, "y": DATA_Y, "loss": LOSS}),
    "correlation.ncf.Correlation": (Correlation, {"network": NETWORK, "x": DATA_X, "z": DATA_Y}),
    "correlation.ascent.ascend": (
        of(ascend, correlation=NCF, starts=W),
        {
            "correlation": one_of(NCF, None, FIT, NET),
            "starts": STARTS.refusing(zero=[[0.0, 0.0], [1.0, 0.0]]),
            "tolerance": number(2.0**-30, -1.0, INF),
            "iterations": whole(100, -1),
        },
    ),
    "flows.flow.gradient_flow": (
        flow,
        {
            "problem": one_of(FIT, None, NET),
            "directions": STARTS.refusing(zero=[[0.0, 0.0], [1.0, 0.0]]),
            "delta": for_each(0.5, INF),
            "rtol": for_each(2.0**-20, *AFTER_ZERO, 1e-17),
            "length": LENGTH,
            "until": Kind([], {"a tuple": ()}, {"an event": events.norm_reaches(2.0), "text": ["norm"], "a number": 1.0}),
            "at": AT,
            "clock": one_of("arc", "Arc", None, 1),
            "order": ORDER,
            "max_steps": MAX_STEPS,
            "locate_kinks": one_of(False, "no", 2, True),  # that network has none
        },
    ),
    "flows.flow.blow_up_time": (
        of(blow_up_time, path=flow(problem=NCF), correlation=NCF),
        {"path": one_of(flow(problem=NCF), None, 1.0), "correlation": one_of(NCF, None, FIT)},
    ),
    "flows.events.loss_ratio_below": (until(events.loss_ratio_below), {"ratio": number(0.5, *SHARE)}),
    "flows.events.norm_reaches": (until(events.norm_reaches), {"value": number(2.0, *AFTER_ZERO)}),
    "flows.events.growth_reaches": (until(events.growth_reaches), {"value": number(2.0, *AFTER_ZERO)}),
    "flows.events.log_norm_above": (until(events.log_norm_above), {"value": number(1.0, *SIGNED)}),
    "flows.events.log_norm_below": (until(events.log_norm_below), {"value": number(-4.0, *SIGNED)}),
    "flows.events.angle_within": (
        until(of(events.angle_within, radians=0.25)),
        {"target": TARGET, "radians": number(0.25, *AFTER_ZERO)},
    ),
    "flows.events.tangential_below": (until(events.tangential_below), {"tolerance": number(0.5, *AFTER_ZERO)}),
    "flows.events.time_reaches": (until(events.time_reaches), {"value": number(0.25, -1.0, INF)}),
    "flows.stabilised.stabilised_flow": (
        of(stabilised_flow, objective=FIT, start=W, length=0.25),
        {"start": STARTS, "length": for_each(0.25, -1.0, INF), "rtol": number(2.0**-20, *AFTER_ZERO), "max_steps": MAX_STEPS},
    ),
    "integration.adaptive.integrate": (
        functools.partial(solve, integrate, atol=1e-9),
        {
            "start": STARTS.allowing("empty", "too wide"),
            "length": LENGTH,
            "rtol": number(2.0**-20, -1.0, INF),
            "atol": number(2.0**-20, *AFTER_ZERO).allowing("truth"),
            "order": ORDER,
            "record_at": AT.saying("record_at"),
            "max_steps": MAX_STEPS,
            "max_kinks": MAX_STEPS,
        },
    ),
    "integration.chebyshev.integrate_stabilised": (
        functools.partial(solve, integrate_stabilised),
        {
            "start": STARTS.allowing("empty", "too wide"),
            "length": for_each(0.25, -1.0, INF),
            "rtol": number(2.0**-20, *AFTER_ZERO),
            "max_steps": MAX_STEPS,
        },
    ),
    "descent.gradient_descent.gradient_descent": (
        descend,
        {
            "objective": one_of(FIT, None, NCF),
            "start": STARTS,
            "step_size": for_each(0.125, *AFTER_ZERO),
            "steps": whole(4, 0, -1),
            "record": Kind(
                [0, 2, 4],
                {
                    "numpy": np.array([0, 2, 4]),
                    "a tensor": torch.tensor([0, 2, 4]),
                    "with points": [0.0, 2.0, 4.0],
                    "a range": range(0, 5, 2),
                },
                {
                    "none": [],
                    "back": [0, 3, 2, 4],
                    "twice": [0, 2, 2, 4],
                    "late": [1, 4],
                    "beyond": [0, 5],
                    "half": [0, 1.5, 4],
                    "table": [[0, 4]],
                },
            ),
            "loss_ratios": Kind(
                [0.5], {"a tuple": (0.5,)}, {f"{share:g}": [share] for share in (*SHARE, NAN)} | {"a number": 0.5, "text": "0.5"}
            ),
        },
    ),
    "descent.gradient_descent, compiled": (
        of(descend, compile=True),
        {"start": STARTS, "step_size": for_each(0.125, *AFTER_ZERO)},
    ),
    "descent.classifier.ClassifierDescent": (
        classify,
        {
            "start": array(CLASSIFIERS).saying("start"),
            "step_size": for_each(0.125, *AFTER_ZERO),
            "precision": Kind("float64", {}, {"half": "float16", "nothing": None, "a type": torch.float32}),
        },
    ),
    "networks.tied.TiedNetwork": (
        TiedNetwork.fully_connected,
        {"widths": wholes([3, 2]), "above": number(1.0, INF), "below": number(0.5, INF)},
    ),
    "descent.gradient_descent.every": (every, {"steps": whole(10, 0, -1), "interval": whole(4, 0, -1)}),
    "descent.gradient_descent.log_spaced": (log_spaced, {"steps": whole(10, 0, -1), "points": whole(4, 1, 0, -1)}),
    "curvature.hessian_products.HessianProducts": (
        lambda w, v: HessianProducts(cube, w)(v),
        {"w": POINT["w"], "v": POINT["along"].refusing(longer=[1.0] * 4)},
    ),
    "curvature.hessian_products.second_derivative_defect": (of(second_derivative_defect, loss=cube), POINT),
    "curvature.hessian_products.require_twice_differentiable": (
        of(require_twice_differentiable, loss=cube),
        {**POINT, "tolerance": number(2.0**-8, *AFTER_ZERO)},
    ),
    "curvature.module_loss.ModuleLoss": (
        lambda x, y: ModuleLoss(LINE, torch.nn.functional.mse_loss, x, y)(torch.ones(2, dtype=DOUBLE)),
        {"x": tensors_only([[1.0, 2.0], [0.5, -1.0], [2.0, 0.0]]), "y": tensors_only([[1.0], [2.5], [-1.0]])},
    ),
    "curvature.certificate.certify": (
        of(certify, loss=cube, step_size=0.125, steps=4),
        {
            "start": array([1.0, 2.0, -0.5]),
            "step_size": number(0.125, *AFTER_ZERO),
            "steps": whole(4, 0, -1),
            "corrections": whole(1, -1),
        },
    ),
    "curvature.certificate.doubling": (
        of(doubling, loss=cube, step_size=0.125, steps=4),
        {"start": array([1.0, 2.0, -0.5]), "step_size": number(0.125, *AFTER_ZERO), "steps": whole(4, 1, 0, -1)},
    ),
    "curvature.lanczos.spectrum_ends": (
        of(spectrum_ends, multiply=lambda v: v * torch.arange(len(v)), start=[1.0, 0.5, -2.0]),
        {
            "start": array([1.0, 0.5, -2.0]).refusing(zero=[0.0, 0.0, 0.0]),
            "ends": Kind(["smallest"], {"a tuple": ("smallest",)}, {"others": ["least"], "text": "smallest", "nothing": None}),
            "rtol": number(2.0**-20, -1.0, INF),
            "atol": number(2.0**-20, -1.0, INF),
            "least_products": whole(1, 0, -1),
            "most_products": whole(1000, 0, -1, 1),
        },
    ),
    "pursuit.pursue.pursue": (
        chase,
        {
            "x": array(X).allowing("too wide").refusing(rows=[[1.0, 2.0]]).saying("x"),
            "y": array(Y).allowing("too wide").refusing(zero=[0.0] * 3, fewer=[1.0, 2.0]).saying("y"),
            "depth": whole(2, 1, 0, -1),
            "activation": one_of(activation.Activation(0.5, 1), None, "relu", 0.5),
            "iterations": whole(2, 0, -1),
            "tolerance": number(0.125, -1.0, INF),
            "seed": whole(3, -1),
        },
    ),
    "pursuit.pursue.Plan": (chase, {"first_delta": number(0.25, *AFTER_ZERO), "later_delta": number(0.25, *AFTER_ZERO)}),
    **{
        f"pursuit.candidates.Ascent, {name}": (planned("ascent", name), {name: kind})
        for name, kind in {
            "starts": whole(2, 0, -1),
            "redraws": whole(2, -1),
            "tolerance": number(0.125, -1.0, INF),
            "iterations": whole(20, 0, -1),
        }.items()
    },
    **{
        f"pursuit.descent.Descent, {name}": (planned("descent", name), {name: kind})
        for name, kind in {
            "step_size": number(0.0625, *AFTER_ZERO),
            "steps": whole(4, 0, -1),
            "looks": whole(1, -1),
            "halvings": whole(2, -1),
            "precision": Kind("float64", {}, {"half": "float16", "nothing": None, "a type": torch.float32}),
        }.items()
    },
    "measures.statistics.clopper_pearson": (
        statistics.clopper_pearson,
        {
            "successes": Kind(
                1,
                {"numpy": np.int64(1)},
                {"half": 0.5, "text": "1", "nothing": None, "NaN": NAN, "negative": -1, "too many": 4},
                "successes",
            ),
            "n": Kind(3, {"numpy": np.int64(3)}, {"half": 3.5, "text": "3", "nothing": None, "NaN": NAN, "none": 0}, ""),
            **CONFIDENCE,
        },
    ),
    "measures.statistics.mean_interval": (statistics.mean_interval, {"values": VALUES.refusing(one=[1.0]), **CONFIDENCE}),
    "measures.statistics.slope_interval": (
        statistics.slope_interval,
        {"x": VALUES.refusing(same=[1.0, 1.0, 1.0], fewer=[1.0, 2.0]), "y": VALUES.refusing(fewer=[1.0, 2.0]), **CONFIDENCE},
    ),
    "networks.hypotheses.require_degree": (
        hypotheses.require_degree,
        {**HYPOTHESIS, "degree": number(3.0, *SIGNED).allowing("nothing")},
    ),
    "networks.hypotheses.require_signal": (hypotheses.require_signal, {**HYPOTHESIS, "z": DATA_Y}),
    "networks.hypotheses.require_scale": (
        lambda deltas: hypotheses.require_scale(deltas),
        {"deltas": Kind([0.5], {}, {"NaN": [NAN], "infinite": [INF]}, "delta")},
    ),
    **{f"losses.Loss.{name}": (getattr(losses.LOGISTIC, name), OF_LOSS) for name in ("value", "residual", "derivative_change")},
    **{
        f"losses.Loss.{name}": (getattr(losses.LOGISTIC, name), {"y": DATA_Y.of_any_precision().refusing(none=[])})
        for name in ("correlation_vector", "derivative_lipschitz")
    },
    "losses.cross_entropy": (
        losses.cross_entropy,
        {
            "classes": whole(3, 0, -1),
            "normalisation": Kind("sum", {}, {"another": "half_sum", "nothing": None, "a number": 1.0}),
        },
    ),
    "losses.one_hot": (
        losses.one_hot,
        {"classes": array([0.0, 2.0, 1.0]).allowing("empty").refusing(half=[0.5], four=[4]), "count": whole(3, 0)},
    ),
    **{f"networks.problem.Objective.{name}": (getattr(FIT, name), {"w": WEIGHTS}) for name in ("value", "pull")},
    **{
        f"correlation.ncf.Correlation.{name}": (getattr(NCF, name), {"u": WEIGHTS.saying("w")})
        for name in ("value", "gradient", "value_and_gradient")
    },
    **{
        f"correlation.ncf.Correlation.{name}": (
            getattr(NCF, name),
            {"u": WEIGHTS.saying("w").refusing(origin=[[1.0, 2.0], [0.0, 0.0]])},
        )
        for name in ("normalised", "tangential", "kkt_residual", "cosine")
    },
}


def parts(result: Any) -> list[Any]:
    """A result as numbers, text and arrays, one after the other."""
    if isinstance(result, torch.Tensor):
        return [result.detach().numpy()]
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return [part for field in dataclasses.fields(result) for part in parts(getattr(result, field.name))]
    if isinstance(result, (list, tuple)):
        return [part for entry in result for part in parts(entry)]
    if isinstance(result, dict):
        return parts(list(result.items()))
    return [] if callable(result) else [result]


def equal(one: Any, other: Any) -> bool:
    """Whether two results are the same to the last digit, in type and shape too."""
    left, right = parts(one), parts(other)
    return len(left) == len(right) and all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f") and a.dtype == b.dtype
        for a, b in ((np.asarray(a), np.asarray(b)) for a, b in zip(left, right, strict=True))
    )


def failure(call: Callable[..., Any], given: Mapping[str, Any], expected: Any, said: str) -> str:
    """Why a case fails, or nothing. `expected` is the result, or None where the call must be refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = call(**given)
    except ValueError as error:
        sentence = str(error)
        if expected is not None:
            return f"refused: {sentence}"
        if type(error) is not ValueError:
            return f"{type(error).__name__}: {sentence}"
        return "" if re.search(said, sentence) and "\n" not in sentence else f"does not say {said!r}: {sentence}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if expected is None:
        return f"taken: {result!r}"
    return "" if equal(result, expected) else f"differs: {result!r} for {expected!r}"


def failures(cases: Mapping[str, tuple[Callable[..., Any], dict[str, Kind]]]) -> tuple[int, dict[str, str]]:
    """How many cases there are, and why some of them fail."""
    count, found = 0, {}
    for name, (call, kinds) in cases.items():
        base = {argument: kind.base for argument, kind in kinds.items()}
        expected = call(**base)
        for argument, kind in kinds.items():
            groups = [(kind.same, expected), (kind.refused, None)]
            for how, given, result in ((how, given, result) for group, result in groups for how, given in group.items()):
                count += 1
                if why := failure(call, base | {argument: given}, result, kind.said or argument):
                    found[f"{name}, {argument}: {how}"] = " ".join(why.split())[:300]
    return count, found


if __name__ == "__main__":
    torch.set_num_threads(1)
    careless = {"careless": (lambda x: torch.as_tensor(x, dtype=DOUBLE), {"x": array(X)})}
    answer = {"cases": failures(CASES), "control": failures(careless), "names": list(CASES)}
    json.dump(answer, sys.stdout)

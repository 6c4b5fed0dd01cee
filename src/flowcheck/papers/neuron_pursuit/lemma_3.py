r"""Lemma 3: at positive KKT points of the NCF, $\|W_l[j,:]\|^2=p\,\|W_{l+1}[:,j]\|^2$ for every hidden neuron."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.data.synthetic import half_space_inputs, unit_vectors
from flowcheck.measures.readings import fraction
from flowcheck.measures.table import Row, Table
from flowcheck.networks.feed_forward import FeedForward
from flowcheck.networks.zoo import deep_power
from flowcheck.papers.neuron_pursuit.kkt_table import INPUTS, ROUNDING, SAMPLES, Kind, norm_gap, positive_points, problem
from flowcheck.pipeline.evidence import Found, Measurement

WIDTH = 3


def neuron_norms(network: FeedForward, w: Float[Tensor, "s k"]) -> tuple[Float[Tensor, "s j"], Float[Tensor, "s j"]]:
    """Norms of the incoming and of the outgoing weights of all hidden neurons, first layer first."""
    layers = network.unpack(w)
    return torch.cat([m.norm(dim=2) for m in layers[:-1]], dim=1), torch.cat([m.norm(dim=1) for m in layers[1:]], dim=1)


def row(kind: Kind, rng: np.random.Generator, starts: int, iterations: int) -> Row:
    """One network: the largest gap over KKT points, and over points and exponents for which the lemma does not speak."""
    network = deep_power((WIDTH,) * (kind.depth - 1), INPUTS, kind.power, kind.slope)
    found = positive_points(problem(network, rng, kind), rng, kind, starts, iterations)
    into, out = neuron_norms(network, found.points)
    gaps = norm_gap(into, out, kind.power)
    random = norm_gap(*neuron_norms(network, unit_vectors(rng, starts, network.size)), kind.power)
    numbers: Row = kind._asdict() | {"points": len(gaps), "positive": found.positive, "smooth": kind.is_smooth}
    numbers["random"] = Measurement(float(random.median()), ROUNDING)
    if len(gaps):
        at = int((gaps + found.error).argmax())
        numbers["gap"] = Measurement(float(gaps[at]), float(found.error[at]))
        wrong = norm_gap(into, out, kind.power + 1)
        numbers["wrong"] = Measurement(float(wrong.min()), float(found.error.max()))
    return numbers


def readings_of(runs: Table, name: str) -> Found:
    """Of all networks; shares of certified ones among the positive ends, smooth networks and others."""
    found: dict[str, Measurement] = {
        f"{name}_gap_max": runs.largest("gap"),
        f"{name}_gap_random_min": runs.smallest("random"),
        f"{name}_gap_other_power_min": runs.smallest("wrong"),
    }
    for label, some in (("smooth", runs.where(runs["smooth"])), ("kinked", runs.where(~runs["smooth"]))):
        hits, total = int(some["points"].sum()), int(some["positive"].sum())
        found[f"{name}_certified_share_{label}"] = fraction(np.arange(total) < hits)
    return found


def dead_gap(rng: np.random.Generator) -> Found:
    """A KKT point with value zero: a ReLU network whose first layer is inactive on all inputs. Its norms are arbitrary."""
    network = deep_power((WIDTH, WIDTH), INPUTS)
    w = unit_vectors(rng, 1, network.size)
    network.unpack(w)[0][:] = torch.tensor([-1.0, 0.0, 0.0], dtype=w.dtype)  # against the first entry of every input
    w /= w.norm()
    x = half_space_inputs(rng, SAMPLES, INPUTS)
    gradient = network.pull(w, x, torch.ones(SAMPLES, dtype=w.dtype))
    assert not bool(gradient.any()), "a neuron of the first layer is active"
    return {"lemma3_gap_zero_value": Measurement(float(norm_gap(*neuron_norms(network, w), 1)), ROUNDING)}

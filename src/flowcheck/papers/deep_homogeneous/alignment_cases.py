"""Networks, data and starts on which Section 5.1 is checked."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.alignment.shadow import Cases
from flowcheck.data.synthetic import gaussian, half_space_inputs, noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.losses import HALF_SUM, LOGISTIC_DOUBLED
from flowcheck.networks.network import Network
from flowcheck.networks.zoo import deep_linear, power_net, squared_relu

LOSSES = (HALF_SUM, LOGISTIC_DOUBLED)
POWERS: dict[str, Network] = {f"L{degree}": power_net(4, 3, degree) for degree in (3, 4, 5, 7)}
GROWING: dict[str, Network] = POWERS | {"squared_relu": squared_relu((4, 4), 3), "linear": deep_linear((4, 4), 3)}
ENDING: dict[str, Network] = {"collapse": power_net(2, 3, 4, slope=1.0), "rest": power_net(2, 3, 4)}
NETWORKS = GROWING | ENDING
"""Those of ENDING have positive outputs and negative labels: u goes to 0, or comes to rest where no unit is active."""


class Drawn(NamedTuple):
    """A network, its inputs, and labels and starts of its cases."""

    network: Network
    x: Float[Tensor, "n d"]
    cases: Cases


def draw(name: str, rng: np.random.Generator, *, seeds: int, samples: int, noise: float, device: torch.device) -> Drawn:
    """Every seed has labels and a start: those of a noisy teacher for the square loss, their signs for the logistic one."""
    network = NETWORKS[name]
    x = (half_space_inputs if name == "rest" else sphere_inputs)(rng, samples, network.inputs)
    if name in ENDING:
        y = -0.5 - gaussian(rng, seeds, samples).abs()
    else:
        y = noisy_teacher_labels(rng, network, x, seeds, noise)
    cases = Cases.of(LOSSES, torch.stack([y, y.sign()]), unit_vectors(rng, seeds, network.size))
    return Drawn(network, x.to(device), cases.on(device))

"""Networks, data and starts on which Sections 5.1 and 5.3 are checked near the origin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.alignment.shadow import Cases
from flowcheck.data.synthetic import gaussian, noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.losses import HALF_SUM, LOGISTIC
from flowcheck.networks.network import Network
from flowcheck.networks.zoo import power_net, relu_two_trainable, two_layer

LOSSES = (HALF_SUM, LOGISTIC)
GROWING: dict[str, Network] = {
    "SQ": power_net(6, 3, 2),
    "L2": two_layer(3, 3, 0.2),
    "D2": relu_two_trainable((3, 2), 3, (1.0, 1.0)),
}
ENDING: dict[str, Network] = {"collapse": power_net(1, 3, 2, signs=(-1.0,), slope=0.5)}
NETWORKS = GROWING | ENDING
"""That of ENDING has negative outputs and positive labels: u goes to 0."""
UNITS: dict[str, Network] = {"SQ": power_net(1, 3, 2), "L2": two_layer(1, 3, 0.2)}
"""One block of the separable networks."""
HIGHER: dict[str, Network] = {f"L{degree}": power_net(6, 3, degree) for degree in (2, 3, 4)}


class Drawn(NamedTuple):
    """A network, its inputs, and labels and starts of its cases."""

    network: Network
    x: Float[Tensor, "n d"]
    cases: Cases


def draw(
    name: str, rng: np.random.Generator, *, seeds: int, samples: int, noise: float, label_scale: float, device: torch.device
) -> Drawn:
    """Every seed has labels and a start: those of a noisy teacher for the square loss, their signs for the logistic one.

    Networks with kinks get orthonormal inputs, D2 positive labels too. Then both sides of a kink push the same way, or only one
    pushes at all: flows cross it or stop there, do not slide along it and do not branch.
    """
    network = NETWORKS[name]
    if name in ("L2", "D2"):
        x = torch.linalg.qr(gaussian(rng, network.inputs, network.inputs))[0]
    else:
        x = sphere_inputs(rng, samples, network.inputs)
    if name in ENDING or name == "D2":
        y = 0.5 + gaussian(rng, seeds, len(x)).abs()
    else:
        y = noisy_teacher_labels(rng, network, x, seeds, noise)
    return Drawn(network, x.to(device), both_losses(label_scale * y, network, rng).on(device))


def both_losses(y: Float[Tensor, "s o"], network: Network, rng: np.random.Generator) -> Cases:
    """Labels y for the square loss, their signs for the logistic one, from the same starts."""
    return Cases.of(LOSSES, torch.stack([y, y.sign()]), unit_vectors(rng, len(y), network.size))

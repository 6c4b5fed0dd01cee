"""Early alignment of two-homogeneous networks: w/delta against the NCF flow u (two_homogeneous, Theorem 5.1, Corollary 5.4.1).

Every network has inputs of its own; every seed has labels and a start. Both losses and all delta run beside u up to the moments
at which u is within epsilon of its end, then on until the loss has fallen by a hundredth. Separable networks are also followed
block by block, and degrees three and four for the time that suffices for degree two (Section 5.3).
"""

import dataclasses
import math

import numpy as np
import torch
from pydantic import Field

from flowcheck import alignment_measures as measures
from flowcheck import early_alignment as early
from flowcheck.alignment_measures import Dichotomy
from flowcheck.bounds import two_homogeneous as bounds
from flowcheck.data import gaussian, half_space_inputs, noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.early_alignment import Cases, Study
from flowcheck.evidence import Evidence
from flowcheck.experiment import Context, ParametersModel, main
from flowcheck.flow import loss_flow, norm_reaches
from flowcheck.hypotheses import require_degree, require_scale, require_signal
from flowcheck.losses import HALF_SUM, LOGISTIC
from flowcheck.networks import Mixture, Network, power_net, relu_two_trainable, two_layer

LOSSES = (HALF_SUM, LOGISTIC)
GROWING: dict[str, Network] = {
    "squared_relu": power_net(5, 2, 2.0),
    "two_layer": two_layer(4, 3),
    "deep_relu": relu_two_trainable((4, 3), 3, (1.0, 1.0, 1.0)),
}
ENDING: dict[str, Network] = dict.fromkeys(("collapse", "rest"), power_net(3, 2, 2.0, signs=(-1.0, -1.0, -1.0)))
NETWORKS = GROWING | ENDING
"""Those of ENDING have negative outputs and positive labels: u goes to 0, or comes to rest where no unit is active."""
UNITS: dict[str, Network] = {"squared_relu": power_net(1, 2, 2.0), "two_layer": two_layer(1, 3)}
HIGHER: dict[str, Network] = {"L2": power_net(4, 3, 2.0), "L3": power_net(4, 3, 3.0), "L4": power_net(4, 3, 4.0)}
SMALLEST_LOG = -650.0
"""Of delta in float64; where $C^{-1/2}$ lies below, it is not run."""


class Parameters(ParametersModel):
    degrees: dict[str, float]
    seeds: int = Field(ge=3)
    samples: int = Field(ge=4)
    noise: float = Field(ge=0)
    block_noise: float = Field(ge=0)
    epsilons: list[float]
    sweep: list[float]
    large_delta: float
    fit_decades: int = Field(ge=4)
    explicit_decades: list[int]
    block_epsilon: float = Field(gt=0, lt=1)
    escape_deltas: list[float]
    curve_deltas: list[float]
    pieces: int = Field(ge=2)
    rtol: float = Field(gt=0)

    @property
    def swept(self) -> slice:
        """Columns of the sweep; those for the slopes come before it, the large delta and the explicit ones after it."""
        return slice(self.fit_decades, self.fit_decades + len(self.sweep))


def draw(p: Parameters, name: str, context: Context) -> tuple[Network, torch.Tensor, Cases]:
    """A network, its inputs, and its cases: labels of a noisy teacher for the square loss, their signs for the logistic one.

    With ReLU, labels and output weights are positive at the start, so that the NCF is convex at its kinks: no flow slides along one.
    """
    rng, network = context.rng(name), NETWORKS[name]
    x = (half_space_inputs if name == "rest" else sphere_inputs)(rng, p.samples, network.inputs)
    starts = unit_vectors(rng, p.seeds, network.size)
    if name in ENDING:
        y = 0.5 + gaussian(rng, p.seeds, p.samples).abs()
    else:
        y = noisy_teacher_labels(rng, network, x, p.seeds, p.noise)
    if name == "two_layer":
        starts[:, network.inputs :: network.inputs + 1] = starts[:, network.inputs :: network.inputs + 1].abs()
    if name == "deep_relu":
        starts[:, 12:] = starts[:, 12:].abs()
    y = y if network.has_lipschitz_gradient else y.abs()
    return network, x, Cases.of(LOSSES, torch.stack([y, y.sign()]), starts)


def permuted(cases: Cases, context: Context) -> Cases:
    """The vector of the NCF belongs to other samples; labels and starts stay."""
    order = torch.from_numpy(context.rng("permutation").permutation(cases.z.shape[1]))
    return dataclasses.replace(cases, z=cases.z[:, order])


def constants(study: Study) -> dict[str, np.ndarray]:
    r"""$\beta$, and $\hat\beta$ and $\tilde\beta$ of every case [S, 1]."""
    network, cases = study.network, study.cases
    planar = network.inputs == 2 and network.degree == 2 and network.has_lipschitz_gradient
    beta = bounds.squared_relu_beta(study.x.numpy()) if planar else network.output_bound(study.x)
    hat = np.array([[LOSSES[loss].derivative_lipschitz(y)] for loss, y in zip(cases.loss.tolist(), cases.y, strict=True)])
    return {"beta": np.array(beta), "beta_hat": hat, "beta_tilde": bounds.beta_tilde(beta, hat, cases.z.norm(dim=-1)[:, None].numpy())}


def compare(p: Parameters, study: Study, wrong: Study | None) -> dict[str, np.ndarray]:
    r"""Deltas for the slopes, the sweep, a large one, and for each epsilon some at and below $C^{-1/2}$."""
    arrays = study.ending() | constants(study)
    arrays["log_c"] = bounds.log_c(arrays["time"], arrays["beta"], arrays["beta_tilde"])
    below = -0.5 * arrays["log_c"][:, :, None] - math.log(10.0) * np.array(p.explicit_decades)
    arrays["usable"] = below > SMALLEST_LOG
    own = torch.from_numpy(np.exp(np.where(arrays["usable"], below, math.log(min(p.sweep))))).flatten(1)
    for_slopes = [10 ** (-(m + 1) / 2) for m in range(p.fit_decades)]
    shared = torch.tensor([*for_slopes, *p.sweep, p.large_delta], dtype=own.dtype)
    deltas = torch.cat([shared.expand(len(own), -1), own], dim=1)
    return arrays | study.compare(deltas, wrong_limit=None if wrong is None else wrong.ends.limit)

r"""How far a run of gradient descent is from the gradient flow, found from the run itself: a tube that holds the flow.

**Theorem** (ours). Let f be twice continuously differentiable, $\dot\theta=-\nabla f(\theta)$, u a path with $u(0)=\theta(0)$ and
the defect $r=\dot u+\nabla f(u)$. Let $\rho(0)=0$ and $\dot\rho=m\rho+\|r\|$, where $m(t)\ge-\lambda_{\min}(\nabla^2f(x))$ for
all x within $\rho(t)$ of u(t). Then $\|\theta(t)-u(t)\|\le\rho(t)$.
Proof: $v=\theta-u$ has $\dot v=-Av-r$ with $A=\int_0^1\nabla^2f(u+sv)ds$. While $\|v\|\le\rho$, the segment lies in the tube, so
that $\frac d{dt}\|v\|\le m\|v\|+\|r\|$, and Gronwall's lemma gives $\|v\|\le\rho$ again; with $\rho(0)=\epsilon\to0$, v cannot be
the first to leave.

The path is built from the run: cubic pieces through $\theta_k-e_k$ with the slopes $-\nabla f$, where e solves the linearised
equation of the deviation, $\dot e=-\nabla^2f\,e-\frac\eta2\nabla^2f\nabla f$, with one product of the Hessian for each step. Then
$\|e\|$ is the deviation to first order in the step size, $\rho$ is of second order, and $\|e\|\pm\rho$ enclose the deviation:
their ratio tends to one. With a bound of the third derivative the tube is guaranteed up to rounding; without it, curvature and
defect are as sampled. Where the loss has kinks there is no such tube: `doubling` is what is left, and has to be calibrated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import POSITIVE, number, whole
from flowcheck.curvature.dense import hessian
from flowcheck.errors import HypothesisError
from flowcheck.integration.discrepancy import deviation_bound, euler
from flowcheck.tensors import Numbers, finite, tensor

Loss = Callable[[Tensor], Tensor]
"""Weights [k] to one number."""
Third = Callable[[Float[Tensor, " k"], float], float]
"""A point [k] and a distance to a bound, for all points within it, of the third derivative along unit vectors."""
PARTS = 4
"""Of each step: there the defect is looked at."""
SHARES = np.arange(1, PARTS) / PARTS
MOST_WEIGHTS = 600
"""Whole Hessians are held at all steps."""
WIDER, ROOMS = 1.1, 30
"""How much wider the next tube is than the last one asks for, and how many are tried."""
LARGEST_EXPONENT = 300.0
"""Of the growth on one piece."""
DIVERGED = 1e3
"""Loss over that of the start at which descent is said to diverge."""
WORST, HALVINGS, CURVED, JUMP = 3, 24, 1e-4, 0.05
"""Of the search for kinks: steps searched, halvings of each; shares of a gradient's change, and of what of it is not linear."""


@dataclass(frozen=True)
class Certificate:
    """A run of gradient descent and the tube that holds the flow.

    Attributes:
        times: of the iterates, [p].
        iterates: [p, k].
        path: the middle of the tube at these times, [p, k].
        radius: of the tube, [p]; infinite from where no tube was found.
        growth: m, on each part of each step up to there, [i].
        defect: bound of |r| where each part begins and ends, linear between, [i, 2].
        kind: "guaranteed" by a bound of the third derivative, or "sampled".
    """

    times: Float[np.ndarray, " p"]
    iterates: Float[Tensor, "p k"]
    path: Float[Tensor, "p k"]
    radius: Float[np.ndarray, " p"]
    growth: Float[np.ndarray, " i"]
    defect: Float[np.ndarray, "i 2"]
    kind: Literal["guaranteed", "sampled"]

    @property
    def estimate(self) -> Float[np.ndarray, " p"]:
        """The distance of the iterates from the middle of the tube."""
        return np.asarray(torch.linalg.norm(self.iterates - self.path, dim=1).numpy())

    @property
    def upper(self) -> Float[np.ndarray, " p"]:
        """No iterate is farther from the flow."""
        return self.estimate + self.radius

    @property
    def lower(self) -> Float[np.ndarray, " p"]:
        """No iterate is closer to it."""
        return np.maximum(0.0, self.estimate - self.radius)


def certify(
    loss: Loss, start: Numbers, step_size: float, steps: int, *, corrections: int = 1, third: Third | None = None
) -> Certificate:
    """Gradient descent from `start` [k], and how far its iterates are from the gradient flow at the same times.

    Args:
        loss: of weights [k], one number; twice differentiable, by torch.func.
        corrections: how often the linearised equation is solved, each time from the path of the last; none leaves the iterates.
        third: bounds the third derivative; with it the tube is guaranteed.

    Raises ValueError if an argument is not what is asked for, the loss cannot be differentiated twice or an iterate is not
    finite, and HypothesisError with what was measured if the loss grows a thousandfold or the gradient jumps between iterates.

    Example: f = w²/2 from 1. The flow is exp(-t), and after ten steps of 0.1 descent is at 0.9^10.

    >>> found = certify(lambda w: (w**2).sum() / 2, [1.0], 0.1, 10, third=lambda w, reach: 0.0)
    >>> true = np.exp(-1.0) - 0.9**10
    >>> bool(found.lower[-1] <= true <= found.upper[-1] <= 1.1 * true), found.kind
    (True, 'guaranteed')
    """
    eta, count, rounds = number("step_size", step_size, POSITIVE), whole("steps", steps, 1), whole("corrections", corrections, 0)
    first = finite("start", tensor("start", start)).detach()
    if first.ndim != 1 or not 0 < len(first) <= MOST_WEIGHTS:
        raise ValueError(f"start must be one vector of 1 to {MOST_WEIGHTS} weights, got shape {tuple(first.shape)}")
    slope = torch.func.grad(_checked(loss, first))
    iterates = euler(lambda _, w: -slope(w), first, eta, count)
    ratio = float(loss(iterates[-1]).detach() / loss(first).detach())
    if ratio > DIVERGED:
        raise HypothesisError("loss_growth", ratio, f"a step_size of {eta:g} diverges: the loss grows")
    pieces = Pieces(loss, iterates, eta)
    pieces.require_no_jump()
    for _ in range(rounds):
        pieces = pieces.corrected()
    radius, growth, defect = tube(pieces, third)
    kind: Literal["guaranteed", "sampled"] = "sampled" if third is None else "guaranteed"
    return Certificate(eta * np.arange(count + 1), iterates, pieces.nodes, radius, growth, defect, kind)


def doubling(loss: Loss, start: Numbers, step_size: float, steps: int) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Times of every other iterate, and their distances from descent with twice the step: to first order those from the flow.

    It needs no second derivative, and guarantees nothing: where the loss has kinks, it has to be calibrated.

    >>> times, gap = doubling(lambda w: (w**2).sum() / 2, [1.0], 0.1, 10)
    >>> bool(abs(gap[-1] / (np.exp(-1.0) - 0.9**10) - 1) < 0.2)
    True
    """
    eta, count = number("step_size", step_size, POSITIVE), whole("steps", steps, 2)
    slope = torch.func.grad(loss)
    fine, coarse = (euler(lambda _, w: -slope(w), start, h * eta, count // 2 * 2 // h) for h in (1, 2))
    return 2 * eta * np.arange(len(coarse)), np.asarray(torch.linalg.norm(fine[::2] - coarse, dim=1).numpy())


@dataclass(frozen=True)
class Pieces:
    """A path of cubic pieces through nodes [p, k], an equal time apart, with minus the gradient as slopes there."""

    loss: Loss
    nodes: Float[Tensor, "p k"]
    duration: float
    slopes: Float[Tensor, "p k"] = field(init=False)
    middle: Float[Tensor, "i k"] = field(init=False)
    hessian: Float[Tensor, "i k k"] = field(init=False)

    def __post_init__(self) -> None:
        """Gradients at the nodes, Hessians in the middle of the pieces."""
        object.__setattr__(self, "slopes", -self._gradients(self.nodes))
        object.__setattr__(self, "middle", self.at(0.5)[0])
        object.__setattr__(self, "hessian", hessian(self.loss, self.middle))

    def _gradients(self, points: Float[Tensor, "p k"]) -> Float[Tensor, "p k"]:
        found: Tensor = torch.func.vmap(torch.func.grad(self.loss))(points)
        return found

    @property
    def control(self) -> Float[Tensor, "4 i k"]:
        """Bezier's points of each piece, in whose convex hull it lies."""
        third = self.duration / 3
        first, last = self.nodes[:-1], self.nodes[1:]
        return torch.stack([first, first + third * self.slopes[:-1], last - third * self.slopes[1:], last])

    def at(self, share: float) -> tuple[Float[Tensor, "i k"], Float[Tensor, "i k"]]:
        """State and velocity at this share of each piece."""
        points, rest = self.control, 1 - share
        weights = [rest**3, 3 * rest**2 * share, 3 * rest * share**2, share**3]
        rates = [rest**2, 2 * rest * share, share**2]
        state = torch.einsum("b,bik->ik", self.nodes.new_tensor(weights), points)
        return state, torch.einsum("b,bik->ik", self.nodes.new_tensor(rates), self.velocities)

    @property
    def velocities(self) -> Float[Tensor, "3 i k"]:
        """Bezier's points of the velocity."""
        return 3 * self.control.diff(dim=0) / self.duration

    @property
    def accelerations(self) -> Float[Tensor, "2 i k"]:
        """Where each piece begins and ends; linear between."""
        return 2 * self.velocities.diff(dim=0) / self.duration

    def defect(self, share: float) -> Float[Tensor, "i k"]:
        """r, which is zero at the nodes."""
        state, velocity = self.at(share)
        return velocity + self._gradients(state)

    def corrected(self) -> Pieces:
        r"""The path plus the solution of $\dot d=-\nabla^2f\,d-r$ by Euler's method, $\int r$ by Simpson's rule."""
        pushes = -2 / 3 * self.duration * self.defect(0.5)
        moved = [torch.zeros_like(self.nodes[0])]
        for matrix, push in zip(self.hessian, pushes, strict=True):
            moved.append(moved[-1] - self.duration * (matrix @ moved[-1]) + push)
        return Pieces(self.loss, self.nodes + torch.stack(moved), self.duration)

    def require_no_jump(self) -> None:
        """Raises HypothesisError with its length if the gradient jumps on a segment whose Hessian least explains its change."""
        change, step = -self.slopes.diff(dim=0), self.nodes.diff(dim=0)
        left = torch.linalg.norm(change - torch.einsum("ikl,il->ik", self.hessian, step), dim=1)
        for k in left.topk(min(WORST, len(left))).indices.tolist():
            if float(left[k]) > CURVED * float(torch.linalg.norm(change[k])):
                jump = self._jump(self.nodes[k], self.nodes[k + 1])
                if jump > JUMP * float(left[k]):
                    said = f"the gradient jumps between iterates {k} and {k + 1}: the loss is not twice differentiable there"
                    raise HypothesisError("gradient_jump", jump, said)

    def _jump(self, a: Float[Tensor, " k"], b: Float[Tensor, " k"]) -> float:
        """What is left of the change of the gradient on ever shorter pieces of a segment, where it is least linear."""
        for _ in range(HALVINGS):
            halves = torch.stack([a, (a + b) / 2]), torch.stack([(a + b) / 2, b])
            exact = torch.func.jvp(self._gradients, ((halves[0] + halves[1]) / 2,), (halves[1] - halves[0],))[1]
            left = torch.linalg.norm(self._gradients(halves[1]) - self._gradients(halves[0]) - exact, dim=1)
            a, b = (half[int(left.argmax())] for half in halves)
        low, high = self._gradients(torch.stack([a, b]))
        return float(torch.linalg.norm(high - low))


def tube(
    pieces: Pieces, third: Third | None = None
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " i"], Float[np.ndarray, "i 2"]]:
    """Radius at the nodes, growth and defect on the parts of the pieces: see `Certificate`.

    The radius on which the growth depends is guessed, and the guess widened until it holds; where none does, the tube ends.
    """
    part = pieces.duration / PARTS
    radius, growth, defect = [0.0], [], []
    for piece in _pieces(pieces, third):
        found = _held(radius[-1], part, piece)
        if found is None:
            break
        radius.append(found[0])
        growth += [found[1]] * PARTS
        defect += [*zip(found[2][:-1].tolist(), found[2][1:].tolist(), strict=True)]
    padded = np.concatenate([radius, np.full(len(pieces.nodes) - len(radius), np.inf)])
    return padded, np.array(growth), np.array(defect).reshape(-1, 2)


@dataclass(frozen=True)
class _Piece:
    """What the bounds on one piece are made of: norms along it, and the defect where its parts begin and end."""

    middle: Float[Tensor, " k"]
    part: float
    lowest: float
    bend: float
    speed: float
    turn: float
    reach: float
    sizes: Float[np.ndarray, " q"]
    third: Third | None

    def bounds(self, room: float) -> tuple[float, Float[np.ndarray, " q"]]:
        r"""Growth within this distance of the piece, and defect where its parts begin and end.

        With the distance a of the piece from its middle and a bound L of the third derivative within $a+\rho$,
        $m=-\lambda_{\min}+L(a+\rho)$ for the eigenvalue in the middle. Between the ends of a part, of length h, the norm of the
        defect exceeds what is linear between them by at most $h^2/8$ times that of
        $\ddot r=\dddot u+\nabla^2f\,\ddot u+\nabla^3f[\dot u,\dot u]$; without L, second differences of r stand for it.
        """
        far = self.reach + room
        steep = 0.0 if self.third is None else self.third(self.middle, far)
        extra = self.part**2 / 8 * (self.bend + steep * (self.speed**2 + self.reach * self.turn))
        return steep * far - self.lowest, self.sizes + extra


def _pieces(pieces: Pieces, third: Third | None) -> list[_Piece]:
    """All pieces with their norms: of a curve those of Bezier's points, in whose convex hull it lies."""
    part = pieces.duration / PARTS
    looked = torch.stack([pieces.defect(share) for share in SHARES.tolist()])
    values = torch.cat([torch.zeros_like(looked[:1]), looked, torch.zeros_like(looked[:1])])
    accelerations = pieces.accelerations
    if third is None:
        bends = values.diff(dim=0).diff(dim=0) / part**2
    else:
        curved = torch.einsum("ikl,bil->bik", pieces.hessian, accelerations)
        bends = accelerations.diff(dim=0) / pieces.duration + curved
    lengths = [bends, pieces.velocities, accelerations, pieces.control - pieces.middle]
    bend, speed, turn, reach = (torch.linalg.norm(vectors, dim=2).amax(dim=0).tolist() for vectors in lengths)
    lowest = torch.linalg.eigvalsh(pieces.hessian)[:, 0].tolist()
    sizes = torch.linalg.norm(values, dim=2).T.numpy()
    rows = zip(pieces.middle, lowest, bend, speed, turn, reach, sizes, strict=True)
    return [_Piece(u, part, low, b, v, a, far, size, third) for u, low, b, v, a, far, size in rows]


def _held(radius: float, part: float, piece: _Piece) -> tuple[float, float, Float[np.ndarray, " q"]] | None:
    """The radius after a piece, with growth and defect for a room in which the tube stays all along it; None if none is found."""
    room = radius
    for _ in range(ROOMS):
        growth, defect = piece.bounds(room)
        if not growth * PARTS * part < LARGEST_EXPONENT:
            return None
        pairs = np.stack([defect[:-1], defect[1:]], axis=1)
        within = deviation_bound(part * np.arange(PARTS + 1), np.full(PARTS, growth), pairs, radius)
        most = float(within.max() + part * defect.max())
        if most <= room:
            return float(within[-1]), growth, defect
        room = WIDER * most
    return None


def _checked(loss: Loss, start: Float[Tensor, " k"]) -> Loss:
    """The loss. Raises ValueError if it is no finite number at the start, or cannot be differentiated there twice."""
    value = loss(start)
    if not isinstance(value, Tensor) or value.numel() != 1 or value.ndim:
        raise ValueError("loss must give one number for weights [k]")
    if not bool(torch.isfinite(value)):
        raise ValueError(f"loss is {float(value.detach())} at the start")
    try:
        hessian(loss, start[None])
    except (RuntimeError, NotImplementedError) as error:
        raise ValueError(f"loss is not twice differentiable by torch: {str(error).splitlines()[0]}") from None
    return loss

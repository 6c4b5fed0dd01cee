r"""Population logistic loss on spherically symmetric data with noiseless labels (spherical_data, Section 2).

The objective is $L(\mathbf w)=\mathbb E\ln(1+e^{-y\,\mathbf w^\top\mathbf x})$,
$y=\operatorname{sgn}(\mathbf v^\top\mathbf x)$. Since
$1/(1+e^z)=\frac12-\frac12\tanh\frac z2$ and $y^2=1$, rotation invariance gives its gradient in closed form,

$$\nabla L(\mathbf w)=-\frac{c_0}{\pi}\mathbf v+\kappa(\|\mathbf w\|)\,\bar{\mathbf w},\qquad
\kappa(r)=\tfrac12\,\mathbb E\bigl[x_1\tanh(rx_1/2)\bigr],$$

where $x_1$ is one coordinate and $c_0$ the mean norm of the *two-dimensional* marginal. `planar_gradient` integrates Eq. (2)
directly, without that identity, and is what the identity is checked against.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

Array = np.ndarray
Number = float | Array
"""A number, or an array of any shape; functions of one number broadcast."""
Sampler = Callable[[np.random.Generator, int], Array]

PANEL_NODES = 16
"""Gauss-Legendre nodes per panel; exponentials over a panel of relative width two are integrated to round-off."""
PANELS = 20
"""Panels halve towards zero, so the smallest reaches 2^-20: kappa and its gap are right to 1e-12 for r up to 1e5."""
COARSE_PANELS = 10
"""The error of a direct quadrature is its change from this many panels."""
TILTED = np.array([math.cos(0.7), math.sin(0.7)])
"""The direction that gives labels to stretched points: any off the axes will do, this one is the inventory's."""
EXPONENT = 700.0
"""The exponential of anything larger may be no float64; its logistic function is 0 or 1 to the last digit anyway."""


@dataclass(frozen=True)
class SphericalLaw:
    """A spherically symmetric law on R^d, through its one- and two-dimensional marginals.

    Attributes:
        name: how the config calls it.
        dimension: d >= 2.
        c0: mean norm of the two-dimensional marginal, in closed form.
        mean_norm: mean norm of x itself (the constant c of Proposition 1); equal to c0 only for d = 2.
        coordinate_nodes: nodes for |x_1|, shape [M]; `coordinate_weights` sum to one.
        coordinate_weights: shape [M].
        radius_nodes: nodes for the norm of (x_1, x_2), shape [R]; `radius_weights` sum to one.
        radius_weights: shape [R].
        sample: draws [n, d] points.
    """

    name: str
    dimension: int
    c0: float
    mean_norm: float
    coordinate_nodes: Float[Array, " m"]
    coordinate_weights: Float[Array, " m"]
    radius_nodes: Float[Array, " r"]
    radius_weights: Float[Array, " r"]
    sample: Sampler

    @functools.cached_property
    def first_moments(self) -> Float[Array, " m"]:
        """Weights times nodes of |x_1|; an integration asks for kappa at every stage of every step."""
        return self.coordinate_weights * self.coordinate_nodes

    @property
    def coordinate_second_moment(self) -> float:
        """E x_1^2; the covariance is this multiple of the identity."""
        return float(self.coordinate_weights @ self.coordinate_nodes**2)

    def kappa(self, r: Number) -> Number:
        r"""$\kappa(r)=\frac12\mathbb E[x_1\tanh(rx_1/2)]$: the radial part of the gradient; $\kappa(\infty)=c_0/\pi$."""
        z = np.multiply.outer(np.asarray(r, float), self.coordinate_nodes)
        return 0.5 * (np.tanh(0.5 * z) @ self.first_moments)

    def kappa_gap(self, r: Number) -> Number:
        r"""$c_0/\pi-\kappa(r)=\mathbb E\,|x_1|/(1+e^{r|x_1|})$, without the cancellation at large r."""
        decay = np.multiply.outer(-np.asarray(r, float), self.coordinate_nodes)
        np.exp(decay, out=decay)
        share = 1.0 + decay
        return np.divide(decay, share, out=share) @ self.first_moments

    def kappa_slope(self, r: Number) -> Number:
        r"""$\kappa'(r)=\frac14\mathbb E[x_1^2/\cosh^2(rx_1/2)]$: the radial eigenvalue of the Hessian."""
        z = np.multiply.outer(np.asarray(r, float), self.coordinate_nodes)
        decay = np.exp(-z)
        return (decay / (1.0 + decay) ** 2) @ (self.coordinate_weights * self.coordinate_nodes**2)

    def loss(self, r: Number, cosine: Number) -> Number:
        r"""$L(\mathbf w)=\mathbb E\ln(2\cosh(rx_1/2))-\frac{c_0}{\pi}\,r\cos\theta$ at $\|\mathbf w\|=r$."""
        r = np.asarray(r, float)
        z = np.multiply.outer(r, self.coordinate_nodes)
        radial = (0.5 * z + np.log1p(np.exp(-z))) @ self.coordinate_weights
        return radial - self.c0 / math.pi * r * cosine

    def norm_growth(self, r: Number, cosine: Number) -> Number:
        r"""$g(\mathbf w)=-\mathbf w^\top\nabla L(\mathbf w)=r\,(\frac{c_0}{\pi}\cos\theta-\kappa(r))$, Eq. (7)."""
        r = np.asarray(r, float)
        return r * (self.c0 / math.pi * np.asarray(cosine, float) - self.kappa(r))

    def gradient(self, w: Float[Array, "*batch d"], v: Float[Array, " d"]) -> Float[Array, "*batch d"]:
        """Closed form of Eq. (2). At w = 0 the radial part vanishes."""
        r = np.linalg.norm(w, axis=-1)
        ratio = np.divide(self.kappa(r), r, out=np.zeros_like(r), where=r > 0)
        return ratio[..., None] * w - self.c0 / math.pi * v


@functools.cache
def gauss_legendre(nodes: int) -> tuple[Array, Array]:
    """Nodes and weights on [-1, 1], read-only: to find them takes longer than to use them, and a flow uses them at every step."""
    rule = np.polynomial.legendre.leggauss(nodes)
    for array in rule:
        array.setflags(write=False)
    return rule


@functools.cache
def grading(panels: int) -> tuple[Array, Array]:
    """Left ends and half widths of the panels of [0, 1] that halve towards 0, read-only. All are exact."""
    edges = np.concatenate([[0.0], 0.5 ** np.arange(panels - 1, -1, -1.0)])
    left, half = edges[:-1], 0.5 * np.diff(edges)
    for array in (left, half):
        array.setflags(write=False)
    return left, half


def graded_nodes(length: Number, panels: int = PANELS, nodes: int = PANEL_NODES) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on [0, length], panels halving towards 0. Shapes [..., panels * nodes], `length` [...]."""
    x, weight = gauss_legendre(nodes)
    left, half = (np.multiply.outer(length, part) for part in grading(panels))
    size = (*np.shape(length), panels * nodes)
    return ((left + half)[..., None] + half[..., None] * x).reshape(size), (half[..., None] * weight).reshape(size)


def sphere(dimension: int, radius: float = 1.0) -> SphericalLaw:
    """Uniform law on the sphere of the given radius in R^d. Raises ValueError if d < 2."""
    return shells(f"sphere_{dimension}" if dimension > 2 else "circle", dimension, [(1.0, radius)])


def shells(name: str, dimension: int, mixture: Sequence[tuple[float, float]]) -> SphericalLaw:
    """Mixture of uniform laws on spheres, as (probability, radius) pairs. Raises ValueError if d < 2."""
    if dimension < 2:
        raise ValueError(f"a spherically symmetric law needs dimension >= 2, got {dimension}")
    if not math.isclose(sum(p for p, _ in mixture), 1.0):
        raise ValueError("the probabilities of a mixture must sum to one")
    angle, weight = graded_nodes(0.5 * math.pi)
    # x_1 = sin(angle) on the unit sphere has density proportional to cos^(d-2)
    density = weight * np.cos(angle) ** (dimension - 2)
    coordinate, coordinate_weight = np.sin(angle), density / density.sum()
    if dimension == 2:
        plane, plane_weight = np.ones(1), np.ones(1)
    else:
        # the norm of (x_1, x_2) is sin(angle) with density proportional to sin cos^(d-3)
        nodes, gauss = np.polynomial.legendre.leggauss(64)
        angle = 0.25 * math.pi * (nodes + 1.0)
        density = gauss * np.sin(angle) * np.cos(angle) ** (dimension - 3)
        plane, plane_weight = np.sin(angle), density / density.sum()
    mean_radius = sum(p * radius for p, radius in mixture)
    planar_mean = 0.5 * math.sqrt(math.pi) * math.exp(gammaln(dimension / 2) - gammaln((dimension + 1) / 2))

    def sample(rng: np.random.Generator, n: int) -> Array:
        x = rng.standard_normal((n, dimension))
        radii = rng.choice([radius for _, radius in mixture], size=n, p=[p for p, _ in mixture])
        return x * (radii / np.linalg.norm(x, axis=1))[:, None]

    return SphericalLaw(
        name=name,
        dimension=dimension,
        c0=mean_radius * (planar_mean if dimension > 2 else 1.0),
        mean_norm=mean_radius,
        coordinate_nodes=np.concatenate([radius * coordinate for _, radius in mixture]),
        coordinate_weights=np.concatenate([p * coordinate_weight for p, _ in mixture]),
        radius_nodes=np.concatenate([radius * plane for _, radius in mixture]),
        radius_weights=np.concatenate([p * plane_weight for p, _ in mixture]),
        sample=sample,
    )


def gaussian(dimension: int) -> SphericalLaw:
    """Standard Gaussian law on R^d; its marginals, and so c0 = sqrt(pi/2), do not depend on d."""
    if dimension < 2:
        raise ValueError(f"a spherically symmetric law needs dimension >= 2, got {dimension}")
    nodes, weight = graded_nodes(39.0)
    density = weight * np.exp(-0.5 * nodes**2)
    legendre, gauss = np.polynomial.legendre.leggauss(96)
    radii = 4.75 * (legendre + 1.0)  # the planar radius exceeds 9.5 with probability 3e-20
    radial = gauss * radii * np.exp(-0.5 * radii**2)
    keep = density > 1e-40
    return SphericalLaw(
        name=f"gaussian_{dimension}",
        dimension=dimension,
        c0=math.sqrt(0.5 * math.pi),
        mean_norm=math.sqrt(2.0) * math.exp(gammaln((dimension + 1) / 2) - gammaln(dimension / 2)),
        coordinate_nodes=nodes[keep],
        coordinate_weights=density[keep] / density.sum(),
        radius_nodes=radii,
        radius_weights=radial / radial.sum(),
        sample=lambda rng, n: rng.standard_normal((n, dimension)),
    )


LAWS: dict[str, Callable[[], SphericalLaw]] = {
    "circle": lambda: sphere(2),
    "sphere_3": lambda: sphere(3),
    "sphere_10": lambda: sphere(10),
    "gaussian_2": lambda: gaussian(2),
    "gaussian_5": lambda: gaussian(5),
    "two_shells_4": lambda: shells("two_shells_4", 4, [(0.3, 0.5), (0.7, 2.0)]),
}
"""The laws that the config may name."""


def law(name: str) -> SphericalLaw:
    """A law by its name in the config. Raises ValueError naming the allowed ones."""
    if name not in LAWS:
        raise ValueError(f"unknown law {name!r}; allowed: {', '.join(LAWS)}")
    return LAWS[name]()


def planar_gradient(
    radii: Float[Array, " r"],
    radius_weights: Float[Array, " r"],
    w: Float[Array, " 2"],
    v: Float[Array, " 2"],
    *,
    stretch: Float[Array, "2 2"] | None = None,
    flip_probability: float = 0.0,
    panels: int = PANELS,
) -> Float[Array, " 2"]:
    """Gradient of Eq. (2) by direct quadrature in polar coordinates, with the integral split where the label jumps.

    `stretch` maps the points x (a broken symmetry, for controls); `flip_probability` flips labels. Nothing here uses the closed
    form. The panels are graded towards the label jump and towards the line orthogonal to w, where the integrand bends on the
    scale 1/‖w‖.
    """
    if stretch is None:
        x, weights = _arcs(v, w, panels)
    else:
        points, weights = _arcs(stretch.T @ v, stretch.T @ w, panels)
        x = points @ stretch.T
    label = np.where(x @ v >= 0, 1.0, -1.0)
    margin_of_unit = label * (x @ w)
    overflows = radii.max() * np.abs(margin_of_unit).max() > EXPONENT
    total = np.zeros(2)
    for sign, probability in ((1.0, 1.0 - flip_probability), (-1.0, flip_probability)):
        if probability:
            margin = np.multiply.outer(radii, sign * margin_of_unit)
            if overflows:
                np.clip(margin, -EXPONENT, EXPONENT, out=margin)
            np.exp(margin, out=margin)
            margin += 1.0
            sigmoid = np.divide(1.0, margin, out=margin)
            per_angle = (radius_weights * radii) @ sigmoid
            total -= probability * sign * ((weights * label * per_angle) @ x)
    return total


def planar_loss(
    radii: Float[Array, " r"], radius_weights: Float[Array, " r"], w: Float[Array, " 2"], v: Float[Array, " 2"]
) -> float:
    """Eq. (1) by the same direct quadrature."""
    points, weights = _arcs(v, w, PANELS)
    label = np.where(points @ v >= 0, 1.0, -1.0)
    margin = np.multiply.outer(radii, label * (points @ w))
    return float(weights @ (radius_weights @ np.logaddexp(0.0, -margin)))


def law_gradient(which: SphericalLaw, w: Float[Array, " d"], v: Float[Array, " d"], panels: int = PANELS) -> Float[Array, " d"]:
    """`planar_gradient` in the plane of w and v, carried back to R^d (Eq. (20): the gradient lies in that plane)."""
    first = w / np.linalg.norm(w)
    across = v - (v @ first) * first
    size = np.linalg.norm(across)
    if size < 1e-14:  # parallel: any second direction will do
        across = np.eye(len(w))[int(np.argmin(np.abs(first)))]
        across = across - (across @ first) * first
        size = np.linalg.norm(across)
    second = across / size
    plane = np.stack([first, second])
    return planar_gradient(which.radius_nodes, which.radius_weights, plane @ w, plane @ v, panels=panels) @ plane


def _arcs(jump_normal: Array, bend_normal: Array, panels: int) -> tuple[Array, Array]:
    """Unit vectors [M, 2] and weights [M] (sum 1) on the circle, split and graded at the lines orthogonal to both normals."""
    breaks = []
    for normal in (jump_normal, bend_normal):
        angle = math.atan2(normal[1], normal[0]) + 0.5 * math.pi
        breaks += [angle % (2 * math.pi), (angle + math.pi) % (2 * math.pi)]
    edges = sorted(set(np.round(breaks, 15).tolist()))
    arcs = [arc for arc in itertools.pairwise([*edges, edges[0] + 2 * math.pi]) if arc[1] - arc[0] >= 1e-14]
    start, end = np.array(arcs).T[:, :, None]
    offset, weight = graded_nodes(0.5 * (end - start)[:, 0], panels=panels)
    weight /= 2 * math.pi
    angles, weights = np.empty((2, len(arcs), 2, offset.shape[1]))
    # from both ends of an arc to its middle
    np.add(start, offset, out=angles[:, 0])
    np.subtract(end, offset, out=angles[:, 1])
    weights[:] = weight[:, None]
    points = np.empty((angles.size, 2))
    np.cos(angles.ravel(), out=points[:, 0])
    np.sin(angles.ravel(), out=points[:, 1])
    return points, weights.ravel()

r"""Positively homogeneous networks with scalar output, as batched forwards over weights [S, k].

A network maps inputs x and weights w [S, k] to outputs $\mathcal H(X;w)$ [S, n]; x is [n, d], or [S, n, d] where each run has
inputs of its own. It satisfies $\mathcal H(x;cw)=c^L\mathcal H(x;w)$ for $c\ge0$. It is written once, as a forward; the product
of its Jacobian with a vector, $\mathcal J(X;w)^\top z$, comes from autograd, or from a closed form where the structure has one.

Adjacent linear layers are multiplied before they meet the data. The derivative of $\max(x,ax)$ at 0 is $\min(1,a)$: 0 for ReLU.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

Response = Callable[[Tensor], Tensor]
"""Outputs [S, n] -> the vector z [S, n] or [n] that the Jacobian is multiplied with."""


@dataclass(frozen=True)
class Activation:
    """max(x, slope x)^power, element-wise. slope 0 is ReLU^power, slope 1 the polynomial x^power, (1, 1) the identity."""

    slope: float = 0.0
    power: float = 1.0

    def __post_init__(self) -> None:
        if self.power < 1:
            raise ValueError(f"an activation needs a power of at least 1, got {self.power:g}")
        if self.slope == 1 and self.power != int(self.power):
            raise ValueError(f"x^{self.power:g} is not defined for x < 0: a polynomial activation needs a whole power")

    @property
    def is_identity(self) -> bool:
        return self.slope == 1 and self.power == 1

    @property
    def has_lipschitz_gradient(self) -> bool:
        return self.power >= 2 or self.slope == 1

    def __call__(self, z: Tensor) -> Tensor:
        return _power(self._base(z), self.power)

    def derivative(self, z: Tensor) -> Tensor:
        """One element of the Clarke subdifferential at each entry: 0 at 0 for ReLU."""
        if self.slope == 1:
            return torch.ones_like(z) if self.power == 1 else self.power * _power(z, self.power - 1)
        if self.slope == 0:
            if self.power == 1:
                return (z > 0).to(z.dtype)
            return self.power * _power(z.clamp_min(0), self.power - 1)
        high, low = max(1.0, self.slope), min(1.0, self.slope)
        branch = low + (high - low) * (z > 0).to(z.dtype)
        return branch if self.power == 1 else self.power * _power(self._base(z), self.power - 1) * branch

    def pull(self, z: Tensor, upstream: Tensor) -> Tensor:
        """derivative(z) * upstream, broadcast to z; one pass where torch has a kernel for it."""
        if self.slope == 0 and self.power == 1:
            return torch.ops.aten.threshold_backward(upstream.expand_as(z), z, 0)
        if self.slope == 0 and self.power == 2:
            return z.clamp_min(0) * (2 * upstream)
        return upstream.expand_as(z) if self.is_identity else self.derivative(z) * upstream

    def _base(self, z: Tensor) -> Tensor:
        return z if self.slope == 1 else z.clamp_min(0) if self.slope == 0 else torch.maximum(z, self.slope * z)


def _power(z: Tensor, power: float) -> Tensor:
    """z^power; by squaring for small whole powers, where torch's kernel is many times slower."""
    if power != int(power) or not 1 <= power <= 8:
        return z**power
    product, square, bits = None, z, int(power)
    while bits:
        if bits % 2:
            product = square if product is None else product * square
        square, bits = (square * square if bits > 1 else square), bits // 2
    assert product is not None
    return product


IDENTITY = Activation(1.0, 1.0)
RELU = Activation()


def relu_power(power: float) -> Activation:
    """max(x, 0)^power."""
    return Activation(0.0, power)


class Network:
    """A network of declared degree. Subclasses give `forward`; where they know more, they override the rest.

    Attributes:
        name: for tables and test ids.
        inputs, size: d and k.
        degree: the declared L. `hypotheses.require_degree` measures whether it is true.
        has_lipschitz_gradient: whether the gradient with respect to the weights is locally Lipschitz.
        blocks: slices of w on which a separable network acts one by one; one slice where it is not separable.
    """

    name: str
    inputs: int
    size: int
    degree: float
    has_lipschitz_gradient: bool
    blocks: tuple[slice, ...]

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s n"]:
        raise NotImplementedError

    def forward_and_pull(
        self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"], response: Response
    ) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s k"]]:
        r"""Outputs and $\mathcal J(X;w)^\top z$ with z = response(outputs), in one pass. Autograd; no graph is kept."""
        with torch.enable_grad():
            leaf = w.detach().requires_grad_(True)
            outputs = self.forward(leaf, x)
            z = response(outputs.detach()).expand_as(outputs)
            (pulled,) = torch.autograd.grad(outputs, leaf, z)
        return outputs.detach(), pulled

    def pull(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"], z: Float[Tensor, "*s n"]) -> Float[Tensor, "s k"]:
        r"""$\mathcal J(X;w)^\top z$: the gradient of the neural correlation function for z."""
        return self.forward_and_pull(w, x, lambda _: z)[1]

    def preactivations(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s m"]:
        """What changes sign where the gradient jumps: one column per unit and sample; no columns for a smooth network."""
        return w.new_zeros((w.shape[0], 0))

    def output_bound(self, x: Float[Tensor, "n d"]) -> float:
        r"""Upper bound of $\beta=\sup_{\|w\|=1}\|\mathcal H(X;w)\|_2$ in closed form. Raises ValueError where there is none."""
        raise ValueError(f"{self.name} has no closed upper bound of its outputs")

    def jacobian_bound(self, x: Float[Tensor, "n d"]) -> float:
        r"""Upper bound of $\alpha=\sup_{\|w\|=1}\|\mathcal J(X;w)\|_2$ in closed form. Raises ValueError where there is none.

        With one input it bounds $\chi$ of that input (two_homogeneous, Appendix J).
        """
        raise ValueError(f"{self.name} has no closed upper bound of its Jacobian")

    def jacobian_lipschitz_bound(self, x: Float[Tensor, "n d"], radius: float) -> float:
        r"""Upper bound of the Lipschitz constant of $\mathcal J(X;\cdot)$ on $\|w\|\le$ radius; ValueError if there is none."""
        raise ValueError(f"{self.name} has no closed Lipschitz bound of its Jacobian")


@dataclass(frozen=True)
class Layer:
    """`rows` units and their activation. `fixed` holds the matrix [rows, columns] of a layer that is not trained."""

    rows: int
    activation: Activation = IDENTITY
    fixed: tuple[tuple[float, ...], ...] | None = None

    @classmethod
    def constant(cls, matrix: Sequence[Sequence[float]], activation: Activation = IDENTITY) -> Layer:
        rows = tuple(tuple(float(entry) for entry in row) for row in matrix)
        return cls(len(rows), activation, rows)


@dataclass(frozen=True)
class FeedForward(Network):
    """Layers applied one after the other; the units of the last layer are summed (a fixed vector of ones).

    Weights are the trainable layers, first layer first, each [rows, columns] row by row. Separable into its units where it has
    one trainable layer followed by nothing that mixes units non-linearly.
    """

    name: str
    inputs: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        columns = self.inputs
        for position, layer in enumerate(self.layers, 1):
            if layer.fixed is not None and any(len(row) != columns for row in layer.fixed):
                raise ValueError(f"{self.name}: fixed layer {position} needs {columns} columns")
            columns = layer.rows
        if self.degree <= 0:
            raise ValueError(f"{self.name}: no layer is trainable")

    @functools.cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shapes of the trainable layers."""
        columns = [self.inputs, *(layer.rows for layer in self.layers)]
        return tuple((layer.rows, columns[j]) for j, layer in enumerate(self.layers) if layer.fixed is None)

    @functools.cached_property
    def size(self) -> int:  # type: ignore[override]
        return sum(rows * columns for rows, columns in self.shapes)

    @functools.cached_property
    def degree(self) -> float:  # type: ignore[override]
        """Each trainable layer adds one, each activation multiplies by its power."""
        return sum(self.layer_degrees)

    @functools.cached_property
    def _sizes(self) -> list[int]:
        return [rows * columns for rows, columns in self.shapes]

    @functools.cached_property
    def layer_degrees(self) -> tuple[float, ...]:
        """Degree in each trainable layer; they sum to L."""
        degrees: list[float] = []
        for layer in self.layers:
            degrees = [d * layer.activation.power for d in [*degrees, *([1.0] if layer.fixed is None else [])]]
        return tuple(int(d) if d == int(d) else d for d in degrees)

    @functools.cached_property
    def input_degree(self) -> float:
        """Degree in the input x."""
        return math.prod(layer.activation.power for layer in self.layers)

    @functools.cached_property
    def has_lipschitz_gradient(self) -> bool:  # type: ignore[override]
        return all(layer.activation.has_lipschitz_gradient for layer in self.layers)

    @functools.cached_property
    def blocks(self) -> tuple[slice, ...]:  # type: ignore[override]
        trainable = [j for j, layer in enumerate(self.layers) if layer.fixed is None]
        separable = trainable == [0] and all(layer.activation.is_identity for layer in self.layers[1:])
        if not separable:
            return (slice(0, self.size),)
        return tuple(slice(j * self.inputs, (j + 1) * self.inputs) for j in range(self.layers[0].rows))

    def unpack(self, w: Float[Tensor, "s k"]) -> list[Tensor]:
        """The trainable layers, each [S, rows, columns]."""
        parts = (w,) if len(self.shapes) == 1 else torch.split_with_sizes(w, self._sizes, dim=-1)
        return [part.view(*w.shape[:-1], *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s n"]:
        carried = x.mT
        for matrices, activation in self._segments(w):
            carried = activation(_product([matrix for matrix, _ in matrices]) @ carried)
        return carried.sum(dim=-2)

    def forward_and_pull(
        self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"], response: Response
    ) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s k"]]:
        """Closed form of the base class's autograd: back-propagation, segment by segment."""
        carried, tape = x.mT, []
        for matrices, activation in self._segments(w):
            product = _product([matrix for matrix, _ in matrices])
            z = product @ carried
            tape.append((matrices, activation, product, carried, z))
            carried = activation(z)
        outputs = carried.sum(dim=-2)
        upstream = response(outputs).unsqueeze(-2)
        gradients: list[Tensor] = []
        for matrices, activation, product, below, z in reversed(tape):
            delta = activation.pull(z, upstream)
            if below is not tape[0][3]:
                upstream = product.mT @ delta
            through = delta @ below.mT
            for j in range(len(matrices) - 1, -1, -1):
                matrix, trainable = matrices[j]
                if trainable:
                    gradients.append(through if j == 0 else through @ _product([m for m, _ in matrices[:j]]).mT)
                through = matrix.mT @ through
        return outputs, torch.cat([g.flatten(start_dim=-2) for g in reversed(gradients)], dim=-1)

    def preactivations(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s m"]:
        carried, kinked = x.mT, [w.new_zeros((w.shape[0], 0))]
        for matrices, activation in self._segments(w):
            z = _product([matrix for matrix, _ in matrices]) @ carried
            if not activation.has_lipschitz_gradient:
                kinked.append(z.expand(w.shape[0], *z.shape[-2:]).flatten(start_dim=-2))
            carried = activation(z)
        return torch.cat(kinked, dim=-1)

    def output_bound(self, x: Float[Tensor, "n d"]) -> float:
        r"""$\beta\le C\,\prod_l(m_l/L)^{m_l/2}\,(\sum_i\|x_i\|^{2M})^{1/2}$ ; m_l and M: degrees in layer l and in the input.

        $|\mathcal H(x;w)|\le C\|x\|^M\prod_l\|W_l\|^{m_l}$, maximised over the sphere; C collects spectral norms of fixed layers,
        slopes, and $\sqrt{h}$ for a last sum of h units of power one.
        """
        peak = math.prod((m / self.degree) ** (0.5 * m) for m in self.layer_degrees)
        return self._constant * peak * self._input_norm(x)

    def jacobian_bound(self, x: Float[Tensor, "n d"]) -> float:
        r"""Upper bound of alpha, with C, m_l and M of `output_bound`:

        $\alpha\le C\bigl(\sum_l m_l^2\prod_j(\tfrac{m_j-\delta_{jl}}{L-1})^{m_j-\delta_{jl}}\sum_i\|x_i\|^{2M}\bigr)^{1/2}$.

        $\|\partial\mathcal H/\partial W_l\|\le m_l\,C\|x\|^M\prod_j\|W_j\|^{m_j-\delta_{jl}}$, each term maximised on its own.
        """
        total = 0.0
        for position, m in enumerate(self.layer_degrees):
            rest = [d - (j == position) for j, d in enumerate(self.layer_degrees)]
            total += m**2 * math.prod((r / (self.degree - 1)) ** r for r in rest if r > 0)
        return self._constant * math.sqrt(total) * self._input_norm(x)

    def jacobian_lipschitz_bound(self, x: Float[Tensor, "n d"], radius: float) -> float:
        r"""$L(L-1)\,\text{radius}^{L-2}\,C\,(\sum_i\|x_i\|^{2L})^{1/2}$ for one trainable layer, of power L >= 2."""
        if len(self.shapes) > 1 or self.layer_degrees[0] != self.layers[0].activation.power or not self.has_lipschitz_gradient:
            return super().jacobian_lipschitz_bound(x, radius)
        degree = self.degree
        return degree * (degree - 1) * radius ** (degree - 2) * self._constant * self._input_norm(x)

    @functools.cached_property
    def _constant(self) -> float:
        """C of `output_bound`. Summing h units costs nothing for a power p >= 2, as ‖z‖_p <= ‖z‖_2, and a root of h below."""
        layers, readout, last = list(self.layers), 1.0, self.layers[-1]
        if len(layers) > 1 and last.fixed is not None and last.rows == 1 and last.activation.is_identity:
            layers.pop()
            row = torch.tensor(last.fixed[0], dtype=torch.float64)
            readout = float(row.abs().max() if layers[-1].activation.power >= 2 else row.norm())
        elif layers[-1].activation.power < 2:
            readout = math.sqrt(layers[-1].rows)
        constant = 1.0
        for layer in layers:
            if layer.fixed is not None:
                constant *= float(torch.linalg.matrix_norm(torch.tensor(layer.fixed, dtype=torch.float64), ord=2))
            constant = (constant * max(1.0, abs(layer.activation.slope))) ** layer.activation.power
        return constant * readout

    def _input_norm(self, x: Float[Tensor, "n d"]) -> float:
        return float((x.norm(dim=-1) ** (2 * self.input_degree)).sum().sqrt())

    def _segments(self, w: Tensor) -> list[tuple[list[tuple[Tensor, bool]], Activation]]:
        """Runs of layers that end with a non-linear activation: matrices with their being trainable, and the activation."""
        trained = iter(self.unpack(w))
        segments, matrices = [], []
        for layer in self.layers:
            matrix = next(trained) if layer.fixed is None else self._fixed(layer, w)
            matrices.append((matrix, layer.fixed is None))
            if not layer.activation.is_identity:
                segments.append((matrices, layer.activation))
                matrices = []
        if matrices:
            segments.append((matrices, IDENTITY))
        return segments

    def _fixed(self, layer: Layer, w: Tensor) -> Tensor:
        return _constant_tensor(layer.fixed, w.dtype, str(w.device))


@functools.cache
def _constant_tensor(rows: tuple[tuple[float, ...], ...], dtype: torch.dtype, device: str) -> Tensor:
    return torch.tensor(rows, dtype=dtype, device=device)


def _product(matrices: Sequence[Tensor]) -> Tensor:
    """Last @ ... @ first."""
    return functools.reduce(lambda below, matrix: matrix @ below, matrices)


@dataclass(frozen=True)
class Separable(Network):
    r"""$\mathcal H(x;w)=\sum_b\mathcal H_b(x;w_b)$ with disjoint weights (Section 5.2 of both papers).

    Raises ValueError if the parts differ in degree or in the dimension of the input.
    """

    name: str
    parts: tuple[Network, ...]

    def __post_init__(self) -> None:
        if len({(part.degree, part.inputs) for part in self.parts}) != 1:
            raise ValueError(f"{self.name}: the parts differ in degree or input: {[(p.degree, p.inputs) for p in self.parts]}")

    @property
    def inputs(self) -> int:  # type: ignore[override]
        return self.parts[0].inputs

    @property
    def degree(self) -> float:  # type: ignore[override]
        return self.parts[0].degree

    @functools.cached_property
    def size(self) -> int:  # type: ignore[override]
        return sum(part.size for part in self.parts)

    @property
    def has_lipschitz_gradient(self) -> bool:  # type: ignore[override]
        return all(part.has_lipschitz_gradient for part in self.parts)

    @functools.cached_property
    def part_slices(self) -> tuple[slice, ...]:
        """Where the weights of each part lie in w."""
        ends = [0]
        for part in self.parts:
            ends.append(ends[-1] + part.size)
        return tuple(slice(a, b) for a, b in itertools.pairwise(ends))

    @functools.cached_property
    def blocks(self) -> tuple[slice, ...]:  # type: ignore[override]
        return tuple(
            slice(where.start + block.start, where.start + block.stop)
            for part, where in zip(self.parts, self.part_slices, strict=True)
            for block in part.blocks
        )

    @functools.cached_property
    def _repeated(self) -> bool:
        """Whether all parts are the same network: then they are one batch."""
        return all(part == self.parts[0] for part in self.parts)

    def _for_parts(self, x: Tensor) -> Tensor:
        """Inputs of the batch of all runs' parts."""
        return x if x.ndim == 2 else x.repeat_interleave(len(self.parts), dim=0)

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s n"]:
        if self._repeated:
            each = self.parts[0].forward(w.reshape(-1, self.parts[0].size), self._for_parts(x))
            return each.view(w.shape[0], len(self.parts), -1).sum(dim=1)
        outputs = [part.forward(w[:, where], x) for part, where in zip(self.parts, self.part_slices, strict=True)]
        return torch.stack(outputs).sum(dim=0)

    def forward_and_pull(
        self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"], response: Response
    ) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s k"]]:
        """The parts one by one: each is pulled by the same z."""
        outputs = self.forward(w, x)
        z = response(outputs).expand_as(outputs)
        if self._repeated:
            each = z.repeat_interleave(len(self.parts), dim=0)
            return outputs, self.parts[0].pull(w.reshape(-1, self.parts[0].size), self._for_parts(x), each).view(w.shape)
        pulls = [part.pull(w[:, where], x, z) for part, where in zip(self.parts, self.part_slices, strict=True)]
        return outputs, torch.cat(pulls, dim=-1)

    def preactivations(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s m"]:
        kinked = [part.preactivations(w[:, where], x) for part, where in zip(self.parts, self.part_slices, strict=True)]
        return torch.cat(kinked, dim=-1)

    def output_bound(self, x: Float[Tensor, "n d"]) -> float:
        r"""The largest of the parts' bounds: $\sum_b\beta_b\|w_b\|^L\le\max_b\beta_b$ on the sphere, for L >= 2."""
        return max(part.output_bound(x) for part in self.parts)

    def jacobian_bound(self, x: Float[Tensor, "n d"]) -> float:
        r"""The largest of the parts' bounds: $\sum_b\alpha_b^2\|w_b\|^{2L-2}\le\max_b\alpha_b^2$ on the sphere, for L >= 2."""
        return max(part.jacobian_bound(x) for part in self.parts)


@dataclass(frozen=True)
class Mixture(Network):
    r"""$\sum_i c_i\mathcal H_i(x;w)$ with shared weights. Homogeneous only if all parts have the declared degree: a control."""

    name: str
    parts: tuple[tuple[float, Network], ...]
    degree: float
    has_lipschitz_gradient: bool = field(default=True)

    @property
    def inputs(self) -> int:  # type: ignore[override]
        return self.parts[0][1].inputs

    @property
    def size(self) -> int:  # type: ignore[override]
        return self.parts[0][1].size

    @property
    def blocks(self) -> tuple[slice, ...]:  # type: ignore[override]
        return self.parts[0][1].blocks

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s n"]:
        return sum(factor * part.forward(w, x) for factor, part in self.parts)  # type: ignore[return-value]


def power_net(units: int, inputs: int, power: float, signs: Sequence[float] = (), slope: float = 0.0) -> FeedForward:
    r"""$\sum_j v_j\max(w_j^\top x, a\,w_j^\top x)^p$ with fixed signs v_j (default all 1): degree p, separable."""
    layers = [Layer(units, Activation(slope, power))]
    if signs:
        layers.append(Layer.constant([signs]))
    kind = "polynomial" if slope == 1 else "relu" if slope == 0 else "leaky"
    return FeedForward(f"{kind}^{power:g}", inputs, tuple(layers))


def two_layer(units: int, inputs: int, slope: float = 0.0) -> Separable:
    r"""$\sum_k v_k\sigma(x^\top u_k)$, (leaky) ReLU, both layers trained: degree 2, separable into the pairs (u_k, v_k)."""
    unit = FeedForward("unit", inputs, (Layer(1, Activation(slope)), Layer(1)))
    return Separable("two-layer ReLU" if slope == 0 else "two-layer leaky ReLU", (unit,) * units)


def relu_two_trainable(widths: Sequence[int], inputs: int, output: Sequence[float]) -> FeedForward:
    r"""$v^\top\sigma(W_2\sigma(W_1x))$ with v fixed: degree 2, not separable (two_homogeneous, Section 2)."""
    first, second = widths
    return FeedForward("deep ReLU, two trained", inputs, (Layer(first, RELU), Layer(second, RELU), Layer.constant([output])))


def squared_relu(widths: Sequence[int], inputs: int) -> FeedForward:
    r"""$\mathbf1^\top\max(W_2W_1x,0)^2$: degree 4, the inner layer linear (deep_homogeneous, Section 5.1.2)."""
    first, second = widths
    return FeedForward("squared ReLU", inputs, (Layer(first), Layer(second, relu_power(2))))


def deep_relu(widths: Sequence[int], inputs: int) -> FeedForward:
    r"""$\mathbf1^\top\sigma(W_N\cdots\sigma(W_1x))$, ReLU after the last layer too (deep_homogeneous, Section 5.1.3)."""
    return FeedForward("deep ReLU", inputs, tuple(Layer(width, RELU) for width in widths))


def deep_linear(widths: Sequence[int], inputs: int) -> FeedForward:
    """W_N ... W_1 x with scalar output; `widths` are the hidden ones. Degree N."""
    return FeedForward(f"linear^{len(widths) + 1}", inputs, tuple(Layer(width) for width in [*widths, 1]))

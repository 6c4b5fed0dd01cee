r"""Full-batch gradient descent of one feed-forward regression network, in C or on tensors, in single or double precision.

The loss is the mean of $(\hat y-y)^2$ over samples and outputs. The code knows no sizes, so a network that grows needs one
compilation in all. Samples lie in panels, side by side in vectors; entries of the gradient are summed lane by lane and added up
once in a step, in an order that does not depend on the machine. Samples that fill up the last panel are zeros, which a network
without biases maps to zero, with label zero.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import POSITIVE, number, one_of, whole
from flowcheck.descent.compiler import NotNativeError, compiler
from flowcheck.descent.dense_code import MOST_LAYERS
from flowcheck.descent.vector_code import DTYPES, Precision, library
from flowcheck.networks.activation import Activation
from flowcheck.networks.zoo import deep_power

SOURCE = r"""
#define VECS 4
#define PANEL (VECS * LANES)
#define EACH(i, n) _Pragma("GCC unroll 4") for (int i = 0; i < (n); i++)
/* C[i][.] = sum_k A[i ra + k ca] B[k][.] for some i, a panel wide */
INLINE void rows_of_product(REAL *C, const REAL *A, long ra, long ca, const REAL *B, long K, const int rows) {
  vec sum[4][VECS];
  EACH(i, rows) EACH(v, VECS) sum[i][v] = (vec){0};
  for (long k = 0; k < K; k++) {
    vec b[VECS];
    EACH(v, VECS) b[v] = LOAD(B + k * PANEL + v * LANES);
    EACH(i, rows) { REAL a = A[i * ra + k * ca]; EACH(v, VECS) sum[i][v] += a * b[v]; }
  }
  EACH(i, rows) EACH(v, VECS) STORE(C + i * PANEL + v * LANES, sum[i][v]);
}

/* G[i][k] += D[i][.] A[k][.], lane by lane, for some i */
INLINE void rows_of_gradient(vec *G, const REAL *D, const REAL *A, long K, const int rows) {
  vec d[4][VECS];
  EACH(i, rows) EACH(v, VECS) d[i][v] = LOAD(D + i * PANEL + v * LANES);
  for (long k = 0; k < K; k++) {
    vec a[VECS];
    EACH(v, VECS) a[v] = LOAD(A + k * PANEL + v * LANES);
    EACH(i, rows) { vec g = G[i * K + k]; EACH(v, VECS) g += d[i][v] * a[v]; G[i * K + k] = g; }
  }
}

#define IN_FOURS(M, CALL) { long i = 0; for (; i + 4 <= (M); i += 4) CALL(4); \
  switch ((M) - i) { case 3: CALL(3); break; case 2: CALL(2); break; case 1: CALL(1); break; } }

static void product(REAL *C, const REAL *A, long ra, long ca, const REAL *B, long M, long K) {
#define CALL(rows) rows_of_product(C + i * PANEL, A + i * ra, ra, ca, B, K, rows)
  IN_FOURS(M, CALL)
#undef CALL
}

static void gradient(vec *G, const REAL *D, const REAL *A, long M, long K) {
#define CALL(rows) rows_of_gradient(G + i * K, D + i * PANEL, A, K, rows)
  IN_FOURS(M, CALL)
#undef CALL
}

/* A = max(z, slope z)^power, and in place of z the derivative; low and high are the slopes below (and at) zero and above */
INLINE void activate(REAL *A, REAL *Z, long size, REAL low, REAL high, long power) {
  for (long i = 0; i < size; i += LANES) {
    vec z = LOAD(Z + i), slope = SELECT(z > 0, high + (vec){0}, low + (vec){0}), base = slope * z, value = base;
    vec derivative = slope;
    for (long p = 1; p < power; p++) { derivative *= base * ((REAL)(p + 1) / p); value *= base; }
    STORE(A + i, value);
    STORE(Z + i, derivative);
  }
}

/* W[j]: [widths[j + 1]][widths[j]]; X: [panels][widths[0]][PANEL]; Y: [panels][widths[layers]][PANEL] */
void descend(long layers, const long *widths, long panels, long count, REAL **W, const REAL *X, const REAL *Y,
             const REAL *numbers, long power) {
  const REAL share = numbers[0], low = numbers[1], high = numbers[2];
  const long inputs = widths[0], outputs = widths[layers];
  REAL *A[16], *Z[16], *D[16];
  vec *G[16];
  for (long j = 0; j < layers; j++) {
    long size = widths[j + 1] * PANEL;
    A[j + 1] = room(size), Z[j + 1] = room(size), D[j + 1] = room(size);
    G[j] = room(widths[j + 1] * widths[j] * LANES);
  }
  for (long step = 0; step < count; step++) {
    for (long j = 0; j < layers; j++) memset(G[j], 0, widths[j + 1] * widths[j] * sizeof(vec));
    for (long p = 0; p < panels; p++) {
      const REAL *y = Y + p * outputs * PANEL;
      A[0] = (REAL *)X + p * inputs * PANEL;
      for (long j = 1; j <= layers; j++) {
        product(Z[j], W[j - 1], widths[j - 1], 1, A[j - 1], widths[j], widths[j - 1]);
        if (j < layers) activate(A[j], Z[j], widths[j] * PANEL, low, high, power);
      }
      for (long i = 0; i < outputs * PANEL; i += LANES) STORE(D[layers] + i, LOAD(y + i) - LOAD(Z[layers] + i));
      for (long j = layers; j >= 1; j--) {
        gradient(G[j - 1], D[j], A[j - 1], widths[j], widths[j - 1]);
        if (j == 1) break;
        product(D[j - 1], W[j - 1], 1, widths[j - 1], D[j], widths[j - 1], widths[j]);
        for (long i = 0; i < widths[j - 1] * PANEL; i += LANES) STORE(D[j - 1] + i, LOAD(D[j - 1] + i) * LOAD(Z[j - 1] + i));
      }
    }
    for (long j = 0; j < layers; j++)
      for (long i = 0; i < widths[j + 1] * widths[j]; i++) {
        REAL sum = 0;
        for (long l = 0; l < LANES; l++) sum += G[j][i][l];
        W[j][i] += share * sum;
      }
  }
  for (long j = 1; j <= layers; j++) { free(A[j]); free(Z[j]); free(D[j]); free(G[j - 1]); }
}
"""


class RegressionDescent:
    """Steps from `layers`, the matrices W_1 ... W_L, on inputs x [n, d] and labels y [n, c]; `mode` says how they are taken.

    Args:
        activation: between the layers; of whole power.
        precision: in which weights are kept and gradients computed, "float32" or "float64".
        compile: in C, where the data are on the CPU and there is a compiler; elsewhere tensors, and `mode` says why.

    Raises ValueError for shapes that do not fit, or a power that is not whole.

    Fit y = 1 by ab from a = b = 1/2: the derivative of (1 - ab)^2 is -3/4, so one step of 0.1 adds 0.075 to each weight.

    >>> from flowcheck.networks.activation import IDENTITY
    >>> half, one = torch.full((1, 1), 0.5, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    >>> run = RegressionDescent([half, half], IDENTITY, one, one)
    >>> [layer.item() for layer in run.advance(1, step_size=0.1)]
    [0.575, 0.575]
    """

    def __init__(
        self,
        layers: Sequence[Float[Tensor, "_ _"]],
        activation: Activation,
        x: Float[Tensor, "n d"],
        y: Float[Tensor, "n c"],
        *,
        precision: Precision = "float64",
        compile: bool = True,
    ) -> None:
        one_of("precision", precision, DTYPES)
        self.power = whole("the power of the activation", activation.power, 1)
        self.widths = [x.shape[1], *(layer.shape[0] for layer in layers)]
        fits = [layer.shape[1] for layer in layers] == self.widths[:-1] and len(layers) <= MOST_LAYERS
        if not fits or y.shape != (len(x), self.widths[-1]):
            shapes = [tuple(layer.shape) for layer in layers]
            raise ValueError(f"layers {shapes} do not map x {tuple(x.shape)} to y {tuple(y.shape)}")
        self.dtype, self.activation = DTYPES[precision], activation
        self.layers = [layer.to(self.dtype, copy=True).contiguous() for layer in layers]
        self.x, self.y, self.mode = x.to(self.dtype), y.to(self.dtype), "compiled" if compile else "tensors"
        if compile:
            try:
                if x.device.type != "cpu":
                    raise NotNativeError(f"data are on {x.device}")
                self.take = _descend(precision)
                self.panels = [_panels(part, 4 * 64 // self.dtype.itemsize) for part in (self.x, self.y)]
            except NotNativeError as reason:
                self.mode = f"tensors: {reason}"

    def advance(self, steps: int, step_size: float) -> list[Float[Tensor, "_ _"]]:
        """So many steps; the layers after them, in double precision. Where the descent diverges, they are not finite."""
        count = whole("steps", steps, 1)
        share = 2.0 * number("step_size", step_size, POSITIVE) / self.y.numel()
        if self.mode == "compiled":
            self._compiled(count, share)
        else:
            self._tensors(count, share)
        return [layer.double() for layer in self.layers]

    def restore(self, layers: Sequence[Float[Tensor, "_ _"]]) -> None:
        """Goes on from these layers."""
        for mine, other in zip(self.layers, layers, strict=True):
            mine.copy_(other)

    def _compiled(self, count: int, share: float) -> None:
        widths = (ctypes.c_long * len(self.widths))(*self.widths)
        weights = (ctypes.c_void_p * len(self.layers))(*(layer.data_ptr() for layer in self.layers))
        slopes = [min(1.0, self.activation.slope), max(1.0, self.activation.slope)]
        numbers = torch.tensor([share, *slopes], dtype=self.dtype, device="cpu")
        sizes = (ctypes.c_long(len(self.layers)), widths, ctypes.c_long(len(self.panels[0])), ctypes.c_long(count))
        data = [ctypes.c_void_p(part.data_ptr()) for part in (*self.panels, numbers)]
        self.take(*sizes, weights, *data, ctypes.c_long(self.power))

    def _tensors(self, count: int, share: float) -> None:
        network = deep_power(self.widths[1:-1], self.widths[0], self.power, self.activation.slope, self.widths[-1])
        w, y = torch.cat([layer.flatten() for layer in self.layers])[None], self.y.flatten()
        with torch.no_grad():
            for _ in range(count):
                w = w + share * network.forward_and_pull(w, self.x, lambda outputs: y - outputs)[1]
        self.restore([layer[0] for layer in network.unpack(w)])


def _panels(part: Float[Tensor, "n d"], panel: int) -> Float[Tensor, "_ d _"]:
    """Samples side by side, in panels that zeros fill up."""
    padded = torch.zeros(-(-len(part) // panel) * panel, part.shape[1], dtype=part.dtype, device="cpu")
    padded[: len(part)] = part
    return padded.view(-1, panel, part.shape[1]).mT.contiguous()


def _descend(precision: Precision) -> Callable[..., None]:
    """Raises NotNativeError where nothing can be compiled."""
    descend = library("#define BYTES 64\n", SOURCE, precision, compiler(os.environ.get("CC", ""))).descend
    descend.restype = None
    return descend

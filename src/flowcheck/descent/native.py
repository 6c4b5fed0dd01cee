r"""Blocks of gradient-descent steps in C, for a feed-forward network of fixed sizes, compiled when they are first asked for.

One run at a time and samples in tiles, so that weights, activations and gradients of a step stay in the first-level cache; all
products are register tiles with sizes known to the compiler. Widths are padded to whole vectors of 4 doubles, whatever the
machine has: a choice by speed would change the rounding from run to run, and 8 were no faster on widths of 20. Layers are kept
transposed, [columns, rows]; the arithmetic is that of `FeedForward.forward_and_pull`, up to rounding.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from flowcheck.descent.compiler import NotNativeError, compiler, shared_library
from flowcheck.losses import Loss
from flowcheck.networks.activation import IDENTITY, RELU, Activation
from flowcheck.networks.feed_forward import FeedForward, Layer
from flowcheck.networks.problem import Objective

NativeBlock = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor, Tensor]]
"""w [S, k], step [S, 1], count -> the iterate before the last, the last, and the losses [count, S] on the way."""

TILE = 50
"""Samples that go through all layers together, at most; a multiple of the 5 rows of the best register tile."""

LANES = 4
"""Doubles in a vector."""

PRODUCT = r"""
#include <math.h>
#include <string.h>
typedef double vec __attribute__((vector_size(VEC * 8), aligned(8), may_alias));
typedef long long mask __attribute__((vector_size(VEC * 8), aligned(8), may_alias));
/* rows x wide sums, wide factors and one more fit the vector registers: 32 or 16 */
#ifdef __AVX512F__
#define ROWS(wide) ((wide) > 4 ? 5 : (wide) > 3 ? 6 : 8)
#else
#define ROWS(wide) ((wide) > 3 ? 2 : 4)
#endif
#define INLINE static inline __attribute__((always_inline))
#define LOAD(p) (*(const vec *)(p))
#define STORE(p, v) (*(vec *)(p) = (v))

#define SELECT(condition, yes, no) select_lanes((mask)(condition), yes, no)
INLINE vec select_lanes(mask m, vec yes, vec no) { return (vec)((m & (mask)yes) | (~m & (mask)no)); }
INLINE vec whole_power(vec base, int power) { vec v = base; for (int i = 1; i < power; i++) v *= base; return v; }
INLINE vec any_power(vec base, double power) { for (int i = 0; i < VEC; i++) base[i] = pow(base[i], power); return base; }

/* what is done with a sum: put in place of C, added to C, put there where positive, put there where C is positive (else 0) */
enum { PUT, ADD, POSITIVE, MASKED };

/* C[i][j] = sum_k A[i * ra + k * ca] B[k][j] for `rows` i and `wide` vectors of j, all in registers */
INLINE void tile(double *C, int ldc, const double *A, int ra, int ca, const double *B, int ldb, int K, int rows, int wide,
                 int what) {
  vec sum[8][5];
  _Pragma("GCC unroll 8") for (int i = 0; i < rows; i++)
    _Pragma("GCC unroll 8") for (int j = 0; j < wide; j++)
      sum[i][j] = what == ADD ? LOAD(C + i * ldc + j * VEC) : (vec){0};
  for (int k = 0; k < K; k++) {
    vec b[5];
    _Pragma("GCC unroll 8") for (int j = 0; j < wide; j++) b[j] = LOAD(B + k * ldb + j * VEC);
    _Pragma("GCC unroll 8") for (int i = 0; i < rows; i++) {
      double a = A[i * ra + k * ca];
      _Pragma("GCC unroll 8") for (int j = 0; j < wide; j++) sum[i][j] += a * b[j];
    }
  }
  _Pragma("GCC unroll 8") for (int i = 0; i < rows; i++)
    _Pragma("GCC unroll 8") for (int j = 0; j < wide; j++)
      STORE(C + i * ldc + j * VEC, what == POSITIVE ? SELECT(sum[i][j] <= 0, (vec){0}, sum[i][j])
                                   : what == MASKED ? SELECT(LOAD(C + i * ldc + j * VEC) > 0, sum[i][j], (vec){0})
                                                    : sum[i][j]);
}

INLINE void strip(double *C, int ldc, const double *A, int ra, int ca, const double *B, int ldb, int M, int K, int wide,
                  int what) {
  const int rows = ROWS(wide);
  int i = 0;
  for (; i + rows <= M; i += rows) tile(C + i * ldc, ldc, A + i * ra, ra, ca, B, ldb, K, rows, wide, what);
  if (M % rows) tile(C + i * ldc, ldc, A + i * ra, ra, ca, B, ldb, K, M % rows, wide, what);
}

/* C[M][width] = A B; width is a whole number of vectors and the row length of B */
INLINE void product(double *C, const double *A, int ra, int ca, const double *B, int M, int K, int width, int what) {
  const int wide = width / VEC;
  int j = 0;
  for (; j + 5 <= wide; j += 5) strip(C + j * VEC, width, A, ra, ca, B + j * VEC, width, M, K, 5, what);
  if (wide % 5) strip(C + j * VEC, width, A, ra, ca, B + j * VEC, width, M, K, wide % 5, what);
}

/* T[j][i] = M[i][j] */
INLINE void transpose(double *T, int ldt, const double *M, int ldm, int rows, int columns) {
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++) T[j * ldt + i] = M[i * ldm + j];
}
"""


def native_block(objective: Objective, w: Tensor) -> NativeBlock:
    """Blocks of steps in C. The first call for a network, loss and number of samples takes one to three seconds.

    Raises NotNativeError where the network, the device or the machine does not allow it.
    """
    network, loss = objective.network, objective.loss
    if not isinstance(network, FeedForward):
        raise NotNativeError(f"{network.name} is not feed-forward")
    if network.readout != "sum" or loss.outputs_per_sample > 1:
        raise NotNativeError(f"{network.name} or its loss has several outputs for a sample")
    if w.device.type != "cpu" or w.dtype != torch.float64:
        raise NotNativeError(f"weights are {w.dtype} on {w.device}")
    descend = _build(network, loss, objective.x.shape[-2], compiler(os.environ.get("CC", "")))
    x, y = objective.x.contiguous(), objective.y.contiguous()
    own_x, own_y = (x[0].numel() if x.dim() == 3 else 0), (y[0].numel() if y.dim() == 2 else 0)

    def block(w: Tensor, step: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        last, previous = w.clone(memory_format=torch.contiguous_format), torch.empty_like(w)
        losses = w.new_empty((count, w.shape[0]))
        step = step.contiguous()
        pointers = [t.data_ptr() for t in (last, previous, step, x, y, losses)]
        descend(*pointers, own_x, own_y, w.shape[0], count)
        return previous, last, losses

    return block


@functools.cache
def _build(network: FeedForward, loss: Loss, n: int, command: tuple[str, ...]) -> Callable[..., None]:
    descend = shared_library(Source(network, loss, n).text(), command).descend
    descend.argtypes = [ctypes.c_void_p] * 6 + [ctypes.c_long] * 4
    descend.restype = None
    return descend


@dataclass(frozen=True)
class _Segment:
    """Layers up to the next activation; `first` is the position of its first layer, `inputs` the width of what it reads."""

    first: int
    layers: tuple[Layer, ...]
    inputs: int
    activation: Activation

    @property
    def rows(self) -> int:
        return self.layers[-1].rows


@dataclass(frozen=True)
class Source:
    """The C source of one network, loss and number of samples."""

    network: FeedForward
    loss: Loss
    n: int

    def text(self) -> str:
        return "\n".join([f"#define VEC {LANES}", PRODUCT, *self._state(), *self._tile(), *self._step(), *self._descend()])

    @functools.cached_property
    def columns(self) -> list[int]:
        return [self.network.inputs, *(layer.rows for layer in self.network.layers)]

    @functools.cached_property
    def segments(self) -> list[_Segment]:
        found, start = [], 0
        for position, layer in enumerate(self.network.layers):
            if not layer.activation.is_identity or position == len(self.network.layers) - 1:
                layers = self.network.layers[start : position + 1]
                found.append(_Segment(start, layers, self.columns[start], layer.activation))
                start = position + 1
        return found

    def padded(self, width: int) -> int:
        return -(-width // LANES) * LANES

    def _state(self) -> Iterator[str]:
        """One run: T layers transposed, N layers as they are, Q products of layers, transposed; Z, A, G of each segment."""
        yield "struct run {"
        for position, layer in enumerate(self.network.layers):
            rows, columns = layer.rows, self.columns[position]
            yield f"  double T{position}[{columns * self.padded(rows)}], N{position}[{rows * self.padded(columns)}];"
            yield f"  double Q{position}[{max(self.columns) * self.padded(rows)}];"
        for number, segment in enumerate(self.segments):
            width = self.padded(segment.rows)
            yield f"  double Z{number}[{TILE * width}], A{number}[{TILE * width}];"
            yield f"  double G{number}[{segment.inputs * width}], P{number}[{segment.rows * self.padded(segment.inputs)}];"
        widest = self.padded(max(self.columns)) * max(self.columns)
        yield f"  double U[{TILE * self.padded(max(self.columns))}], F[{widest}], H[2][{widest}];"
        yield "};"

    def _product(self, number: int) -> str:
        """Where the transposed product of a segment lies."""
        segment = self.segments[number]
        last = segment.first + len(segment.layers) - 1
        return f"T{last}" if len(segment.layers) == 1 else f"Q{last}"

    def _tile(self) -> Iterator[str]:
        """Forward and back through all segments with `tn` samples; adds to the loss and to the gradients G of the segments."""
        yield "INLINE void samples(struct run *s, const double *x, const double *y, double *loss, const int tn) {"
        yield f"  double r[{TILE}], total = 0;"
        last = len(self.segments) - 1
        for number, segment in enumerate(self.segments):
            source, width = self._input(number), self.padded(segment.rows)
            plain, value = segment.activation == RELU, self._value(segment.activation)
            operands = f"{source}, 1, s->{self._product(number)}, tn, {segment.inputs}, {width}"
            yield f"  product(s->Z{number}, {operands}, {'POSITIVE' if plain else 'PUT'});"
            if number < last and not plain:
                yield f"  for (int i = 0; i < tn * {width}; i += VEC) {{ vec z = LOAD(s->Z{number} + i);"
                yield f"    STORE(s->{self._active(number)} + i, {value}); }}"
            if number == last:
                yield "  for (int i = 0; i < tn; i++) { vec sum = {0};"
                yield f"    for (int j = 0; j < {width}; j += VEC)"
                yield f"      {{ vec z = LOAD(s->Z{last} + i * {width} + j); sum += {value}; }}"
                yield "    double h = 0; for (int e = 0; e < VEC; e++) h += sum[e];"
                yield f"    r[i] = {self._residual()}; total += {self._loss()}; }}"
        yield f"  *loss += {self.loss.factor(self.n)!r} * total;"
        for number in range(last, -1, -1):
            yield from self._back(number)
        yield "}"

    def _back(self, number: int) -> Iterator[str]:
        segment, width = self.segments[number], self.padded(self.segments[number].rows)
        is_last, masks = number == len(self.segments) - 1, segment.activation == RELU
        if not is_last:
            above, target = self.segments[number + 1], f"Z{number}" if masks else "U"
            operands = f"s->Z{number + 1}, {self.padded(above.rows)}, 1, s->P{number + 1}, tn, {above.rows}, {width}"
            yield f"  product(s->{target}, {operands}, {'MASKED' if masks else 'PUT'});"
        if is_last or not masks:
            upstream = "r[i] + (vec){0}" if is_last else f"LOAD(s->U + i * {width} + j)"
            yield f"  for (int i = 0; i < tn; i++) for (int j = 0; j < {width}; j += VEC) {{"
            yield f"    vec z = LOAD(s->Z{number} + i * {width} + j), up = {upstream};"
            yield f"    STORE(s->Z{number} + i * {width} + j, {self._derivative(segment.activation)}); }}"
        if width > segment.rows:
            yield "  for (int i = 0; i < tn; i++)"
            yield f"    for (int j = {segment.rows}; j < {width}; j++) s->Z{number}[i * {width} + j] = 0;"
        source = self._input(number).rsplit(",", 1)
        yield f"  product(s->G{number}, {source[0]}, 1,{source[1]}, s->Z{number}, {segment.inputs}, tn, {width}, ADD);"

    def _input(self, number: int) -> str:
        """What a segment reads, and its row length."""
        if number == 0:
            return f"x, {self.network.inputs}"
        return f"s->{self._active(number - 1)}, {self.padded(self.segments[number - 1].rows)}"

    def _active(self, number: int) -> str:
        """Where the outputs of a segment lie: on its pre-activations, if those are not needed for the derivative."""
        return f"{'Z' if self.segments[number].activation in (RELU, IDENTITY) else 'A'}{number}"

    def _step(self) -> Iterator[str]:
        yield "static void step(struct run *s, const double *x, const double *y, double *loss, double size) {"
        for number, segment in enumerate(self.segments):
            first, inputs = segment.first, segment.inputs
            below = f"T{first}"
            for position in range(first + 1, first + len(segment.layers)):
                width, middle = self.padded(self.columns[position + 1]), self.columns[position]
                stride = f"{self.padded(middle)}, 1"
                yield f"  product(s->Q{position}, s->{below}, {stride}, s->T{position}, {inputs}, {middle}, {width}, PUT);"
                below = f"Q{position}"
                if self.network.layers[position].fixed is None:
                    yield self._transpose(f"N{position}", f"T{position}", middle, self.columns[position + 1])
            if number > 0:
                yield self._transpose(f"P{number}", self._product(number), inputs, segment.rows)
            yield f"  memset(s->G{number}, 0, sizeof s->G{number});"
        tiles = -(-self.n // TILE)
        size = -(-self.n // (5 * tiles)) * 5
        whole = self.n // size
        step = f"samples(s, x + i * {self.network.inputs}, y + i, loss"
        yield f"  *loss = 0; int i = 0; for (; i < {whole * size}; i += {size}) {step}, {size});"
        if self.n % size:
            yield f"  {step}, {self.n % size});"
        for number in range(len(self.segments)):
            yield from self._update(number)
        yield "}"

    def _transpose(self, target: str, source: str, rows: int, columns: int) -> str:
        return f"  transpose(s->{target}, {self.padded(rows)}, s->{source}, {self.padded(columns)}, {rows}, {columns});"

    def _update(self, number: int) -> Iterator[str]:
        """From the gradient of a segment's product to those of its layers, last layer first, and the step itself."""
        segment, through = self.segments[number], f"s->G{number}"
        for position in range(segment.first + len(segment.layers) - 1, segment.first - 1, -1):
            rows, columns = self.columns[position + 1], self.columns[position]
            width, below = self.padded(rows), self.padded(columns)
            if self.network.layers[position].fixed is None:
                gradient = through
                if position > segment.first:
                    left = f"T{segment.first}" if position == segment.first + 1 else f"Q{position - 1}"
                    yield f"  product(s->F, s->{left}, 1, {below}, {through}, {columns}, {segment.inputs}, {width}, PUT);"
                    gradient = "s->F"
                update = f"  for (int i = 0; i < {columns * width}; i += VEC)"
                update += f" STORE(s->T{position} + i, LOAD(s->T{position} + i) + size * LOAD({gradient} + i));"
                yield update
            if position > segment.first:
                target = f"s->H[{position % 2}]"
                yield f"  product({target}, {through}, {width}, 1, s->N{position}, {segment.inputs}, {rows}, {below}, PUT);"
                through = target

    def _descend(self) -> Iterator[str]:
        fixed = [(j, layer) for j, layer in enumerate(self.network.layers) if layer.fixed is not None]
        for position, layer in fixed:
            entries = ", ".join(repr(entry) for row in layer.fixed or () for entry in row)
            yield f"static const double fixed{position}[] = {{{entries}}};"
        yield "void descend(double *w, double *previous, const double *size, const double *x, const double *y, double *loss,"
        yield "             long own_x, long own_y, long runs, long count) {"
        yield "  static _Thread_local struct run state; struct run *s = &state; memset(s, 0, sizeof *s);"
        for position, layer in fixed:
            rows, columns = layer.rows, self.columns[position]
            yield f"  transpose(s->T{position}, {self.padded(rows)}, fixed{position}, {columns}, {rows}, {columns});"
            yield self._transpose(f"N{position}", f"T{position}", columns, rows)
        yield f"  for (long j = 0; j < runs; j++, w += {self.network.size}, previous += {self.network.size}) {{"
        yield from self._move("w", load=True)
        yield "    for (long c = 0; c < count; c++) {"
        yield "      if (c == count - 1) {"
        yield from self._move("previous", load=False)
        yield "      }"
        yield "      step(s, x + j * own_x, y + j * own_y, loss + c * runs + j, size[j]);"
        yield "    }"
        yield from self._move("w", load=False)
        yield "  }"
        yield "}"

    def _move(self, where: str, *, load: bool) -> Iterator[str]:
        """Trained layers from the caller's rows to the padded, transposed ones, or back."""
        offset = 0
        for position, layer in enumerate(self.network.layers):
            rows, columns = layer.rows, self.columns[position]
            if layer.fixed is None:
                width, at = self.padded(rows), f"{where} + {offset}"
                if load:
                    yield f"    memset(s->T{position}, 0, sizeof s->T{position}); /* a diverged run leaves nan in the padding */"
                    yield f"    transpose(s->T{position}, {width}, {at}, {columns}, {rows}, {columns});"
                else:
                    yield f"    transpose({at}, {columns}, s->T{position}, {width}, {columns}, {rows});"
                offset += rows * columns

    def _residual(self) -> str:
        factor = self.loss.factor(self.n)
        if self.loss.kind == "square":
            return f"{2 * factor!r} * (y[i] - h)"
        return f"{factor!r} * y[i] / (1 + exp(h * y[i]))"

    def _loss(self) -> str:
        """Of one sample, without its factor."""
        if self.loss.kind == "square":
            return "(h - y[i]) * (h - y[i])"
        return "(h * y[i] > 0 ? log1p(exp(-h * y[i])) : log1p(exp(h * y[i])) - h * y[i])"

    def _value(self, activation: Activation) -> str:
        return _power(_base(activation), activation.power)

    def _derivative(self, activation: Activation) -> str:
        """Its derivative at z, times up."""
        power = activation.power
        outer = f"{power!r} * {_power(_base(activation), power - 1)} * up" if power != 1 else "up"
        if activation.slope == 1 or (activation.slope == 0 and power != 1):
            return outer
        high, low = max(1.0, activation.slope), min(1.0, activation.slope)
        return f"SELECT(z > 0, {high!r} * ({outer}), {low!r} * ({outer}))"


def _base(activation: Activation) -> str:
    """max(z, slope z); NaN where z is NaN, so that a diverged run shows."""
    if activation.slope == 1:
        return "z"
    return f"SELECT(z <= 0, {min(1.0, activation.slope)!r} * z, {max(1.0, activation.slope)!r} * z)"


def _power(base: str, power: float) -> str:
    if power == 1:
        return base
    if power == int(power) and power <= 8:
        return f"whole_power({base}, {int(power)})"
    return f"any_power({base}, {power!r})"

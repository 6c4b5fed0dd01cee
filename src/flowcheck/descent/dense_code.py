"""Steps of fully connected classifiers in C, in either precision, compiled when they are first asked for.

Two products do the work: tiles of five rows and two vectors that stay in registers, and dot products of rows. Each entry is
summed in an order that does not depend on the machine, in vectors of 32 bytes whatever it has. Rows are padded with zeros to
whole tiles; inputs lie there twice, in panels of samples and in panels of inputs, so that both products with them read memory as
it comes.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.descent.compiler import compiler
from flowcheck.descent.vector_code import DTYPES, Precision, library

MOST_LAYERS = 15
"""What the arrays of the C code hold."""

HEAD = """
#define BYTES 32
"""
SOURCE = r"""
#define PAD(x) (((x) + WIDE - 1) / WIDE * WIDE)
#define DEPTH 256

/* C[i][.] = sum_k A[i ra + k ca] B[k][.], or added to C once the sum is complete; two vectors wide */
INLINE void tile(REAL *C, long ldc, const REAL *A, long ra, long ca, const REAL *B, long ldb, long K, const int rows,
                 const int add) {
  vec sum[5][2];
  _Pragma("GCC unroll 5") for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = (vec){0};
  for (long k = 0; k < K; k++) {
    vec b0 = LOAD(B + k * ldb), b1 = LOAD(B + k * ldb + LANES);
    _Pragma("GCC unroll 5") for (int i = 0; i < rows; i++) {
      REAL a = A[i * ra + k * ca];
      sum[i][0] += a * b0;
      sum[i][1] += a * b1;
    }
  }
  _Pragma("GCC unroll 5") for (int i = 0; i < rows; i++) {
    REAL *c = C + i * ldc;
    if (add) { sum[i][0] += LOAD(c); sum[i][1] += LOAD(c + LANES); }
    STORE(c, sum[i][0]);
    STORE(c + LANES, sum[i][1]);
  }
}

INLINE void strip(REAL *C, long ldc, const REAL *A, long ra, long ca, const REAL *B, long ldb, long M, long K, const int add) {
  long i = 0;
  for (; i + 5 <= M; i += 5) tile(C + i * ldc, ldc, A + i * ra, ra, ca, B, ldb, K, 5, add);
  switch (M - i) {
    case 4: tile(C + i * ldc, ldc, A + i * ra, ra, ca, B, ldb, K, 4, add); break;
    case 3: tile(C + i * ldc, ldc, A + i * ra, ra, ca, B, ldb, K, 3, add); break;
    case 2: tile(C + i * ldc, ldc, A + i * ra, ra, ca, B, ldb, K, 2, add); break;
    case 1: tile(C + i * ldc, ldc, A + i * ra, ra, ca, B, ldb, K, 1, add); break;
  }
}

/* C[M][panels WIDE] = A B, or added to C; panel p of B begins at B + p step and has rows ldb apart */
static void product(REAL *C, long ldc, const REAL *A, long ra, long ca, const REAL *B, long ldb, long step, long M, long K,
                    long panels, int add) {
  for (long p = 0; p < panels; p++)
    for (long k = 0; k < K; k += DEPTH) {
      long deep = K - k < DEPTH ? K - k : DEPTH;
      const REAL *b = B + p * step + k * ldb, *a = A + k * ca;
      if (add || k) strip(C + p * WIDE, ldc, a, ra, ca, b, ldb, M, deep, 1);
      else strip(C + p * WIDE, ldc, a, ra, ca, b, ldb, M, deep, 0);
    }
}

INLINE REAL across(vec v) { REAL s = 0; for (int i = 0; i < LANES; i++) s += v[i]; return s; }

INLINE void dot_tile(REAL *C, long ldc, const REAL *A, long lda, const REAL *B, long ldb, long K, const int rows,
                     const int columns, int add) {
  vec sum[2][5];
  _Pragma("GCC unroll 2") for (int i = 0; i < rows; i++)
    _Pragma("GCC unroll 5") for (int j = 0; j < columns; j++) sum[i][j] = (vec){0};
  for (long k = 0; k < K; k += LANES) {
    vec a[2];
    _Pragma("GCC unroll 2") for (int i = 0; i < rows; i++) a[i] = LOAD(A + i * lda + k);
    _Pragma("GCC unroll 5") for (int j = 0; j < columns; j++) {
      vec b = LOAD(B + j * ldb + k);
      _Pragma("GCC unroll 2") for (int i = 0; i < rows; i++) sum[i][j] += a[i] * b;
    }
  }
  _Pragma("GCC unroll 2") for (int i = 0; i < rows; i++)
    _Pragma("GCC unroll 5") for (int j = 0; j < columns; j++) {
    REAL *c = C + i * ldc + j, s = across(sum[i][j]);
    *c = add ? *c + s : s;
  }
}

/* C[i][j] = sum_k A[i][k] B[j][k], or added to C; rows of A and B are padded with zeros */
static void dots(REAL *C, long ldc, const REAL *A, long lda, const REAL *B, long ldb, long M, long N, long K, int add) {
  for (long i = 0; i < M; i += 2)
    for (long j = 0; j < N; j += 5) {
      REAL *c = C + i * ldc + j;
      const REAL *a = A + i * lda, *b = B + j * ldb;
      if (i + 2 <= M && j + 5 <= N) dot_tile(c, ldc, a, lda, b, ldb, K, 2, 5, add);
      else
        for (long s = 0; s < 2 && i + s < M; s++)
          for (long t = 0; t < 5 && j + t < N; t++)
            dot_tile(c + s * ldc + t, ldc, a + s * lda, lda, b + t * ldb, ldb, K, 1, 1, add);
    }
}

#define RUN(j, r) (W[j] + (r) * widths[(j) + 1] * PAD(widths[j]))
#define PART(B, j, r) (B[j] + (r) * classes * PAD(widths[j]))

/* widths[0 .. layers]; W[j]: [runs][widths[j + 1]][PAD(widths[j])]; X: panels of samples [][widths[0]][WIDE]; T: panels of
   inputs [][n][WIDE]; weight: [runs][PAD(n)], the step size over n.  S[j]: the product of the layers above j, H[j]: the gradient
   of the end-to-end matrix times the transposed layers up to j */
void descend_linear(long layers, const long *widths, long runs, long n, long count, REAL **W, const REAL *X, const REAL *T,
                    const REAL *label, const REAL *weight) {
  const long samples = PAD(n), inputs = PAD(widths[0]), classes = widths[layers];
  REAL *S[16], *H[16], *Z = room(runs * classes * samples);
  for (long j = 0; j < layers; j++) {
    S[j] = room(runs * classes * PAD(widths[j]));
    H[j] = room(runs * classes * PAD(widths[j]));
  }
  for (long step = 0; step < count; step++) {
    for (long r = 0; r < runs; r++)
      for (long j = layers - 1; j >= 0; j--) {
        long ld = PAD(widths[j]), above = PAD(widths[j + 1]);
        if (j == layers - 1) memcpy(PART(S, j, r), RUN(j, r), classes * ld * sizeof(REAL));
        else product(PART(S, j, r), ld, PART(S, j + 1, r), above, 1, RUN(j, r), ld, WIDE, classes, widths[j + 1], ld / WIDE, 0);
      }
    for (long p = 0; p < samples / WIDE; p++) {
      product(Z + p * WIDE, samples, S[0], inputs, 1, X + p * WIDE * widths[0], WIDE, 0, runs * classes, widths[0], 1, 0);
      for (long r = 0; r < runs; r++)
        residual(Z + r * classes * samples + p * WIDE, samples, label + p * WIDE, weight + r * samples + p * WIDE, classes);
    }
    product(H[0], inputs, Z, samples, 1, T, WIDE, WIDE * n, runs * classes, n, inputs / WIDE, 0);
    for (long r = 0; r < runs; r++) {
      for (long j = 0; j < layers - 1; j++) {
        long ld = PAD(widths[j]), above = PAD(widths[j + 1]);
        dots(PART(H, j + 1, r), above, PART(H, j, r), ld, RUN(j, r), ld, classes, widths[j + 1], ld, 0);
      }
      for (long j = 0; j < layers - 1; j++) {
        long ld = PAD(widths[j]), above = PAD(widths[j + 1]);
        product(RUN(j, r), ld, PART(S, j + 1, r), 1, above, PART(H, j, r), ld, WIDE, widths[j + 1], classes, ld / WIDE, 1);
      }
      REAL *top = RUN(layers - 1, r), *h = PART(H, layers - 1, r);
      for (long i = 0; i < classes * PAD(widths[layers - 1]); i += LANES) STORE(top + i, LOAD(top + i) + LOAD(h + i));
    }
  }
  free(Z);
  for (long j = 0; j < layers; j++) { free(S[j]); free(H[j]); }
}

/* A[j]: what layer j puts out, [widths[j]][PAD(n)]; D[j]: the gradient of what enters the activation there, times the step */
void descend_relu(long layers, const long *widths, long runs, long n, long count, REAL **W, const REAL *X, const REAL *T,
                  const REAL *label, const REAL *weight) {
  const long samples = PAD(n), inputs = PAD(widths[0]);
  REAL *A[16], *D[16];
  for (long j = 1; j <= layers; j++) {
    A[j] = room(widths[j] * samples);
    D[j] = j == layers ? A[j] : room(widths[j] * samples);
  }
  for (long step = 0; step < count; step++)
    for (long r = 0; r < runs; r++) {
      for (long p = 0; p < samples / WIDE; p++) {
        for (long j = 1; j <= layers; j++) {
          REAL *a = A[j] + p * WIDE, *w = RUN(j - 1, r);
          long ld = PAD(widths[j - 1]);
          if (j == 1) product(a, samples, w, ld, 1, X + p * WIDE * widths[0], WIDE, 0, widths[1], widths[0], 1, 0);
          else product(a, samples, w, ld, 1, A[j - 1] + p * WIDE, samples, 0, widths[j], widths[j - 1], 1, 0);
          if (j < layers)
            for (long i = 0; i < widths[j]; i++)
              for (long l = 0; l < WIDE; l += LANES) {
                vec z = LOAD(a + i * samples + l);
                STORE(a + i * samples + l, SELECT(z <= 0, (vec){0}, z));
              }
        }
        residual(A[layers] + p * WIDE, samples, label + p * WIDE, weight + r * samples + p * WIDE, widths[layers]);
        for (long j = layers - 1; j >= 1; j--) {
          REAL *d = D[j] + p * WIDE, *a = A[j] + p * WIDE;
          product(d, samples, RUN(j, r), 1, PAD(widths[j]), D[j + 1] + p * WIDE, samples, 0, widths[j], widths[j + 1], 1, 0);
          for (long i = 0; i < widths[j]; i++)
            for (long l = 0; l < WIDE; l += LANES)
              STORE(d + i * samples + l, SELECT(LOAD(a + i * samples + l) > 0, LOAD(d + i * samples + l), (vec){0}));
        }
      }
      product(RUN(0, r), inputs, D[1], samples, 1, T, WIDE, WIDE * n, widths[1], n, inputs / WIDE, 1);
      for (long j = 1; j < layers; j++)
        dots(RUN(j, r), PAD(widths[j]), D[j + 1], samples, A[j], samples, widths[j + 1], widths[j], samples, 1);
    }
  for (long j = 1; j <= layers; j++) {
    free(A[j]);
    if (j < layers) free(D[j]);
  }
}
"""


@dataclass(frozen=True)
class Beginning:
    """What several runs of descent on one data set begin with.

    Attributes:
        layers: the first of which reads x.
        x: inputs.
        classes: of the samples.
        step_sizes: of the runs.
        kinked: ReLU between the layers; otherwise the network is linear.
        precision: in which weights are kept and gradients computed.
    """

    layers: Sequence[Float[Tensor, "s _ _"]]
    x: Float[Tensor, "n d"]
    classes: Int[Tensor, " n"]
    step_sizes: Float[Tensor, " s"]
    kinked: bool
    precision: Precision


class Steps:
    """Descent of several runs on one data set: the state, and `advance`. Raises NotNativeError where nothing can be compiled."""

    def __init__(self, begin: Beginning) -> None:
        compiled = library(HEAD, SOURCE, begin.precision, compiler(os.environ.get("CC", "")))
        self.take = compiled.descend_relu if begin.kinked else compiled.descend_linear
        self.take.restype = None
        layers, step_sizes, dtype = begin.layers, begin.step_sizes, DTYPES[begin.precision]
        wide = 64 // dtype.itemsize
        n, d = begin.x.shape
        samples, inputs = -(-n // wide) * wide, -(-d // wide) * wide
        self.layers = [_padded(layer, wide, dtype) for layer in layers]
        self.columns = [layer.shape[2] for layer in layers]
        by_sample = torch.zeros(samples, d, dtype=dtype, device="cpu")
        by_sample[:n] = begin.x
        by_input = torch.zeros(n, inputs, dtype=dtype, device="cpu")
        by_input[:, :d] = begin.x
        named = torch.full((samples,), -1.0, dtype=dtype, device="cpu")
        named[:n] = begin.classes
        shares = torch.zeros(len(step_sizes), samples, dtype=dtype, device="cpu")
        shares[:, :n] = (step_sizes / n)[:, None]
        self.data = [
            by_sample.view(-1, wide, d).mT.contiguous(),
            by_input.view(n, -1, wide).transpose(0, 1).contiguous(),
            named,
            shares,
        ]
        self.widths = (ctypes.c_long * (len(layers) + 1))(*self.columns, layers[-1].shape[1])
        self.sizes = [ctypes.c_long(size) for size in (len(step_sizes), n)]

    def advance(self, steps: int) -> None:
        """So many steps of all runs."""
        weights = (ctypes.c_void_p * len(self.layers))(*(layer.data_ptr() for layer in self.layers))
        data = (ctypes.c_void_p(part.data_ptr()) for part in self.data)
        self.take(ctypes.c_long(len(self.layers)), self.widths, *self.sizes, ctypes.c_long(steps), weights, *data)

    def weights(self) -> list[Float[Tensor, "s _ _"]]:
        """The layers as they are now, in double precision."""
        return [layer[:, :, :columns].double() for layer, columns in zip(self.layers, self.columns, strict=True)]


def _padded(layer: Tensor, wide: int, dtype: torch.dtype) -> Tensor:
    """Rows with zeros up to whole tiles."""
    columns = layer.shape[2]
    padded = torch.zeros(*layer.shape[:2], -(-columns // wide) * wide, dtype=dtype, device="cpu")
    padded[:, :, :columns] = layer
    return padded

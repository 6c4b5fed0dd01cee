"""Steps of convolutional classifiers in C, in either precision, compiled when they are first asked for.

The samples come last, some vectors of them at a time, and patches are never laid out: a table of offsets says where the units
lie that a sum reads. Two kernels do the work, each with tiles that stay in registers: sums of such units with the weights of some
units above them, or of some units above them with the transposed weights; and dot products of units with such units, over places
and samples. All that a few samples need stays in the cache on the way up and down.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.descent.compiler import NotNativeError, compiler
from flowcheck.descent.vector_code import DTYPES, Precision, library

HEAD = r"""
#ifdef __AVX512F__
#define BYTES 64
#else
#define BYTES 32
#endif
#define MOST 16
long wide(void) { return 2 * BYTES / sizeof(REAL); }
"""
SOURCE = r"""
#ifdef __AVX512F__ /* tiles that the registers hold */
#define ROWS 8
#define TALL 4
#else
#define ROWS 6
#define TALL 2
#endif
#define BROAD 5
#define EACH(i, n) _Pragma("GCC unroll 8") for (int i = 0; i < (n); i++)

/* C[to[i]] = bias[i] + sum_k A[i ra + k ca] B[from[k]] for WIDE samples; without a bias from zero, or added to what is there */
INLINE void sum_tile(REAL *C, const long *to, const REAL *A, long ra, long ca, const REAL *B, const long *from, long K,
                     const REAL *bias, const int rows, const int add) {
  vec sum[ROWS][2];
  EACH(i, rows) EACH(l, 2) {
    if (add) sum[i][l] = LOAD(C + to[i] + l * LANES);
    else sum[i][l] = (bias ? bias[i] : 0) + (vec){0};
  }
  for (long k = 0; k < K; k++) {
    vec b0 = LOAD(B + from[k]), b1 = LOAD(B + from[k] + LANES);
    EACH(i, rows) {
      REAL a = A[i * ra + k * ca];
      sum[i][0] += a * b0;
      sum[i][1] += a * b1;
    }
  }
  EACH(i, rows) EACH(l, 2) STORE(C + to[i] + l * LANES, sum[i][l]);
}

#define TILE(rows) case rows: if (rows <= ROWS) sum_tile(C, to, A, ra, ca, B, from, K, bias, rows, add); break;
INLINE void sums_of(REAL *C, const long *to, const REAL *A, long ra, long ca, const REAL *B, const long *from, long M, long K,
                    const REAL *bias, const int add) {
  for (long left = (M + ROWS - 1) / ROWS; left; left--) {
    long rows = (M + left - 1) / left; /* tiles of nearly equal height */
    switch (rows) { TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8) }
    M -= rows; to += rows; A += rows * ra;
    if (bias) bias += rows;
  }
}
static void sums(REAL *C, const long *to, const REAL *A, long ra, long ca, const REAL *B, const long *from, long M, long K,
                 const REAL *bias) { sums_of(C, to, A, ra, ca, B, from, M, K, bias, 0); }
static void sums_added(REAL *C, const long *to, const REAL *A, long ra, long ca, const REAL *B, const long *from, long M,
                       long K) { sums_of(C, to, A, ra, ca, B, from, M, K, 0, 1); }

typedef REAL half __attribute__((vector_size(BYTES / 2), aligned(sizeof(REAL)), may_alias));
typedef REAL quarter __attribute__((vector_size(BYTES / 4), aligned(sizeof(REAL)), may_alias));
INLINE REAL across(vec v) {
  half h = ((half *)&v)[0] + ((half *)&v)[1];
  quarter q = ((quarter *)&h)[0] + ((quarter *)&h)[1];
  REAL s = 0;
  for (unsigned i = 0; i < BYTES / 4 / sizeof(REAL); i++) s += q[i];
  return s;
}

/* sum_q A[i ra + q sa] B[at[j] + from[q]], over WIDE samples too: added to W[i w + j], or before the sum across lanes to G */
INLINE void dot_tile(REAL *W, vec *G, long w, const REAL *A, long ra, long sa, const REAL *B, const long *at, const long *from,
                     long Q, const int rows, const int columns) {
  vec sum[TALL][BROAD];
  EACH(i, rows) EACH(j, columns) sum[i][j] = (vec){0};
  for (long q = 0; q < Q; q++)
    for (long l = 0; l < WIDE; l += LANES) {
      const REAL *a = A + q * sa + l, *b = B + from[q] + l;
      vec one[TALL];
      EACH(i, rows) one[i] = LOAD(a + i * ra);
      EACH(j, columns) {
        vec other = LOAD(b + at[j]);
        EACH(i, rows) sum[i][j] += one[i] * other;
      }
    }
  EACH(i, rows) EACH(j, columns) {
    if (G) G[i * w + j] += sum[i][j];
    else W[i * w + j] += across(sum[i][j]);
  }
}

static void dots(REAL *W, vec *G, long w, const REAL *A, long ra, long sa, const REAL *B, const long *at, const long *from,
                 long M, long N, long Q) {
  for (long j = 0; j < N; j += BROAD)
    for (long i = 0; i < M; i += TALL) {
      long rows = M - i < TALL ? M - i : TALL, columns = N - j < BROAD ? N - j : BROAD;
      REAL *x = W + i * w + j;
      vec *g = G ? G + i * w + j : 0;
      const REAL *a = A + i * ra;
      if (rows == TALL && columns == BROAD) dot_tile(x, g, w, a, ra, sa, B, at + j, from, Q, TALL, BROAD);
      else if (rows == 2 && columns == BROAD) dot_tile(x, g, w, a, ra, sa, B, at + j, from, Q, 2, BROAD);
      else
        for (long s = 0; s < rows; s++)
          for (long t = 0; t < columns; t++)
            dot_tile(x + s * w + t, g ? g + s * w + t : 0, w, a + s * ra, ra, sa, B, at + j + t, from, Q, 1, 1);
    }
}

/* bias[i] += the sum of A[i ra + q sa] over q and samples */
static void add_up(REAL *bias, const REAL *A, long ra, long sa, long M, long Q) {
  for (long i = 0; i < M; i++) {
    vec sum = {0};
    for (long q = 0; q < Q; q++) sum += LOAD(A + i * ra + q * sa) + LOAD(A + i * ra + q * sa + LANES);
    bias[i] += across(sum);
  }
}

static void rectify(REAL *Z, long size) {
  for (long i = 0; i < size; i += LANES) { vec z = LOAD(Z + i); STORE(Z + i, SELECT(z <= 0, (vec){0}, z)); }
}

/* D = 0 where A is not positive */
static void stop(REAL *D, const REAL *A, long size) {
  for (long i = 0; i < size; i += LANES) STORE(D + i, SELECT(LOAD(A + i) > 0, LOAD(D + i), (vec){0}));
}

/* channels it reads and puts out, sides of what it puts out before and after pooling, where sums read and write */
struct convolution {
  long out, side, kept, places, inputs, pooling, *from, *place, *to;
  REAL *Z, *U, *D, *weights, *bias, *shift; /* sums, units that are kept, their gradient; what is added to the bias */
  vec *gradient;
};

static struct convolution convolution(long in, long out, long side, long kernel, long stride, long pooling) {
  struct convolution c = {.out = out, .side = (side - kernel) / stride + 1, .inputs = in * kernel * kernel, .pooling = pooling};
  c.kept = pooling ? c.side / 2 : c.side;
  c.places = c.side * c.side;
  c.from = malloc(c.inputs * sizeof(long));
  c.place = malloc(c.places * sizeof(long));
  c.to = malloc(out * sizeof(long));
  for (long k = 0; k < c.inputs; k++)
    c.from[k] = (k / (kernel * kernel) * side * side + k / kernel % kernel * side + k % kernel) * WIDE;
  for (long p = 0; p < c.places; p++) c.place[p] = (p / c.side * side + p % c.side) * stride * WIDE;
  for (long o = 0; o < out; o++) c.to[o] = o * c.places * WIDE;
  c.gradient = room(out * c.inputs * LANES);
  c.shift = room(out);
  c.U = room(out * c.kept * c.kept * WIDE);
  c.D = room(out * c.kept * c.kept * WIDE);
  c.Z = pooling ? room(out * c.places * WIDE) : c.U;
  return c;
}

static void forget(struct convolution *c) {
  free(c->from); free(c->place); free(c->to); free(c->gradient); free(c->shift); free(c->U); free(c->D);
  if (c->pooling) free(c->Z);
}

static void pool(struct convolution *c) {
  REAL *u = c->U;
  for (long o = 0; o < c->out; o++)
    for (long y = 0; y < c->kept; y++)
      for (long x = 0; x < c->kept; x++, u += WIDE)
        for (long l = 0; l < WIDE; l += LANES) {
          const REAL *z = c->Z + c->to[o] + 2 * (y * c->side + x) * WIDE + l;
          vec top = LOAD(z);
          for (int s = 1; s < 4; s++) { vec v = LOAD(z + (s / 2 * c->side + s % 2) * WIDE); top = SELECT(v > top, v, top); }
          STORE(u + l, top);
        }
}

/* in the place of the sums: the gradient of what is kept, at the first of each window that is the largest */
static void unpool(struct convolution *c) {
  const REAL *d = c->D;
  for (long o = 0; o < c->out; o++) {
    REAL *sums = c->Z + c->to[o];
    for (long p = 0; p < c->places; p++)
      if (p / c->side >= 2 * c->kept || p % c->side >= 2 * c->kept) memset(sums + p * WIDE, 0, WIDE * sizeof(REAL));
    for (long y = 0; y < c->kept; y++)
      for (long x = 0; x < c->kept; x++, d += WIDE)
        for (long l = 0; l < WIDE; l += LANES) {
          REAL *z = sums + 2 * (y * c->side + x) * WIDE + l;
          vec v[4], top = LOAD(z);
          for (int s = 0; s < 4; s++) { v[s] = LOAD(z + (s / 2 * c->side + s % 2) * WIDE); top = SELECT(v[s] > top, v[s], top); }
          ints open = ~(ints){0};
          for (int s = 0; s < 4; s++) {
            ints hit = (ints)(v[s] == top) & open;
            open &= ~hit;
            STORE(z + (s / 2 * c->side + s % 2) * WIDE, SELECT(hit, LOAD(d + l), (vec){0}));
          }
        }
  }
}

static void up(struct convolution *c, const REAL *X) {
  for (long q = 0; q < c->places; q++)
    sums(c->Z + q * WIDE, c->to, c->weights, c->inputs, 1, X + c->place[q], c->from, c->out, c->inputs, c->bias);
  if (c->pooling) pool(c);
  rectify(c->U, c->out * c->kept * c->kept * WIDE);
}

/* from the gradient of what is kept to that of the weights; and, where it is asked for, to that of what was read */
static void down(struct convolution *c, const REAL *X, REAL *below) {
  REAL *through = c->pooling ? c->Z : c->D;
  stop(c->D, c->U, c->out * c->kept * c->kept * WIDE);
  if (c->pooling) unpool(c);
  dots(0, c->gradient, c->inputs, through, c->places * WIDE, WIDE, X, c->from, c->place, c->out, c->inputs, c->places);
  if (c->bias) add_up(c->shift, through, c->places * WIDE, WIDE, c->out, c->places);
  for (long q = 0; below && q < c->places; q++)
    sums_added(below + c->place[q], c->from, c->weights, 1, c->inputs, through + q * WIDE, c->to, c->inputs, c->out);
}

static void move(struct convolution *c) {
  for (long i = 0; i < c->out * c->inputs; i++) { c->weights[i] += across(c->gradient[i]); c->gradient[i] = (vec){0}; }
  for (long i = 0; i < c->out; i++) { if (c->bias) c->bias[i] += c->shift[i]; c->shift[i] = 0; }
}

/* the layers after the convolutions: their widths, what they read and put out for all samples, and its gradient */
struct dense {
  long layers, panels, *each, *panel;
  const long *widths;
  REAL *A[MOST + 1], *D[MOST + 1], *weights[MOST], *bias[MOST];
};

static struct dense dense(long layers, const long *widths, long panels) {
  struct dense d = {.layers = layers, .panels = panels, .widths = widths, .panel = malloc(panels * sizeof(long))};
  long most = 0;
  for (long j = 0; j <= layers; j++) {
    d.A[j] = room(panels * widths[j] * WIDE);
    d.D[j] = j && j < layers ? room(panels * widths[j] * WIDE) : d.A[j]; /* the last is what the softmax leaves, in place */
    if (widths[j] > most) most = widths[j];
  }
  d.each = malloc(most * sizeof(long));
  for (long i = 0; i < most; i++) d.each[i] = i * WIDE;
  return d;
}

static void discard(struct dense *d) {
  for (long j = 0; j <= d->layers; j++) { if (d->D[j] != d->A[j]) free(d->D[j]); free(d->A[j]); }
  free(d->each); free(d->panel);
}

/* one panel of samples: up through the layers, and down to the gradient of what the first reads */
static void there_and_back(struct dense *d, long p, const REAL *label, const REAL *weight, REAL *below) {
  const long *widths = d->widths, *each = d->each;
  for (long j = 0; j < d->layers; j++) {
    REAL *read = d->A[j] + p * widths[j] * WIDE, *put = d->A[j + 1] + p * widths[j + 1] * WIDE;
    sums(put, each, d->weights[j], widths[j], 1, read, each, widths[j + 1], widths[j], d->bias[j]);
    if (j < d->layers - 1) rectify(put, widths[j + 1] * WIDE);
    else residual(put, WIDE, label, weight, widths[j + 1]);
  }
  for (long j = d->layers - 1; j >= 0; j--) {
    REAL *through = d->D[j + 1] + p * widths[j + 1] * WIDE, *to = j ? d->D[j] + p * widths[j] * WIDE : below;
    sums(to, each, d->weights[j], 1, widths[j], through, each, widths[j], widths[j + 1], 0);
    if (j) stop(to, d->A[j] + p * widths[j] * WIDE, widths[j] * WIDE);
  }
}

static void move_dense(struct dense *d) {
  for (long j = 0; j < d->layers; j++) {
    long rows = d->widths[j + 1], columns = d->widths[j];
    for (long p = 0; p < d->panels; p++) d->panel[p] = p * columns * WIDE;
    dots(d->weights[j], 0, columns, d->D[j + 1], WIDE, rows * WIDE, d->A[j], d->each, d->panel, rows, columns, d->panels);
    if (d->bias[j]) add_up(d->bias[j], d->D[j + 1], WIDE, rows * WIDE, rows, d->panels);
  }
}

/* shape: side, channels (3), kernel, stride, pooling, biases, dense layers, widths around these.  W: [runs][size], convolutions,
   dense layers, and the biases of both; X: panels of samples [][channels][side][side][WIDE]; weight: [runs][panels][WIDE] */
void descend(const long *shape, long runs, long panels, long count, long size, REAL *W, const REAL *X, const REAL *label,
             const REAL *weight) {
  const long *channels = shape + 1, image = channels[0] * shape[0] * shape[0] * WIDE, biased = shape[7];
  struct convolution one = convolution(channels[0], channels[1], shape[0], shape[4], shape[5], shape[6]);
  struct convolution two = convolution(channels[1], channels[2], one.kept, shape[4], shape[5], shape[6]);
  struct dense rest = dense(shape[8], shape + 9, panels);
  const long kept = one.out * one.kept * one.kept * WIDE, flat = rest.widths[0] * WIDE;
  for (long r = 0; r < runs; r++) {
    REAL *next = W + r * size;
    one.weights = next; next += one.out * one.inputs;
    two.weights = next; next += two.out * two.inputs;
    for (long j = 0; j < rest.layers; j++) { rest.weights[j] = next; next += rest.widths[j] * rest.widths[j + 1]; }
    one.bias = biased ? next : 0; next += one.out;
    two.bias = biased ? next : 0; next += two.out;
    for (long j = 0; j < rest.layers; j++) { rest.bias[j] = biased ? next : 0; next += rest.widths[j + 1]; }
    for (long step = 0; step < count; step++) {
      for (long p = 0; p < panels; p++) {
        const REAL *x = X + p * image;
        up(&one, x);
        up(&two, one.U);
        memcpy(rest.A[0] + p * flat, two.U, flat * sizeof(REAL));
        there_and_back(&rest, p, label + p * WIDE, weight + (r * panels + p) * WIDE, two.D);
        memset(one.D, 0, kept * sizeof(REAL));
        down(&two, one.U, one.D);
        down(&one, x, 0);
      }
      move_dense(&rest);
      move(&one);
      move(&two);
    }
  }
  discard(&rest); forget(&one); forget(&two);
}
"""


class ConvolutionalSteps:
    """Descent of several runs on one set of images, on the CPU. Raises NotNativeError where nothing can be compiled.

    Args:
        shape: side, three numbers of channels, kernel, stride, whether there is pooling, whether there are biases, the number of
            dense layers, and the widths around them.
    """

    def __init__(
        self,
        shape: Sequence[int],
        images: Float[Tensor, "n c h h"],
        labels: Int[Tensor, " n"],
        step_sizes: Float[Tensor, " s"],
        precision: Precision,
    ) -> None:
        if images.device.type != "cpu":
            raise NotNativeError(f"images are on {images.device}")
        compiled = library(HEAD, SOURCE, precision, compiler(os.environ.get("CC", "")))
        self.take, compiled.wide.restype = compiled.descend, ctypes.c_long
        self.take.restype = None
        dtype, n, wide = DTYPES[precision], len(images), compiled.wide()
        samples = -(-n // wide) * wide
        padded = torch.zeros(samples, *images.shape[1:], dtype=dtype, device="cpu")
        padded[:n] = images
        named = torch.full((samples,), -1.0, dtype=dtype, device="cpu")
        named[:n] = labels
        shares = torch.zeros(len(step_sizes), samples, dtype=dtype, device="cpu")
        shares[:, :n] = (step_sizes / n)[:, None]
        self.data = [padded.view(-1, wide, *images.shape[1:]).permute(0, 2, 3, 4, 1).contiguous(), named, shares]
        self.shape = (ctypes.c_long * len(shape))(*shape)
        self.panels = samples // wide

    def advance(self, rows: Float[Tensor, "s k"], steps: int) -> None:
        """So many steps of all rows of weights, in place."""
        sizes = (ctypes.c_long(size) for size in (len(rows), self.panels, steps, rows.shape[1]))
        self.take(self.shape, *sizes, *(ctypes.c_void_p(part.data_ptr()) for part in (rows, *self.data)))

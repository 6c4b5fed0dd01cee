"""What all steps in C have in common: vectors of either precision, the exponential, and what a softmax leaves of its outputs."""

from __future__ import annotations

import ctypes
import functools
from typing import Literal

import torch

from flowcheck.descent.compiler import shared_library

Precision = Literal["float32", "float64"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}

MACROS: dict[Precision, dict[str, str]] = {
    "float32": {
        "REAL": "float", "INTEGER": "int", "SHIFT": "12582912.0f", "LOWEST": "-86.0f", "LN2_HIGH": "0.693359375f",
        "LN2_LOW": "-2.12194440e-4f", "TERMS": "7", "MANTISSA": "23",
    },
    "float64": {
        "REAL": "double", "INTEGER": "long long", "SHIFT": "6755399441055744.0", "LOWEST": "-700.0",
        "LN2_HIGH": "6.93147180369123816490e-01", "LN2_LOW": "1.90821492927058770002e-10", "TERMS": "13", "MANTISSA": "52",
    },
}  # fmt: skip
"""SHIFT rounds to whole numbers, ln 2 comes in two parts, and e^r is summed to the power TERMS for r up to half of ln 2."""

SOURCE = r"""
#include <stdlib.h>
#include <string.h>
#define INLINE static inline __attribute__((always_inline))
typedef REAL vec __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));
typedef INTEGER ints __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));
#define LANES ((long)(BYTES / sizeof(REAL)))
#define WIDE (2 * LANES)
#define LOAD(p) (*(const vec *)(p))
#define STORE(p, v) (*(vec *)(p) = (v))
#define SELECT(condition, yes, no) select_lanes((ints)(condition), yes, no)
INLINE vec select_lanes(ints m, vec yes, vec no) { return (vec)((m & (ints)yes) | (~m & (ints)no)); }

/* e^x for x <= 0, to rounding; what is below the normal numbers becomes the smallest of them */
INLINE vec exponential(vec x) {
  const REAL shift = SHIFT;
  x = SELECT(x < LOWEST, LOWEST + (vec){0}, x);
  vec t = x * (REAL)1.4426950408889634074 + shift, n = t - shift;
  vec r = x - n * (REAL)LN2_HIGH;
  r = r - n * (REAL)LN2_LOW;
  static const REAL inverse[] = {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
                                 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};
  vec p = inverse[TERMS] + (vec){0};
  _Pragma("GCC unroll 16") for (int i = TERMS - 1; i >= 0; i--) p = p * r + inverse[i];
  return (vec)((ints)p + ((ints)t << MANTISSA));
}

/* Z[c][WIDE], rows ldz apart -> weight (one-hot(label) - softmax(Z)) */
INLINE void residual(REAL *Z, long ldz, const REAL *label, const REAL *weight, long classes) {
  for (long l = 0; l < WIDE; l += LANES) {
    vec top = LOAD(Z + l), total = {0}, named = LOAD(label + l), w = LOAD(weight + l);
    for (long i = 1; i < classes; i++) { vec z = LOAD(Z + i * ldz + l); top = SELECT(z > top, z, top); }
    for (long i = 0; i < classes; i++) {
      vec e = exponential(LOAD(Z + i * ldz + l) - top);
      total += e;
      STORE(Z + i * ldz + l, e);
    }
    vec share = w / total;
    for (long i = 0; i < classes; i++)
      STORE(Z + i * ldz + l, SELECT(named == (REAL)i, w, (vec){0}) - share * LOAD(Z + i * ldz + l));
  }
}

static void *room(long size) {
  long bytes = (size * sizeof(REAL) + 63) / 64 * 64;
  return memset(aligned_alloc(64, bytes), 0, bytes);
}
"""


@functools.cache
def library(head: str, source: str, precision: Precision, command: tuple[str, ...]) -> ctypes.CDLL:
    """`source` after what is common, compiled; `head` has definitions that both need, BYTES of a vector among them.

    Raises NotNativeError where nothing can be compiled.
    """
    macros = "".join(f"#define {name} {value}\n" for name, value in MACROS[precision].items())
    return shared_library(macros + head + SOURCE + source, command)

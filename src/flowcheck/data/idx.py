"""Files of the format idx, in which MNIST is kept: unsigned bytes with their shape before them, plain or gzipped.

Whatever is wrong with a file is one sentence that begins with its path. Without torch.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from flowcheck.errors import ConfigError

GZIP = b"\x1f\x8b"
UNSIGNED_BYTES = 0x08
LARGEST = 100_000_000
"""Bytes of one file, unpacked: twice those of the 60,000 images. A little gzip can stand for more than fits into memory."""
KINDS = {1: "labels", 3: "images"}
"""What a file of so many axes holds."""


def unpack(path: Path) -> bytes:
    """The content of a file that may be gzipped once.

    Raises ConfigError if it cannot be read, ends early, is damaged, or was gzipped twice.
    """
    try:
        with path.open("rb") as stream:
            packed = stream.read(len(GZIP)) == GZIP
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            content: bytes = stream.read(LARGEST + 1)
    except EOFError:
        raise ConfigError(f"{path}: truncated: it ends before its gzip stream does") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ConfigError(f"{path}: damaged: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > LARGEST:
        raise ConfigError(f"{path}: more than {LARGEST:,} bytes")
    if packed and content.startswith(GZIP):
        raise ConfigError(f"{path}: gzipped twice; unpack it once")
    return content


def parse(path: Path, content: bytes, axes: int) -> UInt8[np.ndarray, ...]:
    """The array in the content of a file: labels [n] with one axis, images [n, height, width] with three.

    Raises ConfigError if it holds something else, less than its header says, or more.
    """
    wanted = KINDS[axes]
    if len(content) < 4:
        raise ConfigError(f"{path}: truncated: {len(content)} bytes, and an idx file begins with a header of at least 8")
    if content[:3] != bytes([0, 0, UNSIGNED_BYTES]) or content[3] not in KINDS:
        raise ConfigError(f"{path}: no idx file of {wanted}: it begins with the bytes {content[:4].hex(' ')}")
    if content[3] != axes:
        raise ConfigError(f"{path}: holds {KINDS[content[3]]}, and {wanted} are expected under this name")
    start = 4 + 4 * axes
    shape = tuple(int(length) for length in np.frombuffer(content[4:start].ljust(4 * axes, b"\0"), dtype=">u4"))
    size, there = math.prod(shape), len(content) - start
    if there != size:
        what = "truncated" if there < size else "too long"
        said = " x ".join(map(str, shape))
        raise ConfigError(f"{path}: {what}: {max(there, 0)} bytes of {wanted}, and its header says {said} = {size}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def text_of(array: UInt8[np.ndarray, ...]) -> bytes:
    """The content of the idx file that holds an array; inverse of `parse`."""
    return bytes([0, 0, UNSIGNED_BYTES, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()

"""The files of MNIST: found in a folder and verified, fetched from a mirror, or replaced by a surrogate that says what it is.

A file may be plain or gzipped by whomever: its content has the checksum. Of a folder the training digits are taken, or else the
test digits; without a folder the training digits are fetched, and where that fails 1,797 smaller digits that ship inside
scikit-learn stand in, scaled up. Without torch: a plan asks here.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from flowcheck.data.idx import parse, text_of, unpack
from flowcheck.errors import ConfigError

SIDE = 28
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
RETRIES = 2
"""Further tries of one file on one mirror."""
TIMEOUT = 10.0
"""Seconds without an answer."""
ARCHIVES = {
    "train-images-idx3-ubyte.gz": "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
}
"""What is fetched, with its checksum as it lies on the mirrors."""


@dataclass(frozen=True)
class Pair:
    """Images and labels that belong together: the SHA-256 of each content, by the name of its file."""

    said: str
    images: str
    labels: str
    sha256: tuple[str, str]
    surrogate: bool = False

    @property
    def names(self) -> tuple[str, str]:
        """Of the plain files."""
        return self.images, self.labels


TRAINING = Pair(
    "MNIST training digits",
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
)
TEST = Pair(
    "MNIST test digits",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
    (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
SURROGATE = Pair(
    "surrogate for MNIST, the 8x8 digits of scikit-learn scaled up",
    "surrogate-images-idx3-ubyte",
    "surrogate-labels-idx1-ubyte",
    (
        "5bd9574ad84ceec9aee36b2e289666cbedeadb9ab78f94b064a7811aef98e72c",
        "ce71631c1f31ce56fa54f31d1d498fafacff59b001e6c30c4a5e29508aa277ad",
    ),
    surrogate=True,
)
PAIRS = (TRAINING, TEST, SURROGATE)
"""In the order in which a folder is searched."""
FILES = tuple(f"{name}{suffix}" for pair in PAIRS for name in pair.names for suffix in (".gz", ""))
"""What is looked for in a folder."""


@dataclass(frozen=True)
class Raw:
    """All digits of one pair of files, as they are."""

    images: UInt8[np.ndarray, "n 28 28"]
    labels: UInt8[np.ndarray, " n"]
    pair: Pair


def find(folder: Path | None, *, allow_surrogate: bool) -> Raw:
    """The digits in a folder, or without one those that can be had.

    Raises ConfigError, with the path, if a file of the folder is not what its name says or if none of the names is there; and if
    only a surrogate can be had and it is not allowed.
    """
    if folder is not None:
        return _in_folder(folder, allow_surrogate)
    try:
        return _verified(fetch(), TRAINING)
    except ConfigError as error:
        if allow_surrogate:
            return surrogate()
        raise ConfigError(f"{error}; name a folder with the files of MNIST, a surrogate is not allowed here") from None


def _in_folder(folder: Path, allow_surrogate: bool) -> Raw:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no folder with the files of MNIST")
    for pair in PAIRS:
        if any(_place(folder, name) for name in pair.names):
            if pair.surrogate and not allow_surrogate:
                raise ConfigError(f"{folder}: holds a surrogate of MNIST, which is not allowed here")
            return _verified(folder, pair)
    names = " and ".join(f"{name}[.gz]" for name in TRAINING.names)
    raise ConfigError(f"{folder}: none of the files of MNIST; expected {names}, or those of t10k")


def _place(folder: Path, name: str) -> Path | None:
    """Where a file lies, gzipped or plain."""
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.exists()), None)


def _verified(folder: Path, pair: Pair) -> Raw:
    """The digits of a pair of which at least one file is there. Raises ConfigError if they are not what they should be."""
    arrays = []
    for name, sha256, axes in zip(pair.names, pair.sha256, (3, 1), strict=True):
        path = _place(folder, name)
        if path is None:
            other = next(n for n in pair.names if n != name)
            raise ConfigError(f"{folder}: {other} is there without {name}[.gz], which belongs to it")
        content = unpack(path)
        arrays.append(parse(path, content, axes))
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            other = _what_else(found) or f"not the canonical file: SHA-256 {found[:12]}..., and {sha256[:12]}... is expected"
            raise ConfigError(f"{path}: {other}")
    images, labels = arrays
    if len(images) != len(labels):
        raise ConfigError(f"{folder}: {len(images)} images in {pair.images} and {len(labels)} labels in {pair.labels}")
    return Raw(images, labels, pair)


def _what_else(sha256: str) -> str:
    """In words, where a content is that of another file."""
    for pair in PAIRS:
        for name, known in zip(pair.names, pair.sha256, strict=True):
            if sha256 == known:
                return f"holds what belongs into {name}"
    return ""


def fetch(folder: Path | None = None, mirrors: Sequence[str] = MIRRORS, retries: int = RETRIES) -> Path:
    """The folder with the training digits, fetched if they are not there: by default, the cache of the user.

    Each file is tried on every mirror, several times, and has to have its checksum. Raises ConfigError if none gives it.
    """
    import pooch

    place = folder or Path(pooch.os_cache("flowcheck")) / "mnist"
    for name, sha256 in ARCHIVES.items():
        said = []
        for mirror in mirrors:
            shelf = pooch.create(path=place, base_url=mirror, registry={name: sha256}, retry_if_failed=retries)
            try:
                shelf.fetch(name, downloader=pooch.HTTPDownloader(timeout=TIMEOUT))
                break
            except (OSError, ValueError) as error:  # no answer, no place to write; another checksum
                said.append(f"{mirror}: {' '.join(str(error).split())[:100]}")
        else:
            raise ConfigError(f"{name} of MNIST cannot be fetched: {'; '.join(said)}")
    return place


def surrogate() -> Raw:
    """The digits of scikit-learn (1,797 of 8x8, 17 greys), scaled to 28x28: each pixel of these is the mean of what it covers.

    Raises ConfigError if they are not those that they were.
    """
    from sklearn.datasets import load_digits  # a second, which nobody waits for who has the files

    digits = load_digits()
    small = digits.images.reshape(-1, 8, 8)
    blocks = np.kron(small, np.ones((7, 7))).reshape(-1, SIDE, 2, SIDE, 2)
    images = np.rint(blocks.mean(axis=(2, 4)) * (255 / 16)).astype(np.uint8)
    raw = Raw(images, digits.target.astype(np.uint8), SURROGATE)
    for array, name, sha256 in zip((raw.images, raw.labels), SURROGATE.names, SURROGATE.sha256, strict=True):
        found = hashlib.sha256(text_of(array)).hexdigest()
        if found != sha256:
            raise ConfigError(f"{name}: other digits than scikit-learn had: SHA-256 {found[:12]}..., not {sha256[:12]}...")
    return raw


def keep(found: Raw, folder: Path) -> dict[str, Any]:
    """Write the digits into a folder, where `find` finds them; what they are, with the SHA-256 of each content by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for array, name in zip((found.images, found.labels), found.pair.names, strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(text_of(array), compresslevel=6, mtime=0))
    sha256 = dict(zip(found.pair.names, found.pair.sha256, strict=True))
    return {"source": found.pair.said, "surrogate": found.pair.surrogate, "sha256": sha256}

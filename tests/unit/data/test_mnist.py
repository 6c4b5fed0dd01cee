"""Digits from files that are right, and the sentence about each way in which they may be wrong."""

import gzip
import hashlib
import http.server
import os
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from flowcheck.data import mnist_files
from flowcheck.data.idx import parse, text_of, unpack
from flowcheck.data.mnist import DEVIATION, MEAN, digits
from flowcheck.errors import ConfigError

CANONICAL = Path(os.environ.get("MNIST_DIR") or "nowhere")
needs_mnist = pytest.mark.skipif(not CANONICAL.is_dir(), reason="no files of MNIST; MNIST_DIR names their folder")
TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
T10K = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def drawn(seed, count):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), rng.integers(0, 10, count, dtype=np.uint8)


def header(*shape):
    """The head of an idx file, byte by byte as the format says."""
    return bytes([0, 0, 8, len(shape)]) + b"".join(length.to_bytes(4, "big") for length in shape)


@pytest.fixture
def known(monkeypatch):
    """Pairs of 600 training and 100 test digits in place of those of MNIST, and their contents."""
    contents = {}
    for seed, (pair, names, count) in enumerate([(mnist_files.TRAINING, TRAIN, 600), (mnist_files.TEST, T10K, 100)]):
        images, labels = drawn(seed, count)
        texts = header(count, 28, 28) + images.tobytes(), header(count) + labels.tobytes()
        contents |= dict(zip(names, texts, strict=True))
        monkeypatch.setitem(vars(pair), "sha256", tuple(hashlib.sha256(text).hexdigest() for text in texts))
    return contents


def write(folder, contents, names, packed=True):
    for name in names:
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(contents[name]) if packed else contents[name])
    return folder


@pytest.mark.parametrize("packed", [True, False], ids=["gzipped", "plain"])
def test_training_digits_are_taken_before_test_digits_and_normalised(known, tmp_path, packed):
    write(tmp_path, known, T10K)
    write(tmp_path, known, TRAIN, packed)
    found = digits(tmp_path, count=60)
    images, labels = drawn(0, 600)
    expected = [[(float(pixel) / 255 - 0.1307) / 0.3081 for pixel in images[k].ravel()] for k in range(0, 600, 10)]
    torch.testing.assert_close(found.inputs, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-15)
    assert found.labels.tolist() == labels[::10].tolist()
    assert found.labels.dtype == torch.int64
    assert found.source == "MNIST training digits: 60 of 600, indices 0, 10, ..., 590"
    assert not found.surrogate


def test_test_digits_are_taken_where_there_are_no_others(known, tmp_path):
    found = digits(str(write(tmp_path, known, T10K)), count=30)
    assert found.labels.tolist() == drawn(1, 100)[1][:90:3].tolist()
    assert found.source == "MNIST test digits: 30 of 100, indices 0, 3, ..., 87"


def test_of_sixty_thousand_images_the_authors_code_takes_every_fiftieth_of_the_first_fifty_thousand(monkeypatch):
    images = np.zeros((60_000, 28, 28), dtype=np.uint8)
    images.reshape(60_000, -1)[:, 0], images.reshape(60_000, -1)[:, 1] = divmod(np.arange(60_000), 256)
    raw = mnist_files.Raw(images, np.zeros(60_000, dtype=np.uint8), mnist_files.TRAINING)
    monkeypatch.setattr("flowcheck.data.mnist.find", lambda folder, allow_surrogate: raw)
    found = digits(None)
    pixels = torch.round((found.inputs * DEVIATION + MEAN) * 255)
    assert (256 * pixels[:, 0] + pixels[:, 1]).tolist() == list(range(0, 50_000, 50))
    assert "indices 0, 50, ..., 49950" in found.source


@needs_mnist
def test_the_canonical_test_digits_are_those_that_everybody_knows():
    found = digits(CANONICAL)
    raw = unpack(CANONICAL / "t10k-labels-idx1-ubyte.gz")
    assert list(raw[8:18]) == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]  # the first ten, as in any tutorial
    assert abs(float(found.inputs.mean())) < 0.02
    assert abs(float(found.inputs.std()) - 1) < 0.02
    assert found.inputs.shape == (1000, 784)


# ------------------------------------------------------------------------------------------------------------ what may be wrong


def damaged(kind, contents):
    """Contents of files by their names, one of them wrong."""
    files = {f"{name}.gz": gzip.compress(contents[name]) for name in TRAIN}
    images, labels = (f"{name}.gz" for name in TRAIN)
    if kind == "another pixel":
        changed = bytearray(contents[TRAIN[0]])
        changed[5000] ^= 1
        files[images] = gzip.compress(bytes(changed))
    elif kind == "truncated gzip":
        files[images] = files[images][:-1000]
    elif kind == "truncated":
        files[images] = gzip.compress(contents[TRAIN[0]][:-1])
    elif kind == "too long":
        files[labels] = gzip.compress(contents[TRAIN[1]] + b"\0")
    elif kind == "half a header":
        files[images] = gzip.compress(contents[TRAIN[0]][:6])
    elif kind == "empty":
        files[labels] = b""
    elif kind == "gzipped twice":
        files[labels] = gzip.compress(files[labels])
    elif kind == "swapped":
        files[images], files[labels] = files[labels], files[images]
    elif kind == "labels of the test digits":
        files[labels] = gzip.compress(contents[T10K[1]])
    elif kind == "one file":
        del files[labels]
    elif kind == "damaged gzip":
        files[images] = files[images][:2000] + bytes(200) + files[images][2200:]
    elif kind == "a page in place of a file":
        files[images] = b"<html>404</html>"
    elif kind == "a folder in place of a file":
        del files[images]
        files[f"{images}/x"] = b""
    return files


WRONG = {
    "another pixel": ("train-images-idx3-ubyte.gz: not the canonical file: SHA-256"),
    "truncated gzip": ("train-images-idx3-ubyte.gz: truncated"),
    "truncated": ("train-images-idx3-ubyte.gz: truncated: 470399 bytes of images, and its header says 600 x 28 x 28 = 470400"),
    "too long": ("train-labels-idx1-ubyte.gz: too long"),
    "half a header": ("train-images-idx3-ubyte.gz: truncated"),
    "empty": ("train-labels-idx1-ubyte.gz: truncated: 0 bytes"),
    "gzipped twice": ("train-labels-idx1-ubyte.gz: gzipped twice"),
    "swapped": ("train-images-idx3-ubyte.gz: holds labels, and images are expected"),
    "labels of the test digits": ("train-labels-idx1-ubyte.gz: holds what belongs into t10k-labels-idx1-ubyte"),
    "one file": ("train-images-idx3-ubyte is there without train-labels-idx1-ubyte[.gz]"),
    "damaged gzip": ("train-images-idx3-ubyte.gz: damaged"),
    "a page in place of a file": ("train-images-idx3-ubyte.gz: no idx file of images"),
    "a folder in place of a file": ("train-images-idx3-ubyte.gz: cannot be read"),
}


@pytest.mark.parametrize(("kind", "said"), WRONG.items(), ids=WRONG)
def test_a_file_that_is_wrong_is_named_in_one_sentence_and_nothing_stands_in_for_it(known, tmp_path, kind, said):
    write(tmp_path, known, T10K)  # whole, and no way out
    for name, content in damaged(kind, known).items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        digits(tmp_path, count=10)
    assert said in str(error.value)
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_pair_of_unlike_numbers_is_named(known, tmp_path, monkeypatch):
    short = header(99) + known[T10K[1]][8:107]
    monkeypatch.setitem(vars(mnist_files.TEST), "sha256", (mnist_files.TEST.sha256[0], hashlib.sha256(short).hexdigest()))
    write(tmp_path, known | {T10K[1]: short}, T10K)
    with pytest.raises(ConfigError, match="100 images in t10k-images-idx3-ubyte and 99 labels"):
        digits(tmp_path, count=10)


def test_a_folder_without_files_or_none_at_all_is_refused_and_no_surrogate_taken(tmp_path):
    with pytest.raises(ConfigError, match=r"none of the files of MNIST; expected train-images-idx3-ubyte\[\.gz\]"):
        digits(tmp_path)
    with pytest.raises(ConfigError, match="no folder"):
        digits(tmp_path / "nowhere")


@pytest.mark.parametrize(("count", "said"), [(0, "at least 1"), (601, "at most 600")])
def test_as_many_digits_as_there_are(known, tmp_path, count, said):
    with pytest.raises(ValueError, match=said):
        digits(write(tmp_path, known, TRAIN), count=count)


def test_a_small_file_that_stands_for_a_large_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("flowcheck.data.idx.LARGEST", 1000)
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(2000)))
    with pytest.raises(ConfigError, match="more than 1,000 bytes"):
        unpack(tmp_path / "x.gz")


def test_an_array_is_read_as_it_was_written():
    images, labels = drawn(3, 7)
    for array in (images, labels):
        assert (parse(Path("x"), text_of(array), array.ndim) == array).all()
    assert text_of(images).startswith(header(7, 28, 28))


# ------------------------------------------------------------------------------------------------------------------ without files


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves `files`, and fails the first `failures` requests."""

    def do_GET(self):
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path.lstrip("/"))
        if self.server.failures > 0 or content is None:
            self.server.failures -= 1
            self.send_error(503 if content is not None else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *said):
        pass


@pytest.fixture
def mirror(monkeypatch):
    """Starts mirrors on this machine."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between tries
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    servers = []

    def start(files, failures=0):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
        server.files, server.failures, server.asked = files, failures, []
        threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
        servers.append(server)
        return server, f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def archives(known, monkeypatch):
    """The training files as they would lie on a mirror."""
    files = {f"{name}.gz": gzip.compress(known[name], mtime=0) for name in TRAIN}
    monkeypatch.setattr(mnist_files, "ARCHIVES", {name: f"sha256:{hashlib.sha256(c).hexdigest()}" for name, c in files.items()})
    return files


def test_files_are_fetched_from_the_next_mirror_where_one_has_them_not_and_again_where_it_fails(mirror, archives, tmp_path):
    gone, first = mirror({})
    bad, second = mirror({name: content[:-1] for name, content in archives.items()})
    flaky, third = mirror(archives, failures=1)
    folder = mnist_files.fetch(tmp_path, [first, second, third], retries=1)
    assert digits(folder, count=600).labels.tolist() == drawn(0, 600)[1].tolist()
    assert gone.asked
    assert bad.asked
    assert len(flaky.asked) == 3  # one more for the first file
    mnist_files.fetch(tmp_path, [third])
    assert len(flaky.asked) == 3  # what is there is not asked for


def test_a_file_that_no_mirror_gives_is_one_sentence_with_what_each_said(mirror, archives, tmp_path):
    _, first = mirror({})
    _, second = mirror(dict.fromkeys(archives, b"something else"))
    with pytest.raises(ConfigError) as error:
        mnist_files.fetch(tmp_path, [first, second], retries=0)
    for part in ("train-images-idx3-ubyte.gz of MNIST cannot be fetched", first, second, "404"):
        assert part in str(error.value)
    assert not list(tmp_path.glob("*.gz"))


@pytest.fixture
def offline(monkeypatch):
    def fail(*arguments, **named):
        raise ConfigError("train-images-idx3-ubyte.gz of MNIST cannot be fetched: no network")

    monkeypatch.setattr(mnist_files, "fetch", fail)


def test_without_folder_and_network_a_surrogate_stands_in_and_says_so(offline):
    found = digits(None, count=100)
    assert found.surrogate
    assert found.source.startswith("surrogate for MNIST, the 8x8 digits of scikit-learn scaled up: 100 of 1,797")
    assert set(found.labels.tolist()) == set(range(10))
    everything = digits(None, count=1797)
    assert abs(float(everything.inputs.mean())) < 1e-12
    assert abs(float(everything.inputs.std(correction=0)) - 1) < 1e-11


def test_a_surrogate_that_is_not_allowed_is_refused_with_the_reason(offline, tmp_path):
    with pytest.raises(ConfigError, match="cannot be fetched: no network; name a folder"):
        digits(None, allow_surrogate=False)
    mnist_files.keep(mnist_files.surrogate(), tmp_path)
    with pytest.raises(ConfigError, match="a surrogate of MNIST, which is not allowed"):
        digits(tmp_path, allow_surrogate=False)
    assert digits(tmp_path).surrogate


def test_a_pixel_of_the_surrogate_is_the_mean_of_what_it_covers():
    from sklearn.datasets import load_digits

    raw, small = mnist_files.surrogate(), load_digits().images
    exact = np.zeros((28, 28))
    edges = np.linspace(0, 8, 29)
    for i in range(28):
        for j in range(28):
            for r in range(8):
                for c in range(8):
                    high = max(0.0, min(edges[i + 1], r + 1) - max(edges[i], r))
                    wide = max(0.0, min(edges[j + 1], c + 1) - max(edges[j], c))
                    exact[i, j] += small[5, r, c] * high * wide * 3.5**2
    assert np.abs(raw.images[5] - exact * 255 / 16).max() <= 0.5 + 1e-9


def test_digits_that_were_kept_are_found_again(known, tmp_path):
    raw = mnist_files.find(write(tmp_path, known, TRAIN), allow_surrogate=False)
    said = mnist_files.keep(raw, tmp_path / "kept")
    again = mnist_files.find(tmp_path / "kept", allow_surrogate=False)
    assert (again.images == raw.images).all()
    assert (again.labels == raw.labels).all()
    sha256 = {name: hashlib.sha256(known[name]).hexdigest() for name in TRAIN}
    assert said == {"source": "MNIST training digits", "surrogate": False, "sha256": sha256}
    assert {path.name for path in (tmp_path / "kept").iterdir()} <= set(mnist_files.FILES)

"""Convolutional networks of Figure 3: their starts and images, what a study holds, what is read of the caption and published."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from flowcheck.data.mnist import Digits
from flowcheck.errors import ConfigError, HypothesisError
from flowcheck.papers.continuous_discrete import drift_readings, figure_3, mnist_networks
from flowcheck.papers.continuous_discrete.published_curves import READ_OFF, read_off
from flowcheck.papers.continuous_discrete.step_comparison import Recipe, compare, table

DATA = Path(__file__).resolve().parents[4] / "scripts" / "continuous_discrete" / "data"
NETWORKS = ("conv_max_pool", "conv_subsample")


def few_digits(n=12):
    rng = np.random.default_rng(0)
    return Digits(torch.tensor(rng.standard_normal((n, 784))), torch.tensor(np.arange(n) % 10), "noise")


def starts(name, start, count=2):
    net = mnist_networks.convolutional(name)
    return np.stack([mnist_networks.convolutional_start(net, start, np.random.default_rng(seed)) for seed in range(count)])


@pytest.mark.parametrize("start", ["xavier", "authors"])
@pytest.mark.parametrize("name", NETWORKS)
def test_starts_have_the_spread_of_torch(name, start):
    """Each layer against the largest weight of torch's own, of as many draws."""
    net = mnist_networks.convolutional(name)
    layers, biases = net.parts(torch.from_numpy(starts(name, start)[0]))
    sizes = [(1, 6), (6, 16)]
    modules = [torch.nn.Conv2d(*size, 5) for size in sizes] + [torch.nn.Linear(c, r) for r, c in net.shapes[2:]]
    for position, (layer, bias, module) in enumerate(zip(layers, biases, modules, strict=True)):
        torch.manual_seed(position)
        module.reset_parameters()
        if start == "xavier" or position > 1:
            torch.nn.init.xavier_uniform_(module.weight)
        assert float(layer.abs().max()) == pytest.approx(float(module.weight.detach().abs().max()), rel=0.1)
        assert float(layer.std()) == pytest.approx(float(module.weight.detach().std()), rel=0.15)
        if start == "authors" and net.biases:
            assert 0 < float(bias.abs().max()) <= 1 / math.sqrt(layer.shape[1])
        else:
            assert not bias.any()


def test_images_have_a_frame_of_zeros():
    data = few_digits()
    images = mnist_networks.images(data)
    assert images.shape == (12, 1, 32, 32)
    assert torch.equal(images[:, 0, 2:-2, 2:-2].flatten(start_dim=1), data.inputs)
    images[:, 0, 2:-2, 2:-2] = 0
    assert not images.any()


def study(**changes):
    given = {"network": "conv_subsample", "start": "xavier", "precision": "float64", "draws": [0, 3], "ratios": [2, 4]}
    return figure_3.Study(**(given | {"iterations": 500, "interval": 250} | changes))


def test_a_study_holds_its_curves_a_row_for_each_draw_and_broken_runs():
    one = study()
    arrays, rows = figure_3.run(
        one, few_digits(), starts("conv_subsample", "xavier"), np.arange(12)[::-1].copy(), torch.device("cpu")
    )
    assert arrays["drift"].shape == (2, 2, 3)
    assert arrays["loss"].shape == (3, 2, 3)
    assert rows[["draw", "ratio"]].to_numpy().tolist() == [[0, 2], [0, 4], [3, 2], [3, 4]]
    assert rows["start"].unique().tolist() == ["xavier"]
    assert 0 < arrays["reordered"][-1] < 1e-9 < arrays["drift"].max() < 0.1
    assert (one.name, study(start="authors").name) == ("conv_subsample", "conv_subsample_authors")


def test_biases_count_in_distances_from_the_start_of_the_text_only():
    start = starts("conv_max_pool", "authors", 1)
    given = {"network": "conv_max_pool", "draws": [0], "ratios": [2]}
    run = [
        figure_3.run(study(start=kind, **given), few_digits(), start, np.arange(12), torch.device("cpu"))[0]
        for kind in ("xavier", "authors")
    ]
    np.testing.assert_array_equal(run[0]["loss"], run[1]["loss"])
    for name in ("distance", "drift"):
        assert (run[0][name][..., 1:] > run[1][name][..., 1:]).all()


def test_the_caption_holds_for_the_adapted_network_alone():
    found = figure_3.captured(few_digits(), starts("conv_subsample", "authors"), starts("conv_max_pool", "authors"))
    for name in ("conv_subsample_top_left_gap", "conv_subsample_order_five_gap"):
        assert found[name].value < 1e-13
    for name in ("conv_subsample_bottom_right_gap", "conv_max_pool_order_five_gap"):
        assert found[name].value > 0.01


@pytest.mark.parametrize("network", NETWORKS)
def test_what_was_read_off_looks_like_the_figure(network):
    found = read_off(DATA / f"figure_3_{network}.csv")
    at, loss = found["loss"]
    assert at.tolist() == [0, 1000, 2000, 3000, 10_000]
    assert loss[0] == pytest.approx(math.log(10), abs=READ_OFF)  # outputs near zero: all classes alike
    assert (np.diff(loss) < 0).all()
    at, distance = found["distance"]
    assert (np.diff(distance) > 0).all()
    assert distance[-1] < 3.0  # the axis of the published figure
    assert found["drift"][1][-1] < 0.05 * distance[-1]


def test_another_table_is_refused(tmp_path):
    text = (DATA / "figure_3_conv_subsample.csv").read_text(encoding="utf-8")
    for name, wrong in {"columns": text.replace("quantity,", "what,"), "drift": text.replace("drift,", "loss,")}.items():
        (tmp_path / name).write_text(wrong, encoding="utf-8")
        with pytest.raises(ConfigError, match="expected the columns"):
            read_off(tmp_path / name)


class Fixed:
    """Runs that go where they are told: one row for each step size."""

    def __init__(self, places):
        self.places = iter(places)

    def advance(self, steps):
        pass

    def weights(self):
        return torch.tensor([[next(self.places)]], dtype=torch.float64)


def rows_of(coarse, fine):
    paths = {1.0: coarse, 0.5: fine}
    with np.errstate(all="raise"):
        return table(compare(lambda size: Fixed(paths[size]), lambda w: (w**2).sum(dim=1) + 1, Recipe(1.0, 2, 1, (2,))), [7], 0.0)


@pytest.mark.parametrize(
    ("coarse", "fine", "ratio", "diverged"),
    [
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], 0.0, 0),  # neither moves
        ([1.0, 1.0, 1.0], [1.0, 1.5, 1.0], math.inf, 0),  # only one does
        ([1.0, 2.0, 1.0], [1.0, 1.5, 1.0], 0.5, 0),  # it comes back
        ([1.0, 2.0, math.nan], [1.0, 1.5, 2.0], 0.5, 1),
        ([1.0, 2.0, 3.0], [1.0, 1.5, math.inf], 0.5, 1),
        ([1.0, math.inf, 3.0], [1.0, 1.5, 2.0], math.nan, 1),  # nothing is left
    ],
)
def test_runs_that_do_not_move_or_diverge_have_a_ratio_that_says_so(coarse, fine, ratio, diverged):
    row = rows_of(coarse, fine).iloc[0]
    assert row.drift_ratio == ratio or (math.isnan(ratio) and math.isnan(row.drift_ratio))
    assert row.diverged == diverged


def test_of_runs_that_diverge_nothing_is_read():
    rows = rows_of([1.0, 2.0, math.nan], [1.0, 1.5, 2.0])
    with pytest.raises(HypothesisError, match=r"descent from draw 7 .* diverges \(some_diverged = 1\)"):
        drift_readings.as_drawn(rows, "some")

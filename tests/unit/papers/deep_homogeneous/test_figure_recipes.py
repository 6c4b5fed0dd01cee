"""What the paper prints."""

import pytest
import torch

from flowcheck.papers.deep_homogeneous.figure_recipes import LOSSES, Recipe, rate


@pytest.mark.parametrize("name", LOSSES)
def test_the_rate_of_a_loss_is_that_of_its_gradient(name):
    outputs, y = (torch.randn(7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in (0, 1))
    gradients = []
    for loss in (LOSSES[name], LOSSES["half_sum"]):
        leaf = outputs.clone().requires_grad_(True)
        gradients.append(torch.autograd.grad(loss.value(leaf, y), leaf)[0])
    assert torch.allclose(gradients[0], rate(LOSSES[name], 7) * gradients[1], rtol=1e-14)


def test_the_time_that_the_printed_iterations_take_is_that_of_the_mean():
    recipe = Recipe(delta=0.1, step_size=5e-3, iterations=1000, displayed_start=0)
    assert recipe.shown_time(100) == pytest.approx(1000 * 5e-3 * 2 / 100)

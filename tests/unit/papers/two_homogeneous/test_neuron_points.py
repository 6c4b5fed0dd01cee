"""KKT points of one neuron: all that ascents find are among those of an enumeration that knows no ascent."""

import numpy as np
import pytest
import torch

from flowcheck.correlation import clarke
from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.networks import zoo
from flowcheck.papers.two_homogeneous.neuron_points import SLOPES, OnFaces, both_ways


def test_ascents_both_ways_find_the_largest_and_the_smallest_eigenvector(rng):
    z = torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64)
    ncf = Correlation(zoo.power_net(1, 3, 2.0, slope=1.0), torch.eye(3, dtype=torch.float64), z)
    found = torch.stack(both_ways(ncf, synthetic.unit_vectors(rng, 20, 3)))
    assert sorted(found.abs().argmax(dim=1).tolist()) == [0, 0, 2, 2]
    assert found.abs().amax(dim=1).tolist() == pytest.approx([1.0] * 4)


def test_points_are_those_of_the_enumeration_and_some_lie_on_kinks(neurons):
    assert set(neurons.smooth) == set(neurons.kinked) == set(SLOPES)
    for slope in SLOPES:
        enumerated = clarke.neuron_kkt_points(neurons.x.numpy(), neurons.z.numpy(), slope)
        for w in [*neurons.smooth[slope], *neurons.kinked[slope]]:
            # Lemma H.1: the direction of u is a KKT point of (90)
            direction = (w[:3] / w[:3].norm()).numpy()
            assert np.linalg.norm(enumerated - direction, axis=1).min() < 1e-6
        for w in neurons.kinked[slope]:
            assert float((neurons.x @ w[:3]).abs().min()) < 1e-12
    assert sum(map(len, neurons.kinked.values())) > 0


def test_ascents_stay_on_their_faces_when_others_are_done(rng):
    z = torch.tensor([1.0, 2.0, 4.0, 2.5], dtype=torch.float64)
    x = torch.cat([torch.eye(3, dtype=torch.float64), torch.tensor([[0.6, 0.8, 0.0]], dtype=torch.float64)])
    normals = torch.eye(3, dtype=torch.float64).repeat(4, 1)
    faces = OnFaces(zoo.power_net(1, 3, 2.0, slope=1.0), x, z, normals)
    starts = synthetic.unit_vectors(rng, 12, 3)
    starts = starts - (starts * normals).sum(dim=1, keepdim=True) * normals
    starts[0] = torch.tensor([0.0, 0.0, 1.0])  # done at once: an eigenvector on its face
    ends = ascend(faces, starts)
    assert bool(ends.converged.all())
    assert (ends.points * normals).sum(dim=1).tolist() == pytest.approx([0.0] * 12, abs=1e-12)


def test_gradients_on_faces_stay_on_them(rng):
    x, z = synthetic.sphere_inputs(rng, 4, 3), synthetic.gaussian(rng, 4)
    normals = torch.eye(3, dtype=torch.float64)
    gradient = OnFaces(zoo.power_net(1, 3, 2.0), x, z, normals).gradient(synthetic.unit_vectors(rng, 3, 3))
    assert gradient.diagonal().tolist() == pytest.approx([0.0] * 3, abs=1e-15)


def test_both_ways_of_asking_for_a_gradient_on_a_face_give_the_same(rng, neurons):
    normals = synthetic.unit_vectors(rng, 4, 4)
    for slope in SLOPES:
        plain, u = neurons.correlation(slope), synthetic.unit_vectors(rng, 4, 4)
        faces = OnFaces(plain.network, plain.x, plain.z, normals)
        value, gradient = faces.value_and_gradient(u)
        assert torch.equal(gradient, faces.gradient(u))
        assert torch.equal(value, plain.value(u))
        assert (gradient * normals).sum(dim=1).abs().max() < 1e-12

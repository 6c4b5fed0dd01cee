"""Which initial direction ends at which KKT point (ours, origin flowcheck): one squared-ReLU neuron in the plane and in space.

In the plane the arcs between minima of the NCF, in closed form. On the sphere of directions in R^3 the map from flows, its
boundaries as stable sets of saddles, and the loss flow from small initialisation against both.
"""

import torch
from pydantic import Field

from flowcheck.data.synthetic import unit_vectors
from flowcheck.networks.hypotheses import require_scale
from flowcheck.papers.homogeneous.hypotheses import Presupposed, measure
from flowcheck.papers.two_homogeneous.landscape import Landscape, neuron
from flowcheck.papers.two_homogeneous.stable_set_alignment import early_alignment
from flowcheck.papers.two_homogeneous.stable_set_boundaries import boundaries
from flowcheck.papers.two_homogeneous.stable_set_maps import SphereMap, circle
from flowcheck.papers.two_homogeneous.stable_set_topology import census
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main


class Parameters(ParametersModel):
    inputs: int = Field(ge=4)
    displayed: int = Field(ge=0, description="number of the draw of the data that the map shows")
    longitudes: int = Field(ge=12)
    latitudes: int = Field(ge=6)
    draws: int = Field(ge=1, description="further draws, without a map")
    directions: int = Field(ge=20, description="random directions for each further draw, and for the loss flow")
    boundary_points: int = Field(ge=5)
    delta: float = Field(gt=0, lt=1e-2)


def cell(p: Parameters, context: Context) -> Evidence:
    require_scale([p.delta])
    device = context.device

    def landscape(draw: int) -> Landscape:
        return Landscape.drawn(context.rng("data", draw), p.inputs, device)

    shown, early = landscape(p.displayed), context.rng("early")
    sphere = SphereMap.of(shown, p.longitudes, p.latitudes)
    starts, permutation = unit_vectors(early, p.directions, 3).to(device), torch.from_numpy(early.permutation(p.inputs))
    further = (
        (landscape(draw), unit_vectors(context.rng("further", draw), p.directions, 3).to(device))
        for draw in context.progress(range(p.draws), what="draws")
    )
    counted, table = census(further)
    return Evidence.of(
        [
            measure([Presupposed(shown.ncf.network, shown.ncf.x, shown.ncf.z[None], 2)]),
            sphere.found(),
            boundaries(sphere, context.rng("boundaries"), p.boundary_points),
            early_alignment(shown, starts, permutation.to(device), p.delta),
            counted,
            circle(neuron(context.rng("circle"), p.inputs, 2, device), 4 * p.longitudes),
        ],
        table,
    )


if __name__ == "__main__":
    main(Parameters, cell)

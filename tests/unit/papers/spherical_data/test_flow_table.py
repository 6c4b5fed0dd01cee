"""One row for each flow, with the columns of its depth and an error behind each measured one."""

import numpy as np
import pytest

from flowcheck.papers.spherical_data import flow_table, reduced_flow
from flowcheck.papers.spherical_data.population import law

ANGLE, NORM = np.array([0.3, 2.0, 2.9]), np.array([1.0, 1.0, 5.0])
ADVANCES = np.concatenate([[0.0], np.geomspace(1e-3, 12.0, 60)])
BOUNDS = {
    1: [
        *(
            "first",
            "first_beyond",
            "second",
            "second_from_start",
            "first_end",
            "second_end",
            "second_from_start_end",
            "printed_a2",
            "printed_root",
            "printed_a2_root",
        ),
        *("late_norm_gap", "late_along_v_gap"),
    ],
    2: [],
    3: ["first", "second", "upper", "first_end", "second_end", "upper_end", "lemma8_lower", "lemma8_upper", "printed_upper"],
}


@pytest.mark.parametrize("depth", list(BOUNDS))
def test_columns_are_those_of_the_depth(depth):
    runs = flow_table.table(law("sphere_10"), depth, ANGLE, NORM, ADVANCES, 0.01)
    measured = ["T", "qT", "sT", "t_end", "progress_min", "growth_slope_at_T", *BOUNDS[depth]]
    counted = ["law", "depth", "angle", "norm", "sign_changes", "ends_growing"]
    assert set(runs) == {*counted, *measured, *(f"{name}_error" for name in measured)}
    assert runs["law"].tolist() == ["sphere_10"] * 3
    assert runs["angle"].tolist() == ANGLE.tolist()
    for name in measured:
        assert np.all(runs[f"{name}_error"] > 0), name


def test_errors_are_changes_to_the_coarser_integration_and_more_than_rounding_where_exponents_are_subtracted():
    runs = flow_table.table(law("circle"), 3, ANGLE, NORM, ADVANCES, 0.01)
    paths = [
        reduced_flow.reduced_flow(law("circle"), 3, reduced_flow.clock(ANGLE), np.log(NORM), ADVANCES, rtol=how.rtol)
        for how in (flow_table.FINE, flow_table.COARSE)
    ]
    fine, coarse = (path.transition.t for path in paths)
    assert runs["T"].tolist() == fine.tolist()
    assert runs["T_error"][1:].tolist() == np.abs(fine - coarse)[1:].tolist()
    assert runs["first_error"].min() > 2.0**-52 / 0.01
    assert runs["first_error"].max() < 1e-7

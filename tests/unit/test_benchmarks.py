"""The harness of the benchmarks, on a toy pair and a clock of its own."""

import json

import pytest

from benchmarks import harness, report


class Clock:
    """Time that passes only when a toy works."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def work(self, name, *durations):
        pending = list(durations)

        def call():
            self.log.append(name)
            self.now += pending.pop(0) if len(pending) > 1 else pending[0]

        return call

    def __call__(self):
        return self.now


def toy_pair(rounds=3):
    """Ours takes 9 at first, then 1, 2, 1; the peer 9, then 4, 4, 6; for two units each."""
    clock = Clock()
    variants = [
        harness.Variant("ours", clock.work("ours", 9.0, 1.0, 2.0, 1.0), 2, 1e-12),
        harness.Variant("peer", clock.work("peer", 9.0, 4.0, 4.0, 6.0), 2, 2e-12),
    ]
    return clock, variants, harness.interleave(variants, rounds, clock)


def test_variants_take_turns_after_one_call_that_does_not_count():
    clock, _, seconds = toy_pair()
    assert clock.log == ["ours", "peer"] * 4
    assert seconds == {"ours": [0.5, 1.0, 0.5], "peer": [2.0, 2.0, 3.0]}
    assert harness.fastest(seconds, ["peer", "ours"]) == "ours"


def test_a_row_has_the_median_of_the_ratios_of_its_rounds():
    _, variants, seconds = toy_pair()
    row = harness.compare("B0", "toy", "unit", variants, seconds, "ours", "peer", 3.5, why="never seen")
    assert (row.ratio, row.ratio_range) == (4.0, (2.0, 6.0))
    assert (row.ours_median, row.ours_range, row.peer_median, row.peer_range) == (0.5, (0.5, 1.0), 2.0, (2.0, 3.0))
    assert (row.met, row.why, row.rounds, row.errors) == (True, "", 3, {"ours": 1e-12, "peer": 2e-12})


def test_a_missed_ratio_stays_with_its_reason():
    _, variants, seconds = toy_pair()
    row = harness.compare("B0", "toy", "unit", variants, seconds, "ours", "peer", 5.0, why="the peer is fast")
    assert (row.met, row.ratio, row.why) == (False, 4.0, "the peer is fast")
    assert "B0 against peer: 4 of 5. the peer is fast" in report.table([row])
    assert harness.compare("B0", "toy", "unit", variants, seconds, "ours", "peer", None).met is None


@pytest.mark.parametrize(("target", "met"), [(2.5, True), (1.5, False)])
def test_the_distance_to_a_floor_must_not_exceed_its_target(target, met):
    row = harness.against_floor("B0", "toy", "unit", [1.0, 2.0, 2.0], [1.0, 1.0, 1.0], "ours", target)
    assert (row.ratio, row.met, row.at_most) == (2.0, met, True)


@pytest.mark.parametrize("error", [1e-6, float("nan")])
def test_a_variant_that_is_off_the_reference_is_not_timed(error):
    variants = [harness.Variant("good", print, 1, 1e-9), harness.Variant("bad", print, 1, error)]
    with pytest.raises(ValueError, match="bad: error"):
        harness.require_accurate(variants, 1e-8)


def test_the_tolerance_is_the_loosest_that_holds_twice():
    errors = {1e-3: 5e-6, 1e-4: 1.0, 1e-5: 8e-6, 1e-6: 1e-7}
    assert harness.tune(errors.__getitem__, float, 1e-5, list(errors)) == (1e-5, 8e-6)
    with pytest.raises(ValueError, match="reaches an error"):
        harness.tune(errors.__getitem__, float, 1e-8, list(errors))


def test_results_are_rows_of_plain_numbers_with_the_machine(tmp_path):
    _, variants, seconds = toy_pair()
    row = harness.compare("B0", "toy", "unit", variants, seconds, "ours", "peer", 3.5)
    stored = json.loads(json.dumps(row.as_json()))
    assert {"id", "peer", "ratio", "target", "met", "ours_median", "peer_median", "rounds", "machine"} <= set(stored)
    assert {"processor", "cores", "python", "torch"} <= set(stored["machine"])
    report.plot([row], tmp_path / "results.png")
    assert (tmp_path / "results.png").stat().st_size > 1000


def test_what_is_counted_is_no_time():
    _, variants, _ = toy_pair()
    counts = {"ours": [40.0] * 3, "peer": [100.0] * 3}
    row = harness.compare("B0", "toy", "unit", variants, counts, "ours", "peer", 2.0, label="peer: products", counted=True)
    assert "| ours 40 | peer: products: 100 | 2.5 (2.5-2.5) | at least 2 | met |" in report.table([row])
    assert row.as_json()["counted"] is True

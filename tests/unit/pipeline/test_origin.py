"""What a data set says of itself, and what is made of that for readers."""

import pytest

from flowcheck.errors import EvidenceError
from flowcheck.pipeline.evidence import save_sealed
from flowcheck.pipeline.origin import ORIGIN, folder_of, on_surrogates, origins_in, read_origins, sources
from flowcheck.pipeline.schema import RunConfig, run_config_for
from flowcheck.pipeline.seal import SEAL, blank_seal

SAID = {"source": "ten digits", "surrogate": False, "sha256": {"x": "0" * 64}}


def write(folder, said):
    folder.mkdir(parents=True)
    save_sealed(folder / ORIGIN, {**said, "given": None, SEAL: blank_seal(folder / ORIGIN, [])})
    return folder


def test_an_origin_is_what_the_data_are_and_not_where_they_came_from(tmp_path):
    assert read_origins({"digits": write(tmp_path / "a", SAID)}) == {"digits": SAID}


def test_an_origin_that_is_gone_changed_or_silent_is_refused(tmp_path):
    with pytest.raises(EvidenceError, match="No such file"):
        read_origins({"digits": tmp_path})
    changed = write(tmp_path / "a", SAID) / ORIGIN
    changed.write_text(changed.read_text().replace("ten", "six"))
    with pytest.raises(EvidenceError, match="changed after it was written"):
        read_origins({"digits": tmp_path / "a"})
    with pytest.raises(EvidenceError, match="does not say 'surrogate'"):
        read_origins({"digits": write(tmp_path / "b", {"source": "ten digits"})})


def test_readers_are_told_the_source_of_every_data_set_and_of_one_surrogate_among_them():
    origins = origins_in({"data": {"b": SAID, "a": SAID | {"source": "a stand-in", "surrogate": True}}})
    assert sources(origins) == "a stand-in; ten digits"
    assert on_surrogates(origins)
    assert not on_surrogates({"b": SAID})
    assert sources(origins_in({})) == ""
    assert folder_of("smoke", "digits").as_posix() == "results/smoke/data/digits"


def test_a_run_names_the_folder_of_each_data_set_or_none():
    model = run_config_for(["digits", "faces"])
    run = model.model_validate({"digits_dir": "../digits"})
    assert run.folder_of("digits").as_posix() == "../digits"
    assert run.folder_of("faces") is None
    assert RunConfig().folder_of("digits") is None

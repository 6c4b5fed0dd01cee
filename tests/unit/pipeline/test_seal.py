"""Seals: what was written is told from damage, edits and files of another run, and the file is named."""

import io
import json
import zipfile

import pytest

from flowcheck.errors import EvidenceError
from flowcheck.pipeline.evidence import load_sealed, save_sealed
from flowcheck.pipeline.seal import SEAL, blank_seal, check_archive, check_sealed, remembered_digest, seal_archive


@pytest.fixture
def sealed(tmp_path):
    """A sealed file that vouches for another one, in another folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b.txt").write_text("what it rests on")
    path = tmp_path / "a" / "x.json"
    save_sealed(path, {"text": 'an "odd" \\ text with "sealed": {', "number": 1.5, SEAL: blank_seal(path, [tmp_path / "b.txt"])})
    return path


def test_a_sealed_file_is_plain_json_and_reads_back_without_its_seal(sealed):
    check_sealed(sealed)
    assert json.loads(sealed.read_text())[SEAL]["files"].keys() == {"../b.txt"}
    assert load_sealed(sealed) == {"text": 'an "odd" \\ text with "sealed": {', "number": 1.5}


def test_every_flipped_bit_is_noticed(sealed):
    whole = sealed.read_bytes()
    for position in range(len(whole)):
        sealed.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(EvidenceError, match=r"^\S*x\.json: "):
            check_sealed(sealed)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff\xfe", b"3", b'{"sealed": {}}', b'{"sealed": {"place": "", "files": 1, "digest": 2}}']
)
def test_what_carries_no_seal_is_one_sentence(sealed, content):
    sealed.write_bytes(content)
    for read in (check_sealed, load_sealed):
        with pytest.raises(EvidenceError, match=r"^\S*x\.json: (damaged|malformed)"):
            read(sealed)


@pytest.mark.parametrize("digest_of", [None, remembered_digest], ids=["read each time", "remembered"])
def test_a_file_that_it_vouches_for_is_named(sealed, digest_of):
    other, options = sealed.parent.parent / "b.txt", () if digest_of is None else (digest_of,)
    check_sealed(sealed, *options)
    other.write_text("something else")
    with pytest.raises(EvidenceError, match=r"^\S*b\.txt: damaged, changed, or of another run than \S*x\.json$"):
        check_sealed(sealed, *options)
    other.unlink()
    with pytest.raises(EvidenceError, match=r"^\S*b\.txt: No such file or directory, and \S*x\.json rests on it$"):
        check_sealed(sealed, *options)


def test_a_key_that_occurs_twice_is_named(tmp_path):
    (tmp_path / "x.json").write_text('{"a": 1, "a": 2}')
    with pytest.raises(EvidenceError, match=r"x\.json: malformed JSON: key 'a' occurs twice"):
        load_sealed(tmp_path / "x.json")


def archive(comment=b""):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("member", "content")
        made.comment = comment
    return stream.getvalue()


def test_a_sealed_archive_is_an_archive_with_its_label(tmp_path):
    content = seal_archive(archive(), "0123456789abcdef")
    assert check_archive(tmp_path / "x.npz", content) == "0123456789abcdef"
    with zipfile.ZipFile(io.BytesIO(content)) as read:
        assert read.read("member") == b"content"


def test_only_an_archive_without_a_comment_is_sealed():
    with pytest.raises(ValueError, match="without a comment"):
        seal_archive(archive(b"a comment"))
    with pytest.raises(ValueError, match="at most 16"):
        seal_archive(archive(), "x" * 17)


def test_a_file_in_the_place_of_another_is_named(tmp_path):
    path = tmp_path / "x.json"
    save_sealed(path, {SEAL: blank_seal(path, [], "smoke/x.json")})
    check_sealed(path, place="smoke/x.json")
    with pytest.raises(EvidenceError, match=r"x\.json: written as smoke/x\.json$"):
        check_sealed(path, place="smoke/y.json")


def test_a_file_that_was_made_with_something_else_is_named_where_somebody_asks(tmp_path):
    path = tmp_path / "x.json"
    save_sealed(path, {SEAL: blank_seal(path, [], stamp="0123456789abcdef")})
    check_sealed(path)
    check_sealed(path, stamp="0123456789abcdef")
    with pytest.raises(EvidenceError, match=r"x\.json: made with other settings, texts, code or libraries"):
        check_sealed(path, stamp="fedcba9876543210")

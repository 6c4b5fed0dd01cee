"""One page with all figures that are promised, and those that are missing."""

import re

import pytest

from flowcheck.__main__ import main


def test_the_page_shows_every_figure_that_is_promised_or_says_that_it_is_not_there(checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout.root)
    assert main(["contact-sheet", "--scale", "smoke"]) == 2
    assert "results/smoke: no figure there; make them with: snakemake" in capsys.readouterr().err
    figure = checkout.root / "results/smoke/toy/decay/figures/error.png"
    figure.parent.mkdir(parents=True)
    figure.write_bytes(b"")
    assert main(["contact-sheet", "--scale", "smoke"]) == 0
    assert capsys.readouterr().out == "results/smoke/contact-sheet.html\n"
    page = (checkout.root / "results/smoke/contact-sheet.html").read_text()
    assert re.findall('src="(.+?)"', page) == ["toy/decay/figures/error.png"]
    assert page.count("not there") == 2
    for name in ("error", "slope", "histogram"):
        assert f"<b>{name}</b>" in page


@pytest.mark.parametrize("scale", ["", "tiny"])
def test_an_unknown_scale_is_one_sentence(checkout, scale, monkeypatch, capsys):
    monkeypatch.chdir(checkout.root)
    assert main(["contact-sheet", "--scale", scale]) == 2
    assert f"--scale: unknown scale: {scale!r}" in capsys.readouterr().err

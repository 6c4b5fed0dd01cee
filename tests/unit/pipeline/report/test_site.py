"""The report: pages, links, formulas, wording, and that index.html says that the rest is complete."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from nbformat.v4 import new_markdown_cell, new_notebook

from flowcheck.errors import ConfigError, EvidenceError
from flowcheck.pipeline.claims import Verdict
from flowcheck.pipeline.evidence import save_sealed
from flowcheck.pipeline.figures.notebook import as_html
from flowcheck.pipeline.ledger import build_ledger, write_ledger
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.report.mathml import FormulaError, Renderer, formulas, to_mathml
from flowcheck.pipeline.report.site import Site, control_outcome, duration, number
from flowcheck.pipeline.report.write import write_report
from flowcheck.pipeline.seal import SEAL, blank_seal
from report_fixture import ALPHA, BETA, SCALE, make_project, make_report, verdicts

CLAIMS = [f"alpha/{entry['id']}" for entry in ALPHA] + [f"beta/{entry['id']}" for entry in BETA]


class Page(HTMLParser):
    """What the tests ask of a page: its links, ids, formulas and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.formulas: list[str] = []
        self.source = path.read_text()
        self.feed(self.source)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("href", "src") and value is not None]
        self.ids |= {value for key, value in attrs if key == "id" and value}
        if tag == "math":
            self.formulas.append(values["alttext"] or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_report(folder)
    return folder


@pytest.fixture(scope="module")
def report(root: Path) -> Path:
    return root / "results" / SCALE / "report"


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A project of its own, for tests that change it."""
    return Path(shutil.copytree(root, tmp_path / "project"))


def pages(report: Path) -> list[Path]:
    return [path for path in report.rglob("*.html") if "notebooks" not in path.parts]


def test_every_verdict_occurs_in_the_made_up_project(report: Path) -> None:
    assert set(verdicts(report).values()) == set(Verdict)


def test_every_claim_has_a_page_with_its_verdict(report: Path) -> None:
    for name, verdict in verdicts(report).items():
        assert f'class="badge {verdict}"' in (report / "claims" / f"{name}.html").read_text()


def test_every_internal_link_resolves_inside_the_folder(report: Path) -> None:
    for path in pages(report):
        for link in Page(path).links:
            url = urlsplit(link)
            assert url.scheme in ("", "data"), f"{path}: {link} leaves the folder"
            if url.scheme:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            assert target.is_file(), f"{path}: {link}"
            assert target.is_relative_to(report.resolve()) or target == path, f"{path}: {link}"
            if url.fragment and "=" not in url.fragment:
                assert url.fragment in Page(target).ids, f"{path}: {link}"


def test_links_that_preset_a_filter_name_existing_claims(report: Path) -> None:
    known = {(name.split("/")[0], verdict) for name, verdict in verdicts(report).items()}
    found = set()
    for link in Page(report / "index.html").links:
        keys = dict(part.split("=") for part in urlsplit(link).fragment.split("&") if "=" in part)
        if {"paper", "verdict"} <= set(keys):
            found.add((keys["paper"], keys["verdict"]))
    assert found == known


def test_every_formula_of_a_claim_is_on_its_page(report: Path) -> None:
    for paper, entries in (("alpha", ALPHA), ("beta", BETA)):
        for entry in entries:
            page = Page(report / "claims" / paper / f"{entry['id']}.html")
            expected = [*formulas(entry["title"]), *formulas(entry["statement"]), *formulas(entry.get("note", ""))]
            assert expected
            for formula in expected:
                assert formula.strip() in page.formulas
            assert "$" not in page.text
            assert "formula-error" not in page.source


def test_raw_html_is_text(report: Path) -> None:
    page = Page(report / "claims" / "alpha" / "theorem-1.html")
    assert '<script>alert("raw")</script> and <b>bold</b> stay text.' in page.text
    assert "<script>" not in page.source


def test_every_page_has_language_title_landmarks_and_described_images(report: Path) -> None:
    for path in pages(report):
        page = Page(path)
        assert '<html lang="en">' in page.source
        assert {"title", "main", "nav", "header", "footer", "h1"} <= set(page.tags)
        assert page.tags.count("h1") == 1
        assert page.source.count("<img") == page.source.count('alt="')


def test_contradicted_printed_claim_is_a_finding_and_names_the_corrected_one(report: Path) -> None:
    page = Page(report / "claims" / "alpha" / "theorem-1-printed.html")
    assert "as printed: a finding, not an alarm" in page.text
    assert "theorem-1.html" in " ".join(page.links)
    other = Page(report / "claims" / "beta" / "theorem-10.html")
    assert "contradicted" in other.text
    assert "not an alarm" not in other.text


def test_claims_of_ours_are_marked(report: Path) -> None:
    assert "ours, not the paper's" in Page(report / "claims" / "beta" / "conjecture-a.html").text
    assert "ours, not the paper's" in Page(report / "claims.html").text
    assert "ours, not the paper's" not in Page(report / "claims" / "alpha" / "theorem-1.html").text


def test_controls_say_whether_the_check_has_teeth(report: Path) -> None:
    assert "the control fails, as it must" in Page(report / "claims" / "alpha" / "theorem-1.html").text
    assert "the control passes: the check has no teeth" in Page(report / "claims" / "alpha" / "figure-3.html").text
    assert "An identity of the start alone." in Page(report / "claims" / "alpha" / "lemma-2.html").text


@pytest.mark.parametrize(
    ("outcome", "value", "state", "words"),
    [
        ("holds", 3.0, "good", "fails, as it must"),
        ("fails", 0.5, "bad", "the control passes"),
        ("fails", 1.5, "bad", "by less than it must"),
        ("undecided", 2.0, "open", "not resolved"),
        ("missing", None, "open", "not measured"),
    ],
)
def test_control_outcome(outcome: str, value: float | None, state: str, words: str) -> None:
    claim = {"predicates": [{"metric": "error", "comparison": "<=", "threshold": 1.0}]}
    found = control_outcome({"outcome": outcome, "value": value, "against": "error"}, claim)
    assert found[0] == state
    assert words in found[1]


def test_control_beyond_one_side_of_a_two_sided_check_does_not_pass() -> None:
    sides = [{"metric": "slope", "comparison": ">=", "threshold": 1.9}, {"metric": "slope", "comparison": "<=", "threshold": 2.1}]
    assert "by less" in control_outcome({"outcome": "fails", "value": 2.2, "against": "slope"}, {"predicates": sides})[1]


def test_changed_verdicts_are_in_the_box_on_the_overview(report: Path) -> None:
    text = Page(report / "index.html").text
    assert "1 verdict changed" in text
    assert "recorded ✓ supported now ⊘ hypothesis-not-met" in text
    assert "Recorded and no longer judged: beta/gone" in text
    assert "the recorded verdict is supported" in Page(report / "claims" / "alpha" / "lemma-2.html").text


def test_overview_counts_what_is_printed_what_is_meant_and_what_is_ours_apart(report: Path) -> None:
    text = Page(report / "index.html").text
    assert "numbered results alpha 0 0 0 1 0 2 1 4 beta 0 0 0 0 1 1 0 2 all papers 0 0 0 1 1 3 1 6" in text
    assert "claims on these as meant alpha 1 0 1 0 1 0 3 beta 0 1 0 1 0 0 2 all papers 1 1 1 1 1 0 5" in text
    assert "claims on these as printed alpha 0 1 0 0 0 0 1 beta 0 0 0 0 0 0 0 all papers 0 1 0 0 0 0 1" in text
    assert "claims of ours alpha 0 0 0 0 0 0 0 beta 0 0 0 0 0 1 1 all papers" in text
    assert "damage of the text" not in text


def test_each_result_has_a_line_that_says_how_it_stands_and_what_is_left_out(report: Path) -> None:
    text = Page(report / "results.html").text
    assert "Theorem 1 corrected, in part ✓ supported Theorem 1: Linear rate" in text
    assert "the rate, for all recorded" in text
    assert "depths above 3 : the equation of" in text
    assert "Remark 9 not checked none it thanks the referees" in text
    assert "Theorem 10 fails ✗ contradicted" in text
    assert "Observation A" not in text, "ours, about no result of a paper"


def test_a_printed_claim_shows_its_counterexample_and_how_to_recompute_it(report: Path) -> None:
    page = Page(report / "claims" / "alpha" / "theorem-1-printed.html")
    assert "What is printed asks for the first value ≤ the second." in page.text
    assert "law circle seed 7 start 0.001" in page.text
    assert "0.25 the printed bound 0.125" in page.text
    assert "python -m flowcheck counterexample alpha/theorem-1-printed" in page.text
    source = (report / "claims" / "alpha" / "theorem-1-printed.html").read_text()
    drawn = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="\d+" width="([\d.]+)"', source)
    assert drawn == [("left", "90.0", "430.0"), ("right", "90.0", "215.0")]
    assert "Asked for is first ≤ second; the axis is linear from 0 to 0.25." in page.text
    assert "Counterexample" not in Page(report / "claims" / "alpha" / "theorem-1.html").text


@pytest.mark.parametrize(
    ("left", "right", "bars", "axis"),
    [
        (2.0, 1.0, [(0.0, 1.0), (0.0, 0.5)], "linear from 0 to 2"),
        (-1.0, 1.0, [(0.0, 0.5), (0.5, 1.0)], "linear from -1 to 1"),
        (-3.0, -1.5, [(0.0, 1.0), (0.5, 1.0)], "linear from -3 to 0"),
        (0.0, 0.0, [(0.0, 0.0), (0.0, 0.0)], "linear from 0 to 0"),
        (1e-8, 1e-4, [(0.0, 0.2), (0.0, 1.0)], "logarithmic from 1e-9 to 1e-4"),
        (1e-8, 0.0, [(0.0, 1.0), (0.0, 0.0)], "linear from 0 to 1e-08"),
    ],
)
def test_both_sides_of_a_counterexample_are_bars_that_can_be_seen(left, right, bars, axis) -> None:
    found, said = Site.bars(Site.__new__(Site), {"left": {"value": left}, "right": {"value": right}})
    assert [pytest.approx(bar) for bar in bars] == found
    assert said == axis


def test_bounds_are_drawn_and_listed_by_how_loose_they_are(report: Path) -> None:
    page = Page(report / "bounds.html")
    assert "beta/proposition-4" in page.text
    assert page.source.count('class="tightest"') == page.source.count('class="typical"') == 1
    assert "bound 1.5" in page.text
    assert "cut off at a million" in page.text
    assert "loose by a factor 1.5" in Page(report / "claims" / "beta" / "proposition-4.html").text


def test_a_claim_says_what_of_its_result_it_covers_and_a_printed_one_what_it_hits(report: Path) -> None:
    text = Page(report / "claims" / "alpha" / "theorem-1.html").text
    assert "over depths 2 and 3, 64 starts each left out depths above 3 : the equation" in text
    assert "result Theorem 1 : corrected, in part" in text
    assert "The statement does not hold as it is printed." in Page(report / "claims" / "alpha" / "theorem-1-printed.html").text


def test_claim_page_shows_provenance_and_command(report: Path) -> None:
    text = Page(report / "claims" / "alpha" / "theorem-1.html").text
    for part in (
        f"snakemake --cores 2 results/{SCALE}/claims/alpha/theorem-1.json",
        "20240501",
        "torch 2.13.0",
        "widths: [5, 20, 1]",
    ):
        assert part in text
    assert "There is no evidence, so there is no provenance." in Page(report / "claims" / "beta" / "conjecture-a.html").text


def test_neighbouring_claims_are_linked_in_the_order_of_the_ledger(report: Path) -> None:
    for before, after in itertools.pairwise(verdicts(report)):
        assert any(link.endswith(f"claims/{after}.html") for link in Page(report / "claims" / f"{before}.html").links)
        assert any(link.endswith(f"claims/{before}.html") for link in Page(report / "claims" / f"{after}.html").links)


def test_stale_pages_of_an_earlier_build_are_removed(copy: Path) -> None:
    folder = copy / "results" / SCALE / "report"
    stale = folder / "claims" / "gone" / "lemma-9.html"
    stale.parent.mkdir()
    stale.write_text("old")
    write_report(Project(copy), SCALE)
    assert not stale.parent.exists()
    assert (folder / "claims" / "alpha" / "theorem-1.html").is_file()
    assert (folder / "index.html").is_file()


def selection(copy: Path, *selected: str) -> Path:
    """The report of a run of some papers, over results of all."""
    project = Project(copy)
    write_ledger(copy / "results" / SCALE, build_ledger(project, SCALE, selected))
    write_report(project, SCALE)
    return copy / "results" / SCALE / "report"


def test_a_selection_keeps_all_pages_and_calls_stale_what_the_checkout_would_measure_otherwise(copy: Path) -> None:
    before = set((copy / "results" / SCALE / "report").rglob("*.html"))
    folder = selection(copy, "beta")
    assert before == set(folder.rglob("*.html"))
    index = Page(folder / "index.html")
    assert "The last run was of beta" in index.text
    assert "papers=[beta]" in index.source
    page = Page(folder / "claims" / "alpha" / "theorem-1.html").text
    assert "⌛ stale" in page
    assert "It was judged supported" in page
    assert "measured with seed 20240501, and the configuration says 1" in page
    assert "✓ supported" not in page.partition("Statement")[0].partition("⌛")[2]


def test_a_selection_says_what_was_not_judged_and_shows_no_figure_of_other_evidence(copy: Path) -> None:
    (copy / "results" / SCALE / "claims" / "alpha" / "theorem-1.json").unlink()
    (copy / "results" / SCALE / "alpha" / "rates" / "notebook.html").write_text("drawn from other evidence")
    folder = selection(copy, "beta")
    page = Page(folder / "claims" / "alpha" / "theorem-1.html")
    assert "Not judged." in page.text
    assert not [link for link in page.links if "figures/" in link]
    assert not (folder / "notebooks" / "alpha" / "rates.html").exists()
    assert (folder / "notebooks" / "beta" / "rates.html").is_file()


def test_index_is_absent_unless_the_rest_is_complete(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = copy / "results" / SCALE / "report" / "index.html"

    def fail(self: Site) -> None:
        assert not index.exists()
        raise OSError("disk full")

    monkeypatch.setattr(Site, "remove_stale", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(Project(copy), SCALE)
    assert not index.exists()


def test_report_is_a_function_of_the_ledger_and_the_figures(copy: Path) -> None:
    folder = copy / "results" / SCALE / "report"
    first = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_report(Project(copy), SCALE)
    assert first == {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_missing_ledger_and_one_of_an_earlier_version_are_one_sentence(copy: Path) -> None:
    path = copy / "results" / SCALE / "ledger.json"
    save_sealed(path, {"scale": SCALE, "provenance": {"papers": {}}, "claims": [], SEAL: blank_seal(path, [])})
    with pytest.raises(EvidenceError, match="made by an earlier flowcheck; make it again: snakemake"):
        write_report(Project(copy), SCALE)
    path.unlink()
    with pytest.raises(ConfigError, match="snakemake"):
        write_report(Project(copy), SCALE)


def test_broken_formula_is_shown_counted_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_project(tmp_path)
    path = tmp_path / "config" / "deviations" / "alpha.yaml"
    path.write_text(path.read_text().replace("C_1 = 2", r"\nosuchcommand_1 = 2"))
    write_report(Project(tmp_path), SCALE)
    folder = tmp_path / "results" / SCALE / "report"
    assert r"formula not shown: \nosuchcommand" in capsys.readouterr().err
    assert "1 formula could not be shown" in Page(folder / "index.html").text
    assert r"\nosuchcommand_1 = 2 (formula not shown: unknown command \nosuchcommand)" in Page(folder / "deviations.html").text


@pytest.mark.parametrize(
    ("tex", "parts"),
    [
        (r"\frac{a}{b}", ["<mfrac>"]),
        (r"\begin{cases} 1 & x \le 0 \\ 2 & \text{otherwise} \end{cases}", ["{", "text-align: left", "otherwise", "≤"]),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", ["<mtable", "text-align: right"]),
        (r"\|w\|_2", ["‖"]),
        (r"\Big\| w \Big\|", ["‖"]),
        (r"\mathbf w", ["𝐰"]),
        (r"\boldsymbol{\theta}", ["𝜽"]),
        (r"\mathbb R", ["ℝ"]),
        (r"\mathscr{L}", ["ℒ"]),
        (r"\bar{\mathbf w}", ['<mover accent="true">', "𝐰"]),
        (r"\overline{ab}", ["border-top"]),
        (r"A \xrightarrow{t\to\infty} B", ['<mo stretchy="true">→</mo>', "∞"]),
        (r"\mathrm{d}t", ["<mtext>d</mtext>"]),
        (r"2\log x", ['<mspace width="0.167em">']),
        (r"e^{-t}", ['<mo form="prefix">−</mo>']),
        (r"(-1)^n", ['<mo form="prefix">−</mo>']),
        (r"f \sim g", ["<mo", "∼"]),
        (r"\operatorname*{arg\,max}_x f", ["<mi", "arg"]),
        (r"a<b", ["&lt;"]),
    ],
)
def test_formula_converts_to_what_browsers_implement(tex: str, parts: list[str]) -> None:
    found = to_mathml(tex)
    assert found.startswith("<math ")
    assert "mathvariant" not in found
    for part in parts:
        assert part in found


def test_limits_stand_below_in_displays_and_beside_in_text() -> None:
    assert "<munder>" in to_mathml(r"\max_i x_i", display=True)
    assert "<munder>" not in to_mathml(r"\max_i x_i")


@pytest.mark.parametrize("tex", [r"\foo", r"\frac{a", "a}", "{a", "x_", r"\left( a", r"\text{$a}", r"a \\ b", r"\limits"])
def test_formula_that_cannot_be_shown_raises(tex: str) -> None:
    with pytest.raises(FormulaError):
        to_mathml(tex)


def page_of(html: str, folder: Path) -> Page:
    path = folder / "page.html"
    path.write_text(html)
    return Page(path)


HARMLESS = "made-up-scheme:x"
ELSEWHERE = {
    "a formula": rf"$\href{{{HARMLESS}}}{{x}}$",
    "a formula in capitals": rf"$\href{{{HARMLESS.upper()}}}{{x}}$",
    "a formula inside of another": rf"$\sqrt{{\frac{{\href{{{HARMLESS}}}{{x}}}}{{2}}}}$",
    "a displayed formula": rf"$$\href{{{HARMLESS}}}{{x}}$$",
    "a formula, any scheme": r"$\href{https://example.org}{x}$",
    "a formula, no scheme": r"$\href{target}{x}$",
    "a link": f"[x]({HARMLESS})",
    "a link in capitals": f"[x]({HARMLESS.upper()})",
    "a link with an entity": f"[x]({HARMLESS.replace(':', '&colon;')})",
    "a link in brackets": f"<{HARMLESS}>",
    "a link by reference": f"[x][y]\n\n[y]: {HARMLESS}",
    "a link to another host": "[x](//example.org/x)",
    "a link to a file of the machine": "[x](/x)",
    "HTML": f'<a href="{HARMLESS}">x</a>',
}


@pytest.mark.parametrize("text", ELSEWHERE.values(), ids=ELSEWHERE)
def test_no_link_leads_where_the_list_of_schemes_does_not(text: str, tmp_path: Path) -> None:
    for html in (Renderer().block(text), Renderer().inline(text)):
        page = page_of(html, tmp_path)
        assert page.links == []
        assert "x" in page.text  # what was written is still there to read


def test_nor_does_one_of_an_executed_notebook(tmp_path: Path) -> None:
    page = page_of(as_html(new_notebook(cells=[new_markdown_cell(text) for text in ELSEWHERE.values()])), tmp_path)
    assert [link for link in page.links if link and not link.startswith("data:")] == []
    assert page.text.count(HARMLESS) > 3


@pytest.mark.parametrize("target", ["https://example.org/x", "http://example.org", "mailto:a@b.org", "#x", "../x.html#y:z", "x"])
def test_links_of_the_list_and_within_the_report_stay(target: str, tmp_path: Path) -> None:
    assert page_of(Renderer().block(f"[x]({target})"), tmp_path).links == [target]


@pytest.mark.parametrize("tex", [r"\class{x}{y}", r"\style{color: red}{y}", r"\color{url(x)}{y}", r"\color{a;b}{y}"])
def test_a_formula_takes_no_class_and_no_style_of_the_page(tex: str) -> None:
    with pytest.raises(FormulaError, match="cannot set"):
        to_mathml(tex)


def test_unpaired_dollar_is_reported_and_images_are_not_fetched() -> None:
    renderer = Renderer()
    assert "formula-error" in renderer.inline("a $5 prize")
    assert len(renderer.problems) == 1
    assert "<img" not in renderer.block("![x](https://example.org/x.png)")


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (1e-10, 2, "10<sup>−10</sup>"),
        (-3.25e-8, 3, "−3.25\u202f×\u202f10<sup>−8</sup>"),
        (1.98, 6, "1.98"),
        (None, 3, "–"),
        (0.0, 6, "0"),
    ],
)
def test_number(value: float | None, digits: int, shown: str) -> None:
    assert f">{shown}</span>" in number(value, digits)


def test_number_shows_the_digits_that_tell_it_from_the_threshold() -> None:
    assert ">1.00000004</span>" in number(1.00000004, 6, apart_from=1.0)


def test_duration() -> None:
    assert [duration(s) for s in (None, 3.21, 83.4, 3725.0)] == ["–", "3.2 s", "1 min 23 s", "1 h 2 min"]


def texts(content: object) -> Iterator[str]:
    """All prose of a configuration file: every string that is not a parameter of an experiment."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            if key not in ("parameters", "grid", "scales"):
                yield from texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from texts(value)


@pytest.mark.parametrize("kind", ["claims", "deviations", "experiments"])
def test_every_formula_of_the_project_itself_converts(kind: str) -> None:
    renderer = Renderer()
    for path in (Path(__file__).resolve().parents[4] / "config" / kind).rglob("*.yaml"):
        for text in texts(yaml.safe_load(path.read_text())):
            renderer.block(text)
    assert not renderer.problems

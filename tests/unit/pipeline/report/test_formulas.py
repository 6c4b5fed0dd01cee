r"""Three hundred formulas as papers write them: nothing of their ink is lost, and browsers know all that they become.

Letters and digits must be found again in their order of writing, apart from scripts and tables, in the text of the result; the
symbol of each command by the table of Unicode's mathematical symbols that comes with the converter.
"""

import re
import unicodedata
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from latex2mathml.symbols_parser import convert_symbol

from flowcheck.pipeline.report.mathml import FormulaError, Renderer, to_mathml

FORMULAS = (Path(__file__).parent / "formulas.txt").read_text(encoding="utf-8").splitlines()
CORE = {
    *("math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle", "mpadded", "mphantom"),
    *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts", "mprescripts", "none", "mtable", "mtr", "mtd"),
}
OUTSIDE = {"columnlines", "rowlines", "frame", "notation", "columnalign"}
"""Attributes that browsers pass over."""
SAME = str.maketrans({"~": "∼", "⧵": "∖"})
LENGTH = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(em|ex|px|pt|pc|cm|mm|in|rem|%)?")
MARKS = r"\\(?:begin|end)\{[^{}]*\}(?:\{(?:[^{}]|\{[^{}]*\})*\}(?=.*array))?|\\(?:label|color)\{[^{}]*\}|\\textcolor\{[^{}]*\}"
SPACING = r"\\(?:hspace\*?|mkern|kern)\s*(?:\{[^{}]*\}|-?[\d.]+\w\w)|(?<=array\})\{.*?\}"
WORDS = r"\\operatorname\*?\{[^{}]*\}"


def letters(text: str) -> Counter:
    """Letters and digits, those of mathematical alphabets as plain ones."""
    folded = unicodedata.normalize("NFKC", text.replace("ı", "i").replace("ȷ", "j"))
    return Counter(letter for letter in folded if letter.isascii() and letter.isalnum())


def written(tex: str) -> Counter:
    """The letters that a formula shows: those outside of commands, and those of words such as `log`."""
    tex = re.sub(r"\\begin\{(?:array|alignedat|subarray)\}\{(?:[^{}]|\{[^{}]*\})*\}", "", tex)
    tex = re.sub(MARKS, "", re.sub(SPACING, "", tex))
    return letters(re.sub(r"\\[A-Za-z]+\*?|\\.", " ", tex))


@pytest.mark.parametrize("tex", FORMULAS)
def test_no_ink_of_a_formula_is_lost(tex):
    for display in (False, True):
        text = "".join(ET.fromstring(to_mathml(tex, display)).itertext())
        missing = written(tex) - letters(text)
        assert not missing, f"{missing} of {tex} is not in {text!r}"


@pytest.mark.parametrize("tex", FORMULAS)
def test_a_formula_becomes_what_browsers_know(tex):
    root = ET.fromstring(to_mathml(tex, display=True))
    assert {node.tag for node in root.iter()} <= CORE
    assert not OUTSIDE & {name for node in root.iter() for name in node.attrib}
    for node in root.iter("mspace"):
        assert all(LENGTH.fullmatch(node.get(name, "0")) for name in ("width", "height", "depth"))


TEMML = (Path(__file__).parent / "formulas_temml.txt").read_text(encoding="utf-8").splitlines()
"""What Temml 0.13.5 shows of each formula: the text of what `temml.renderToString` gives in a display, NFKC, without spaces and
what has no ink; `refused` if it does not know it. Another converter, by other people, in another language.
"""
LOOKALIKES = str.maketrans(
    {
        "⌀": "∅",
        "∣": "|",
        "∖": "\\",
        "⋅": "·",
        "∗": "*",
        "∙": "•",
        "⊨": "⊧",
        "□": "◻",
        "■": "∎",
        "⇝": "⤳",
        "⊲": "◁",
        "⊳": "▷",
        "∍": "϶",
        "ˆ": "^",
    }
)
"""Symbols that both take for the same command, from the tables of two fonts."""
DIFFERENT = {
    r"\varlimsup_n\varliminf_n\injlim\projlim": "limsup and liminf are written out, where TeX draws a line at lim",
    r"\phantom{x}y\hphantom{x}\vphantom{x}": "Temml's text holds what is not drawn",
    r"\surd": "Temml 0.13.5 draws a line where the sign of a root belongs",
    r"\not=\not\in\notin\neq\ne": "a stroke over the sign, where Temml takes the negated sign",
}


def ink(text: str) -> Counter:
    """The characters of a formula that one sees, without accents and lines, which both draw in ways of their own."""
    plain = unicodedata.normalize("NFKD", text.replace("≔", ":=").translate(LOOKALIKES)).translate(LOOKALIKES)
    return Counter(c for c in plain if unicodedata.category(c) not in ("Cf", "Cc", "Zs", "Mn", "Lm", "Sk") and c not in "―‾⏞⏟^")


@pytest.mark.parametrize(("tex", "theirs"), zip(FORMULAS, TEMML, strict=True))
def test_a_formula_has_the_ink_that_another_converter_gives_it(tex, theirs):
    root = ET.fromstring(to_mathml(tex, display=True))
    for node in root.iter():
        for phantom in node.findall("mphantom"):
            node.remove(phantom)
    if theirs == "refused" or tex in DIFFERENT:
        return
    assert ink("".join(root.itertext())) == ink(theirs)


def test_the_other_converter_is_asked_almost_everywhere():
    assert sum(text == "refused" for text in TEMML) + len(DIFFERENT) <= 0.05 * len(FORMULAS)


GREEK = [tex for tex in FORMULAS if re.fullmatch(r"(?:\\[A-Za-z]+)+", tex)]


@pytest.mark.parametrize("tex", GREEK)
def test_every_symbol_of_a_row_of_symbols_is_there(tex):
    text = unicodedata.normalize("NFKC", "".join(ET.fromstring(to_mathml(tex)).itertext()))
    for command in re.findall(r"\\[A-Za-z]+", tex):
        point = convert_symbol(command)
        if point is not None and unicodedata.category(symbol := chr(int(point, 16))) != "Zs":
            assert unicodedata.normalize("NFKC", symbol).translate(SAME) in text, f"{command} of {tex} is not in {text!r}"


def test_a_combining_mark_is_the_accent_that_it_stands_for():
    assert "<mover " in to_mathml("x\u0302")
    assert to_mathml("x\u0302").partition(">")[2] == to_mathml(r"\hat{x}").partition(">")[2]
    assert "ẇ" in to_mathml("w\u0307\u0302"), "where Unicode has one letter, it is one"


def test_there_are_three_hundred_of_them():
    assert len(FORMULAS) >= 300
    assert len(set(FORMULAS)) == len(FORMULAS)


@pytest.mark.parametrize(("spec", "left", "right"), [("c|c", [1], 0), ("|c|c|", [0, 1], 1), ("|cc", [0], 0), ("cc|", [], 1)])
def test_rules_of_an_array_are_borders_where_they_were_written(spec, left, right):
    root = ET.fromstring(to_mathml(rf"\begin{{array}}{{{spec}}}a&b\\\hline c&d\end{{array}}"))
    rows = [list(row) for row in root.iter("mtr")]
    for row in rows:
        assert [place for place, cell in enumerate(row) if "border-left" in cell.get("style")] == left
        assert sum("border-right" in cell.get("style") for cell in row) == right
    assert ["border-top" in row[0].get("style") for row in rows] == [False, True]


def test_a_rule_below_the_last_row_is_no_row():
    root = ET.fromstring(to_mathml(r"\begin{array}{c}\hline a\\b\\\hline\end{array}"))
    rows = [row[0].get("style") for row in root.iter("mtr")]
    assert ["border-top" in rows[0], "border-bottom" in rows[-1], len(rows)] == [True, True, 2]


def test_formulas_in_text_are_formulas_and_escaped_characters_themselves():
    root = ET.fromstring(to_mathml(r"\text{if $x_1>0$, 5\% of \$7}"))
    assert "".join(root.itertext()).replace("\xa0", " ") == "if x1>0, 5% of $7"
    assert root.find(".//msub") is not None


def test_an_escaped_dollar_in_running_text_is_a_dollar():
    renderer = Renderer()
    assert "costs $5 and <span" in renderer.inline(r"costs \$5 and $x$")
    assert not renderer.problems


MALFORMED = {
    r"\foo{x}": r"unknown command \foo",
    r"a+\frac{1}": "argument",
    r"{a": "unbalanced braces|converter",
    r"\text{if $x>0}": "unpaired \\$ in text at character 10",
    r"\left(x": "converter",
    r"x^": "argument|converter",
    r"\begin{pmatrix}a": "converter",
}


@pytest.mark.parametrize(("tex", "said"), MALFORMED.items())
def test_a_malformed_formula_is_one_sentence(tex, said):
    with pytest.raises(FormulaError, match=said if "\\" not in said or said.startswith("unp") else re.escape(said)) as caught:
        to_mathml(tex)
    assert "\n" not in str(caught.value)

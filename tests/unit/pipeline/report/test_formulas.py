r"""Five hundred formulas as papers write them: nothing of their ink is lost, and browsers know all that they become.

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
NO_INK = re.compile(
    r"(?<=\\\\)\[[^]]*\]|(?<=\\raisebox)\{[^{}]*\}(?:\[[^]]*\])*|(?<=\\cfrac)\[\w\]|(?<=matrix\*\})\[\w\]|(?<=\\smash)\[b\]"
    r"|(?<=\\mskip) 3mu|(?<=\\above) 1pt|(?<=\\hdotsfor)\{\d\}|(?<=\\colorbox)\{\w+\}|(?<=\\begin\{array\})\[\w\]"
    r"|(?<=\\genfrac)(?:\\lbrace\\rbrace|(?:\{(?:\\\W|[^{}])*\}){2})\{[^{}]*\}\{\d?\}"
)
"""Lengths, sizes, numbers of columns."""
MARKS = r"\\(?:begin|end)\{[^{}]*\}(?:\{(?:[^{}]|\{[^{}]*\})*\}(?=.*array))?|\\(?:label|color)\{[^{}]*\}|\\textcolor\{[^{}]*\}"
SPACING = r"\\(?:hspace\*?|mkern|kern)\s*(?:\{[^{}]*\}|-?[\d.]+\w\w)|(?<=array\})\{.*?\}"
WORDS = r"\\operatorname\*?\{[^{}]*\}"


def letters(text: str) -> Counter:
    """Letters and digits, those of mathematical alphabets as plain ones."""
    folded = unicodedata.normalize("NFKD", text.replace("ı", "i").replace("ȷ", "j"))
    return Counter(letter for letter in folded if letter.isascii() and letter.isalnum())


def written(tex: str) -> Counter:
    """The letters that a formula shows: those outside of commands, and those of words such as `log`."""
    tex = NO_INK.sub("", tex)
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
        "∷": "::",
        "⁄": "/",
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


GREEK = [tex for tex in FORMULAS if re.fullmatch(r"(?:\\(?!not\\)[A-Za-z]+)+", tex)]


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


BY_HAND = [line.split("\t") for line in (Path(__file__).parent / "formulas_by_hand.txt").read_text(encoding="utf-8").splitlines()]
"""Formulas that Temml does not know, or shows otherwise, with the signs that LaTeX draws for them, in the order of the code."""


@pytest.mark.parametrize(("tex", "signs"), BY_HAND, ids=[tex for tex, _ in BY_HAND])
def test_a_formula_that_the_other_converter_does_not_know_has_the_ink_of_latex(tex, signs):
    root = ET.fromstring(to_mathml(tex, display=True))
    assert "".join("".join(root.itertext()).split()) == signs
    assert {node.tag for node in root.iter()} <= CORE
    assert not written(tex) - letters(signs)


def test_a_line_between_rows_reaches_over_all_columns_from_the_left():
    root = ET.fromstring(to_mathml(r"\begin{aligned}a&=b\\\intertext{hence $x$}c&=d\end{aligned}"))
    first, line, last = root.iter("mtr")
    assert [len(first), len(line), len(last)] == [2, 1, 2]
    assert (line[0].get("columnspan"), line[0].get("style")) == ("2", "text-align: left")


def test_what_is_raised_has_its_own_height():
    (raised,) = ET.fromstring(to_mathml(r"\raisebox{-0.5ex}{$x^2$}")).iter("mpadded")
    assert raised.attrib == {"voffset": "-0.5ex"}


def test_a_fraction_has_the_delimiters_and_the_line_that_were_asked_for():
    root = ET.fromstring(to_mathml(r"\genfrac{[}{\rangle}{0pt}{2}{n}{k}+\genfrac{}{}{1pt}{}{a}{b}+\genfrac{}{}{}{}{c}{d}"))
    assert [fraction.get("linethickness") for fraction in root.iter("mfrac")] == ["0pt", "1pt", None]
    assert [node.text for node in root.iter("mo") if node.get("fence")] == ["[", "⟩"]
    assert any(node.get("scriptlevel") == "1" for node in root.iter("mstyle"))


def test_there_are_five_hundred_of_them():
    assert len(FORMULAS) + len(BY_HAND) >= 540
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
    r"\begin{CD}A@>a>>B\end{CD}": "unknown environment CD",
    r"a&b": "an & outside of the environments that have columns",
    r"\genfrac{(}{)}{0pt}{}{n}": r"missing argument of \genfrac",
    r"\genfrac{(}{)}{0pt}{9}{n}{k}": r"a style of 0 to 3 expected, found 9",
    r"\genfrac{(}{)}{thin}{}{n}{k}": r"a length expected, found thin",
    r"\prescript{a}{b}": r"missing argument of \prescript",
    r"\raisebox{\height}{x}": r"a length expected",
    r"\hdotsfor{all}": r"a number of columns expected, found all",
    r"\accentset{\star}": r"missing argument of \accentset",
    **{
        rf"x{command}": f"unknown command {command.partition('{')[0]}"
        for command in (r"\eqref{a}", r"\url{a}", r"\cline{1-2}", r"\R", r"\newline", r"\cite{a}")
    },
}


@pytest.mark.parametrize(("tex", "said"), MALFORMED.items())
def test_a_malformed_formula_is_one_sentence(tex, said):
    with pytest.raises(FormulaError, match=said if "\\" not in said or said.startswith("unp") else re.escape(said)) as caught:
        to_mathml(tex)
    assert "\n" not in str(caught.value)

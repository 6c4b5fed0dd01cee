r"""Markdown with LaTeX formulas -> HTML with MathML. No formula is ever dropped: what does not convert is shown as an error.

latex2mathml converts; `_repair` then turns its output into what browsers implement (MathML Core): letters of Unicode's
mathematical alphabets in place of `mathvariant`, accents, limits under `max` in displays, and TeX's spacing of norms and signs.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any
from xml.etree import ElementTree as ET

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markupsafe import Markup
from mdit_py_plugins.dollarmath import dollarmath_plugin

from flowcheck.pipeline.report.commands import IN_TEXT, SPAN, FormulaError, closing, expand, words

SCRIPTS = {"msub": 2, "msup": 2, "msubsup": 3, "munder": 2, "mover": 2, "munderover": 3, "mfrac": 2, "mroot": 2}
UNDER = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
LIMIT_WORDS = {"lim", "max", "min", "sup", "inf", "lim\u2006sup", "lim\u2006inf", "det", "Pr", "gcd"}
VARIANTS = {"double-struck": "DOUBLE-STRUCK", "fraktur": "FRAKTUR", "script": "SCRIPT", "bold-italic": "BOLD ITALIC"}
VARIANTS |= {"sans-serif": "SANS-SERIF", "monospace": "MONOSPACE", "bold": "BOLD", "italic": "ITALIC"}
DELIMITERS = {r"\|": "‖", r"\Vert": "‖", r"\lVert": "‖", r"\rVert": "‖", r"\vert": "|", r"\lvert": "|", r"\rvert": "|"}
DELIMITERS |= {r"\langle": "⟨", r"\rangle": "⟩", r"\lfloor": "⌊", r"\rfloor": "⌋", r"\lceil": "⌈", r"\rceil": "⌉"}
DELIMITERS |= {r"\{": "{", r"\}": "}"}
TEX_REWRITES = [  # constructions that latex2mathml does not know or loses, in terms of those that it knows
    (r"\\begin\{(alignedat|alignat\*?)\}\s*\{\s*\d+\s*\}(.*?)\\end\{\1\}", r"\\begin{split}\2\\end{split}"),
    (r"\\(begin|end)\{(?:aligned|align\*?)\}", r"\\\1{split}"),
    (r"\\begin\{(?:multline\*?|subarray)\}(?:\{[lcr]\})?(.*?)\\end\{\w+\*?\}", r"\\begin{array}{c}\1\\end{array}"),
    (r"\\begin\{eqnarray\*?\}(.*?)\\end\{eqnarray\*?\}", r"\\begin{array}{rcl}\1\\end{array}"),
    (r"\\begin\{dcases\}(.*?)\\end\{dcases\}", r"\\begin{cases}\1\\end{cases}"),
    (r"\\begin\{rcases\}(.*?)\\end\{rcases\}", r"\\left.\\begin{array}{ll}\1\\end{array}\\right\\}"),
    (r"\\mathop\{\\rm\s+([A-Za-z]+)\}", r"\\operatorname*{\1}"),
    (r"\\(?:mathrel|mathbin|mathord|mathopen|mathclose|mathpunct|mathinner|ensuremath)(?![A-Za-z])", ""),
    (r"\\(?:nonumber|notag)(?![A-Za-z])|\\label\{[^{}]*\}", ""),
    (r"\\widebar(?![A-Za-z])", r"\\overline"),
    (r"\\hspace\*", r"\\hspace"),
    (r"\\backslash(?![A-Za-z])", "∖"),
    (r"\\mathop\{([A-Za-z]+)\}", r"\\operatorname*{\1}"),
    (r"\\P(?![A-Za-z])", "¶"),
    (r"\\dag(?![A-Za-z])", "†"),
    (r"\\ddag(?![A-Za-z])", "‡"),
    (r"\\copyright(?![A-Za-z])", "©"),
    (r"\\mathop\{\\(?:mathrm|text|operatorname)\{([^{}]*)\}\}", r"\\operatorname*{\1}"),
    (r"(\\operatorname\*?\{[A-Za-z]+)(?:\\[,;: ]|~)([A-Za-z]+\})", r"\1 \2"),
    (r"\\mathrm\s*(?:\{([A-Za-z]+)\}|([A-Za-z]))", r"\\text{\1\2}"),
    (r"\\arg(?![A-Za-z])", r"\\operatorname{arg}"),
    (r"\\mathbbm(?![A-Za-z])", r"\\mathbb"),
    (r"(?<!:):=", r"\\coloneqq "),
    (r"\\setminus(?![A-Za-z])", "∖"),
]
ATTRIBUTES = {
    *("display", "mathvariant", "mathsize", "mathcolor", "mathbackground", "displaystyle", "scriptlevel", "linebreak"),
    *("stretchy", "fence", "form", "separator", "largeop", "movablelimits", "accent", "lspace", "rspace", "minsize", "maxsize"),
    *("width", "height", "depth", "voffset", "linethickness", "notation", "border-color"),
    *("columnalign", "columnspacing", "columnlines", "rowspacing", "rowlines", "frame"),
}
"""What a formula may say of its own look: nothing that leads elsewhere, names a class or is a style of the page."""
PLAIN_VALUE = re.compile(r"[A-Za-z0-9#%.+ -]*")
SCHEMES = {"http", "https", "mailto"}
"""Where a link may lead, beside the pages of the report itself."""


DOLLAR, RULE = "\ue000", "\ue001"
"""Stand for a dollar sign and a horizontal rule until the formula is converted: private characters, which no formula has."""
ARRAY = re.compile(r"\\begin\{array\}(?:\[[^]]*\])?\{((?:[^{}]|\{[^{}]*\})*)\}")
SPACES = {"thin": 3, "medium": 4, "thick": 5, "verythick": 6, "verythin": 2, "veryverythin": 1, "veryverythick": 7}
"""Named spaces of MathML in eighteenths of an em, which browsers do not know."""
HALF = "transparent calc(50% - 0.04em), currentcolor calc(50% - 0.04em) calc(50% + 0.04em), transparent calc(50% + 0.04em)"
STROKES = {
    "updiagonalstrike": f"linear-gradient(to bottom right, {HALF})",
    "downdiagonalstrike": f"linear-gradient(to top right, {HALF})",
    "horizontalstrike": f"linear-gradient({HALF})",
}


ACCENTS = {"\u0300": "grave", "\u0301": "acute", "\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0305": "overline"}
ACCENTS |= {"\u0306": "breve", "\u0307": "dot", "\u0308": "ddot", "\u030c": "check", "\u20d7": "vec", "\u0332": "underline"}
COMBINED = re.compile(rf"(\w)([{''.join(ACCENTS)}])")


class Renderer:
    """Markdown to HTML. Formulas that do not convert are shown as errors and kept in `problems`."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
        self._markdown.validateLink = leads_somewhere_allowed  # type: ignore[method-assign]
        self._markdown.use(dollarmath_plugin, renderer=self._formula, double_inline=True, allow_labels=False)
        self._markdown.disable("text_join")  # an escaped dollar is a token of its own, and no formula that lost its partner
        self._markdown.add_render_rule("text_special", lambda _, tokens, index, *rest: html.escape(tokens[index].content))
        self._markdown.add_render_rule("text", lambda _, tokens, index, *rest: self._text(tokens[index].content))

    def block(self, text: str) -> Markup:
        """Paragraphs, lists and displayed formulas."""
        return Markup(self._markdown.render(text))

    def inline(self, text: str) -> Markup:
        """One line of running text, without a paragraph around it."""
        return Markup(self._markdown.renderInline(text.strip()))

    def _formula(self, tex: str, options: dict[str, Any]) -> str:
        display = bool(options["display_mode"])
        try:
            return to_mathml(tex, display)
        except FormulaError as error:
            return self._problem(tex, str(error))

    def _text(self, content: str) -> str:
        if "$" in content or re.search(r"\\[a-zA-Z]", content):
            return self._problem(content, "a formula outside of a pair of $")
        return html.escape(content)

    def _problem(self, tex: str, reason: str) -> str:
        self.problems.append(f"{' '.join(tex.split())}: {reason}")
        source = f'<code class="formula-error">{html.escape(tex)}</code>'
        return f"{source} <strong>(formula not shown: {html.escape(reason)})</strong>"


def to_mathml(tex: str, display: bool = False) -> str:
    r"""One formula as a ``<math>`` element. Raises FormulaError (unknown command, missing argument, unbalanced braces)."""
    source = re.sub(COMBINED, _as_accent, unicodedata.normalize("NFC", " ".join(tex.split())))
    source = _text_with_formulas(expand(source.replace(r"\$", DOLLAR)))
    source = re.sub(ARRAY, _without_rules, source)
    source = re.sub(r"\\hline(?![A-Za-z])", rf"\\text{{{RULE}}}", source)
    for pattern, replacement in TEX_REWRITES:
        source = re.sub(pattern, replacement, source)
    try:
        text = convert(source, display="block" if display else "inline")
        root = ET.fromstring(text.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "", 1))
    except ET.ParseError:  # nothing but an ampersand comes through as it was written
        raise FormulaError("an & outside of the environments that have columns") from None
    except Exception as error:  # latex2mathml raises a dozen unrelated types, IndexError among them
        raise FormulaError(f"the converter does not read it: {type(error).__name__} {error}".strip()) from None
    _check_attributes(root)
    _repair(root, display)
    _check(root, tex)
    for node in root.iter():
        node.text = node.text and node.text.replace(DOLLAR, "$")
    root.set("alttext", tex.strip())
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def _as_accent(found: re.Match[str]) -> str:
    """A letter with a combining mark as an accented one: a mark that is a token of its own has no width, and is not seen."""
    return f"\\{ACCENTS[found[2]]}{{{found[1]}}}"


def leads_somewhere_allowed(url: str) -> bool:
    """Whether a link has a scheme on the list, or none and stays within the report."""
    scheme, colon, _ = re.split(r"[/?#]", url, maxsplit=1)[0].partition(":")
    return scheme.lower() in SCHEMES if colon else not re.match(r"[/\\]|[^\x21-\x7e]", url)


def _check_attributes(root: ET.Element) -> None:
    for node in root.iter():
        for name, value in node.attrib.items():
            if name not in ATTRIBUTES or not PLAIN_VALUE.fullmatch(value):
                raise FormulaError(f"a formula cannot set {name} like this")


def _check(root: ET.Element, tex: str) -> None:
    for node in root.iter():
        text = node.text or ""
        if "\\" in text or "$" in text:
            raise FormulaError(f"unknown command {text}")
        if node.get("linebreak"):
            raise FormulaError(r"line break \\ outside of an environment")
        if len(node) != SCRIPTS.get(node.tag, len(node)) or (node.tag in ("mi", "mo", "mn") and len(node)):
            raise FormulaError(f"missing or misplaced argument ({node.tag})")
    if tex.strip() and not "".join(root.itertext()).strip():
        raise FormulaError("nothing is left of it")
    if re.sub(r"\\.", "", tex).count("{") != re.sub(r"\\.", "", tex).count("}"):
        raise FormulaError("unbalanced braces")


def _repair(node: ET.Element, display: bool) -> None:
    for child in list(node):
        _repair(child, display)
    if node.tag in ("mi", "mn", "mo", "mtext"):
        _repair_token(node)
    elif node.tag == "mpadded" and "voffset" in node.attrib:  # signed heights are no lengths of MathML Core
        node.attrib = {"voffset": node.attrib["voffset"]}
    elif node.tag == "mtd":  # browsers align cells by style only
        node.set("style", f"text-align: {node.attrib.pop('columnalign', 'center')}")
    elif node.tag == "mtable":
        if "columnspacing" in node.attrib:
            for cell in node.iter("mtd"):
                cell.set("style", f"{cell.get('style')}; padding-left: 0; padding-right: 0")
        _draw_rules(node)
    elif node.tag == "mspace":
        node.set("width", _width(node.get("width", "0")))
    elif node.tag == "menclose":  # no element of MathML Core
        marks = (node.attrib.pop("notation", "")).split()
        styles = [STROKES[mark] for mark in marks if mark in STROKES]
        node.tag = "mrow"
        node.set("style", "border: 0.06em solid; padding: 0.2em" if "box" in marks else f"background: {', '.join(styles)}")
    elif node.tag in SCRIPTS and len(node) == SCRIPTS[node.tag]:
        _repair_script(node, display)
    if node.tag in ("mrow", "mtd", "mstyle", "math", "msqrt", "menclose", "mpadded"):
        _repair_row(node)


def _text_with_formulas(source: str) -> str:
    r"""``\text{if $x>0$}`` as text, formula, text. What is escaped in text is the character itself."""
    found = re.search(rf"\\({IN_TEXT})\s*(?=\{{)", source)
    if found is None:
        return source
    end = closing(source, found.end())
    if not end:
        return source
    inside = source[found.end() + 1 : end - 1]
    pieces = inside.split("$")
    if len(pieces) % 2 == 0:
        raise FormulaError(f"unpaired $ in text at character {found.end() + inside.index('$') + 2}")
    parts = [words(found[1], piece) for piece in pieces[::2]]
    mixed = "".join(part + piece for part, piece in zip(parts, [*pieces[1::2], ""], strict=True))
    kept = mixed if mixed == f"\\{found[1]}{{{inside}}}" else f"{{{mixed}}}"
    return source[: found.start()] + kept + _text_with_formulas(source[end:])


def _without_rules(array: re.Match[str]) -> str:
    """An array without vertical rules; a text in its first cell says between which columns they stand, for `_draw_rules`."""
    columns = re.sub(r"[@!]\{[^{}]*\}|\s", "", re.sub(r"p\{[^{}]*\}", "l", array[1]))
    if "|" not in columns:
        return array[0]
    before = [len(re.sub(r"\|", "", columns[:place])) for place, letter in enumerate(columns) if letter == "|"]
    return rf"\begin{{array}}{{{columns.replace('|', '')}}}\text{{{RULE}{' '.join(map(str, before))}{RULE}}}"


def _draw_rules(table: ET.Element) -> None:
    """Rules as borders of cells, which is how browsers draw them."""
    for name in ("columnlines", "rowlines", "frame"):
        table.attrib.pop(name, None)
    _span_lines(table)
    before = set[int]()
    rows = list(table)
    for number, row in enumerate(rows):
        lines = 0
        for cell in row[:1]:
            for parent in list(cell.iter()):
                for mark in [child for child in parent if child.tag == "mtext" and RULE in (child.text or "")]:
                    parent.remove(mark)
                    between = (mark.text or "").strip(RULE)
                    before |= set(map(int, between.split()))
                    lines += not between
        if lines and not "".join(row.itertext()).strip() and number:
            table.remove(row)
            _border(rows[number - 1], "bottom")
        elif lines:
            _border(row, "top")
    for row in table:
        for place, cell in enumerate(row):
            if place in before:
                _border([cell], "left")
            if place == len(row) - 1 and len(row) in before:
                _border([cell], "right")


def _span_lines(table: ET.Element) -> None:
    """A line of text between rows reaches over all columns, from the left."""
    for row in table:
        for cell in row[:1]:
            for parent in list(cell.iter()):
                for mark in [child for child in parent if child.tag == "mtext" and child.text == SPAN]:
                    parent.remove(mark)
                    cell.attrib |= {"columnspan": str(max(map(len, table))), "style": "text-align: left"}


def _border(cells: Iterable[ET.Element], side: str) -> None:
    for cell in cells:
        cell.set("style", f"{cell.get('style', '')}; border-{side}: 0.06em solid".lstrip("; "))


def _width(width: str) -> str:
    """A width in units that browsers know."""
    if named := re.fullmatch(r"(negative)?(\w+)mathspace", width):
        return f"{'-' if named[1] else ''}{SPACES.get(named[2], 3) / 18:.3f}em"
    if mu := re.fullmatch(r"(-?[\d.]+)mu", width):
        return f"{float(mu[1]) / 18:.3f}em"
    return width


def _repair_token(node: ET.Element) -> None:
    text = node.text = DELIMITERS.get(node.text or "", node.text or "")
    if node.get("mathvariant") in VARIANTS:
        name = VARIANTS[node.attrib.pop("mathvariant")]
        text = node.text = "".join(_alphabet(letter, name) for letter in text)
    symbol = len(text) == 1 and text != "∞" and (unicodedata.category(text) in ("Sm", "Ps", "Pe") or text in ":~‖|")
    if node.tag == "mi" and symbol:
        node.tag, node.text = "mo", {"~": "∼"}.get(text, text)
        node.set("stretchy", "false")
    elif node.tag == "mo" and (text in "∞∅⊤…" or (len(text) > 1 and text.replace("\u2006", "").replace(" ", "").isalpha())):
        node.tag = "mi" if text != "mod" else "mo"
        if node.attrib.pop("movablelimits", None) or text in LIMIT_WORDS:
            node.set("class", "limits")


def _alphabet(letter: str, variant: str) -> str:
    """The letter in one of Unicode's mathematical alphabets, or itself where there is none."""
    name = unicodedata.name(letter, "").replace("GREEK ", "").replace("LATIN ", "").replace("LETTER ", "")
    for candidate in (f"MATHEMATICAL {variant} {name}", f"{variant} {name}", f"BLACK-LETTER {name}", f"SCRIPT {name}"):
        try:
            return unicodedata.lookup(candidate)
        except KeyError:
            continue
    return letter


def _repair_script(node: ET.Element, display: bool) -> None:
    base, last = node[0], node[-1]
    if base.tag == "mrow" and len(base) == 1:
        base = node[0] = base[0]
    core = base.text or ""
    if node.tag in UNDER and display and (base.get("class") == "limits" or core in ("⋃", "⋂", "⨁", "⨂")):
        node.tag = UNDER[node.tag]
    elif node.tag == "mover" and last.tag == "mo" and (last.text or "") in "¯―^~˙¨→˚˘ˇ":
        if last.text == "―":  # \overline: few fonts stretch a bar
            node.remove(last)
            node.tag, node.attrib = "mrow", {"style": "border-top: 0.06em solid; padding-top: 0.12em"}
            return
        wide = last.text == "^" and node.get("accent") is None
        node.set("accent", "true")
        last.set("stretchy", "true" if wide else "false")
    elif base.tag == "mstyle" and last.tag == "mpadded":  # \xrightarrow
        arrow = node[0] = base[0]
        arrow.set("stretchy", "true")
        node.set("displaystyle", "true")
        for label in node[1:]:
            label.attrib.clear()
            label.tag = "mrow"
            label[:] = [ET.Element("mspace", width="0.4em"), *label[:-1], ET.Element("mspace", width="0.4em")]


def _repair_row(row: ET.Element) -> None:
    """Forms of bars and signs, and the thin space beside words such as `log`: the rules of TeX."""
    for empty in [child for child in row if child.tag == "mo" and not child.text and not len(child)]:
        row.remove(empty)  # \left. and \right.
    children, open_bars = list(row), set[str]()
    if len(children) == 1 and children[0].tag == "mo" and row.tag == "mrow":
        children[0].attrib |= {"lspace": "0", "rspace": "0"}
        return
    row[:] = []
    previous: ET.Element | None = None
    for child in children:
        core = _core(child)
        text = core.text or ""
        if text == "/":
            core.attrib |= {"lspace": "0", "rspace": "0"}
        elif core.tag == "mo" and text in ("|", "‖"):
            core.attrib |= {"lspace": "0", "rspace": "0", "form": "postfix" if text in open_bars else "prefix"}
            open_bars ^= {text}
            if core.get("stretchy") is None and core.get("minsize") is None and not any(c.tag == "mtable" for c in children):
                core.set("stretchy", "false")
        elif core.tag == "mo" and text in ("−", "+", "±", "∓") and (previous is None or _awaits_operand(previous)):
            core.set("form", "prefix")
        if previous is not None and _thin_space(previous, core):
            row.append(ET.Element("mspace", width="0.167em"))
        row.append(child)
        previous = core


def _core(node: ET.Element) -> ET.Element:
    while node.tag in SCRIPTS and node.tag not in ("mfrac", "mroot") and len(node):
        node = node[0]
    return node


def _awaits_operand(node: ET.Element) -> bool:
    return node.tag == "mo" and (node.text or "") not in list(")]}⟩⌋⌉!") and node.get("form") != "postfix"


def _thin_space(left: ET.Element, right: ET.Element) -> bool:
    words = [node.tag == "mi" and len(node.text or "") > 1 and (node.text or "").isascii() for node in (left, right)]
    words = [word or "\u2006" in (node.text or "") for word, node in zip(words, (left, right), strict=True)]
    if "mspace" in (left.tag, right.tag) or not any(words):
        return False
    after = words[0] and (right.tag != "mo" or right.get("form") == "prefix")
    return after or (words[1] and not _awaits_operand(left))


def formulas(text: str) -> Iterator[str]:
    """All formulas of a Markdown text, as written between the dollars."""
    markdown = MarkdownIt("commonmark", {"html": False}).use(dollarmath_plugin, double_inline=True, allow_labels=False)
    for token in markdown.parse(text):
        yield from (t.content for t in [token, *(token.children or [])] if t.type.startswith("math_"))

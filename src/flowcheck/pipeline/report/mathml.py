r"""Markdown with LaTeX formulas -> HTML with MathML. No formula is ever dropped: what does not convert is shown as an error.

latex2mathml converts; `_repair` then turns its output into what browsers implement (MathML Core): letters of Unicode's
mathematical alphabets in place of `mathvariant`, accents, limits under `max` in displays, and TeX's spacing of norms and signs.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markupsafe import Markup
from mdit_py_plugins.dollarmath import dollarmath_plugin

SCRIPTS = {"msub": 2, "msup": 2, "msubsup": 3, "munder": 2, "mover": 2, "munderover": 3, "mfrac": 2, "mroot": 2}
UNDER = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
LIMIT_WORDS = {"lim", "max", "min", "sup", "inf", "lim\u2006sup", "lim\u2006inf", "det", "Pr", "gcd"}
VARIANTS = {"double-struck": "DOUBLE-STRUCK", "fraktur": "FRAKTUR", "script": "SCRIPT", "bold-italic": "BOLD ITALIC"}
VARIANTS |= {"sans-serif": "SANS-SERIF", "monospace": "MONOSPACE", "bold": "BOLD", "italic": "ITALIC"}
DELIMITERS = {r"\|": "‖", r"\Vert": "‖", r"\lVert": "‖", r"\rVert": "‖", r"\vert": "|", r"\lvert": "|", r"\rvert": "|"}
DELIMITERS |= {r"\langle": "⟨", r"\rangle": "⟩", r"\lfloor": "⌊", r"\rfloor": "⌋", r"\lceil": "⌈", r"\rceil": "⌉"}
DELIMITERS |= {r"\{": "{", r"\}": "}"}
TEX_REWRITES = [  # constructions that latex2mathml does not know or loses, in terms of those that it knows
    (r"\\(begin|end)\{(?:aligned|alignedat|align\*?)\}", r"\\\1{split}"),
    (r"\\begin\{gathered\}(.*?)\\end\{gathered\}", r"\\begin{array}{c}\1\\end{array}"),
    (r"\\mathop\{\\(?:mathrm|text|operatorname)\{([^{}]*)\}\}", r"\\operatorname*{\1}"),
    (r"(\\operatorname\*?\{[A-Za-z]+)(?:\\[,;: ]|~)([A-Za-z]+\})", r"\1 \2"),
    (r"\\mathrm\s*(?:\{([A-Za-z]+)\}|([A-Za-z]))", r"\\text{\1\2}"),
    (r"\\arg(?![A-Za-z])", r"\\operatorname{arg}"),
    (r"\\mathbbm(?![A-Za-z])", r"\\mathbb"),
    (r"(?<!:):=", r"\\coloneqq "),
    (r"\\setminus(?![A-Za-z])", "∖"),
    (r"\\tag\{([^{}]*)\}", r"\\qquad\\text{(\1)}"),
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


class FormulaError(ValueError):
    """A formula that cannot be shown as it was written."""


class Renderer:
    """Markdown to HTML. Formulas that do not convert are shown as errors and kept in `problems`."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
        self._markdown.validateLink = leads_somewhere_allowed  # type: ignore[method-assign]
        self._markdown.use(dollarmath_plugin, renderer=self._formula, double_inline=True, allow_labels=False)
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
    source = " ".join(tex.split())
    for pattern, replacement in TEX_REWRITES:
        source = re.sub(pattern, replacement, source)
    try:
        text = convert(source, display="block" if display else "inline")
        root = ET.fromstring(text.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "", 1))
    except Exception as error:  # latex2mathml raises a dozen unrelated types, IndexError among them
        raise FormulaError(f"{type(error).__name__} {error}".strip()) from None
    _check_attributes(root)
    _repair(root, display)
    _check(root, tex)
    root.set("alttext", tex.strip())
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


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
    elif node.tag == "mtd":  # browsers align cells by style only
        node.set("style", f"text-align: {node.attrib.pop('columnalign', 'center')}")
    elif node.tag == "mtable" and "columnspacing" in node.attrib:
        for cell in node.iter("mtd"):
            cell.set("style", f"{cell.get('style')}; padding-left: 0; padding-right: 0")
    elif node.tag in SCRIPTS and len(node) == SCRIPTS[node.tag]:
        _repair_script(node, display)
    if node.tag in ("mrow", "mtd", "mstyle", "math", "msqrt", "menclose", "mpadded"):
        _repair_row(node)


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
    elif node.tag == "mspace" and "negative" in node.get("width", ""):
        node.set("width", "-0.167em")


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

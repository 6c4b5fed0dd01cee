r"""LaTeX's commands in terms of those that the converter knows: their arguments are found by braces, however deep.

`expand` rewrites commands of amsmath, mathtools, physics and text mode; `words` is what stands in ``\text``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable


class FormulaError(ValueError):
    """A formula that cannot be shown as it was written."""


SPAN = "\ue002"
"""Stands at the beginning of a line of text between the rows of a formula: a private character, which no formula has."""
ENVIRONMENTS = {
    *(f"{kind}matrix{star}" for kind in ("", "p", "b", "B", "v", "V") for star in ("", "*")),
    *(
        f"{name}{star}"
        for name in ("align", "equation", "eqnarray", "gather", "multline", "flalign", "alignat")
        for star in ("", "*")
    ),
    *(f"{kind}cases{star}" for kind in ("", "d", "r") for star in ("", "*")),
    *("aligned", "alignedat", "split", "gathered", "multlined", "subequations", "array", "subarray", "smallmatrix"),
    *("psmallmatrix", "bsmallmatrix", "Bsmallmatrix", "vsmallmatrix", "Vsmallmatrix"),
}
LENGTH = re.compile(r"\s*(-?(?:\d+\.?\d*|\.\d+))\s*(pt|em|ex|px|pc|cm|mm|in)\s*")
DRAWN_ABOVE = {r"\tilde": r"\sim", r"\hat": "^", r"\bar": "-", r"\dot": r"\cdot", r"\vec": r"\rightarrow", r"\check": "ˇ"}
"""What an accent draws, where it is to stand below."""
MARKS = {'"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", "=": "\u0304", ".": "\u0307"}
MARKS |= {"c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "k": "\u0328", "r": "\u030a"}
LETTERS = {"ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "aa": "å", "AA": "Å", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł"}
LETTERS |= {"textdegree": "°", "textbullet": "•", "textendash": "–", "textemdash": "—", "ldots": "…", "dots": "…", "S": "§"}
IN_TEXT = "text|textrm|mbox|hbox|textnormal|textup|textmd|textbf|textit|emph|textsl|textsf|texttt"
"""Commands whose argument is text."""


def _fraction(left: str, right: str, thickness: str, style: str, above: str, below: str) -> str:
    sizes = {"": "", "0": r"\displaystyle", "1": r"\textstyle", "2": r"\scriptstyle", "3": r"\scriptscriptstyle"}
    if style.strip() not in sizes:
        raise FormulaError(rf"\genfrac: a style of 0 to 3 expected, found {style}")
    if thickness.strip() and not LENGTH.fullmatch(thickness):
        raise FormulaError(rf"\genfrac: a length expected, found {thickness}")
    line = rf"{{{above}\above {thickness.strip()} {below}}}" if thickness.strip() else rf"\frac{{{above}}}{{{below}}}"
    sides = [side.strip() or "." for side in (left, right)]
    fenced = line if sides == [".", "."] else rf"\left{sides[0]}{line}\right{sides[1]}"
    return rf"{{{sizes[style.strip()]} {fenced}}}"


def _before(above: str, below: str, base: str) -> str:
    scripts = "".join(f"{sign}{{{script}}}" for sign, script in (("_", below), ("^", above)) if script.strip())
    return f"{{}}{scripts}{base}" if scripts else base


def _raised(by: str, _height: str, _depth: str, content: str) -> str:
    length = LENGTH.fullmatch(by)
    if length is None:
        raise FormulaError(rf"\raisebox: a length expected, found {by}")
    return rf"\raise{{{length[1]}{length[2]}}}{{\text{{{content}}}}}"


def _unaligned(content: str) -> str:
    return re.sub(r"(?<!\\)&", "", content)


def _divided(content: str) -> str:
    return re.sub(r"\\mid(?![A-Za-z])|(?<!\\)[|]", r"\\middle|", content)


def _dots(count: str) -> str:
    if not re.fullmatch(r"\s*[1-9]\d?\s*", count):
        raise FormulaError(rf"\hdotsfor: a number of columns expected, found {count}")
    return "&".join([r"\dots"] * int(count))


Rewrite = str | Callable[..., str]
COMMANDS: dict[str, tuple[str, Rewrite]] = {
    "genfrac": ("mmmmmm", _fraction),
    "prescript": ("mmm", _before),
    "accentset": ("mm", r"\overset{#1}{#2}"),
    "underaccent": ("mm", lambda accent, base: rf"\underset{{{DRAWN_ABOVE.get(accent.strip(), accent)}}}{{{base}}}"),
    "overunderset": ("mmm", r"\overset{#1}{\underset{#2}{#3}}"),
    "underoverset": ("mmm", r"\underset{#1}{\overset{#2}{#3}}"),
    "intertext": ("m", rf"\text{{{SPAN}}}\text{{#1}}\\"),
    "shortintertext": ("m", rf"\text{{{SPAN}}}\text{{#1}}\\"),
    "raisebox": ("moom", _raised),
    "framebox": ("oom", r"\fbox{#3}"),
    "cfrac": ("omm", r"\dfrac{#2}{#3}"),
    "splitfrac": ("mm", r"\begin{array}{l}#1\\#2\end{array}"),
    "splitdfrac": ("mm", r"\begin{array}{l}#1\\#2\end{array}"),
    "nicefrac": ("mm", r"{{}^{#1}/_{#2}}"),
    "sfrac": ("mm", r"{{}^{#1}/_{#2}}"),
    "cancelto": ("mm", r"{\cancel{#2}}^{#1}"),
    "Aboxed": ("m", lambda content: rf"\boxed{{{_unaligned(content)}}}"),
    "hdotsfor": ("om", lambda _, count: _dots(count)),
    "tag": ("sm", lambda star, label: rf"\qquad\text{{{label if star else f'({label})'}}}"),
    "abs": ("sm", r"\left|#2\right|"),
    "norm": ("sm", r"\left\|#2\right\|"),
    "Set": ("m", lambda content: rf"\left\{{{_divided(content)}\right\}}"),
    "set": ("m", r"\left\{#1\right\}"),
    "textsuperscript": ("m", r"{}^{\text{#1}}"),
    "textsubscript": ("m", r"{}_{\text{#1}}"),
    "textsc": ("m", r"\text{#1}"),
    "textsl": ("m", r"\textit{#1}"),
    "overgroup": ("m", r"\overset{⏠}{#1}"),
    "undergroup": ("m", r"\underset{⏡}{#1}"),
    "utilde": ("m", r"\underset{\sim}{#1}"),
    "varinjlim": ("", r"\underset{\rightarrow}{\operatorname{lim}}"),
    "varprojlim": ("", r"\underset{\leftarrow}{\operatorname{lim}}"),
    "overleftharpoon": ("m", r"\overset{\leftharpoonup}{#1}"),
    "overrightharpoon": ("m", r"\overset{\rightharpoonup}{#1}"),
    "symbf": ("m", r"\mathbf{#1}"),
    "symup": ("m", r"\mathrm{#1}"),
    "symit": ("m", r"\mathit{#1}"),
    "symbb": ("m", r"\mathbb{#1}"),
    "symcal": ("m", r"\mathcal{#1}"),
    "symscr": ("m", r"\mathscr{#1}"),
    "symfrak": ("m", r"\mathfrak{#1}"),
    "symsf": ("m", r"\mathsf{#1}"),
    "symtt": ("m", r"\mathtt{#1}"),
    "vcentcolon": ("", ":"),
    "ordinarycolon": ("", ":"),
    "dblcolon": ("", "::"),
    "doublecap": ("", r"\Cap "),
    "doublecup": ("", r"\Cup "),
    "enskip": ("", r"\hspace{0.5em}"),
    "hfill": ("", r"\quad "),
    **dict.fromkeys(("allowbreak", "nobreak", "displaylimits"), ("", " ")),
    **{name: ("", letter) for name, letter in LETTERS.items() if len(name) > 1 and "dots" not in name},
}
"""Arguments, m for one that is needed, o for one in brackets that is not, s for a star; and the text, with #1 for the first."""


def expand(source: str) -> str:
    """The formula without the commands above. Raises FormulaError (missing argument, unknown environment, no length)."""
    source = re.sub(rf"\\\\\*?\s*\[{LENGTH.pattern}\]", r"\\\\", source)
    source = re.sub(r"\\(left|right|middle|[bB]igg?[lrm]?)\s*([<>])", lambda m: f"\\{m[1]}\\{'lr'[m[2] == '>']}angle ", source)
    for environment in re.findall(r"\\(?:begin|end)\s*\{([^{}]*)\}", source):
        if environment not in ENVIRONMENTS:
            raise FormulaError(f"unknown environment {environment}")
    source = re.sub(r"\\begin\{array\}\s*\[[tbc]\]", r"\\begin{array}", source)
    source = re.sub(r"\\(begin|end)\{(\w*matrix)\*\}(?:\s*\[[lcr]\])?", r"\\\1{\2}", source)
    source = re.sub(r"\\begin\{([dr]?)cases\*\}(.*?)\\end\{\1cases\*\}", _with_reasons, source)
    source = re.sub(r"\\begin\{(gather|multlined|gathered)(\*?)\}(.*?)\\end\{\1\2\}", r"\\begin{array}{c}\3\\end{array}", source)
    source = re.sub(r"\\(begin|end)\{flalign\*?\}", r"\\\1{align}", source)
    for letter, (left, right) in {"p": "()", "b": "[]", "B": (r"\{", r"\}"), "v": "||", "V": (r"\|", r"\|")}.items():
        source = source.replace(rf"\begin{{{letter}smallmatrix}}", rf"\left{left}\begin{{smallmatrix}}")
        source = source.replace(rf"\end{{{letter}smallmatrix}}", rf"\end{{smallmatrix}}\right{right}")
    return _rewritten(source)


def _rewritten(source: str) -> str:
    at = 0
    while found := re.compile(r"\\(?:([A-Za-z]+)|.)").search(source, at):
        name = found[1] or ""
        if name not in COMMANDS:
            at = found.end()
            continue
        spec, rewrite = COMMANDS[name]
        end = found.end()
        arguments = list[str]()
        for kind in spec:
            argument, end = _argument(source, end, kind, name)
            arguments.append(argument)
        text = _filled(rewrite, arguments) if isinstance(rewrite, str) else rewrite(*arguments)
        at = found.start()
        source = source[:at] + text + source[end:]
    return source


def _filled(template: str, arguments: list[str]) -> str:
    return re.sub(r"#(\d)", lambda number: arguments[int(number[1]) - 1], template)


def _argument(source: str, at: int, kind: str, name: str) -> tuple[str, int]:
    """An argument that begins at `at`, without its braces, and where it ends."""
    start = at + len(source[at:]) - len(source[at:].lstrip())
    if kind == "s":
        return ("*", start + 1) if source[start : start + 1] == "*" else ("", at)
    if kind == "o":
        end = closing(source, start, "[]") if source[start : start + 1] == "[" else 0
        return (source[start + 1 : end - 1], end) if end else ("", at)
    if source[start : start + 1] == "{" and (end := closing(source, start)):
        return source[start + 1 : end - 1], end
    if token := re.compile(r"\\[A-Za-z]+|\\.|[^{}&\\]").match(source, start):
        return token[0], token.end()
    raise FormulaError(rf"missing argument of \{name}")


def closing(source: str, start: int, pair: str = "{}") -> int:
    """Where the group that opens at `start` is over; 0 if it never is."""
    depth = braces = 0
    for token in re.compile(r"\\.|[][{}]").finditer(source, start):
        if pair == "[]":
            braces += {"{": 1, "}": -1}.get(token[0], 0)
        if not braces or pair == "{}":
            depth += {pair[0]: 1, pair[1]: -1}.get(token[0], 0)
            if depth == 0:
                return token.end()
    return 0


def _with_reasons(found: re.Match[str]) -> str:
    """Cases whose second column is text."""
    rows = [row.split("&", 1) for row in found[2].split(r"\\")]
    body = r"\\".join(f"{value}&\\text{{{reason[0].strip()}}}" if reason else value for value, *reason in rows)
    return rf"\begin{{{found[1]}cases}}{body}\end{{{found[1]}cases}}"


def words(command: str, text: str) -> str:
    r"""Text as the converter takes it: letters with their accents, quotes, dashes, and ``\textbf`` within ``\text`` beside it."""
    text = re.sub(r"\\[ij](?![A-Za-z])\s?", lambda m: m[0][1], text)  # dotless below an accent, which has no dot anyway
    text = re.sub(r"\\([\"'`^~=.])\s*(?:\{([A-Za-z])\}|([A-Za-z]))", _accented, text)
    text = re.sub(r"\\([cvuHkr])\s*\{([A-Za-z])\}", _accented, text)
    text = re.sub(rf"\\({'|'.join(LETTERS)})(?![A-Za-z])\s?(?:\{{\}})?", lambda m: LETTERS[m[1]], text)
    for old, new in {"---": "—", "--": "–", "``": "“", "''": "”", "~": "\xa0"}.items():
        text = text.replace(old, new)
    text = re.sub(r"\\([%#&_{}])", r"\1", re.sub(r"\\[ ,;:]", " ", text))
    pieces = re.split(rf"\\({IN_TEXT})\s*\{{([^{{}}]*)\}}", text)
    parts = [
        (command, piece) if place % 3 == 0 else (pieces[place - 1], piece) for place, piece in enumerate(pieces) if place % 3 != 1
    ]
    return "".join(f"\\{name}{{{part}}}" for name, part in parts if part)


def _accented(found: re.Match[str]) -> str:
    letter = next(group for group in found.groups()[1:] if group)
    return unicodedata.normalize("NFC", letter + MARKS[found[1]])

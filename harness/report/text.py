"""Hostile text made safe to show: model output, data and names can hold anything, and none of it may act or mislead.

Escaping is the template's work; here is what escaping leaves: characters that turn text round, end a file or cannot be
written, JSON inside a page, formulas inside a spreadsheet, and what differs between two texts.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cache
from typing import Any, Literal, NamedTuple

LONGEST = 2_000  # characters of one text that a page shows at once; the whole of it is in the page's data
MOST_LINES = 80
DIFF_LONGEST = 1_200  # words beyond which a difference is not worked out
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028\u2029"
    "\u202a-\u202e\u2060-\u2069\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_UNHELD = re.compile("[\0\ud800-\udfff]")
_BY_CHARACTER = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")


def visible(text: str) -> str:
    """A text in which nothing hides: control characters, bidi controls and lone surrogates are shown by a sign.

    C0 controls become their control picture (NUL: ␀), lone surrogates U+FFFD, all else ⟦U+202E⟧; tabs and
    newlines stay.
    """
    return _UNSEEN.sub(_sign, text.replace("\r\n", "\n"))


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"⟦U+{code:04X}⟧"


def shown(text: str, longest: int = LONGEST) -> str:
    """`visible`, cut where it is very long, the cut said."""
    kept = "\n".join(text[:longest].split("\n", MOST_LINES)[:MOST_LINES])
    if len(kept) == len(text):
        return visible(text)
    return f"{visible(kept)} … [{len(text) - len(kept):,} more characters]"


def one_line(text: str, longest: int = 120) -> str:
    """A text on one line, for titles and tables."""
    flat = " ".join(text[: 4 * longest].split())
    return visible(flat if len(flat) <= longest else flat[: longest - 1] + "…")


def storable(text: str) -> str:
    """What CSV and Parquet can hold: UTF-8, so a lone surrogate becomes U+FFFD; NUL too."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNHELD.sub("\ufffd", text)


def defused(text: str) -> str:
    """A CSV cell that no spreadsheet takes for a formula: an apostrophe goes before what could start one (OWASP)."""
    text = storable(text)
    return "'" + text if text.lstrip(" ").startswith(_FORMULA) else text


def script_json(value: Any) -> str:
    """JSON that may stand inside `<script>`: ASCII alone, and no `<`, `>` or `&`. Read back, it is the same data."""
    plain = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class Piece(NamedTuple):
    """A part of a word difference: in both texts, only in the answer, or only in the target."""

    kind: Literal["same", "extra", "lacking"]
    text: str


def difference(answer: str, target: str, *, ordered: bool) -> tuple[Piece, ...]:
    """The answer, word by word: what stands in the target too, what does not, and what the target has beside it.

    With `ordered` words are aligned (longest matching blocks); without, as in lists whose order says nothing, each word
    is looked up in the target's words, and those never found come last. Chinese, Japanese and Korean go by character.
    """
    a, b = _words(answer), _words(target)
    if len(a) > DIFF_LONGEST or len(b) > DIFF_LONGEST:
        return (Piece("same", answer),)
    return _joined(_aligned(a, b) if ordered else _looked_up(a, b))


def _words(text: str) -> list[str]:
    """Words, spaces and single signs, as page.js takes them: no letter without its marks, no emoji in parts."""
    return _pattern(text.isascii()).findall(text)


def _marks() -> str:
    """All combining marks, as the inside of a character class."""
    parts: list[str] = []
    for start, end in ((0x300, 0x1E950), (0xE0100, 0xE01F0)):
        kinds = "".join(unicodedata.category(chr(c))[0] for c in range(start, end))
        parts += [f"{chr(start + m.start())}-{chr(start + m.end() - 1)}" for m in re.finditer("M+", kinds)]
    return "".join(parts)


@cache
def _pattern(ascii: bool) -> re.Pattern[str]:
    marks = "" if ascii else _marks()
    letter = rf"(?:(?![{_BY_CHARACTER}])[^\W_]|[{marks}])" if marks else r"[^\W_]"
    sign = rf".(?:[{marks}\U0001f3fb-\U0001f3ff]|\u200d.)*" if marks else "."
    parts = (rf"[{_BY_CHARACTER}][{marks}]*", r"[\U0001f1e6-\U0001f1ff]{2}") if marks else ()
    return re.compile("|".join((*parts, rf"{letter}+(?:['’\-]{letter}+)*", r"\s+", sign)), re.S)


def _counts(word: str) -> bool:
    return any(unicodedata.category(c)[0] in "LNM" or unicodedata.category(c) == "So" for c in word)


def _aligned(a: Sequence[str], b: Sequence[str]) -> list[Piece]:
    pieces: list[Piece] = []
    fold_a, fold_b = [w.casefold() for w in a], [w.casefold() for w in b]
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, fold_a, fold_b, autojunk=False).get_opcodes():
        if tag in ("delete", "replace"):
            pieces.append(Piece("extra", "".join(a[i1:i2])))
        if tag in ("insert", "replace"):
            pieces.append(Piece("lacking", "".join(b[j1:j2])))
        if tag == "equal":
            pieces.append(Piece("same", "".join(a[i1:i2])))
    return pieces


def _looked_up(a: Sequence[str], b: Sequence[str]) -> list[Piece]:
    left = Counter(w.casefold() for w in b if _counts(w))
    pieces: list[Piece] = []
    for word in a:
        if not _counts(word):
            pieces.append(Piece("same", word))
        elif left[word.casefold()] > 0:
            left[word.casefold()] -= 1
            pieces.append(Piece("same", word))
        else:
            pieces.append(Piece("extra", word))
    item, at, between = 0, -1, ""  # what is lacking comes last, as it stands in the target, its items apart
    for word in b:
        if not _counts(word):
            item += "\n" in word
            between = between + word if between is not None else None
        elif left[word.casefold()] <= 0:
            between = None
        else:
            left[word.casefold()] -= 1
            if at != item:
                pieces += [Piece("same", " " if at < 0 else ", "), Piece("lacking", word)]
            else:
                pieces.append(Piece("lacking", (" " if between is None else between) + word))
            at, between = item, ""
    return pieces


def _joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Neighbours of one kind as one piece; white space between two of a kind goes with them."""
    made: list[Piece] = []
    for piece in pieces:
        if made and made[-1].kind == piece.kind:
            made[-1] = Piece(piece.kind, made[-1].text + piece.text)
        elif (
            len(made) > 1
            and made[-1].kind == "same"
            and made[-2].kind == piece.kind != "same"
            and not made[-1].text.strip()
        ):
            gap = made.pop().text
            made[-1] = Piece(piece.kind, made[-1].text + gap + piece.text)
        elif piece.text:
            made.append(piece)
    return tuple(made)

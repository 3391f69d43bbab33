"""Numbers as people read them: a unit on each, and no more digits than the interval behind it supports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import floor, isfinite, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.recall import Recall


@dataclass(frozen=True)
class Fact:
    """A figure with its name and what is said beside it. `yaml`: the line that would measure it, where it was not."""

    label: str
    value: str
    note: str = ""
    yaml: str = ""

    @property
    def open(self) -> bool:
        """Whether the figure is still lacking."""
        return self.value.startswith(("not ", "no date", "unknown"))


_TAIL = re.compile(r"(\.\d+)$")
DASH = "–"
UNKNOWN = "unknown"


def places(half: float) -> int:
    """Decimals of a score in points: one, or none where the interval reaches 20 points either way."""
    return 0 if isfinite(half) and half >= 20 else 1


def score(mean: float, low: float = 0.0, high: float = 0.0) -> str:
    """A score in points of 100."""
    return f"{100 * mean:.{places(50 * (high - low))}f}"


def score_interval(low: float, high: float) -> str:
    """An interval of a score, in points of 100."""
    n = places(50 * (high - low))
    return f"{100 * low:.{n}f} to {100 * high:.{n}f}"


def recall(found: Recall | None) -> str:
    """Recall of retrieval in points of 100, and at how many passages."""
    return f"{score(found.mean, found.low, found.high)} at {found.k}" if found else DASH


def points(value: float, low: float, high: float) -> str:
    """A difference in points, with its sign."""
    return _signed(100 * value, places(50 * (high - low)))


def points_interval(low: float, high: float) -> str:
    """An interval of a difference, in points."""
    n = places(50 * (high - low))
    return f"{_signed(100 * low, n)} to {_signed(100 * high, n)}"


def gained(value: float, low: float, high: float) -> str:
    """A difference in points with its interval."""
    return f"{points(value, low, high)} points ({points_interval(low, high)})"


def _signed(value: float, n: int) -> str:
    text = f"{abs(value):.{n}f}"
    sign = "" if not float(text) else "+" if value > 0 else "−"
    return sign + text


def usd(value: float | None, *, whole: bool = False) -> str:
    """Dollars: three significant digits below 100, whole dollars above; never $0 for what is not nothing.

    Zeros at the end go, unless the digits are wanted `whole`, as in a column.
    """
    if value is None:
        return UNKNOWN
    if not isfinite(value):
        return "no limit"
    sign, size = ("−" if value < 0 else ""), abs(value)
    if size == 0:
        return "$0"
    if size >= 99.995:
        return f"{sign}${size:,.0f}"
    n = min(max(2 - floor(log10(size)), 2), 12)
    text = f"{size:.{n}f}"
    if n > 2 and not whole:
        text = text.rstrip("0")
        text += "0" * max(0, 2 - len(text.partition(".")[2]))
    return f"{sign}${text}"


def aligned(texts: Sequence[str]) -> list[str]:
    """A column of figures made to stand point under point: digits that are not there take the width of one."""
    ends = [len(found[1]) if (found := _TAIL.search(t)) else 0 for t in texts]
    wide = max(ends, default=0)
    pads = ["\u2007" * (wide - n if n else wide - 1) + ("" if n else "\u2008") for n in ends]
    return [t + pad if wide and t[-1:].isdigit() else t for t, pad in zip(texts, pads, strict=True)]


def count(value: float) -> str:
    """A whole number with thousands marked."""
    return f"{value:,.0f}"


def about(value: float) -> str:
    """A large number in two or three digits: 3,270 or 17 million."""
    if not isfinite(value):
        return "no number of"
    for size, word in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if value >= size:
            return f"{value / size:.3g}{word}"
    if value < 100:
        return f"{value:.0f}"
    step = 10 ** (floor(log10(value)) - 2)
    return f"{round(value / step) * step:,.0f}"


def seconds(value: float) -> str:
    """A time: two significant digits below 100 s, then minutes and hours."""
    if value < 0.0005:
        return "<1 ms"
    if value < 1:
        return f"{1000 * value:.2g} ms" if value < 0.0995 else f"{1000 * value:.0f} ms"
    if value < 9.95:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    if value < 7200:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.1f} h"


def months(value: float) -> str:
    """A span: days under a fortnight, weeks under three months, then months and years."""
    if not isfinite(value):
        return "never"
    days = value * 365.25 / 12
    if days < 1:
        return "under a day"
    if days < 13.5:
        return _many(round(days), "day")
    if days < 90:
        return _many(round(days / 7), "week")
    if value < 36:
        return _many(round(value), "month")
    return f"{value / 12:.1f} years" if value < 240 else f"{value / 12:,.0f} years"


def _many(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def many(n: int, word: str, plural: str = "") -> str:
    """A count with its noun: 1 row, 2 rows."""
    return f"{n:,} {word if n == 1 else plural or word + 's'}"


def day_after(start: date, span: float) -> str:
    """The day that lies so many months after another, or empty when it lies too far off to name."""
    if not isfinite(span) or span > 1200:
        return ""
    day = start + timedelta(days=span * 365.25 / 12)
    return f"{day.day} {day:%B %Y}"


def share(part: float, whole: float) -> str:
    """A share in percent."""
    if not whole:
        return DASH
    value = 100 * part / whole
    return "0 %" if value == 0 else f"{value:.1f} %" if value < 9.95 else f"{value:.0f} %"


def p_value(p: float) -> str:
    """A p-value, two digits, never 0."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"

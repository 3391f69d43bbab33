"""The pieces that pictures are made of: scales, grid lines, whiskers, dots, labels, lines, as hand-made SVG.

Positions are percentages of the width and pixels of the height, so that a picture fills a phone or a page and its text
keeps its size. Colours come from the style sheet by class; what a colour says a shape or a word says too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

from markupsafe import Markup

from harness.report import figures
from harness.report.text import one_line

Scale = Callable[[float], float]


@dataclass(frozen=True)
class Chart:
    """A picture with its title, the sentence that says what it shows, and its figures as a table."""

    key: str
    title: str
    sentence: str
    svg: Markup
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


class Bar(NamedTuple):
    """One difference with its interval and the class that colours it."""

    name: str
    low: float
    middle: float
    high: float
    cls: str


def linear(low: float, high: float, start: float = 1.0, end: float = 99.0) -> Scale:
    """A scale from data to percent (or pixels)."""
    span = (high - low) or 1.0
    return lambda v: start + (min(max(v, low), high) - low) / span * (end - start)


def money_scale(costs: Sequence[float]) -> tuple[Scale, list[float]]:
    """Dollars: linear when they lie within a factor of 20, else logarithmic with $0 on the far left."""
    some = [c for c in costs if c > 0]
    if not some:
        return linear(0, 1, LEFT, 96), [0]
    low, high = min(some), max(some)
    if high / low < 20:
        top = nice_up(high * 1.05)
        return linear(0, top, LEFT, 97), nice_ticks(0, top, 4)
    first, last = floor(log10(low)), ceil(log10(high))
    zero = any(c <= 0 for c in costs)
    start = 2 * LEFT if zero else LEFT
    inner = linear(first, last, start, 96)
    ticks = [10.0**e for e in range(first, last + 1)]
    while len(ticks) > 5:
        ticks = ticks[::2]
    return (lambda c: inner(log10(c)) if c > 0 else LEFT), ([0, *ticks] if zero else ticks)


def nice_up(value: float) -> float:
    """The next round number above."""
    if value <= 0 or not isfinite(value):
        return 1.0
    size = 10 ** floor(log10(value))
    return next(m * size for m in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if m * size >= value * 0.9999)


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from low to high, at most about so many."""
    raw = (high - low) / most or 1.0
    size = 10 ** floor(log10(raw))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw * 0.9999)
    first = ceil(low / step - 1e-9)
    return [step * i for i in range(first, floor(high / step + 1e-9) + 1)]


def thin(series: Sequence[tuple[int, float]], most: int = 400) -> Sequence[tuple[int, float]]:
    """At most so many points of a series, the last one among them."""
    step = max(1, ceil(len(series) / most))
    return [*series[::step], series[-1]] if (len(series) - 1) % step else series[::step]


def pct(value: float) -> str:
    """A percentage as an attribute."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


FOOT = 40  # pixels below a picture for its labels and their unit
LEFT = 9.0  # percent where a picture starts whose level lines are labelled


def svg(name: str, parts: Iterable[Markup], height: int) -> Markup:
    """A picture as wide as its place."""
    body = Markup("").join(parts)
    return Markup('<svg class="chart" width="100%" height="{}" role="img" aria-label="{}">{}</svg>').format(
        height, name, body
    )


def grid(x: Scale, ticks: Sequence[float], labels: Sequence[str], height: int, unit: str = "") -> Markup:
    """Upright grid lines with their labels below, and below these what they count."""
    parts: list[Markup] = []
    if unit:
        form = '<text class="tick" x="50%" y="{}" text-anchor="middle">{}</text>'
        parts.append(Markup(form).format(height + 33, unit))
    for tick, text in zip(ticks, labels, strict=True):
        at = x(tick)
        anchor = "start" if at < 6 else "end" if at > 94 else "middle"
        parts.append(Markup('<line class="grid" x1="{0}%" x2="{0}%" y1="0" y2="{1}"/>').format(pct(at), height))
        label = '<text class="tick" x="{}%" y="{}" text-anchor="{}">{}</text>'
        parts.append(Markup(label).format(pct(at), height + 16, anchor, text))
    return Markup("").join(parts)


def apart(x: Scale, ticks: Sequence[float], labels: Sequence[str], least: float = 9.0) -> list[str]:
    """The labels, without those that would stand on the one before; the last one stays."""
    kept, last = list(labels), x(ticks[-1])
    before = -100.0
    for i, tick in enumerate(ticks[:-1]):
        if x(tick) - before < least or last - x(tick) < least:
            kept[i] = ""
        else:
            before = x(tick)
    return kept


def shelves(y: Scale, ticks: Sequence[float], form: str = "") -> Markup:
    """Level grid lines, their labels on them."""
    return Markup("").join(shelf(y(t), form.format(t) if form else f"{100 * t:g}") for t in ticks)


def shelf(at: float, text: str) -> Markup:
    """One level grid line with its label."""
    line = Markup('<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>').format(at)
    return line + Markup('<text class="tick" x="0" y="{:.1f}">{}</text>').format(max(at - 3, 10), text)


def whisker(x: Scale, low: float, mean: float, high: float, y: float, cls: str) -> Markup:
    """An interval with its middle."""
    line = '<line class="whisker {0}" x1="{1}%" x2="{2}%" y1="{3}" y2="{3}"/>'
    return Markup(line).format(cls, pct(x(low)), pct(x(high)), y) + dot(x(mean), y, cls, "")


def intervals(title: str, bars: Sequence[Bar], least: float = 0.0, unit: str = "points") -> Markup:
    """Differences with their intervals about zero, one under the other; `least` is marked by a dashed line."""
    edge = min(1.0, nice_up(max(*(max(abs(b.low), abs(b.high)) for b in bars), abs(least)) * 1.02))
    x, height = linear(-edge, edge), 44 * len(bars)
    ticks = [-edge, -edge / 2, 0, edge / 2, edge]
    parts = [grid(x, ticks, [f"{100 * t:+.3g}".replace("-", "−") if t else "0" for t in ticks], height, unit)]
    for at, cls in ((0.0, "zero"), (least, "bar")):
        line = '<line class="{2}" x1="{0}%" x2="{0}%" y1="0" y2="{1}"/>'
        parts += [Markup(line).format(pct(x(at)), height, cls)] if at or cls == "zero" else []
    for i, b in enumerate(bars):
        y, value = 44 * i + 30, figures.points(b.middle, b.low, b.high)
        parts.append(Markup('<text class="name" x="0" y="{}">{}</text>').format(y - 12, b.name))
        parts.append(Markup('<text class="value" x="100%" y="{}" text-anchor="end">{}</text>').format(y - 12, value))
        parts.append(whisker(x, b.low, b.middle, b.high, y, b.cls))
    return svg(title, parts, height + FOOT)


def dot(x: float, y: float, cls: str, title: str) -> Markup:
    """A point; the baseline's is a square, the candidate's filled, others hollow: colour is not all."""
    said = Markup("<title>{}</title>").format(one_line(title)) if title else Markup("")
    if cls == "baseline":
        form = (
            '<svg x="{}%" y="{:.1f}" width="1" height="1" overflow="visible">'
            '<rect class="dot {}" x="-5" y="-5" width="10" height="10">{}</rect></svg>'
        )
    else:
        form = '<circle class="dot {2}" cx="{0}%" cy="{1:.1f}" r="5.5">{3}</circle>'
    return Markup(form).format(pct(x), y, cls, said)


def label(x: float, y: float, text: str) -> Markup:
    """A point's name, on the side where there is room."""
    anchor, shift = ("end", -10) if x > 60 else ("start", 10)
    form = '<text class="name" x="{}%" y="{:.1f}" dx="{}" text-anchor="{}">{}</text>'
    return Markup(form).format(pct(x), y + 4, shift, anchor, text)


def free(taken: list[tuple[float, float]], x: float, y: float) -> float:
    """A height for a label that does not lie on another one; remembers it."""
    for shift in (0, 14, -14, 28, -28, 42, -42, 56):
        if all(abs(x - tx) > 38 or abs(y + shift - ty) >= 13 for tx, ty in taken):
            y += shift
            break
    taken.append((x, y))
    return y


def polyline(points: Sequence[tuple[float, float]], height: int, cls: str) -> Markup:
    """A line through (percent, pixel) points, stretched to the width while its stroke keeps its own."""
    path = " ".join(f"{x:.2f},{y:.1f}" for x, y in points)
    form = (
        '<svg x="0" y="0" width="100%" height="{0}" viewBox="0 0 100 {0}" preserveAspectRatio="none">'
        '<polyline class="{1}" points="{2}"/></svg>'
    )
    return Markup(form).format(height, cls, path)


def spoken(names: Iterable[str]) -> str:
    """Names in a sentence: a, b and c."""
    all_names = list(names)
    return (
        all_names[0] if len(all_names) == 1 else f"{', '.join(all_names[:-1])} and {all_names[-1]}" if all_names else ""
    )

"""The pictures: hand-made SVG, because so it is small, sharp in print, readable by a screen reader and needs no script.

Positions are percentages of the width and pixels of the height, so that a picture fills a phone or a page and its text
keeps its size. Colours come from the style sheet by class; what a colour says a shape or a word says too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from markupsafe import Markup

from harness.report import figures
from harness.report.text import one_line
from harness.report.view import ArmRow, View

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


def draw(view: View) -> tuple[Chart, ...]:
    """Every picture that has data, in the order of the page."""
    made = (scores(view), differences(view), cost_quality(view), shots(view), *losses(view))
    return tuple(chart for chart in made if chart is not None)


def scores(view: View) -> Chart | None:
    """Every arm's score on the primary metric with its interval."""
    arms = [a for a in view.arms if a.cells[view.primary].n]
    if not arms:
        return None
    x = linear(0, 1)
    parts = [grid(x, [0, 0.25, 0.5, 0.75, 1], [f"{v}" for v in (0, 25, 50, 75, 100)], 44 * len(arms))]
    for i, arm in enumerate(arms):
        cell, y = arm.cells[view.primary], 44 * i + 30
        value = figures.score(cell.mean, cell.low, cell.high)
        label = Markup('<text class="name" x="0" y="{}">{}</text>').format(y - 12, arm.name)
        number = Markup('<text class="value" x="100%" y="{}" text-anchor="end">{}</text>').format(y - 12, value)
        parts += [label, number, whisker(x, cell.low, cell.mean, cell.high, y, kind(arm))]
    best = arms[0]
    level = [a.name for a in arms if a.level]
    tied = f" It cannot be told apart from {spoken(n for n in level if n != best.name)}." if len(level) > 1 else ""
    cell = best.cells[view.primary]
    value = figures.score(cell.mean, cell.low, cell.high)
    sentence = f"{best.name} scores highest: {value} points of 100 ({view.primary}, {cell.n} examples).{tied}"
    caution = " Overlapping bars are no test; the differences are."
    return Chart("scores", "Scores", sentence + caution, svg("Scores with intervals", parts, 44 * len(arms) + 24))


def differences(view: View) -> Chart | None:
    """Every arm less the baseline, paired by example."""
    made = sorted(view.pictures.differences, key=lambda c: -c.delta)
    if not made:
        return None
    rules = view.stored.benchmark.verdict
    edge = min(1.0, nice_up(max(max(abs(c.low), abs(c.high)) for c in made) * 1.02))
    x, height = linear(-edge, edge), 44 * len(made)
    ticks = [-edge, -edge / 2, 0, edge / 2, edge]
    parts = [grid(x, ticks, [f"{100 * t:+.3g}".replace("-", "−") if t else "0" for t in ticks], height)]
    zero = x(0)
    parts.append(Markup('<line class="zero" x1="{0}%" x2="{0}%" y1="0" y2="{1}"/>').format(pct(zero), height))
    if rules.min_effect:
        at = pct(x(rules.min_effect))
        parts.append(Markup('<line class="bar" x1="{0}%" x2="{0}%" y1="0" y2="{1}"/>').format(at, height))
    by_name = {a.name: a for a in view.arms}
    for i, c in enumerate(made):
        y = 44 * i + 30
        value = f"{figures.points(c.delta, c.low, c.high)}"
        parts.append(Markup('<text class="name" x="0" y="{}">{}</text>').format(y - 12, c.candidate))
        parts.append(Markup('<text class="value" x="100%" y="{}" text-anchor="end">{}</text>').format(y - 12, value))
        parts.append(whisker(x, c.low, c.delta, c.high, y, kind(by_name[c.candidate])))
    base = made[0].baseline
    above = [c.candidate for c in made if c.low > 0]
    below = [c.candidate for c in made if c.high < 0]
    rest = [c.candidate for c in made if c.candidate not in above + below]
    said = [
        f"{spoken(names)} {text[len(names) > 1]}"
        for names, text in (
            (above, ("lies above", "lie above")),
            (below, ("lies below", "lie below")),
            (rest, ("cannot be told apart from",) * 2),
        )
        if names
    ]
    said[0] += f" the baseline ({base})"
    said[1:] = [f"{part} it" for part in said[1:]]
    mark = (
        f" The dashed line marks the smallest effect worth having ({100 * rules.min_effect:g} points)."
        if rules.min_effect
        else ""
    )
    rows = tuple(
        (c.candidate, figures.points(c.delta, c.low, c.high), figures.points_interval(c.low, c.high), str(c.won),
         str(c.lost), str(c.tied), figures.p_value(c.p), c.label)
        for c in made
    )  # fmt: skip
    return Chart(
        "differences",
        "Difference to the baseline, example by example",
        f"In points of {view.primary}: {', '.join(said)}.{mark}",
        svg("Paired differences with intervals", parts, height + 24),
        ("arm", "points", "interval", "won", "lost", "tied", "exact test", "says"),
        rows,
    )


def cost_quality(view: View) -> Chart | None:
    """Dollars per 1,000 tasks against score."""
    arms = [a for a in view.arms if a.bill.usd_a_task is not None and a.cells[view.primary].n]
    if len(arms) < 2:
        return None
    cost = {a.name: 1000 * (a.bill.usd_a_task or 0.0) for a in arms}
    x, ticks = money_scale(list(cost.values()))
    height = 260
    y = linear(0, 1, height - 8, 8)
    parts = [grid(x, ticks, [figures.usd(t) for t in ticks], height), shelves(y, [0, 0.25, 0.5, 0.75, 1])]
    front = sorted((a for a in arms if a.name in view.pictures.front), key=lambda a: cost[a.name])
    corners: list[tuple[float, float]] = []
    for arm in front:
        here = (x(cost[arm.name]), y(arm.cells[view.primary].mean))
        corners += [(here[0], corners[-1][1]), here] if corners else [here]
    if len(front) > 1:
        parts.append(polyline(corners, height, "front"))
    taken: list[tuple[float, float]] = []
    for arm in sorted(arms, key=lambda a: -a.cells[view.primary].mean):
        px, py = x(cost[arm.name]), y(arm.cells[view.primary].mean)
        cell = arm.cells[view.primary]
        low, high = y(cell.low), y(cell.high)
        line = '<line class="whisker {0}" x1="{1}%" x2="{1}%" y1="{2:.1f}" y2="{3:.1f}"/>'
        parts.append(Markup(line).format(kind(arm), pct(px), low, high))
        parts.append(dot(px, py, kind(arm), f"{arm.name}: {figures.usd(cost[arm.name])} per 1,000 tasks"))
        parts.append(label(px, free(taken, px, py), arm.name))
    names = spoken(a.name for a in front)
    unknown = [a.name for a in view.arms if a.bill.usd_a_task is None]
    said = f" The price of {spoken(unknown)} is unknown and not drawn." if unknown else ""
    held = "is beaten by no other arm" if len(front) == 1 else "are beaten by no other arm"
    sentence = f"Cheaper is left, better is up: {names} {held} on both cost and {view.primary}.{said}"
    return Chart(
        "cost",
        f"Cost against {view.primary}",
        sentence,
        svg("Dollars per 1,000 tasks against score", parts, height + 24),
    )


def shots(view: View) -> Chart | None:
    """Few-shot's dev score against k."""
    found = view.pictures.shots
    if not found:
        return None
    ks = sorted({int(t.config["k"]) for _, t in found})
    height = 200
    x, y = linear(0, ks[-1], 2, 96), linear(0, 1, height - 8, 8)
    parts = [grid(x, [0, *ks], ["k = 0", *[str(k) for k in ks]], height), shelves(y, [0, 0.25, 0.5, 0.75, 1])]
    lines: dict[str, list[tuple[int, float]]] = {}
    for arm, t in found:
        lines.setdefault(f"{arm} {t.config.get('select', '')}".strip(), []).append((int(t.config["k"]), t.score))
    taken: list[tuple[float, float]] = []
    for i, (name, series) in enumerate(lines.items()):
        series.sort()
        parts.append(polyline([(x(k), y(s)) for k, s in series], height, f"series s{i % 4}"))
        parts += [dot(x(k), y(s), f"s{i % 4}", f"{name}, k = {k}: {100 * s:.1f}") for k, s in series]
        k, s = series[-1]
        parts.append(label(x(k), free(taken, x(k), y(s) - 14), name))
    best = max((t for _, t in found), key=lambda t: t.score)
    sentence = (
        f"On dev the best of {len(found)} few-shot trials had k = {best.config['k']}: "
        f"{100 * best.score:.0f} points at {best.input_tokens:,.0f} prompt tokens a task."
    )
    rows = tuple(
        (arm, str(t.config["k"]), str(t.config.get("select", "")), f"{100 * t.score:.1f}", f"{t.input_tokens:,.0f}",
         figures.usd(None if t.usd is None else 1000 * t.usd / max(t.n, 1)), f"{t.n} {t.note}".strip())
        for arm, t in found
    )  # fmt: skip
    head = ("arm", "k", "chosen by", "dev score", "prompt tokens a task", "per 1,000 tasks", "dev rows")
    return Chart(
        "shots", "Few-shot: score against k", sentence, svg("Dev score against k", parts, height + 24), head, rows
    )


def losses(view: View) -> Iterable[Chart]:
    """Training and validation loss by step, a picture an arm that was trained."""
    for arm, curve in view.pictures.loss.items():
        train = [(s, v) for s, v, _ in curve if v is not None and isfinite(v)]
        valid = [(s, v) for s, _, v in curve if v is not None and isfinite(v)]
        if len(train) < 2 and len(valid) < 2:
            continue
        steps = [s for s, _ in (*train, *valid)]
        top = nice_up(max(v for _, v in (*train, *valid)))
        height = 200
        x, y = linear(min(steps), max(steps)), linear(0, top, height - 8, 8)
        ticks = [t for t in nice_ticks(min(steps), max(steps), 5) if min(steps) <= t <= max(steps)]
        parts = [grid(x, ticks, [f"{t:,.0f}" for t in ticks], height), shelves(y, nice_ticks(0, top, 4), "{:.2g}")]
        if len(train) > 1:
            parts.append(polyline([(x(s), y(v)) for s, v in thin(train)], height, "series candidate"))
        if len(valid) > 1:
            parts.append(polyline([(x(s), y(v)) for s, v in thin(valid)], height, "series baseline dashed"))
        parts += [dot(x(s), y(v), "baseline", f"step {s}: validation loss {v:.3g}") for s, v in thin(valid, 40)]
        ends = f"from {train[0][1]:.2f} to {train[-1][1]:.2f}" if train else "is not reported"
        sentence = f"{arm}: the training loss went {ends} in {max(steps):,} steps"
        sentence += f"; the validation loss (dashed) ended at {valid[-1][1]:.2f}." if valid else "; no validation loss."
        yield Chart(
            f"loss-{arm}", "Training loss by step", sentence, svg(f"Training loss of {arm}", parts, height + 24)
        )


# The pieces that pictures are made of


def kind(arm: ArmRow) -> str:
    """The class that colours an arm."""
    return arm.role or "other"


def linear(low: float, high: float, start: float = 1.0, end: float = 99.0) -> Scale:
    """A scale from data to percent (or pixels)."""
    span = (high - low) or 1.0
    return lambda v: start + (min(max(v, low), high) - low) / span * (end - start)


def money_scale(costs: Sequence[float]) -> tuple[Scale, list[float]]:
    """Dollars: linear when they lie within a factor of 20, else logarithmic with $0 on the far left."""
    some = [c for c in costs if c > 0]
    if not some:
        return linear(0, 1, 4, 96), [0]
    low, high = min(some), max(some)
    if high / low < 20:
        top = nice_up(high * 1.05)
        return linear(0, top, 3, 97), nice_ticks(0, top, 4)
    first, last = floor(log10(low)), ceil(log10(high))
    zero = any(c <= 0 for c in costs)
    start = 12.0 if zero else 4.0
    inner = linear(first, last, start, 96)
    ticks = [10.0**e for e in range(first, last + 1)]
    while len(ticks) > 5:
        ticks = ticks[::2]
    return (lambda c: inner(log10(c)) if c > 0 else 3.0), ([0, *ticks] if zero else ticks)


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


def svg(name: str, parts: Iterable[Markup], height: int) -> Markup:
    """A picture as wide as its place."""
    body = Markup("").join(parts)
    return Markup('<svg class="chart" width="100%" height="{}" role="img" aria-label="{}">{}</svg>').format(
        height, name, body
    )


def grid(x: Scale, ticks: Sequence[float], labels: Sequence[str], height: int) -> Markup:
    """Upright grid lines with their labels below."""
    parts: list[Markup] = []
    for tick, text in zip(ticks, labels, strict=True):
        at = x(tick)
        anchor = "start" if at < 6 else "end" if at > 94 else "middle"
        parts.append(Markup('<line class="grid" x1="{0}%" x2="{0}%" y1="0" y2="{1}"/>').format(pct(at), height))
        label = '<text class="tick" x="{}%" y="{}" text-anchor="{}">{}</text>'
        parts.append(Markup(label).format(pct(at), height + 16, anchor, text))
    return Markup("").join(parts)


def shelves(y: Scale, ticks: Sequence[float], form: str = "") -> Markup:
    """Level grid lines, their labels on them."""
    parts: list[Markup] = []
    for tick in ticks:
        at = y(tick)
        text = form.format(tick) if form else f"{100 * tick:g}"
        parts.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>').format(at))
        parts.append(Markup('<text class="tick" x="0" y="{:.1f}">{}</text>').format(max(at - 3, 10), text))
    return Markup("").join(parts)


def whisker(x: Scale, low: float, mean: float, high: float, y: float, cls: str) -> Markup:
    """An interval with its middle."""
    line = '<line class="whisker {0}" x1="{1}%" x2="{2}%" y1="{3}" y2="{3}"/>'
    return Markup(line).format(cls, pct(x(low)), pct(x(high)), y) + dot(x(mean), y, cls, "")


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

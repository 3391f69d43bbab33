"""The pictures: hand-made SVG, because so it is small, sharp in print, readable by a screen reader and needs no script.

Each comes with the sentence that says what it shows, and where figures are worth reading, with their table.
"""

from __future__ import annotations

from math import ceil, log2

from markupsafe import Markup

from harness.report import figures
from harness.report.changes import ChangesView
from harness.report.curves import trained
from harness.report.drawing import (
    FOOT,
    LEFT,
    Bar,
    Chart,
    apart,
    dot,
    free,
    grid,
    intervals,
    label,
    linear,
    money_scale,
    nice_ticks,
    nice_up,
    pct,
    polyline,
    shelf,
    shelves,
    spoken,
    svg,
    whisker,
)
from harness.report.money import Worth
from harness.report.view import ArmRow, View


def draw(view: View) -> tuple[Chart, ...]:
    """Every picture that has data, in the order of the page."""
    made = (scores(view), differences(view), cost_quality(view), shots(view), *trained(view))
    return tuple(chart for chart in made if chart is not None)


def strip(view: View) -> Markup:
    """The one difference that decides, small, for beside its number: zero, the effect worth having, the interval."""
    made = view.answer.comparison
    if made is None:
        return Markup("")
    least = view.stored.benchmark.verdict.min_effect
    edge = min(1.0, nice_up(max(abs(made.low), abs(made.high), least) * 1.02))
    x, height = linear(-edge, edge, 2, 98), 26
    parts = [Markup('<line class="axis" x1="0" x2="100%" y1="13" y2="13"/>')]
    for at, cls in ((0.0, "zero"), (least, "bar")):
        parts.append(
            Markup('<line class="{2}" x1="{0}%" x2="{0}%" y1="2" y2="{1}"/>').format(pct(x(at)), height - 2, cls)
        )
    parts.append(whisker(x, made.low, made.delta, made.high, 13, "answer"))
    form = '<svg class="chart strip" width="100%" height="{}" aria-hidden="true">{}</svg>'  # its words stand beside it
    return Markup(form).format(height, Markup("").join(parts))


def scores(view: View) -> Chart | None:
    """Every arm's score on the primary metric with its interval."""
    arms = [a for a in view.arms if a.cells[view.primary].n]
    if not arms:
        return None
    x = linear(0, 1)
    ticks, unit = [0, 0.25, 0.5, 0.75, 1], f"{view.primary}, points of 100"
    parts = [grid(x, ticks, [f"{v}" for v in (0, 25, 50, 75, 100)], 44 * len(arms), unit)]
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
    sentence = (
        f"{best.name} scores highest: {value} points of 100 ({view.primary}, {figures.many(cell.n, 'example')}).{tied}"
    )
    caution = " Overlapping bars are no test; the differences are."
    return Chart("scores", "Scores", sentence + caution, svg("Scores with intervals", parts, 44 * len(arms) + FOOT))


def differences(view: View) -> Chart | None:
    """Every arm less the baseline, paired by example."""
    made = sorted(view.pictures.differences, key=lambda c: -c.delta)
    if not made:
        return None
    rules = view.stored.benchmark.verdict
    by_name = {a.name: a for a in view.arms}
    bars = [Bar(c.candidate, c.low, c.delta, c.high, kind(by_name[c.candidate])) for c in made]
    base = made[0].baseline
    above = [c.candidate for c in made if c.label == "better"]
    below = [c.candidate for c in made if c.label == "worse"]
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
        intervals("Paired differences with intervals", bars, rules.min_effect),
        ("arm", "points", "interval", "won", "lost", "tied", "exact test", "says"),
        rows,
    )


def changes(view: ChangesView) -> Chart | None:
    """What each arm gained or lost from one run to the other."""
    made = sorted(view.moved, key=lambda c: -c.delta)
    if not made:
        return None
    clear = sum(c.label in ("better", "worse") for c in made)
    arms = figures.many(len(made), "arm")
    sentence = f"After less before, in points of {view.after.primary}: {clear} of {arms} moved beyond chance."
    clear_or_not = ["answer" if c.label in ("better", "worse") else "other" for c in made]
    bars = [Bar(c.candidate, c.low, c.delta, c.high, cls) for c, cls in zip(made, clear_or_not, strict=True)]
    drawn = intervals("Changes with intervals", bars)
    return Chart("changes", "Change of every arm, example by example", sentence, drawn)


def cost_quality(view: View) -> Chart | None:
    """Dollars per 1,000 tasks against score."""
    arms = [a for a in view.arms if a.bill.usd_a_task is not None and a.cells[view.primary].n]
    cost = {a.name: 1000 * (a.bill.usd_a_task or 0.0) for a in arms}
    if len(arms) < 2 or not any(cost.values()):
        return None
    x, ticks = money_scale(list(cost.values()))
    height = 260
    y = linear(0, 1, height - 8, 8)
    names = apart(x, ticks, [figures.usd(t) for t in ticks])
    parts = [grid(x, ticks, names, height, "$ per 1,000 tasks"), shelves(y, [0, 0.25, 0.5, 0.75, 1])]
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
    best = spoken(a.name for a in front)
    unknown = [a.name for a in view.arms if a.bill.usd_a_task is None]
    said = f" The price of {spoken(unknown)} is unknown and not drawn." if unknown else ""
    held = "is beaten by no other arm" if len(front) == 1 else "are beaten by no other arm"
    sentence = f"Cheaper is left, better is up: {best} {held} on both cost and {view.primary}.{said}"
    return Chart(
        "cost",
        f"Cost against {view.primary}",
        sentence,
        svg("Dollars per 1,000 tasks against score", parts, height + FOOT),
    )


def shots(view: View) -> Chart | None:
    """Few-shot's dev score against k."""
    found = view.pictures.shots
    if not found:
        return None
    ks = sorted({int(t.config["k"]) for _, t in found})
    height = 200
    places, y = linear(log2(ks[0]), log2(ks[-1]), LEFT + 3, 94), linear(0, 1, height - 8, 8)

    def x(k: float) -> float:
        return places(log2(k))

    names = apart(x, ks, [str(k) for k in ks], 6)
    parts = [grid(x, ks, names, height, "shots shown (k)"), shelves(y, [0, 0.25, 0.5, 0.75, 1])]
    lines: dict[str, list[tuple[int, float]]] = {}
    for arm, t in found:
        lines.setdefault(f"{arm}, {t.config.get('select', 'random')}", []).append((int(t.config["k"]), t.score))
    for series in lines.values():
        series.sort()
    top = max(series[-1][1] for series in lines.values())
    taken: list[tuple[float, float]] = []
    for i, (name, series) in enumerate(lines.items()):
        parts.append(polyline([(x(k), y(s)) for k, s in series], height, f"series s{i % 4}"))
        parts += [dot(x(k), y(s), f"s{i % 4}", f"{name}, k = {k}: {100 * s:.1f}") for k, s in series]
        k, s = series[-1]
        parts.append(label(x(k), free(taken, x(k), y(s) + (-14 if s == top else 16)), name))
    arm, best = max(found, key=lambda pair: pair[1].score)
    asked = sorted({t.n for _, t in found})
    each = f"{asked[0]} to {asked[-1]} rows" if len(asked) > 1 else figures.many(asked[0], "row")
    sentence = (
        f"Of {len(found)} trials on dev ({each} each) {arm} with k = {best.config['k']} scored highest: "
        f"{100 * best.score:.0f} points at {best.input_tokens:,.0f} prompt tokens a task."
    )
    rows = tuple(
        (arm, str(t.config["k"]), t.config.get("select", "random"), f"{100 * t.score:.1f}", f"{t.input_tokens:,.0f}",
         figures.usd(None if t.usd is None else 1000 * t.usd / max(t.n, 1)), f"{t.n} {t.note}".strip())
        for arm, t in found
    )  # fmt: skip
    head = ("arm", "k", "chosen by", "dev score", "prompt tokens a task", "per 1,000 tasks", "dev rows")
    return Chart(
        "shots", "Few-shot: score against k", sentence, svg("Dev score against k", parts, height + FOOT), head, rows
    )


def spending(view: View) -> Chart | None:
    """Cumulative dollars by month of the fine-tune and the baseline, up to the end of the fine-tune's life."""
    lines, worth = view.pictures.spending, view.worth
    if len(lines) < 2 or not isinstance(worth, Worth):
        return None
    end = max(points[-1][0] for points in lines.values())
    top = max(max(v for _, v in points) for points in lines.values()) or 1.0
    height, step = 220, max(1, ceil(end / 6))
    x, y = linear(0, end, 0, 100), linear(0, top, height - 6, 24)
    months = list(range(0, int(end) + 1, step))
    names = ["month 0", *["" if m / end < 0.2 else f"{m}" for m in months[1:]]]
    parts = [grid(x, months, names, height)]
    parts += [shelf(y(v), figures.usd(v)) for v in nice_ticks(0, top, 3)[1:]]
    tops = {arm: y(points[-1][1]) for arm, points in lines.items()}
    for arm, points in lines.items():
        mine, other = tops[arm], next(v for a, v in tops.items() if a != arm)
        tuned = arm == worth.candidate
        up = mine < other or (mine == other and tuned) or mine > height - 24
        parts.append(
            polyline([(x(m), y(v)) for m, v in points], height, f"series {'candidate' if tuned else 'baseline dashed'}")
        )
        form = '<text class="name" x="{}%" y="{:.1f}" text-anchor="end">{}</text>'
        parts.append(Markup(form).format(pct(x(points[-1][0])), max(mine - 7 if up else mine + 17, 12), arm))
    paid, lives = worth.payback.months, worth.terms.months
    said = f"cross after {figures.months(paid)}" if paid <= lives else "do not cross while the fine-tune lives"
    sentence = f"Dollars by month, fixed costs first (baseline dashed). The lines {said}."
    if worth.life.ends == "retirement":
        sentence += f" The base model is shut down after {figures.months(lives)}."
    return Chart("spending", "Cumulative cost", sentence, svg("Cumulative cost by month", parts, height + 24))


def kind(arm: ArmRow) -> str:
    """The class that colours an arm."""
    return arm.role or "other"

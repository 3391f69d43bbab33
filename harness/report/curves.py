"""Pictures of training: loss by step, score against rows, one recipe by its seeds, what was kept of a second domain."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite, log2

from markupsafe import Markup

from harness.records import LearningCurve
from harness.report import figures
from harness.report.drawing import (
    FOOT,
    LEFT,
    Bar,
    Chart,
    apart,
    dot,
    grid,
    intervals,
    linear,
    nice_ticks,
    nice_up,
    pct,
    polyline,
    shelves,
    spoken,
    svg,
    thin,
)
from harness.report.view import View


def trained(view: View) -> Iterable[Chart]:
    """Every picture of a training that has data."""
    for curve in view.stored.learning.values():
        if len(curve.points) > 1:
            yield learning(curve)
    yield from losses(view)
    yield from seeds(view)
    yield from kept(view)


def learning(curve: LearningCurve) -> Chart:
    """Score against rows trained on, each training a point, and the fitted curve up to twice the rows."""
    sizes, fit = curve.sizes, curve.fit
    last = 2 * sizes[-1] if fit else sizes[-1]
    height = 200
    x, y = linear(log2(sizes[0]), log2(last), LEFT + 2, 96), linear(0, 1, height - 8, 8)
    marked = [*sizes, last] if fit else [*sizes]
    at = [log2(s) for s in marked]
    names = apart(x, at, [f"{s:,}" for s in marked])
    parts = [grid(x, at, names, height, "rows trained on"), shelves(y, [0, 0.25, 0.5, 0.75, 1])]
    if fit:
        steps = [sizes[0] * (last / sizes[0]) ** (i / 40) for i in range(41)]
        parts.append(
            polyline([(x(log2(s)), y(fit.a - fit.b * s**-fit.c)) for s in steps], height, "series other dashed")
        )
        now = fit.a - fit.b * sizes[-1] ** -fit.c
        line = '<line class="whisker other" x1="{0}%" x2="{0}%" y1="{1:.1f}" y2="{2:.1f}"/>'
        parts.append(Markup(line).format(pct(x(log2(last))), y(now + fit.gain_low), y(now + fit.gain_high)))
    if curve.means:
        means = [(x(log2(s)), y(m)) for s, m in zip(sizes, curve.means, strict=True)]
        parts.append(polyline(means, height, "series candidate"))
    for p in curve.points:
        parts.append(dot(x(log2(p.rows)), y(p.score), "s0", f"{p.rows:,} rows, seed {p.seed}: {100 * p.score:.1f}"))
    rows = tuple(
        (f"{p.rows:,}", str(p.seed), f"{100 * p.score:.1f}", str(p.failures), figures.count(p.trained_tokens),
         figures.seconds(p.seconds), figures.usd(p.usd))
        for p in curve.points
    )  # fmt: skip
    head = ("rows", "seed", f"{curve.metric} on {curve.split}", "failed", "trained tokens", "training", "cost")
    picture = svg("Score against rows trained on", parts, height + FOOT)
    return Chart(f"learning-{curve.arm}", "Learning curve", _learned(curve), picture, head, rows)


def _learned(curve: LearningCurve) -> str:
    asked = figures.many(len(curve.examples), f"{curve.split} row")
    trained_on = f"{spoken([f'{s:,}' for s in curve.sizes])} rows, {figures.many(len(curve.seeds), 'seed')} each"
    said = f"{curve.arm} trained on {trained_on}, scored on {asked}."
    if curve.fit is None:
        return said
    fit = curve.fit
    between = f"{100 * fit.gain_low:.1f} to {100 * fit.gain_high:.1f}"
    return (
        f"{said} Twice the rows are expected to bring {100 * fit.gain:.1f} points more ({between}); the fit is dashed."
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
        x, y = linear(min(steps), max(steps), LEFT, 99), linear(0, top, height - 8, 8)
        ticks = [t for t in nice_ticks(min(steps), max(steps), 5) if min(steps) <= t <= max(steps)]
        names = apart(x, ticks, [f"{t:,.0f}" for t in ticks]) if ticks else []
        parts = [grid(x, ticks, names, height, "training step"), shelves(y, nice_ticks(0, top, 4), "{:.2g}")]
        if len(train) > 1:
            parts.append(polyline([(x(s), y(v)) for s, v in thin(train)], height, "series candidate"))
        if len(valid) > 1:
            parts.append(polyline([(x(s), y(v)) for s, v in thin(valid)], height, "series baseline dashed"))
        parts += [dot(x(s), y(v), "baseline", f"step {s}: validation loss {v:.3g}") for s, v in thin(valid, 40)]
        ends = f"from {train[0][1]:.2f} to {train[-1][1]:.2f}" if train else "is not reported"
        sentence = f"{arm}: the training loss went {ends} in {max(steps):,} steps"
        sentence += f"; the validation loss (dashed) ended at {valid[-1][1]:.2f}." if valid else "; no validation loss."
        yield Chart(
            f"loss-{arm}", "Training loss by step", sentence, svg(f"Training loss of {arm}", parts, height + FOOT)
        )


def seeds(view: View) -> Iterable[Chart]:
    """The same recipe trained with other seeds, each against the baseline."""
    made = [(s.seed, s.comparison) for s in view.stored.verdict.seeds if s.comparison is not None]
    if len(made) < 2:
        return
    bars = [
        Bar(f"seed {seed}", c.low, c.delta, c.high, "other" if i else "candidate") for i, (seed, c) in enumerate(made)
    ]
    first, spread = made[0][1], [c.delta for _, c in made]
    ends = f"{figures.points(min(spread), 0, 0)} to {figures.points(max(spread), 0, 0)} points of {first.metric}"
    said = (
        f"{first.candidate} trained with {figures.many(len(made), 'seed')}, each less the baseline ({first.baseline}): "
        f"from {ends}. The first is the arm; from the others nothing is chosen."
    )
    drawn = intervals("Differences by seed", bars, view.stored.benchmark.verdict.min_effect)
    yield Chart("seeds", "One recipe, several seeds", said, drawn)


def kept(view: View) -> Iterable[Chart]:
    """What each tuned model kept of the second domain, against the base model under the same prompt."""
    found = view.stored.forgetting
    if found is None or not found.arms:
        return
    words = {"kept": "kept it", "lost": "lost some of it", "unclear": "whether it kept it is not settled"}
    candidate = view.stored.verdict.candidate
    bars = [Bar(k.arm, k.low, k.delta, k.high, "candidate" if k.arm == candidate else "other") for k in found.arms]
    each = "; ".join(f"{k.arm}: {words[k.answer]}" for k in found.arms)
    base = f"{100 * found.base_mean:.1f} points of {found.metric}"
    said = (
        f"{figures.many(len(found.examples), 'example')} of another domain ({found.name}), tuned less base ({base}). "
        f"{each}. The dashed line marks the margin ({100 * found.margin:g} points)."
    )
    drawn = intervals("Second domain, tuned less base", bars, -found.margin)
    yield Chart("forgetting", "Second domain, before and after", said, drawn)

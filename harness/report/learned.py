"""What was learned: the checklist's rows on data, quality and what the tuned model is still good for."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from harness.records import LearningCurve
from harness.report import figures
from harness.report.figures import Fact
from harness.report.stored import NOT, Stored
from harness.report.text import one_line

INVENTED = {
    "unsupported_items": "invented",
    "hallucination": "hallucinated",
    "abstention": "answered or abstained where it should",
}
SECOND = 'forgetting: {data: second_domain, input: "{{ question }}", target: "{{ answer }}"}'


def data(stored: Stored) -> tuple[Fact, ...]:
    """n, duplicates, leaks, the agreement of two labelling passes, and what more rows would bring."""
    rows = max((f.cost.labelled_rows for f in stored.fits.values()), default=0)
    dev = max((t.n for f in stored.fits.values() for t in f.trials), default=0)
    clusters = len({c for c in stored.board.clusters or () if c})
    grouped = f"test examples in {figures.many(clusters, 'cluster')}" if clusters else ""
    facts = [Fact("examples", f"{rows:,} to train on, {dev:,} dev, {len(stored.board.ids):,} test", grouped)]
    facts += [_leaks(stored), _agreement(stored)]
    facts += [fact for curve in stored.learning.values() for fact in _curve(curve)]
    if not stored.learning:
        own = next((a for a, _ in stored.trained), "")
        arm = own or "trained"
        more = "" if own else "technique: fine_tune, tuner: trl, "
        line = f"arms: {{{arm}: {{{more}learning_curve: true}}}}"
        facts.append(Fact("gain expected from twice the data", NOT, yaml=line))
    return tuple(facts)


def _leaks(stored: Stored) -> Fact:
    """Duplicates and leaks by kind, and whether the answer is the same without them."""
    name, found = "duplicates and leaks", stored.extras.get("hygiene")
    if not isinstance(found, list):
        return Fact(name, NOT, "`harness check FILE` lists them")
    listed = cast("list[dict[str, Any]]", found)
    kinds = Counter(str(f.get("kind", "")).replace("_", " ") for f in listed)
    errors = sum(f.get("severity") == "error" for f in listed)
    if not listed:
        return Fact(name, "none", "test rows seen in train, dev, shots or documents")
    said = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    leakage = stored.verdict.leakage
    if leakage is not None:
        same = "the same" if leakage.answer == stored.verdict.beat else leakage.answer
        said += f"; without the {figures.many(len(leakage.ids), 'row')} the answer is {same}"
    return Fact(name, f"{errors} certain, {len(listed) - errors} for review", said)


def _agreement(stored: Stored) -> Fact:
    """How far two labelling passes agree: what no arm can be expected to exceed."""
    name, found = "agreement of two labelling passes", stored.extras.get("agreement")
    if not isinstance(found, dict):
        return Fact(name, NOT, "label 60 rows again from the guide alone, as `second_pass.jsonl` beside the rows")
    got = cast("dict[str, float]", found)
    value = figures.score(got["mean"], got["low"], got["high"])
    return Fact(name, f"{value} of 100 ({figures.score_interval(got['low'], got['high'])})", f"{got['n']:.0f} rows")


def _curve(curve: LearningCurve) -> list[Fact]:
    means = curve.means or tuple(
        sum(p.score for p in curve.points if p.rows == s) / max(sum(p.rows == s for p in curve.points), 1)
        for s in curve.sizes
    )
    steps = ", ".join(f"{s:,} rows {100 * m:.1f}" for s, m in zip(curve.sizes, means, strict=True))
    seeds = f"means of {figures.many(len(curve.seeds), 'seed')}, {curve.metric} on {curve.split}"
    facts = [Fact(f"learning curve of {curve.arm}", steps, seeds)]
    if curve.fit is not None:
        between = f"{100 * curve.fit.gain_low:.1f} to {100 * curve.fit.gain_high:.1f}; read no further than that"
        gain = f"{100 * curve.fit.gain:+.1f} points".replace("-", "\u2212")
        rows = f"{curve.sizes[-1]:,} to {2 * curve.sizes[-1]:,} rows"
        facts.append(Fact("gain expected from twice the data", gain, f"{rows}: {between}"))
    return facts


def quality(stored: Stored) -> tuple[Fact, ...]:
    """The difference with its interval, won and lost, invented, abstained, guardrails, seeds, the best checkpoint."""
    verdict, facts = stored.verdict, list[Fact]()
    made = verdict.comparison
    if made is None:
        return (Fact("difference", NOT, yaml="arms: {fine_tuned: {technique: fine_tune, tuner: trl}}"),)
    between = figures.points_interval(made.low, made.high)
    note = f"{between}; {figures.p_value(made.p)}; {made.candidate} against {made.baseline}, {made.metric}"
    facts.append(Fact("difference", f"{figures.points(made.delta, made.low, made.high)} points", note))
    for c in verdict.others:
        said = figures.gained(c.delta, c.low, c.high)
        facts.append(Fact(f"{c.candidate} against {c.baseline}", said, f"at its own level: {c.label}"))
    lost = f"{figures.share(made.lost_half, 1)} of examples lost half or more"
    facts.append(Fact("won and lost", f"{made.won} won, {made.lost} lost, {made.tied} tied", lost))
    for guard in verdict.guardrails:
        c, word = guard.comparison, {"yes": "holds", "no": "does not hold"}.get(guard.answer, "is open")
        said = f"{figures.gained(c.delta, c.low, c.high)}, margin {100 * guard.margin:g}"
        facts.append(Fact(f"guardrail {guard.metric}", word, said))
    facts += [*_invented(stored, made.candidate, made.baseline), *_seeds(stored, made.candidate)]
    fit = stored.fits.get(made.candidate)
    if fit and fit.artifact and fit.artifact.checkpoint:
        tried = figures.many(len(fit.trials), "checkpoint")
        facts.append(Fact("best checkpoint", one_line(fit.artifact.checkpoint, 60), f"chosen on dev among {tried}"))
    return tuple(facts)


def _invented(stored: Stored, candidate: str, baseline: str) -> list[Fact]:
    facts: list[Fact] = []
    for metric, spec in stored.benchmark.metrics.items():
        if spec.scorer in INVENTED and metric in stored.board.metrics:
            other = stored.cells[baseline, metric].mean
            less = "" if stored.board.metrics[metric] else "; less is better"
            note = f"{100 * other:.1f} with {baseline}{less}"
            facts.append(Fact(INVENTED[spec.scorer], stored.score(candidate, metric), note))
    if not any(s.scorer in ("unsupported_items", "hallucination") for s in stored.benchmark.metrics.values()):
        facts.append(Fact("invented", NOT, yaml="metrics: {invented: {scorer: unsupported_items}}"))
    if not stored.benchmark.task.answer.abstain:
        line = 'task: {answer: {abstain: "I do not know"}}'
        facts.append(Fact("abstained", NOT, "answers have no way to abstain", line))
    return facts


def _seeds(stored: Stored, candidate: str) -> list[Fact]:
    """The same recipe trained with other seeds."""
    found = [(s.seed, s.comparison) for s in stored.verdict.seeds if s.comparison is not None]
    if found:
        each = ", ".join(f"{figures.points(c.delta, c.low, c.high)} (seed {seed})" for seed, c in found)
        return [Fact("training seeds", f"{len(found)} tried", f"{each}; the first is the arm")]
    if candidate not in [a for a, _ in stored.trained]:
        return []
    line = f"arms: {{{candidate}: {{seeds: [20, 21, 22]}}}}"
    return [Fact("training seeds", NOT, "one training speaks for this checkpoint, not for the recipe", line)]


def extensibility(stored: Stored) -> tuple[Fact, ...]:
    """A second domain before and after: kept, lost or unclear."""
    found = stored.forgetting
    if found is None or not found.arms:
        return (Fact("second domain before and after", NOT, yaml=SECOND),)
    n = figures.many(len(found.examples), "example")
    base = f"the base model, {n}, {found.metric}"
    facts = [Fact(f"{found.name}, before", f"{100 * found.base_mean:.1f} of 100", base)]
    for kept in found.arms:
        moved = f"{figures.gained(kept.delta, kept.low, kept.high)}, margin {100 * found.margin:g}"
        facts.append(Fact(f"{found.name}, {kept.arm}", kept.answer, f"{100 * kept.mean:.1f} of 100: {moved}"))
    return tuple(facts)

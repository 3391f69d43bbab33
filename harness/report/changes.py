"""What changed between two runs, as a page shows it: its sentence, every arm before and after, what was set otherwise.

The difference is after less before, example by example; a page is written beside the later run's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.changes import Change
from harness.compare import Comparison
from harness.finished import FinishedRun
from harness.report import figures
from harness.report.drawing import spoken
from harness.report.examples import Flip, Said, asked, columns, said, titled, written
from harness.report.text import one_line, shown
from harness.report.view import ArmRow, View
from harness.taskset import Example

SHOWN = 3  # examples of each kind and arm


@dataclass(frozen=True)
class ArmChange:
    """One arm in both runs. `reworded`: examples whose answer has another text; `changes`: by metric."""

    name: str
    before: ArmRow | None
    after: ArmRow | None
    changes: dict[str, Change]
    better: int
    worse: int
    reworded: int
    flips: tuple[Flip, ...]

    @property
    def efforts(self) -> tuple[tuple[str, str], ...]:
        """What an answer takes, before and after: tokens, dollars, latency, failures, and what dev chose."""
        one, two = (_efforts(row) for row in (self.before, self.after))
        return tuple(zip(one, two, strict=True))


def _efforts(row: ArmRow | None) -> tuple[str, ...]:
    if row is None:
        return (figures.DASH,) * 5
    usd = None if row.bill.usd_a_task is None else 1000 * row.bill.usd_a_task
    effort = row.effort
    return (
        f"{figures.count(effort.input_tokens)} + {figures.count(effort.output_tokens)}",
        figures.usd(usd),
        figures.seconds(effort.seconds_p50),
        figures.count(sum(row.failures.values())),
        row.chosen or figures.DASH,
    )


@dataclass(frozen=True)
class Setting:
    """One line that was set otherwise: in the benchmark file, the versions, the machine or the prices."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class ChangesView:
    """The whole page of two runs. `status`: yes (better), no (worse), inconclusive (open) or unasked (the same)."""

    before: View
    after: View
    status: str
    word: str
    sentence: str
    metrics: tuple[str, ...]
    arms: tuple[ArmChange, ...]
    settings: tuple[Setting, ...]
    notes: tuple[str, ...]

    @property
    def moved(self) -> tuple[Comparison, ...]:
        """The arms' differences on the primary metric."""
        found = [a.changes.get(self.after.primary) for a in self.arms]
        return tuple(c.difference for c in found if c and c.difference)


def build(before: FinishedRun, after: FinishedRun, found: Sequence[Change]) -> ChangesView:
    """The page's view of two runs and of what was found between them."""
    from harness import reading, report

    def view(run: FinishedRun) -> View:
        decided = reading.read(run.directory).verdict
        return report.view_of(run.directory, run.benchmark, decided, run.manifest, run.board)

    one, two = view(before), view(after)
    metrics = dict.fromkeys((two.primary, *two.metrics, *one.metrics))
    names = dict.fromkeys((*(a.name for a in two.arms), *(a.name for a in one.arms)))
    changes = {(c.arm, c.metric): c for c in found}
    arms = tuple(_arm(one, two, name, {m: changes[name, m] for m in metrics if (name, m) in changes}) for name in names)
    status, word, sentence = _headline(arms, two.primary)
    return ChangesView(
        before=one,
        after=two,
        status=status,
        word=word,
        sentence=sentence,
        metrics=tuple(metrics),
        arms=arms,
        settings=tuple(_settings(before, after)),
        notes=tuple(_notes(before, after)),
    )


def _headline(arms: Sequence[ArmChange], primary: str) -> tuple[str, str, str]:
    both = [(a, c.difference) for a in arms if (c := a.changes.get(primary)) and c.difference]
    if not both:
        return "unasked", "Not comparable", f"No arm has {primary} in both runs."
    better = [c for _, c in both if c.label == "better"]
    worse = [c for _, c in both if c.label == "worse"]
    if better or worse:
        parts = [
            f"{spoken(_moved(c) for c in some)} {word}" for some, word in ((worse, "worse"), (better, "better")) if some
        ]
        said = "mixed" if better and worse else "better" if better else "worse"
        status = {"better": "yes", "worse": "no"}.get(said, "inconclusive")
        return status, said.capitalize(), f"{'; '.join(parts)} on {primary}."
    if all(not a.better and not a.worse for a, _ in both):
        reworded = sum(a.reworded for a, _ in both)
        also = f"; {figures.many(reworded, 'answer')} read otherwise" if reworded else " and no answer reads otherwise"
        return "unasked", "The same", f"No example of any arm scored otherwise on {primary}{also}."
    widest = max(max(abs(c.low), abs(c.high)) for _, c in both)
    return (
        "inconclusive",
        "No clear change",
        f"No arm's {primary} moved beyond chance; a change of up to {100 * widest:.1f} points is not ruled out.",
    )


def _moved(c: Comparison) -> str:
    low, high = (c.low, c.high) if c.delta >= 0 else (-c.high, -c.low)  # it is said which way
    between = figures.points_interval(low, high).replace(" to ", ", ").replace("+", "")
    return f"{c.candidate} is {figures.points(abs(c.delta), c.low, c.high).lstrip('+')} points [{between}]"


def _arm(one: View, two: View, name: str, changes: dict[str, Change]) -> ArmChange:
    rows = [next((a for a in v.arms if a.name == name), None) for v in (one, two)]
    if None in rows or one.primary != two.primary:
        return ArmChange(name, rows[0], rows[1], changes, 0, 0, 0, ())
    before, after = one.stored, two.stored
    at = {id: i for i, id in enumerate(after.board.ids)}
    order = [at[id] for id in before.board.ids]
    d = after.board.oriented(name, two.primary)[order] - before.board.oriented(name, two.primary)
    texts = [(before.text_of(name, id)[0], after.text_of(name, id)[0]) for id in before.board.ids]
    ranked = np.argsort(np.nan_to_num(d), kind="stable")
    picked = [int(i) for i in ranked[:SHOWN] if d[i] < 0] + [int(i) for i in ranked[::-1][:SHOWN] if d[i] > 0]
    return ArmChange(
        name=name,
        before=rows[0],
        after=rows[1],
        changes=changes,
        better=int((d > 0).sum()),
        worse=int((d < 0).sum()),
        reworded=sum(a != b for a, b in texts),
        flips=tuple(_flip(one, two, name, after.examples[order[i]], float(d[i])) for i in picked),
    )


def _flip(one: View, two: View, arm: str, example: Example, change: float) -> Flip:
    answers: list[Said] = [
        replace(said(v.stored, arm, example), arm=word) for v, word in ((one, "before"), (two, "after"))
    ]
    return Flip(
        id=one_line(example.id),
        title=titled(example),
        input=shown(asked(example, columns(two.stored))),
        target=shown(written(example.target)),
        change=change,
        answers=tuple(answers),
    )


def _settings(before: FinishedRun, after: FinishedRun) -> Iterator[Setting]:
    """Every leaf of the question, the versions, the machine and the prices that is not the same in both."""
    one, two = (dict(_leaves(_facts(run))) for run in (before, after))
    for name in dict.fromkeys((*one, *two)):
        a, b = (side.get(name) for side in (one, two))
        if a != b:
            yield Setting(one_line(name), *("–" if v is None else one_line(v, 200) for v in (a, b)))


def _facts(run: FinishedRun) -> dict[str, Any]:
    manifest = run.manifest
    prices = {m: {"input": p.input, "output": p.output} for m, p in run.prices.items()}
    asked = json.loads(run.benchmark.model_dump_json(exclude={"question"}))
    return {
        **asked,
        "question": run.benchmark.question,
        "digest": {k: v for k, v in manifest.digests.items() if k != "benchmark"},
        "version": manifest.versions,
        "machine": manifest.machine,
        "price": prices,
    }


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif value is not None and value != [] and value != "":
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _notes(before: FinishedRun, after: FinishedRun) -> Iterator[str]:
    if before.directory.path.resolve() == after.directory.path.resolve():
        yield "Both are the same run."
    if before.manifest.machine != after.manifest.machine:
        yield "The runs were made on different machines: their latencies and seconds do not compare."
    if before.benchmark.primary != after.benchmark.primary:
        yield f"The metric that decides was {before.benchmark.primary} and is {after.benchmark.primary}."
    if after.manifest.finished and before.manifest.finished > after.manifest.finished:
        yield "The first run is the later one: “before” and “after” are as you named them."


def write(before: FinishedRun, after: FinishedRun, found: Sequence[Change]) -> str:
    """Write the page into the later run's directory; its file name.

    Raises:
        DataError: it cannot be written.
    """
    import re

    from harness.report import html
    from harness.store import write_whole

    name = f"compared-with-{re.sub(r'[^0-9A-Za-z._-]+', '_', before.directory.path.resolve().name)[:80]}.html"
    page = html.changes_page(build(before, after, found))
    write_whole(after.directory.file(name), page.encode("utf-8", "replace"))
    return name

"""What a judge's scores are worth: what they took, how far people agree, and differences corrected by their labels.

Without labels a judge's score is marked "by judge only": a judge that errs alike on all arms hides in every mean, one
that errs with the arm decides it. Labels are of an example and a text, so that who labels need not know which arm wrote
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from harness import agreement, rows
from harness.errors import DataError, Problem, capped
from harness.intervals import Floats
from harness.models.base import Struct, Usage
from harness.paths import shown
from harness.records import Corrected, Judging, Labels, Score, Trial
from harness.spec import Benchmark, MetricSpec

if TYPE_CHECKING:
    from harness.compare import Board, Price
    from harness.trials import Trials

ALONE = "by judge only: no human label says how far it may be believed"


def judge_of(metric: MetricSpec) -> str:
    """The reference of a metric's judge; empty without one."""
    judge = metric.judge
    return "" if judge is None else judge if isinstance(judge, str) else judge.id


def judges_of(benchmark: Benchmark) -> set[str]:
    """The references of all judges."""
    return {judge_of(m) for m in benchmark.metrics.values() if m.judge is not None}


class Row(Struct, frozen=True):
    """A label: what a person says of a text as an answer to an example."""

    example: str
    text: str
    label: float
    synthetic: bool = False


def read(file: Path) -> list[Row]:
    """The labels of a file.

    Raises:
        DataError: it cannot be read, or a row is no label; all mistakes at once.
    """
    made: list[Row] = []
    problems: list[Problem] = []
    for row in rows.read(file):
        if isinstance(row, Problem):
            problems.append(row)
            continue
        here, data = f"{shown(file)}:{row.line}", row.data
        example, text, label = data.get("example"), data.get("text"), data.get("label")
        for key, value in (("example", example), ("text", text)):
            if not isinstance(value, str) or not value.strip():
                problems.append(Problem(f"a label needs `{key}`", here, key, repr(value)[:60], "a text"))
        if isinstance(label, bool) or not isinstance(label, int | float) or not 0 <= label <= 1:
            valid = "a number from 0 to 1, on the scale of the metric (a rubric's 1 to 5 is 0, .25, .5, .75, 1)"
            problems.append(Problem("not a label", here, "label", repr(label)[:60], valid))
        elif isinstance(example, str) and isinstance(text, str):
            made.append(Row(example, text.strip(), float(label), data.get("synthetic") is True))
    if problems:
        raise DataError(capped(problems))
    return made


def fitting_labels(benchmark: Benchmark, locate: Callable[[str], Path], trials: Trials) -> dict[str, Labels]:
    """The labels of every judged metric that names a file of them."""
    files = {n: m.settings.get("labels") for n, m in benchmark.metrics.items() if m.judge is not None}
    return {
        name: fitting(read(locate(file)), (trial for _, trial in trials.walk()))
        for name, file in files.items()
        if isinstance(file, str)
    }


def fitting(labels: Sequence[Row], trials: Iterable[Trial]) -> Labels:
    """The labels of answers that this run has; of several labels of one answer the mean."""
    by_text: dict[tuple[str, str], list[float]] = {}
    for row in labels:
        by_text.setdefault((row.example, row.text), []).append(row.label)
    found: dict[str, dict[str, list[float]]] = {}
    used: set[tuple[str, str]] = set()
    for trial in trials:
        key = (trial.example, trial.completion.text.strip()) if trial.completion else None
        if key in by_text:
            used.add(key)
            found.setdefault(trial.arm, {}).setdefault(trial.example, []).append(float(np.mean(by_text[key])))
    values = {arm: {e: float(np.mean(v)) for e, v in sorted(each.items())} for arm, each in sorted(found.items())}
    unmatched = sum(len(v) for k, v in by_text.items() if k not in used)
    return Labels(values, unmatched, any(row.synthetic for row in labels))


def judgings(
    board: Board,
    benchmark: Benchmark,
    pairs: Sequence[tuple[str, str]],
    labels: Mapping[str, Labels],
    scores: Iterable[Score],
    price: Price,
) -> tuple[Judging, ...]:
    """What is known of each judged metric.

    Args:
        pairs: (candidate, baseline) of the comparisons that are shown.
        labels: the fitting labels by metric.
        scores: all scores of the run.
        price: dollars of a judge's tokens or seconds.
    """
    judged = {n: judge_of(m) for n, m in benchmark.metrics.items() if m.judge is not None}
    if not judged:
        return ()
    tallies = {n: _Tally() for n in judged}
    for score in scores:
        if score.metric in tallies:
            tallies[score.metric].add(score, judged[score.metric], price)
    return tuple(_judging(n, board, judge, pairs, labels.get(n), tallies[n]) for n, judge in judged.items())


class _Tally:
    """What judging one metric took."""

    def __init__(self) -> None:
        self.answers = self.unread = 0
        self.usage = Usage()
        self.usd = 0.0

    def add(self, score: Score, judge: str, price: Price) -> None:
        if score.usage == Usage() and not score.compute_seconds:
            return  # a failed answer, which nobody was asked about
        self.answers += 1
        self.unread += score.value is None
        self.usage += score.usage
        paid = price(judge, score.usage, score.compute_seconds)
        self.usd += math.nan if paid is None else paid


def _judging(
    metric: str, board: Board, judge: str, pairs: Sequence[tuple[str, str]], labels: Labels | None, tally: _Tally
) -> Judging:
    usd = None if math.isnan(tally.usd) else tally.usd
    made = Judging(metric, judge, tally.answers, tally.unread, tally.usage, usd, True, "")
    both = _both(metric, board, labels) if labels else []
    if labels is None or not both:
        unfit = f"; {labels.unmatched:,} labels fit no answer of this run" if labels and labels.unmatched else ""
        return _noted(made, ALONE + unfit)
    found = agreement.kappa([j >= 0.5 for j, _ in both], [p >= 0.5 for _, p in both])
    differences = tuple(c for a, b in pairs if (c := corrected(metric, board, labels, a, b)) is not None)
    who = "labels marked synthetic, which no person gave" if labels.synthetic else "human labels"
    said = f"held against {len(both):,} {who}: agrees on {100 * found.agreement:.0f} %"
    kappa = (found.kappa, found.low, found.high) if found.kappa is not None else (None, None, None)
    if found.kappa is not None:
        said += f", kappa {found.kappa:.2f} [{found.low:.2f}, {found.high:.2f}]"
    said += "".join(f"; {_said(c)}" for c in differences)
    if board.clusters is not None and differences:
        said += "; clusters are not counted in these intervals"
    if labels.unmatched:
        said += f"; {labels.unmatched:,} labels fit no answer of this run"
    changed = {
        "by_judge_only": False, "labelled": len(both), "synthetic": labels.synthetic, "agreement": found.agreement,
        "kappa": kappa[0], "kappa_low": kappa[1], "kappa_high": kappa[2], "corrected": differences,
    }  # fmt: skip
    return _noted(made, said, **changed)


def _noted(made: Judging, said: str, **changed: object) -> Judging:
    took = "at an unknown price" if made.usd is None else f"${made.usd:.4f}"
    unread = f", {made.unread:,} of them unreadable and missing" if made.unread else ""
    note = f"judged by {made.judge}, {said} ({made.answers:,} judgements{unread}, {took}, in no arm's cost)"
    return msgspec.structs.replace(made, note=note, **changed)


def _both(metric: str, board: Board, labels: Labels) -> list[tuple[float, float]]:
    """(judge, label) of every labelled answer that the judge could read."""
    row = {id: i for i, id in enumerate(board.ids)}
    return [
        (float(board.values[arm, metric][row[id]]), value)
        for arm, each in labels.values.items()
        if arm in board.arms
        for id, value in each.items()
        if id in row and not np.isnan(board.values[arm, metric][row[id]])
    ]


def corrected(metric: str, board: Board, labels: Labels, candidate: str, baseline: str) -> Corrected | None:
    """The difference corrected by the examples on which both arms' answers are labelled; None with fewer than two.

    A failed answer needs no label: it is worth 0 to judge and people alike. Examples on which both failed differ by 0
    for sure: the rest is corrected, and weighs as much as it is of all.
    """

    def people(arm: str) -> Floats:
        known, failed = labels.values.get(arm, {}), board.failed[arm]
        return np.array([0.0 if f else known.get(i, np.nan) for i, f in zip(board.ids, failed, strict=True)])

    judge = board.values[candidate, metric] - board.values[baseline, metric]
    label = people(candidate) - people(baseline)
    there = ~np.isnan(judge)
    asked = there & ~(board.failed[candidate] & board.failed[baseline])
    if int((~np.isnan(label[asked])).sum()) < 2:
        return None
    found = agreement.corrected_difference(judge[asked], label[asked])
    weight = int(asked.sum()) / int(there.sum())
    return Corrected(
        candidate, baseline, int(there.sum()), found.n_labelled, weight * found.mean, weight * found.low,
        weight * found.high, weight * found.judge_mean,
    )  # fmt: skip


def _said(c: Corrected) -> str:
    few = "" if c.n_labelled >= agreement.FEWEST_LABELS else f", fewer than {agreement.FEWEST_LABELS}: indicative"
    return (
        f"{c.candidate} against {c.baseline} {100 * c.delta:+.1f} points [{100 * c.low:+.1f}, {100 * c.high:+.1f}] "
        f"corrected by {c.n_labelled:,} labelled examples{few} (by the judge alone {100 * c.judge_delta:+.1f})"
    )

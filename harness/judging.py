"""What a judge's scores are worth: what they took, how far people agree, and differences corrected by their labels.

Without labels a judge's score is marked "by judge only": a judge that errs alike on all arms hides in every mean, one
that errs with the arm decides it. Labels are of an example and a text, so that who labels need not know which arm wrote
it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from harness import agreement, rows, stats
from harness.errors import DataError, Problem, capped
from harness.intervals import Floats
from harness.models.base import Struct, Usage
from harness.paths import shown
from harness.records import Corrected, Judging, Labels, Score, Trial
from harness.references import is_tuned
from harness.spec import Benchmark, MetricSpec

if TYPE_CHECKING:
    from harness.board import Board, CostOf
    from harness.trials import Trials

FEWEST = agreement.FEWEST_LABELS
ALONE = "by judge only: no human label says how far it may be believed"


def judge_of(metric: MetricSpec) -> str:
    """The reference of a metric's judge; empty without one."""
    judge = metric.judge
    return "" if judge is None else judge if isinstance(judge, str) else judge.id


def judges_of(benchmark: Benchmark) -> set[str]:
    """The references of all judges."""
    return {judge_of(m) for m in benchmark.metrics.values() if m.judge is not None}


class Row(Struct, frozen=True):
    """A label: what a person says of a text as an answer to an example; `arm`: whose answer, if said."""

    example: str
    text: str
    label: float
    synthetic: bool = False
    arm: str = ""


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
            arm = data.get("arm")
            whose = arm if isinstance(arm, str) else ""
            made.append(Row(example, text.strip(), float(label), data.get("synthetic") is True, whose))
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


def lacking(benchmark: Benchmark, locate: Callable[[str], Path], ids: AbstractSet[str]) -> list[Problem]:
    """What keeps a judge's score from being primary or a guardrail: too few labels of an arm that is compared.

    Known before anything is spent: a row says of which test example and of which arm's answer it is. That the answers
    are still those, the verdict looks at.

    Args:
        ids: test examples that hygiene did not flag: the answer must be the same on them alone.
    """
    problems = list[Problem]()
    for name in deciding(benchmark):
        given = benchmark.metrics[name].settings.get("labels")
        file = locate(given) if isinstance(given, str) else None
        labels, known = read(file) if file else [], dict[str, set[str]]()
        for row in labels:
            known.setdefault(row.arm, set()).add(row.example)
        counts = {arm: len(known.get(arm, set()) & ids) for arm in compared(benchmark)}
        short = [f"{arm} {n} (lacks {FEWEST - n})" for arm, n in counts.items() if n < FEWEST]
        if not short:
            continue
        fix = "" if file else "add `settings: {labels: FILE}`; "
        fix += "label test answers of " + ", ".join(arm for arm, n in counts.items() if n < FEWEST)
        if benchmark.baseline in ("auto", "best_of_all"):
            fix += "; with `baseline: ARM` only candidate and baseline need labels"
        if nameless := sum(not row.arm for row in labels):
            fix += f"; {nameless:,} of {len(labels):,} rows have no `arm`"
        role = "primary" if name == benchmark.primary else "a guardrail"
        what = f"a judge's score is {role} only with {FEWEST} labelled test answers of every arm that is compared"
        where, path = shown(file) if file else "", f"metrics.{name}.settings.labels"
        valid = 'rows {"example", "text", "arm", "label"} of distinct test examples'
        problems.append(Problem(what, where=where, path=path, got=", ".join(short), valid=valid, fix=fix))
    return problems


def deciding(benchmark: Benchmark) -> list[str]:
    """The judged metrics that the answer rests on: the primary one and guardrails."""
    return [n for n, m in benchmark.metrics.items() if m.judge is not None and (m.guardrail or n == benchmark.primary)]


def compared(benchmark: Benchmark) -> list[str]:
    """The arms that may come to be compared: candidates, and the baseline or all that may be chosen for it."""
    tuned = [a for a in benchmark.arms if is_tuned(a, benchmark.arms)]
    candidates = [benchmark.candidate] if benchmark.candidate else tuned
    if benchmark.baseline == "best_of_all":
        return list(benchmark.arms)
    rivals = [a for a in benchmark.arms if a not in tuned] if benchmark.baseline == "auto" else [benchmark.baseline]
    return [a for a in benchmark.arms if a in candidates or a in rivals]


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
    scores: Iterable[Score],
    price: CostOf,
) -> tuple[Judging, ...]:
    """What is known of each judged metric.

    Args:
        pairs: (candidate, baseline) of the comparisons that are shown.
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
    return tuple(_judging(n, board, judge, pairs, board.labels.get(n), tallies[n]) for n, judge in judged.items())


class _Tally:
    """What judging one metric took."""

    def __init__(self) -> None:
        self.answers = self.unread = 0
        self.usage = Usage()
        self._paid = array("d")

    @property
    def usd(self) -> float:
        """Dollars, NaN where a price is not known; the same to the last bit whatever the order of the scores."""
        return math.fsum(self._paid)

    def add(self, score: Score, judge: str, price: CostOf) -> None:
        if score.usage == Usage() and not score.compute_seconds:
            return  # a failed answer, which nobody was asked about
        self.answers += 1
        self.unread += score.value is None
        self.usage += score.usage
        paid = price(judge, score.usage, score.compute_seconds)
        self._paid.append(math.nan if paid is None else paid)


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
    differences = tuple(c for a, b in pairs if (c := _corrected(board, metric, a, b)) is not None)
    who = "labels marked synthetic, which no person gave" if labels.synthetic else "human labels"
    said = f"held against {len(both):,} {who}: agrees on {100 * found.agreement:.0f} %"
    kappa = (found.kappa, found.low, found.high) if found.kappa is not None else (None, None, None)
    if found.kappa is not None:
        said += f", kappa {found.kappa:.2f} [{found.low:.2f}, {found.high:.2f}]"
    said += "".join(f"; {_said(c)}" for c in differences)
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


def corrected(board: Board, metric: str, candidate: str, baseline: str) -> agreement.Corrected | None:
    """The judge's differences, corrected by the examples on which both arms' answers are labelled.

    None where the metric is no judge's, or nobody gave labels of one that decides nothing. A failed answer needs no
    label: it is worth 0 to judge and people alike, and examples on which both failed differ by 0 for sure.
    """
    labels = board.labels.get(metric)
    if labels is None:
        return None

    def people(arm: str) -> Floats:
        known, failed = labels.values.get(arm, {}), board.failed[arm]
        return np.array([0.0 if f else known.get(i, np.nan) for i, f in zip(board.ids, failed, strict=True)])

    judge = board.values[candidate, metric] - board.values[baseline, metric]
    label, there = people(candidate) - people(baseline), set(board.ids)
    fewest = min(len(labels.values.get(arm, {}).keys() & there) for arm in (candidate, baseline))
    both = board.failed[candidate] & board.failed[baseline]
    return agreement.corrected(judge, label, both, fewest=fewest, synthetic=labels.synthetic)


def _corrected(board: Board, metric: str, candidate: str, baseline: str) -> Corrected | None:
    """The same as it is shown; None with fewer than two labels."""
    found = corrected(board, metric, candidate, baseline)
    if found is None or found.labelled.sum() < 2:
        return None
    it = stats.decide_difference(found, board.clusters)
    judge = float(np.nanmean(np.sort(found.judge)))
    return Corrected(candidate, baseline, it.n, it.n_labelled or 0, it.mean, it.low, it.high, judge)


def _said(c: Corrected) -> str:
    few = "" if c.n_labelled >= FEWEST else f", fewer than {FEWEST}: indicative"
    return (
        f"{c.candidate} against {c.baseline} {100 * c.delta:+.1f} points [{100 * c.low:+.1f}, {100 * c.high:+.1f}] "
        f"corrected by {c.n_labelled:,} labelled examples{few} (by the judge alone {100 * c.judge_delta:+.1f})"
    )

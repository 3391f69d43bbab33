"""One gate held against one arm of a finished run: a pure function with three answers, and two ways not to answer.

`pass`, `fail`, `inconclusive` are answers; `error` (what was asked cannot be compared) and `incomplete` (too much is
missing) are not, and neither is ever a pass. The paired questions (another arm, the committed baseline) are in `pairs`
and `ratios`, those against a fixed number in `levels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.errors import HarnessError
from harness.evidence import FEW_CLUSTERS
from harness.finished import FinishedRun
from harness.models.base import Struct
from harness.references import MEASURED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.baselines import Baseline
    from harness.spec import GateSpec

Status = Literal["pass", "fail", "inconclusive", "incomplete", "error"]
SHOWN_IDS = 8
KEPT_IDS = 50
LOCKED = "the interval would settle it, but the exact test does not agree, or losses too rare to be seen could undo it"


class GateOutcome(Struct, frozen=True, omit_defaults=False):  # who reads the JSON should not know our defaults
    """A gate's answer for one arm, ready to be shown.

    Args:
        sentence: the answer with its number, interval and n.
        asked: the question in words.
        details: what a reviewer acts on, a line each: margins, examples fixed and broken, what would decide.
        value, low, high, limit: the figure, its interval and what it was held to, in `unit` (a difference of scores or
            a score: shares of 1; `ratio`: now over then).
        margin_needed, honest_margin: the margin that would have passed, and the smallest that an unchanged arm passes
            about 95 times in 100 with this n when it is run again.
        more: about how many further examples would decide, if the figure stays.
        fixed, broken: ids of examples that got better and worse, the largest changes first (at most 50).
    """

    gate: str
    arm: str
    status: Status
    sentence: str
    severity: Literal["error", "warn"] = "error"
    asked: str = ""
    details: tuple[str, ...] = ()
    unit: Literal["", "score", "ratio", "usd", "seconds", "requests", "share"] = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    n: int = 0
    margin_needed: float | None = None
    honest_margin: float | None = None
    more: int | None = None
    fixed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


class Unanswerable(Exception):
    """The gate cannot be answered: error or incomplete, and inconclusive where a warning that was expected says it."""

    def __init__(
        self, sentence: str, *details: str, status: Literal["error", "incomplete", "inconclusive"] = "error"
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.details = details
        self.status: Status = status


@dataclass(frozen=True)
class Asked:
    """One gate, one arm, and all that may answer it. `saved` is the committed baseline, or why it cannot be used."""

    name: str
    gate: GateSpec
    arm: str
    run: FinishedRun
    saved: Baseline | HarnessError | None = None

    @property
    def most_missing(self) -> float:
        """The share of missing examples above which there is no answer."""
        return self.run.benchmark.verdict.max_missing

    @property
    def judged(self) -> bool:
        """Whether a judge scores what the gate is on."""
        metric = self.run.benchmark.metrics.get(self.gate.on or "")
        return metric is not None and metric.judge is not None

    def said(self, status: Status, sentence: str, *details: str, labelled: int = 0, **figures: object) -> GateOutcome:
        """The outcome with this gate's name on it; `labelled`: examples whose labels corrected a judge."""
        if self.judged and status in ("pass", "fail", "inconclusive"):
            sentence += f", corrected by {labelled:,} labels" if labelled else ", by judge only"
        return GateOutcome(
            gate=self.name,
            arm=self.arm,
            status=status,
            sentence=sentence,
            severity=self.gate.severity,
            asked=in_words(self.gate),
            details=tuple(d for d in details if d),
            **figures,  # type: ignore[arg-type]
        )


def in_words(gate: GateSpec) -> str:
    """What a gate asks."""
    share = gate.on in MEASURED
    if gate.beats is not None:
        by = f" by {100 * gate.by:g} {'%' if share else 'points'}" if gate.by else ""
        return f"beats {gate.beats} on {gate.on}{by}"
    if gate.not_worse_than is not None:
        unit = "%" if share else "points"
        return f"not worse than {gate.not_worse_than} on {gate.on} by {100 * gate.margin:g} {unit}"
    for key in ("min", "max"):
        if (bound := getattr(gate, key)) is not None:
            return f"{gate.on} {'at least' if key == 'min' else 'at most'} {bound:g}"
    if gate.min_recall_at is not None:
        return f"recall at {gate.min_recall_at[0]} at least {gate.min_recall_at[1]:g}"
    key = next(k for k in type(gate).model_fields if k.startswith("max_") and getattr(gate, k) is not None)
    return f"{key.removeprefix('max_').replace('_', ' ')} at most {getattr(gate, key):g}"


def ask(name: str, gate: GateSpec, arm: str, run: FinishedRun, saved: Baseline | HarnessError | None) -> GateOutcome:
    """Hold one gate against one arm. Never raises for what a run or a baseline lacks: it says so in the outcome."""
    from harness import levels, pairs

    asked = Asked(name, gate, arm, run, saved)
    try:
        if arm == "*":
            raise Unanswerable("the benchmark has no arm of which this can be asked", "next: remove the gate")
        if gate.not_worse_than == "saved":
            return pairs.against_saved(asked)
        if arm not in run.board.arms:
            raise Unanswerable(f"there is no arm {arm} in the run", f"arms: {', '.join(run.board.arms)}")
        if gate.beats is not None or gate.not_worse_than is not None:
            return pairs.against_arm(asked)
        return levels.answer(asked)
    except Unanswerable as no:
        return asked.said(no.status, no.sentence, *no.details)
    except HarnessError as error:
        problem = error.problems[0]
        where = f"{problem.where}: " if problem.where else ""
        lines = [f"next: {p.fix}" for p in error.problems if p.fix][:1]
        others = [f"{name}: {text}" for name, text in (("read", problem.got), ("valid", problem.valid)) if text]
        others += [str(p).splitlines()[0] for p in error.problems[1:]]
        status: Status = "incomplete" if error.exit_code == 4 else "error"
        return asked.said(status, f"{where}{problem.what}", *others, *lines)


def values_of(asked: Asked, arm: str) -> NDArray[np.float64]:
    """An arm's dollars or seconds a task, as the gate is on."""
    return priced(asked, arm) if asked.gate.on == "usd" else asked.run.board.seconds[arm]


def priced(asked: Asked, arm: str) -> NDArray[np.float64]:
    """An arm's dollars a task."""
    board = asked.run.board
    if board.efforts[arm].usd is None:
        local = board.efforts[arm].compute_seconds > 0
        line = "economics: {local_usd_per_hour: 0.20}" if local else "model: {usd_per_mtok: {input: ..., output: ...}}"
        raise Unanswerable(f"what {arm} costs is not known: a price is missing", f"next: set `{line}`")
    return board.usd[arm]


def enough(asked: Asked, gone: NDArray[np.bool_], what: str) -> None:
    """Raises `Unanswerable` (incomplete) when more is missing than the benchmark allows, or everything is."""
    count, n = int(gone.sum()), len(gone)
    if count > asked.most_missing * n or count == n:
        share = f"{100 * count / n:.1f} %" if n else "all"
        raise Unanswerable(
            f"{count} of {n} {what} are missing ({share}; at most {100 * asked.most_missing:g} %)",
            "next: delete manifest.json in the run's folder and harness run FILE again: only what is missing is asked",
            status="incomplete",
        )


def more_examples(n: int, *ways: tuple[float, float]) -> int | None:
    """Further examples that would decide if the figure stays: the nearest of several (half-width, distance) ways."""
    needs = [(n + 2) * (half / gap) ** 2 - 2 for half, gap in ways if gap > 0 and isfinite(half)]
    found = min(needs, default=float("inf"))
    return max(1, ceil(found - n)) if found < 1e7 else None


def few_clusters(asked: Asked) -> str:
    """What is said where the examples stand in too few clusters for any answer; empty where that is not so."""
    clusters = asked.run.board.clusters
    if clusters is None or (count := len(set(clusters)) + max(clusters.count(None) - 1, 0)) >= FEW_CLUSTERS:
        return ""
    there = f"there {'is' if count == 1 else 'are'} {count}"
    return (
        f"fewer than {FEW_CLUSTERS} clusters ({there}) carry no interval: more clusters would decide, not more examples"
    )


def would_decide(more: int | None, what: str = "difference") -> str:
    """The line that says so."""
    if not more:
        return ""
    return f"about {more:,} more example{'s' if more > 1 else ''} would decide, if the {what} stays as it is"


def flips(
    asked: Asked, d: NDArray[np.float64], higher_is_better: bool = True
) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Ids that got better, ids that got worse, and the line that shows them."""
    d = np.nan_to_num(d if higher_is_better else -d)
    ids = asked.run.board.ids
    order = [int(i) for i in np.argsort(-d, kind="stable")]
    fixed = [ids[i] for i in order if d[i] > 0]
    broken = [ids[i] for i in reversed(order) if d[i] < 0]

    def shown(name: str, found: Sequence[str]) -> str:
        rest = len(found) - SHOWN_IDS
        return f"{name} {len(found)}" + (
            f" ({', '.join(found[:SHOWN_IDS])}{f' and {rest} more' if rest > 0 else ''})" if found else ""
        )

    line = f"{shown('better on', fixed)}; {shown('worse on', broken)}" if fixed or broken else ""
    return tuple(fixed[:KEPT_IDS]), tuple(broken[:KEPT_IDS]), line

"""Gates against a fixed number: a metric's floor or ceiling, dollars, seconds, failures, break-even, recall.

Each holds the whole interval against the number: `pass` when it lies on the right side, `fail` when it lies on the
wrong one, `inconclusive` when it holds the number. A number at the very end of the range (no failure at all) asks only
of the examples that there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from harness import ratios, recall, stats
from harness.gating import (
    LOCKED,
    SHOWN_IDS,
    Asked,
    GateOutcome,
    Unanswerable,
    enough,
    few_clusters,
    more_examples,
    priced,
    would_decide,
)
from harness.references import is_tuned
from harness.special import bdtr

if TYPE_CHECKING:
    from harness.intervals import Floats


@dataclass(frozen=True)
class Level:
    """A figure with its interval, what it is held to, and how to say it."""

    value: float
    low: float
    high: float
    limit: float
    at_least: bool
    unit: Literal["score", "share", "usd", "seconds", "requests"]
    name: str
    n: int
    ends: bool = False  # every example stands at the end of the range that the limit names
    locked: bool = False  # the exact test keeps back what the interval alone would have said

    @property
    def status(self) -> stats.GateAnswer:
        """The answer."""
        if self.ends:
            return "pass"
        if self.locked:
            return "inconclusive"
        if self.at_least:
            return "pass" if self.low >= self.limit else "fail" if self.high < self.limit else "inconclusive"
        return "pass" if self.high <= self.limit else "fail" if self.low > self.limit else "inconclusive"

    def shown(self, value: float) -> str:
        """A figure in this unit."""
        match self.unit:
            case "usd":
                return f"${value:.4g}"
            case "seconds":
                return f"{value:.3g} s"
            case "requests":
                return f"{value:,.0f}" if value < inf else "never"
            case "score" | "share":
                return f"{100 * value:.1f} %"


def answer(asked: Asked) -> GateOutcome:
    """Hold the arm against the gate's number."""
    gate = asked.gate
    if gate.min is not None or gate.max is not None:
        return _metric(asked)
    if gate.max_usd_per_1k is not None:
        return _usd(asked, gate.max_usd_per_1k)
    if gate.max_seconds is not None:
        return _seconds(asked, gate.max_seconds)
    if gate.max_failure_rate is not None:
        return _failures(asked, gate.max_failure_rate)
    if gate.max_break_even is not None:
        return _break_even(asked, gate.max_break_even)
    assert gate.min_recall_at is not None
    return _recall(asked, *gate.min_recall_at)


def _outcome(asked: Asked, level: Level, *details: str, broken: tuple[str, ...] = ()) -> GateOutcome:
    few = "" if level.ends else few_clusters(asked)
    status = "inconclusive" if few else level.status
    more = None
    if status == "inconclusive" and not level.locked and not few:
        half = level.high - level.value if level.value < level.limit else level.value - level.low
        more = more_examples(level.n, (half, abs(level.value - level.limit)))
    interval = f"{level.shown(level.value)} [{level.shown(level.low)}, {level.shown(level.high)}]"
    verdict = {"pass": "holds", "fail": "does not hold", "inconclusive": "is not settled"}[status]
    bound = f"{'at least' if level.at_least else 'at most'} {level.shown(level.limit)}"
    return asked.said(
        status,
        f"{level.name} of {asked.arm} is {interval}, n = {level.n}: {bound} {verdict}",
        few,
        *details,
        LOCKED if level.locked else "",
        would_decide(more, "figure"),
        unit=level.unit, value=level.value, low=level.low, high=level.high, limit=level.limit, n=level.n, more=more,
        broken=broken,
    )  # fmt: skip


def _kept(asked: Asked, values: Floats, what: str) -> tuple[Floats, list[str | None] | None]:
    """The values that are there, with their clusters; too many missing is no answer."""
    gone = np.isnan(values)
    enough(asked, gone, what)
    clusters = asked.run.board.clusters
    return values[~gone], None if clusters is None else [c for c, g in zip(clusters, gone, strict=True) if not g]


def _metric(asked: Asked) -> GateOutcome:
    gate, board, on = asked.gate, asked.run.board, asked.gate.on or ""
    if on not in board.metrics:
        raise Unanswerable(f"there is no metric {on} in the run", f"metrics: {', '.join(board.metrics)}")
    values, clusters = _kept(asked, board.values[asked.arm, on], f"scores of {asked.arm} on {on}")
    at_least = gate.min is not None
    limit = gate.min if gate.min is not None else gate.max
    assert limit is not None
    if not 0 <= limit <= 1:
        raise Unanswerable(f"scores lie between 0 and 1, so {on} cannot be held to {limit:g}")
    end = 1.0 if at_least else 0.0
    _, its, locked = stats.decide_level(values, limit, clusters, at_least=at_least)
    all_there = bool(limit == end and (values == end).all())
    level = Level(its.mean, its.low, its.high, limit, at_least, "score", on, len(values), all_there, locked)
    return _outcome(asked, level)


def _usd(asked: Asked, limit: float) -> GateOutcome:
    usd, clusters = _kept(asked, 1000 * priced(asked, asked.arm), f"prices of answers of {asked.arm}")
    most = float(usd.max())
    if most == 0:
        its = (0.0, 0.0, 0.0)
    else:
        found = stats.plus_two(usd, clusters, reach=most / 2, centre=most / 2)
        its = (found.mean, max(0.0, found.low), found.high)
    level = Level(*its, limit, False, "usd", "the price of 1,000 tasks", len(usd), ends=most == 0)
    dated = sorted({str(p.dated) for p in asked.run.prices.values() if p.dated})
    return _outcome(asked, level, f"prices of {', '.join(dated)}" if dated else "")


def _seconds(asked: Asked, limit: float) -> GateOutcome:
    """The median latency with the interval that order statistics give, whatever the distribution."""
    seconds, _ = _kept(asked, asked.run.board.seconds[asked.arm], f"latencies of {asked.arm}")
    ordered, n = np.sort(seconds), len(seconds)
    # the k-th smallest and k-th largest hold the median with 1 - 2 P(Bin(n, 1/2) < k)
    k = int((bdtr(np.arange(n // 2 + 1, dtype=float), n, 0.5) <= 0.025).sum())
    low, high = (float(ordered[k - 1]), float(ordered[n - k])) if k else (0.0, inf)
    level = Level(float(np.median(ordered)), low, high, limit, False, "seconds", "the median latency", n)
    return _outcome(
        asked, level, f"measured on {ratios.machine(asked.run.manifest.machine)}; says nothing of another machine"
    )


def _failures(asked: Asked, limit: float) -> GateOutcome:
    board, arm = asked.run.board, asked.arm
    values = board.failed[arm].astype(float)
    seconds = board.seconds[arm]
    rate, clusters = _kept(asked, np.where(np.isnan(seconds), np.nan, values), f"answers of {arm}")
    _, its, locked = stats.decide_level(rate, limit, clusters, at_least=False)
    failed = tuple(id for id, f in zip(board.ids, board.failed[arm], strict=True) if f)
    kinds = ", ".join(f"{n} {kind}" for kind, n in board.efforts[arm].failures.items())
    shown = f"failed: {', '.join(failed[:SHOWN_IDS])}{' ...' if len(failed) > SHOWN_IDS else ''} ({kinds})"
    none = limit == 0 and not rate.any()
    level = Level(its.mean, its.low, its.high, limit, False, "share", "the failure rate", len(rate), none, locked)
    more = ""
    if level.status == "inconclusive" and not rate.any():
        more = f"with no failure at all it takes {ceil(3.85 / limit)} examples to show a rate under {100 * limit:g} %"
    return _outcome(asked, level, shown if failed else "", more, broken=failed[:50])


def _break_even(asked: Asked, limit: float) -> GateOutcome:
    from harness.report import money
    from harness.report.stored import Stored
    from harness.verdict import Verdict

    run, arm = asked.run, asked.arm
    if not is_tuned(arm, dict(run.benchmark.arms)):
        raise Unanswerable(f"{arm} is not fine-tuned: only a fine-tuned arm has a break-even")
    verdict = run.directory.load("verdict.json", Verdict)
    baseline = run.frozen.baseline if run.frozen else None
    baseline = baseline or (verdict.baseline if verdict else None)
    if verdict is None or baseline is None or baseline not in run.board.arms:
        raise Unanswerable("the run froze no baseline to break even against")
    asked_of = msgspec.structs.replace(verdict, candidate=arm, baseline=baseline)
    stored = Stored.read(run.directory, run.benchmark, asked_of, run.manifest, run.board, run.trials)
    worth = money.worth(stored, money.bills(stored), money.ledgers(stored).get(baseline))
    if isinstance(worth, str):
        raise Unanswerable(f"the break-even is not known: {worth}")
    at = worth.break_even
    n = len(run.board.ids)
    if at.kind in ("from_first", "until"):
        level = Level(0.0, 0.0, 0.0, limit, False, "requests", "the break-even in requests", n, ends=True)
        return _outcome(asked, level, "it costs less than the baseline from the first request")
    level = Level(at.requests, at.low, at.high, limit, False, "requests", "the break-even in requests", n)
    line = f"against {baseline}, over {worth.terms.months:.1f} months ({worth.life.ends})"
    return _outcome(asked, level, line)


def _recall(asked: Asked, k: int, limit: float) -> GateOutcome:
    run, arm = asked.run, asked.arm
    wanted = {e.id: e.relevant for e in run.examples}
    if not any(wanted.values()):
        column = run.benchmark.task.relevant or "relevant"
        raise Unanswerable(
            f"recall at {k} is not measured: the rows do not say which documents answer them",
            f"next: add a column `{column}` with document ids to the test rows, such as "
            f'"{column}": ["doc-12"], and run again',
        )
    passages: list[tuple[str, ...] | None] = []
    for id in run.board.ids:
        answers = [o for o in run.outcomes.get((arm, id), []) if o is not None]
        passages.append(answers[0].passages if answers else None)  # what is retrieved does not depend on the repeat
    short = max((len(p) for p in passages if p), default=0)
    shares = recall.shares([wanted[id] for id in run.board.ids], passages, k)
    missed = [id for id, share in zip(run.board.ids, shares, strict=True) if share < 1]
    if not short:
        raise Unanswerable(f"{arm} retrieves no passages: recall is asked of an arm with `documents`")
    if short < k:
        raise Unanswerable(
            f"recall at {k} is not measured: {arm} retrieves {short} passages",
            f"next: ask for recall at {short}, or give the arm top_k: {k}",
        )
    labelled = np.array([bool(wanted[id]) for id in run.board.ids])
    enough(asked, np.isnan(shares[labelled]), f"retrievals of {arm}")
    there = ~np.isnan(shares)
    clusters = run.board.clusters
    kept = None if clusters is None else [c for c, t in zip(clusters, there, strict=True) if t]
    _, its, locked = stats.decide_level(shares[there], limit, kept)
    name, n = f"recall at {k}", int(there.sum())
    level = Level(its.mean, its.low, its.high, limit, True, "share", name, n, locked=locked)
    unlabelled = int((~labelled).sum())
    return _outcome(
        asked,
        level,
        f"not all found: {', '.join(missed[:SHOWN_IDS])}{' ...' if len(missed) > SHOWN_IDS else ''}" if missed else "",
        f"{unlabelled} rows without relevant documents are left out" if unlabelled else "",
        broken=tuple(missed[:50]),
    )

"""All that a page, a summary or a terminal shows of a run, as plain frozen data in the order in which it is read.

Answer, arms, pictures, examples, the checklist, trust, receipt: what is written here is what every output says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import msgspec
import numpy as np

from harness import economics, stats
from harness.board import Effort
from harness.compare import Cell, Comparison
from harness.recall import Recall
from harness.records import DevTrial
from harness.report import money
from harness.report.checklist import Question, checklist
from harness.report.examples import Flip, flips, tally
from harness.report.figures import Fact
from harness.report.headline import Answer, answer
from harness.report.money import Bill, Ledger, Worth
from harness.report.stored import Stored
from harness.report.text import one_line
from harness.report.trust import receipt, trust
from harness.verdict import Verdict


@dataclass(frozen=True)
class ArmRow:
    """One arm in the table. `role` is candidate, baseline or neither; `level` marks arms that may be the best."""

    name: str
    technique: str
    model: str
    role: str
    tuned: bool
    level: bool
    cells: dict[str, Cell]
    failures: dict[str, int]
    effort: Effort
    bill: Bill
    train_seconds: float
    trained_tokens: int
    chosen: str
    trials: tuple[DevTrial, ...]
    dev_score: float | None
    recall: Recall | None


@dataclass(frozen=True)
class Pictures:
    """The series behind the pictures. A picture without data is not drawn.

    `differences`: every arm against the baseline; `front`: arms on the Pareto front; `loss`: (step, training loss,
    validation loss or None) by arm; `shots`: dev trials with k; `spending`: (month, dollars) corners by arm.
    """

    differences: tuple[Comparison, ...]
    front: frozenset[str]
    loss: dict[str, tuple[tuple[int, float | None, float | None], ...]]
    shots: tuple[tuple[str, DevTrial], ...]
    spending: dict[str, tuple[tuple[float, float], ...]]


@dataclass(frozen=True)
class View:
    """The whole page."""

    question: str
    name: str
    run: str
    primary: str
    metrics: dict[str, bool]
    n: int
    answer: Answer
    arms: tuple[ArmRow, ...]
    pictures: Pictures
    worth: Worth | str
    ledgers: dict[str, Ledger]
    flips: tuple[Flip, ...]
    flip_counts: dict[str, int]
    checklist: tuple[Question, ...]
    trust: tuple[Fact, ...]
    receipt: tuple[Fact, ...]
    stored: Stored

    @property
    def verdict(self) -> Verdict:
        """The verdict with the answer to "is it worth it?" in it."""
        asked = self.stored.verdict.comparison is not None
        payoff = money.payoff(self.worth) if asked else None
        return msgspec.structs.replace(self.stored.verdict, payoff=payoff, standing=self.stored.standing)

    @property
    def metric_notes(self) -> tuple[tuple[str, str], ...]:
        """What a reader must know of a metric to believe it: how often its classifier is right, who judged."""
        judged = [(j.metric, j.note) for j in self.stored.verdict.judged]
        return (*((m, s.note) for m, s in self.stored.standing.items()), *judged)

    @property
    def by_judge_only(self) -> frozenset[str]:
        """The metrics that a model judges, of which no person said how far it may be believed."""
        return frozenset(j.metric for j in self.stored.verdict.judged if j.by_judge_only)

    @property
    def looks(self) -> str:
        """That these test rows were used before, where they were: who tries often enough wins by luck."""
        count = self.stored.looks
        said = f"Test set used {count:,} times by runs of this project: each look makes luck likelier."
        return said if count > 1 else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the run wants said."""
        return self.stored.manifest.notes


def build(stored: Stored) -> View:
    """The view of a stored run. Pure: the same run gives the same view on any day."""
    benchmark, manifest, board, verdict = stored.benchmark, stored.manifest, stored.board, stored.verdict
    billed, books = money.bills(stored), money.ledgers(stored)
    worth = money.worth(stored, billed, books.get(verdict.baseline or ""))
    rows = _arms(stored, billed)
    found = flips(stored)
    return View(
        question=one_line(benchmark.question, 300),
        name=one_line(manifest.benchmark, 80),
        run=one_line(manifest.run, 80),
        primary=benchmark.primary,
        metrics=dict(board.metrics),
        n=len(board.ids),
        answer=answer(stored, worth, billed),
        arms=rows,
        pictures=_pictures(stored, billed),
        worth=worth,
        ledgers=books,
        flips=found,
        flip_counts=tally(stored),
        checklist=checklist(stored, billed, worth),
        trust=trust(stored),
        receipt=receipt(stored),
        stored=stored,
    )


def _arms(stored: Stored, billed: dict[str, Bill]) -> tuple[ArmRow, ...]:
    board, verdict = stored.board, stored.verdict
    table = np.array([board.oriented(a, stored.primary) for a in board.arms]).T
    there: list[bool] = [not math.isnan(total) for total in table.sum(axis=1).tolist()]
    whole = table[there]
    level = [False] * len(board.arms)
    if len(board.arms) > 1 and len(whole) > 1:
        clusters = None
        if board.clusters is not None:
            clusters = [c for c, t in zip(board.clusters, there, strict=True) if t]
        level = list(stats.may_be_best(whole, clusters, stored.benchmark.verdict.alpha))
    rows: list[ArmRow] = []
    for i, arm in enumerate(board.arms):
        fit = stored.fits.get(arm)
        role = "candidate" if arm == verdict.candidate else "baseline" if arm == verdict.baseline else ""
        rows.append(
            ArmRow(
                name=arm,
                technique=stored.benchmark.arms[arm].kind,
                model=one_line(fit.model if fit else "", 80),
                role=role,
                tuned=arm in stored.tuned,
                level=bool(level[i]),
                cells={m: stored.cells[arm, m] for m in board.metrics},
                failures=board.efforts[arm].failures,
                effort=board.efforts[arm],
                bill=billed[arm],
                train_seconds=fit.cost.train_seconds if fit else 0.0,
                trained_tokens=fit.cost.trained_tokens if fit else 0,
                chosen=knobs(next((t.config for t in fit.trials if t.kept), fit.recipe)) if fit else "",
                trials=fit.trials if fit else (),
                dev_score=fit.dev_score if fit else None,
                recall=stored.recall(arm),
            )
        )
    return tuple(sorted(rows, key=lambda r: (-_mean(r, stored), stored.board.arms.index(r.name))))


def _mean(row: ArmRow, stored: Stored) -> float:
    cell = row.cells[stored.primary]
    return (cell.mean if stored.board.metrics[stored.primary] else 1 - cell.mean) if cell.n else -1.0


def knobs(config: dict[str, object]) -> str:
    """A configuration in a few words: k 6, select nearest. The prompt is named where nothing else was chosen."""
    flat: dict[str, object] = {}
    for key, value in config.items():
        flat.update(cast("dict[str, object]", value) if isinstance(value, dict) else {key: value})
    hidden = {"system", "model", "documents", "call", "checkpoint", "step"}
    said = {k: v for k, v in flat.items() if k not in hidden and v not in (None, "", 0)}
    words = [f"{k.replace('_', ' ')} {_value(v)}" for k, v in said.items()]
    if not words:
        named = [(k, str(flat[k])) for k in ("call", "system", "model") if flat.get(k)][:1]
        words = [f"{k}: {one_line(v.rpartition('/')[2] if k == 'call' else v, 50)}" for k, v in named]
    return one_line(", ".join(words), 120)


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _pictures(stored: Stored, billed: dict[str, Bill]) -> Pictures:
    board, verdict = stored.board, stored.verdict
    differences: list[Comparison] = []
    if verdict.baseline in board.arms:
        assert verdict.baseline is not None
        known = {c.candidate: c for c in (verdict.comparison, *verdict.others) if c and c.baseline == verdict.baseline}
        for arm in board.arms:
            if arm != verdict.baseline:
                made = known.get(arm) or stored.against(arm, verdict.baseline)
                differences += [made] if made else []
    costs = [board.efforts[a].usd for a in board.arms]
    quality = [stored.cells[a, stored.primary].mean for a in board.arms]
    quality = quality if board.metrics[stored.primary] else [1 - q for q in quality]
    front = economics.pareto(costs, quality)
    loss = {a: f.artifact.curve for a, f in stored.fits.items() if f.artifact and len(f.artifact.curve) > 1}
    shots = [
        (arm, trial)
        for arm, fit in stored.fits.items()
        for trial in fit.trials
        if isinstance(trial.config.get("k"), int) and stored.benchmark.arms[arm].kind == "few_shot"
    ]
    return Pictures(
        differences=tuple(differences),
        front=frozenset(a for a, on in zip(board.arms, list(front), strict=True) if on),
        loss=loss,
        shots=tuple(shots) if len({t.config["k"] for _, t in shots}) > 1 else (),
        spending=_spending(stored, billed),
    )


def _spending(stored: Stored, billed: dict[str, Bill]) -> dict[str, tuple[tuple[float, float], ...]]:
    """Cumulative dollars by month, of the candidate and the baseline, where volume and prices are known."""
    spec, made = stored.benchmark.economics, dict[str, tuple[tuple[float, float], ...]]()
    if spec.requests_per_month is None or stored.verdict.comparison is None:
        return made
    for arm in (stored.verdict.baseline, stored.verdict.candidate):
        bill = billed.get(arm or "")
        if arm is None or bill is None or bill.usd_a_task is None or bill.fixed is None or bill.hosting_month is None:
            return {}
        tuned = arm == stored.verdict.candidate
        months = spec.horizon_months
        if tuned:
            months = min(
                months,
                economics.life(months, stored.day, money.retirement(stored)).months,
            )
        made[arm] = economics.cumulative(
            bill.fixed, bill.usd_a_task, bill.hosting_month, spec.requests_per_month, months,
            spec.retrain_every_months if tuned else None,
        )  # fmt: skip
    return made

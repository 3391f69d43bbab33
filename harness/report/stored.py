"""A stored run, read once, as everything on a page needs it: no key, no network, no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

from harness.board import Board
from harness.compare import Cell, Comparison, cell, compare
from harness.models.base import Completion, Failure, Missing
from harness.recall import Recall, recall
from harness.records import Fit, Forgetting, Frozen, LearningCurve, Manifest, SeedRuns, Standing, Trial
from harness.references import is_tuned
from harness.report import figures
from harness.spec import Benchmark
from harness.store import RunDirectory
from harness.taskset import Example
from harness.trials import Trials
from harness.verdict import Verdict

NOT = "not measured"
EXTRAS = ("hygiene", "estimate", "agreement", "prices", "outlook")


@dataclass(frozen=True)
class Stored:
    """What lies in a run directory, joined. `examples` stand in the board's order; `trials[arm, example]` are repeats.

    Both are read from the disk where they are asked for.
    """

    benchmark: Benchmark
    verdict: Verdict
    manifest: Manifest
    board: Board
    examples: Sequence[Example]
    trials: Mapping[tuple[str, str], list[Trial]]
    fits: dict[str, Fit]
    frozen: Frozen | None
    extras: dict[str, Any]
    learning: dict[str, LearningCurve] = field(default_factory=dict[str, LearningCurve])
    seed_runs: dict[str, SeedRuns] = field(default_factory=dict[str, SeedRuns])
    forgetting: Forgetting | None = None
    standing: dict[str, Standing] = field(default_factory=dict[str, Standing])

    @staticmethod
    def read(
        directory: RunDirectory,
        benchmark: Benchmark,
        verdict: Verdict,
        manifest: Manifest,
        board: Board,
        trials: Trials,
    ) -> Stored:
        """Everything of a run. Files that only some runs have (hygiene, estimate) are in `extras` where they exist."""
        fits = {arm: fit for arm in benchmark.arms if (fit := directory.fit(arm)) is not None}
        extras: dict[str, Any] = {}
        for name in EXTRAS:
            extras[name] = directory.load(f"{name}.json", object)
        return Stored(
            benchmark=benchmark,
            verdict=verdict,
            manifest=manifest,
            board=board,
            examples=directory.examples(),
            trials=trials,
            fits=fits,
            frozen=directory.frozen(),
            extras={k: v for k, v in extras.items() if v is not None},
            learning={a: c for a in fits if (c := directory.load(f"learning/{a}.json", LearningCurve)) is not None},
            seed_runs={a: s for a in fits if (s := directory.load(f"seeds/{a}.json", SeedRuns)) is not None},
            forgetting=directory.load("forgetting.json", Forgetting),
            standing=directory.load("standing.json", dict[str, Standing]) or {},
        )

    @property
    def primary(self) -> str:
        """The metric that decides."""
        return self.benchmark.primary

    @property
    def looks(self) -> int:
        """How many configurations were asked these test rows, this one among them."""
        return max(self.manifest.test_looks, self.verdict.test_looks)

    @cached_property
    def tuned(self) -> tuple[str, ...]:
        """Arms that answer on a tuned model."""
        return tuple(a for a in self.benchmark.arms if is_tuned(a, dict(self.benchmark.arms)))

    @cached_property
    def day(self) -> date:
        """The day of the run: what "today" means on its page, so that the page is a pure function of the run."""
        for text in (self.manifest.finished, self.manifest.created):
            try:
                return datetime.fromisoformat(text.replace("Z", "+00:00")).date()
            except ValueError:
                continue
        return datetime.now(UTC).date()

    @cached_property
    def cells(self) -> dict[tuple[str, str], Cell]:
        """Every arm on every metric."""
        alpha = self.benchmark.verdict.alpha
        return {(a, m): cell(self.board, a, m, alpha) for a in self.board.arms for m in self.board.metrics}

    @property
    def trained(self) -> tuple[tuple[str, Fit], ...]:
        """The arms that were trained in this run, with their fits."""
        return tuple((a, f) for a, f in self.fits.items() if f.artifact and f.artifact.tuner != "existing")

    def plain(self, kind: str) -> list[str]:
        """The arms of a technique that answer on no tuned model."""
        return [a for a in self.board.arms if self.benchmark.arms[a].kind == kind and a not in self.tuned]

    def best(self, arms: Sequence[str]) -> str | None:
        """The arm of these that scores best, or None of none."""
        up = self.board.metrics[self.primary]
        return max(arms, key=lambda a: self.cells[a, self.primary].mean * (1 if up else -1), default=None)

    def score(self, arm: str, metric: str = "") -> str:
        """An arm's score with its interval, as it is said."""
        found = self.cells[arm, metric or self.primary]
        if not found.n:
            return "no score"
        between = figures.score_interval(found.low, found.high)
        return f"{figures.score(found.mean, found.low, found.high)} of 100 ({between})"

    def against(
        self, candidate: str, baseline: str, metric: str | None = None, alpha: float | None = None
    ) -> Comparison | None:
        """One arm against another on a metric (the primary one); None where no example has both scores."""
        import numpy as np

        metric = metric or self.primary
        d = self.board.oriented(candidate, metric) - self.board.oriented(baseline, metric)
        if bool(np.isnan(d).all()):
            return None
        rules = self.benchmark.verdict
        (made,) = compare(
            self.board, metric, [candidate], baseline,
            min_effect=rules.min_effect, alpha=alpha or rules.alpha, max_missing=rules.max_missing,
        )  # fmt: skip
        return made

    @cached_property
    def relevant(self) -> tuple[tuple[str, ...], ...]:
        """The ids of the documents that answer each example."""
        return tuple(e.relevant for e in self.examples)

    def recall(self, arm: str) -> Recall | None:
        """How many of the documents that answer a row were among the passages that the arm showed."""
        if not any(self.relevant):
            return None
        first = [self.trials.get((arm, id), [None])[0] for id in self.board.ids]
        shown = [t.outcome.passages if t and not isinstance(t.outcome, Missing) else None for t in first]
        return recall(self.relevant, shown, self.board.clusters, self.benchmark.verdict.alpha)

    def text_of(self, arm: str, example: str) -> tuple[str, str]:
        """An arm's first answer to an example and what failed (empty when nothing did)."""
        repeats = self.trials.get((arm, example))
        if not repeats:
            return "", "no answer"
        outcome = repeats[0].outcome
        if isinstance(outcome, Completion):
            return outcome.text, ""
        return (outcome.text if isinstance(outcome, Failure) else ""), outcome.type

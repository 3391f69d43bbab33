"""A finished run with what gates and baselines need of it, each part read from its directory when first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.board import Board
from harness.errors import Incomplete, Problem
from harness.models.base import Completion, Failure
from harness.paths import shown
from harness.prices import Price
from harness.reading import benchmark_of, board_of, trials_of
from harness.records import Fit, Frozen, Manifest
from harness.spec import Benchmark
from harness.store import RunDirectory
from harness.taskset import Example, digest
from harness.trials import Trials


@dataclass(frozen=True)
class FinishedRun:
    """`benchmark` is the question as it was run, or as its file states it now."""

    directory: RunDirectory
    benchmark: Benchmark
    manifest: Manifest

    @staticmethod
    def read(directory: RunDirectory, benchmark: Benchmark | None = None) -> FinishedRun:
        """A finished run. `benchmark`: as the file states it now; default: as it was run.

        Raises:
            Incomplete: it is not finished.
            DataError: it cannot be read.
        """
        manifest = directory.manifest()
        if manifest is None or manifest.status == "incomplete":
            fix = "run the benchmark again: it goes on where it stopped"
            raise Incomplete(Problem("the run is not finished", where=shown(directory.path), fix=fix))
        return FinishedRun(directory, benchmark or benchmark_of(directory), manifest)

    @cached_property
    def board(self) -> Board:
        """All scores as arrays."""
        return board_of(self.directory, self.benchmark, self.trials)

    @cached_property
    def trials(self) -> Trials:
        """What the arms made of the test examples."""
        return trials_of(self.directory, self.benchmark, tuple(e.id for e in self.examples))

    @cached_property
    def examples(self) -> Sequence[Example]:
        """The test examples."""
        return self.directory.examples()

    @cached_property
    def frozen(self) -> Frozen | None:
        """What was decided before test."""
        return self.directory.frozen()

    @cached_property
    def prices(self) -> dict[str, Price]:
        """The token prices of the run."""
        return self.directory.load("prices.json", dict[str, Price]) or {}

    @cached_property
    def fits(self) -> dict[str, Fit]:
        """The fitted arms."""
        return {arm: fit for arm in self.benchmark.arms if (fit := self.directory.fit(arm)) is not None}

    @cached_property
    def scorers(self) -> dict[str, str]:
        """The digest of each metric's scorer."""
        found = self.manifest.digests
        return {m: found[f"scorer {m}"] for m in self.benchmark.metrics if f"scorer {m}" in found}

    @cached_property
    def test_digest(self) -> str:
        """Digest of the test examples, whatever their order. Train and dev rows belong to how an arm is made."""
        ordered = sorted(self.examples, key=lambda e: e.id)
        return digest([[e.id, dict(e.input), e.target, e.cluster, *e.relevant] for e in ordered])

    @cached_property
    def outcomes(self) -> dict[tuple[str, str], list[Completion | Failure | None]]:
        """What each arm made of each example, in the order of repeats; None where it is missing."""
        found: dict[tuple[str, str], list[Completion | Failure | None]] = {}
        for _, trial in self.trials.walk():
            found.setdefault((trial.arm, trial.example), []).append(trial.completion or trial.failure)
        return found

    def outputs(self, arm: str) -> tuple[str, ...]:
        """A digest of each example's answers; the example's id is in it, so that equal answers do not show as such."""
        return self._outputs[arm]

    @cached_property
    def _outputs(self) -> dict[str, tuple[str, ...]]:
        def of(arm: str, id: str) -> str:
            answers = [
                None if o is None else [o.text, o.type if isinstance(o, Failure) else ""]
                for o in self.outcomes.get((arm, id), [])
            ]
            return digest([id, answers])[:12]

        return {arm: tuple(of(arm, id) for id in self.board.ids) for arm in self.board.arms}

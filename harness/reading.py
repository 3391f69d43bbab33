"""Reading a stored run: its scores as arrays, its verdict, its receipt. No key, no network, no model, no dollar.

Running and the report, gates and comparisons all read through here, so that one run has one reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import ValidationError

from harness import verdict
from harness.board import Board, CostOf, join
from harness.errors import DataError, Problem
from harness.hygiene import Finding, flagged_test_ids
from harness.judging import deciding, judgings
from harness.models.base import Usage
from harness.paths import project_of
from harness.prices import Price, cost
from harness.records import Frozen, Labels, Limits, Manifest, SeedRuns, Standing
from harness.scorers import PLAIN
from harness.spec import Benchmark, MetricSpec
from harness.store import RunDirectory
from harness.taskset import digest
from harness.trials import Trials

if TYPE_CHECKING:
    from harness.report.view import View


@dataclass(frozen=True)
class Result:
    """What a run or a stored run comes to."""

    directory: RunDirectory
    manifest: Manifest
    verdict: verdict.Verdict
    fresh: bool
    view: View | None = None  # what its page shows, where that was made already


def trials_of(directory: RunDirectory, benchmark: Benchmark, ids: Sequence[str]) -> Trials:
    """The stored trials of a benchmark's arms on these examples."""
    return Trials(directory.trials, list(benchmark.arms), ids)


def decide(
    directory: RunDirectory, board: Board, benchmark: Benchmark, frozen: Frozen, test_looks: int = 1
) -> verdict.Verdict:
    """The verdict on a stored run's scores, by the rules of its benchmark."""
    primary = benchmark.primary
    findings = directory.load("hygiene.json", tuple[Finding, ...]) or ()
    rules = verdict.Rules(
        primary=primary,
        min_effect=benchmark.verdict.min_effect,
        expect=benchmark.verdict.expected,
        alpha=benchmark.verdict.alpha,
        max_missing=benchmark.verdict.max_missing,
        guardrails={n: m.margin for n, m in benchmark.metrics.items() if m.guardrail and n != primary},
        labelling_usd=benchmark.economics.labelling_usd_per_row,
    )
    seeds = {a: found for a in benchmark.arms if (found := directory.load(f"seeds/{a}.json", SeedRuns)) is not None}
    flagged = flagged_test_ids(findings)
    made = verdict.decide(board, frozen, rules, flagged=flagged, seeds=seeds, test_looks=test_looks)
    pairs = [(c.candidate, c.baseline) for c in (made.comparison, *made.others) if c is not None]
    scores, price = directory.read_scores(), price_of(directory, benchmark)
    return msgspec.structs.replace(made, judged=judgings(board, benchmark, pairs, scores, price))


def price_of(directory: RunDirectory, benchmark: Benchmark) -> CostOf:
    """Dollars of some calls of a model, at the prices of the run; None where one is not known."""
    book = directory.load("prices.json", dict[str, Price]) or {}
    rate = benchmark.economics.local_usd_per_hour

    def price(model: str, usage: Usage, compute_seconds: float) -> float | None:
        if model in book:
            return cost(usage, book[model])
        return 0.0 if not compute_seconds else None if rate is None else compute_seconds / 3600 * rate

    return price


def board_of(directory: RunDirectory, benchmark: Benchmark, trials: Trials | None = None) -> Board:
    """The scores of a stored run as arrays. `trials`: its trials, where they were looked through already."""
    examples = [(e.id, e.cluster) for e in directory.examples()]
    ids = tuple(id for id, _ in examples)
    trials = trials_of(directory, benchmark, ids) if trials is None else trials
    made = join(
        ids,
        [cluster for _, cluster in examples],
        list(benchmark.arms),
        {n: higher_is_better(m) for n, m in benchmark.metrics.items()},
        (trial for _, trial in trials.walk()),
        directory.read_marks(),
        price_of(directory, benchmark),
        directory.load("limits.json", Limits),
    )
    labels = directory.load("labels.json", dict[str, Labels]) or {}
    return replace(made, labels={n: Labels({}) for n in deciding(benchmark)} | labels)


def standing_of(directory: RunDirectory) -> dict[str, Standing]:
    """How far each metric's scorer may be believed, where that was measured."""
    return directory.load("standing.json", dict[str, Standing]) or {}


def test_looks(directory: RunDirectory) -> int:
    """How many different configurations were asked these test rows so far, this run's own among them.

    Counted over all runs of the project that lie beside this one, of whatever benchmark: half of the rows or more
    (whatever their order) with other arms, another baseline, other metrics or another `verdict` are another look. A run
    whose test was never begun is none.
    """
    own = _test_rows(directory)
    looks = {_configuration(directory)}
    for file in directory.path.parent.parent.glob("*/*/frozen.json"):
        other = RunDirectory(file.parent)
        if not other.trials.exists() or not other.trials.stat().st_size:
            continue
        if 2 * len(own & _test_rows(other)) >= len(own):
            looks.add(_configuration(other))
    return len(looks)


def _test_rows(directory: RunDirectory) -> set[int]:
    return {int(digest([e.id, dict(e.input), e.target]), 16) for e in directory.examples()}


def _configuration(directory: RunDirectory) -> str:
    frozen, asked = directory.frozen(), directory.load("benchmark.json", dict[str, Any]) or {}
    arms = (frozen.digests, frozen.baseline) if frozen else ()
    return digest([*arms, asked.get("metrics"), asked.get("verdict")])


def higher_is_better(metric: MetricSpec) -> bool:
    """A scorer's natural direction; a scorer of the user's own has the one that the file says."""
    if ".py:" in metric.scorer:
        return metric.higher_is_better is not False
    return metric.scorer not in PLAIN or PLAIN[metric.scorer].better


def read(directory: RunDirectory) -> Result:
    """A finished run, read from its directory: no key, no network, no model.

    Raises:
        DataError: there is no finished run in it.
    """
    manifest = directory.manifest()
    decided = directory.load("verdict.json", verdict.Verdict)
    if manifest is None or decided is None:
        what = "there is no finished run here"
        raise DataError(Problem(what, where=str(directory.path), fix="harness run FILE makes or finishes it"))
    return Result(directory, manifest, decided, False)


def benchmark_of(directory: RunDirectory) -> Benchmark:
    """The question of a stored run, as it was asked.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    try:
        return Benchmark.model_validate(directory.load("benchmark.json", dict[str, Any]))
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{directory.file('benchmark.json')}: {'.'.join(map(str, first['loc']))}".rstrip(": ")
        fix = "it was changed by hand or by another version: move the run directory away and run again"
        raise DataError(Problem(f"not a stored benchmark: {first['msg']}", where=where, fix=fix)) from None


def find(path: Path) -> RunDirectory:
    """A stored run by its directory, or the last finished run of a benchmark file.

    Raises:
        DataError: neither.
    """
    if path.is_dir():
        return RunDirectory(path)
    if not path.exists():
        raise DataError(Problem("there is no such run or benchmark file", where=str(path)))
    runs = project_of(path.resolve().parent) / "reports" / path.stem
    finished = [p.parent for p in runs.glob("*/manifest.json")]
    if not finished:
        what = f"{path.name} has no finished run"
        raise DataError(Problem(what, where=str(runs), fix=f"harness run {path} makes one"))
    return RunDirectory(max(finished, key=lambda p: ((p / "manifest.json").stat().st_mtime, p.name)))


def rewrite(directory: RunDirectory) -> Result:
    """Decide again from what is stored, and write verdict and report anew: the same trials give the same answer.

    Raises:
        DataError: there is no finished run, or its scores are gone.
    """
    from harness import report

    result, benchmark, frozen = read(directory), benchmark_of(directory), directory.frozen()
    if frozen is None:
        raise DataError(Problem("the run was never frozen", where=str(directory.path), fix="run it again"))
    trials = trials_of(directory, benchmark, tuple(e.id for e in directory.examples()))
    board = board_of(directory, benchmark, trials)
    decided = decide(directory, board, benchmark, frozen, result.manifest.test_looks)
    if decided.comparison is None and result.verdict.comparison is not None:
        fix = "delete manifest.json beside it and run again: the stored answers are scored anew"
        raise DataError(Problem("the scores of the run are gone", where=str(directory.file("scores.jsonl")), fix=fix))
    directory.save("verdict.json", decided)
    view = report.write(directory, benchmark, decided, result.manifest, board, trials)
    return Result(directory, result.manifest, view.verdict, False, view)

"""The one composition root: data, fits, frozen choice, test, scores, verdict, page; all through the run directory.

Every stage skips what is stored already, so that a killed run goes on where it was and a finished one is only read.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

from harness import compare, records, taskset, verdict
from harness.errors import DataError, Incomplete, Problem
from harness.models.base import Usage
from harness.records import Fit, Frozen, Manifest, Score, Trial
from harness.runner import plan, run
from harness.scorers.base import Mark
from harness.spec import Benchmark, Located
from harness.store import Log, RunDirectory
from harness.taskset import Example, TaskSet
from harness.techniques import FineTune
from harness.techniques.base import Recipe, Solver
from harness.tuners.base import Progress
from harness.workbench import Workbench

Show = Callable[[Progress], None]


@dataclass(frozen=True)
class Result:
    """What a run or a stored run comes to."""

    directory: RunDirectory
    manifest: Manifest
    verdict: verdict.Verdict
    fresh: bool


def quiet(progress: Progress) -> None:
    """Shows nothing."""


def directory_of(located: Located, tasks: TaskSet) -> RunDirectory:
    """The run directory of a benchmark and its data: the same question finds the same directory, whatever the day."""
    key = taskset.digest([located.digest, tasks.digest, records.SCHEMA])[:8]
    parent = located.project / "reports" / located.name
    found = sorted(parent.glob(f"*-{key}"))
    return RunDirectory(found[0] if found else parent / f"{datetime.now(UTC):%Y-%m-%d}-{key}")


async def run_benchmark(located: Located, show: Show = quiet) -> Result:
    """Run what is not stored yet, then decide and write the report.

    Raises:
        HarnessError: whatever stops the run, told to people; what is finished is stored.
    """
    started = time.monotonic()
    tasks = taskset.load(located.benchmark.task, located.folder, located.project)
    directory = directory_of(located, tasks)
    if directory.manifest() is not None:
        return read(directory)
    directory.acquire()
    bench = Workbench(located, show)
    try:
        stages = Stages(located, tasks, directory, bench)
        stages.open()
        fits = await stages.fit()
        frozen = stages.freeze(fits)
        await stages.test(fits)
        await stages.score()
        stages.finish(frozen, time.monotonic() - started)
    finally:
        await bench.close()
        directory.release()
    return replace(read(directory), fresh=True)


class Stages:
    """The stages of one run, in order."""

    def __init__(self, located: Located, tasks: TaskSet, directory: RunDirectory, bench: Workbench) -> None:
        self.located = located
        self.benchmark: Benchmark = located.benchmark
        self.tasks = tasks
        self.directory = directory
        self.bench = bench

    def open(self) -> None:
        """Write down the question and the test examples, so that the directory can be read on its own."""
        if not self.directory.file("benchmark.json").exists():
            self.directory.save("benchmark.json", self.benchmark.model_dump(mode="json"))
        if not self.directory.file("examples.json").exists():
            self.directory.save("examples.json", self.tasks.test)

    async def fit(self) -> dict[str, Fit]:
        """Fit every arm on train and dev, after those that it builds on. A stored fit is not made again."""
        fits: dict[str, Fit] = {}
        for name in ordered(self.benchmark):
            stored = self.directory.fit(name)
            if stored is None:
                stored = await self._fit(name, fits)
                self.directory.save(f"fits/{name}.json", stored)
            fits[name] = stored
        return fits

    async def _fit(self, name: str, fits: Mapping[str, Fit]) -> Fit:
        technique = self.benchmark.arms[name]
        model = None
        if technique.uses_model:
            await self.bench.choose_max_tokens(self.tasks.train, self.tasks.dev)
            model = await self.bench.open(self._model_of(name, fits))
        start = self._start(name, fits)
        self.bench.progress(Progress(status=f"fit: {name}"))
        return await technique.fit(name, self.tasks.train, self.tasks.dev, model, start, self.bench)

    def _model_of(self, name: str, fits: Mapping[str, Fit]) -> str:
        """The model that an arm asks: the benchmark's, another reference, or the one that another arm tuned."""
        wanted = self.benchmark.arms[name].model
        if wanted and wanted in fits:
            artifact = fits[wanted].artifact
            return artifact.model if artifact else _recipe(fits[wanted]).model or self.bench.base_reference
        return wanted or self.bench.base_reference

    def _start(self, name: str, fits: Mapping[str, Fit]) -> Recipe:
        """The recipe that an arm starts from: its `extends`, with the prompt of the tuned arm whose model it asks."""
        technique = self.benchmark.arms[name]
        start = _recipe(fits[technique.extends]) if technique.extends else Recipe()
        start = msgspec.structs.replace(start, model="", extra={})
        if technique.model and technique.model in fits:
            start = msgspec.structs.replace(start, system=_recipe(fits[technique.model]).system)
        return start

    def freeze(self, fits: Mapping[str, Fit]) -> Frozen:
        """Decide baseline and candidates from dev alone, before the first test call."""
        stored = self.directory.frozen()
        if stored is None:
            stored = frozen_choice(self.benchmark, fits)
            self.directory.save("frozen.json", stored)
        return stored

    async def test(self, fits: Mapping[str, Fit]) -> None:
        """Every arm on every test example that has no stored trial yet."""
        done = {t.key for t in self.directory.read_trials() if t.missing is None}
        wanted = {(arm, e.id, r) for arm in fits for e in self.tasks.test for r in range(self.benchmark.run.repeats)}
        open_arms = {arm for arm, _, _ in wanted - done}
        if not open_arms:
            return
        log = Log(self.directory.trials)
        count = len(wanted & done)

        def store(trial: Trial) -> None:
            nonlocal count
            count += 1
            log.append(trial)
            self.bench.progress(Progress(status=f"test: {trial.arm}", done=count, total=len(wanted)))

        try:
            for arm in (a for a in fits if a in open_arms):  # arm by arm: what its prompts share is reused while fresh
                work = plan(arm, await self._solver(arm, fits), self.tasks.test, self.benchmark.run.repeats, done)
                await run(work, self.bench.answer, self.benchmark.run.max_concurrency, store)
        finally:
            log.close()

    async def _solver(self, arm: str, fits: Mapping[str, Fit]) -> Solver:
        fit, technique = fits[arm], self.benchmark.arms[arm]
        model = await self.bench.open(self._model_of(arm, fits)) if technique.uses_model else None
        if technique.uses_model:
            await self.bench.choose_max_tokens(self.tasks.train, self.tasks.dev)
        return await technique.solver(_recipe(fit), self.tasks.train, model, self.bench)

    async def score(self) -> None:
        """Every metric on every trial; a failed trial gets the metric's worst value, a missing one none."""
        examples = {e.id: e for e in self.tasks.test}
        trials = latest(self.directory.read_trials())
        done = {(s.arm, s.example, s.repeat, s.metric) for s in self.directory.read_scores()}
        log = Log(self.directory.scores)
        try:
            for metric in self.benchmark.metrics:
                todo = [t for t in trials if t.missing is None and (*t.key, metric) not in done]
                if not todo:
                    continue
                scorer = await self.bench.scorer(metric)
                self.bench.progress(Progress(status=f"score: {metric}", total=len(todo)))
                pairs = [(examples[t.example], t.completion) for t in todo if t.completion]
                marks = iter(await scorer.score(pairs)) if pairs else iter(())
                worst = 0.0 if scorer.higher_is_better else 1.0
                for trial in todo:
                    mark = Mark(worst, trial.failure.type) if trial.failure else next(marks)
                    log.append(
                        Score(
                            trial.arm,
                            trial.example,
                            metric,
                            mark.value,
                            trial.repeat,
                            mark.label,
                            mark.reason,
                            mark.usage,
                        )
                    )
        finally:
            log.close()

    def finish(self, frozen: Frozen, seconds: float) -> None:
        """Decide, write what people and machines read, and the manifest last."""
        from harness import report

        trials = latest(self.directory.read_trials())
        missing = sum(t.missing is not None for t in trials)
        decided = decide(self.directory, self.benchmark, frozen)
        self.directory.save("verdict.json", decided)
        manifest = Manifest(
            benchmark=self.located.name,
            run=self.directory.path.name,
            question=self.benchmark.question,
            created=self.directory.path.name[:10],
            finished=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            command=shlex.join(["harness", "run", paths_shown(self.located.file)]),
            versions=versions(),
            digests={"benchmark": self.located.digest, "task set": self.tasks.digest},
            seeds={"run": self.benchmark.run.seed},
            machine={"system": platform.platform(), "python": platform.python_version(), "processors": _processors()},
            actual={"seconds": seconds},
            notes=tuple(self.bench.notes),
        )
        if missing > self.benchmark.verdict.max_missing * max(len(trials), 1):
            raise Incomplete(
                Problem(
                    f"{missing} of {len(trials)} test answers are missing",
                    fix="run the same command again: only what is missing is asked",
                )
            )
        report.write(self.directory, self.benchmark, decided, manifest)
        self.directory.save("manifest.json", manifest)


def _recipe(fit: Fit) -> Recipe:
    return msgspec.convert(fit.recipe, Recipe)


def latest(trials: Iterable[Trial]) -> list[Trial]:
    """The last trial of each key: an outage that was answered later is replaced."""
    found: dict[tuple[str, str, int], Trial] = {}
    for trial in trials:
        found[trial.key] = trial
    return list(found.values())


def ordered(benchmark: Benchmark) -> list[str]:
    """Arms, each after those that it extends or whose model it asks; otherwise as written."""
    done: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        for other in (benchmark.arms[name].extends, benchmark.arms[name].model):
            if other in benchmark.arms:
                visit(other)
        done.append(name)

    for name in benchmark.arms:
        visit(name)
    return done


def tuned_arms(benchmark: Benchmark) -> list[str]:
    """Arms that answer on a tuned model, their own or another arm's."""
    tuned = {n for n, t in benchmark.arms.items() if isinstance(t, FineTune)}
    return [n for n, t in benchmark.arms.items() if n in tuned or t.model in tuned]


def frozen_choice(benchmark: Benchmark, fits: Mapping[str, Fit]) -> Frozen:
    """Baseline and candidates, from dev scores and nothing else (ties: the cheaper arm a prompt token)."""
    tuned = tuned_arms(benchmark)
    plain = [n for n in benchmark.arms if n not in tuned]
    digests = {n: f.digest for n, f in fits.items()}

    def rank(name: str) -> tuple[float, float]:
        kept = next((t for t in fits[name].trials if t.kept), None)
        return (-(fits[name].dev_score or 0.0), kept.input_tokens if kept else 0.0)

    candidates = [benchmark.candidate] if benchmark.candidate else sorted(tuned, key=rank)
    names = tuple(c for c in candidates if c)
    if benchmark.baseline not in ("auto", "best_of_all"):
        return Frozen(benchmark.baseline, names, "named", "named in the benchmark file", digests)
    scored = [n for n in plain if fits[n].dev_score is not None]
    if benchmark.baseline == "best_of_all" or (plain and not scored):
        return Frozen(None, names, "best_of_all", "no choice on dev: the candidate must beat every other arm", digests)
    if not scored:
        return Frozen(None, names, "auto", "no arm without fine-tuning", digests)
    best = min(scored, key=rank)
    because = f"the best mean on dev without fine-tuning: {fits[best].dev_score:.3f}"
    return Frozen(best, names, "auto", because, digests)


def decide(directory: RunDirectory, benchmark: Benchmark, frozen: Frozen) -> verdict.Verdict:
    """The verdict of a stored run."""
    primary = benchmark.primary
    rules = verdict.Rules(
        primary=primary,
        min_effect=benchmark.verdict.min_effect,
        expect=benchmark.verdict.expected,
        alpha=benchmark.verdict.alpha,
        max_missing=benchmark.verdict.max_missing,
        guardrails={n: m.margin for n, m in benchmark.metrics.items() if m.guardrail and n != primary},
    )
    return verdict.decide(board_of(directory, benchmark), frozen, rules)


def board_of(directory: RunDirectory, benchmark: Benchmark) -> compare.Board:
    """The scores of a stored run as arrays."""
    examples = directory.load("examples.json", tuple[Example, ...]) or ()
    rate = benchmark.economics.local_usd_per_hour

    def price(usage: Usage, compute_seconds: float) -> float | None:
        if compute_seconds:
            return None if rate is None else compute_seconds / 3600 * rate
        return 0.0 if not (usage.input or usage.output) else None

    return compare.board(
        [e.id for e in examples],
        [e.cluster for e in examples],
        list(benchmark.arms),
        {n: higher_is_better(m.scorer) for n, m in benchmark.metrics.items()},
        latest(directory.read_trials()),
        directory.read_scores(),
        dict.fromkeys(benchmark.arms, price),
    )


def higher_is_better(scorer: str) -> bool:
    """A scorer's natural direction."""
    return scorer not in ("unsupported_items",)


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


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    names = ("harness-evals", "openvino-genai", "transformers", "torch", "trl", "peft", "sentence-transformers",
             "chromadb", "ragas", "openai", "genai-prices", "numpy", "scipy")  # fmt: skip
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def paths_shown(path: Path) -> str:
    """A path as it was typed, as far as that can be told."""
    from harness.paths import shown

    return shown(path)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1

"""The one composition root: data, fits, frozen choice, test, scores, verdict, page; all through the run directory.

Every stage skips what is stored already, so that a killed run goes on where it was and a finished one is only read.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from harness import forgetting, hygiene, learning, paths, receipt, records, scoring, seeding, stats, taskset
from harness.choice import frozen_choice, ordered, with_tuning
from harness.errors import first_told
from harness.estimate import RunEstimate, forecast
from harness.hygiene import Finding
from harness.judging import fitting_labels, judges_of
from harness.models import listing
from harness.models.base import Completion
from harness.models.endpoint import Endpoint
from harness.models.retrying import Retries
from harness.preflight import keep as keep_outlook
from harness.prices import Price, token_price
from harness.question import Question, directory_of, prepare, try_scripts
from harness.reading import Result, board_of, decide, read, standing_of, test_looks, trials_of
from harness.records import Fit, Frozen, Limits, Manifest, Trial
from harness.references import documents_of
from harness.runner import Sound, plan, run, stopped
from harness.scorers import embeds as scorer_embeds
from harness.spec import Benchmark, Located
from harness.store import Log, RunDirectory, flushing, write_whole
from harness.taskset import SPLITS
from harness.techniques import FewShot, FineTune
from harness.techniques.base import Recipe, Solver
from harness.trials import Trials
from harness.tuners.base import Progress
from harness.workbench import Workbench
from harness.worked import Worked
from harness.workers import Workers

if TYPE_CHECKING:
    from harness.report.view import View

Show = Callable[[Progress], None]
Said = Callable[[RunEstimate], None]


def quiet(progress: Progress) -> None:
    """Shows nothing."""


def embeds(benchmark: Benchmark) -> bool:
    """Whether an arm or a metric of the benchmark needs the embedder."""
    near = any(isinstance(t, FewShot) and set(t.select) & {"nearest", "diverse"} for t in benchmark.arms.values())
    shown = any(documents_of(t) for t in benchmark.arms.values())
    return near or shown or any(scorer_embeds(m, benchmark.metrics) for m in benchmark.metrics.values())


async def run_benchmark(
    located: Located, show: Show = quiet, said: Said | None = None, workers: Workers | None = None
) -> Result:
    """Run what is not stored yet, by these workers, then decide and write the report. `said` is handed the estimate.

    Raises:
        HarnessError: whatever stops the run, told to people; what is finished is stored.
    """
    worked = Worked()
    question = prepare(located)
    directory = directory_of(located, question.tasks)
    bench = Workbench(located, show, workers)
    bench.notes += await bench.sweep()  # a deployment that a killed run left bills by the hour
    if directory.manifest() is not None and not directory.lacks(located.benchmark.arms):
        return read(directory)
    try_scripts(located)
    directory.acquire()
    bench.ledger = directory.file("spent.txt")
    try:
        async with worked.beating(directory):
            await bench.start()
            stages = Stages(question, directory, bench)
            estimate = await stages.open()
            if said is not None:
                said(estimate)
            fits = await stages.fit()
            frozen = stages.freeze(fits)
            await stages.test(fits)
            await stages.score()
            await stages.measure(fits)
            view = stages.finish(frozen, estimate, worked.starts)
    except BaseExceptionGroup as group:
        raise first_told(group) from group
    finally:
        await bench.close()
        directory.release()
    return replace(read(directory), fresh=True, view=view)


class Stages:
    """The stages of one run, in order."""

    def __init__(self, question: Question, directory: RunDirectory, bench: Workbench) -> None:
        self.located = question.located
        self.benchmark: Benchmark = question.located.benchmark
        self.tasks = question.tasks
        self.findings = question.findings
        self.second = question.second
        self.directory = directory
        self.bench = bench

    async def open(self) -> RunEstimate:
        """Write down the question and the test examples, so that the directory can be read on its own; estimate."""
        if not self.directory.file("benchmark.json").exists():
            write_whole(self.directory.file("benchmark.json"), self.benchmark.model_dump_json(indent=1).encode())
        if not self.directory.file("hygiene.json").exists():
            self.directory.save("hygiene.json", (*self.findings, *await self._same_meaning()))
        if not self.directory.examples():
            self.directory.save_examples(self.tasks.test)
        await self.bench.settle_engine(self.tasks.dev or self.tasks.train)
        estimate = self.directory.load("estimate.json", RunEstimate)
        if estimate is None:
            estimate = await forecast(self.bench, self.tasks, ordered(self.benchmark), measure=True, second=self.second)
            self.directory.save("estimate.json", estimate)
        if not self.directory.file("limits.json").exists():
            longest = await self.bench.choose_max_tokens(self.tasks.train, self.tasks.dev)
            self.directory.save("limits.json", Limits(longest, Retries().attempts))
        await keep_outlook(self.bench, self.directory)
        return estimate

    async def _same_meaning(self) -> list[Finding]:
        """Pairs of the same meaning, for review, where the run opens an embedder anyway."""
        if not embeds(self.benchmark):
            return []
        embedder = await self.bench.embedder()
        found = await asyncio.to_thread(hygiene.find_leaks, self.tasks, embedder=embedder)
        return [f for f in found if f.kind == "same_meaning"]

    async def fit(self) -> dict[str, Fit]:
        """Fit every arm on train and dev, after those that it builds on. A stored fit is not made again."""
        fits: dict[str, Fit] = {}
        self._hand_on(fits)
        async with flushing(self.bench.cache):
            for name in ordered(self.benchmark):
                stored = self.directory.fit(name)
                if stored is None:
                    stored = with_tuning(name, await self._fit(name, fits), fits, self.benchmark)
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
        made = await technique.fit(name, self.tasks.train, self.tasks.dev, model, start, self.bench)
        return await self._dated(made) if isinstance(technique, FineTune) and technique.tuner == "existing" else made

    async def _dated(self, fit: Fit) -> Fit:
        """A tuned model that was there before, with the day on which its provider shuts it down, where that is said."""
        if fit.artifact is None or not self.bench.is_hosted(fit.artifact.model):
            return fit
        ends = (await listing.look_up(Endpoint.of(self.bench.spec_of(fit.artifact.model)))).retires
        info = fit.artifact.info | ({"retires": f"{ends}"} if ends else {})
        return msgspec.structs.replace(fit, artifact=msgspec.structs.replace(fit.artifact, info=info))

    def _hand_on(self, fits: Mapping[str, Fit]) -> None:
        """Let an arm stand on others: a cascade asks two."""
        self.bench.arm_of = lambda name: self._solver(name, fits)

    def _model_of(self, name: str, fits: Mapping[str, Fit]) -> str:
        """The model that an arm asks: the benchmark's, another reference, or the one that another arm tuned."""
        technique = self.benchmark.arms[name]
        if technique.model and technique.model not in fits:
            return technique.model
        other = technique.model or technique.extends
        if other is None or isinstance(technique, FineTune):
            return self.bench.base_reference
        artifact = fits[other].artifact
        return artifact.model if artifact else self._model_of(other, fits)

    def _start(self, name: str, fits: Mapping[str, Fit]) -> Recipe:
        """The recipe that an arm starts from: its `extends`, with the prompt of the tuned arm whose model it asks."""
        technique = self.benchmark.arms[name]
        start = _recipe(fits[technique.extends]) if technique.extends else Recipe()
        start = msgspec.structs.replace(start, model="", extra={})
        if technique.model and technique.model in fits:  # the prompt of training is kept at inference
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
        self._hand_on(fits)
        rows, repeats = len(self.tasks.test), self.benchmark.run.repeats
        stored = Trials(self.directory.trials, list(fits), self.ids)
        counts = {arm: stored.count(arm) for arm in fits}
        open_arms = [arm for arm in fits if counts[arm] < rows * repeats]
        if not open_arms:
            return
        count, total = sum(counts.values()), rows * repeats * len(fits)
        log = Log(self.directory.trials)

        def store(trial: Trial) -> None:
            nonlocal count
            count += 1
            log.append(trial)
            self.bench.progress(Progress(status=f"test: {trial.arm}", done=count, total=total))

        with contextlib.closing(log):
            async with flushing(self.bench.cache, log):
                for arm in open_arms:  # by arm: what prompts share is reused while fresh
                    work = plan(arm, await self._solver(arm, fits), self.tasks.test, repeats, stored.answered)
                    sound = Sound(store, answered=counts[arm] > 0)
                    await run(work, self.bench.answer, self.bench.concurrency, sound)
                    sound.end()

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The ids of the test examples, in order."""
        return tuple(e.id for e in self.tasks.test)

    async def _solver(self, arm: str, fits: Mapping[str, Fit]) -> Solver:
        fit, technique = fits[arm], self.benchmark.arms[arm]
        model = await self.bench.open(self._model_of(arm, fits)) if technique.uses_model else None
        if technique.uses_model:
            await self.bench.choose_max_tokens(self.tasks.train, self.tasks.dev)
        return await technique.solver(_recipe(fit), self.tasks.train, model, self.bench)

    async def score(self) -> None:
        """Every metric on every trial that has no score of it yet."""
        trials = trials_of(self.directory, self.benchmark, self.ids)
        done = scoring.Scored(self.directory.scores, self.ids)
        answers = trials.total - trials.missing
        known = self._scorers() if self.directory.file("standing.json").exists() else {}
        names = [m for m in self.benchmark.metrics if m not in known or done.count(m, trials.arms) < answers]
        if names:
            made = {metric: await self.bench.scorer(metric) for metric in names}
            self.directory.save("scorers.json", self._scorers() | {m: s.digest for m, s in made.items()})
            known = await asyncio.to_thread(lambda: {m: k for m, s in made.items() if (k := s.standing) is not None})
            self.directory.save("standing.json", standing_of(self.directory) | known)

            def show(walked: int) -> None:
                self.bench.progress(Progress(status=f"score: {', '.join(names)}", done=walked, total=trials.total))

            with contextlib.closing(Log(self.directory.scores)) as log:
                async with flushing(self.bench.cache, log):
                    await scoring.score(trials, self.tasks.test, made, done, log, show)
        self.directory.save("labels.json", fitting_labels(self.benchmark, self.bench.locate, trials))
        await self._agree()

    async def measure(self, fits: Mapping[str, Fit]) -> None:
        """What was asked for beside the verdict: learning curves, further training seeds, forgetting."""
        async with flushing(self.bench.cache):
            for name, technique in self.benchmark.arms.items():
                if isinstance(technique, FineTune) and (technique.learning_curve or len(technique.seeds) > 1):
                    base, start = await self.bench.open(self._model_of(name, fits)), self._start(name, fits)
                    for part in (learning, seeding):
                        await part.measure(
                            name, technique, self.tasks, fits[name], base, start, self.bench, self.directory
                        )
            if self.second is not None:
                await forgetting.measure(self.second, fits, self.bench, self.directory)

    async def _agree(self) -> None:
        """How far a second labelling pass agrees with the first, by the primary metric: the consistency ceiling.

        `second_pass.jsonl` beside the rows holds an id and the target's columns, labelled from the guide alone.
        """
        second = self.bench.locate(self.benchmark.task.data) / "second_pass.jsonl"
        if not second.is_file() or self.directory.file("agreement.json").exists():
            return
        again = taskset.targets(self.benchmark.task, second)
        first = {e.id: e for s in SPLITS for e in self.tasks.split(s) if e.id in again}
        scorer = await self.bench.primary()
        pairs = [(first[id], Completion(self.bench.answer.write(t))) for id, t in again.items() if id in first]
        values = [m.value for m in await scorer.score(pairs) if m.value is not None]
        if values:
            bar = stats.bar(values)
            self.directory.save("agreement.json", {"n": bar.n, "mean": bar.mean, "low": bar.low, "high": bar.high})

    def _scorers(self) -> dict[str, str]:
        """The digest of each metric's scorer, so that scores of another version are never compared with these."""
        return self.directory.load("scorers.json", dict[str, str]) or {}

    def _prices(self, asked: Iterable[str]) -> dict[str, Price]:
        """The token prices of every endpoint that answered, as they are today: a stored run keeps its prices."""
        return {m: token_price(self.bench.spec_of(m)) for m in sorted(asked) if self.bench.is_hosted(m)}

    def finish(self, frozen: Frozen, estimate: RunEstimate, starts: Sequence[float]) -> View:
        """Decide, write what people and machines read, and the manifest last; returns what the page shows.

        `starts`: the seconds of each start.
        """
        from harness import report

        trials = trials_of(self.directory, self.benchmark, self.ids)
        missing, total = trials.missing, trials.total
        self.directory.save("prices.json", self._prices({*trials.models, *judges_of(self.benchmark)}))
        board = board_of(self.directory, self.benchmark, trials)
        looks = test_looks(self.directory)
        decided = decide(self.directory, board, self.benchmark, frozen, looks)
        self.directory.save("verdict.json", decided)
        manifest = Manifest(
            benchmark=self.located.name,
            run=self.directory.path.name,
            question=self.benchmark.question,
            schema=records.SCHEMA,
            created=self.directory.path.name[:10],
            finished=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            command=shlex.join(["harness", "run", paths.shown(self.located.file)]),
            versions=receipt.versions(),
            digests={"benchmark": self.located.digest, "task set": self.tasks.digest}
            | {f"scorer {metric}": digest for metric, digest in self._scorers().items()},
            seeds={"run": self.benchmark.run.seed},
            machine=receipt.machine(),
            estimate={"seconds": estimate.seconds, "usd": estimate.usd},
            actual={"seconds": sum(starts), "starts": len(starts)},
            test_looks=looks,
            notes=(*self.tasks.notes, *self.bench.notes, *self.bench.workers.notes, *self.bench.cache.notes),
        )
        if missing > self.benchmark.verdict.max_missing * max(total, 1):
            first = next(t.missing for _, t in trials.walk() if t.missing is not None)
            raise stopped(first, f"{missing} of {total} test answers")
        view = report.write(self.directory, self.benchmark, decided, manifest, board, trials)
        self.directory.save("manifest.json", manifest)
        return view


def _recipe(fit: Fit) -> Recipe:
    return msgspec.convert(fit.recipe, Recipe)

"""What fits and runs work with: models opened once and wrapped, the embedder, the index, dev scoring, prices.

It is the one implementation of the techniques' `Kit`. Everything expensive in it is opened when first asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness import documents, paths, referred, template
from harness.answer import Answer
from harness.cache import Cache
from harness.errors import ModelError, Problem
from harness.judging import judge_of, judges_of
from harness.models.base import Completion, Failure, Message, Missing, Model, Usage
from harness.models.cached import Cached
from harness.references import document_files
from harness.retrieval import Embedder, Index, chunks
from harness.runner import attempt, refuses, stopped
from harness.scored import scored
from harness.scorers.base import Scorer
from harness.spec import Benchmark, Located, ModelSpec
from harness.taskset import Document, Example
from harness.techniques import Cascade, FineTune
from harness.techniques.base import Scored, Solver
from harness.techniques.chat import chat
from harness.tuners.base import Progress, Tuner
from harness.workers import Here, Workers

if TYPE_CHECKING:
    from harness.models.budgeted import Budget
    from harness.models.engines import Wanted
    from harness.models.local import LocalModel
    from harness.models.throttled import Throttle
    from harness.spec import MetricSpec

EMBEDDER = "all-minilm-l6-v2"


class Workbench:
    """Opens what a benchmark names, once, and closes it all at the end."""

    def __init__(
        self, located: Located, show: Callable[[Progress], None], workers: Workers | None = None, keyless: bool = False
    ) -> None:
        """`keyless`: endpoints will not be asked anything, only looked at; their keys need not be set."""
        self.workers = workers or Here()
        self.located = located
        self._keyless = keyless
        self.benchmark: Benchmark = located.benchmark
        self.home = self.workdir = located.project / ".harness"
        self.answer = answer_of(self.benchmark)
        self.seed = self.benchmark.run.seed
        self.max_tokens = self.benchmark.run.max_tokens or 0
        self.temperature = self.benchmark.run.temperature
        self.dev_trials = self.benchmark.run.dev_trials
        self.logprobs = any(isinstance(t, Cascade) for t in self.benchmark.arms.values())
        self.arm_of: Callable[[str], Awaitable[Solver]] | None = None
        self.notes: list[str] = []
        self.progress = show
        self._models: dict[str, Model] = {}
        self._opening = asyncio.Lock()
        self._gate = asyncio.Semaphore(self.concurrency)
        self._counts: dict[str, list[int]] = {}
        self._embedder: Embedder | None = None
        self._indexes: dict[str, Index] = {}
        self._tuners: dict[str, Tuner] = {}
        self._scorer: Scorer | None = None
        self._locals: list[LocalModel] = []
        self._engine: Wanted = "auto"
        self._throttles: dict[str, Throttle] = {}
        self.ledger: Path | None = None
        self._answered: set[str] = set()

    async def start(self) -> None:
        """Make the workers ready. Raises `HarnessError` where they are not to be had."""
        arms = self.benchmark.arms.values()
        others = {a.model for a in arms if a.model and a.model not in self.benchmark.arms}
        asked = {self.base_reference, *others, *judges_of(self.benchmark)}
        weights = any(map(self.is_local, asked)) or any(isinstance(a, FineTune) and a.tuner == "trl" for a in arms)
        await self.workers.start(weights=weights, concurrency=self.benchmark.run.max_concurrency, show=self.progress)
        self._gate = asyncio.Semaphore(self.concurrency)

    @property
    def concurrency(self) -> int:
        """Requests under way at once. Those to one endpoint are `max_concurrency` at most, whoever sends them."""
        return self.benchmark.run.max_concurrency * self.workers.count

    # What techniques ask for

    def render(self, input: Mapping[str, str]) -> str:
        """The user turn of an input."""
        return template.render(self.benchmark.task.input, input)

    def read(self, value: str) -> str:
        """The text itself, or the file behind `file://`."""
        if value.startswith("file://"):
            return self.locate(value.removeprefix("file://")).read_text(encoding="utf-8")
        return value

    def locate(self, path: str) -> Path:
        """A path of the benchmark file, kept inside the project."""
        return paths.locate(path, self.located.folder, self.located.project, allow_outside=self.located.allow_outside)

    def documents(self, path: str) -> tuple[Document, ...]:
        """The documents of a file."""
        return documents.read(self.locate(path))

    async def embedder(self) -> Embedder:
        """The embedder of the run."""
        if self._embedder is None:
            from harness.models import weights

            self._embedder = Embedder(await asyncio.to_thread(weights.fetch, EMBEDDER, self._fetching), name=EMBEDDER)
        return self._embedder

    async def index(self, path: str) -> Index:
        """The vector index over a document file."""
        if path not in self._indexes:
            self._indexes[path] = Index(self.documents(path), await self.embedder(), self.home / "index")
        return self._indexes[path]

    async def arm(self, name: str) -> Solver:
        """The solver of an arm that is fitted already."""
        assert self.arm_of is not None, "a stage that fits or asks arms says how they are opened"
        return await self.arm_of(name)

    def tuner(self, kind: str) -> Tuner:
        """A tuner by name. Local models are put to rest first: training wants their memory."""
        self._rest()
        if kind not in self._tuners:
            from harness.tuners import open_tuner

            tuner = open_tuner(kind, self.weights, self.spec_of, self.budget, self.home)
            self._tuners[kind] = self.workers.tuner(tuner, self.weights)
        return self._tuners[kind]

    async def score(
        self, solver: Solver, examples: Sequence[Example], label: str, other: tuple[Answer, Scorer] | None = None
    ) -> Scored:
        """The primary metric on examples (or another format and metric). An outage ends it: half is no choice."""
        answer, scorer = other or (self.answer, await self.primary())
        count = self._counts.setdefault(label, [0, 0])  # done and in all, of the configurations that share a label
        count[1] += len(examples)
        status = label if ":" in label else f"dev: {label}"

        async def one(example: Example) -> Completion | Failure | Missing:
            async with self._gate:
                outcome = await attempt(solver, example, 0, answer)
            count[0] += 1
            self.progress(Progress(status=status, done=count[0], total=count[1]))
            return outcome

        async with asyncio.TaskGroup() as group:  # an error ends them all: what would be lost is not asked
            tasks = [group.create_task(one(e)) for e in examples]
        outcomes = [t.result() for t in tasks]
        missing = [o for o in outcomes if isinstance(o, Missing)]
        if len(missing) == len(outcomes) and missing and missing[0].fix and not self._answered:
            # nothing was ever answered, and time mends nothing: a mistake of the question, not a run that stopped
            what = f"the endpoint gives no answer: {missing[0].message}"
            raise ModelError(Problem(what, path="model", fix=missing[0].fix))
        if missing:
            raise stopped(missing[0], f"{len(missing)} of {len(outcomes)} answers ({label})")
        answered = [o for o in outcomes if not isinstance(o, Missing)]
        self._sound(answered)
        return await scored(examples, answered, scorer, self.price)

    def _sound(self, outcomes: Sequence[Completion | Failure]) -> None:
        """Raises `ModelError` where a model has only ever refused requests: the question is at fault, not the arm."""
        refused = [o for o in outcomes if isinstance(o, Failure) and o.type == "invalid"]
        if len(refused) < len(outcomes):  # an answer may bear a longer name than the model that was asked
            self._answered |= {o.model for o in outcomes}
        elif refused and refused[0].model not in self._answered:
            raise refuses(refused[0])

    # Models

    async def open(self, model: str) -> Model:
        """A model by its reference: opened once, behind the cache (endpoints: retry, throttle, budget too)."""
        async with self._opening:
            if model not in self._models:
                if model.startswith("azure/"):
                    from harness.tuners import deployments

                    await deployments.ready(self.home, model.removeprefix("azure/"))
                self._models[model] = await self._make(model)
            return self._models[model]

    async def shut(self, model: str) -> None:
        """Close a model that is asked no more; it is opened anew when it is."""
        opened = self._models.pop(model, None)
        if opened is not None:
            await opened.close()
        self._locals = [m for m in self._locals if m.name != model]

    async def base(self) -> Model:
        """The benchmark's own model."""
        return await self.open(self.base_reference)

    @property
    def base_reference(self) -> str:
        """The reference of the benchmark's model."""
        model = self.benchmark.model
        return model if isinstance(model, str) else model.id

    def spec_of(self, reference: str) -> ModelSpec:
        """The endpoint behind a reference; see `referred`."""
        return referred.spec_of(self.benchmark, reference, self.located.folder)

    def is_hosted(self, reference: str) -> bool:
        """Whether a reference names an endpoint that bills by the token."""
        return self.spec_of(reference).base_url is not None or reference.startswith(("openai/", "azure/"))

    def is_local(self, reference: str) -> bool:
        """Whether a reference names weights that run on this machine."""
        return not self.is_hosted(reference) and not reference.startswith("scripted/")

    async def _make(self, reference: str) -> Model:
        if not self.is_local(reference):
            return await asyncio.to_thread(self._asked, reference)
        from harness.models.local import open_local
        from harness.models.openings import Weights, WeightsAt

        # A tuned model is the base with other numbers: it runs on the engine that the base was found to agree on.
        engine = self._engine if reference.startswith("tuned/") else self.spec_of(reference).engine
        directory = await asyncio.to_thread(self.weights, reference)
        choice = await self.workers.choose(directory, engine)
        local = await asyncio.to_thread(open_local, directory, name=reference, choice=choice)
        local.before_start = self._rest
        self._locals.append(local)
        lent = self.workers.lend(local, lambda: WeightsAt(reference, Weights.of(directory), choice))
        return Cached(lent, self.cache)

    def _asked(self, reference: str) -> Model:
        """A scripted model, or one at an endpoint."""
        from harness.models.openings import EndpointAt, ScriptedAt

        spec = self.spec_of(reference)
        kind, _, name = reference.partition("/")
        if kind == "scripted":
            file, _, function = name.rpartition(":")
            path = self.locate(file)
            at = ScriptedAt(reference, str(path), function, path.read_text(encoding="utf-8"))
            return Cached(self.workers.lend(at.open(), lambda: at), self.cache)
        from harness import prices
        from harness.models.openai import open_openai
        from harness.models.wrappers import wrap

        throttle = self._throttle(spec)
        model = open_openai(spec, on_limits=throttle.observe, keyless=self._keyless)
        model.notes = self.notes  # what an endpoint does not take is part of the run's receipt
        lent = self.workers.lend(model, lambda: EndpointAt.of(spec, model.endpoint), throttle.observe)
        return wrap(lent, cache=self.cache, throttle=throttle, budget=self.budget, price=prices.token_price(spec))

    async def settle_engine(self, examples: Sequence[Example]) -> None:
        """Decide once for these weights which engine runs the base: the fast one where it agrees on 20 dev rows."""
        if not self.is_local(self.base_reference):
            return
        directory = await asyncio.to_thread(self.weights, self.base_reference)
        wanted = self.spec_of(self.base_reference).engine
        self.progress(Progress(status="engines: the fast one against transformers", total=1))
        prompts = [chat(self.answer.ask(), (), (), self.render(e.input), self) for e in examples]
        targets = [self.answer.write(e.target) for e in examples]
        choice = await self.workers.choose(directory, wanted, prompts, targets)
        self.progress(Progress(status="engines: the fast one against transformers", done=1, total=1))
        self._engine = choice.engine
        self.notes.append(f"engine {choice.engine}: {choice.why}")

    def _rest(self, starting: LocalModel | None = None) -> None:
        """One local engine at a time holds its memory: the idle ones give theirs back when another starts."""
        for local in self._locals:
            if local is not starting:
                local.rest()

    def _throttle(self, spec: ModelSpec) -> Throttle:
        """One throttle an endpoint, shared by all models behind it."""
        from harness.models.throttled import Throttle

        key = spec.base_url or spec.id.partition("/")[0]
        if key not in self._throttles:
            self._throttles[key] = Throttle(
                self.benchmark.run.max_concurrency,
                requests_per_minute=spec.requests_per_minute,
                tokens_per_minute=spec.tokens_per_minute,
            )
        return self._throttles[key]

    @cached_property
    def budget(self) -> Budget | None:
        """The one purse of the run, with what earlier starts of it spent (`ledger`); None without `max_usd`."""
        from harness.models.budgeted import Budget

        limit = self.benchmark.run.max_usd
        return None if limit is None else Budget(limit, self.ledger)

    def weights(self, reference: str) -> Path:
        """The directory of a local model: `local/NAME`, `hf/ORG/NAME`, `tuned/...` (made here) or a directory."""
        from harness.models import weights
        from harness.tuners import merged

        if reference.startswith("tuned/"):
            return merged.found(self.home / reference, self.weights, partial(weights.convert, "merge"))
        if reference.startswith("local/"):
            return weights.fetch(reference.removeprefix("local/"), self._fetching)
        if reference.startswith("hf/"):
            return weights.fetch(reference, self._fetching)
        return weights.fetch(str(self.locate(reference)), self._fetching)

    def refer(self, model: str) -> str:
        """A reference that holds on another machine: what was made under `.harness` is named from there."""
        path = Path(model)
        return str(path.relative_to(self.home)) if path.is_absolute() and path.is_relative_to(self.home) else model

    def _fetching(self, done: int, total: int) -> None:
        self.progress(Progress(status="fetching weights", done=done, total=total))

    @cached_property
    def cache(self) -> Cache:
        """The response cache of the project; a look (`harness check`) writes nothing and has an empty one."""
        return Cache(Path(":memory:") if self._keyless else self.home / "cache" / "responses.sqlite")

    # Scores and prices

    async def primary(self) -> Scorer:
        """The scorer of the primary metric."""
        if self._scorer is None:
            self._scorer = await self.scorer(self.benchmark.primary)
        return self._scorer

    async def scorer(self, metric: str, spec: MetricSpec | None = None, answer: Answer | None = None) -> Scorer:
        """A metric's scorer. `spec` and `answer`: of a metric and a task that are not the benchmark's own."""
        from harness import scorers

        spec = spec or self.benchmark.metrics[metric]
        if scorers.embeds(spec, others := self.benchmark.metrics):
            await self.embedder()
        judge = await self.open(judge_of(spec)) if spec.judge is not None else None

        def embedder() -> Embedder:
            assert self._embedder is not None
            return self._embedder

        return scorers.build(
            metric, spec, answer or self.answer, embedder, self.locate, lambda: self.passages, others, judge
        )

    @cached_property
    def passages(self) -> dict[str, str]:
        """Every passage that an arm may show, by its id (of two files with the same id the last one's)."""
        made = [p for f in document_files(self.benchmark) for d in self.documents(f) for p in chunks(d)]
        return {p.id: f"{p.title}: {p.text}" for p in made}

    def price(self, model: str, usage: Usage, compute_seconds: float) -> float | None:
        """Dollars of some calls: compute seconds at the local rate, or tokens at their prices; None when not known."""
        if self.is_hosted(model):
            from harness import prices

            return prices.cost(usage, prices.token_price(self.spec_of(model)))
        rate = self.benchmark.economics.local_usd_per_hour
        return 0.0 if not compute_seconds else None if rate is None else compute_seconds / 3600 * rate

    async def choose_max_tokens(self, train: Sequence[Example], dev: Sequence[Example]) -> int:
        """The answer limit where the YAML sets none: a quarter more tokens than the longest labelled answer has."""
        if not self.max_tokens:
            model = await self.base()
            answers = {self.answer.write(e.target) for e in (*train, *dev)}
            longest = sorted(answers, key=len)[-20:] or [""]
            most = max(answer_tokens(model, text) for text in longest)
            self.max_tokens = max(32, -(-most * 5 // 4 // 16) * 16)
        return self.max_tokens

    async def sweep(self) -> list[str]:
        """Delete the deployments that this process made or that a killed one left; returns what could not be."""
        if not any(self.home.glob("tuned/*/deployments")):
            return []
        from harness.tuners import deployments

        notes = await deployments.sweep(self.home)
        for note in notes:
            self.progress(Progress(status="cleaning up", message=note))
        return notes

    async def close(self) -> None:
        """Close every model, clean up every tuner's leavings, flush the cache."""
        for model in self._models.values():
            with contextlib.suppress(Exception):
                await model.close()
        try:
            await self.workers.close()
            if not self._keyless:  # a look changes nothing at a provider
                self.notes += await self.sweep()
        finally:
            if "cache" in self.__dict__:
                self.cache.close()
            if self.__dict__.get("budget") is not None:
                self.__dict__["budget"].close()


def answer_tokens(model: Model, text: str) -> int:
    """Tokens of an answer alone, without the frame that the chat template puts around a turn."""
    return model.count_tokens((Message("assistant", text),)) - model.count_tokens((Message("assistant", ""),))


def answer_of(benchmark: Benchmark) -> Answer:
    """The task's answer format."""
    spec = benchmark.task.answer
    return Answer(spec.format, spec.labels, spec.instruction, spec.abstain, spec.singular)

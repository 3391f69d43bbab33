"""What a run will take, said before it: answers, tokens, seconds and dollars an arm, as a band.

A local model's speed is measured on this machine with prompts of the benchmark itself (a few seconds, kept beside the
project); an endpoint's dollars are tokens at their prices.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.models.base import Completion, Message, Model, Request, Struct, Usage
from harness.models.cached import Cached
from harness.retrieval import Passage, chunks
from harness.store import write_whole
from harness.taskset import TaskSet, digest
from harness.techniques import Classifier, FineTune
from harness.techniques.base import Recipe, rungs
from harness.techniques.chat import chat
from harness.techniques.classifier import NAME as CLASSIFIER
from harness.tuners.base import Progress
from harness.workbench import Workbench, answer_tokens

START_SECONDS = 25.0  # opening models and the embedder, relevance, the report
SERVE_SECONDS = 9.0  # merging and opening one checkpoint
BAND = 1.35
VECTOR_SECONDS = 0.02  # one short text through the embedder
REGRESSION_SECONDS = 0.5  # one linear classifier on hundreds of rows
CHATTY = 1.3  # an untuned hosted model's answer against the labelled one; of a local one it is measured
SAMPLE = 32  # prompts that are timed
WRITTEN = 48  # tokens after which a timed answer that goes on is taken to go on to the limit


class Speed(Struct, frozen=True):
    """A local engine's speed at its usual concurrency: prompt tokens read and answer tokens written a second.

    `untuned` is the mean length in tokens of the untuned model's answers to this task without shots.
    """

    prompt: float
    answer: float
    untuned: float


class ArmEstimate(Struct, frozen=True):
    """One arm: answers on dev and test, tokens of a prompt (`shared`: alike for all rows, read once) and an answer."""

    arm: str
    dev: int
    test: int
    prompt_tokens: float = 0.0
    shared_tokens: float = 0.0
    answer_tokens: float = 0.0
    seconds: float | None = 0.0
    usd: float | None = 0.0
    train_tokens: int = 0
    train_seconds: float = 0.0
    train_usd: float | None = 0.0


class RunEstimate(Struct, frozen=True):
    """The whole run: seconds and dollars as (low, high); None where a price or a speed is not known."""

    arms: tuple[ArmEstimate, ...]
    seconds: tuple[float, float] | None
    usd: tuple[float, float] | None


async def forecast(bench: Workbench, tasks: TaskSet, order: Sequence[str], *, measure: bool) -> RunEstimate:
    """Estimate every arm. With `measure` an unknown local speed is measured (seconds); without, it stays unknown."""
    starts: dict[str, Recipe] = {}
    arms: list[ArmEstimate] = []
    base = await bench.base()
    await bench.choose_max_tokens(tasks.train, tasks.dev)
    speed = await _speed(bench, base, tasks, measure) if bench.is_local(bench.base_reference) else None
    for name in order:
        technique = bench.benchmark.arms[name]
        start = starts.get(technique.extends or "", Recipe())
        candidates = technique.candidates(start, bench)
        starts[name] = candidates[-1]
        if isinstance(technique, Classifier):
            arms.append(_classifying(bench, tasks, name, candidates))
            continue
        if not technique.uses_model:
            arms.append(ArmEstimate(name, len(tasks.dev), len(tasks.test)))
            continue
        tried = technique.epochs if isinstance(technique, FineTune) and isinstance(technique.epochs, int) else 1
        arm = _asking(bench, tasks, name, candidates, max(tried, len(candidates)), base, speed)
        if isinstance(technique, FineTune) and technique.tuner != "existing":
            arm = await _training(bench, tasks, technique, arm, base, starts[name])
        arms.append(arm)
    return _total(arms)


def _asking(
    bench: Workbench,
    tasks: TaskSet,
    name: str,
    recipes: Sequence[Recipe],
    tried: int,
    model: Model,
    speed: Speed | None,
) -> ArmEstimate:
    """What an arm's answers take: its configurations on dev by halving, one of them on test."""
    plan = rungs(tried, len(tasks.dev)) if tasks.dev else []
    before = [0, *(rows for _, rows in plan)]
    dev = sum(keep * (rows - known) for (keep, rows), known in zip(plan, before, strict=False))
    test = len(tasks.test) * bench.benchmark.run.repeats
    sample = (tasks.dev or tasks.test)[:6]
    sizes = [_sizes(bench, tasks, recipe, [e.input for e in sample], model) for recipe in recipes]
    prompt, shared = (sum(s[i] for s in sizes) / len(sizes) for i in (0, 1))
    tuned = bool(bench.benchmark.arms[name].model) or isinstance(bench.benchmark.arms[name], FineTune)
    targets = [e.target for e in (*tasks.train, *tasks.dev)][:200]
    written = [answer_tokens(model, bench.answer.write(t)) for t in targets]
    answer = sum(written) / max(len(written), 1)
    if not tuned and not recipes[0].k:
        answer = speed.untuned if speed else answer * CHATTY
    asked = dev + test
    seconds = None
    if speed is not None:
        seconds = asked * ((prompt - shared) / speed.prompt + answer / speed.answer) + tried * shared / speed.prompt
    usage = Usage(input=round(prompt * asked), output=round(answer * asked))
    unpriced = speed is None and bench.is_local(model.name)
    usd = None if unpriced else bench.price(model.name, usage, seconds or 0.0)
    return ArmEstimate(name, dev, test, prompt, shared, answer, seconds, usd)


def _classifying(bench: Workbench, tasks: TaskSet, name: str, recipes: Sequence[Recipe]) -> ArmEstimate:
    """A classifier's vectors (train rows count as training, dev rows are embedded once) and its regressions."""
    dev = sum(keep * rows for keep, rows in rungs(len(recipes), len(tasks.dev))) if tasks.dev else 0
    test = len(tasks.test) * bench.benchmark.run.repeats
    each = VECTOR_SECONDS if any(r.extra["features"] == "embedding" for r in recipes) else 0.0
    seconds = each * (len(tasks.dev) + len(tasks.test))
    training = each * len(tasks.train) + REGRESSION_SECONDS * len(recipes)
    usd, train_usd = (bench.price(CLASSIFIER, Usage(), s) for s in (seconds, training))
    return ArmEstimate(name, dev, test, seconds=seconds, usd=usd, train_seconds=training, train_usd=train_usd)


def _sizes(
    bench: Workbench, tasks: TaskSet, recipe: Recipe, inputs: Sequence[object], model: Model
) -> tuple[float, float]:
    """Mean prompt tokens, and how many of them are the same for every row (with its first shots and passages)."""
    shots = tasks.train[: recipe.k]
    passages: list[Passage] = []
    if recipe.documents:
        passages = [p for d in bench.documents(recipe.documents)[: recipe.top_k] for p in chunks(d)][: recipe.top_k]
    whole = [
        model.count_tokens(chat(recipe.system, shots, passages, bench.render(i), bench))  # type: ignore[arg-type]
        for i in inputs
    ]
    mean = sum(whole) / max(len(whole), 1)
    if recipe.select == "nearest" and recipe.k:
        shots = ()
    return mean, float(model.count_tokens(chat(recipe.system, shots, (), "", bench)))


async def _training(
    bench: Workbench, tasks: TaskSet, technique: FineTune, arm: ArmEstimate, base: Model, start: Recipe
) -> ArmEstimate:
    with tempfile.TemporaryDirectory() as folder:
        job = await technique.job(tasks.train, tasks.dev, base, start, bench, Path(folder))
        made = await asyncio.to_thread(bench.tuner(technique.tuner).estimate, job)
    seconds = sum(made.seconds) / 2 if made.seconds else 0.0
    rate = bench.benchmark.economics.local_usd_per_hour
    usd = sum(made.usd) / 2 if made.usd else None if rate is None or technique.tuner != "trl" else seconds / 3600 * rate
    serving = SERVE_SECONDS * made.epochs if technique.tuner == "trl" else 0.0
    return msgspec.structs.replace(
        arm, train_tokens=made.trained_tokens, train_seconds=seconds + serving, train_usd=usd
    )


async def _speed(bench: Workbench, model: Model, tasks: TaskSet, allowed: bool) -> Speed | None:
    file = bench.home / "speed.json"
    known = msgspec.json.decode(file.read_bytes(), type=dict[str, Speed]) if file.exists() else {}
    key = digest([model.digest, tasks.digest, bench.benchmark.task.input, bench.max_tokens])
    if key not in known and allowed:
        examples = (*tasks.dev, *tasks.train, *tasks.test)[: min(bench.benchmark.run.max_concurrency, SAMPLE)]
        prompts = [chat(bench.answer.ask(), (), (), bench.render(e.input), bench) for e in examples]
        engine = model.model if isinstance(model, Cached) else model  # a kept answer takes no time
        bench.progress(Progress(status="estimate: timing the model", total=1))
        known[key] = await measure_speed(engine, prompts, bench.max_tokens)
        bench.progress(Progress(status="estimate: timing the model", done=1, total=1))
        write_whole(file, msgspec.json.encode(known))
    return known.get(key)


async def measure_speed(model: Model, prompts: Sequence[tuple[Message, ...]], max_tokens: int) -> Speed:
    """Time an engine on a batch of prompts: once for one token each (reading), once for up to `WRITTEN` (writing)."""
    most = min(max_tokens, WRITTEN)

    async def timed(tokens: int) -> tuple[float, list[Completion]]:
        started = time.perf_counter()
        made = await asyncio.gather(*(model.generate(Request(p, max_tokens=tokens)) for p in prompts))
        return time.perf_counter() - started, list(made)

    await model.generate(Request((Message("user", "Hello"),), max_tokens=1))  # loads the engine
    reading, read = await timed(1)
    writing, written = await timed(most)  # what it has read, it finds in its cache
    tokens = sum(c.usage.output for c in written)
    lengths = [max_tokens if c.finish == "length" else c.usage.output for c in written]
    return Speed(
        prompt=sum(c.usage.input for c in read) / reading,
        answer=max(tokens - len(prompts), 1) / writing,
        untuned=sum(lengths) / len(lengths),
    )


def _total(arms: Sequence[ArmEstimate]) -> RunEstimate:
    seconds = [a.seconds for a in arms]
    usd = [u for a in arms for u in (a.usd, a.train_usd)]
    known, dollars = [s for s in seconds if s is not None], [u for u in usd if u is not None]
    middle = START_SECONDS + sum(known) + sum(a.train_seconds for a in arms)
    return RunEstimate(
        tuple(arms),
        (middle / BAND, middle * BAND) if len(known) == len(seconds) else None,
        (sum(dollars) / BAND, sum(dollars) * BAND) if len(dollars) == len(usd) else None,
    )

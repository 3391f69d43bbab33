"""What a run will take, said before it: answers, tokens, seconds and dollars an arm, as a band.

A local model's speed is measured on this machine with prompts of the benchmark itself (a few seconds, kept beside the
project); an endpoint's dollars are tokens at their prices, its seconds what such services usually take.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness import prices
from harness.asked import Asked, asked
from harness.errors import DataError
from harness.extras import ExtraEstimate, judgements, retrainings, second_domain
from harness.models.base import Completion, Message, Model, Request, Struct, Usage
from harness.models.cached import Cached
from harness.retrieval import Passage, chunks
from harness.store import write_whole
from harness.taskset import TaskSet, digest
from harness.techniques import Classifier, FineTune
from harness.techniques.base import Recipe, Technique, rungs
from harness.techniques.chat import chat
from harness.techniques.classifier import NAME as CLASSIFIER
from harness.tuners.base import Finding, Progress
from harness.workbench import Workbench, answer_tokens

START_SECONDS = 25.0  # opening models and the embedder, relevance, the report
SERVE_SECONDS = 9.0  # merging and opening one checkpoint
BAND = 1.35
VECTOR_SECONDS = 0.02  # one short text through the embedder
REGRESSION_SECONDS = 0.5  # one linear classifier on hundreds of rows
CHATTY = 1.3  # an untuned hosted model's answer against the labelled one; of a local one it is measured
SAMPLE = 32  # prompts that are timed
WRITTEN = 48  # tokens after which a timed answer that goes on is taken to go on to the limit
HOSTED_START = (1.0, 8.0)  # seconds of a run without a local model
FIRST_TOKEN = (0.3, 1.5)  # seconds until a hosted model begins to answer
TOKENS_A_SECOND = (150.0, 25.0)  # that it then writes
KEPT = 3  # checkpoints that a provider keeps
DEPLOYED_HOURS = (0.1, 1.0)  # that an Azure deployment stands while it is measured

Band = tuple[float, float]


class Speed(Struct, frozen=True):
    """A local engine's speed at its usual concurrency: prompt tokens read and answer tokens written a second.

    `untuned` is the mean length in tokens of the untuned model's answers to this task without shots.
    """

    prompt: float
    answer: float
    untuned: float


class Training(Struct, frozen=True):
    """One training: rows, trained tokens (epochs in them), dollars and seconds as (low, high), the file's findings."""

    tuner: str
    base: str
    rows: int
    tokens: int
    epochs: float
    usd: Band | None
    seconds: Band | None
    why: str = ""
    findings: tuple[Finding, ...] = ()


class ArmEstimate(Struct, frozen=True):
    """One arm: answers on dev and test, tokens of a prompt and of an answer.

    `seconds`, `usd`, `train_seconds` and `train_usd` are the middle of the bands; None is not known.
    """

    arm: str
    dev: int
    test: int
    prompt_tokens: float = 0.0
    answer_tokens: float = 0.0
    seconds: float | None = 0.0
    usd: float | None = 0.0
    train_seconds: float = 0.0
    train_usd: float | None = 0.0
    seconds_band: Band | None = (0.0, 0.0)
    usd_band: Band | None = (0.0, 0.0)
    training: Training | None = None


class RunEstimate(Struct, frozen=True):
    """The whole run: seconds and dollars as (low, high); None where a price or a speed is not known."""

    arms: tuple[ArmEstimate, ...]
    seconds: Band | None
    usd: Band | None
    extras: tuple[ExtraEstimate, ...] = ()


async def forecast(
    bench: Workbench, tasks: TaskSet, order: Sequence[str], *, measure: bool, second: TaskSet | None = None
) -> RunEstimate:
    """Estimate every arm. With `measure` an unknown local speed is measured (seconds); without, it stays unknown.

    `second` is the task set on which forgetting is measured, if it is.
    """
    starts: dict[str, Recipe] = {}
    arms: list[ArmEstimate] = []
    await bench.choose_max_tokens(tasks.train, tasks.dev)
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
        its = asked(bench.benchmark, name)
        model = await bench.open(its.model)
        speed = await _speed(bench, model, tasks, measure) if bench.is_local(its.model) else None
        arm = _asking(bench, tasks, name, candidates, max(_served(technique, its), len(candidates)), its, model, speed)
        if isinstance(technique, FineTune) and its.tuner:
            arm = await _training(bench, tasks, technique, arm, model, starts[name])
        arms.append(arm)
    local = any(bench.is_local(asked(bench.benchmark, n).model) for n in order if bench.benchmark.arms[n].uses_model)
    extras = [e for arm in arms for e in retrainings(bench, tasks, arm)]
    if second is not None:
        base = await bench.base()
        speed = await _speed(bench, base, tasks, measure) if bench.is_local(bench.base_reference) else None
        extras.append(await second_domain(bench, second, base, speed, BAND))
    extras += judgements(bench, tasks, len(order), BAND)
    return _total(arms, extras, (START_SECONDS / BAND, START_SECONDS * BAND) if local else HOSTED_START)


def _served(technique: Technique, its: Asked) -> int:
    """How many checkpoints of a training are tried on dev."""
    epochs = technique.epochs if isinstance(technique, FineTune) and its.tuner else 1
    if its.tuner in ("openai", "azure"):
        return KEPT if epochs == "auto" else min(epochs, KEPT)
    return epochs if isinstance(epochs, int) else 1


def _asking(
    bench: Workbench,
    tasks: TaskSet,
    name: str,
    recipes: Sequence[Recipe],
    tried: int,
    its: Asked,
    model: Model,
    speed: Speed | None,
) -> ArmEstimate:
    """What an arm's answers take: its configurations on dev by halving, one of them on test."""
    dev = _dev_answers(tried, tasks)
    test = len(tasks.test) * bench.benchmark.run.repeats
    sample = (tasks.dev or tasks.test)[:6]
    sizes = [_sizes(bench, tasks, recipe, [e.input for e in sample], model) for recipe in recipes]
    prompt, shared = (sum(s[i] for s in sizes) / len(sizes) for i in (0, 1))
    targets = [e.target for e in (*tasks.train, *tasks.dev)][:200]
    written = [answer_tokens(model, bench.answer.write(t)) for t in targets]
    answer = sum(written) / max(len(written), 1)
    tuned = its.made or isinstance(bench.benchmark.arms[name], FineTune)
    if not tuned and not recipes[0].k:
        answer = speed.untuned if speed else answer * CHATTY
    calls = dev + test
    seconds: float | None = None
    took: Band | None = None
    if speed is not None:
        seconds = calls * ((prompt - shared) / speed.prompt + answer / speed.answer) + tried * shared / speed.prompt
        took = _spread(seconds)
    elif not bench.is_local(its.model):
        took = _waiting(bench, its, calls, prompt, answer)
        seconds = sum(took) / 2
    usage = Usage(input=round(prompt * calls), output=round(answer * calls))
    unpriced = seconds is None and bench.is_local(its.model)
    usd = None if unpriced else bench.price(its.priced, usage, 0.0 if speed is None else seconds or 0.0)
    return ArmEstimate(name, dev, test, prompt, answer, seconds, usd, seconds_band=took, usd_band=_spread(usd))


def _waiting(bench: Workbench, its: Asked, calls: int, prompt: float, answer: float) -> Band:
    """Seconds that an endpoint takes for so many calls: its usual pace, the file's limits a minute at least."""
    spec = bench.spec_of(its.model)
    least = 0.0
    if spec.requests_per_minute:
        least = 60 * calls / spec.requests_per_minute
    if spec.tokens_per_minute:
        least = max(least, 60 * calls * (prompt + answer) / spec.tokens_per_minute)
    each = [first + answer / pace for first, pace in zip(FIRST_TOKEN, TOKENS_A_SECOND, strict=True)]
    low, high = (max(calls / bench.benchmark.run.max_concurrency * e, e, least) for e in each)
    return low, high


def _dev_answers(tried: int, tasks: TaskSet) -> int:
    """How many answers successive halving asks for; what a rung before it asked is known."""
    plan = rungs(tried, len(tasks.dev)) if tasks.dev else []
    before = [0, *(rows for _, rows in plan)]
    return sum(keep * (rows - known) for (keep, rows), known in zip(plan, before, strict=False))


def _classifying(bench: Workbench, tasks: TaskSet, name: str, recipes: Sequence[Recipe]) -> ArmEstimate:
    """A classifier's vectors (train rows count as training, dev rows are embedded once) and its regressions."""
    dev = _dev_answers(len(recipes), tasks)
    test = len(tasks.test) * bench.benchmark.run.repeats
    each = VECTOR_SECONDS if any(r.extra["features"] == "embedding" for r in recipes) else 0.0
    seconds = each * (len(tasks.dev) + len(tasks.test))
    training = each * len(tasks.train) + REGRESSION_SECONDS * len(recipes)
    usd, train_usd = (bench.price(CLASSIFIER, Usage(), s) for s in (seconds, training))
    return ArmEstimate(
        name, dev, test, seconds=seconds, usd=usd, train_seconds=training, train_usd=train_usd,
        seconds_band=_spread(seconds), usd_band=_spread(usd),
    )  # fmt: skip


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
        tuner = bench.tuner(technique.tuner)
        findings = await asyncio.to_thread(tuner.validate, job)
        rows = sum(1 for line in job.train.read_bytes().splitlines() if line.strip())
        made = await asyncio.to_thread(tuner.estimate, job)
    usd, seconds = made.usd, made.seconds
    rate = bench.benchmark.economics.local_usd_per_hour
    if usd is None and seconds is not None and rate is not None and technique.tuner in ("trl", "autotrain"):
        usd = (seconds[0] / 3600 * rate, seconds[1] / 3600 * rate)
    hosting = _hosting(bench, technique, base.name) if technique.tuner == "azure" else (0.0, 0.0)
    usd = None if usd is None or hosting is None else (usd[0] + hosting[0], usd[1] + hosting[1])
    serving = SERVE_SECONDS * made.epochs if technique.tuner == "trl" else 0.0
    return msgspec.structs.replace(
        arm,
        train_seconds=(sum(seconds) / 2 if seconds else 0.0) + serving,
        train_usd=None if usd is None else sum(usd) / 2,
        training=Training(
            technique.tuner, base.name, rows, made.trained_tokens, made.epochs, usd, seconds, made.why, tuple(findings)
        ),
    )


def _hosting(bench: Workbench, technique: FineTune, base: str) -> Band | None:
    """Dollars of the deployments that stand while the checkpoints are measured; None when their price is not known."""
    own = bench.spec_of(base).hosting_usd_per_hour
    tier = technique.deployment_sku or ("developertier" if technique.training_type == "Developer" else "standard")
    rate = prices.hosting_price("azure", tier).usd if own is None else own
    return None if rate is None else (DEPLOYED_HOURS[0] * rate, KEPT * DEPLOYED_HOURS[1] * rate)


async def _speed(bench: Workbench, model: Model, tasks: TaskSet, allowed: bool) -> Speed | None:
    file = bench.home / "speed.json"
    try:
        known = msgspec.json.decode(file.read_bytes(), type=dict[str, Speed])
    except (OSError, msgspec.DecodeError):  # none yet, or damaged: measured again
        known = {}
    made = [model.digest, tasks.digest, bench.benchmark.task.input, bench.max_tokens]
    key = digest(made if bench.workers.count == 1 else [*made, bench.workers.count])
    if key not in known and allowed:
        examples = (*tasks.dev, *tasks.train, *tasks.test)[: min(bench.benchmark.run.max_concurrency, SAMPLE)]
        prompts = [chat(bench.answer.ask(), (), (), bench.render(e.input), bench) for e in examples]
        engine = model.model if isinstance(model, Cached) else model  # a kept answer takes no time
        room = (engine.context or sys.maxsize) - min(bench.max_tokens, WRITTEN)
        prompts = [p for p in prompts if model.count_tokens(p) <= room]
        if not prompts:  # they all overflow, at once: there is nothing to time
            return None
        bench.progress(Progress(status="estimate: timing the model", total=1))
        known[key] = await measure_speed(engine, prompts, bench.max_tokens)
        bench.progress(Progress(status="estimate: timing the model", done=1, total=1))
        with contextlib.suppress(DataError):  # a project that can only be read: the next look measures again
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


def _total(arms: Sequence[ArmEstimate], extras: Sequence[ExtraEstimate], start: Band) -> RunEstimate:
    """The sums of all bands. A training whose seconds nobody promises counts with nothing, as its arm says."""
    seconds: list[Band | None] = [start, *(e.seconds for e in extras)]
    dollars: list[Band | None] = [e.usd for e in extras]
    for arm in arms:
        known = arm.training.seconds if arm.training else None
        serving = arm.train_seconds - (sum(known) / 2 if known else 0.0)
        spent = arm.training.usd if arm.training else _spread(arm.train_usd)
        seconds += [arm.seconds_band, known or (0.0, 0.0), _spread(serving)]
        dollars += [arm.usd_band, spent]
    return RunEstimate(tuple(arms), _summed(seconds), _summed(dollars), tuple(extras))


def _spread(middle: float | None) -> Band | None:
    return None if middle is None else (middle / BAND, middle * BAND)


def _summed(bands: Sequence[Band | None]) -> Band | None:
    known = [b for b in bands if b is not None]
    return (sum(b[0] for b in known), sum(b[1] for b in known)) if len(known) == len(bands) else None

"""What is measured beside the arms, in the estimate: learning curves, further training seeds, forgetting, judges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness import forgetting, learning
from harness.judging import judge_of
from harness.models.base import Message, Struct, Usage
from harness.scorers.judged import JUDGES
from harness.techniques import FineTune
from harness.techniques.chat import chat

if TYPE_CHECKING:
    from harness.estimate import ArmEstimate, Speed
    from harness.models.base import Model
    from harness.taskset import TaskSet
    from harness.workbench import Workbench

REPLY_TOKENS = 80  # of a judge, each time it is asked

Band = tuple[float, float]


class ExtraEstimate(Struct, frozen=True):
    """Trainings and answers, with seconds and dollars as (low, high); None where a speed or a price is not known."""

    name: str
    trainings: int
    answers: int
    seconds: Band | None = (0.0, 0.0)
    usd: Band | None = (0.0, 0.0)


def retrainings(bench: Workbench, tasks: TaskSet, arm: ArmEstimate) -> Iterator[ExtraEstimate]:
    """The trainings of an arm's learning curve and of its further seeds, in proportion to its own."""
    technique = bench.benchmark.arms[arm.arm]
    if not isinstance(technique, FineTune):
        return
    made = arm.training
    train_usd = made.usd if made else (0.0, 0.0)
    train_seconds = (made.seconds if made else None) or (arm.train_seconds, arm.train_seconds)

    def cost(name: str, trainings: int, share: float, answers: int) -> ExtraEstimate:
        part = answers / max(arm.dev + arm.test, 1)
        seconds = _sum((share, train_seconds), (part, arm.seconds_band))
        usd = _sum((share, train_usd), (part, arm.usd_band))
        return ExtraEstimate(f"{name} of {arm.arm}", trainings, answers, seconds, usd)

    spec, rows = learning.curve_spec(technique), len(tasks.train[: technique.rows])
    if spec is not None:
        sizes, seeds = learning.sizes_of(spec, rows, arm.arm), learning.seeds_of(spec, technique, bench)
        points = [(size, seed) for size in sizes for seed in seeds]
        own = (rows, technique.first_seed(bench))  # the training on all rows with the arm's seed is the arm's own
        new = [size for size, seed in points if (size, seed) != own]
        yield cost("learning curve", len(new), sum(new) / rows, len(points) * len(tasks.dev or tasks.test))
    if (more := len(technique.seeds) - 1) > 0:
        yield cost("training seeds", more, float(more), more * (arm.dev + len(tasks.test)))


async def second_domain(
    bench: Workbench, tasks: TaskSet, base: Model, speed: Speed | None, spread: float
) -> ExtraEstimate:
    """The second task set, asked of the base model and of every arm that tunes one; bands by the factor `spread`."""
    spec = bench.benchmark.forgetting
    assert spec is not None
    second = await forgetting.second_of(spec, tasks, bench)
    system = forgetting.system_of(spec, second.answer, bench)
    sample = tasks.test[:6]
    prompt = sum(base.count_tokens(chat(system, (), (), second.render(e.input), second)) for e in sample)
    written = sum(base.count_tokens((Message("assistant", second.answer.write(e.target)),)) for e in sample)
    prompt, answer = prompt / max(len(sample), 1), min(2.0 * written / max(len(sample), 1), second.max_tokens)
    calls = (1 + sum(isinstance(t, FineTune) for t in bench.benchmark.arms.values())) * len(tasks.test)
    local = bench.is_local(base.name)
    seconds = 0.0 if not local else None if speed is None else calls * (prompt / speed.prompt + answer / speed.answer)
    usage = Usage(input=round(prompt * calls), output=round(answer * calls))
    usd = None if seconds is None else bench.price(base.name, usage, seconds)
    bands = [None if x is None else (x / spread, x * spread) for x in (seconds, usd)]
    return ExtraEstimate("forgetting", 0, calls, *bands)


def _sum(*parts: tuple[float, Band | None]) -> Band | None:
    low = high = 0.0
    for share, band in parts:
        if band is None:
            return None
        low, high = low + share * band[0], high + share * band[1]
    return low, high


def judgements(bench: Workbench, tasks: TaskSet, arms: int, spread: float) -> Iterator[ExtraEstimate]:
    """What judging takes, a metric each: the judge's own prompt, the row, an answer; bands by the factor `spread`."""
    rows = [*tasks.dev, *tasks.test][:50]
    row = sum(len(bench.render(e.input)) + 2 * len(bench.answer.write(e.target)) for e in rows) / max(len(rows), 1)
    for name, metric in bench.benchmark.metrics.items():
        if metric.judge is None:
            continue
        kind = JUDGES[metric.scorer]
        answers = arms * len(tasks.test) * bench.benchmark.run.repeats
        if name == bench.benchmark.primary:  # it chooses on dev too
            answers += arms * len(tasks.dev) * bench.benchmark.run.dev_trials
        told = sum(len(str(v)) for v in metric.settings.values())
        usage = Usage(
            input=round(answers * (kind.asks * row + told + kind.prompt) / 4), output=answers * kind.asks * REPLY_TOKENS
        )
        reference = judge_of(metric)
        usd = None if bench.is_local(reference) else bench.price(reference, usage, 0.0)
        seconds = None if bench.is_local(reference) else answers * kind.asks / bench.benchmark.run.max_concurrency
        yield ExtraEstimate(
            f"judging {name}", 0, answers, *[None if x is None else (x / spread, x * spread) for x in (seconds, usd)]
        )

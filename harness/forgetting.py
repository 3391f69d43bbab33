"""Forgetting: what of a second domain the tuned models kept, held against the base model under the same prompt.

Non-inferiority decides: kept, lost or unclear. The second task set is asked once of each model; nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from harness import stats, template
from harness.answer import Answer
from harness.models.base import Message
from harness.records import Fit, Forgetting, Kept
from harness.spec import ForgettingSpec, MetricSpec
from harness.store import RunDirectory
from harness.taskset import TaskSet
from harness.techniques.base import Scored
from harness.techniques.chat import ChatSolver
from harness.tuners.base import Progress
from harness.workbench import Workbench

ROOM = 80  # tokens that an answer has at least: the base model says more than the label


@dataclass(frozen=True)
class Second:
    """The second task as a solver needs it: its templates and format, the run's seed and temperature."""

    spec: ForgettingSpec
    answer: Answer
    seed: int
    max_tokens: int
    temperature: float
    logprobs: bool = False

    def render(self, input: Mapping[str, str], /) -> str:
        """The user turn of an input."""
        return template.render(self.spec.input, input)


async def second_of(spec: ForgettingSpec, tasks: TaskSet, bench: Workbench) -> Second:
    """The second task, with room for its longest target and a half."""
    given = spec.answer
    answer = Answer(given.format, given.labels, given.instruction, given.abstain, given.singular)
    base = await bench.base()
    longest = max((base.count_tokens((Message("assistant", answer.write(e.target)),)) for e in tasks.test), default=0)
    return Second(spec, answer, bench.seed, max(ROOM, longest * 3 // 2), bench.temperature)


def system_of(spec: ForgettingSpec, answer: Answer, bench: Workbench) -> str:
    """The one prompt of all models: what is written, and how to answer."""
    return "\n".join(part for part in (bench.read(spec.system).strip(), answer.ask()) if part)


async def measure(tasks: TaskSet, fits: Mapping[str, Fit], bench: Workbench, directory: RunDirectory) -> None:
    """Ask what `forgetting.json` does not hold yet: the base model first, then every tuned one."""
    spec = bench.benchmark.forgetting
    if spec is None:
        return
    tuned = {arm: fit.artifact.model for arm, fit in fits.items() if fit.artifact}
    second = await second_of(spec, tasks, bench)
    scorer = await bench.scorer("forgetting", MetricSpec(scorer=spec.scorer, settings=spec.settings), second.answer)
    found = directory.load("forgetting.json", Forgetting)
    system = system_of(spec, second.answer, bench)

    async def ask(model: str) -> Scored:
        bench.progress(Progress(status=f"forgetting: {model}"))
        solver = ChatSolver(await bench.open(model), second, system)
        return await bench.score(solver, tasks.test, f"forgetting: {model}", (second.answer, scorer))

    if found is None:
        scored = await ask(bench.base_reference)
        found = Forgetting(
            name=tasks.name,
            metric=spec.scorer,
            margin=spec.margin,
            system=system,
            examples=tuple(e.id for e in tasks.test),
            clusters=tuple(e.cluster for e in tasks.test),
            base_model=bench.base_reference,
            base=scored.values,
            base_mean=scored.mean,
            base_failures=scored.failures,
            usd=scored.usd,
            seconds=scored.compute_seconds,
            digest=tasks.digest,
        )
        directory.save("forgetting.json", found)
    for arm, model in tuned.items():
        if arm in {k.arm for k in found.arms}:
            continue
        scored = await ask(model)
        usd = None if found.usd is None or scored.usd is None else found.usd + scored.usd
        found = msgspec.structs.replace(
            found,
            arms=(*found.arms, kept(arm, model, scored, found)),
            usd=usd,
            seconds=found.seconds + scored.compute_seconds,
        )
        directory.save("forgetting.json", found)


def kept(arm: str, model: str, scored: Scored, found: Forgetting) -> Kept:
    """Held against the base model at the margin: kept, lost or unclear."""
    tuned, base = np.array(scored.values, dtype=float), np.array(found.base, dtype=float)
    clusters = found.clusters if any(c is not None for c in found.clusters) else None
    made = stats.not_worse(tuned - base, clusters, margin=found.margin, levels=stats.levels_of(tuned, base))
    words: dict[stats.Answer, tuple[str, str]] = {
        "yes": ("kept", "above"),
        "no": ("lost", "below"),
        "inconclusive": ("unclear", "around"),
    }
    answer, side = words[made.answer]
    interval = f"[{100 * made.low:+.1f}, {100 * made.high:+.1f}]"
    because = f"the 95 % interval {interval} points lies {side} {-100 * found.margin:+.1f} (n = {made.n})"
    if "locked" in made.flags:
        because = f"of {made.n} examples large losses may be too rare to be seen, whatever the interval {interval} says"
    return Kept(
        arm=arm,
        model=model,
        values=scored.values,
        failures=scored.failures,
        mean=scored.mean,
        delta=made.mean,
        low=made.low,
        high=made.high,
        answer=answer,  # type: ignore[arg-type]  # one of the three words above
        because=because,
    )

"""Runs what is not stored yet: arms x examples x repeats, at a bounded concurrency, each finished trial appended.

What becomes of an answer is decided here and nowhere else: a completion that the task's format can read, a failure that
scores 0, or a missing trial.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.answer import Answer, Unreadable
from harness.errors import Failed, Incomplete, ModelError, Outage, Problem
from harness.models.base import Completion, Failure, FailureType, Missing
from harness.records import Outcome, Trial
from harness.taskset import Example
from harness.techniques.base import Solver


@dataclass(frozen=True, slots=True)
class Work:
    """One trial to be made."""

    arm: str
    example: Example
    repeat: int
    solver: Solver


def plan(
    arm: str, solver: Solver, examples: Sequence[Example], repeats: int, done: Callable[[str, int, int], bool]
) -> Iterator[Work]:
    """What an arm has still to do. `done` is asked by arm, row and repeat."""
    for repeat in range(repeats):
        for row in range(len(examples)):
            if not done(arm, row, repeat):
                yield Work(arm, examples[row], repeat, solver)


async def run(work: Iterable[Work], answer: Answer, concurrency: int, store: Callable[[Trial], None]) -> None:
    """Make trials, at most `concurrency` at a time, and store each as it ends.

    An error that is neither a failure nor an outage is a fault of ours: it ends the run with what is finished stored.
    """
    queue = iter(work)

    async def worker() -> None:
        for item in queue:
            outcome = await attempt(item.solver, item.example, item.repeat, answer)
            store(Trial.of(item.arm, item.example.id, item.repeat, outcome))

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())


class Sound:
    """Stores trials, and holds back those that an endpoint refused as they were sent until it answers one.

    Refusals alone are a mistake of the question and no answers of an arm: they are not stored, so that the run goes on
    from there once the mistake is mended.

    Args:
        store: takes each trial.
        answered: whether something was answered before.
    """

    MOST = 10

    def __init__(self, store: Callable[[Trial], None], *, answered: bool) -> None:
        self._store = store
        self._answered = answered
        self._held: list[Trial] = []

    def __call__(self, trial: Trial) -> None:
        """Store a trial now or later. Raises `ModelError` where the endpoint has only ever refused."""
        if trial.failure is not None and trial.failure.type == "invalid" and not self._answered:
            self._held.append(trial)
            if len(self._held) >= self.MOST:
                self.end()
            return
        if trial.missing is None and not self._answered:
            self._answered = True
            for held in self._held:
                self._store(held)
            self._held.clear()
        self._store(trial)

    def end(self) -> None:
        """No more trials come. Raises `ModelError` where all that came were refused."""
        first = self._held[0].failure if self._held else None
        if first is not None:
            raise refuses(first)


def refuses(first: Failure) -> ModelError:
    """The error of an endpoint that has refused every request so far."""
    what = f"the endpoint refuses every request: {first.message}"
    return ModelError(Problem(what, path="model", got=first.model, fix="mend what it names, such as extra_body"))


async def attempt(solver: Solver, example: Example, repeat: int, answer: Answer) -> Outcome:
    """One example's outcome. The solver sees the input alone."""
    try:
        completion = await solver.solve(example.input, repeat=repeat)
    except Failed as error:
        return error.failure
    except Outage as error:
        return error.missing
    return judge(completion, answer)


def stopped(first: Missing, what: str) -> Incomplete:
    """The error of a run that lacks answers (`what`, counted): why the first is missing, and what to do about it."""
    again = "run the same command again: only what is missing is asked"
    fix = f"{first.fix}; then {again}" if first.fix else again
    if first.type == "budget":
        fix = "raise run.max_usd and run again: what was answered is kept and free"
    return Incomplete(Problem(f"{what} are missing: {first.message}", fix=fix))


def judge(completion: Completion, answer: Answer) -> Outcome:
    """A completion, or the failure that it is: filtered, refused, empty, truncated, unparseable."""
    finish: dict[str, FailureType] = {"content_filter": "content_filter", "refusal": "refused", "length": "truncated"}
    if completion.finish in finish:
        return _failed(completion, finish[completion.finish], f"the model stopped with {completion.finish}")
    if not completion.text.strip():
        return _failed(completion, "empty", "the model answered nothing")
    try:
        answer.read(completion.text)
    except Unreadable as error:
        return _failed(completion, "unparseable", str(error))
    return completion


def _failed(completion: Completion, type: FailureType, message: str) -> Failure:
    return Failure(
        boundary="answer" if type in ("unparseable", "empty") else "model",
        type=type,
        message=message,
        text=completion.text,
        usage=completion.usage,
        seconds=completion.seconds,
        compute_seconds=completion.compute_seconds,
        model=completion.model,
        shots=completion.shots,
        passages=completion.passages,
        attempts=completion.attempts,
        others=completion.others,
    )

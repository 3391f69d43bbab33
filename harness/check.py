"""`harness check`: the whole question by reads alone: rows, endpoints, training files, and what a run will take."""

from __future__ import annotations

from dataclasses import dataclass

from harness import preflight
from harness.choice import ordered
from harness.errors import ModelError
from harness.estimate import RunEstimate, forecast
from harness.pipeline import Show, quiet
from harness.preflight import Outlook
from harness.question import Question, prepare
from harness.spec import Located
from harness.workbench import Workbench


@dataclass(frozen=True)
class Checked:
    """What was seen before anything is spent. `estimate` is None where a model cannot be opened: `errors` say why."""

    question: Question
    outlook: Outlook
    estimate: RunEstimate | None
    errors: tuple[str, ...]


async def check(located: Located, show: Show = quiet, *, probe: bool = False) -> Checked:
    """Look at everything and estimate the run, by reads alone; `probe` measures an unknown local speed (seconds).

    Raises:
        DataError: the rows cannot be used. What keeps endpoints and trainings from working is in `errors`, all at once.
    """
    question = prepare(located)
    bench = Workbench(located, show, keyless=True)
    try:
        outlook = await preflight.look(bench)
        errors, estimate = list(outlook.errors), None
        try:
            estimate = await forecast(
                bench, question.tasks, ordered(located.benchmark), measure=probe, second=question.second
            )
        except ModelError as error:
            errors += [str(p) for p in error.problems]
        else:
            trainings = [(arm.arm, arm.training) for arm in estimate.arms if arm.training]
            found = [(arm, f) for arm, made in trainings for f in made.findings if f.severity == "error"]
            errors += [f"{arm}: {f.message}" for arm, f in found]
        return Checked(question, outlook, estimate, tuple(dict.fromkeys(errors)))
    finally:
        await bench.close()

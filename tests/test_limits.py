"""What a task could cost at most, and that the break-even's interval reckons with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness import economics, pipeline, reading, specfile
from harness.limits import Dearest
from harness.models.base import Completion, Failure, Missing, Part, Usage
from harness.records import Limits


def price(model: str, usage: Usage, compute: float) -> float | None:
    return {"hosted": usage.input + 10.0 * usage.output, "small": 100 * compute, "": 0.0}.get(model)


LIMITS = Limits(50, 4)


def most(*outcomes: Completion | Failure | Missing, limits: Limits | None = LIMITS) -> float | None:
    found = Dearest()
    for outcome in outcomes:
        found.add(outcome)
    return found.usd(limits, price)


def hosted(input: int, output: int, attempts: int = 1) -> Completion:
    return Completion("x", Usage(input, 0, output), model="hosted", attempts=attempts)


def test_the_dearest_task_is_every_call_allowed_with_the_longest_prompt_and_a_whole_answer() -> None:
    assert most(hosted(100, 5), hosted(300, 7)) == 4 * (300 + 10 * 50)
    assert most(hosted(900, 21, attempts=3)) == 4 * (300 + 10 * 50), "three calls of 300 tokens are no longer prompt"
    failed = Failure("model", "timeout", usage=Usage(700, 0, 0), model="hosted")
    assert most(hosted(100, 5), failed) == 4 * (700 + 10 * 50), "a failure is billed too"


def test_a_local_engine_is_asked_once_and_its_longest_answer_takes_its_time() -> None:
    local = [Completion("x", Usage(9, 0, o), compute_seconds=c, model="small") for o, c in ((10, 1.0), (30, 3.0))]
    assert most(*local) == pytest.approx(100 * (3.0 + 50 * 0.1))


def test_a_cascade_may_have_to_pay_both_and_what_is_unknown_stays_unknown() -> None:
    both = Completion(
        "x", Usage(110, 0, 15), compute_seconds=2.0, model="hosted", attempts=2,
        others=(Part("small", Usage(10, 0, 10), 2.0),),
    )  # fmt: skip
    assert most(both) == pytest.approx(4 * (100 + 500) + 100 * (2.0 + 50 * 0.2))
    assert most(hosted(1, 1), limits=None) is None
    assert most(Completion("x", Usage(1, 0, 1), model="of no price")) is None
    assert most() == 0.0


def test_a_run_keeps_its_limits_and_its_intervals_are_the_wider_for_them(project: Path) -> None:
    from harness.report import money
    from tests import reports

    file = project / "bench.yaml"
    directory = asyncio.run(pipeline.run_benchmark(specfile.read(file))).directory
    limits = directory.load("limits.json", Limits)
    assert limits is not None
    assert limits.max_tokens >= 32
    assert limits.attempts == 10
    # The same run priced by a machine's time: one slow answer could be among those not seen.
    lines = directory.trials.read_text().replace('"compute_seconds":0.0', '"compute_seconds":0.5')
    directory.trials.write_text(lines)
    view = reports.view(directory.path)
    ledger = money.ledgers(view.stored)["prompt"]
    board = reading.board_of(directory, reading.benchmark_of(directory))
    assert board.dearest["prompt"] is not None
    assert board.dearest["prompt"] > board.usd["prompt"].max()
    blind = economics.ledger(
        board.oriented("tuned", "accuracy") - board.oriented("prompt", "accuracy"),
        board.usd["prompt"],
        board.usd["tuned"],
    )
    seen, unseen = economics.saving(ledger.found), economics.saving(blind)
    assert seen.high - seen.low > unseen.high - unseen.low

"""The cascade: who is asked when, what both arms took, and a threshold that dev chooses."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import pipeline, reading, specfile
from harness.answer import Answer
from harness.errors import Failed, Outage, SpecError
from harness.models.base import Completion, Failure, Missing, Part, Usage, billed
from harness.techniques.cascade import CascadeSolver, threshold

LIST = Answer("list")
ONE = Completion('["a"]', Usage(10, 0, 2), 1.0, 0.5, "small", logprob=-0.1)
TWO = Completion('["b"]', Usage(100, 40, 3), 2.0, 0.0, "big")


class Saying:
    """A solver that gives or raises what it is told, and counts."""

    def __init__(self, outcome: Completion | Failure | Missing) -> None:
        self.outcome = outcome
        self.asked = 0

    async def solve(self, input: Mapping[str, str], *, repeat: int = 0) -> Completion:
        self.asked += 1
        if isinstance(self.outcome, Failure):
            raise Failed(self.outcome)
        if isinstance(self.outcome, Missing):
            raise Outage(self.outcome)
        return self.outcome


def solve(first: Completion | Failure, then: Completion | Failure | Missing = TWO, at: float = -0.2) -> Completion:
    return asyncio.run(CascadeSolver(Saying(first), Saying(then), at, LIST).solve({}))


def test_a_sure_answer_stands_and_the_second_arm_is_not_asked() -> None:
    then = Saying(TWO)
    assert asyncio.run(CascadeSolver(Saying(ONE), then, -0.2, LIST).solve({})) == ONE
    assert then.asked == 0


@pytest.mark.parametrize(
    "first",
    [
        msgspec.structs.replace(ONE, logprob=-0.3),
        msgspec.structs.replace(ONE, logprob=None),
        msgspec.structs.replace(ONE, text='["a", '),
        msgspec.structs.replace(ONE, text=" "),
        msgspec.structs.replace(ONE, finish="length"),
        Failure("model", "timeout", usage=ONE.usage, seconds=1.0, compute_seconds=0.5, model="small"),
    ],
)
def test_an_unsure_unreadable_or_failed_answer_goes_on_and_both_are_billed(first: Completion | Failure) -> None:
    made = solve(first)
    assert made.text == TWO.text
    assert made.usage == Usage(110, 40, 5)
    assert (made.seconds, made.compute_seconds, made.attempts, made.model) == (3.0, 0.5, 2, "big")
    assert billed(made) == (Part("big", TWO.usage, 0.0), Part("small", ONE.usage, 0.5))


def test_the_second_arms_failure_and_outage_keep_what_the_first_took() -> None:
    unsure = msgspec.structs.replace(ONE, logprob=-9.0)
    with pytest.raises(Failed) as failed:
        solve(unsure, Failure("model", "refused", usage=TWO.usage, model="big"))
    assert billed(failed.value.failure)[1] == Part("small", ONE.usage, 0.5)
    with pytest.raises(Outage) as outage:
        solve(unsure, Missing("outage", model="big"))
    assert billed(outage.value.missing) == (Part("big"), Part("small", ONE.usage, 0.5))


def test_a_cascade_of_cascades_bills_all_three() -> None:
    three = Completion('["c"]', Usage(1000, 0, 9), model="huge")
    inner = CascadeSolver(Saying(msgspec.structs.replace(ONE, logprob=-9.0)), Saying(TWO), -0.2, LIST)
    made = asyncio.run(CascadeSolver(inner, Saying(three), -0.2, LIST).solve({}))
    assert {p.model: p.usage for p in billed(made)} == {"huge": three.usage, "big": TWO.usage, "small": ONE.usage}
    assert made.usage == Usage(1110, 40, 14)


@given(st.lists(st.none() | st.floats(-20, 0), min_size=1, max_size=40), st.floats(0.01, 1))
def test_at_least_the_share_goes_on_and_no_row_without_need(logprobs: list[float | None], share: float) -> None:
    at = threshold(logprobs, share)
    assert math.isfinite(at)
    below = sum(p is None or p < at for p in logprobs)
    assert below >= share * len(logprobs) - 1e-6 or below == sum(p is None for p in logprobs)
    distinct = len({p for p in logprobs if p is not None}) == sum(p is not None for p in logprobs)
    if distinct:
        assert below == max(math.ceil(share * len(logprobs) - 1e-9), sum(p is None for p in logprobs))


ARM = "  cascade: {technique: cascade, first: tuned, then: few_shot, escalate: [0.25, 0.5, 1]}\nmetrics:"


def test_on_a_whole_run_the_threshold_is_chosen_on_dev_and_nothing_is_asked_twice(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project / "bench.yaml"
    file.write_text(file.read_text().replace("metrics:", ARM, 1))
    counting = "def _lines(request):\n    with open('calls.log', 'a') as log:\n        log.write('.')"
    (project / "fake.py").write_text((project / "fake.py").read_text().replace("def _lines(request):", counting))
    monkeypatch.chdir(project)
    result = asyncio.run(pipeline.run_benchmark(specfile.read(file)))
    asked = len((project / "calls.log").read_text())
    file.write_text(file.read_text().replace(ARM, "metrics:"))
    (project / "calls.log").unlink()
    for part in (project / ".harness" / "cache").iterdir():
        part.unlink()
    asyncio.run(pipeline.run_benchmark(specfile.read(file)))
    assert len((project / "calls.log").read_text()) == asked, "both arms' answers come from the cache"
    fit = result.directory.fit("cascade")
    assert fit is not None
    assert len(fit.trials) == 3
    assert fit.cost.labelled_rows == max(
        result.directory.fit(a).cost.labelled_rows  # type: ignore[union-attr]
        for a in ("tuned", "few_shot")
    )
    at = fit.recipe["extra"]["threshold"]
    trials = {(t.arm, t.example): t for t in result.directory.read_trials()}
    for example in {e for _, e in trials}:
        first, both = trials["tuned", example], trials["cascade", example]
        assert first.completion is not None
        sure = first.completion.logprob is not None and first.completion.logprob >= at
        assert both.outcome.others == (() if sure else (Part(first.completion.model, first.completion.usage, 0.0),))  # type: ignore[union-attr]
    frozen = result.directory.frozen()
    assert frozen is not None
    assert set(frozen.candidates) == {"tuned", "cascade"}, "an arm on a tuned model is a fine-tuned arm"
    board = reading.board_of(result.directory, reading.benchmark_of(result.directory))
    assert board.efforts["cascade"].input_tokens > board.efforts["tuned"].input_tokens


TO_OTHER = "{technique: cascade, first: prompt, then: other}\n  other:"


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ("{technique: cascade, first: nowhere, then: prompt}", "there is no arm 'nowhere'"),
        ("{technique: cascade, first: prompt, then: prompt}", "are the same"),
        ("{technique: cascade, first: rule, then: prompt}", "gives no log-probabilities"),
        ("{technique: cascade, first: prompt, then: cascade}", "cannot stand on itself"),
        ("{technique: cascade, first: prompt, then: few_shot, escalate: [0.1, 2]}", "escalate"),
        ("{technique: cascade, first: prompt, then: few_shot, model: tuned}", "means nothing"),
        (f"{TO_OTHER} {{technique: few_shot, model: cascade}}", "no model of its own"),
        (f"{TO_OTHER} {{technique: few_shot, extends: cascade}}", "no prompt to hand on"),
    ],
)
def test_a_cascade_that_cannot_be_is_said(project: Path, arm: str, said: str) -> None:
    file = project / "bench.yaml"
    file.write_text(file.read_text().replace("metrics:", f"  cascade: {arm}\nmetrics:", 1))
    with pytest.raises(SpecError, match=said):
        specfile.read(file)

"""What to do next: every answer has a step that follows from it, and no step contradicts its answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.report.advice import advice, levers, others
from harness.report.money import Worth
from harness.report.view import View
from harness.stats import Answer
from harness.verdict import Settle, Verdict
from tests import reports
from tests.reports import GOLDEN, bent, failing


@pytest.fixture(scope="module")
def golden() -> View:
    return reports.view(GOLDEN)


def said(view: View, verdict: Verdict | None = None, worth: Worth | str | None = None) -> str:
    """The step of a view whose verdict or money is another."""
    stored = view.stored if verdict is None else replace(view.stored, verdict=verdict)
    return advice(stored, view.worth if worth is None else worth, {a.name: a.bill for a in view.arms})


def priced(view: View, answer: str, name: str, rate: float | None = None) -> Worth:
    assert isinstance(view.worth, Worth)
    quadrant = replace(view.worth.quadrant, name=name, answer=answer, usd_per_correct=rate)
    return replace(view.worth, answer=answer, quadrant=quadrant)


def answered(view: View, beat: Answer, **changed: Any) -> Verdict:
    return msgspec.structs.replace(view.stored.verdict, beat=beat, **changed)


def test_yes_is_used_priced_or_left_by_what_it_costs(golden: View) -> None:
    assert said(golden, worth=priced(golden, "yes", "dominates")).startswith("Use fine_tuned, and hold it there")
    depends = said(golden, worth=priced(golden, "depends", "dearer_better", 0.02))
    assert depends.startswith("Use fine_tuned if one more correct answer is worth $0.02 to you")
    assert said(golden, worth=priced(golden, "no", "dearer_better")).startswith("Keep few_shot (59.7 of 100, $0.00959")
    assert said(golden, worth="no price is known") == "Price it before you decide: no price is known."
    assert "stays open" in said(golden, worth=priced(golden, "inconclusive", "inconclusive"))


@pytest.mark.parametrize(("score", "told"), [(0.11, True), (0.5, False), (0.9, False)])
def test_a_winner_that_scores_low_is_said_to(golden: View, score: float, told: bool) -> None:
    made = golden.stored.verdict.comparison
    assert made is not None
    key = (made.candidate, golden.stored.primary)
    low = replace(golden.stored)
    low.__dict__["cells"] = {**golden.stored.cells, key: msgspec.structs.replace(golden.stored.cells[key], mean=score)}
    step = advice(low, golden.worth, {a.name: a.bill for a in golden.arms})
    assert ("Mind the level: even fine_tuned scores" in step) is told


def test_no_keeps_the_baseline_unless_the_price_alone_decides(golden: View) -> None:
    no = answered(golden, "no")
    assert said(golden, no, priced(golden, "no", "dominated")).startswith("Keep few_shot (59.7 of 100")
    assert said(golden, no, priced(golden, "yes", "dominates")).startswith("Use fine_tuned for its price alone")
    assert "give up a correct answer for $0.05" in said(golden, no, priced(golden, "depends", "cheaper_worse", 0.05))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"settle": Settle(0.1, 0.07, 255, 129, 103.0)}, "Label 129 more test examples (about $103)"),
        ({"settle": Settle(0.1, 0.07, 30, 0)}, "large enough for the effect that was hoped for"),
        ({"reason": "missing"}, "Run the same command again"),
        ({"reason": "leakage"}, "take the test rows out"),
        ({"reason": "few_clusters"}, "other clusters"),
    ],
)
def test_inconclusive_says_what_would_settle_it(golden: View, changed: dict[str, Any], words: str) -> None:
    assert words in said(golden, answered(golden, "inconclusive", **changed))


def test_a_guardrail_that_fails_for_sure_asks_for_no_more_examples(tmp_path: Path) -> None:
    def guarded(raw: dict[str, Any]) -> None:
        raw["metrics"]["exact"] |= {"guardrail": True, "margin": 0.03}

    view = reports.view(bent(tmp_path / "run", change=guarded))
    (guard,) = view.stored.verdict.guardrails
    lost = msgspec.structs.replace(guard, answer="no")
    settle = Settle(0.1, 0.07, 255, 129)
    step = said(view, answered(view, "inconclusive", guardrails=(lost,), settle=settle))
    assert "exact fails its guardrail, so no number of examples" in step
    assert "129" not in step


@pytest.mark.parametrize("arms", [("prompt",), ("prompt", "few_shot"), ("fine_tuned",)])
def test_nothing_to_compare_says_the_line_that_is_lacking(tmp_path: Path, arms: tuple[str, ...]) -> None:
    view = reports.view(bent(tmp_path / "run", arms=arms))
    lacking = "technique: prompt" if "fine_tuned" in arms else "technique: fine_tune"
    assert lacking in view.answer.advice
    assert ("scores highest" in view.answer.advice) == (len(arms) > 1)
    assert view.answer.others == ""


def test_a_no_names_what_another_try_could_start_from(tmp_path: Path) -> None:
    def some(trial: Any) -> Any:
        return failing(trial) if trial.arm == "fine_tuned" and trial.example[-1] in "02468" else trial

    stored = reports.view(reports.measured(tmp_path / "run", outcome=some)).stored
    no = msgspec.structs.replace(stored.verdict, beat="no")
    failed = sum(stored.board.efforts["fine_tuned"].failures.values())
    cost, rows = levers(replace(stored, verdict=no))
    assert cost.startswith(f"{failed} failed answers cost fine_tuned about ")
    assert rows.startswith("Twice the training rows are expected to bring ")
    assert levers(replace(stored, verdict=no, learning={})) == (cost,), (
        "a model that was there before is not trained on"
    )
    assert levers(stored) == (), "what is not a no needs no other try"


def test_the_other_arms_are_placed_beside_the_candidate(golden: View) -> None:
    assert others(golden.stored).startswith("Of the other arms it is ahead of prompt by 56.0 points [")
    swapped = msgspec.structs.replace(golden.stored.verdict, candidate="prompt", baseline="few_shot")
    assert "behind fine_tuned by 56.0 points [" in others(replace(golden.stored, verdict=swapped))

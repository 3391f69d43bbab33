"""The answer on boards that a hostile reviewer would try: what it is, what it says, and that the two agree."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import verdict
from harness.board import Board, join
from harness.errors import DataError
from harness.models.base import Completion, Missing
from harness.records import Frozen, Score, SeedRun, SeedRuns, Trial, encode
from harness.trials import Trials
from harness.verdict import Rules

Scores = Callable[[str, int], float | None]
RULES = Rules("m", 0.0, 0.05, 0.05, 0.02)
FROZEN = Frozen("base", ("tuned",), "auto", "")
ALL = Frozen(None, ("tuned",), "best_of_all", "")
EASE = np.random.default_rng(0).random(200)
SKILL = {"base": 0.5, "rival": 0.9, "tuned": 0.7, "near": 0.68}


def skilled(arm: str, i: int) -> float:
    return float(EASE[i] < SKILL[arm])


def board(
    n: int,
    score: Scores,
    arms: tuple[str, ...] = ("base", "tuned"),
    clusters: list[str] | None = None,
    usd: float = 0.1,
) -> Board:
    """A board of one metric; a score of None is an outage."""
    ids = [f"e{i:03d}" for i in range(n)]
    trials, scores = list[Trial](), list[Score]()
    for arm in arms:
        for i, id in enumerate(ids):
            value = score(arm, i)
            trials.append(Trial.of(arm, id, 0, Missing("outage") if value is None else Completion("x")))
            scores += [] if value is None else [Score(arm, id, "m", value)]
    return join(ids, clusters or [None] * n, arms, {"m": True}, trials, scores, lambda *_: 0.1)


def with_metric(one: Board, name: str, score: Scores) -> Board:
    other = board(len(one.ids), score, one.arms)
    values = {**one.values, **{(a, name): other.values[a, "m"] for a in one.arms}}
    return replace(one, metrics={**one.metrics, name: True}, values=values, binary={**one.binary, name: False})


def agrees(found: verdict.Verdict) -> None:
    """What every verdict must keep: interval, answer and words say the same."""
    word = found.sentence.split(":")[0].split(" ")[0]
    assert word == {"yes": "Yes", "no": "No", "inconclusive": "Inconclusive"}[found.beat]
    made = found.comparison
    assert made is not None
    if found.beat == "yes":
        assert made.low > found.min_effect
    if found.beat == "no" and found.reason != "guardrail":
        assert made.high < found.min_effect


@pytest.mark.parametrize(
    ("n", "score", "beat", "reason"),
    [
        (1, lambda a, i: float(a == "tuned"), "inconclusive", ""),
        (100, lambda a, i: 0.5, "inconclusive", ""),
        (100, lambda a, i: 1.0, "inconclusive", ""),
        (100, lambda a, i: 0.8 if a == "tuned" else 0.5, "yes", ""),
        (100, lambda a, i: 0.2 if a == "tuned" else 0.5, "no", ""),
        (200, skilled, "yes", ""),
        (100, lambda a, i: None if a == "tuned" and i < 3 else float(a == "tuned"), "inconclusive", "missing"),
        (100, lambda a, i: None if a == "tuned" and i < 2 else float(a == "tuned"), "yes", ""),
    ],
)
def test_edges(n: int, score: Scores, beat: str, reason: str) -> None:
    found = verdict.decide(board(n, score), FROZEN, RULES)
    assert (found.beat, found.reason) == (beat, reason)
    assert ("indicative" in found.sentence) == (n < 50)
    agrees(found)


@pytest.mark.parametrize(
    ("one", "frozen", "said"),
    [
        (board(50, lambda a, i: None if a == "tuned" else 0.5), FROZEN, "all of them are missing"),
        (board(0, skilled), FROZEN, "all of them are missing"),
        (board(50, skilled, ("tuned",)), ALL, "no arm to hold it against"),
        (board(50, skilled, ("tuned",)), FROZEN, "no arm to hold it against"),
        (board(50, skilled, ("base",)), FROZEN, "no fine-tuned arm"),
    ],
)
def test_nothing_to_compare_is_said_and_is_no_crash(one: Board, frozen: Frozen, said: str) -> None:
    found = verdict.decide(one, frozen, RULES)
    assert (found.beat, found.reason) == ("inconclusive", "nothing_to_compare")
    assert said in found.sentence
    assert found.would_change


def test_few_clusters_ask_for_clusters_not_for_examples() -> None:
    one = verdict.decide(board(100, lambda a, i: float(a == "tuned"), clusters=["one"] * 100), FROZEN, RULES)
    assert (one.beat, one.reason, one.settle) == ("inconclusive", "few_clusters", None)
    assert "only 1 cluster:" in one.because
    five = [str(i % 5) for i in range(100)]
    assert "only 5 clusters" in verdict.decide(board(100, skilled, clusters=five), FROZEN, RULES).because
    assert "At least 6 clusters" in one.would_change[0]


def test_a_lead_that_whole_clusters_could_undo_is_open_and_says_so():
    """30 documents, a lead of 5 points in each: certain for the t interval, but one in ten may be lost whole unseen."""
    found = verdict.decide(
        board(180, lambda a, i: 0.55 if a == "tuned" else 0.5, clusters=[f"doc{i // 6}" for i in range(180)]),
        FROZEN,
        RULES,
    )
    assert found.beat == "inconclusive"
    assert "Of 30 clusters, ones that are lost whole may be too rare to be seen." in found.because
    assert found.reason == ""
    assert found.comparison is not None
    assert found.comparison.low < 0 < found.comparison.high
    assert found.settle is not None
    assert found.settle.detectable > 0.13
    assert re.search(r"needs [\d,]+ examples: [\d,]+ more.*, in \d+ clusters of such sizes\.", found.would_change[1])
    lead = verdict.decide(
        board(180, lambda a, i: 0.05 if a == "tuned" else 0.0, clusters=[f"doc{i // 6}" for i in range(180)]),
        FROZEN,
        RULES,
    )
    assert lead.beat == "yes", "a baseline that scores nothing has nothing to lose"


def test_a_failing_guardrail_is_named_with_its_own_interval() -> None:
    one = with_metric(board(200, skilled), "g", lambda a, i: 0.9 if a == "base" else 0.4)
    found = verdict.decide(one, FROZEN, replace_rules(guardrails={"g": 0.03}))
    assert (found.beat, found.reason) == ("no", "guardrail")
    assert "but g may be worse" in found.sentence
    assert "only" not in found.sentence, "the lead is not what failed"
    assert "margin 3.0" in found.because
    assert "g " in found.would_change[-1]


def test_an_open_guardrail_asks_for_the_examples_that_it_needs() -> None:
    swing = [1.0, 0.0, 0.5, 0.5]
    one = with_metric(board(200, skilled), "g", lambda a, i: swing[(i + (a == "tuned")) % 4])
    found = verdict.decide(one, FROZEN, replace_rules(guardrails={"g": 0.03}))
    assert (found.beat, found.reason) == ("inconclusive", "guardrail")
    assert found.settle is not None
    assert (found.settle.metric, found.settle.expect) == ("g", 0.0)
    assert found.settle.more
    assert found.settle.more > 1000
    held = verdict.decide(one, FROZEN, replace_rules(guardrails={"g": 0.3}))
    assert held.beat == "yes"
    silent = with_metric(board(200, skilled), "g", lambda a, i: None)
    assert verdict.decide(silent, FROZEN, replace_rules(guardrails={"g": 0.03})).guardrails[0].comparison.n_pairs == 0


def test_a_guardrail_without_a_loss_seen_says_that_one_may_hide() -> None:
    """145 ties: the interval lies above -2 points, and losses of 1 in 50 show none in 145 one time in 19."""
    one = with_metric(board(145, skilled), "g", lambda a, i: 0.5)
    found = verdict.decide(one, FROZEN, replace_rules(guardrails={"g": 0.02}))
    guard = found.guardrails[0]
    assert (guard.answer, guard.comparison.low > -0.02) == ("inconclusive", True)
    assert "too rare to be seen" in found.because
    assert found.settle is not None
    assert 0 < (found.settle.more or 0) < 200
    assert verdict.decide(one, FROZEN, replace_rules(guardrails={"g": 0.03})).beat == "yes"


def test_what_more_examples_would_cost() -> None:
    one = board(60, lambda a, i: skilled("near" if a == "tuned" else "base", i))
    found = verdict.decide(one, FROZEN, replace_rules(labelling_usd=0.8, min_effect=0.1, expect=0.15))
    assert found.settle is not None
    assert found.settle.more
    assert found.settle.usd == pytest.approx(found.settle.more * (0.8 + 2 * 0.1))
    assert f"${found.settle.usd:,.0f}" in found.would_change[1]
    unknown = verdict.decide(one, FROZEN, replace_rules(min_effect=0.1, expect=0.15))
    assert unknown.settle is not None
    assert unknown.settle.usd is None


def replace_rules(**changes: Any) -> Rules:
    import msgspec

    return msgspec.structs.replace(RULES, **changes)


def test_best_of_all_shows_the_comparison_that_decides() -> None:
    arms = ("base", "rival", "tuned")
    lost = verdict.decide(board(200, skilled, arms), ALL, RULES)
    assert (lost.beat, lost.baseline) == ("no", "rival")
    assert lost.alpha == 0.025, "one claim of two suffices, so each is held to half"
    assert [c.baseline for c in lost.others] == ["base"]
    agrees(lost)
    won = verdict.decide(board(200, skilled, ("base", "tuned")), ALL, RULES)
    assert won.beat == "yes"
    agrees(won)
    near = verdict.decide(board(200, skilled, ("base", "near", "tuned")), ALL, RULES)
    assert (near.beat, near.baseline) == ("inconclusive", "near")


def test_best_of_all_never_contradicts_the_interval_that_it_shows() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        skill = dict(zip(("a", "b", "tuned"), rng.uniform(0.4, 0.7, 3), strict=True))
        ease = rng.random(80)
        one = board(80, lambda a, i, ease=ease, skill=skill: float(ease[i] < skill[a]), ("a", "b", "tuned"))
        found = verdict.decide(one, ALL, RULES)
        agrees(found)
        made = found.comparison
        assert made is not None
        if found.beat == "inconclusive" and not found.reason:
            assert made.low <= 0 <= made.high


def test_several_candidates_are_each_shown_at_their_holm_level() -> None:
    arms = ("base", "near", "tuned", "rival")
    frozen = Frozen("base", ("tuned", "near", "rival"), "auto", "")
    found = verdict.decide(board(200, skilled, arms), frozen, RULES)
    shown = {c.candidate: c for c in (found.comparison, *found.others) if c}
    assert set(shown) == {"tuned", "near", "rival"}
    assert shown["rival"].alpha == pytest.approx(0.05 / 3)
    assert sorted(c.alpha for c in shown.values()) == pytest.approx([0.05 / 3, 0.025, 0.05])
    assert found.candidate == "tuned"


def test_rows_that_may_have_been_seen_must_not_carry_the_answer() -> None:
    def score(arm: str, i: int) -> float:
        return float(arm == "tuned") if i < 20 else 0.5  # all of the lead is in the first twenty rows

    one = board(200, score)
    seen = frozenset(f"e{i:03d}" for i in range(20))
    assert verdict.decide(one, FROZEN, RULES).beat == "yes"
    found = verdict.decide(one, FROZEN, RULES, flagged=seen | {"nowhere"})
    assert (found.beat, found.reason) == ("inconclusive", "leakage")
    assert found.leakage is not None
    assert (len(found.leakage.ids), found.leakage.answer) == (20, "inconclusive")
    assert "20 test rows" in found.because
    assert "(leakage)" in found.sentence
    harmless = verdict.decide(one, FROZEN, RULES, flagged={"e150", "e199"})
    assert (harmless.beat, harmless.reason) == ("yes", "")
    assert harmless.leakage is not None
    assert harmless.leakage.comparison is not None
    assert harmless.leakage.comparison.n_pairs == 198
    every = verdict.decide(one, FROZEN, RULES, flagged={f"e{i:03d}" for i in range(200)})
    assert (every.beat, every.reason) == ("inconclusive", "leakage")


def test_seeds_are_shown_one_by_one_whatever_the_order_of_their_examples() -> None:
    one = board(100, skilled)
    ids = [f"e{i:03d}" for i in range(100)]
    order = random.Random(1).sample(range(100), 100)
    values = tuple(float(EASE[i] < 0.65) if i else None for i in order)
    runs = SeedRuns("tuned", "m", tuple(ids[i] for i in order), 1, (SeedRun(2, values, dev_score=0.6),))
    found = verdict.decide(one, FROZEN, RULES, seeds={"tuned": runs})
    first, second = found.seeds
    assert (first.seed, second.seed) == (1, 2)
    assert first.comparison == found.comparison or first.comparison is not None
    assert second.comparison is not None
    assert second.comparison.n_missing == 1
    assert second.mean == pytest.approx(np.mean(EASE[1:100] < 0.65))
    assert verdict.decide(one, FROZEN, RULES).seeds == ()


def stored(folder: Path, trials: list[Trial]) -> Trials:
    (folder / "trials.jsonl").write_bytes(b"".join(encode(t) + b"\n" for t in trials))
    return Trials(folder / "trials.jsonl", ["tuned"], ["e1", "e2"])


def test_an_outage_that_was_answered_later_is_replaced_whatever_the_order(tmp_path: Path) -> None:
    late = [
        Trial.of("tuned", "e1", 0, Missing("outage")),
        Trial.of("tuned", "e1", 0, Completion("x")),
        Trial.of("tuned", "e2", 0, Missing("outage")),
        Trial.of("tuned", "e2", 0, Missing("budget")),
    ]
    for order in ([0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0]):
        kept = {t.example: t for _, t in stored(tmp_path, [late[i] for i in order]).walk()}
        assert kept["e1"].completion == Completion("x")
        assert kept["e2"].missing is not None
        assert len(kept) == 2


def test_two_answers_to_one_trial_are_refused(tmp_path: Path) -> None:
    twice = [Trial.of("tuned", "e1", 0, Completion("x")), Trial.of("tuned", "e1", 0, Completion("y"))]
    with pytest.raises(DataError, match="twice the same trial"):
        join(["e1"], [None], ["tuned"], {"m": True}, twice, [], lambda *_: 0.0)
    with pytest.raises(DataError, match="twice the same trial"):
        stored(tmp_path, twice)


@pytest.mark.parametrize("value", [1.2, -0.1, float("inf")])
def test_scores_outside_the_range_are_refused(value: float) -> None:
    with pytest.raises(DataError, match="cannot be used"):
        board(3, lambda a, i: value)


def test_ids_that_do_not_fit_are_refused() -> None:
    score, trial = Score("a", "e9", "m", 1.0), Trial.of("a", "e9", 0, Completion("x"))
    with pytest.raises(DataError, match="same id"):
        join(["e1", "e1"], [None] * 2, ["a"], {"m": True}, [], [], lambda *_: 0.0)
    with pytest.raises(DataError, match="no test example"):
        join(["e1"], [None], ["a"], {"m": True}, [trial], [], lambda *_: 0.0)
    with pytest.raises(DataError, match="cannot be used"):
        join(["e1"], [None], ["a"], {"m": True}, [], [score], lambda *_: 0.0)
    one = Score("a", "e1", "m", 1.0)
    with pytest.raises(DataError, match="cannot be used"):
        join(["e1"], [None], ["a"], {"m": True}, [], [one, one], lambda *_: 0.0)


def test_floats_that_tie_are_neither_won_nor_lost() -> None:
    one = board(100, lambda a, i: (0.1 + 0.2 if a == "tuned" else 0.3) if i % 2 else (0.2 if a == "tuned" else 0.7))
    made = verdict.decide(one, FROZEN, RULES).comparison
    assert made is not None
    assert (made.won, made.lost, made.tied, made.lost_half) == (0, 50, 50, 0.5)


@pytest.mark.parametrize("shuffled", [1, 2])
def test_no_order_of_rows_or_lines_shows(shuffled: int) -> None:
    """Neither in the last bits of a mean of three repeats, nor in which of many equal losses are listed."""
    rng = np.random.default_rng(0)
    ids = [f"e{i:03d}" for i in range(60)]
    keys = [(arm, id, r) for arm in ("base", "tuned") for id in ids for r in range(3)]
    tenths = {key: float(rng.integers(0, 11)) / 10 for key in keys}
    lines = list(keys)

    def decided() -> bytes:
        trials = [Trial.of(arm, id, r, Completion("x")) for arm, id, r in lines]
        scores = [Score(arm, id, "m", tenths[arm, id, r], r) for arm, id, r in lines]
        one = join(ids, [None] * len(ids), ("base", "tuned"), {"m": True}, trials, scores, lambda *_: 0.1)
        return encode(verdict.decide(one, FROZEN, RULES, flagged={"e001", "e002", "e003"}))

    before = decided()
    random.Random(shuffled).shuffle(lines)
    random.Random(shuffled).shuffle(ids)
    assert decided() == before

"""Facts in answers: found however they are written, withheld where there is none, and made up or not."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.answer import Answer
from harness.errors import SpecError
from harness.models.base import Completion
from harness.reading import higher_is_better
from harness.scorers import Mark, build
from harness.scorers.facts import facts
from harness.spec import MetricSpec
from harness.taskset import Example

ABSTAIN = Answer("text", abstain="I don't know")
PAGES = {"p1": "Parking: four spaces in Leeds, none in Bristol.", "p2": "Returns: 14 days, then £7.50 a day."}


def no_embedder() -> object:
    raise AssertionError("no embedder was to be opened")


def mark(
    scorer: str, target: str | tuple[str, ...], answer: str, accept: str = "", passages: tuple[str, ...] = (),
    form: Answer = ABSTAIN, question: str = "What is it in Leeds?",
) -> Mark:  # fmt: skip
    made = build("m", MetricSpec(scorer=scorer), form, no_embedder, passages=lambda: PAGES)  # type: ignore[arg-type]
    example = Example("1", {"question": question}, target, "test", kept={"accept": accept} if accept else {})
    return asyncio.run(made.score([(example, Completion(text=answer, passages=passages))]))[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("£4.90", "4.9 pounds"),
        ("£22,000", "GBP 22000"),
        ("₹2,65,000", "Rs. 265000"),
        ("€4,90", "4.90 euros"),
        ("£5 million", "5 million pounds"),
        ("38 percent", "38%"),
        ("five per cent", "5 percent"),
        ("twenty-four hours", "24 hour"),
        ("8p", "8 pence"),
        ("the 26th", "26"),
        ("7.45 am", "7:45am"),
        ("27 kg", "27kg"),
        ("minus 10 °C", "-10 °C"),
        ("the Leeds depot", "LEEDS DEPOT."),
        ("café", "cafe"),
    ],
)
def test_two_ways_of_writing_a_fact(one: str, other: str) -> None:
    assert facts(one) == facts(other) != []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("£5", "£5.50"),
        ("£5", "$5"),
        ("£5", "5"),
        ("1.5 m", "15 m"),
        ("1,200", "1.2"),
        ("A7", "7"),
        ("E3", "E03"),
        ("10 °C", "-10 °C"),
        ("£5 million", "£5"),
        ("twenty", "2"),
    ],
)
def test_different_facts_stay_different(one: str, other: str) -> None:
    assert facts(one) != facts(other)


@settings(deadline=None)
@given(st.integers(0, 99_999), st.integers(0, 99))
def test_a_number_is_its_value_however_it_is_written(whole: int, cents: int) -> None:
    wanted = facts(f"£{whole}.{cents:02}")
    assert facts(f"{whole:,}.{cents:02} pounds") == wanted
    assert facts(f"GBP {whole + cents / 100:.2f}") == wanted
    assert float(wanted[0]) == pytest.approx(whole + cents / 100)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_can_be_read(text: str) -> None:
    assert all(facts(text))


class TestFact:
    @pytest.mark.parametrize(
        ("target", "answer", "value", "label"),
        [
            ("14 days", "You have fourteen days.", 1, "right"),
            ("14 days", "114 days", 0, "wrong"),
            ("£5", "It is £5.50.", 0, "wrong"),
            ("the Leeds depot", "At our Leeds depot, of course", 1, "right"),
            ("14 days", "I do not know.", 0, "wrongly abstained"),
            ("I don't know", "I don’t know", 1, "rightly abstained"),
            ("I don't know", "14 days", 0, "made up an answer"),
            (("£5", "14 days"), "14 days, and it costs 5 pounds", 1, "right"),
            (("£5", "14 days"), "14 days", 0, "wrong"),
        ],
    )
    def test_by_hand(self, target: str | tuple[str, ...], answer: str, value: int, label: str) -> None:
        said = mark("fact", target, answer)
        assert (said.value, said.label) == (value, label)

    def test_says_what_was_lacking(self) -> None:
        assert mark("fact", ("£5", "14 days"), "14 days").reason == "without £5"

    def test_another_right_wording(self) -> None:
        assert mark("fact", "5.5 hours", "5 h 30", accept="five and a half hours\n5 h 30").value == 1
        assert mark("fact", "5.5 hours", "half", accept="five and a half hours\n5 h 30").value == 0

    def test_without_a_way_to_abstain_the_phrase_is_a_text_like_any_other(self) -> None:
        assert mark("fact", "I don't know", "He said I don't know", form=Answer("text")).value == 1

    def test_a_target_without_words_is_missing(self) -> None:
        assert mark("fact", "!", "anything!").label == "scorer_error"


class TestHallucination:
    @pytest.mark.parametrize(
        ("target", "answer", "passages", "value", "label"),
        [
            ("I don't know", "I don't know.", (), 0, "abstained"),
            ("14 days", "I don't know.", (), 0, "abstained"),
            ("I don't know", "14 days", ("p2",), 1, "made up an answer"),
            ("14 days", "fourteen days", (), 0, "right"),
            ("four", "The answer is: none", ("p1",), 0, "wrong by what it was shown"),
            ("four", "none", (), 1, "unsupported"),
            ("14 days", "You have 30 days", ("p2",), 1, "unsupported"),
            ("14 days", "7.5 pounds a day", ("p2",), 0, "wrong by what it was shown"),
            ("14 days", "7.5 pounds a day", ("p1",), 1, "unsupported"),
            ("14 days", "Leeds", (), 0, "wrong by what it was shown"),
            ("14 days", "Leeds spaces for bicycles and tandems and wheelbarrows", ("p1",), 1, "unsupported"),
        ],
    )
    def test_by_hand(self, target: str, answer: str, passages: tuple[str, ...], value: int, label: str) -> None:
        said = mark("hallucination", target, answer, passages=passages)
        assert (said.value, said.label) == (value, label)

    def test_says_what_it_was_not_given(self) -> None:
        assert mark("hallucination", "14 days", "30 weeks", passages=("p2",)).reason == "was not given: 30, week"

    def test_another_right_wording_is_right(self) -> None:
        assert mark("hallucination", "14 days", "a fortnight", accept="fortnight").label == "right"

    def test_a_passage_that_is_in_no_document_is_missing(self) -> None:
        assert mark("hallucination", "14 days", "30 days", passages=("gone",)).label == "scorer_error"

    def test_its_passages_are_no_setting(self) -> None:
        metric = MetricSpec(scorer="hallucination", settings={"passages": {}})
        with pytest.raises(SpecError, match="no such setting"):
            build("m", metric, ABSTAIN, no_embedder)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        (MetricSpec(scorer="fact"), True),
        (MetricSpec(scorer="hallucination"), False),
        (MetricSpec(scorer="unsupported_items"), False),
        (MetricSpec(scorer="semantic_similarity"), True),
        (MetricSpec(scorer="own.py:grade"), True),
        (MetricSpec(scorer="own.py:errors", higher_is_better=False), False),
    ],
)
def test_a_stored_run_reads_each_metric_in_its_direction(metric: MetricSpec, higher: bool) -> None:
    assert higher_is_better(metric) is higher

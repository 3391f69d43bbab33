"""What the scorers say, against hand-worked cases, laws that hold for any input, and other people's libraries."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.answer import Answer
from harness.errors import SpecError
from harness.models.base import Completion
from harness.scorers import Mark, Scorer, build
from harness.scorers.structured import f1
from harness.spec import MetricSpec
from harness.taskset import Example

LIST = Answer("list", singular=True)
TEXT = Answer("text")
LINES = "2 large Eggs, beaten\n1 tsp jalapeños\nchicken or vegetable stock\nsun-dried tomatoes"
ITEMS = st.lists(st.sampled_from(["egg", "eggs", "Salt ", "salt", "sugar", "flour", "milk", "Ghee", ""]), max_size=6)


def no_embedder() -> object:
    raise AssertionError("no embedder was to be opened")


def scorer(name: str, answer: Answer = LIST, **spec: object) -> Scorer:
    return build("m", MetricSpec(scorer=name, **spec), answer, no_embedder)  # type: ignore[arg-type]


def mark(kind: Scorer, target: str | Sequence[str], answer: str, lines: str = LINES) -> Mark:
    example = Example("1", {"lines": lines}, target if isinstance(target, str) else tuple(target), "test")
    return asyncio.run(kind.score([(example, Completion(text=answer))]))[0]


class TestSetF1:
    @pytest.mark.parametrize(
        ("target", "answer", "value"),
        [
            (["egg", "salt"], '["egg", "salt"]', 1.0),
            (["egg", "salt"], '["Salt.", " EGGS "]', 1.0),
            (["egg", "salt"], '["egg", "egg", "egg"]', 2 / 3),
            (["egg", "salt"], '["sugar"]', 0.0),
            (["egg"], "[]", 0.0),
            ([], '["egg"]', 0.0),
            ([], "[]", 1.0),
            (["egg", "salt", "milk"], '["egg", "salt", "ghee", "flour"]', 4 / 7),
        ],
    )
    def test_by_hand(self, target: list[str], answer: str, value: float) -> None:
        assert mark(scorer("set_f1"), target, answer).value == pytest.approx(value, abs=1e-15)

    def test_says_what_was_missed_and_added(self) -> None:
        assert mark(scorer("set_f1"), ["egg", "salt"], '["egg", "ghee"]').reason == "missed salt; added ghee"

    @settings(deadline=None)
    @given(ITEMS, ITEMS, st.randoms())
    def test_laws(self, a: list[str], b: list[str], random) -> None:  # type: ignore[no-untyped-def]
        kind = scorer("set_f1")
        value = mark(kind, a, json.dumps(b)).value
        assert value is not None
        assert 0 <= value <= 1
        assert value == mark(kind, b, json.dumps(a)).value, "symmetric"
        random.shuffle(b)
        assert value == mark(kind, a, json.dumps(b + b[:2])).value, "order and repetition do not count"
        exact = mark(scorer("exact_set"), a, json.dumps(b)).value
        assert (value == 1) == (exact == 1)

    @settings(deadline=None)
    @given(st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
    def test_agrees_with_scikit_learn(self, a: set[str], b: set[str]) -> None:
        from sklearn.metrics import f1_score

        truth, said = [[int(c in s) for c in "abcdef"] for s in (a, b)]
        expected = f1_score(truth, said, zero_division=1.0 if not a and not b else 0.0)
        assert f1(frozenset(b), frozenset(a)) == pytest.approx(expected, abs=1e-12)


class TestExact:
    @pytest.mark.parametrize(
        ("answer", "value"), [(" Paris. ", 1), ("PARIS", 1), ("Ｐａｒｉｓ", 1), ("Paris, France", 0), ("", 0)]
    )
    def test_text(self, answer: str, value: int) -> None:
        assert mark(scorer("exact", TEXT), "paris", answer).value == value

    def test_a_list_in_order(self) -> None:
        assert mark(scorer("exact"), ["egg", "salt"], '["Eggs", "salt"]').value == 1
        assert mark(scorer("exact"), ["egg", "salt"], '["salt", "egg"]').value == 0

    def test_a_label(self) -> None:
        answer = Answer("label", labels=("Yes", "No"))
        assert mark(scorer("exact", answer), "Yes", "yes.").value == 1
        assert mark(scorer("exact", answer), "Yes", "maybe") == Mark(0.0, "unparseable", "not one of Yes, No")


class TestContains:
    @pytest.mark.parametrize(
        ("target", "answer", "value"),
        [
            ("Paris", "It is PARIS, of course.", 1.0),
            ("art", "party", 0.0),
            ("don't know", "I don’t know", 1.0),
            (["egg", "salt"], "eggs only", 0.5),
            ("New York", "York is new", 0.0),
        ],
    )
    def test_by_hand(self, target: str | list[str], answer: str, value: float) -> None:
        assert mark(scorer("contains", TEXT), target, answer).value == value

    def test_an_empty_target_is_not_found_in_everything(self) -> None:
        assert mark(scorer("contains", TEXT), "", "anything").label == "scorer_error"

    @settings(deadline=None)
    @given(st.text(alphabet="abc é", max_size=20).filter(str.strip), st.text(alphabet="xyz ", max_size=20))
    def test_a_text_contains_itself(self, target: str, around: str) -> None:
        assert mark(scorer("contains", TEXT), target, f"{around} {target} {around}").value == 1


class TestUnsupportedItems:
    @pytest.mark.parametrize(
        ("answer", "value"),
        [
            ('["egg"]', 0.0),
            ('["eggs", "unicorn horn"]', 0.5),
            ("[]", 0.0),
            ('["gg"]', 1.0),
            ('["jalapeno", "sun dried tomato"]', 0.0),
            ('["chicken stock", "vegetable stock"]', 0.0),
            ('["chicken tomato"]', 1.0),
            ('["egg", "salt", "pepper", "ghee"]', 0.75),
        ],
    )
    def test_by_hand(self, answer: str, value: float) -> None:
        assert mark(scorer("unsupported_items"), ["whatever"], answer).value == value

    def test_says_which(self) -> None:
        assert mark(scorer("unsupported_items"), [], '["egg", "ghee"]').reason == "not in the input: ghee"

    def test_words_far_apart_in_prose_support_nothing(self) -> None:
        prose = "a chicken crossed the road " + "and went on " * 10 + "until it met a stock broker"
        assert mark(scorer("unsupported_items"), [], '["chicken stock"]', prose).value == 1

    def test_only_the_columns_that_are_named(self) -> None:
        kind = scorer("unsupported_items", settings={"columns": ["title"]})
        example = Example("1", {"title": "Egg soup", "lines": "salt"}, (), "test")
        (said,) = asyncio.run(kind.score([(example, Completion(text='["egg", "salt"]'))]))
        assert said.value == 0.5
        bad = scorer("unsupported_items", settings={"columns": ["nowhere"]})
        (said,) = asyncio.run(bad.score([(example, Completion(text='["egg"]'))]))
        assert (said.value, said.label) == (None, "scorer_error")

    @settings(deadline=None)
    @given(st.lists(st.sampled_from([line for line in LINES.splitlines()]), max_size=4), ITEMS)
    def test_more_inventions_never_lower_it(self, given_: list[str], invented: list[str]) -> None:
        kind = scorer("unsupported_items")
        base = mark(kind, [], json.dumps(given_)).value
        more = mark(kind, [], json.dumps([*given_, *(f"{i} unheard of" for i in invented)])).value
        assert base == 0
        assert more is not None
        assert 0 <= more <= 1


class TestJsonMatch:
    @pytest.mark.parametrize(
        ("target", "answer", "value"),
        [
            ('{"a": 1, "b": "X"}', '{"b": "x ", "a": 1.0}', 1.0),
            ('{"a": 1}', '{"a": true}', 0.0),
            ('{"a": 1}', '{"a": 1, "b": 2}', 0.5),
            ('{"a": null}', "{}", 0.0),
            ('{"a": [1, {"b": 2}]}', '```json\n{"a": [1, {"b": 2}]}\n```', 1.0),
            ("[1, 2]", "[2, 1]", 0.0),
            ("{}", "{}", 1.0),
            ('{"a": 1}', "[]", 0.0),
        ],
    )
    def test_by_hand(self, target: str, answer: str, value: float) -> None:
        assert mark(scorer("json_match", Answer("json")), target, answer).value == value

    def test_named_fields(self) -> None:
        kind = scorer("json_match", Answer("json"), settings={"fields": ["who.name", "tags.0", "gone"]})
        said = mark(kind, '{"who": {"name": "Ada"}, "tags": ["x"]}', '{"who": {"name": "ADA"}, "tags": ["y"], "z": 1}')
        assert said == Mark(pytest.approx(2 / 3), reason="differs in tags.0")  # type: ignore[arg-type]

    def test_a_bad_target_is_missing_and_a_bad_answer_is_wrong(self) -> None:
        kind = scorer("json_match", Answer("json"))
        assert mark(kind, "{", "{}").label == "scorer_error"
        assert mark(kind, "{}", "{").label == "unparseable"
        assert mark(scorer("json_match", TEXT), "{}", "no json").label == "unparseable"

    values = st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
        max_leaves=6,
    )

    @settings(deadline=None)
    @given(values, values)
    def test_laws(self, a: object, b: object) -> None:
        kind = scorer("json_match", Answer("json"))
        assert mark(kind, json.dumps(a), json.dumps(a)).value == 1
        one, other = mark(kind, json.dumps(a), json.dumps(b)).value, mark(kind, json.dumps(b), json.dumps(a)).value
        assert one is not None
        assert 0 <= one <= 1
        assert one == other


class TestAbstention:
    ANSWER = Answer("text", abstain="I don't know")

    @pytest.mark.parametrize(
        ("target", "answer", "value", "label"),
        [
            ("I don't know", "I don’t know.", 1, "rightly abstained"),
            ("I don't know", "Bonn", 0, "made up an answer"),
            ("Bonn", "I don't know the answer to that", 0, "wrongly abstained"),
            ("Bonn", "Kiel", 1, "answered"),
            ("I don't know", "I do not know that", 1, "rightly abstained"),
            ("Bonn", "I know Bonn", 1, "answered"),
            (
                "Bonn",
                "I don't know every city of the land, but the one that you look for is clearly Bonn",
                1,
                "answered",
            ),
        ],
    )
    def test_by_hand(self, target: str, answer: str, value: int, label: str) -> None:
        assert mark(scorer("abstention", self.ANSWER), target, answer) == Mark(value, label)

    def test_needs_the_words_for_it(self) -> None:
        with pytest.raises(SpecError, match=r"task\.answer\.abstain"):
            scorer("abstention", TEXT)


class Vectors:
    """An embedder with given vectors; counts its calls."""

    digest = "vectors"

    def __init__(self, table: dict[str, list[float]]) -> None:
        self.table, self.calls = table, 0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.calls += 1
        return np.asarray([self.table[t] for t in texts], dtype=np.float32)


class TestSemanticSimilarity:
    def score(self, vectors: Vectors, answer: Answer, *pairs: tuple[str | tuple[str, ...], str]) -> list[Mark]:
        kind = build("m", MetricSpec(scorer="semantic_similarity"), answer, lambda: vectors)  # type: ignore[arg-type, return-value]
        examples = [(Example(str(i), {}, t, "test"), Completion(text=a)) for i, (t, a) in enumerate(pairs)]
        return asyncio.run(kind.score(examples))

    def test_is_the_clipped_cosine_and_embeds_once(self) -> None:
        vectors = Vectors({"a": [1, 0], "b": [0.6, 0.8], "c": [-1, 0], " ": [0, 1]})
        marks = self.score(vectors, TEXT, ("a", "b"), ("a", "c"), ("a", ""), ("a", "a"))
        assert [m.value for m in marks] == pytest.approx([0.6, 0.0, 0.0, 1.0], abs=1e-6)
        assert vectors.calls == 1

    def test_a_list_is_compared_without_its_brackets(self) -> None:
        vectors = Vectors({"egg, salt": [1, 0], "Egg": [0.6, 0.8]})
        marks = self.score(vectors, LIST, (("egg", "salt"), '["egg", "salt"]'), (("egg", "salt"), "Egg"))
        assert [m.value for m in marks] == pytest.approx([1, 0.6], abs=1e-6)

    @pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
    def test_ragas_nan_is_missing_and_the_rest_is_marked(self) -> None:
        marks = self.score(Vectors({"a": [1, 0], "b": [0, 0], "c": [1, 0]}), TEXT, ("a", "b"), ("a", "c"))
        assert (marks[0].value, marks[0].label) == (None, "scorer_error")
        assert marks[1].value == pytest.approx(1)

    def test_an_embedder_that_breaks_is_missing(self) -> None:
        marks = self.score(Vectors({}), TEXT, ("a", "b"))
        assert (marks[0].value, marks[0].label) == (None, "scorer_error")

    @pytest.mark.weights
    def test_the_real_embedder_tells_near_from_far(self) -> None:
        from harness.models import weights
        from harness.retrieval import Embedder

        embedder = Embedder(weights.fetch("all-minilm-l6-v2"))
        kind = build("m", MetricSpec(scorer="semantic_similarity"), LIST, lambda: embedder)
        example = Example("1", {}, ("egg", "spring onion", "butter"), "test")
        answers = [
            '["egg", "spring onion", "butter"]',
            '["eggs", "scallion", "butter"]',
            '["bicycle", "tax form"]',
            "[]",
        ]
        marks = asyncio.run(kind.score([(example, Completion(text=a)) for a in answers]))
        same, near, far, empty = (m.value for m in marks)
        assert same == pytest.approx(1, abs=1e-5)
        assert None not in (near, far, empty)
        assert same > near > far + 0.3  # type: ignore[operator]
        assert 0 <= empty < 0.4  # type: ignore[operator]

    def test_ragas_sends_nothing_home(self) -> None:
        self.score(Vectors({"a": [1, 0]}), TEXT, ("a", "a"))
        from ragas import _analytics

        assert _analytics.do_not_track()
        assert os.environ["RAGAS_DO_NOT_TRACK"] == "true"


class TestCustom:
    def write(self, folder: Path, body: str) -> Scorer:
        (folder / "own.py").write_text(f"def grade(input, target, answer_text):\n    {body}\n")
        return build("m", MetricSpec(scorer="own.py:grade"), TEXT, no_embedder, lambda p: folder / p)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("body", "value", "reason"),
        [
            ("return 0.25", 0.25, ""),
            ("return True", 1.0, ""),
            ("return 0.5, 'half'", 0.5, "half"),
            ("return input['lines'] == 'x' and target == 't' and answer_text == 'a'", 1.0, ""),
            ("return 1.5", None, "outside"),
            ("return float('nan')", None, "NaN"),
            ("return 'x'", None, "ValueError"),
            ("return None", None, "TypeError"),
            ("return 1 / 0", None, "ZeroDivisionError"),
        ],
    )
    def test_values(self, tmp_path: Path, body: str, value: float | None, reason: str) -> None:
        said = mark(self.write(tmp_path, body), "t", "a", lines="x")
        assert said.value == value
        assert reason in said.reason
        assert (said.label == "scorer_error") == (value is None)

    def test_an_edited_file_is_another_scorer(self, tmp_path: Path) -> None:
        assert self.write(tmp_path, "return 1").digest != self.write(tmp_path, "return 0").digest

    def test_what_cannot_be_loaded_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "own.py").write_text("x = (")
        for name, said in (("own.py:f", "cannot be imported"), ("gone.py:f", "no such file")):
            with pytest.raises(SpecError, match=rf"metrics\.m\.scorer.*{said}"):
                build("m", MetricSpec(scorer=name), TEXT, no_embedder, lambda p: tmp_path / p)  # type: ignore[arg-type]


class TestBuild:
    def test_a_near_miss_is_suggested(self) -> None:
        with pytest.raises(SpecError, match=r"(?s)metrics\.m\.scorer: no such scorer.*did you mean 'set_f1'"):
            scorer("set_f2")

    def test_all_mistakes_at_once(self) -> None:
        with pytest.raises(SpecError) as caught:
            scorer("json_match", settings={"field": ["a"], "fields": ["b"]}, higher_is_better=False)
        assert {p.path for p in caught.value.problems} == {"metrics.m.settings.field", "metrics.m.higher_is_better"}

    def test_a_setting_of_the_wrong_type(self) -> None:
        with pytest.raises(SpecError, match=r"(?s)metrics\.m\.settings\.fields.*got: 3"):
            scorer("json_match", settings={"fields": 3})

    @pytest.mark.parametrize("key", ["name", "answer"])
    def test_settings_cannot_reach_the_scorer_itself(self, key: str) -> None:
        with pytest.raises(SpecError, match="no such setting"):
            scorer("set_f1", settings={key: "x"})

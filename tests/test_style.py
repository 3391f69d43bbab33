"""The style scorer: what it says, what it says of itself, and what it is told when its examples are none."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.answer import Answer
from harness.errors import DataError, SpecError
from harness.models.base import Completion
from harness.scorers import Mark, build, embeds
from harness.scorers.style import Style, Text, read, train
from harness.spec import MetricSpec
from harness.taskset import Example
from tests.conformance.test_scorer import WordEmbedder

WORDS = ("yolk", "hen", "shell", "coop", "feed", "straw", "cock", "chick", "nest", "farm", "brood", "egg")


def texts(noise: int = 0) -> list[dict[str, Any]]:
    """Two texts about each word; the first `noise` words' texts are labelled the wrong way round."""
    return [
        {"text": f"{word} {said} {said}", "style": int((said == "alas") != (i < noise)), "cluster": word, "kind": said}
        for i, word in enumerate(WORDS)
        for said in ("alas", "plain")
    ]


def file(folder: Path, rows: list[Any], name: str = "style.jsonl") -> Path:
    made = folder / name
    made.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return made


def made(examples: Path, **settings: Any) -> Style:
    spec = MetricSpec(scorer="style", settings={"examples": examples.name, **settings})
    scorer = build("style", spec, Answer(), WordEmbedder, lambda p: examples.parent / p)  # type: ignore[arg-type]
    assert isinstance(scorer, Style)
    return scorer


def marks(scorer: Any, *answers: str, **kept: str) -> list[Mark]:
    example = Example("1", {"question": "?"}, "x", "test", kept=kept)
    return asyncio.run(scorer.score([(example, Completion(text=a)) for a in answers]))


def test_it_marks_by_style_and_not_by_subject(tmp_path: Path) -> None:
    found = marks(made(file(tmp_path, texts())), "a yolk alas alas", "a yolk plain plain", "a goose alas", "")
    assert [m.value for m in found] == [1.0, 0.0, 1.0, 0.0]
    assert [m.label for m in found] == ["in style", "not in style", "in style", "empty"]
    assert found[0].reason.startswith("probability 0.")


def test_its_accuracy_is_of_texts_that_it_did_not_see(tmp_path: Path) -> None:
    sure, unsure = made(file(tmp_path, texts())), made(file(tmp_path, texts(noise=4), "noisy.jsonl"))
    assert (sure.standing.n, sure.standing.right) == (24, 1.0)
    assert sure.standing.low is not None
    assert sure.standing.low < 1.0
    assert unsure.standing.right == pytest.approx(16 / 24)  # the 8 that are labelled wrongly are never learnt
    assert "right on 66.7 % [" in unsure.standing.note
    assert "worst on 'alas', right on 67 % of 12" in unsure.standing.note


class OneEach:
    """Each text's first word is a dimension of its own: nothing is known of a word that was not seen."""

    def embed(self, texts: list[str]) -> Any:
        words = sorted({t.split()[0] for t in texts})
        return np.eye(len(words), dtype=np.float32)[[words.index(t.split()[0]) for t in texts]]


def test_clusters_are_kept_whole_when_it_is_measured() -> None:
    """The style goes with the cluster's word: whoever had seen a text of a cluster would be right on the rest of it."""
    rows = [(f"{w}{i}", i, n) for i in (0, 1) for w in WORDS for n in range(6)]
    grouped = train([Text(f"{w} number {n}", i, w, "") for w, i, n in rows], OneEach(), 100)  # type: ignore[arg-type]
    apart = train([Text(f"{w} number {n}", i, f"{w}{n}", "") for w, i, n in rows], OneEach(), 100)  # type: ignore[arg-type]
    assert apart.standing.right == 1.0
    assert grouped.standing.right is not None
    assert grouped.standing.right < 0.7


def test_other_examples_are_another_scorer(tmp_path: Path) -> None:
    one = made(file(tmp_path, texts())).digest
    assert made(file(tmp_path, texts())).digest == one
    assert made(file(tmp_path, texts()), C=2).digest != one
    assert made(file(tmp_path, texts()[:-1])).digest != one


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "the file is empty"),
        ([*texts(), '{"text": "cut'], r"style\.jsonl:25"),
        ([*texts(), {"text": " ", "style": 1}], "needs a text"),
        ([*texts(), {"text": "egg", "style": "dry"}], r"'dry', but valid is 1 \(in the house style\) or 0|1 or 0"),
        ([*texts(), {"text": "egg", "style": True}], "a style is 1 or 0"),
        ([r for r in texts() if r["style"] == 1], "0 texts of style 0"),
        ([{**r, "cluster": "one"} for r in texts()], "12 texts of style 1 in 1 clusters"),
    ],
)
def test_bad_examples_are_told(tmp_path: Path, rows: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(file(tmp_path, rows))


def test_all_bad_rows_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read(file(tmp_path, [*texts(), {"text": "", "style": 1}, {"text": "egg", "style": 2}]))
    assert [p.where.rpartition(":")[2] for p in error.value.problems] == ["25", "26"]


def test_examples_are_a_needed_setting() -> None:
    with pytest.raises(SpecError, match=r"style needs the setting `examples`"):
        build("s", MetricSpec(scorer="style"), Answer(), WordEmbedder)  # type: ignore[arg-type]


def test_must_wants_every_item_in_any_of_its_wordings() -> None:
    scorer = build("m", MetricSpec(scorer="must"), Answer(), WordEmbedder)  # type: ignore[arg-type]
    said = ["Eight legs, and it is in CANBERRA.", "It has 8. Canberra!", "Eight", "weight in canberras", ""]
    found = marks(scorer, *said, must="8|eight\ncanberra")
    assert [m.value for m in found] == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert found[2].reason == "without canberra"
    assert marks(scorer, "anything")[0].value is None  # a row without items would make every answer right


OTHERS = {
    "right": MetricSpec(scorer="must"),
    "style": MetricSpec(scorer="style", settings={"examples": "style.jsonl"}),
    "invented": MetricSpec(scorer="unsupported_items"),
    "both": MetricSpec(scorer="all_of", settings={"of": ["right", "style"]}),
}


def both(folder: Path | None, *of: str) -> Any:
    spec = MetricSpec(scorer="all_of", settings={"of": list(of)} if of else {})
    locate = (lambda p: folder / p) if folder else None
    return build("both", spec, Answer(), WordEmbedder, locate, others=OTHERS)  # type: ignore[arg-type]


def test_all_of_is_right_and_in_style(tmp_path: Path) -> None:
    file(tmp_path, texts())
    found = marks(
        both(tmp_path, "right", "style"), "eight alas", "eight plain", "nine alas", "nine plain", must="eight"
    )
    assert [m.value for m in found] == [1.0, 0.0, 0.0, 0.0]
    assert [m.label for m in found] == ["all", "style: not in style", "right: wrong", "right: wrong"]


def test_all_of_turns_a_metric_of_which_less_is_better_and_stays_open_where_a_part_is(tmp_path: Path) -> None:
    (mark,) = marks(both(tmp_path, "right", "invented"), "egg", must="egg")
    assert (mark.value, mark.label) == (0.0, "invented")  # no input names an egg: all of the answer is invented
    (mark,) = marks(both(tmp_path, "right", "invented"), "egg")
    assert (mark.value, mark.label) == (None, "scorer_error")
    assert mark.reason.startswith("right: ")


@pytest.mark.parametrize(
    ("of", "said"),
    [((), "two metrics at least"), (("right",), "two metrics"), (("right", "stile"), "did you mean 'style'"),
     (("right", "both"), "none of them all_of")],
)  # fmt: skip
def test_what_all_of_cannot_hold_is_told(of: tuple[str, ...], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        both(None, *of)


def test_a_changed_style_file_changes_the_digest_of_what_holds_it(tmp_path: Path) -> None:
    file(tmp_path, texts())
    one = both(tmp_path, "right", "style").digest
    file(tmp_path, texts(noise=1))
    assert both(tmp_path, "right", "style").digest != one


def test_which_metrics_need_the_embedder() -> None:
    assert [n for n, m in OTHERS.items() if embeds(m, OTHERS)] == ["style", "both"]


@pytest.mark.weights
def test_the_tone_set_teaches_a_classifier_that_is_right_more_often_than_not() -> None:
    """Texts in style and not are half and half: guessing is right on 50 %, and it must do clearly better."""
    from harness.models import weights
    from harness.retrieval import Embedder

    tone = Path(__file__).parent.parent / "datasets" / "tone" / "style.jsonl"
    found = train(read(tone), Embedder(weights.fetch("all-minilm-l6-v2", lambda done, total: None)), 1.0).standing
    assert found.n == 444
    assert found.low is not None
    assert found.low > 0.75

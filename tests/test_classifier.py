"""The linear classifier: a floor without a language model that pays for its rows and seconds, the same every time."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import check as checking
from harness import pipeline, reading, specfile
from harness.errors import DataError, SpecError
from harness.models import weights
from harness.reading import Result
from harness.report import view_of
from harness.retrieval import Embedder

QUEUES = {
    "parcels": "parcel courier tracking delivery depot van doorstep",
    "money": "refund invoice charged card bank payment twice",
    "login": "password login account locked code reset email",
}
YAML = """\
version: 1
question: Is a linear model enough?
model: scripted/fake.py:answer
task:
  data: data
  input: "{{ text }}"
  target: "{{ queue }}"
  answer: {format: label, labels: [parcels, Money, login]}
arms:
  classifier: {technique: classifier, C: [10, 0.1], features: [tfidf]}
  prompt: {technique: prompt, system: Route it.}
  tuned: {technique: fine_tune, tuner: existing, served: "scripted/fake.py:answer", system: Route.}
metrics:
  accuracy: {scorer: exact}
economics: {local_usd_per_hour: 3.6, labelling_usd_per_row: 2, requests_per_month: 1000}
"""


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    """Three queues that differ by their words; the scripted model always says the same."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "fake.py").write_text("def answer(request):\n    return 'login'\n")
    (tmp_path / "data").mkdir()
    for split, part in (("train", slice(0, 30, 5)), ("dev", slice(2, 12, 5)), ("test", slice(18, 28, 5))):
        rows = [
            {"id": f"{split}-{queue}-{i}", "text": " ".join(words), "queue": queue}
            for queue, known in QUEUES.items()
            for i, words in enumerate(list(itertools.combinations(known.split(), 4))[part])
        ]
        (tmp_path / "data" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "bench.yaml").write_text(YAML)
    return tmp_path


def run(folder: Path) -> Result:
    return asyncio.run(pipeline.run_benchmark(specfile.read(folder / "bench.yaml")))


def answers(result: Result) -> dict[str, str]:
    return {t.example: t.completion.text for t in result.directory.read_trials() if t.completion and t.arm[0] == "c"}


def test_it_is_an_arm_like_any_other_and_pays_for_rows_and_seconds(tickets: Path) -> None:
    result = run(tickets)
    fit = result.directory.fit("classifier")
    assert fit is not None
    assert fit.model == "none"
    assert [t.config["extra"]["C"] for t in fit.trials] == [0.1, 10.0]
    assert fit.dev_score is not None
    assert fit.dev_score > 0.9
    assert (fit.cost.trials, fit.cost.labelled_rows) == (2, 18)
    assert fit.cost.train_seconds > 0
    assert fit.cost.train_usd == pytest.approx(fit.cost.train_seconds * 0.001)
    assert set(answers(result).values()) == {"parcels", "Money", "login"}, "as the labels are spelt"
    frozen = result.directory.frozen()
    assert frozen is not None
    assert frozen.baseline == "classifier", "it is no fine-tune, and the best on dev"
    board = reading.board_of(result.directory, benchmark := reading.benchmark_of(result.directory))
    effort = board.efforts["classifier"]
    assert effort.compute_seconds > 0
    assert effort.usd == pytest.approx(effort.compute_seconds * 0.001)
    seen = view_of(result.directory, benchmark, result.verdict, result.manifest)
    bill = next(a.bill for a in seen.arms if a.name == "classifier")
    assert bill.labelling == 36.0
    facts = {fact.label: fact for fact in seen.checklist[0].facts}
    assert "points below it" in facts["classifier, without a language model"].note


def test_the_same_rows_give_the_same_answers(tickets: Path) -> None:
    first = answers(run(tickets))
    for kept in (tickets / "reports").rglob("*.*"):
        kept.unlink()
    assert answers(run(tickets)) == first


def test_its_estimate_is_there_before_the_run(tickets: Path) -> None:
    located = specfile.read(tickets / "bench.yaml")
    estimate = asyncio.run(checking.check(located, pipeline.quiet)).estimate
    assert estimate is not None
    arm = next(a for a in estimate.arms if a.arm == "classifier")
    assert (arm.dev, arm.test, arm.seconds, arm.prompt_tokens) == (12, 6, 0.0, 0.0)
    assert arm.train_seconds == pytest.approx(1.0)
    assert arm.train_usd == pytest.approx(0.001)


def test_rows_of_one_label_are_refused_before_anything_is_spent(tickets: Path) -> None:
    file = tickets / "data" / "train.jsonl"
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines() if "parcels" in line))
    with pytest.raises(DataError, match=r"two labels at least(.|\n)*6 rows, all 'parcels'"):
        run(tickets)
    assert not (tickets / "reports").exists()


def test_a_label_without_train_rows_is_said(tickets: Path) -> None:
    file = tickets / "data" / "train.jsonl"
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines() if "money" not in line))
    fit = run(tickets).directory.fit("classifier")
    assert fit is not None
    assert fit.notes == ("no train row is labelled Money: it is never answered",)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("answer: {format: label, labels: [parcels, Money, login]}", "answer: {format: text}", "one of a few labels"),
        ("C: [10, 0.1]", "C: 0", "arms.classifier.C"),
        ("C: [10, 0.1]", "C: [1, 2, 3, 4, 5, 6, 7]", "7 configurations"),
        ("features: [tfidf]", "features: [tf-idf]", "did you mean `tfidf`"),
        ("features: [tfidf]", "extends: prompt", "a classifier asks no model"),
        ("system: Route it.", "extends: classifier", "a classifier arm has no prompt to hand on"),
    ],
)
def test_what_cannot_be_asked_of_it(tickets: Path, before: str, after: str, said: str) -> None:
    file = tickets / "bench.yaml"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    with pytest.raises(SpecError, match=said):
        specfile.read(file)


class Vectors:
    """In place of sentence-transformers: a vector of letter counts, and how often it was asked."""

    asked = 0

    def encode(self, texts: Sequence[str], **_: object) -> list[list[float]]:
        self.asked += len(texts)
        return [[1.0 + text.count(c) for c in "abcdefgh"] for text in texts]


def test_a_vector_is_charged_to_every_arm_that_needs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    vectors = Vectors()
    monkeypatch.setattr("harness.retrieval._sentence_transformer", lambda path: vectors)
    embedder = Embedder(tmp_path)
    embedder.embed(["a", "b"])
    took = embedder.seconds(["a", "b", "a"])
    assert took > 0
    embedder.embed(["b", "c"])
    assert vectors.asked == 3
    assert embedder.seconds(["a", "b"]) == took
    with pytest.raises(KeyError):
        embedder.seconds(["d"])


@pytest.mark.weights
def test_on_sentence_vectors(tickets: Path) -> None:
    file = tickets / "bench.yaml"
    file.write_text(file.read_text().replace("features: [tfidf]", "features: [embedding, tfidf]"))
    result = run(tickets)
    fit = result.directory.fit("classifier")
    assert fit is not None
    assert fit.cost.trials == 4
    assert [t.config["extra"]["features"] for t in fit.trials] == ["embedding", "embedding", "tfidf", "tfidf"]
    right = sum(example.split("-")[1] == text.lower() for example, text in answers(result).items())
    assert right >= 5
    assert weights.cached("all-minilm-l6-v2")

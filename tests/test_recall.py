"""Passages: found, shown, trained on, and reported as recall, in one run of scripted models over a small handbook."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from harness import console, gates, pipeline, reading, recall, specfile
from harness.report import html, markdown
from harness.store import RunDirectory
from harness.techniques import FineTune
from harness.techniques.base import Recipe
from harness.workbench import Workbench
from tests import reports

TOPICS = ("parking", "refunds", "holidays", "bicycles", "canteen", "pension", "wardrobe", "laundry")
FAKE = '''\
"""Scripted models that copy the number behind the word that they are asked for, if a note says it."""

import re


def answer(request):
    *_, notes, question = ("", *request.messages[-1].content.rsplit("Question:", 1))
    word = question.split()[-1]
    found = re.search(rf"{word} costs (\\d+) pounds", notes)
    return f"It is £{found[1]}." if found else "I don't know"
'''
YAML = """\
version: 1
question: Does it look things up?
model: scripted/fake.py:answer
task:
  data: data
  input: "Question: {{ question }}"
  target: "{{ answer }}"
  keep: [accept]
  answer: {abstain: "I don't know"}
arms:
  prompt: {technique: prompt, system: Answer.}
  rag:    {technique: rag, extends: prompt, documents: data/documents.jsonl, top_k: 2}
  tuned:  {technique: fine_tune, tuner: existing, served: "scripted/fake.py:answer", extends: prompt,
           documents: data/documents.jsonl, top_k: 1}
metrics:
  correctness: {scorer: fact, primary: true}
  invented: {scorer: hallucination}
  abstention: {scorer: abstention}
run: {allow_near_duplicates: true}
gates:
  finds: {arm: "*", min_recall_at: [1, 0.5]}
"""


class Words:
    """An embedder of hashed words; needs no weights."""

    digest = "words"

    def embed(self, texts: list[str]) -> Any:
        vectors = np.full((len(texts), 256), 1e-3, dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in text.casefold().split():
                vector[hashlib.sha256(word.strip(".:?").encode()).digest()[0]] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    async def embedder(_: Workbench) -> Words:
        return Words()

    monkeypatch.setattr(Workbench, "embedder", embedder)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "fake.py").write_text(FAKE)
    (tmp_path / "bench.yaml").write_text(YAML)
    (tmp_path / "data").mkdir()

    def write(name: str, rows: list[dict[str, object]]) -> None:
        (tmp_path / "data" / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))

    pages = [{"id": t, "title": t, "text": f"{t} costs {n + 10} pounds a year"} for n, t in enumerate(TOPICS)]
    write("documents", pages)
    for split, ask in (("train", "Tell me the price of"), ("dev", "What is charged for"), ("test", "How much is")):
        rows: list[dict[str, object]] = [
            {"id": f"{split}-{t}", "question": f"{ask} {t}", "answer": f"£{n + 10}", "accept": ["£0"], "relevant": [t]}
            for n, t in enumerate(TOPICS)
        ]
        rows.append({"id": f"{split}-none", "question": f"{ask} happiness", "answer": "I don't know", "relevant": []})
        write(split, rows)
    return tmp_path / "bench.yaml"


def run(file: Path) -> RunDirectory:
    return asyncio.run(pipeline.run_benchmark(specfile.read(file))).directory


def test_shares_by_hand() -> None:
    wanted = [["a"], ["a", "b"], [], ["a"], ["a"]]
    shown = [("x", "a"), ("b#3", "x", "a"), ("a",), None, ("ab", "a#x")]
    assert recall.shares(wanted, shown, 1).tolist() == pytest.approx([0, 0.5, np.nan, np.nan, 0], nan_ok=True)
    assert recall.shares(wanted, shown, 3).tolist() == pytest.approx([1, 1, np.nan, np.nan, 0], nan_ok=True)
    made = recall.recall(wanted, shown, None, 0.05)
    assert made is not None
    assert (made.k, made.n, made.mean) == (3, 3, pytest.approx(2 / 3))
    assert made.low < made.mean < made.high
    assert recall.recall(wanted, [()] * 5, None, 0.05) is None
    assert recall.recall([[]] * 5, shown, None, 0.05) is None


def test_arms_that_look_things_up_know_abstain_and_say_how_much_they_found(bench: Path) -> None:
    directory = run(bench)
    board = reading.board_of(directory, reading.benchmark_of(directory))
    means = {(a, m): board.values[a, m].mean() for a in board.arms for m in board.metrics}
    assert means["rag", "correctness"] == means["tuned", "correctness"] == 1
    assert means["prompt", "correctness"] == pytest.approx(1 / 9)
    assert means["prompt", "abstention"] == pytest.approx(1 / 9)
    assert means["rag", "abstention"] == 1
    assert {means[a, "invented"] for a in board.arms} == {0}
    view = reports.view(directory.path)
    assert {a.name: a.recall and (a.recall.k, a.recall.mean, a.recall.n) for a in view.arms} == {
        "prompt": None, "rag": (2, 1.0, 8), "tuned": (1, 1.0, 8)
    }  # fmt: skip
    out = io.StringIO()
    console.print_view(view, "r.html", Console(file=out, width=200))
    assert "100.0 at 2" in out.getvalue()
    assert json.loads(console.as_json(view, "r.html"))["arms"]["tuned"]["recall"]["k"] == 1
    assert "| recall of passages |" in markdown.summary(view)
    page = html.page(view)
    assert "recall at 2: 100.0 of 100" in page
    assert "its 2 passages hold 100.0\u00a0% of the relevant documents" in page
    found = gates.check(bench)
    assert [(o.arm, o.status) for o in found.outcomes] == [("rag", "pass"), ("tuned", "pass")]


def test_a_rule_that_looks_things_up_says_where(bench: Path) -> None:
    (bench.parent / "rule.py").write_text(
        "def search(row):\n    return {'answer': '11 pounds, as parking says', 'passages': ['refunds', 'nowhere']}\n"
        "def refunds(row):\n    return {'answer': 'It is £11, or 10', 'passages': ['parking', 'refunds']}\n"
        "def torn(row):\n    return {'passages': ['parking']}\n"
    )
    arms = "".join(f"  {n}: {{technique: rule, call: rule.py:{n}}}\n" for n in ("search", "refunds", "torn"))
    bench.write_text(bench.read_text().replace("metrics:\n", arms + "metrics:\n"))
    directory = run(bench)
    labels = {(s.arm, s.example): s.label for s in directory.read_scores() if s.metric == "invented"}
    assert labels["refunds", "test-refunds"] == "right"
    assert labels["refunds", "test-holidays"] == "wrong by what it was shown"
    assert labels["search", "test-holidays"] == "scorer_error"  # a passage that is in no document
    found = {a.name: a.recall and (a.recall.k, a.recall.mean) for a in reports.view(directory.path).arms}
    assert found["refunds"] == (2, 0.25)
    assert {t.outcome.message for t in directory.read_trials() if t.arm == "torn"} == {"KeyError: 'answer'"}


def test_answers_that_nobody_gave_are_held_against_the_passages_shown(bench: Path) -> None:
    script = bench.parent / "fake.py"
    script.write_text("def answer(request):\n    return 'It is 11 pounds, I think, or 77 pounds.'\n")
    directory = run(bench)
    labels = {(s.arm, s.example): s.label for s in directory.read_scores() if s.metric == "invented"}
    assert labels["rag", "test-none"] == "made up an answer"
    assert labels["prompt", "test-refunds"] == "right"
    assert labels["rag", "test-parking"] == "unsupported"


def test_a_fine_tune_with_documents_trains_on_the_prompts_that_it_will_answer(bench: Path) -> None:
    located = specfile.read(bench)
    work, tasks = Workbench(located, pipeline.quiet), pipeline.prepare(located).tasks
    plain, reader = FineTune(technique="fine_tune"), located.benchmark.arms["tuned"]
    assert isinstance(reader, FineTune)

    async def jobs() -> tuple[Any, Any]:
        base = await work.base()
        start = Recipe(system="Answer.")
        made = [await t.job(tasks.train, tasks.dev, base, start, work, bench.parent) for t in (plain, reader)]
        await work.close()
        return made[0], made[1]

    without, with_passages = asyncio.run(jobs())
    assert without.key != with_passages.key
    rows = [json.loads(line)["messages"] for line in with_passages.train.read_text().splitlines()]
    asked = next(r for r in rows if r[1]["content"].endswith("price of refunds"))
    assert asked == [
        {"role": "system", "content": "Answer."},
        {
            "role": "user",
            "content": "Reference notes:\n- refunds: refunds costs 11 pounds a year\n\n"
            "Question: Tell me the price of refunds",
        },
        {"role": "assistant", "content": "£11"},
    ]
    assert "Reference notes" not in without.train.read_text()

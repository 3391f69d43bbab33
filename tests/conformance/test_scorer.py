"""The contract of a scorer, run on every one that a benchmark file can name."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.answer import Answer
from harness.models.base import Completion, Request
from harness.models.scripted import Scripted
from harness.scorers import SCORERS, Mark, Scorer, build
from harness.scorers.judged import JUDGES
from harness.spec import MetricSpec
from harness.taskset import Example, digest

OWN = '''
def overlap(input, target, answer_text):
    """Share of the target's items in the answer."""
    if "boom" in answer_text:
        raise RuntimeError("boom")
    targets = (target,) if isinstance(target, str) else target
    return sum(t in answer_text for t in targets) / max(len(targets), 1), "because"
'''


class WordEmbedder:
    """Unit vectors of hashed words: near texts share words. Real enough for a contract, and needs no weights."""

    digest = digest(["words"])

    def embed(self, texts: list[str]) -> Any:
        vectors = np.full((len(texts), 4096), 1e-4, dtype=np.float32)  # so wide that no two words of a test collide
        for row, text in zip(vectors, texts, strict=True):
            for word in text.split():
                row[int.from_bytes(hashlib.sha256(word.encode()).digest()[:2]) % 4096] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


ABSTAINS = Answer("text", abstain="I don't know")
FORMATS = {
    "json_match": Answer("json"),
    "abstention": ABSTAINS,
    "fact": ABSTAINS,
    "hallucination": ABSTAINS,
    "sql_execution": Answer("sql"),
    "must": Answer("text"),
    "style": Answer("text"),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "sql_execution": {"databases": "dbs"},
    "style": {"examples": "style.jsonl"},
    "all_of": {"of": ["right", "whole"]},
    "rubric": {"rubric": ["nothing", "little", "half", "most", "all"]},
    "faithfulness": {"context": "lines"},
}
OTHERS = {"right": MetricSpec(scorer="set_f1"), "whole": MetricSpec(scorer="exact_set")}
LISTS = Answer("list", singular=True)


def replies(request: Request) -> str:
    """A judge by words: it wants egg and salt, and finds in the input what stands there."""
    prompt = request.messages[-1].content
    data = json.loads(prompt[prompt.rindex("input: ") + 7 : prompt.rindex("Output:")])
    if "statements" in data:
        said = [{"statement": s, "reason": "", "verdict": int(s in data["context"])} for s in data["statements"]]
        return json.dumps({"statements": said})
    if "answer" in data:
        return json.dumps({"statements": data["answer"].casefold().replace(",", "").split()})
    good = {"egg", "salt"} <= set(data["response"].casefold().replace(",", "").split())
    if "user_input" in data:
        return json.dumps({"feedback": "by words", "score": 5 if good else 1})
    return json.dumps({"question": "title: Omelette lines: 2 eggs salt" if good else "why", "noncommittal": 0})


JUDGE = Scripted(replies, name="scripted/judge")
TARGETS: dict[str, str | tuple[str, ...]] = {
    "json_match": '{"city": "Bonn", "year": 1949}',
    "abstention": "I don't know",
    "sql_execution": "SELECT name FROM egg",
    "fact": ("14 days", "£5"),
    "hallucination": "I don't know",
}
ANSWERS = {
    "json_match": ['{"city": "bonn", "year": 1949.0}', '{"city": "Kiel"}', "{}", "[1]", "not json"],
    "abstention": ["I don't know.", "It is Paris", "", "i do not know, perhaps Paris", "🥚"],
    "sql_execution": ["select egg.name from egg;", "SELECT id FROM egg", "", "DROP TABLE egg", "SELECT", "🥚"],
    "fact": ["It's 5 pounds for fourteen days.", "14 days", "I don't know", "", "🥚"],
    "must": ["Eggs and some SALT, sadly.", "An egg.", "", "🥚"],
    "style": ["yolk alas yolk alas", "plain plain fact", "", "🥚"],
    "hallucination": ["I do not know.", "2 eggs", "It is Paris", "", "🥚"],
}
LIST_ANSWERS = ['["egg", "SALT"]', "Eggs, Salt", "[]", '["unicorn horn"]', '["eggs"', "🥚"]
KEPT = {"db": "hens", "must": "egg|ovum\nsalt"}
NAMES = [*SCORERS, "own.py:overlap"]


def spec(name: str, **more: Any) -> MetricSpec:
    """The metric as a benchmark file would say it."""
    judge = "scripted/judge" if name in JUDGES else None
    return MetricSpec(scorer=name, settings=SETTINGS.get(name, {}), judge=judge, **more)


def made(name: str, folder: Path, embedder: WordEmbedder | None = None) -> Scorer:
    """The scorer of this name as a benchmark file would have it."""
    (folder / "own.py").write_text(OWN)
    (folder / "dbs" / "hens").mkdir(parents=True, exist_ok=True)
    (folder / "dbs" / "hens" / "schema.sql").write_text("CREATE TABLE egg(id INTEGER, name TEXT);")
    (folder / "dbs" / "hens" / "fill_a.sql").write_text("INSERT INTO egg VALUES (1, 'Faverolles'), (2, NULL);")
    texts = [{"text": f"{w} {s} {w} {s}", "style": int(s == "alas"), "cluster": w}
             for w in ("yolk", "hen", "shell", "coop", "feed", "straw", "cock", "chick", "nest", "farm", "brood")
             for s in ("alas", "plain")]  # fmt: skip
    (folder / "style.jsonl").write_text("\n".join(map(json.dumps, texts)))
    return build(
        "metric", spec(name), FORMATS.get(name, LISTS),
        lambda: embedder or WordEmbedder(), lambda p: folder / p, others=OTHERS, judge=JUDGE,  # type: ignore[arg-type, return-value]
    )  # fmt: skip


def pairs(name: str) -> list[tuple[Example, Completion]]:
    """An example against answers right, half right, wrong, empty and unreadable."""
    target = TARGETS.get(name, ("egg", "salt"))
    example = Example("e1", {"title": "Omelette", "lines": "2 eggs\nsalt"}, target, "test", kept=KEPT)
    return [(example, Completion(text=text)) for text in ANSWERS.get(name, LIST_ANSWERS)]


@pytest.mark.parametrize("name", NAMES)
class TestScorer:
    def test_marks_every_pair_within_bounds_and_in_order(self, name: str, tmp_path: Path) -> None:
        scorer = made(name, tmp_path)
        marks = asyncio.run(scorer.score(pairs(name)))
        assert len(marks) == len(pairs(name))
        for mark in marks:
            assert isinstance(mark, Mark)
            assert mark.value is None or (0 <= mark.value <= 1 and not math.isnan(mark.value))
            assert mark.value is not None or (mark.label in ("scorer_error", "judge_error") and mark.reason)
        best, worst = (max, min) if scorer.higher_is_better else (min, max)
        values = [m.value for m in marks if m.value is not None]
        assert marks[0].value == best(values)
        assert best(values) != worst(values), "a scorer that cannot tell right from wrong"

    def test_each_pair_is_marked_alone(self, name: str, tmp_path: Path) -> None:
        scorer, batch = made(name, tmp_path), pairs(name)
        together = asyncio.run(scorer.score(batch))
        backwards = asyncio.run(scorer.score(batch[::-1]))[::-1]
        alone = [asyncio.run(scorer.score([pair]))[0] for pair in batch]
        assert together == backwards
        assert [m.label for m in together] == [m.label for m in alone]
        assert [m.value for m in together] == pytest.approx([m.value for m in alone], nan_ok=False)

    def test_no_pairs_no_marks(self, name: str, tmp_path: Path) -> None:
        assert asyncio.run(made(name, tmp_path).score([])) == []

    def test_the_digest_is_stable_and_holds_what_decides(self, name: str, tmp_path: Path) -> None:
        assert made(name, tmp_path).digest == made(name, tmp_path).digest
        others = {made(other, tmp_path).digest for other in NAMES if other != name}
        assert made(name, tmp_path).digest not in others

    def test_direction_cannot_be_turned_round(self, name: str, tmp_path: Path) -> None:
        from harness.errors import SpecError

        scorer = made(name, tmp_path)
        turned = spec(name, higher_is_better=not scorer.higher_is_better)
        if name == "own.py:overlap":  # a scorer of the user's own has the direction that the file says
            own = build("metric", turned, LISTS, WordEmbedder, lambda p: tmp_path / p)  # type: ignore[arg-type]
            assert own.higher_is_better is False
            assert own.digest != scorer.digest
            return
        with pytest.raises(SpecError, match=r"metrics\.metric\.higher_is_better"):
            build("metric", turned, FORMATS.get(name, LISTS), WordEmbedder, others=OTHERS)  # type: ignore[arg-type]

    def test_its_input_is_left_as_it_was(self, name: str, tmp_path: Path) -> None:
        batch = pairs(name)
        before = msgspec.json.encode(batch)
        asyncio.run(made(name, tmp_path).score(batch))
        assert msgspec.json.encode(batch) == before


READS = [name for name in SCORERS if name not in FORMATS and name != "contains"]  # the rest read any text


@pytest.mark.parametrize("name", READS)
def test_an_unreadable_answer_gets_the_worst_mark_and_is_not_missing(name: str, tmp_path: Path) -> None:
    scorer = made(name, tmp_path)
    (mark,) = asyncio.run(scorer.score([(pairs(name)[0][0], Completion(text='["egg"'))]))
    assert mark.value == (0.0 if scorer.higher_is_better else 1.0)
    assert mark.label.endswith("unparseable")


def test_importing_the_scorers_loads_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys, harness.scorers; print([m for m in ('torch', 'ragas', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

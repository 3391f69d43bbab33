"""The contract of a technique, run on every one that a benchmark file can name: recipe in, fit, a solver out.

To hold another one to it, add its arm to `ARMS`, as it is written in a benchmark.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from math import prod
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from pydantic import TypeAdapter, ValidationError

from harness import specfile
from harness.errors import DataError
from harness.pipeline import Stages, quiet
from harness.question import directory_of, prepare
from harness.records import Fit
from harness.references import swept
from harness.spec import Located
from harness.techniques import TechniqueSpec
from harness.techniques.base import Recipe, Solver, Technique
from harness.workbench import Workbench
from tests.conformance.test_scorer import WordEmbedder

SECRET = "xylograph"  # every test row's target, in no input, train or dev row
ARMS: dict[str, dict[str, Any]] = {
    "rule": {"call": "fake.py:rule"},
    "classifier": {"C": [1, 10]},
    "prompt": {"system": ["One.", "Two.", "Three."]},
    "few_shot": {"k": [1, 2], "select": ["random", "diverse"]},
    "rag": {"documents": "documents.jsonl", "top_k": [1, 2]},
    "fine_tune": {"tuner": "existing", "served": "scripted/fake.py:answer", "system": "Tuned."},
    "cascade": {"first": "below", "then": "below_too", "escalate": [0.5, 1.0]},
}
FAKE = """
import json, pathlib

def answer(request):
    with pathlib.Path(__file__).with_name("asked").open("a") as log:
        log.write(json.dumps([m.content for m in request.messages]) + "\\n")
    return "one" if len(request.messages[-1].content) % 2 else "two"

def rule(columns):
    assert set(columns) == {"q"}
    return "one"
"""
TECHNIQUES: TypeAdapter[Technique] = TypeAdapter(TechniqueSpec)


class Words(WordEmbedder):
    def seconds(self, texts: list[str]) -> float:
        return 0.001 * len(texts)


class Bench(Workbench):
    """A workbench without weights."""

    async def embedder(self) -> Any:
        return Words()


def technique(kind: str) -> Technique:
    return TECHNIQUES.validate_python({"technique": kind, **ARMS[kind]})


@pytest.fixture(params=sorted(ARMS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def located(tmp_path: Path, kind: str) -> Located:
    """A benchmark whose arm `arm` is of this kind."""
    label = kind == "classifier"
    for split, n in (("train", 8), ("dev", 9), ("test", 4)):
        targets = ["one" if label else SECRET] * n if split == "test" else ["one", "two"] * n
        rows = [{"id": f"{split}{i}", "q": f"{split} question {'z' * i} {i}", "a": targets[i]} for i in range(n)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    documents = [{"id": f"d{i}", "title": f"page {i}", "text": f"question {'z' * i}"} for i in range(4)]
    (tmp_path / "documents.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    (tmp_path / "fake.py").write_text(FAKE)
    below = {"technique": "prompt", "system": "Below."}
    file = tmp_path / "b.yaml"
    spec = {
        "version": 1, "question": "Does it keep the contract?", "model": "scripted/fake.py:answer",
        "task": {"data": ".", "input": "{{ q }}", "target": "{{ a }}",
                 "answer": {"format": "label", "labels": ["one", "two"]} if label else {"format": "text"}},
        "arms": {"below": below, "below_too": below | {"system": "Too."}, "arm": {"technique": kind, **ARMS[kind]}},
        "metrics": {"right": {"scorer": "exact"}}, "run": {"allow_near_duplicates": True},
    }  # fmt: skip
    file.write_text(json.dumps(spec))
    return specfile.read(file)


def with_stages(located: Located, use: Callable[[Stages], Awaitable[Any]]) -> Any:
    """Run on the stages of a run that knows nothing of any before."""

    async def main() -> Any:
        question = prepare(located)
        directory = directory_of(located, question.tasks)
        bench = Bench(located, quiet)
        directory.acquire()
        try:
            return await use(Stages(question, directory, bench))
        finally:
            await bench.close()
            directory.release()

    return asyncio.run(main())


async def fitted(stages: Stages) -> Fit:
    return (await stages.fit())["arm"]


def test_every_technique_is_held_to_the_contract() -> None:
    union = get_args(TechniqueSpec)[0]
    assert {get_args(t.model_fields["technique"].annotation)[0] for t in get_args(union)} == set(ARMS)


def test_a_technique_is_its_yaml(kind: str) -> None:
    made = technique(kind)
    assert made.kind == kind
    assert TECHNIQUES.validate_python(made.model_dump(exclude_unset=True)) == made
    assert TECHNIQUES.validate_json(made.model_dump_json()) == made
    with pytest.raises(ValidationError, match="frozen"):
        made.extends = "another"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="not permitted"):
        TECHNIQUES.validate_python({"technique": kind, **ARMS[kind], "no_such_knob": 1})
    assert [n for n, f in type(made).model_fields.items() if not f.description] == []


def test_a_fit_tries_every_candidate_on_dev_and_changes_nothing(located: Located) -> None:
    arm = located.benchmark.arms["arm"]
    before = arm.model_dump()
    fit: Fit = with_stages(located, fitted)
    assert arm.model_dump() == before
    assert len(fit.trials) == prod(len(values) for values in swept(arm).values())
    assert [t for t in fit.trials if t.kept] != []
    assert all(t.n <= 9 for t in fit.trials)
    kept = next(t for t in fit.trials if t.kept)
    assert (kept.n, kept.score) == (9, fit.dev_score)
    assert fit.dev_score == max(t.score for t in fit.trials if t.n == 9)


def test_two_fits_are_the_same(located: Located) -> None:
    first: Fit = with_stages(located, fitted)
    for file in (located.project / "reports").rglob("fits/*.json"):
        file.unlink()
    again: Fit = with_stages(located, fitted)
    assert (again.recipe, again.digest, again.dev_score) == (first.recipe, first.digest, first.dev_score)


def test_a_stored_recipe_opens_the_same_arm_and_no_target_reaches_it(located: Located) -> None:
    async def answers(stages: Stages) -> list[str]:
        fits = await stages.fit()
        stages._hand_on(fits)
        solver: Solver = await stages._solver("arm", fits)
        return [(await solver.solve(e.input)).text for e in stages.tasks.test]

    first = with_stages(located, answers)
    assert with_stages(located, answers) == first  # from what lies in the run directory
    asked = located.folder / "asked"
    assert SECRET not in (asked.read_text() if asked.exists() else "")
    assert len(first) == 4


def test_without_dev_rows_the_first_candidate_is_taken(located: Located) -> None:
    (located.folder / "dev.jsonl").unlink()

    async def both(stages: Stages) -> tuple[Fit, Recipe]:
        fits = await stages.fit()
        return fits["arm"], located.benchmark.arms["arm"].candidates(Recipe(), stages.bench)[0]

    if located.benchmark.arms["arm"].kind == "cascade":  # its threshold cannot be guessed: said before anything runs
        with pytest.raises(DataError, match="the dev split is empty"):
            with_stages(located, both)
        return
    fit, first = with_stages(located, both)
    assert fit.dev_score is None
    assert fit.trials == ()
    assert first.knobs().items() <= msgspec.convert(fit.recipe, Recipe).knobs().items()

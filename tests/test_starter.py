"""A drafted benchmark is sound at once, and its guesses are those that a person would make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import specfile, splits, starter, taskset
from harness.errors import DataError
from harness.spec import Benchmark
from tests.benchmarks import WORDS, row, sound, write


def drafted(folder: Path, *lines: dict[str, Any]) -> Benchmark:
    """The benchmark drafted from one data file, read back."""
    (folder / "pyproject.toml").write_text("")
    (folder / "benchmarks").mkdir()
    data = write(folder / "data.jsonl", *lines)
    file = folder / "benchmarks" / "first.yaml"
    file.write_text(starter.draft(data, file.parent), encoding="utf-8")
    located = specfile.read(file)
    if "split" in lines[0]:
        assert taskset.load(located.benchmark.task, located.folder, located.project, need=("train", "test")).train
    return located.benchmark


def split(i: int) -> str:
    return ("train", "dev", "test")[i % 3]


def test_lists_are_a_list_task(tmp_path: Path) -> None:
    task = drafted(tmp_path, *(row(w, w, split=split(i)) for i, w in enumerate(WORDS))).task
    assert task.answer.format == "list"
    assert task.target == "{{ items }}"
    assert task.input == "Title: {{ title }}\nLines: {{ lines }}"


def test_few_repeated_values_are_labels(tmp_path: Path) -> None:
    lines = [
        {"nr": i, "mail": f"mail number {i}", "kind": ("spam", "no: spam")[i % 2], "split": split(i)} for i in range(12)
    ]
    benchmark = drafted(tmp_path, *lines)
    assert benchmark.task.answer.labels == ("no: spam", "spam")
    assert (benchmark.task.target, benchmark.task.input, benchmark.task.id) == ("{{ kind }}", "{{ mail }}", "nr")
    assert benchmark.metrics["accuracy"].scorer == "exact"


@pytest.mark.parametrize(
    ("target", "format"),
    [("SELECT a FROM b", "sql"), ('{"a": 1}', "json"), ("a free text of its own", "text"), ({"a": [1]}, "json")],
)
def test_other_formats(tmp_path: Path, target: Any, format: str) -> None:
    lines: list[dict[str, Any]] = []
    for i in range(9):
        answer = target if isinstance(target, dict) else target.replace("a", f"a{i}")
        lines.append({"id": i, "answer": answer, "question": f"q{i}"})
    task = drafted(tmp_path, *lines).task
    assert (task.target, task.answer.format) == ("{{ answer }}", format)


def test_awkward_columns(tmp_path: Path) -> None:
    lines = [{"Recipe Name": f'"{i}" \\ {{x}}', "2nd: #": "y", "Ünï": f"z{i}", "split": split(i)} for i in range(6)]
    task = drafted(tmp_path, *lines).task
    assert task.columns == {"recipe_name": "Recipe Name", "column_2nd": "2nd: #"}
    assert task.target == "{{ Ünï }}"


def test_a_folder_with_documents(tmp_path: Path) -> None:
    sound(tmp_path)
    file = tmp_path / "benchmarks" / "second.yaml"
    file.write_text(starter.draft(tmp_path / "data", file.parent))
    benchmark = specfile.read(file).benchmark
    assert list(benchmark.arms) == ["prompt", "few_shot", "rag", "fine_tuned"]
    assert benchmark.task.data == "../data"


def test_what_cannot_be_drafted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="input and a target column"):
        starter.draft(write(tmp_path / "a.jsonl", {"id": 1, "text": "x"}))
    with pytest.raises(DataError, match="not valid JSON"):
        starter.draft(write(tmp_path / "b.jsonl", "{"))


def test_dividing_keeps_equal_rows_together(tmp_path: Path) -> None:
    lines = [{"id": i, "text": f"t{i // 2}", "label": "x"} for i in range(600)]
    data = write(tmp_path / "data.jsonl", *lines)
    starter.divide(data, tmp_path / "splits")
    found = {
        s.split: [json.loads(x) for x in s.path.read_text().splitlines()] for s in splits.files(tmp_path / "splits")
    }
    assert sorted(r["id"] for part in found.values() for r in part) == list(range(600))
    shares = {name: len(part) / 600 for name, part in found.items()}
    assert shares == pytest.approx({"train": 0.6, "dev": 0.15, "test": 0.25}, abs=0.06)
    where = {(r["text"], name) for name, part in found.items() for r in part}
    assert len(where) == 300
    with pytest.raises(DataError, match="there already"):
        starter.divide(data, tmp_path / "splits")
    with pytest.raises(DataError, match="too few rows"):
        starter.divide(write(tmp_path / "one.jsonl", {"id": 1, "text": "x"}), tmp_path / "other")

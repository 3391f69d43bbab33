"""A drafted benchmark passes a check at once, and its guesses are those that a person would make."""

from __future__ import annotations

import asyncio
import csv
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from harness import specfile, splits, starter
from harness.check import check
from harness.errors import DataError
from harness.spec import Benchmark
from tests.benchmarks import WORDS, row, sound, write

NOUNS = (
    "harbour", "violin", "glacier", "pepper", "lantern", "orchard", "saddle", "kettle", "meadow", "thunder", "ribbon",
    "castle", "walnut", "engine", "feather", "island", "marble", "needle", "pigeon", "quarry", "rocket", "shovel",
    "tunnel", "umbrella", "valley", "whistle", "yoghurt", "zipper", "anchor", "beetle", "candle", "dagger", "easel",
    "falcon", "garlic", "hammer", "icicle", "jacket", "kitten", "locket",
)  # fmt: skip


def checked(data: Path, **kept: object) -> Benchmark:
    """The benchmark drafted from data, written, settled and put through `harness check`."""
    folder = data.parent / "benchmarks"
    folder.mkdir()
    (data.parent / "pyproject.toml").write_text("")
    file = folder / "first.yaml"
    file.write_text(starter.draft(str(data), folder), encoding="utf-8")
    starter.settle(file)
    located = specfile.read(file)
    made = asyncio.run(check(located))
    assert made.question.tasks.test
    assert made.errors == ()
    return located.benchmark


def drafted(folder: Path, *lines: dict[str, Any]) -> Benchmark:
    return checked(write(folder / "data.jsonl", *lines))


def split(i: int) -> str:
    return ("train", "dev", "test")[i % 3]


def test_lists_are_a_list_task(tmp_path: Path) -> None:
    task = drafted(tmp_path, *(row(w, w, split=split(i)) for i, w in enumerate(WORDS))).task
    assert task.answer.format == "list"
    assert task.target == "{{ items }}"
    assert task.input == "Title: {{ title }}\nLines: {{ lines }}"
    assert not task.divide


def test_a_draft_says_what_gives_its_local_model_a_price(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", *(row(f"t{i}", noun) for i, noun in enumerate(NOUNS)))
    assert "local_usd_per_hour: 0.20" in starter.draft(str(tmp_path / "test.jsonl"), tmp_path)


def test_too_few_train_rows_are_not_tuned_on(tmp_path: Path) -> None:
    benchmark = drafted(tmp_path, *(row(w, w, split=split(i)) for i, w in enumerate(WORDS)))
    assert list(benchmark.arms) == ["prompt", "few_shot"]
    assert benchmark.candidate is None


def test_few_repeated_values_are_labels(tmp_path: Path) -> None:
    lines = [{"nr": i, "mail": f"a mail of {w}", "kind": ("spam", "no: spam")[i % 2]} for i, w in enumerate(NOUNS)]
    lines[-1]["kind"] = "No: Spam"
    benchmark = drafted(tmp_path, *lines)
    assert benchmark.task.answer.labels == ("no: spam", "spam")
    assert (benchmark.task.target, benchmark.task.input, benchmark.task.id) == ("{{ kind }}", "{{ mail }}", "nr")
    assert benchmark.metrics["accuracy"].scorer == "exact"
    assert list(benchmark.arms) == ["prompt", "few_shot", "classifier", "fine_tuned"]
    assert benchmark.task.divide


@pytest.mark.parametrize(
    ("target", "format"),
    [("SELECT a FROM b", "sql"), ('{"a": 1}', "json"), ("a free text of its own", "text"), ({"a": [1]}, "json"),
     ([{"a": 1}], "json")],
)  # fmt: skip
def test_other_formats(tmp_path: Path, target: Any, format: str) -> None:
    lines: list[dict[str, Any]] = []
    for i, word in enumerate(NOUNS):
        answer = target.replace("a", f"a{i}") if isinstance(target, str) else target
        lines.append({"id": i, "answer": answer, "question": f"where is the {word}"})
    task = drafted(tmp_path, *lines).task
    assert (task.target, task.answer.format) == ("{{ answer }}", format)


def test_awkward_columns(tmp_path: Path) -> None:
    lines = [
        {
            "Recipe Name": f'"{word}" \\ {{x}}',
            "recipe_name": f"{i}",
            "not": word[::-1],
            "Ünï": f"z{i}",
            "id": "the same",
            "split": "A" if i % 2 else "B",
            "cluster": "c" if i else None,
            "picture": {"bytes": "...", "path": "x"},
            "empty": None,
            **({"note": "seldom"} if i % 3 == 0 else {}),
            "2nd: #": f"answer {word}",
        }
        for i, word in enumerate(NOUNS)
    ]
    task = drafted(tmp_path, *lines).task
    assert task.columns == {
        "part": "split", "not_an_id": "id", "recipe_name_2": "Recipe Name", "column_not": "not",
        "column_2nd": "2nd: #",
    }  # fmt: skip
    assert task.target == "{{ column_2nd }}"
    assert "{% if note is defined %}Note: {{ note }}\n{% endif %}" in task.input
    assert task.cluster is None


def test_a_table_of_a_data_frame(tmp_path: Path) -> None:
    with (tmp_path / "data.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [(i, f"text, with {w}", "" if i % 2 else "x", f"long answer {w}") for i, w in enumerate(NOUNS)]
        csv.writer(file, delimiter=";").writerows([("", "Text", "Remark", "Output"), *rows])
    task = checked(tmp_path / "data.csv").task
    assert (task.id, task.input) == ("index", "Text: {{ Text }}\nRemark: {{ Remark }}")
    assert task.target == "{{ Output }}"


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    columns = {"text": [f"about {w}" for w in NOUNS], "stars": [i % 5 for i in range(len(NOUNS))], "blob": [b"x"] * 40}
    parquet.write_table(pa.table(columns), tmp_path / "data.parquet")
    task = checked(tmp_path / "data.parquet").task
    assert task.answer.labels == ("0", "1", "2", "3", "4")
    assert task.input == "{{ text }}"


def test_many_rows_are_limited_and_alike_ones_are_let_through(tmp_path: Path) -> None:
    texts = [sha256(bytes([i % 256, i // 256])).hexdigest() for i in range(2100)]
    texts[:20] = [f"the same long text with a number in it: {i}" for i in range(20)]
    lines = [{"text": text, "answer": f"a{i}"} for i, text in enumerate(texts)]
    benchmark = drafted(tmp_path, *lines)
    assert benchmark.task.limit == {"train": 600, "dev": 100, "test": 300}
    assert benchmark.run.allow_near_duplicates


def test_a_folder_with_documents(tmp_path: Path) -> None:
    sound(tmp_path)
    file = tmp_path / "benchmarks" / "second.yaml"
    file.write_text(starter.draft(str(tmp_path / "data"), file.parent))
    benchmark = specfile.read(file).benchmark
    assert list(benchmark.arms) == ["prompt", "few_shot", "rag"]
    assert benchmark.task.data == "../data"


def test_a_folder_without_train_rows_has_arms_that_learn_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write(data / "test.jsonl", *({"q": f"where is {w}", "label": "ab"[i % 2]} for i, w in enumerate(NOUNS)))
    benchmark = checked(data)
    assert list(benchmark.arms) == ["prompt"]
    assert benchmark.candidate is None


def test_what_cannot_be_drafted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="input and a target column"):
        starter.draft(str(write(tmp_path / "a.jsonl", {"id": 1, "text": "x"})), tmp_path)
    with pytest.raises(DataError, match="not valid JSON"):
        starter.draft(str(write(tmp_path / "b.jsonl", "{")), tmp_path)
    with pytest.raises(DataError, match=r"2 rows are too few(.|\n)*at least 30"):
        starter.draft(str(write(tmp_path / "c.jsonl", {"a": "x", "b": "y"}, {"a": "z", "b": "y"})), tmp_path)


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

"""Data as it comes: JSON arrays, tables of data frames, files without splits, data sets of the hub and clones."""

from __future__ import annotations

import asyncio
import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness import hub, rows, specfile, taskset
from harness.check import check
from harness.errors import DataError, HarnessError, Problem, SpecError
from harness.pipeline import Question
from harness.rows import Row
from harness.spec import TaskSpec
from harness.taskset import TaskSet

RECIPENLG = """\
task:
  data: full_dataset.csv
  id: index
  columns: {generic: NER}
  input: "Title: {{ title }}\\n\\nIngredients:\\n{{ ingredients }}"
  target: "{{ generic }}"
  answer: {format: list, singular: true}
  divide: true
  limit: {train: 12, dev: 3, test: 5}
"""
SQL_CREATE_CONTEXT = """\
task:
  data: sql_create_context_v4.json
  input: "{{ context }}\\n\\n{{ question }}"
  target: "{{ answer }}"
  answer: {format: sql}
  key: "{{ question }}"
  divide: true
"""
REST = """\
version: 1
question: Does it read?
model: local/smollm2-135m-instruct
arms:
  prompt: {technique: prompt, system: Answer.}
  few_shot: {technique: few_shot, extends: prompt}
metrics:
  accuracy: {scorer: SCORER}
"""
FOODS = (
    "leek", "bean", "carrot", "onion", "plum", "fig", "pear", "corn", "rice", "kale", "oat", "rye", "egg", "milk",
    "salt", "tofu", "lime", "dill", "sage", "mint",
)  # fmt: skip


def load(folder: Path, **task: Any) -> TaskSet:
    written = {"input": "{{ question }}", "target": "{{ answer }}", **task}
    return taskset.load(TaskSpec(**written), folder, folder, need=("train", "test"))


def questions(n: int) -> list[dict[str, Any]]:
    return [{"question": f"What is {FOODS[i % 20]} number {i}?", "answer": f"a{i}"} for i in range(n)]


def benchmark(folder: Path, task: str, scorer: str) -> Question:
    """A documented example through `harness check`."""
    (folder / "pyproject.toml").write_text("")
    (folder / "bench.yaml").write_text(task + REST.replace("SCORER", scorer))
    return asyncio.run(check(specfile.read(folder / "bench.yaml"))).question


def test_recipenlg_as_it_is_published(tmp_path: Path) -> None:
    with (tmp_path / "full_dataset.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["", "title", "ingredients", "directions", "link", "source", "NER"])
        for i in range(90):
            first, second = FOODS[i % 20], FOODS[(i * 7 + i // 20) % 20]
            lists = [[f"{i + 1} c. {first}s", f'1 "big" {second}, chopped'], ["Mix.", "Bake, then eat."]]
            table.writerow([i, f"{first} & {second} pie, no. {i}", *map(json.dumps, lists), "www.x.org", "Gathered",
                            json.dumps([first, second])])  # fmt: skip
    tasks = benchmark(tmp_path, RECIPENLG, "set_f1").tasks
    assert (len(tasks.train), len(tasks.dev), len(tasks.test)) == (12, 3, 5)
    example = tasks.train[0]
    assert example.id.isdecimal()
    assert example.input["ingredients"].count("\n") == 1
    assert '1 "big" ' in example.input["ingredients"]
    assert len(example.target) == 2


def test_sql_create_context_as_it_is_published(tmp_path: Path) -> None:
    asked = ("How many {a}s cost more than {b}?", "List every {a} that is kept beside {b}", "Which {b} had most {a}?")
    made = [
        {
            "question": asked[i // 20].format(a=food, b=FOODS[(7 * i + 3 + i // 20) % 20]),
            "context": f"CREATE TABLE {food} (level INTEGER)",
            "answer": f"SELECT COUNT(*) FROM {food} WHERE level > {i}",
        }
        for i, food in enumerate(FOODS * 3)
    ]
    (tmp_path / "sql_create_context_v4.json").write_text(json.dumps(made, indent=1))
    tasks = benchmark(tmp_path, SQL_CREATE_CONTEXT, "exact").tasks
    assert len(tasks.train) + len(tasks.dev) + len(tasks.test) == 60
    assert tasks.test[0].target.startswith("SELECT COUNT(*)")  # type: ignore[union-attr]
    assert tasks.notes == ("the rows have no `id`: their split and line number stands for it",)


def test_divided_rows_keep_their_split_when_rows_are_added(tmp_path: Path) -> None:
    def splits(n: int) -> dict[str, str]:
        (tmp_path / "d.json").write_text(json.dumps(questions(n)))
        tasks = load(tmp_path, data="d.json", divide=True)
        return {e.input["question"]: e.split for e in (*tasks.train, *tasks.dev, *tasks.test)}

    few, many = splits(300), splits(400)
    assert {q: many[q] for q in few} == few
    shares = Counter(many.values())
    assert shares["train"] / 400 == pytest.approx(0.6, abs=0.07)
    assert shares["dev"] / 400 == pytest.approx(0.15, abs=0.06)


def test_what_is_of_one_source_or_the_same_stays_in_one_split(tmp_path: Path) -> None:
    made = [{**q, "cluster": f"c{i // 5}"} for i, q in enumerate(questions(200))]
    (tmp_path / "d.json").write_text(json.dumps(made))
    tasks = load(tmp_path, data="d.json", divide=True)
    homes = {(e.cluster, e.split) for e in (*tasks.train, *tasks.dev, *tasks.test)}
    assert len(homes) == 40
    twice = [*questions(80), *({**q, "question": q["question"].upper()} for q in questions(80))]
    (tmp_path / "d.json").write_text(json.dumps(twice))
    assert load(tmp_path, data="d.json", divide=True).test, "no row is in two splits"


def test_a_split_column_goes_before_dividing_and_full_splits_end_the_reading(tmp_path: Path) -> None:
    lines = [*questions(60), {"question": "Which one?", "answer": "x", "split": "dev"}]
    text = json.dumps(lines[::-1])
    (tmp_path / "d.json").write_text(text)
    limit = {"train": 5, "dev": 1, "test": 2}
    assert load(tmp_path, data="d.json", divide=True, limit=limit).dev[0].input == {"question": "Which one?"}
    (tmp_path / "d.json").write_text(text[:-1] + ", not JSON")
    assert len(load(tmp_path, data="d.json", divide=True, limit=limit).train) == 5
    with pytest.raises(DataError, match="not valid JSON"):
        load(tmp_path, data="d.json", divide=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a": 1}, {"a": 2}]', []),
        ("\ufeff[\n]", []),
        ('[{"a": 1},\n {"a": 1, "a": 2}]', ["2:1: the key `a` stands twice"]),
        ('[{"a": 1},\n\n 7,\n{"a": 3}]', ["3:1: the row is not an object"]),
        ('[{"a": 1}\n {"a": 2}]', ["2: not valid JSON: the array does not go on"]),
        ('[{"a": 1},\n {"a": }]', ["2:8: not valid JSON: expecting value"]),
        ('[{"a": 1},', ["1:11: not valid JSON"]),
        ('[{"a": 1}', ["the array does not go on"]),
        ('[{"a": 1}]\n{"a": 2}', ["something stands after the array"]),
        ('{"data": []}', ["holds no JSON array"]),
        ('[{"a": NaN}]', ["NaN is no JSON number"]),
        ('[{"a": "\\ud800"}]', ["lone surrogate"]),
        ("[" * 30_000, ["nested too deeply"]),
    ],
)
def test_json_arrays(tmp_path: Path, text: str, said: list[str]) -> None:
    file = tmp_path / "x.json"
    file.write_text(text, encoding="utf-8")
    found = list(rows.read(file))
    problems = [str(p) for p in found if isinstance(p, Problem)]
    assert len(problems) == len(said), problems
    assert all(words in problem for words, problem in zip(said, problems, strict=True)), problems


def test_lines_of_a_json_array(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps([{"a": {"b": [1, 2]}}, {"a": "\n"}, {"a": 3}], indent=2))
    found = list(rows.read(tmp_path / "x.json"))
    assert [r.line for r in found if isinstance(r, Row)] == [2, 10, 13]


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("hf://squad", ("squad", None, None, None)),
        ("hf://datasets/b-mc2/sql-create-context", ("b-mc2/sql-create-context", None, None, None)),
        ("hf://o/n:de@v1.0#train", ("o/n", "de", "v1.0", "train")),
        ("hf://./my-clone#validation", ("./my-clone", None, None, "validation")),
        ("hf://a/b/c", None),
        ("hf://", None),
        ("hf://a b", None),
    ],
)
def test_addresses(written: str, parts: tuple[str | None, ...] | None) -> None:
    assert hub.parse(written) == parts


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of a data set of the hub: a card that names its files, shards, two configurations."""
    folder = tmp_path / "clone"
    (folder / "data").mkdir(parents=True)
    parts = {"train-0": range(30), "train-1": range(30, 50), "validation": range(50, 60), "test": range(60, 80)}
    made = questions(80)
    for name, part in parts.items():
        (folder / "data" / f"{name}.jsonl").write_text("".join(json.dumps(made[i]) + "\n" for i in part))
    (folder / "alone.jsonl").write_text(
        "".join(json.dumps({"question": f"Why {w}?", "answer": "so"}) + "\n" for w in FOODS)
    )
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: whole\n  data_files:\n  - {split: train, path: data/train-*.jsonl}\n"
        "  - {split: validation, path: data/validation.jsonl}\n  - {split: test, path: data/test.jsonl}\n"
        "- config_name: alone\n  data_files: alone.jsonl\n---\nA card.\n"
    )
    return folder


def test_a_clone_of_a_data_set(clone: Path) -> None:
    project = clone.parent
    tasks = load(project, data="hf://./clone:whole")
    assert (len(tasks.train), len(tasks.dev), len(tasks.test)) == (50, 10, 20)
    kept = list((project / ".harness" / "data").iterdir())
    assert [p.suffix for p in kept[0].iterdir()] == [".parquet"] * 3
    (clone / "data" / "test.jsonl").write_text(json.dumps({"question": "New?", "answer": "yes"}) + "\n")
    assert [e.target for e in load(project, data="hf://./clone:whole").test] == ["yes"], "a changed file is read anew"
    tasks = load(project, data="hf://./clone:alone", divide=True)
    assert len(tasks.train) + len(tasks.dev) + len(tasks.test) == 20
    tasks = load(project, data="hf://./clone:whole#train", divide=True)
    assert len(tasks.train) + len(tasks.dev) + len(tasks.test) == 50


def test_what_save_to_disk_wrote_with_classes_and_pictures(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        question=datasets.Value("string"), answer=datasets.ClassLabel(names=["no", "yes"]), photo=datasets.Image()
    )
    made = [{"question": q["question"], "answer": i % 2, "photo": None} for i, q in enumerate(questions(30))]
    datasets.disable_progress_bars()
    parts = {"train": made[:20], "test": made[20:]}
    rows = {name: datasets.Dataset.from_list(part, features=features) for name, part in parts.items()}
    datasets.DatasetDict(rows).save_to_disk(tmp_path / "saved")
    tasks = load(tmp_path, data="hf://./saved", answer={"format": "label", "labels": ["yes", "no"]})
    assert {e.target for e in tasks.test} == {"no", "yes"}
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"not to be had(.|\n)*HF_TOKEN"):
        load(tmp_path, data="hf://./none")


def test_a_hub_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"hf://nobody/nothing: the data set is not to be had(.|\n)*name a file"
    ) as told:
        load(tmp_path, data="hf://nobody/nothing")
    assert "Traceback" not in str(told.value)
    assert not list((tmp_path / ".harness" / "data").glob("nobody*")), "nothing half fetched is left"


def test_splits_that_are_not_ours_are_told(clone: Path) -> None:
    (clone / "data" / "test.jsonl").unlink()
    card = clone / "README.md"
    card.write_text(card.read_text().replace("  - {split: test, path: data/test.jsonl}\n", ""))
    with pytest.raises(DataError, match=r"no test split(.|\n)*got: train, validation(.|\n)*#train\) and write `divide"):
        load(clone.parent, data="hf://./clone:whole")
    with pytest.raises(DataError, match=r"no such split(.|\n)*valid: train, validation"):
        load(clone.parent, data="hf://./clone:whole#tset")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("hf://a/b/c", "no address of a data set"),
        ("hf://./nowhere", "no such file"),
        ("hf://../../elsewhere", "leaves the project"),
    ],
)
def test_an_address_is_looked_at_with_the_benchmark(tmp_path: Path, data: str, said: str) -> None:
    with pytest.raises(HarnessError, match=said) as told:
        benchmark(tmp_path, SQL_CREATE_CONTEXT.replace("sql_create_context_v4.json", data), "exact")
    assert isinstance(told.value, SpecError)
    assert "bench.yaml:2" in str(told.value)

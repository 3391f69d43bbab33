"""Task sets that are sound: every format, and what becomes of a row."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import documents, rows, taskset, template
from harness.errors import DataError, Problem, SpecError
from harness.spec import AnswerSpec, TaskSpec
from harness.taskset import TaskSet
from tests.benchmarks import row, write


def task(**changes: Any) -> TaskSpec:
    """The task of the sound rows."""
    return TaskSpec(**{"data": "data", "input": "Title: {{ title }}\n{{ lines }}", "target": "{{ items }}", **changes})


def load(folder: Path, **changes: Any) -> TaskSet:
    """The task set of a folder's `data`."""
    return taskset.load(task(**changes), folder, folder)


def one_file(folder: Path, *lines: dict[str, Any], name: str = "data.jsonl") -> TaskSet:
    write(folder / name, *lines)
    return load(folder, data=name)


def problems(folder: Path, **changes: Any) -> list[Problem]:
    with pytest.raises(DataError) as caught:
        load(folder, **changes)
    return list(caught.value.problems)


def test_rows_become_examples(tmp_path: Path) -> None:
    tasks = one_file(
        tmp_path,
        row("a", "leek", split="train", secret="not named", tags=["x", "y"]),
        row("b", "kale", split="validation", cluster=7, tags="x, y"),
        row("c", "fig", split="test", title=12.5, lines="one"),
    )
    first = tasks.train[0]
    assert first.input == {"title": "leek stew", "lines": "2 leeks\nsalt"}
    assert first.target == ("leek", "salt")
    assert (first.tags, first.cluster, first.where[-12:]) == (("x", "y"), None, "data.jsonl:1")
    assert (tasks.dev[0].cluster, tasks.dev[0].tags) == ("7", ("x", "y"))
    assert tasks.test[0].input == {"title": "12.5", "lines": "one"}
    assert tasks.notes == ()
    assert tasks.name == "data"
    assert taskset.render("{{ title }}!", first.input) == "leek stew!"


def test_targets(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", row("a", "leek", split="test", yes=True, n=3))
    for target, wanted in (
        ("{{ title }}", "leek stew"), ("{{items}}", ("leek", "salt")), ("{{ items }}.", "leek\nsalt."),
        ("{{ yes }}", "true"), ("{{ n }} of {{ title }}", "3 of leek stew"),
    ):  # fmt: skip
        assert load(tmp_path, data="data.jsonl", input="{{ lines }}", target=target).test[0].target == wanted


def test_a_folder_of_splits(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name, word in (("train", "leek"), ("validation", "kale"), ("test", "fig")):
        write(tmp_path / "data" / f"{name}.jsonl", row(name, word))
    write(tmp_path / "data" / "documents.jsonl", "this is not looked at")
    tasks = load(tmp_path)
    assert [e.id for s in taskset.SPLITS for e in tasks.split(s)] == ["train", "validation", "test"]
    write(tmp_path / "data" / "dev.jsonl", row("dev", "plum"))
    assert "two files for the dev split" in problems(tmp_path)[0].what
    (tmp_path / "data" / "test.jsonl").unlink()
    assert any("no test split" in p.what for p in problems(tmp_path))


def test_needed_splits(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", row("c", "fig", split="test"))
    assert len(load(tmp_path, data="data.jsonl").test) == 1
    with pytest.raises(DataError, match="the train split is empty"):
        taskset.load(task(data="data.jsonl"), tmp_path, tmp_path, need=("train", "test"))


def test_a_path_that_leaves_the_project(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", row("c", "fig", split="test"))
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(SpecError, match="leaves the project"):
        taskset.load(task(data="../data.jsonl"), inner, inner)
    assert taskset.load(task(data="../data.jsonl"), inner, inner, allow_outside=True).test


def test_one_file_needs_splits(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", row("a", "fig"), row("b", "kale", split="tets"), row("c", "leek", splt="test"))
    first, second, third = problems(tmp_path, data="data.jsonl")
    assert "no `split`" in first.what
    assert "divide: true" in first.fix
    assert (second.what, second.got, second.fix) == ("no such split", "'tets'", "did you mean `test`?")
    assert third.fix == "did you mean `splt`?"


def test_without_an_id_column_lines_stand_for_ids(tmp_path: Path) -> None:
    lines = [row("", w, split=s) for w, s in (("leek", "train"), ("fig", "test"))]
    for line in lines:
        del line["id"]
    tasks = one_file(tmp_path, *lines)
    assert [e.id for e in (*tasks.train, *tasks.test)] == ["train-1", "test-2"]
    assert "no `id`" in tasks.notes[0]


def test_renamed_columns_and_limits(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", *(
        {"nr": i, "Name": f"n{i}", "lines": "x", "items": "y", "split": "test"} for i in range(5)
    ))  # fmt: skip
    tasks = load(tmp_path, data="data.jsonl", columns={"title": "Name", "key": "nr"}, id="key", limit={"test": 2})
    assert [e.id for e in tasks.test] == ["0", "1"]
    assert tasks.test[1].input["title"] == "n1"


def test_labels(tmp_path: Path) -> None:
    write(
        tmp_path / "data.jsonl",
        row("a", "fig", split="test", items="Sweet"),
        row("b", "leek", split="test", items="savoury"),
    )
    answer = AnswerSpec(format="label", labels=("sweet", "savory"))
    found = problems(tmp_path, data="data.jsonl", answer=answer)
    assert [(p.got, p.valid, p.fix) for p in found] == [("'savoury'", "sweet, savory", "did you mean `savory`?")]


def test_an_optional_column(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", row("a", "fig", split="test"), row("b", "leek", split="test", note="raw"))
    tasks = load(tmp_path, data="data.jsonl", input="{{ title }} {{ note | default('-') }}")
    assert [template.render("{{ note | default('-') }}", e.input) for e in tasks.test] == ["-", "raw"]


def test_the_same_row_in_one_split_is_left_to_hygiene(tmp_path: Path) -> None:
    assert len(one_file(tmp_path, row("a", "fig", split="test"), row("b", "fig", split="test")).test) == 2


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    lines = [row("a", "fig", split="train"), row("b", "kale", split="test")]
    first = one_file(tmp_path, *lines).digest
    assert one_file(tmp_path, *lines, name="other.jsonl").digest == first
    assert one_file(tmp_path, *(line | {"unused": 1} for line in lines)).digest == first
    assert one_file(tmp_path, lines[0], lines[1] | {"title": "x"}).digest != first


def test_a_key_decides_which_rows_are_the_same(tmp_path: Path) -> None:
    a, b = row("a", "fig", split="train", title="Same?"), row("b", "kale", split="test", title="same")
    write(tmp_path / "data.jsonl", a, b)
    assert [e.key for e in load(tmp_path, data="data.jsonl").test] == [""]
    (found,) = problems(tmp_path, data="data.jsonl", key="{{ title }}")
    assert "the row is in two splits" in found.what
    other = load(tmp_path, data="data.jsonl", key="{{ title }} {{ split }}")
    assert [e.key for e in (*other.train, *other.test)] == ["Same? train", "same test"]
    assert other.digest == load(tmp_path, data="data.jsonl").digest
    (found, _) = problems(tmp_path, data="data.jsonl", key="{{ titel }}")
    assert (found.path, found.fix) == ("titel", "did you mean `title`?")


def test_kept_columns_go_to_scorers_and_count_as_content(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", row("a", "fig", split="test", db="shop", ordered=True))
    plain, kept = load(tmp_path, data="data.jsonl"), load(tmp_path, data="data.jsonl", keep=("db", "ordered", "none"))
    assert kept.test[0].kept == {"db": "shop", "ordered": "true"}
    assert kept.test[0].input == plain.test[0].input
    assert kept.digest != plain.digest


def test_twenty_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", *(row(f"r{i}", f"w{i}", split="test", items="") for i in range(31)))
    found = problems(tmp_path, data="data.jsonl")
    assert len(found) == 21
    assert str(found[-1]) == "and 11 more mistakes"


CSV = [
    ["id", "title", "lines", "items", "split"],
    ["a", 'He said "leek"', "one, two\nthree", '["x", "y, z"]', "train"],
    ["b", "[1]", "crème brûlée", "plain", "test"],
]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv(tmp_path: Path, delimiter: str, encoding: str, end: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(CSV)
    name = "data.tsv" if delimiter == "\t" else "data.csv"
    (tmp_path / name).write_bytes(text.getvalue().encode(encoding))
    tasks = load(tmp_path, data=name)
    assert tasks.train[0].input == {"title": 'He said "leek"', "lines": "one, two\nthree"}
    assert tasks.train[0].target == ("x", "y, z")
    assert tasks.test[0].input == {"title": "[1]", "lines": "crème brûlée"}
    assert tasks.test[0].target == "plain"
    assert tasks.test[0].where.endswith(":4"), "the quoted line break counts"


@pytest.mark.parametrize(
    ("raw", "where", "words"),
    [
        (b"id,title\na,caf\xe9\n", ":2:6", "byte 14 of the file"),
        (b"id,title\na,b,c\n", ":2", "3 cells, but the header has 2"),
        (b'id,title\na,"open\nb,c\n', ":2", "not valid CSV"),
        (b"id,id\na,b\n", ":1", "two columns are called `id`"),
        (b"id,,x\na,b,c\n", ":1", "names no columns"),
        (b"id,title\na,b\0c\n", ":2", "NUL"),
    ],
    ids=["latin-1", "ragged", "open quote", "column twice", "nameless column", "NUL"],
)
def test_broken_csv(tmp_path: Path, raw: bytes, where: str, words: str) -> None:
    (tmp_path / "data.csv").write_bytes(raw)
    found = problems(tmp_path, data="data.csv", input="{{ title }}", target="{{ id }}")
    assert any(p.where.endswith(f"data.csv{where}") and words in p.what for p in found), found


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    lines = [row("a", "leek", split="train"), row("b", "kale", split="test")]
    parquet.write_table(pyarrow.Table.from_pylist(lines), tmp_path / "data.parquet")
    tasks = load(tmp_path, data="data.parquet")
    assert tasks.digest == one_file(tmp_path, *lines).digest
    (tmp_path / "data.parquet").write_bytes(b"PAR1 not really")
    assert "not valid Parquet" in problems(tmp_path, data="data.parquet")[0].what


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("x.jsonl", b'{"id": "caf\xe9"}\n', "not UTF-8 at byte 11"),
        ("x.jsonl", b'{"id": "a"}\n{"id": "\xff"}\n', "not UTF-8 at byte 20"),
        ("x.jsonl", b'{"id": "a\0"}\n', "NUL"),
        ("x.jsonl", '{"id": 1}'.encode("utf-16"), "UTF-16"),
        ("x.jsonl", b'{"a":' * 100_000, "not valid JSON"),
        ("x.jsonl", b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        ("x.txt", b"[]", "no data format"),
        ("x.jsonl", b"", "empty"),
    ],
)
def test_files_that_hold_no_rows(tmp_path: Path, name: str, raw: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(raw)
    *_, found = rows.read(tmp_path / name)
    assert isinstance(found, Problem)
    assert words in found.what


def test_a_huge_line_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_LINE", 100)
    (tmp_path / "x.jsonl").write_bytes(b'{"id": "' + b"x" * 1000 + b'"}\n{"id": "b"}\n')
    first, second = rows.read(tmp_path / "x.jsonl")
    assert isinstance(first, Problem)
    assert first.where.endswith("x.jsonl:1")
    assert second == rows.Row(2, {"id": "b"})


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            TEXT.filter(bool), st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXT, min_size=1
        ),
        max_size=5,
    ),
    st.booleans(),
)  # fmt: skip
def test_any_json_row_comes_back(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]], ascii: bool
) -> None:
    file = tmp_path_factory.mktemp("rows") / "x.jsonl"
    file.write_text("\n".join(json.dumps(line, ensure_ascii=ascii) for line in lines) + "\n", encoding="utf-8")
    assert [r.data for r in rows.read(file) if isinstance(r, rows.Row)] == lines


def test_documents(tmp_path: Path) -> None:
    file = write(tmp_path / "d.jsonl", {"id": 1, "title": "t", "text": "x"}, {"id": 2, "text": "y"})
    assert [(d.id, d.title, d.text) for d in documents.read(file)] == [("1", "t", "x"), ("2", "", "y")]
    write(file, {"id": 1, "text": "x"}, {"id": 1, "txt": "y"}, {"id": "", "text": " "}, "{")
    with pytest.raises(DataError) as caught:
        documents.read(file)
    said = str(caught.value)
    for words in (
        "did you mean `txt`?",
        "stands twice (first on line 1)",
        "`id` is empty",
        "`text` is empty",
        "d.jsonl:4:2",
    ):
        assert words in said


def test_templates() -> None:
    assert template.columns("{{ a }} {% if b %}{{ c | upper }}{% endif %}") == {"a", "b", "c"}
    assert template.lone(" {{ a }}\n") == "a"
    assert template.lone("{{ a }}{{ b }}") is None
    assert template.mistake("{{ a }}") is None
    with pytest.raises(DataError, match="cannot be rendered"):
        template.render("{{ a.__class__.__mro__ }}", {"a": "x"})
    with pytest.raises(DataError, match="not there"):
        template.render("{{ range(3) }}", {"a": "x"})
    assert template.render("{{ a }}", {"a": "<b> & {{ b }}"}) == "<b> & {{ b }}"


def test_ten_thousand_rows(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", *(row(f"r{i}", f"w{i}", split="test") for i in range(10_000)))
    assert len(load(tmp_path, data="data.jsonl").test) == 10_000

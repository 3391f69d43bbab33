"""Committed baselines: what is in them, what is refused, and what a reviewer is shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness import baselines
from harness.errors import DataError, Incomplete
from harness.finished import FinishedRun
from harness.store import RunDirectory
from tests.gated import N, change_lines, edit, run, write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run and its baseline."""
    folder = tmp_path_factory.mktemp("made")
    baselines.bless(run(write(folder)), "the first run, looked through")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    return Path(shutil.copytree(made, tmp_path / "p"))


def directory_of(folder: Path) -> RunDirectory:
    return RunDirectory(next((folder / "reports" / "bench").iterdir()))


def file_of(folder: Path) -> Path:
    return folder / "benchmarks" / "baselines" / "bench.json"


def test_what_is_kept(made: Path):
    saved = baselines.read(file_of(made))
    assert saved.reason == "the first run, looked through"
    assert saved.ids == tuple(f"t{i:03d}" for i in range(N))
    assert set(saved.arms) == {"prompt", "tuned"}
    tuned = saved.arms["tuned"]
    assert sum(v or 0 for v in tuned.scores["accuracy"]) == N - 22
    assert len(set(tuned.outputs)) == N  # equal answers do not show as equal
    assert len(tuned.seconds) == len(tuned.usd) == len(tuned.failed) == N
    assert saved.scorers["accuracy"]
    assert saved.machine["processors"]
    assert saved.digests["test examples"] == FinishedRun.read(directory_of(made)).test_digest


def test_no_raw_text_and_a_diff_by_arm_and_metric(made: Path):
    text = file_of(made).read_text()
    for word in ("red", "blue", "call number", "Name the colour"):
        assert f'"{word}"' not in text
        assert f"{word} " not in text
    lines = text.splitlines()
    assert sum('"accuracy": [' in line for line in lines) == 2
    assert json.loads(text)["arms"]["prompt"]["scores"]["accuracy"]


def test_blessing_the_same_run_again_changes_nothing_but_the_reason(folder: Path):
    before = file_of(folder).read_text()
    found = baselines.bless(directory_of(folder), "nothing new, really", write=False)
    assert found.changes == ()
    assert found.path == file_of(folder)
    assert file_of(folder).read_text() == before
    baselines.bless(directory_of(folder), "nothing new, really")
    assert baselines.read(file_of(folder)).reason == "nothing new, really"


def test_the_difference_is_shown(folder: Path):
    edit(folder / "fake.py", "number % 11 == 0", "number % 11 == 1 and number % 2")
    found = baselines.bless(run(folder / "bench.yaml"), "the new tune breaks fewer", write=False)
    text = "\n".join(found.changes)
    assert "tuned: accuracy +4.6 points [" in text
    assert "better on 22, worse on 11 of 240" in text
    assert "prompt: accuracy" not in text
    edit(folder / "bench.yaml", "tuned:  {", "better: {")
    edit(folder / "bench.yaml", "arm: tuned", "arm: better")
    edit(folder / "bench.yaml", "  answer:", "  limit: {test: 100}\n  answer:")
    text = "\n".join(baselines.bless(run(folder / "bench.yaml"), "renamed it", write=False).changes)
    for line in ("the test examples changed: 240 before, 100 now", "tuned: removed", "better: new"):
        assert line in text


@pytest.mark.parametrize("reason", ["", "  ", "better"])
def test_a_reason_is_wanted(folder: Path, reason: str):
    with pytest.raises(DataError, match="blessed with a reason"):
        baselines.bless(directory_of(folder), reason)


def test_an_incomplete_run_is_not_blessed(folder: Path):
    change_lines(directory_of(folder).scores, lambda line: None if line["example"] < "t010" else line)
    with pytest.raises(Incomplete, match="of the scores of prompt on accuracy are missing"):
        baselines.bless(directory_of(folder), "never mind that")
    directory_of(folder).file("manifest.json").unlink()
    with pytest.raises(Incomplete, match="not finished"):
        baselines.bless(directory_of(folder), "never mind that")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(DataError, match="there is no saved baseline") as caught:
        baselines.read(tmp_path / "bench.json")
    assert "harness bless" in caught.value.problems[0].fix


def test_every_mistake_is_told(folder: Path):
    file = file_of(folder)
    body: dict[str, Any] = json.loads(file.read_text())
    del body["reason"]
    body["scorers"] = ["accuracy"]
    body["arms"]["prompt"]["usd"] = "free"
    body["arms"]["tuned"] = 7
    file.write_text(json.dumps(body))
    with pytest.raises(DataError) as caught:
        baselines.read(file)
    assert {p.path for p in caught.value.problems} == {"reason", "scorers", "arms.prompt.usd", "arms.tuned"}
    assert all(p.where.endswith("bench.json") and "bless" in p.fix for p in caught.value.problems)


def test_what_does_not_fit_together_is_told(folder: Path):
    file = file_of(folder)
    body: dict[str, Any] = json.loads(file.read_text())
    body["ids"][1] = body["ids"][0]
    body["arms"]["prompt"]["scores"]["accuracy"][3] = 1.5
    body["arms"]["tuned"]["outputs"].pop()
    body["arms"]["tuned"]["scores"] = {}
    file.write_text(json.dumps(body))
    with pytest.raises(DataError) as caught:
        baselines.read(file)
    text = str(caught.value)
    for words in ("same id", "1.5", "239 values for 240", "are missing", "changed after it was blessed"):
        assert words in text


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.replace("1.0", "0.0", 1), "changed after it was blessed"),
        (lambda t: t.replace("the first run", "the best run"), "changed after it was blessed"),
        (lambda t: t[: len(t) // 2], "no JSON"),
        (lambda t: f"<<<<<<< HEAD\n{t}", "merge conflict"),
        (lambda t: t.replace('"schema": 1', '"schema": 2', 1), "written in schema 2"),
        (lambda t: "[]", "no saved baseline"),
        (lambda t: "", "no JSON"),
        (lambda t: "[" * 100_000, "no JSON"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(folder: Path, spoil: Any, words: str):
    file = file_of(folder)
    spoiled = spoil(file.read_text())
    assert spoiled != file.read_text()
    file.write_text(spoiled)
    with pytest.raises(DataError, match=words):
        baselines.read(file)


def test_a_file_or_a_folder_may_be_named_in_its_place(tmp_path: Path):
    project = tmp_path / "p"
    assert baselines.place(project, "x") == project / "benchmarks" / "baselines" / "x.json"
    assert baselines.place(project, "x", tmp_path) == tmp_path / "x.json"
    assert baselines.place(project, "x", tmp_path / "y.json") == tmp_path / "y.json"


def test_rows_in_another_order_are_the_same_examples(folder: Path):
    before = FinishedRun.read(directory_of(folder))
    ids, outputs, digest = before.board.ids, before.outputs("tuned"), before.test_digest
    rows = directory_of(folder).file("examples.jsonl").read_text().splitlines(keepends=True)
    directory_of(folder).file("examples.jsonl").write_text("".join(rows[::-1]))
    after = FinishedRun.read(directory_of(folder))
    assert after.board.ids == ids[::-1]
    assert after.test_digest == digest
    assert after.outputs("tuned") == outputs[::-1]


def test_a_run_that_was_moved_keeps_its_baseline(folder: Path):
    run = FinishedRun.read(RunDirectory(Path(shutil.move(directory_of(folder).path, folder / "reports" / "example"))))
    assert baselines.place_of(run) == file_of(folder)

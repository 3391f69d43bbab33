"""The speed benchmarks' own arithmetic: what held, what did not, and what a process with children costs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.speed import tasks
from benchmarks.speed.processes import Cost, cost, in_turns, ratio
from benchmarks.speed.table import Row, markdown

FRUGAL = "import subprocess, sys; subprocess.run([sys.executable, '-c', {!r}], check=True)"


def test_a_row_holds_up_to_its_target_and_a_missed_one_stands_out() -> None:
    rows = [Row("a", "b", 1.5, "x", most=1.5), Row("a", "c", 2.99, "x", least=3), Row("a", "d", 7.0, "s")]
    assert [r.held for r in rows] == [True, False, None]
    lines = markdown(rows).splitlines()[2:]
    assert [line.count("NOT held") for line in lines] == [0, 1, 0]
    assert "at most 1.50x" in lines[0]
    assert "at least 3.00x" in lines[1]


def test_what_a_child_holds_counts(tmp_path: Path) -> None:
    greedy = "import time; held = bytearray(80_000_000); time.sleep(0.4)"
    alone = cost([sys.executable, "-c", "pass"], tmp_path)
    both = cost([sys.executable, "-c", FRUGAL.format(greedy)], tmp_path)
    assert both.peak_mb > alone.peak_mb + 75
    assert both.wall > 0.4


def test_a_command_that_fails_ends_the_measurement_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such thing"):
        cost([sys.executable, "-c", "import sys; sys.exit('no such thing')"], tmp_path)


def test_ratios_are_taken_round_by_round() -> None:
    costs = iter(Cost(wall, 0, 0) for wall in (1.0, 2.0, 40.0, 10.0, 3.0, 9.0))  # a slow round hurts both sides
    done = in_turns({"ours": lambda: next(costs), "theirs": lambda: next(costs)}, 3)
    assert [c.wall for c in done["ours"]] == [1.0, 10.0, 3.0]
    assert [c.wall for c in done["theirs"]] == [2.0, 40.0, 9.0]
    assert ratio(done["ours"], done["theirs"], "wall") == pytest.approx(1 / 3)


def test_the_peers_and_ours_are_asked_the_same(tmp_path: Path) -> None:
    tasks.lines(tmp_path / "tasks.jsonl", 20)
    tasks.project(tmp_path / "ours", 20, "http://127.0.0.1:1/v1", 4)
    theirs = (tmp_path / "tasks.jsonl").read_text().splitlines()
    ours = (tmp_path / "ours" / "data" / "test.jsonl").read_text().splitlines()
    assert len(set(theirs)) == 20
    for mine, other in zip(ours, theirs, strict=True):
        assert tasks.json.loads(mine)["text"] == tasks.json.loads(other)["prompt"]

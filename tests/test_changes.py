"""Two runs held against each other: paired by example, refused where the rows differ, and the page of it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness import changes, cli
from harness.errors import DataError
from harness.finished import FinishedRun
from harness.report import changes as page
from harness.report import html
from harness.store import RunDirectory
from harness.taskset import Example
from tests import reports
from tests.reports import bent
from tests.test_report import Page


def opened(path: Path) -> FinishedRun:
    return FinishedRun.read(RunDirectory(path))


def rescored(path: Path, change: Callable[[dict[str, Any]], float]) -> None:
    """Other scores on the primary metric."""
    file = path / "scores.jsonl"
    rows = [json.loads(line) for line in file.read_bytes().splitlines()]
    for row in rows:
        if row["metric"] == "accuracy":
            row["value"] = min(1.0, max(0.0, change(row)))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A run, and the same with a worse prompt, a better few_shot, and another temperature."""

    def warmer(raw: dict[str, Any]) -> None:
        raw["run"]["temperature"] = 0.7

    before, after = bent(tmp_path / "before"), bent(tmp_path / "after", change=warmer)
    chance = random.Random(3)

    def moved(row: dict[str, Any]) -> float:
        by = {"prompt": -chance.choice([0, 0.2, 0.4]), "few_shot": chance.choice([0, 0.3])}
        return row["value"] + by.get(row["arm"], 0.0)

    rescored(after, moved)
    return before, after


def test_what_moved_and_what_did_not(two: tuple[Path, Path]) -> None:
    found = {(c.arm, c.metric): c for c in changes.between(*map(opened, two))}
    made = {arm: found[arm, "accuracy"].difference for arm in ("prompt", "few_shot", "fine_tuned")}
    assert {arm: c.label for arm, c in made.items() if c} == {
        "prompt": "worse",
        "few_shot": "better",
        "fine_tuned": "unclear",
    }
    still = made["fine_tuned"]
    assert still
    assert still.won == still.lost == 0
    assert {round(c.alpha, 4) for c in made.values() if c} == {0.0167, 0.025, 0.05}  # Holm over the three arms


def test_the_order_of_rows_changes_nothing(two: tuple[Path, Path]) -> None:
    before, after = two
    rows = json.loads((after / "examples.json").read_bytes())
    (after / "examples.json").write_text(json.dumps(rows[::-1]))
    turned = {(c.arm, c.metric): c.difference for c in changes.between(opened(before), opened(after))}
    (after / "examples.json").write_text(json.dumps(rows))
    plain = {(c.arm, c.metric): c.difference for c in changes.between(opened(before), opened(after))}
    for key, c in plain.items():
        other = turned[key]
        assert c
        assert other
        assert (c.delta, c.low, c.high, c.won, c.lost) == pytest.approx(
            (other.delta, other.low, other.high, other.won, other.lost)
        )


def test_the_same_run_twice_is_the_same(tmp_path: Path) -> None:
    one, two = opened(bent(tmp_path / "one")), opened(bent(tmp_path / "two"))
    view = page.build(one, two, changes.between(one, two))
    assert (view.word, view.settings) == ("The same", ())
    assert "no answer reads otherwise" in view.sentence


def retargeted(example: Example) -> Example:
    return reports.msgspec.structs.replace(example, target=("salt",))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"examples": 30}, "10 are in one of them only"),
        ({"example": retargeted}, "40 have another input or target"),
    ],
)
def test_other_rows_are_refused(tmp_path: Path, how: dict[str, Any], said: str) -> None:
    one, two = opened(bent(tmp_path / "one")), opened(bent(tmp_path / "two", **how))
    with pytest.raises(DataError, match=said):
        changes.between(one, two)


def test_another_scorer_is_not_compared(two: tuple[Path, Path]) -> None:
    manifest = json.loads((two[1] / "manifest.json").read_bytes())
    manifest["digests"]["scorer exact"] = "another"
    (two[1] / "manifest.json").write_text(json.dumps(manifest))
    found = [c for c in changes.between(*map(opened, two)) if c.metric == "exact"]
    assert {c.note for c in found} == {"scored otherwise: not compared"}
    assert all(c.difference is None for c in found)


def test_arms_come_and_go(tmp_path: Path) -> None:
    one = opened(bent(tmp_path / "one", arms=("prompt", "few_shot")))
    two = opened(bent(tmp_path / "two", arms=("few_shot", "fine_tuned")))
    notes = {c.arm: c.note for c in changes.between(one, two)}
    assert notes == {"prompt": "gone", "few_shot": "", "fine_tuned": "new"}
    said = Page(html.changes_page(page.build(one, two, changes.between(one, two)))).text
    assert "new" in said
    assert "gone" in said


def test_the_page_says_it_and_needs_no_script(two: tuple[Path, Path]) -> None:
    one, two_ = map(opened, two)
    source = html.changes_page(page.build(one, two_, changes.between(one, two_)))
    found = Page(source)
    assert "script-src &#39;none&#39;" in source
    assert not [t for t, _ in found.tags if t in ("script", "img", "iframe", "form")]
    for words in ("Mixed", "prompt is ", " worse; few_shot is ", "run.temperature", "0.7"):
        assert words in found.text, words
    assert len(found.ids()) == len(set(found.ids()))


def test_the_command_writes_the_page(two: tuple[Path, Path]) -> None:
    done = CliRunner().invoke(cli.app, ["compare", *map(str, two)])
    assert done.exit_code == 0, done.output
    assert "compared-with-before.html" in done.output
    assert "worse" in done.output
    assert (two[1] / "compared-with-before.html").stat().st_size < 100_000
    listed = CliRunner().invoke(cli.app, ["compare", "--json", *map(str, two)])
    assert {c["arm"] for c in json.loads(listed.output)} == {"prompt", "few_shot", "fine_tuned"}


@pytest.mark.parametrize("width", ["40", "80", "120"])
def test_no_figure_is_cut_on_a_narrow_terminal(two: tuple[Path, Path], width: str) -> None:
    done = CliRunner().invoke(cli.app, ["compare", *map(str, two)], env={"COLUMNS": width})
    words = " ".join(done.output.split())
    listed = json.loads(CliRunner().invoke(cli.app, ["compare", "--json", *map(str, two)]).output)
    assert "…" not in words
    for d in (c["difference"] for c in listed if c["difference"]):
        assert f"{100 * d['delta']:+.1f} [{100 * d['low']:+.1f}, {100 * d['high']:+.1f}]" in words


def test_what_is_worse_is_counted_as_points_worse(two: tuple[Path, Path]) -> None:
    one, two_ = map(opened, two)
    said = page.build(one, two_, changes.between(one, two_)).sentence
    assert not re.search(r"\[[-+−]", said), "two signs for one thing"

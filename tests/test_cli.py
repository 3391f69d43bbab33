"""Every command as a user types it, in a process of its own: output, exit code, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def harness(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "100"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_from_check_to_compare(project: Path) -> None:
    looked = harness(project, "check", "bench.yaml")
    assert looked.returncode == 0, looked.stderr
    assert "rows: 6 train, 4 dev, 8 test" in looked.stdout
    assert not (project / "reports").exists()
    first = harness(project, "run", "bench.yaml")
    assert first.returncode == 0, first.stderr
    assert "estimate:" in first.stderr
    assert "few_shot" in first.stdout
    assert "report.html" in first.stdout
    again = harness(project, "run", "bench.yaml", "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["verdict"]["candidate"] == "tuned"
    told = harness(project, "report", "bench.yaml")
    assert told.stdout.splitlines()[0] == first.stdout.splitlines()[0]
    run = str(next((project / "reports" / "bench").iterdir()))
    same = harness(project, "compare", run, run, "--json")
    assert same.returncode == 0, same.stderr
    assert all(c["difference"]["delta"] == 0 for c in json.loads(same.stdout))


def test_a_look_writes_nothing(project: Path) -> None:
    before = {f: f.stat().st_mtime_ns for f in project.rglob("*")}
    assert harness(project, "check", "bench.yaml").returncode == 0
    assert {f: f.stat().st_mtime_ns for f in project.rglob("*")} == before


def test_gates_decide_the_exit_code(project: Path) -> None:
    assert harness(project, "run", "bench.yaml").returncode == 0
    file = project / "bench.yaml"
    for floor, code in ((0.01, 0), (0.99, 1)):
        text = file.read_text().split("gates:")[0]
        file.write_text(f"{text}gates:\n  floor: {{arm: prompt, on: accuracy, min: {floor}}}\n")
        assert harness(project, "gate", "bench.yaml").returncode == code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nothing.yaml"], "nothing.yaml"),
        (["report", "nothing"], "no such run"),
        (["gate", "bench.yaml"], "no run of this benchmark yet"),
        (["rnu"], "No such command"),
        (["run"], "Missing argument"),
        (["import", "eval-thing", "bench.yaml"], "promptfoo"),
        (["run", "bench.yaml", "--on-interrupt", "maybe"], "keep, cancel"),
    ],
)
def test_what_is_wrong_is_told_without_a_traceback(project: Path, arguments: list[str], said: str) -> None:
    done = harness(project, *arguments)
    assert done.returncode in (2, 4)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_or_a_read_only_folder_is_told(project: Path) -> None:
    (project / "reports").write_text("a file where a folder is wanted")
    done = harness(project, "run", "bench.yaml")
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr


def test_init_writes_a_benchmark_that_check_accepts(project: Path) -> None:
    made = harness(project, "init", "data", "-o", "mine.yaml")
    assert made.returncode == 0, made.stderr
    assert harness(project, "init", "data", "-o", "mine.yaml").returncode == 2


@pytest.mark.parametrize("of", ["benchmark", "verdict"])
def test_the_committed_schemas_are_those_that_the_code_has(of: str) -> None:
    committed = json.loads((ROOT / "benchmarks" / f"{of}.schema.json").read_text())
    assert committed == json.loads(harness(ROOT, "schema", of).stdout)


def test_models_are_listed_without_a_network(project: Path) -> None:
    listed = harness(project, "models", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "local/smollm2-135m-instruct" in {row["model"] for row in json.loads(listed.stdout)}

"""The pytest plugin in sessions of its own: items, options, fixture, JUnit, xdist; nothing for who does not use it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from harness import baselines
from harness.cli import app
from tests.gated import edit, run, write

pytest_plugins = ["pytester"]


@pytest.fixture(scope="module")
def blessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run that is the committed baseline."""
    folder = tmp_path_factory.mktemp("blessed")
    baselines.bless(run(write(folder)), "the first run, looked through")
    return folder


@pytest.fixture
def session(blessed: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest session in a copy of the project."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # other plugins of the environment take seconds to import
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p harness -p xdist -p no:cacheprovider")
    shutil.copytree(blessed, pytester.path, dirs_exist_ok=True)
    return pytester


def test_one_item_a_gate_named_by_file_arm_and_gate(session: pytest.Pytester):
    found = session.runpytest("--collect-only", "-q", "bench.yaml")
    found.stdout.fnmatch_lines_random([
        "bench.yaml::tuned::worth_it", "bench.yaml::prompt::regression", "bench.yaml::tuned::regression",
        "bench.yaml::tuned::floor",
    ])  # fmt: skip
    session.runpytest("bench.yaml").assert_outcomes(passed=4)


def test_selection_by_name_id_and_marker(session: pytest.Pytester):
    (session.path / "test_other.py").write_text("def test_it(): pass\n")
    session.runpytest("-k", "regression").assert_outcomes(passed=2, deselected=3)
    session.runpytest("bench.yaml::tuned::floor").assert_outcomes(passed=1)
    session.runpytest("-m", "gate", "--strict-markers").assert_outcomes(passed=4, deselected=1)
    session.runpytest("-m", "not gate").assert_outcomes(passed=1, deselected=4)


def test_only_benchmark_files_are_collected(session: pytest.Pytester):
    (session.path / "compose.yaml").write_text("version: 3\nservices: {}\n")
    (session.path / "notes.yml").write_text("a:\n  version: 1\n  question: 2\n")
    (session.path / "broken.yaml").write_bytes(b"\xff\xfe: [")
    session.runpytest().assert_outcomes(passed=4)
    edit(session.path / "bench.yaml", "arm: tuned, min: 0.8", "arm: tuend, min: 0.8")
    found = session.runpytest("bench.yaml")
    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(["*did you mean `tuned`?*"])
    found.stdout.no_fnmatch_line("*Traceback*")


def test_a_failed_gate_is_readable_and_in_junit(session: pytest.Pytester):
    edit(session.path / "fake.py", "number % 3 == 0", "number % 3 == 0 or number % 5 == 1")
    run(session.path / "bench.yaml")
    found = session.runpytest("bench.yaml", "--junitxml=out.xml")
    found.assert_outcomes(passed=3, failed=1)
    found.stdout.fnmatch_lines(["*prompt::regression fail: prompt fell behind the saved baseline*", "*worse on 32 (*"])
    found.stdout.no_fnmatch_line("*pytest_plugin.py*")
    cases = {c.get("name"): c for c in ElementTree.parse(session.path / "out.xml").iter("testcase")}
    case = next(
        c for c in ElementTree.parse(session.path / "out.xml").iter("testcase") if c.find("failure") is not None
    )
    assert set(cases) == {"worth_it", "regression", "floor"}
    said = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert said["gate.status"] == "fail"
    assert said["gate.arm"] == "prompt"
    assert float(said["gate.value"] or 0) < 0
    assert "t001" in (said["gate.broken"] or "")


def test_inconclusive_is_neither_passed_nor_failed(session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    edit(session.path / "fake.py", "number % 3 == 0", "number % 3 == 1")
    run(session.path / "bench.yaml")
    page = session.path / "page.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    found = session.runpytest("bench.yaml", "-W", "error", "--harness-summary=comment.md")
    assert found.ret == 0
    assert (session.path / "comment.md").read_text() + "\n" == page.read_text()
    found.stdout.fnmatch_lines([
        "*gates that are not settled*", "prompt::regression inconclusive: *", "*more examples would decide*",
        "*3 passed*1 inconclusive*",
    ])  # fmt: skip
    assert "| ❔ inconclusive | prompt" in page.read_text()
    strict = session.runpytest("bench.yaml", "--harness-strict")
    strict.assert_outcomes(passed=3, failed=1)


def test_a_warning_is_said_and_does_not_fail(session: pytest.Pytester):
    edit(session.path / "bench.yaml", "min: 0.8, on: accuracy", "min: 0.99, on: accuracy, severity: warn")
    found = session.runpytest("bench.yaml", "--harness-strict")
    assert found.ret == 0
    found.stdout.fnmatch_lines(["tuned::floor warned: *at least 99.0 % does not hold", "*3 passed*1 warned*"])


def test_junit_says_how_severe_each_gate_is_and_json_too(session: pytest.Pytester):
    edit(session.path / "bench.yaml", "min: 0.8, on: accuracy", "min: 0.99, on: accuracy, severity: warn")
    session.runpytest("bench.yaml", "--junitxml=out.xml")
    said = {
        f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}": {
            p.get("name"): p.get("value") for p in case.iter("property")
        }
        for case in ElementTree.parse(session.path / "out.xml").iter("testcase")
    }
    severities = {name.rpartition("::")[2]: properties["gate.severity"] for name, properties in said.items()}
    assert severities == {"worth_it": "error", "regression": "error", "floor": "warn"}
    assert all("None" not in properties.values() for properties in said.values())
    printed = CliRunner().invoke(app, ["gate", str(session.path / "bench.yaml"), "--json"])
    assert {o["severity"] for o in json.loads(printed.output)["outcomes"]} == {"error", "warn"}


def test_a_summary_that_cannot_be_written_is_said(session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(session.path))
    found = session.runpytest("bench.yaml", "--harness-summary=bench.yaml/x.md")
    assert found.ret == 0
    found.stdout.fnmatch_lines(["*step's summary was not written*", "--harness-summary: *"])
    found.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_seconds_of_another_machine_do_not_block_where_they_only_warn(session: pytest.Pytester):
    gate = "  slow: {arm: tuned, not_worse_than: saved, on: seconds, severity: warn}\n"
    (session.path / "bench.yaml").write_text((session.path / "bench.yaml").read_text() + gate)
    (manifest,) = (session.path / "reports" / "bench").glob("*/manifest.json")
    edit(manifest, '"processors":', '"processors":9')
    found = session.runpytest("bench.yaml", "--harness-strict")
    assert found.ret == 0
    found.stdout.fnmatch_lines(
        ["tuned::slow inconclusive: not compared, another machine: *", "*4 passed*1 inconclusive*"]
    )
    edit(session.path / "bench.yaml", ", severity: warn}", "}")
    session.runpytest("bench.yaml").assert_outcomes(passed=4, failed=1)


def test_no_run_and_no_baseline_fail_with_the_next_step(session: pytest.Pytester):
    shutil.rmtree(session.path / "benchmarks")
    found = session.runpytest("bench.yaml")
    found.assert_outcomes(passed=2, failed=2)
    found.stdout.fnmatch_lines(["*there is no saved baseline*", "*harness bless FILE*"])
    shutil.rmtree(session.path / "reports")
    found = session.runpytest("bench.yaml")
    found.assert_outcomes(failed=4)
    found.stdout.fnmatch_lines(["*there is no run of this benchmark yet*", "*harness run *bench.yaml*"])


def test_a_baseline_from_elsewhere(session: pytest.Pytester):
    shutil.move(session.path / "benchmarks" / "baselines", session.path / "kept")
    session.runpytest("bench.yaml", "--harness-baseline", "kept").assert_outcomes(passed=4)
    session.runpytest("bench.yaml", "--harness-baseline", "kept/bench.json").assert_outcomes(passed=4)
    session.runpytest("bench.yaml", "--harness-baseline", "nowhere").assert_outcomes(passed=2, failed=2)


def test_running_first_only_when_asked(session: pytest.Pytester):
    edit(session.path / "fake.py", "number % 3 == 0", "number % 3 == 0 or number % 5 == 1")
    found = session.runpytest("bench.yaml")
    found.assert_outcomes(failed=4)
    found.stdout.fnmatch_lines(["*changed since the last finished run*"])
    session.runpytest("bench.yaml", "--harness-run").assert_outcomes(passed=3, failed=1)


HOSTED = """\
model: {id: some-model, base_url: "http://127.0.0.1:9/v1", api_key_env: NO_SUCH_KEY,
        usd_per_mtok: {input: 1.0, output: 2.0}}
"""


def test_ci_pays_for_nothing_that_was_not_allowed(session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """A hosted model, no stored answer, CI: refused before any call, with the estimated price and how to allow it."""
    edit(session.path / "bench.yaml", "model: scripted/fake.py:answer\n", HOSTED)
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("NO_SUCH_KEY", "k")
    found = session.runpytest("bench.yaml", "--harness-run", "-k", "floor")
    found.assert_outcomes(failed=1, deselected=3)
    found.stdout.fnmatch_lines(["*is estimated at $*", "*--harness-spend*"])


def test_the_fixture(session: pytest.Pytester):
    (session.path / "test_it.py").write_text(
        """
def test_better(harness_run):
    arm = harness_run("bench.yaml").arm("tuned")
    assert arm.beats("prompt", by=0.02).n == 240
    arm.not_worse_than("saved")
    arm.holds(min=0.8, on="accuracy")

def test_worse(harness_run):
    harness_run("bench.yaml").arm("prompt").beats("tuned")

def test_open(harness_run):
    harness_run("bench.yaml").arm("tuned").beats("prompt", by=0.24)

def test_no_arm(harness_run):
    harness_run("bench.yaml").arm("tuend").beats("prompt")

def test_no_file(harness_run):
    harness_run("nope.yaml")
"""
    )
    found = session.runpytest("test_it.py")
    found.assert_outcomes(passed=1, failed=3)
    found.stdout.fnmatch_lines([
        "*prompt::beats fail: prompt does not beat tuned*", "*there is no arm tuend*", "tuned::beats inconclusive: *",
        "*1 inconclusive*",
    ])  # fmt: skip


def test_with_workers(session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    edit(session.path / "fake.py", "number % 3 == 0", "number % 3 == 1")
    page = session.path / "page.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    found = session.runpytest("bench.yaml", "-n", "2", "--harness-run", "--junitxml=out.xml")
    assert found.ret == 0
    found.stdout.fnmatch_lines(["*gates that are not settled*", "*3 passed*1 inconclusive*"])
    assert page.read_text().count("| ✅ pass |") == 3
    assert "gate.status" in (session.path / "out.xml").read_text()


def test_a_session_without_benchmarks_imports_nothing(session: pytest.Pytester):
    """The plugin is in every session of the environment: it may cost those that do not use it next to nothing."""
    code = (
        "import sys, pytest; import harness.pytest_plugin; "
        "print([m for m in ('numpy', 'pydantic', 'msgspec', 'scipy', 'ruamel.yaml', 'typer') if m in sys.modules], "
        "sorted(m for m in sys.modules if m.startswith('harness')))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[] ['harness', 'harness.pytest_plugin']"
    (found,) = metadata.entry_points(group="pytest11", name="harness")
    assert found.value == "harness.pytest_plugin"
    (session.path / "test_plain.py").write_text(
        "import sys\ndef test_it(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.hasplugin('harness')\n"
        "    assert 'harness.gates' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    session.runpytest_subprocess("test_plain.py").assert_outcomes(passed=1)

"""pytest: every gate of a benchmark file is an item, `recipes.yaml::fine_tuned::worth_it`, and runs are a fixture.

The entry point loads this module into every pytest session of an environment, so it imports nothing but pytest; all
else comes with the first benchmark file. A gate reads the last finished run and spends nothing without `--harness-run`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.baselines import Baseline
    from harness.errors import HarnessError
    from harness.finished import FinishedRun
    from harness.gating import GateOutcome
    from harness.spec import GateSpec, Located

OUTCOMES = pytest.StashKey[list[dict[str, Any]]]()
_KEYS = (re.compile(rb"^version\s*:", re.M), re.compile(rb"^question\s*:", re.M))
_LARGEST = 1_000_000  # bytes; a benchmark file is a page


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, all with the package's name in front."""
    group = parser.getgroup("harness", "regression gates of benchmark files")
    group.addoption(
        "--harness-run", action="store_true", help="run benchmarks first; stored answers are free (default: read only)"
    )
    group.addoption(
        "--harness-spend", type=float, metavar="USD",
        help="dollars that --harness-run may spend a benchmark (default: its max_usd; 0 where CI is set)",
    )  # fmt: skip
    group.addoption(
        "--harness-baseline", type=Path, metavar="PATH",
        help="a baseline file, or a folder of them, in place of benchmarks/baselines",
    )  # fmt: skip
    group.addoption("--harness-strict", action="store_true", help="inconclusive gates fail")
    group.addoption(
        "--harness-summary", type=Path, metavar="FILE", help="write the text of a pull-request comment to this file"
    )


def pytest_configure(config: pytest.Config) -> None:
    """`-m gate` picks the gates, `-m "not gate"` all else."""
    config.addinivalue_line("markers", "gate: a regression gate of a benchmark file")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Benchmark files alone: YAML with `version` and `question` at its top level."""
    if file_path.suffix not in (".yaml", ".yml"):
        return None
    try:
        if file_path.stat().st_size > _LARGEST:
            return None
        raw = file_path.read_bytes()
    except OSError:
        return None
    if not all(key.search(raw) for key in _KEYS):
        return None
    return BenchmarkFile.from_parent(parent, path=file_path)


class Bench:
    """One benchmark in one session: its run and its baseline, read once."""

    def __init__(self, path: Path, config: pytest.Config) -> None:
        self.path = path
        self._config = config

    @cached_property
    def located(self) -> Located:
        """The file, read and checked."""
        from harness import specfile

        return specfile.read(self.path)

    @cached_property
    def run(self) -> FinishedRun:
        """The last finished run, made first where that was asked for."""
        from harness import gates

        if not self._config.getoption("--harness-run"):
            return gates.run_of(self.located)
        spend = self._config.getoption("--harness-spend")
        return gates.make_run(self.located, 0.0 if spend is None and os.environ.get("CI") else spend)

    @cached_property
    def saved(self) -> Baseline | HarnessError:
        """The committed baseline, or what is wrong with it."""
        from harness import baselines
        from harness.errors import DataError

        try:
            given = self._config.getoption("--harness-baseline")
            return baselines.read(baselines.place(self.located.project, self.located.name, given))
        except DataError as error:
            return error

    def ask(self, name: str, gate: GateSpec, arm: str) -> GateOutcome:
        """One gate's answer; that the run cannot be read is an answer too."""
        from harness.errors import HarnessError
        from harness.gating import GateOutcome, ask, in_words

        try:
            return ask(name, gate, arm, self.run, self.saved if gate.not_worse_than == "saved" else None)
        except HarnessError as error:
            status = "incomplete" if error.exit_code == 4 else "error"
            return GateOutcome(name, arm, status, str(error), gate.severity, in_words(gate))


def settle(outcome: GateOutcome, node: pytest.Item, strict: bool) -> None:
    """Keep an outcome for report and JUnit, and fail the test where it must. `severity: warn` only says it."""
    import msgspec

    said: dict[str, Any] = msgspec.to_builtins(outcome)
    node.stash.setdefault(OUTCOMES, []).append(said)
    for key, value in said.items():
        if value is None or value in ("", [], ()):
            continue
        shown = ("\n" if key == "details" else ", ").join(value) if isinstance(value, list | tuple) else value
        node.user_properties.append((f"gate.{key}", shown))
    if outcome.status in ("error", "incomplete") or (
        outcome.severity == "error" and (outcome.status == "fail" or (strict and outcome.status == "inconclusive"))
    ):
        lines = [f"{outcome.arm}::{outcome.gate} {outcome.status}: {outcome.sentence}", f"asked: {outcome.asked}"]
        pytest.fail("\n    ".join([*lines, *outcome.details]), pytrace=False)


class BenchmarkFile(pytest.File):
    """A benchmark file; its children are the arms that gates are asked of."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """One collector an arm. A file without gates has none."""
        from harness import gates

        self.bench = Bench(self.path, self.config)
        benchmark = self.bench.located.benchmark
        uses = any(g.not_worse_than == "saved" for g in benchmark.gates.values())
        by_arm: dict[str, list[str]] = {}
        for name, arm in gates.expand(benchmark, self.bench.saved if uses else None):
            by_arm.setdefault(arm, []).append(name)
        for arm, names in by_arm.items():
            yield ArmGates.from_parent(self, name=arm, names=names)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        """Mistakes in the file as they are told everywhere, without a traceback."""
        from harness.errors import HarnessError

        if isinstance(excinfo.value, HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class ArmGates(pytest.Collector):
    """The gates of one arm."""

    def __init__(self, *, names: list[str], **rest: Any) -> None:
        super().__init__(**rest)
        self._names = names

    def collect(self) -> Iterable[pytest.Item]:
        """One item a gate."""
        for name in self._names:
            yield GateItem.from_parent(self, name=name)


class GateItem(pytest.Item):
    """One gate of one arm."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(**rest)
        self.add_marker("gate")

    def runtest(self) -> None:
        """Ask it. Inconclusive and warned gates are skipped with their sentence: neither passed nor failed."""
        arm, file = self.parent, self.parent.parent if self.parent else None
        assert isinstance(arm, ArmGates)
        assert isinstance(file, BenchmarkFile)
        outcome = file.bench.ask(self.name, file.bench.located.benchmark.gates[self.name], arm.name)
        settle(outcome, self, bool(self.config.getoption("--harness-strict")))
        if outcome.status != "pass":
            raise pytest.skip.Exception(outcome.sentence, _use_item_location=True)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it stands, for JUnit and failures."""
        return self.path, 0, f"{self.parent.name if self.parent else ''}::{self.name}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hands the outcomes to the report, which xdist carries to the controller."""
    report = yield
    if report.when == "call" and (said := item.stash.get(OUTCOMES, None)):
        report.harness_gates = said  # type: ignore[attr-defined]
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Inconclusive and warned gates have a letter and a count of their own."""
    said: list[dict[str, Any]] = getattr(report, "harness_gates", [])
    if not said or report.failed:
        return None
    statuses = {o["status"] for o in said}
    if "fail" in statuses:
        return "warned", "w", ("WARNED", {"yellow": True})
    if "inconclusive" in statuses:
        return "inconclusive", "?", ("INCONCLUSIVE", {"yellow": True})
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What neither passed nor failed, sentence by sentence; and the page of a GitHub workflow step."""
    if hasattr(terminalreporter.config, "workerinput"):  # a worker of xdist; its controller hears of all
        return
    reports: list[Any] = [r for found in terminalreporter.stats.values() for r in found]
    said: list[dict[str, Any]] = [o for r in reports for o in getattr(r, "harness_gates", [])]
    open_ones = [
        o for o in said if o["status"] == "inconclusive" or (o["status"] == "fail" and o["severity"] == "warn")
    ]
    if open_ones:
        terminalreporter.section("gates that are not settled")
        for o in open_ones:
            word = "warned" if o["status"] == "fail" else o["status"]
            terminalreporter.write_line(f"{o['arm']}::{o['gate']} {word}: {o['sentence']}")
            for line in o.get("details", ()):
                terminalreporter.write_line(f"    {line}")
    file = terminalreporter.config.getoption("--harness-summary")
    if said and (file or os.environ.get("GITHUB_STEP_SUMMARY")):
        import msgspec

        from harness import gates
        from harness.errors import DataError
        from harness.gating import GateOutcome

        body = gates.markdown(msgspec.convert(said, list[GateOutcome]))
        if unwritten := gates.step_summary(body):
            terminalreporter.write_line(unwritten, yellow=True)
        try:
            if file:
                gates.write_comment(file, body)
        except DataError as error:
            terminalreporter.write_line(f"--harness-summary: {error}", red=True)


class Arm:
    """An arm of a finished run, to be held against something inside a test."""

    def __init__(self, bench: Bench, name: str, node: pytest.Item) -> None:
        self._bench, self._name, self._node = bench, name, node

    def beats(self, rival: str, by: float = 0.0, on: str | None = None) -> GateOutcome:
        """It beats another arm (or `baseline`) on a metric (the primary one) by more than `by`."""
        return self.holds(beats=rival, by=by, on=on or self._bench.run.benchmark.primary)

    def not_worse_than(self, rival: str, margin: float = 0.03, on: str | None = None) -> GateOutcome:
        """It is not worse than another arm, `baseline` or `saved` by more than `margin`."""
        return self.holds(not_worse_than=rival, margin=margin, on=on or self._bench.run.benchmark.primary)

    def holds(self, **gate: Any) -> GateOutcome:
        """Any gate as a benchmark file would say it: `holds(min=0.8, on="accuracy")`, `holds(max_usd_per_1k=0.05)`.

        Fails the test when the gate fails or cannot be asked; inconclusive is said in the terminal summary.
        """
        from harness.spec import GateSpec

        spec = GateSpec(arm=self._name, **gate)
        outcome = self._bench.ask(next(iter(gate)), spec, self._name)
        settle(outcome, self._node, bool(self._node.config.getoption("--harness-strict")))
        return outcome


class Run:
    """The last finished run of a benchmark."""

    def __init__(self, bench: Bench, node: pytest.Item) -> None:
        self._bench, self._node = bench, node

    def arm(self, name: str) -> Arm:
        """One of its arms; that there is none is said by the first question."""
        return Arm(self._bench, name, self._node)


@pytest.fixture
def harness_run(request: pytest.FixtureRequest) -> Callable[[str], Run]:
    """`harness_run("benchmarks/recipes.yaml").arm("fine_tuned").beats("few_shot", by=0.02)`; paths start at rootdir."""

    def read(path: str) -> Run:
        from harness.errors import HarnessError

        bench = Bench(request.config.rootpath / path, request.config)
        try:
            _ = bench.run
        except HarnessError as error:
            pytest.fail(str(error), pytrace=False)
        return Run(bench, request.node)

    return read

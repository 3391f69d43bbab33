"""The gates of a benchmark held against its last finished run: find the run, ask every gate, say it, with an exit code.

Reading only: no model, no key, no dollar. A run that is not of the benchmark as it stands is refused, never judged.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness import baselines
from harness.errors import DataError, HarnessError, Incomplete, Problem, SpecError
from harness.finished import FinishedRun
from harness.gating import GateOutcome, Status, ask
from harness.models.base import Struct
from harness.paths import shown
from harness.references import documents_of, is_tuned
from harness.store import RunDirectory, write_whole

if TYPE_CHECKING:
    from harness.baselines import Baseline
    from harness.estimate import RunEstimate
    from harness.spec import Benchmark, GateSpec, Located

WORDS: dict[Status, str] = {
    "pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE", "incomplete": "INCOMPLETE", "error": "ERROR",
}  # fmt: skip
LONGEST = 65_000
"""Characters of a comment that GitHub takes, and a little less."""
SIGNS: dict[Status, str] = {"pass": "✅", "fail": "❌", "inconclusive": "❔", "incomplete": "⛔", "error": "⛔"}
WARNED = "⚠️"


class Report(Struct, frozen=True):
    """All gates of a benchmark, answered. `report` is the page of the run, `baseline` the committed baseline's file."""

    benchmark: str
    run: str
    report: str
    baseline: str
    strict: bool
    outcomes: tuple[GateOutcome, ...]

    @property
    def exit_code(self) -> int:
        """0 pass, 1 a gate failed, 2 one cannot be compared, 4 incomplete, 3 inconclusive where strict: the first."""
        return exit_code(self.outcomes, self.strict)


def exit_code(outcomes: Sequence[GateOutcome], strict: bool) -> int:
    """The exit code of some outcomes. `severity: warn` softens fail and inconclusive, not what cannot be asked."""
    found = {o.status for o in outcomes if o.severity == "error" or o.status in ("error", "incomplete")}
    for status, code in (("fail", 1), ("error", 2), ("incomplete", 4)):
        if status in found:
            return code
    return 3 if strict and "inconclusive" in found else 0


def check(path: Path, strict: bool = False, baseline: Path | None = None) -> Report:
    """Ask every gate of a benchmark file (its last finished run) or of a run directory.

    Args:
        path: the YAML, whose gates are asked as they stand now; or a run, with the gates that it was made with.
        strict: inconclusive gates block.
        baseline: a baseline file, or a folder of them, in place of the committed one.

    Raises:
        SpecError: the file has mistakes, or no gates.
        Incomplete: there is no finished run of the benchmark as it stands.
        DataError: the run cannot be read.
    """
    run = open_run(path)
    if not run.benchmark.gates:
        fix = "add one, such as `gates: {regression: {arm: '*', not_worse_than: saved, on: METRIC, margin: 0.03}}`"
        raise SpecError(Problem("the benchmark has no gates", where=shown(path), path="gates", fix=fix))
    file = baselines.place_of(run, baseline)
    saved = saved_for(run.benchmark, file)
    asked = expand(run.benchmark, saved)
    outcomes = tuple(ask(name, run.benchmark.gates[name], arm, run, saved) for name, arm in asked)
    return Report(
        benchmark=run.manifest.benchmark,
        run=run.manifest.run,
        report=shown(run.directory.file("report.html")),
        baseline=shown(file) if saved is not None else "",
        strict=strict,
        outcomes=outcomes,
    )


def open_run(path: Path) -> FinishedRun:
    """The finished run behind a run directory, or the last one of a benchmark file that is of it as it stands."""
    if path.is_dir():
        if not RunDirectory(path).file("benchmark.json").is_file():
            fix = "name a folder reports/<benchmark>/<run>, or the benchmark file: its last finished run is taken"
            raise DataError(Problem("this folder holds no run", where=shown(path), fix=fix))
        return FinishedRun.read(RunDirectory(path))
    from harness import specfile

    return run_of(specfile.read(path))


def run_of(located: Located) -> FinishedRun:
    """The last finished run of a benchmark, its data and its prompts as they are now; gates as the file states them.

    Where none of `reports/<name>/` is of it, the committed example `reports/example/<name>/` may be.

    Raises:
        Incomplete: there is none, or what was run has changed since.
    """
    from harness import taskset

    tasks = taskset.load(located.benchmark.task, located.folder, located.project, allow_outside=located.allow_outside)
    now = {"benchmark": located.digest, "task set": tasks.digest}
    parent = located.project / "reports" / located.name
    folders = sorted(p for p in parent.glob("*") if p.is_dir()) if parent.is_dir() else []
    committed = located.project / "reports" / "example" / located.name
    folders += [committed] if committed.is_dir() else []
    command = f"harness run {shown(located.file)}"
    finished = [(m, d) for p in folders if (m := (d := RunDirectory(p)).manifest()) is not None]
    finished.sort(key=lambda pair: (pair[1].path != committed, pair[0].finished, pair[0].run))
    for manifest, directory in reversed(finished):
        if all(manifest.digests.get(key) == digest for key, digest in now.items()):
            return FinishedRun.read(directory, located.benchmark)
    if finished:
        last = finished[-1][0]
        changed = [key for key, digest in now.items() if last.digests.get(key) != digest]
        names = {"benchmark": "the benchmark file or a file that it names", "task set": "the task set"}
        what = f"{' and '.join(names[c] for c in changed)} changed since the last finished run ({last.run})"
        raise Incomplete(Problem(f"{what}: a gate judges no other", where=shown(located.file), fix=command))
    what = "a run was started and not finished" if folders else "there is no run of this benchmark yet"
    raise Incomplete(Problem(what, where=shown(parent), fix=f"{command} finishes it; a gate itself never spends"))


def make_run(located: Located, spend: float | None) -> FinishedRun:
    """Finish the run of a benchmark first, for who asks for it. Runs of several processes wait for each other.

    Args:
        spend: US dollars that it may cost; None: no more than the file's own `run.max_usd`. Stored answers are free.

    Raises:
        Incomplete: it would cost more; the estimated price is said.
    """
    import asyncio

    from harness import pipeline
    from harness.techniques import FineTune

    bills: list[RunEstimate] = []
    allow = "allow it with --harness-spend USD, or make the run elsewhere and store it"

    def said(estimate: RunEstimate) -> None:
        bills.append(estimate)
        hosted = {a for a, t in located.benchmark.arms.items() if isinstance(t, FineTune) and t.tuner != "existing"}
        training = [a.train_usd for a in estimate.arms if a.arm in hosted and a.train_usd != 0]
        if spend is not None and any(usd is None or usd > spend for usd in training):
            raise Incomplete(Problem(f"a training would be paid for: {_price(bills)}", fix=allow))

    if spend is not None:
        run = located.benchmark.run
        most = spend if run.max_usd is None else min(spend, run.max_usd)
        capped = located.benchmark.model_copy(update={"run": run.model_copy(update={"max_usd": most})})
        located = located.model_copy(update={"benchmark": capped})
    with _one_at_a_time(located.project / ".harness"):
        try:
            asyncio.run(pipeline.run_benchmark(located, said=said))
        except Incomplete as error:
            if spend is None:
                raise
            what = f"{error.problems[0].what}; the whole run is estimated at {_price(bills)}"
            raise Incomplete(Problem(what, where=shown(located.file), fix=allow)) from None
    return run_of(located)


def _price(bills: Sequence[RunEstimate]) -> str:
    usd = bills[0].usd if bills else None
    return f"${usd[0]:.2f} to ${usd[1]:.2f}" if usd else "an unknown price"


@contextmanager
def _one_at_a_time(folder: Path) -> Generator[None]:
    """Waits for other processes (pytest-xdist's workers) that make the same run; the next one finds it finished."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".gates.lock").open("a+b") as file:
        with suppress(ImportError):  # a system without it: the run's own lock speaks up
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def saved_for(benchmark: Benchmark, file: Path) -> Baseline | HarnessError | None:
    """The committed baseline where a gate asks for it: the file, or what is wrong with it."""
    if all(g.not_worse_than != "saved" for g in benchmark.gates.values()):
        return None
    try:
        return baselines.read(file)
    except DataError as error:
        return error


def expand(benchmark: Benchmark, saved: Baseline | HarnessError | None) -> list[tuple[str, str]]:
    """Every (gate, arm) to ask, in the order of the file. `arm: "*"` is every arm that the gate can mean.

    Against the saved baseline these are also its arms that are no longer there: a removed arm is not a pass.
    """
    asked: list[tuple[str, str]] = []
    for name, gate in benchmark.gates.items():
        arms = _arms(gate, benchmark) if gate.arm == "*" else [gate.arm]
        if gate.arm == "*" and gate.not_worse_than == "saved" and isinstance(saved, baselines.Baseline):
            arms += [a for a in saved.arms if a not in arms]
        asked += [(name, arm) for arm in arms]
    return asked


def _arms(gate: GateSpec, benchmark: Benchmark) -> list[str]:
    arms = dict(benchmark.arms)
    found = [a for a in arms if a not in (gate.beats, gate.not_worse_than)]
    if gate.max_break_even is not None:
        found = [a for a in found if is_tuned(a, arms)]
    if gate.min_recall_at is not None:
        found = [a for a in found if documents_of(arms[a])]
    return found or ["*"]  # no arm that it can mean: asked all the same, and answered with an error


def text(report: Report) -> str:
    """What a terminal shows: a line a gate, and under what is no pass the lines that a reviewer acts on."""
    from harness.report.text import one_line

    lines: list[str] = []
    wide = max(len(WORDS[o.status]) for o in report.outcomes)
    for o in sorted(report.outcomes, key=lambda o: list(WORDS).index(o.status)):
        word = WORDS[o.status] + (" (warn)" if o.severity == "warn" and o.status != "pass" else "")
        lines.append(f"{word:{wide}}  {o.arm}::{o.gate}  {one_line(o.sentence, 400)}")
        if o.status != "pass":
            lines += [f"{'':{wide}}    {one_line(line, 400)}" for line in o.details]
    lines.append("")
    lines.append(f"{summary(report.outcomes)} · run {report.run} · {report.report}")
    return "\n".join(lines)


def summary(outcomes: Sequence[GateOutcome]) -> str:
    """How many gates gave which answer; what failed and only warns is counted apart, since it fails nothing."""
    said = ["warned" if o.status == "fail" and o.severity == "warn" else o.status for o in outcomes]
    counts = {word: said.count(word) for word in ("pass", "fail", "warned", "inconclusive", "incomplete", "error")}
    return ", ".join(f"{n} {word}" for word, n in counts.items() if n)


def markdown(outcomes: Sequence[GateOutcome], title: str = "Gates", link: str = "") -> str:
    """The same for a pull request or `$GITHUB_STEP_SUMMARY`: what did not pass first, with its lines folded in."""
    from harness.report.markdown import escaped
    from harness.report.text import one_line

    order: list[Status] = ["fail", "error", "incomplete", "inconclusive", "pass"]
    rows = [f"### {escaped(title)}: {summary(outcomes)}", "", "| | gate | answer |", "| --- | --- | --- |"]
    for o in sorted(outcomes, key=lambda o: order.index(o.status)):
        warn = " (warn)" if o.severity == "warn" and o.status != "pass" else ""
        cell = escaped(one_line(o.sentence, 400))
        if o.status != "pass":
            cell += "".join(f"<br>{escaped(one_line(line, 400))}" for line in o.details)
        sign = WARNED if warn and o.status == "fail" else SIGNS[o.status]
        rows.append(f"| {sign} {o.status}{warn} | {escaped(f'{o.arm}::{o.gate}')} | {cell} |")
    if link:
        rows += ["", f"The whole report: {escaped(link)}"]
    return "\n".join(rows) + "\n"


def step_summary(body: str) -> str:
    """Append to the page that GitHub shows of a workflow step, where there is one. Returns why that failed, or "".

    The page is a courtesy: that it cannot be written must not stand in for what the gates found.
    """
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    try:
        if file:
            with Path(file).open("a", encoding="utf-8") as stream:
                stream.write(body + "\n")
    except OSError as error:
        return f"the step's summary was not written: {file}: {error.strerror or error}"
    return ""


def write_comment(file: Path, body: str, runs: Sequence[RunDirectory] = ()) -> None:
    """Write the text of a pull-request comment: the gates, and folded under them what each run came to.

    Raises:
        DataError: it cannot be written.
    """
    parts = [body]
    for run in runs:
        page = run.file("summary.md")
        if page.is_file():
            text = page.read_text("utf-8")
            parts.append(f"<details><summary>{run.path.parent.name}: the run</summary>\n\n{text}\n</details>\n")
    write_whole(file, "\n".join(parts)[:LONGEST].encode())

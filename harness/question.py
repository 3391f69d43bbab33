"""A benchmark with its data, looked at whole before anything is spent, and the directory of its run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness import hygiene, learning, paths, privacy, records, splits, taskset
from harness.documents import read as read_documents
from harness.errors import DataError, Problem, SpecError, capped
from harness.hub import locate
from harness.hygiene import Finding
from harness.judging import lacking
from harness.references import document_files, swept
from harness.spec import Benchmark, Located, ModelSpec
from harness.store import RunDirectory
from harness.taskset import SplitName, TaskSet
from harness.techniques import Cascade, Classifier, FewShot, FineTune, Rule, classifier
from harness.techniques.rule import load
from harness.workbench import answer_of


def directory_of(located: Located, tasks: TaskSet) -> RunDirectory:
    """The run directory of a benchmark with its rows and documents: the same question finds the same one on any day."""
    read = [_path(located, f) for f in document_files(located.benchmark)]
    if located.benchmark.forgetting is not None:
        read += [f.path for f in splits.files(_path(located, located.benchmark.forgetting.data))]
    texts = [hashlib.sha256(file.read_bytes()).hexdigest() for file in read]
    key = taskset.digest([located.digest, tasks.digest, texts, records.SCHEMA])[:8]
    parent = located.project / "reports" / located.name
    found = sorted(parent.glob(f"*-{key}"))
    return RunDirectory(found[0] if found else parent / f"{datetime.now(UTC):%Y-%m-%d}-{key}")


@dataclass(frozen=True)
class Question:
    """A benchmark with its data, looked at whole, before anything is spent."""

    located: Located
    tasks: TaskSet
    findings: tuple[Finding, ...]
    second: TaskSet | None = None


def prepare(located: Located) -> Question:
    """Read the task set and look for leaks and for what may not be uploaded.

    Raises:
        DataError: every row that cannot be used, every test row that stands in what arms may learn from.
    """
    benchmark = located.benchmark
    need: list[SplitName] = ["test"]
    if any(isinstance(t, Classifier | FewShot | FineTune) for t in benchmark.arms.values()):
        need.append("train")
    if any(isinstance(t, Cascade) for t in benchmark.arms.values()):
        need.append("dev")  # its threshold has to be chosen somewhere
    tasks = taskset.load(
        benchmark.task, located.folder, located.project, allow_outside=located.allow_outside, need=need
    )
    if any(isinstance(t, Classifier) for t in benchmark.arms.values()):
        classifier.check(tasks.train, answer_of(benchmark))
    stored = directory_of(located, tasks).load("hygiene.json", tuple[Finding, ...])
    findings = _findings(located, tasks) if stored is None else stored  # the same data: the same findings
    errors = [f for f in findings if f.severity == "error"]
    if errors and not benchmark.run.allow_near_duplicates:
        fix = "remove the rows, or set run.allow_near_duplicates: true (the verdict is then also computed without them)"
        raise DataError(capped([Problem(f.message, where=", ".join(f.where), fix=fix) for f in errors]))
    clean = {e.id for e in tasks.test} - hygiene.flagged_test_ids(findings)
    if short := lacking(benchmark, lambda file: _path(located, file), clean):
        raise DataError(capped(short))
    uploads = any(isinstance(t, FineTune) and t.tuner in ("openai", "azure") for t in benchmark.arms.values())
    if uploads and stored is None:
        private = privacy.scan_pii(privacy.uploaded((*tasks.train, *tasks.dev)))
        if private and not benchmark.run.allow_pii:
            fix = "take it out of the rows, or set run.allow_pii: true when it may leave this machine"
            raise DataError(capped([Problem(f.message, where=", ".join(f.where), fix=fix) for f in private]))
        findings += private
    second = None
    if benchmark.forgetting is not None:
        second = taskset.load(
            benchmark.forgetting, located.folder, located.project, allow_outside=located.allow_outside
        )
    for name, technique in benchmark.arms.items():
        if isinstance(technique, FineTune) and (curve := learning.curve_spec(technique)) is not None:
            learning.sizes_of(curve, len(tasks.train[: technique.rows]), name)  # too few rows are said now
    tasks = msgspec.structs.replace(tasks, notes=(*tasks.notes, *_too_few(benchmark, tasks)))
    return Question(located, tasks, findings, second)


def _too_few(benchmark: Benchmark, tasks: TaskSet) -> Iterator[str]:
    """What arms would do with more rows than there are."""
    rows = len(tasks.train)
    for name, arm in benchmark.arms.items():
        sweep = {knob: values for knob, values in swept(arm).items() if len(values) > 1}
        if sweep and not tasks.dev:
            yield f"arms.{name}: there are no dev rows to choose {' and '.join(sweep)} on: the first is taken"
        most = max((*arm.k, *arm.k_curve)) if isinstance(arm, FewShot) else 0
        if most > rows:
            yield f"arms.{name}.k: {most} shots, but train has {rows} rows: all of them are shown, and no more"


def _findings(located: Located, tasks: TaskSet) -> tuple[Finding, ...]:
    files = document_files(located.benchmark)
    return hygiene.find_leaks(tasks, [d for path in files for d in read_documents(_path(located, path))])


def _path(located: Located, path: str) -> Path:
    return locate(path, located.folder, located.project, allow_outside=located.allow_outside)


def try_scripts(located: Located) -> None:
    """Import every Python file that the benchmark calls, before the run directory is made.

    Raises:
        SpecError: those that cannot be imported.
    """
    problems: list[Problem] = []
    for where, call in _scripts(located):
        file, _, function = call.rpartition(":")
        try:
            load(paths.locate(file, located.folder, located.project), function)
        except SpecError as error:
            problems += [replace(p, where=p.where or paths.shown(located.file), path=where) for p in error.problems]
    if problems:
        raise SpecError(problems)


def _scripts(located: Located) -> Iterator[tuple[str, str]]:
    """The calls (`file.py:function`) of a benchmark, with their places in it."""
    benchmark = located.benchmark
    models = {"model": benchmark.model} | {f"arms.{n}.model": a.model for n, a in benchmark.arms.items()}
    models |= {f"arms.{n}.served": a.served for n, a in benchmark.arms.items() if isinstance(a, FineTune)}
    for where, model in models.items():
        name = model.id if isinstance(model, ModelSpec) else model or ""
        if name.startswith("scripted/"):
            yield where, name.removeprefix("scripted/")
    for name, arm in benchmark.arms.items():
        if isinstance(arm, Rule):
            yield f"arms.{name}.call", arm.call
    for name, metric in benchmark.metrics.items():
        if ":" in metric.scorer:
            yield f"metrics.{name}.scorer", metric.scorer

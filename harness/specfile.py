"""A benchmark file becomes a `Located` benchmark, or a list of all its mistakes with their places.

What can be known from the file and the files that it names is checked here, in milliseconds, before anything is opened,
read whole or paid for.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness import mistakes, references, yamlfile
from harness.attachments import Attachments
from harness.errors import Problem, SpecError
from harness.paths import project_of, shown
from harness.spec import Benchmark, Located
from harness.taskset import digest
from harness.yamlfile import Source, YamlPath

SCHEMA_ID = "benchmark.schema.json"
NO_ANSWER: dict[str, Any] = {"gates": True, "run": {"max_usd", "max_concurrency"}}
"""What changes no answer, so that a run goes on under it: gates only read, a raised budget is not another question."""


def schema() -> dict[str, Any]:
    """The JSON schema of a benchmark file, for editors."""
    made = Benchmark.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID} | made


def read(path: Path, *, allow_outside: bool = False) -> Located:
    """Read a benchmark file.

    Args:
        path: the YAML.
        allow_outside: data, prompts and documents may lie outside the project (named on the command line).

    Raises:
        SpecError: every mistake in the file and in what it names, in the order of its lines.
    """
    source = yamlfile.load(path)
    _is_benchmark(source)
    benchmark, found = _validate(source)
    problems = [problem for _, problem in found]
    file = path.resolve()
    folder, project = file.parent, project_of(file.parent)
    digests: dict[str, str] = {}
    if benchmark is not None:
        problems += references.check(benchmark, source)
        attachments = Attachments(benchmark, source, folder, project, allow_outside, _local_models)
        attachments.check()
        problems += attachments.problems
        digests = attachments.digests
    if problems or benchmark is None:
        raise SpecError(_in_order(problems))
    return Located(
        benchmark=benchmark,
        file=file,
        folder=folder,
        project=project,
        name=file.stem,
        # Without defaults: a version that adds a setting leaves every question what it was.
        digest=digest([benchmark.model_dump(mode="json", exclude=NO_ANSWER, exclude_defaults=True), digests]),
        allow_outside=allow_outside,
    )


def _is_benchmark(source: Source) -> None:
    keys = set(source.data)
    if not keys & {"question", "task", "arms"}:
        raise SpecError(
            Problem(
                "this is no benchmark file",
                f"{shown(source.file)}:1:1",
                got="a mapping with " + ", ".join(sorted(keys)[:8]),
                valid="version, question, model, task, arms, metrics",
                fix="write one with `harness init DATA`",
            )
        )


def _validate(source: Source) -> tuple[Benchmark | None, list[tuple[YamlPath, Problem]]]:
    """The benchmark and pydantic's mistakes. With mistakes, the benchmark is what is sound of it, or None.

    JSON in between, because strict JSON takes a list for a tuple but no text for a number.
    """
    try:
        return Benchmark.model_validate_json(json.dumps(source.data), strict=True), []
    except ValidationError as error:
        errors: list[dict[str, Any]] = [dict(e) for e in error.errors(include_url=False, include_input=False)]
    found = mistakes.problems(errors, source, schema())
    return _sound(source, [path for path, _ in found]), found


def _sound(source: Source, bad: Iterable[YamlPath]) -> Benchmark | None:
    """What validates once the mistaken parts are cut out, so that the rest can be checked in the same go."""
    data = copy.deepcopy(source.data)
    for _ in range(4):
        for path in bad:
            _cut(data, path)
        try:
            return Benchmark.model_validate_json(json.dumps(data), strict=True)
        except ValidationError as error:
            # what is missing cannot be cut: its parent is
            bad = [mistakes.yaml_path(e["loc"], data)[: -1 if e["type"] == "missing" else None] for e in error.errors()]
    return None


def _cut(data: Any, path: YamlPath) -> None:
    """Take a key out of nested mappings; a mistake inside a list takes the list."""
    path = tuple(itertools.takewhile(lambda part: isinstance(part, str), path))
    for part in path[:-1]:
        if isinstance(data, dict) and part in data:
            data = data[part]
        else:
            return
    if path and isinstance(data, dict):
        data.pop(path[-1], None)


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    def place(problem: Problem) -> tuple[int, ...]:
        return tuple(int(p) for p in problem.where.rsplit(":", 2)[1:] if p.isdigit())

    return sorted(dict.fromkeys(problems), key=place)


def _local_models() -> tuple[str, ...]:
    from harness.models.weights import CATALOGUE

    return tuple(CATALOGUE)

"""OpenAI evals: JSONL samples (`input`, `ideal`), alone or through the registry YAML that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import rows, yamlfile
from harness.errors import DataError, Problem
from harness.imported import Imported
from harness.paths import shown
from harness.yamlfile import Source, YamlPath, dotted

SCORERS = {
    "Match": ("exact", "accepts any answer that begins with the ideal; `exact` wants the whole answer"),
    "Includes": ("contains", ""),
    "FuzzyMatch": ("contains", "also accepts an answer that is part of the ideal; `contains` does not"),
    "JsonMatch": ("json_match", ""),
}
ARGS = ("samples_jsonl",)


def read(file: Path) -> Imported:
    """Read samples, or the first eval of a registry file.

    Raises:
        SpecError: the registry file cannot be read.
        DataError: a sample cannot be read, or the samples are not found.
    """
    if file.suffix.lower() in rows.JSONL:
        note = "a file of samples does not say how they are scored; `exact` was put in"
        return _samples(file, "exact", file.stem, [f"{shown(file)}: {note}"])
    source = yamlfile.load(file)
    notes: list[str] = []

    def say(path: YamlPath, text: str) -> None:
        notes.append(f"{shown(file)}:{source.place(path, key=True)[0]}: {dotted(path)}: {text}")

    evals = [name for name, part in source.data.items() if isinstance(part, dict) and "class" in part]
    if not evals:
        raise DataError(
            Problem(
                "no eval in this file", shown(file), got=", ".join(source.data)[:80],
                valid="a registry YAML with `class` and `args.samples_jsonl`, or a JSONL of samples",
            )
        )  # fmt: skip
    name, *others = evals
    for other in others:
        say((other,), f"is left out: one benchmark is one question, and {name} stands first")
    part = source.data[name]
    kind = str(part["class"]).rpartition(":")[2]
    scorer, difference = SCORERS.get(kind, ("exact", "has no counterpart here; `exact` was put in"))
    if difference:
        say((name, "class"), f"{kind} {difference}")
    args = part.get("args") if isinstance(part.get("args"), dict) else {}
    for key in args:
        if key not in ARGS:
            say((name, "args", key), "has no counterpart here")
    return _samples(_find(source, name, args), scorer, name, notes)


def _find(source: Source, name: str, args: dict[str, Any]) -> Path:
    """The samples' file: beside the YAML, or in the registry's `data` folder next to it."""
    written = str(args.get("samples_jsonl", ""))
    folder = source.file.resolve().parent
    for parent in (folder, folder.parent / "data", folder / "data"):
        if written and (parent / written).is_file():
            return parent / written
    problem = source.problem(
        (name, "args", "samples_jsonl"), "the samples are not there", got=repr(written),
        valid=f"a file below {shown(folder)} or {shown(folder.parent / 'data')}",
        fix="fetch it (Git LFS?) or copy it there",
    )  # fmt: skip
    raise DataError(problem)


def _samples(file: Path, scorer: str, name: str, notes: list[str]) -> Imported:
    made: list[dict[str, Any]] = []
    systems: set[str] = set()
    problems: list[Problem] = []
    for row in rows.read(file):
        if isinstance(row, Problem):
            problems.append(row)
            continue
        where = f"{shown(file)}:{row.line}"
        system, text, said = _messages(row.data.get("input"))
        ideal = row.data.get("ideal")
        several = ideal if isinstance(ideal, list) else [ideal]
        if not text.strip() or not several or several[0] in (None, ""):
            notes.append(f"{where}: left out, it has no `input` or no `ideal`")
            continue
        if said:
            notes.append(f"{where}: {said}")
        if len(several) > 1:
            notes.append(f"{where}: any of {len(several)} ideals was right; the first is the target")
        systems.add(system)
        made.append({"id": f"s{row.line}", "system": system, "question": text, "target": rows.text(several[0])})
    if problems:
        raise DataError(problems)
    shared = len(systems) == 1
    if shared:
        made = [{k: v for k, v in row.items() if k != "system"} for row in made]
    else:
        notes.append(f"{shown(file)}: samples have different system messages; they stand before the question")
    return Imported(
        question=f"Does a fine-tune beat prompting at {name}?", model="openai/gpt-4.1-mini",
        input="{{ question }}" if shared else "{{ system }}\n\n{{ question }}",
        systems=tuple(s for s in systems if s) if shared else (),
        format="json" if scorer == "json_match" else "text",
        metrics={"accuracy" if scorer == "exact" else scorer: scorer}, rows=made, notes=notes,
    )  # fmt: skip


def _messages(input: Any) -> tuple[str, str, str]:
    """System part, the rest as one text, and what has to be said of it."""
    if isinstance(input, str):
        return "", input, ""
    if not isinstance(input, list) or not all(isinstance(m, dict) for m in input):
        return "", "", ""
    system = [str(m.get("content", "")) for m in input if m.get("role") == "system" and "name" not in m]
    rest = [m for m in input if m.get("role") != "system" or "name" in m]
    if len(rest) == 1:
        return "\n".join(system), str(rest[0].get("content", "")), ""
    turns = [f"{str(m.get('name') or m.get('role')).capitalize()}: {m.get('content', '')}" for m in rest]
    return "\n".join(system), "\n".join(turns), f"{len(rest)} turns became one text" if rest else ""

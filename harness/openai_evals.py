"""OpenAI evals: JSONL samples (`input`, `ideal`), alone or through the registry YAML that names them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from harness import rows, yamlfile
from harness.columns import labels_of
from harness.errors import DataError, Problem
from harness.imported import Imported, Note
from harness.paths import shown
from harness.yamlfile import Source, YamlPath, dotted

# class -> scorer, and what is different about it
SCORERS = {
    "Match": ("exact", "accepts any answer that begins with the ideal; `exact` wants the whole answer"),
    "MatchWithSolvers": ("exact", "accepts any answer that begins with the ideal; `exact` wants the whole answer"),
    "Includes": ("contains", "looks for letters; `contains` here for whole words, whatever the case"),
    "FuzzyMatch": ("contains", "also accepts an answer that is part of the ideal; `contains` does not"),
    "JsonMatch": ("json_match", ""),
    "ModelBasedClassify": (
        "semantic_similarity",
        "is judged by a model; similarity to the ideal was put in: add a metric with a judge",
    ),
    "Translate": ("semantic_similarity", "is scored by BLEU; similarity to the ideal was put in"),
}
METRICS = {"exact": "accuracy", "semantic_similarity": "relevance"}
ARGS = {
    "num_few_shot": "is not carried over: the few_shot arm chooses its own shots from the train rows (`k`)",
    "few_shot_jsonl": "is not carried over: shots are chosen from the train rows",
    "modelgraded_spec": "is not carried over: write its prompt as that of a judge",
    "eval_type": "is not carried over: write it into the prompt of a judge",
    "ignore_case": "has no counterpart: case is never looked at here",
}
ASIDE = ("input", "ideal", "metadata", "id")


def read(file: Path) -> Imported:
    """Read samples, or the first eval of a registry file.

    Raises:
        SpecError: the registry file cannot be read.
        DataError: a sample cannot be read, or the samples are not found.
    """
    if file.suffix.lower() in rows.JSONL:
        text = "a file of samples does not say how they are scored; `exact` was put in"
        return _samples(file, "exact", file.stem, [Note(text, shown(file), 1)])
    source = yamlfile.load(file, foreign=True)
    notes: list[Note] = []

    def say(path: YamlPath, text: str) -> None:
        notes.append(Note(text, shown(file), source.place(path, key=True)[0], dotted(path)))

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
    args: dict[str, Any] = part.get("args") if isinstance(part.get("args"), dict) else {}
    for key in args:
        if key != "samples_jsonl":
            say((name, "args", key), ARGS.get(key, "has no counterpart here"))
    for key in part:
        if key not in ("class", "args", "description", "metrics"):
            say((name, key), "has no counterpart here")
    title = next((str(p["description"]) for p in source.data.values() if _describes(p, name)), "")
    return _samples(_find(source, name, args), scorer, name, notes, title)


def _describes(part: Any, name: str) -> bool:
    """Whether an entry of a registry is the alias of this eval and says what it is."""
    return isinstance(part, dict) and part.get("id") == name and bool(part.get("description"))


def _find(source: Source, name: str, args: Mapping[str, Any]) -> Path:
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


def _samples(file: Path, scorer: str, name: str, notes: list[Note], title: str = "") -> Imported:
    made: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for row in rows.read(file):
        if isinstance(row, Problem):
            problems.append(row)
            continue

        def say(text: str, line: int = row.line) -> None:
            notes.append(Note(text, shown(file), line))

        system, text, said = _messages(row.data.get("input"))
        ideal = row.data.get("ideal")
        several = ideal if isinstance(ideal, list) else [ideal]
        if not text.strip():
            say("left out, it has no `input` that can be shown")
            continue
        if not several or several[0] in (None, ""):
            say("left out, it has no `ideal`")
            continue
        if said:
            say(said)
        if others := [key for key in row.data if key not in ASIDE]:
            say(f"{', '.join(others)} {'is' if len(others) == 1 else 'are'} not carried over")
        if len(several) > 1:
            say("any of several ideals was right; the first is the target")
        made.append({"id": f"s{row.line}", "system": system, "question": text, "target": rows.text(several[0])})
    if problems:
        raise DataError(problems)
    if made and scorer == "contains":
        text = "what an answer must hold is the target: shots and training would teach it as the whole answer"
        notes.append(Note(text, shown(file), 1))
    systems = {row["system"] for row in made}
    shared = len(systems) == 1
    if shared:
        made = [{k: v for k, v in row.items() if k != "system"} for row in made]
    elif made:
        notes.append(Note("samples have different system messages; they stand before the question", shown(file), 1))
    notes.append(Note("no model is named there; openai/gpt-4.1-mini was put in", shown(file), 1))
    labels = labels_of([row["target"] for row in made]) if scorer == "exact" else ()
    sound = scorer == "json_match" and all(_is_json(row["target"]) for row in made)
    format: Literal["text", "label", "json"] = "json" if sound else "label" if labels else "text"
    return Imported(
        question=title or f"Does a fine-tune beat prompting at {name}?", model="openai/gpt-4.1-mini",
        input="{{ question }}" if shared else "{{ system }}\n\n{{ question }}",
        systems=tuple(s for s in systems if s) if shared else (),
        format=format, labels=labels, metrics={METRICS.get(scorer, scorer): scorer}, rows=made, notes=notes,
    )  # fmt: skip


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _messages(input: Any) -> tuple[str, str, str]:
    """System part, the rest as one text, and what has to be said of it."""
    if isinstance(input, str):
        return "", input, ""
    if not isinstance(input, list) or not all(isinstance(m, dict) for m in input):
        return "", "", ""
    if any(not isinstance(m.get("content", ""), str) for m in input):
        return "", "", ""  # images
    system = [str(m.get("content", "")) for m in input if m.get("role") == "system" and "name" not in m]
    rest = [m for m in input if m.get("role") != "system" or "name" in m]
    if not rest:  # many samples have the task itself as the system message
        return "", "\n".join(system), "the system message is the question" if system else ""
    if len(rest) == 1:
        return "\n".join(system), str(rest[0].get("content", "")), ""
    turns = [f"{str(m.get('name') or m.get('role')).capitalize()}: {m.get('content', '')}" for m in rest]
    return "\n".join(system), "\n".join(turns), "several turns became one text"

"""Another tool's task set as a benchmark file and its rows; what cannot be carried over is said, with its place.

Nothing is dropped in silence: an assertion, option or row that has no counterpart here becomes a note.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.errors import DataError, Problem
from harness.paths import shown

ENOUGH = 20  # rows: fewer leave too few to train on, choose on and test on
MANY = 3
TUNERS = {"openai": "openai", "azure": "azure", "local": "trl", "hf": "trl"}
FEW = "{n} rows are few, so all are test rows; of {enough} or more some become train and dev rows that arms learn from"


class Note(NamedTuple):
    """What was not carried over, or not as it was. `file` is empty where the place is a row's name alone, in `path`."""

    text: str
    file: str = ""
    line: int = 0
    path: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file else ""
        return place + (f"{self.path}: " if self.path else "") + self.text


def told(notes: Sequence[Note]) -> list[str]:
    """The notes for people, each once; what holds at many lines of a file is one line that names them all."""
    made: list[str] = []
    alike: dict[tuple[str, str], list[Note]] = {}
    for note in dict.fromkeys(notes):
        alike.setdefault((note.file, note.text), []).append(note)
    for (file, text), group in alike.items():
        if not file or len(group) <= MANY:
            made += [str(note) for note in group]
        else:
            made.append(f"{file}:{_ranges([note.line for note in group])}: {text}")
    return made


def _ranges(lines: Sequence[int]) -> str:
    """`2, 5-9`"""
    parts: list[list[int]] = []
    for line in sorted(set(lines)):
        if parts and line == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], line]
        else:
            parts.append([line])
    return ", ".join("-".join(map(str, part)) for part in parts)


@dataclass(frozen=True)
class Imported:
    """What was carried over.

    Args:
        question: the benchmark's question.
        model: the base model: a reference, or an endpoint as a mapping.
        input: the input template; its columns stand in every row.
        systems: system prompts to try; empty for none.
        format: the answer format.
        labels: the answers of format label.
        metrics: scorer by metric name; the first is the primary one.
        rows: columns of each row with its `id` and `target`; splits are added when they are written.
        run: settings of the run that were carried over.
        priced: whether the model's price is known, so that a run can be held to a limit.
        notes: what was not carried over, or differently, each with its place.
    """

    question: str
    model: str | Mapping[str, Any]
    input: str
    systems: tuple[str, ...]
    format: Literal["text", "label", "json"]
    metrics: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    labels: tuple[str, ...] = ()
    run: Mapping[str, Any] = field(default_factory=dict[str, Any])
    notes: Sequence[Note] = field(default=())
    priced: bool = True

    @property
    def said(self) -> list[str]:
        """The notes, and what the number of rows leads to."""
        few = len(self.rows) < ENOUGH
        return [*told(self.notes), *([FEW.format(n=len(self.rows), enough=ENOUGH)] if few else [])]

    def yaml(self, data: str) -> str:
        """The benchmark file; `data` is the path of its rows."""
        metrics = "\n".join(
            f"  {name}: {{scorer: {scorer}{', primary: true' if i == 0 else ''}}}"
            for i, (name, scorer) in enumerate(self.metrics.items())
        )
        notes = "".join(f"#   {line}\n" for note in self.said for line in note.splitlines())
        limit = {"max_usd": 5} if self.priced else {}
        run = {**limit, "dev_trials": max(6, len(self.systems)), **self.run}
        arms, tuned = self._arms()
        labels = f", labels: {_text(list(self.labels))}" if self.labels else ""
        return _TEMPLATE.format(
            notes=f"# Not carried over, or not as it was:\n{notes}" if notes else "",
            question=_text(self.question), model=_text(self.model), data=_text(data), input=_text(self.input),
            format=f"{{format: {self.format}{labels}, instruction: \"\"}}", arms="\n".join(arms), metrics=metrics,
            candidate="candidate: fine_tuned\n" if tuned else "",
            run=", ".join(f"{key}: {_text(value)}" for key, value in run.items()),
            gates=_GATE.format(first=next(iter(self.metrics))) if tuned else "",
        )  # fmt: skip

    def _arms(self) -> tuple[list[str], bool]:
        """The arms that the rows are enough for, and whether one of them tunes."""
        system = f", system: {_text(list(self.systems))}" if self.systems else ""
        arms = [f"  prompt: {{technique: prompt{system}}}"]
        train = divided(self.rows)["train"]
        first = "prompt"
        if not train and len(self.systems) > 1:  # no dev rows to choose on: they stand side by side
            first = "prompt_1"
            arms = [
                f"  prompt_{i}: {{technique: prompt, system: {_text(text)}}}" for i, text in enumerate(self.systems, 1)
            ]
        few_shot = f"few_shot: {{technique: few_shot, extends: {first}, k: 3}}"
        kind = self.model.partition("/")[0] if isinstance(self.model, str) else ""
        tuner = TUNERS.get(kind, "")
        fine_tuned = f"fine_tuned: {{technique: fine_tune, extends: {first}, tuner: {tuner or 'trl'}}}"
        if not train:
            return [*arms, f"  # {few_shot}    # needs train rows", f"  # {fine_tuned}    # needs train rows"], False
        if len({row["target"] for row in train if self.labels}) > 1:
            arms.append("  classifier: {technique: classifier, C: [1, 10]}    # no language model: the floor to beat")
        arms.append(f"  {few_shot}")
        if not tuner:
            return [*arms, f"  # {fine_tuned}    # this endpoint is not tuned here; name weights as the model"], False
        return [*arms, f"  {fine_tuned}"], True


def write(imported: Imported, folder: Path, name: str) -> Path:
    """Write `NAME.yaml` and its rows `NAME/train.jsonl`, `dev.jsonl`, `test.jsonl` into a folder; returns the YAML.

    Raises:
        DataError: one of them is there already.
    """
    file = folder / f"{name}.yaml"
    there = [p for p in (file, folder / name) if p.exists()]
    if there:
        raise DataError(Problem("is there already", shown(p), fix="remove it, or choose another folder") for p in there)
    (folder / name).mkdir(parents=True)
    for split, rows in divided(imported.rows).items():
        if rows:
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / name / f"{split}.jsonl").write_text(text, encoding="utf-8")
    file.write_text(imported.yaml(name), encoding="utf-8")
    return file


def divided(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """60 % train, 15 % dev, 25 % test, in the order of a hash of each row: their own order means nothing.

    Other tools' sets have no splits; tuning and choosing on the rows that are tested would be no test. Fewer than 20
    rows are all test.
    """
    order = sorted(rows, key=lambda row: hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest())
    train, dev = (int(len(order) * 0.6), int(len(order) * 0.15)) if len(order) >= ENOUGH else (0, 0)
    return {"train": order[:train], "dev": order[train : train + dev], "test": order[train + dev :]}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_GATE = "gates:\n  worth_it: {{arm: fine_tuned, beats: baseline, on: {first}, by: 0.02}}\n"
_TEMPLATE = """\
# yaml-language-server: $schema=benchmark.schema.json    (`harness schema > benchmark.schema.json` writes it)
{notes}version: 1
question: {question}
model: {model}
task:
  data: {data}
  input: {input}
  target: "{{{{ target }}}}"
  answer: {format}    # the prompts say what to answer, as they did
arms:
{arms}
{candidate}metrics:
{metrics}
verdict: {{min_effect: 0.02}}
run: {{{run}}}
{gates}"""

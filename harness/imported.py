"""Another tool's task set as a benchmark file and its rows; what cannot be carried over is said, with its place.

Nothing is dropped in silence: an assertion, option or row that has no counterpart here becomes a note.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.errors import DataError, Problem
from harness.paths import shown


@dataclass(frozen=True)
class Imported:
    """What was carried over.

    Args:
        question: the benchmark's question.
        model: the base model.
        input: the input template; its columns stand in every row.
        systems: system prompts to try; empty for none.
        format: the answer format.
        metrics: scorer by metric name; the first is the primary one.
        rows: columns of each row with its `id` and `target`; splits are added when they are written.
        notes: what was not carried over, or differently, each with its place.
    """

    question: str
    model: str
    input: str
    systems: tuple[str, ...]
    format: Literal["text", "list", "json"]
    metrics: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = field(default=())

    def yaml(self, data: str) -> str:
        """The benchmark file; `data` is the path of its rows."""
        system = f", system: {_text(list(self.systems))}" if self.systems else ""
        metrics = "\n".join(
            f"  {name}: {{scorer: {scorer}{', primary: true' if i == 0 else ''}}}"
            for i, (name, scorer) in enumerate(self.metrics.items())
        )
        notes = "".join(f"#   {line}\n" for note in self.notes for line in note.splitlines())
        return _TEMPLATE.format(
            notes=f"# Not carried over, or not as it was:\n{notes}" if notes else "",
            question=_text(self.question), model=_text(self.model), data=_text(data), input=_text(self.input),
            format=self.format, system=system, metrics=metrics, first=next(iter(self.metrics)),
            trials=max(6, len(self.systems)),
        )  # fmt: skip


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
    """60 % train, 15 % dev, at least 25 % test, in the order of a hash of each row: their own order means nothing.

    Other tools' sets have no splits; tuning and choosing on the rows that are tested would be no test.
    """
    order = sorted(rows, key=lambda row: hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest())
    train, dev = int(len(order) * 0.6), int(len(order) * 0.15)
    return {"train": order[:train], "dev": order[train : train + dev], "test": order[train + dev :]}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_TEMPLATE = """\
# yaml-language-server: $schema=benchmark.schema.json
{notes}version: 1
question: {question}
model: {model}
task:
  data: {data}
  input: {input}
  target: "{{{{ target }}}}"
  answer: {{format: {format}}}
arms:
  prompt: {{technique: prompt{system}}}
  few_shot: {{technique: few_shot, extends: prompt, k: 3}}
  fine_tuned: {{technique: fine_tune, extends: prompt, tuner: trl}}    # tuner: openai, azure for their models
candidate: fine_tuned
metrics:
{metrics}
verdict: {{min_effect: 0.02}}
run: {{max_usd: 5, dev_trials: {trials}}}
gates:
  worth_it: {{arm: fine_tuned, beats: baseline, on: {first}, by: 0.02}}
"""

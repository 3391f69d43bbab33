"""A small benchmark with gates and enough test rows for statistics: two arms of scripted models, run for real."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from harness import pipeline, specfile
from harness.store import RunDirectory

N = 240
GATES = """\
gates:
  worth_it:   {arm: tuned, beats: baseline, on: accuracy, by: 0.02}
  regression: {arm: "*", not_worse_than: saved, on: accuracy, margin: 0.05}
  floor:      {arm: tuned, min: 0.8, on: accuracy}
"""
BENCHMARK = """\
version: 1
question: Which colour is it?
model: scripted/fake.py:answer
task:
  data: data
  input: "{{ text }}"
  target: "{{ label }}"
  answer: {format: label, labels: [red, blue]}
arms:
  prompt: {technique: prompt, system: Name the colour.}
  tuned:  {technique: fine_tune, tuner: existing, served: "scripted/fake.py:tuned", system: Colour.}
metrics:
  accuracy: {scorer: exact, primary: true}
run: {allow_near_duplicates: true}
"""
FAKE = '''\
"""Scripted models: right but for every so-many-th row."""


def _say(request, wrong):
    number = int(request.messages[-1].content.split()[-1])
    right = "red" if number % 2 else "blue"
    return {"red": "blue", "blue": "red"}[right] if wrong(number) else right


def answer(request):
    return _say(request, lambda number: number % 3 == 0)


def tuned(request):
    return _say(request, lambda number: number % 11 == 0)
'''


def write(folder: Path, gates: str = GATES, n: int = N, **columns: Any) -> Path:
    """The project in a folder. `columns`: further columns of each test row, as functions of its number."""
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (folder / "data").mkdir(exist_ok=True)
    for split, numbers in (("train", range(1000, 1004)), ("dev", range(2000, 2010)), ("test", range(n))):
        rows = [
            {"id": f"t{i:03d}", "text": f"the one that we call number {i}", "label": "red" if i % 2 else "blue"}
            | {name: value(i) for name, value in columns.items()}
            for i in numbers
        ]
        (folder / "data" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "fake.py").write_text(FAKE)
    (folder / "bench.yaml").write_text(BENCHMARK + gates)
    return folder / "bench.yaml"


def run(file: Path) -> RunDirectory:
    """Run the benchmark, really."""
    return asyncio.run(pipeline.run_benchmark(specfile.read(file))).directory


def edit(file: Path, old: str, new: str) -> None:
    """Replace text that must be there."""
    text = file.read_text()
    assert old in text, old
    file.write_text(text.replace(old, new))


def change_lines(file: Path, change: Any) -> None:
    """Hand every JSON line of a file to `change`; what it returns takes its place, None drops it."""
    made = [change(json.loads(line)) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in made if line is not None))

"""A small sound benchmark with its data, written to a folder; tests break one thing of it at a time."""

from __future__ import annotations

import json
from pathlib import Path

YAML = """\
version: 1
question: Does tuning help?
model: openai/gpt-4.1-mini
task:
  data: ../data
  input: "Title: {{ title }}\\n{{ lines }}"
  target: "{{ items }}"
  answer: {format: list}
arms:
  rule: {technique: rule, call: ../data/rule.py:extract}
  prompt: {technique: prompt, system: [file://prompts/plain.md, "Name the items."]}
  few_shot: {technique: few_shot, extends: prompt, k: [3, 6], select: [random, nearest]}
  rag: {technique: rag, extends: few_shot, documents: ../data/documents.jsonl, top_k: 4}
  tuned: {technique: fine_tune, extends: prompt, epochs: 2, lora: {r: 8}}
candidate: tuned
metrics:
  accuracy: {scorer: set_f1, primary: true}
  invented: {scorer: unsupported_items}
verdict: {min_effect: 0.02, expect: 0.07}
run: {max_usd: 5}
gates:
  worth_it: {arm: tuned, beats: baseline, on: accuracy, by: 0.02}
"""


def row(id: str, word: str, **more: object) -> dict[str, object]:
    """A sound row; the word makes it differ from all others."""
    return {"id": id, "title": f"{word} stew", "lines": [f"2 {word}s", "salt"], "items": [word, "salt"], **more}


WORDS = ("leek", "bean", "carrot", "onion", "plum", "fig", "pear", "corn", "rice")


def sound(folder: Path, yaml: str = YAML, name: str = "bench.yaml") -> Path:
    """Write the benchmark and its files; returns the YAML's path."""
    data, prompts = folder / "data", folder / "benchmarks" / "prompts"
    data.mkdir(parents=True)
    prompts.mkdir(parents=True)
    (folder / "pyproject.toml").write_text("")
    for i, split in enumerate(("train", "dev", "test")):
        rows = [row(f"{split}-{w}", w) for w in WORDS[3 * i : 3 * i + 3]]
        write(data / f"{split}.jsonl", *rows)
    write(data / "documents.jsonl", {"id": "d1", "title": "leek", "text": "a vegetable"})
    (data / "rule.py").write_text("def extract(row):\n    return row['lines'].split()\n")
    (prompts / "plain.md").write_text("Name every item.\n")
    file = prompts.parent / name
    file.write_text(yaml, encoding="utf-8")
    return file


def write(file: Path, *lines: dict[str, object] | str) -> Path:
    """A JSONL file of rows, or of raw lines."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    file.write_text(text, encoding="utf-8")
    return file

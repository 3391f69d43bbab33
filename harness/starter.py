"""A first benchmark from a data file: what its columns look like decides the task, comments say what to decide next.

Guesses are said in the file, next to what they led to, so that a wrong one is seen and corrected.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness import rows, splits
from harness.errors import DataError, Problem, capped
from harness.paths import shown

LOOK = 2000
MAX_LABELS = 30
TARGETS = (
    "target", "label", "labels", "answer", "answers", "output", "completion", "expected", "ideal", "response",
    "category", "class", "intent", "sentiment", "sql", "summary", "gold",
)  # fmt: skip
IDS = ("id", "_id", "uuid", "key", "nr", "row_id", "example_id")
ASIDE = ("split", "cluster", "tags", "group", "source", "created_at", "date")

Format = Literal["list", "label", "json", "sql", "text"]
METRICS: dict[Format, str] = {
    "list": "  accuracy: {scorer: set_f1, primary: true}    # items in common, 0 to 1\n  exact: {scorer: exact_set}\n",
    "label": "  accuracy: {scorer: exact, primary: true}\n",
    "json": "  accuracy: {scorer: json_match, primary: true}\n",
    "sql": "  accuracy: {scorer: exact, primary: true}\n",
    "text": "  accuracy: {scorer: exact, primary: true}    # is there a better one? See the scorers in the README\n"
    "  relevance: {scorer: semantic_similarity}    # closeness to the target\n",
}


class Guess(NamedTuple):
    """What the columns of a data file were taken for, and why."""

    target: str
    why: str
    format: Format
    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    id: str | None
    split: bool


def draft(
    data: Path, folder: Path | None = None, question: str = "Does a fine-tune beat prompting at this task?"
) -> str:
    """The text of a commented benchmark file.

    Args:
        data: a data file, or a folder with train, dev and test files.
        folder: where the YAML will lie; paths in it start there. Default: beside the data.
        question: the question to put on top.

    Raises:
        DataError: the data cannot be read, or has fewer than two columns that could be input and target.
    """
    seen, files = _look(data)
    guess = look(seen, data)
    renamed = {c: _word(c) for c in (*guess.inputs, guess.target) if not c.isidentifier()}
    name = {c: renamed.get(c, c) for c in (*guess.inputs, guess.target)}
    template = "\n".join(
        f"{{{{ {name[c]} }}}}" if len(guess.inputs) == 1 else f"{c.capitalize()}: {{{{ {name[c]} }}}}"
        for c in guess.inputs
    )
    where = os.path.relpath(data.resolve(), (folder or data.parent).resolve())
    task = [
        f"  data: {_text(where)}",
        f"  input: {_text(template)}",
        f"  target: {_text(f'{{{{ {name[guess.target]} }}}}')}",
    ]
    task[2] += f"    # {guess.why}"
    labels = f", labels: {json.dumps(list(guess.labels), ensure_ascii=False)}" if guess.labels else ""
    task.append(f"  answer: {{format: {guess.format}{labels}}}    # list, label, text, json or sql")
    if renamed:
        task.append(
            f"  columns: {json.dumps({n: o for o, n in renamed.items()}, ensure_ascii=False)}    # new name: old name"
        )
    if guess.id and guess.id != "id":
        task.append(f"  id: {_text(guess.id)}")
    if not guess.split and files[0].split is None:
        task.append("  # The file has no column `split` (train, dev, test), which every run needs: add it, or let")
        task.append("  # `harness init DATA --split` write train.jsonl, dev.jsonl and test.jsonl.")
    text = _TEMPLATE.format(
        question=_text(question),
        task="\n".join(task),
        system=_text(_PROMPTS[guess.format]),
        metrics=METRICS[guess.format].rstrip(),
        rag=_rag(data, where),
        classifier=_CLASSIFIER if guess.format == "label" else "",
    )
    return text


def look(seen: Sequence[dict[str, Any]], data: Path) -> Guess:
    """What the columns of some rows are.

    Raises:
        DataError: there are not two columns to choose from.
    """
    columns = list(dict.fromkeys(c for r in seen for c in r))
    values = {c: [r[c] for r in seen if r.get(c) is not None] for c in columns}
    id = next((c for c in IDS if c in columns), None)
    if id is not None and len({str(v) for v in values[id]}) < len(values[id]):
        id = None
    free = [c for c in columns if c != id and c.lower() not in ASIDE and any(rows.text(v).strip() for v in values[c])]
    if len(free) < 2:
        raise DataError(
            Problem(
                "an input and a target column are needed", shown(data), got=", ".join(columns) or "no columns",
                fix="add a column with the right answers",
            )
        )  # fmt: skip
    target, why = _target(free, values)
    format, labels = _format(values[target])
    return Guess(target, why, format, labels, tuple(c for c in free if c != target), id, "split" in columns)


def divide(data: Path, folder: Path) -> list[Path]:
    """Write a file without splits as train.jsonl (60 %), dev.jsonl (15 %) and test.jsonl (25 %) into a folder.

    A row's split comes from the hash of its content, so that equal rows stay together and new rows move no old ones.

    Raises:
        DataError: a row cannot be read, a file that would be written is there already, or the rows are too few.
    """
    paths: dict[splits.SplitName, Path] = {s: folder / f"{s}.jsonl" for s in splits.SPLITS}
    there = [Problem("the file is there already", shown(p), fix="remove it, or choose another folder")
             for p in paths.values() if p.exists()]  # fmt: skip
    lines: dict[splits.SplitName, list[str]] = {s: [] for s in splits.SPLITS}
    for row in rows.read(data):
        if isinstance(row, Problem):
            there.append(row)
            continue
        content = {k: v for k, v in row.data.items() if k not in IDS}
        share = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).digest()[0] / 256
        split: splits.SplitName = "test"
        if share < 0.75:
            split = "train" if share < 0.6 else "dev"
        lines[split].append(json.dumps(row.data, ensure_ascii=False, default=str) + "\n")
    if there:
        raise DataError(capped(there))
    if not (lines["train"] and lines["test"]):
        raise DataError(Problem("too few rows to divide", shown(data), fix="write the splits by hand"))
    folder.mkdir(parents=True, exist_ok=True)
    made = [path for split, path in paths.items() if lines[split]]
    for split, path in paths.items():
        if lines[split]:
            path.write_text("".join(lines[split]), encoding="utf-8")
    return made


def _look(data: Path) -> tuple[list[dict[str, Any]], list[splits.DataFile]]:
    files = splits.files(data)
    problems: list[Problem] = []
    seen: list[dict[str, Any]] = []
    for file in files:
        for row in itertools.islice(rows.read(file.path), LOOK):
            if isinstance(row, Problem):
                problems.append(row)
            else:
                seen.append(row.data)
    if problems:
        raise DataError(capped(problems))
    return seen, files


def _target(free: Sequence[str], values: dict[str, list[Any]]) -> tuple[str, str]:
    by_name = {c.lower(): c for c in free}
    for name in TARGETS:
        if name in by_name:
            return by_name[name], f"taken for the target by its name; the columns: {', '.join(free)}"
    lists = [c for c in free if values[c] and all(isinstance(v, list) for v in values[c])]
    if lists:
        return lists[-1], "taken for the target because it holds lists; is that so?"
    labels = [c for c in free if labels_of(values[c])]
    if labels:
        return labels[-1], "taken for the target because few short values come again and again; is that so?"
    return free[-1], "taken for the target because it is the last column; is that so?"


def labels_of(values: Sequence[Any]) -> tuple[str, ...]:
    """The distinct values of a column of labels, or nothing: few, short, each used twice on average."""
    if any(isinstance(v, list | dict) for v in values):
        return ()
    found = sorted({rows.text(v).strip() for v in values})
    short = all(0 < len(v) <= 40 and "\n" not in v for v in found)
    return tuple(found) if short and 1 < len(found) <= min(MAX_LABELS, len(values) / 2) else ()


def _format(values: Sequence[Any]) -> tuple[Format, tuple[str, ...]]:
    if values and all(isinstance(v, list) for v in values):
        return "list", ()
    if values and all(isinstance(v, dict) for v in values):
        return "json", ()
    if labels := labels_of(values):
        return "label", labels
    texts = [rows.text(v).strip() for v in values]
    if all(t.startswith("{") and t.endswith("}") for t in texts):
        return "json", ()
    if all(re.match(r"(?i)(select|with)\s", t) for t in texts):
        return "sql", ()
    return "text", ()


def _word(column: str) -> str:
    """A name that a template can hold."""
    word = re.sub(r"\W+", "_", column).strip("_").lower()
    return word if word.isidentifier() else f"column_{word}"


def _text(value: str) -> str:
    """A YAML text: JSON's quoting is YAML's too."""
    return json.dumps(value, ensure_ascii=False)


def _rag(data: Path, where: str) -> str:
    beside = data / "documents.jsonl" if data.is_dir() else data.parent / "documents.jsonl"
    path = f"{where}/documents.jsonl" if data.is_dir() else os.path.join(os.path.dirname(where), "documents.jsonl")
    line = f"rag: {{technique: rag, extends: few_shot, documents: {_text(path)}, top_k: [4, 8]}}"
    return f"  {line}" if beside.is_file() else f"  # {line}    # documents: id, title, text"


_PROMPTS: dict[Format, str] = {
    "list": "Read the text and name what is asked for.",
    "label": "Classify the text.",
    "json": "Turn the text into JSON.",
    "sql": "Write the SQL query that answers the question.",
    "text": "Answer briefly and exactly.",
}

_CLASSIFIER = "  classifier: {technique: classifier, C: [1, 10]}    # no language model: the other floor\n"

_TEMPLATE = """\
# yaml-language-server: $schema=benchmark.schema.json
# `harness check` says what this will cost; `harness run` answers the question.
version: 1
question: {question}
model: local/smollm2-135m-instruct    # or openai/..., azure/..., or {{base_url: http://localhost:8000/v1, id: ...}}
task:
{task}
arms:
  prompt: {{technique: prompt, system: [{system}, "Answer as the examples of this task would be answered."]}}
  few_shot: {{technique: few_shot, extends: prompt, k: [3, 6], select: [random, nearest]}}    # a list is tried on dev
{rag}
{classifier}  # rule: {{technique: rule, call: rule.py:answer}}    # a function without a model: the floor to beat
  fine_tuned: {{technique: fine_tune, extends: prompt, tuner: trl, epochs: 3, lora: {{r: 16}}}}
candidate: fine_tuned
baseline: auto    # the best arm without fine-tuning, chosen on dev
metrics:
{metrics}
use_case: {{improve: "what should get better?"}}
verdict: {{min_effect: 0.02}}    # a gain under 2 points would not be worth it
economics: {{requests_per_month: 10000, horizon_months: 12}}    # add labelling_usd_per_row, effort_hours, usd_per_hour
run: {{max_usd: 5}}
gates:
  worth_it: {{arm: fine_tuned, beats: baseline, on: accuracy, by: 0.02}}
"""

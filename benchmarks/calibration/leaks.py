"""Planted leaks: rows of the recipes that stand a second time where an arm may learn from, changed as copies are."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from harness.taskset import Document, Example, TaskSet

DATA = Path(__file__).resolve().parents[2] / "datasets" / "recipes"
Rng = np.random.Generator


@cache
def rows(split: str) -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
    """Title, lines and target of every row of a split."""
    lines = (DATA / f"{split}.jsonl").read_text("utf-8").splitlines()
    raw = [json.loads(line) for line in lines]
    return tuple((r["title"], tuple(r["ingredients"]), tuple(r["generic"])) for r in raw)


def _same(title: str, lines: list[str], rng: Rng) -> tuple[str, list[str]]:
    return title, lines


def _dressed(title: str, lines: list[str], rng: Rng) -> tuple[str, list[str]]:
    return title.upper(), [f"* {line.replace(',', ' -').lower()}." for line in lines]


def _typos(title: str, lines: list[str], rng: Rng) -> tuple[str, list[str]]:
    text = "\n".join(lines)
    for _ in range(2):
        at = int(rng.integers(len(text) - 1))
        text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return title, text.splitlines()


def _shuffled(title: str, lines: list[str], rng: Rng) -> tuple[str, list[str]]:
    return title, [lines[i] for i in rng.permutation(len(lines))]


def _renamed(title: str, lines: list[str], rng: Rng) -> tuple[str, list[str]]:
    return "My favourite", lines


def _one_line_new(title: str, lines: list[str], rng: Rng) -> tuple[str, list[str]]:
    at = min(range(len(lines)), key=lambda i: len(lines[i]))
    return title, [*lines[:at], "1 egg", *lines[at + 1 :]]


def _lookalikes(title: str, lines: list[str], rng: Rng) -> tuple[str, list[str]]:
    """Three letters in ten that a Cyrillic one looks like are that one."""
    table = str.maketrans("aceopxy", "\u0430\u0441\u0435\u043e\u0440\u0445\u0443")
    text = "\n".join(lines)
    return title, "".join(c.translate(table) if rng.random() < 0.3 else c for c in text).splitlines()


EDITS: dict[str, Callable[[str, list[str], Rng], tuple[str, list[str]]]] = {
    "not at all": _same,
    "case and punctuation": _dressed,
    "two slips of the pen": _typos,
    "lines in another order": _shuffled,
    "another title": _renamed,
    "one line replaced": _one_line_new,
    "letters that look alike": _lookalikes,
}
DOCUMENT = "inside a document, with its answer"
KINDS = (*EDITS, DOCUMENT)


def planted(kind: str, count: int, rng: Rng) -> tuple[TaskSet, list[Document], frozenset[str]]:
    """The recipes with `count` test rows planted in train, or in documents; and the ids of those test rows."""
    test = [_example(f"test-{i}", title, lines, names, "test") for i, (title, lines, names) in enumerate(rows("test"))]
    train = [_example(f"train-{i}", *row, "train") for i, row in enumerate(rows("train"))]
    chosen = sorted(rng.choice(len(test), count, replace=False).tolist())
    documents = [Document(f"doc-{i}", "note", "A page of a cook's notebook. " * 20) for i in range(20)]
    for i in chosen:
        title, lines, names = rows("test")[i]
        if kind == DOCUMENT:
            text = f"Seen last week: {title}. {' '.join(lines)} That makes {', '.join(names)} on the list."
            documents.append(Document(f"page-{i}", title, "Of the archive. " * int(rng.integers(1, 40)) + text))
        else:
            new, edited = EDITS[kind](title, list(lines), rng)
            train.append(_example(f"copy-{i}", new, edited, names, "train"))
    return TaskSet(tuple(train), (), tuple(test), ""), documents, frozenset(f"test-{i}" for i in chosen)


def _example(id: str, title: str, lines: object, names: tuple[str, ...], split: str) -> Example:
    text = "\n".join(lines)  # type: ignore[arg-type]
    return Example(id, {"title": title, "ingredients": text}, names, split)  # type: ignore[arg-type]

"""What the tone set keeps beside the rules of every set: `must` can be scored, and `style.jsonl` can teach a style."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.errors import Problem
from harness.hygiene import ALIKE, key, similar
from harness.rows import read
from harness.scorers.text import holds, words

KINDS = ("dry", "plain", "friendly", "enthusiastic", "rude", "lecture", "flowery", "formal", "pun")
FEWEST = 100  # texts in style, and out of it
SHOUTS = re.compile(r"[!\U0001F000-\U0001FAFF]|\b(?:haha|lol)\b", re.I)


class Row(Protocol):
    """A row of a split."""

    id: str
    where: str
    data: Mapping[str, Any]


def check(folder: Path, splits: Mapping[str, Sequence[Row]]) -> Iterator[Problem]:
    """Every finding about the rows and about the style examples."""
    rows = [row for part in splits.values() for row in part]
    for row in rows:
        yield from _row(row)
    yield from _alike(rows)
    yield from _style(folder / "style.jsonl", rows)


def _row(row: Row) -> Iterator[Problem]:
    if not re.fullmatch(r"tone-[a-z]{3}-\d{3}", row.id):
        yield Problem("an id of another form", row.where, "id", got=row.id, valid="tone-<topic>-<three digits>")
    question, answer, must = row.data["question"], row.data["answer"], row.data["must"]
    if not isinstance(question, str) or not isinstance(answer, str) or not isinstance(must, list):
        yield Problem("not a question, an answer and a list of what it must hold", row.where)
        return
    if not 9 <= len(answer.split()) <= 30 or SHOUTS.search(answer):
        yield Problem(
            "not a short, dry answer", row.where, "answer", got=answer, valid="9 to 30 words, no `!`, no emoji"
        )
    for item in must:
        ways = [words(way) for way in item.split("|")]
        if item != item.lower() or not all(ways):
            yield Problem("not lower-case words, parted by |", row.where, "must", got=repr(item))
        elif not any(holds(words(answer), way) for way in ways):
            yield Problem("the answer lacks what it must hold", row.where, "must", got=f"{item!r} in {answer!r}")
        elif any(holds(words(question), way) for way in ways):
            yield Problem("the question gives the answer away", row.where, "must", got=f"{item!r} in {question!r}")


def _alike(rows: Sequence[Row]) -> Iterator[Problem]:
    """Two answers that tell the same joke in much the same words."""
    texts = [key(str(row.data["answer"])) for row in rows]
    for i, j, value in similar(texts, texts, ALIKE):
        if i < j:
            got = f"{rows[i].id} and {rows[j].id}: {value:.2f}"
            yield Problem("two answers that are alike", rows[j].where, "answer", got=got)


def _style(file: Path, rows: Sequence[Row]) -> Iterator[Problem]:
    """Texts in style and out of it, none of which is an answer of the set."""
    texts: list[str] = []
    where: list[str] = []
    counts: Counter[int] = Counter()
    ids: Counter[str] = Counter()
    for row in read(file):
        if isinstance(row, Problem):
            yield row
            continue
        here, data = f"{file.name}:{row.line}", row.data
        sound = all(isinstance(data.get(k), str) and data[k].strip() for k in ("id", "text", "kind", "cluster"))
        if set(data) != {"id", "text", "style", "kind", "cluster"} or not sound or data["style"] not in (0, 1):
            valid = "id, text, style (1 or 0), kind, cluster"
            yield Problem("not a style example", here, got=repr(dict(data))[:90], valid=valid)
            continue
        if data["kind"] not in KINDS or (data["kind"] == "dry") != bool(data["style"]):
            yield Problem("a kind that does not fit", here, "kind", got=data["kind"], valid=f"dry is 1, of {KINDS}")
        counts[int(data["style"])] += 1
        ids[data["id"]] += 1
        texts.append(key(data["text"]))
        where.append(here)
    for id, n in ids.items():
        if n > 1:
            yield Problem("an id that stands twice", file.name, got=id)
    for style in (0, 1):
        if counts[style] < FEWEST:
            got = f"{counts[style]} of style {style}"
            yield Problem("too few style examples", file.name, got=got, valid=f"at least {FEWEST} of each")
    for i, j, value in similar(texts, texts, ALIKE):
        if i < j:
            yield Problem("two style examples that are alike", where[j], got=f"{where[i]}: {value:.2f}")
    answers = [key(str(row.data["answer"])) for row in rows]
    for i, j, value in similar(texts, answers, ALIKE):
        yield Problem("a style example that is an answer of the set", where[i], got=f"{rows[j].id}: {value:.2f}")

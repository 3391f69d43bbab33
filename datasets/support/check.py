"""What the support set keeps beside the rules of every set: facts stand on their page, and training did not ask them.

A fact is compared as the scorer `fact` compares it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.errors import Problem
from harness.hygiene import NEAR, key, similar
from harness.rows import read
from harness.scorers.facts import facts
from harness.scorers.text import holds

ABSTAIN = "I don't know"
MOST_WORDS = 8
PAGE_WORDS = (60, 118)  # a page is one chunk of the index
UNKNOWN = (0.18, 0.22)  # share of a split that the handbook does not answer


class Row(Protocol):
    """A row of a split."""

    id: str
    where: str
    data: Mapping[str, Any]


def check(folder: Path, splits: Mapping[str, Sequence[Row]]) -> Iterator[Problem]:
    """Every finding about the pages, the rows, and what the splits share."""
    pages: dict[str, list[str]] = {}
    for row in read(folder / "documents.jsonl"):
        if isinstance(row, Problem):
            yield row
            continue
        text = str(row.data.get("text"))
        pages[str(row.data.get("id"))] = facts(f"{row.data.get('title')}: {text}")
        if not PAGE_WORDS[0] <= (n := len(text.split())) <= PAGE_WORDS[1]:
            valid = "{} to {} words".format(*PAGE_WORDS)
            yield Problem("a page of another length", f"documents.jsonl:{row.line}", "text", str(n), valid)
    for split, rows in splits.items():
        for row in rows:
            yield from _row(row, pages)
        share = sum(not row.data["relevant"] for row in rows) / max(len(rows), 1)
        if not UNKNOWN[0] <= share <= UNKNOWN[1]:
            valid = "{:.0%} to {:.0%}".format(*UNKNOWN)
            yield Problem(
                "another share of questions without an answer", f"{split}.jsonl", got=f"{share:.1%}", valid=valid
            )
    yield from _asked(splits)
    for part in splits.values():
        texts = [key(str(row.data["question"])) for row in part]
        for i, j, value in similar(texts, texts, NEAR):
            if i < j:
                yield Problem("two questions that are alike", part[j].where, got=f"{part[i].id}: {value:.2f}")


def _items(row: Row) -> list[str]:
    answer = row.data["answer"]
    return [answer] if isinstance(answer, str) else list(answer)


def _row(row: Row, pages: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    question, relevant, cluster = row.data["question"], row.data["relevant"], row.data.get("cluster")
    accept = row.data.get("accept", [])
    if not isinstance(question, str) or not isinstance(relevant, list) or not isinstance(accept, list):
        yield Problem("not a question with lists of relevant pages and of other wordings", row.where)
        return
    unknown = [p for p in (*relevant, cluster) if p not in pages]
    if unknown:
        yield Problem("a page that is not there", row.where, got=", ".join(map(str, unknown)))
        return
    if not row.id.startswith(f"{cluster}-") or not row.id.removeprefix(f"{cluster}-").isdecimal():
        yield Problem("an id of another form", row.where, "id", got=row.id, valid="<cluster>-<number>")
    if not relevant or _items(row) == [ABSTAIN]:
        if relevant or accept or _items(row) != [ABSTAIN]:
            valid = f"answer {ABSTAIN!r}, no relevant pages, no other wordings"
            yield Problem("half a question without an answer", row.where, got=str(row.data["answer"]), valid=valid)
        return
    if cluster != relevant[0]:
        yield Problem("not the cluster of its page", row.where, "cluster", got=str(cluster), valid=relevant[0])
    there = [list(pages[p]) for p in relevant]
    for item in _items(row):
        if len(item.split()) > MOST_WORDS:
            yield Problem("a long answer", row.where, "answer", got=item, valid=f"at most {MOST_WORDS} words")
        if not any(holds(page, facts(form)) for form in (item, *accept) for page in there):
            yield Problem("an answer that is not on its page", row.where, "answer", got=item)
        if holds(facts(question), facts(item)):
            yield Problem("the question gives the answer away", row.where, "answer", got=f"{item!r} in {question!r}")
    for form in accept:
        if all(holds(facts(form), facts(item)) for item in _items(row)):
            yield Problem("another wording that is right without being listed", row.where, "accept", got=form)


def _asked(splits: Mapping[str, Sequence[Row]]) -> Iterator[Problem]:
    """Facts of train that dev or test ask: the same page and the same answer."""
    asked = {fact: row.id for row in splits.get("train", ()) for fact in _facts(row)}
    for split in ("dev", "test"):
        for row in splits.get(split, ()):
            for fact in _facts(row):
                if fact in asked:
                    page, words = fact
                    got = f"{words!r} of {page}, asked by {asked[fact]}"
                    yield Problem(f"a fact of {split} that train asks", row.where, "answer", got=got)


def _facts(row: Row) -> set[tuple[str, str]]:
    return {(page, " ".join(facts(item))) for page in row.data["relevant"] for item in _items(row)}

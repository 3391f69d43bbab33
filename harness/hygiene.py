"""Whether a test row was seen before it was asked.

Nothing here decides: it finds and says where. An error stops a run (or the rows are dropped); a finding for review is
listed, and the verdict is computed again without the test rows in `flagged_test_ids`.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.lines import Joined, Lines
from harness.models.base import Struct
from harness.overlap import alike, similar
from harness.retrieval import CHUNK_STEP, chunks
from harness.taskset import Document, Example, TaskSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.retrieval import Embedder

Kind = Literal["duplicate", "near_duplicate", "similar", "same_meaning", "in_document", "private", "secret"]

NEAR, ALIKE = 0.7, 0.5  # Jaccard of character 5-grams: an error from NEAR, for review from ALIKE
SAME_MEANING = 0.95  # cosine of embeddings, for review only
FLOOD, FEW = 20_000, 3  # pairs, from which on no more than so many a row are looked for
HELD = 0.9  # share of a test input's 5-grams that a document holds; below lie questions that a fact rewords
HELD_TARGET = 0.8  # share of the target's items that must stand there too
_ASCII = re.compile(r"[^a-z0-9]+")
_MIXED = re.compile(r"[a-z][\u0370-\u052f]|[\u0370-\u052f][a-z]")  # Latin beside Greek or Cyrillic
_WORD = re.compile(r"\w+")
_LOOKALIKES = str.maketrans("авеңһіјкмнорсѕтухѡԁԛԝүαβεηικνορτυχγω", "abenhijkmhopcstyxwdqwyabenikvoptuxyw")
_BLOCK = 1_000_000  # entries of one block of the similarity matrix: what bounds the memory


class Finding(Struct, frozen=True):
    """One thing that is not clean.

    Args:
        kind: what it is; `private` and `secret` come from `privacy.scan_pii`, the rest from `find_leaks`.
        severity: error (stop, or drop the row) or review (a person should look).
        ids: the test row first, then what it is like (a row or a document chunk).
        where: `file:line` of each id, as far as known.
        similarity: Jaccard, cosine or share held, in [0, 1]; None where it means nothing.
        message: one sentence, which never quotes what is private.
    """

    kind: Kind
    severity: Literal["error", "review"]
    ids: tuple[str, ...]
    where: tuple[str, ...] = ()
    similarity: float | None = None
    message: str = ""


def key(text: str) -> str:
    """NFKC, casefold, everything but letters, digits and combining marks to one space: equal keys are the same text.

    Combining marks stay because Indic vowels are such marks; what nobody sees (zero-width spaces, soft hyphens, the
    category Cf) goes, and parts no word. Greek and Cyrillic letters in a word with Latin ones are those that they look
    like. A text of punctuation alone is its own key.
    """
    if not text.isascii():
        text = "".join(c for c in text if c.isprintable() or unicodedata.category(c) != "Cf")
    plain = unicodedata.normalize("NFKC", text).casefold()
    if _MIXED.search(plain):
        plain = _WORD.sub(lambda w: w[0].translate(_LOOKALIKES) if _MIXED.search(w[0]) else w[0], plain)
    if plain.isascii():  # the same, ten times as fast
        return _ASCII.sub(" ", plain).strip() or plain.strip()
    bare = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in plain)
    return " ".join(bare.split()) or plain.strip()


def find_leaks(
    tasks: TaskSet,
    documents: Sequence[Document] = (),
    pool: Sequence[Example] = (),
    embedder: Embedder | None = None,
) -> tuple[Finding, ...]:
    """Test rows that stand, whole or nearly, in train, dev, the few-shot pool, test itself or a document.

    Args:
        documents: what RAG retrieves from; a chunk is a finding only if it holds a test input and its target.
        pool: further rows that few-shot may show (the train rows count anyway).
        embedder: also lists pairs of the same meaning, for review.

    Returns:
        Findings, errors first, then by similarity. Every pair is reported once, under its gravest kind; of more than
        `FLOOD` pairs at least `FEW` a row, its gravest kind among them.
    """
    seen: Sequence[Example] = Joined(tasks.train, tasks.dev)  # where they lie: train may be larger than memory
    if pool:
        known = {e.id for e in seen}
        seen = Joined(seen, list({e.id: e for e in pool if e.id not in known}.values()))
    rows = _Rows(Joined(seen, tasks.test), tests=len(tasks.test))
    found = [*_alike(rows)]
    if embedder is not None:
        known = {f.ids for f in found}
        found += [f for f in _meant(rows, embedder) if f.ids not in known]
    found += _held(tasks.test, documents)
    return tuple(sorted(found, key=lambda f: (f.severity, -(f.similarity or 0.0), f.ids)))


def flagged_test_ids(findings: Iterable[Finding]) -> frozenset[str]:
    """The test rows without which the verdict is computed again.

    Pairs that only mean the same are left in: they are a list for review. Of two alike test rows the first stays.
    """
    return frozenset(f.ids[0] for f in findings if f.kind in ("duplicate", "near_duplicate", "similar", "in_document"))


class _Rows:
    """All rows, the test rows last, as they are compared: a test row is held against every row before it.

    By `task.key`, or by the input. Columns of an input whose texts mostly repeat and that are longer than all else (a
    schema, a manual page that many questions share) are context: they make no two questions alike, but only rows with
    the same context can be near duplicates.
    """

    def __init__(self, examples: Sequence[Example], tests: int) -> None:
        self.examples = examples
        self.first_test = len(examples) - tests
        context = _context(map(_columns, examples))
        # What is compared lies on disk; of keys and contexts only whether they are equal is asked.
        self.own = Lines[str].spooled(str)
        self._keys, self._contexts = array("q"), array("q")
        for row in map(_columns, examples):
            self.own.append(" ".join(k for c, k in row.items() if k and c not in context))
            self._keys.append(hash(" ".join(k for k in row.values() if k)))
            self._contexts.append(hash(tuple(row.get(c, "") for c in context)))

    def comparable(self, i: int, j: int) -> bool:
        """Whether row i is a test row after row j, in the same context."""
        return self.first_test <= i and j < i and self._contexts[i] == self._contexts[j]

    def same(self, i: int, j: int) -> bool:
        """Whether two rows have the same key."""
        return self._keys[i] == self._keys[j]

    def first_of_same(self) -> Iterator[tuple[int, int]]:
        """Each test row whose key a row before it has in the same context, with the first such row."""
        first: dict[tuple[int, int], int] = {}
        for i, both in enumerate(zip(self._keys, self._contexts, strict=True)):
            j = first.setdefault(both, i)
            if j < i and i >= self.first_test:
                yield i, j


def _columns(example: Example) -> dict[str, str]:
    """What a row is compared by, column by column."""
    return {"": key(example.key)} if example.key else {c: key(t) for c, t in example.input.items()}


def _context(rows: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    texts: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
    length: Counter[str] = Counter()
    for row in rows:
        for column, text in row.items():
            texts[column].append(hash(text))
            length[column] += len(text)
    shared = sorted(
        c for c, t in texts.items() if len(t) > 3 and len(np.unique(np.frombuffer(t, np.int64))) < len(t) / 2
    )
    own = sum(n for c, n in length.items() if c not in shared)
    # A short one (a category) makes nothing alike, and must not hide a leak that changed it.
    return tuple(shared) if own and sum(length[c] for c in shared) > own else ()


class _Few:
    """Which rows are still to be held against others: all, until a flood of pairs shows that most are alike.

    A boilerplate that all rows share makes every pair a finding: 200 million of 20,000 rows. Then a few a row say it.
    """

    def __init__(self, rows: int) -> None:
        self._found = np.zeros(rows, dtype=np.int64)
        self._total = 0

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of which of these rows more pairs are wanted."""
        return (self._found[rows] < FEW) if self.flooded else np.ones(len(rows), dtype=bool)

    @property
    def flooded(self) -> bool:
        """Whether so many pairs were found that a few a row are enough."""
        return self._total >= FLOOD

    def count(self, row: int) -> None:
        """A pair of this row was found."""
        self._found[row] += 1
        self._total += 1


def _alike(rows: _Rows) -> Iterator[Finding]:
    few = _Few(len(rows.own))
    known: set[tuple[int, int]] = set()
    for i, j, value in alike(rows.own, rows.first_test, ALIKE, few):
        if rows.comparable(i, j):
            few.count(i)
            known.add((i, j))
            yield _pair(rows, i, j, value)
    if few.flooded:  # what is graver than the first few of a row must not hide behind them
        grave = _Few(len(rows.own))
        for i, j, value in alike(rows.own, rows.first_test, NEAR, grave):
            if rows.comparable(i, j):
                grave.count(i)
                if (i, j) not in known:
                    known.add((i, j))
                    yield _pair(rows, i, j, value)
        for i, j in rows.first_of_same():
            if (i, j) not in known:
                yield _pair(rows, i, j, 1.0)


def _pair(rows: _Rows, i: int, j: int, value: float) -> Finding:
    same = rows.same(i, j)
    kind: Kind = "duplicate" if same else "near_duplicate" if value >= NEAR else "similar"
    return _finding(kind, rows.examples[i], rows.examples[j], 1.0 if same else value)


def _meant(rows: _Rows, embedder: Embedder) -> Iterator[Finding]:
    if rows.first_test == len(rows.own):
        return
    vectors = embedder.embed(list(rows.own))
    few = _Few(len(vectors))
    step = max(1, _BLOCK // len(vectors))
    for start in range(rows.first_test, len(vectors), step):
        cosine = vectors[start : start + step] @ vectors.T
        for row, values in enumerate(cosine, start):
            for j in np.flatnonzero(values >= SAME_MEANING).tolist():
                if not few(np.array([row]))[0]:
                    break
                if rows.comparable(row, j):
                    few.count(row)
                    yield _finding("same_meaning", rows.examples[row], rows.examples[j], min(float(values[j]), 1.0))


_SAYS = {
    "duplicate": "the same text as",
    "near_duplicate": "nearly the same text as",
    "similar": "much like",
    "same_meaning": "means nearly the same as",
}


def _finding(kind: Kind, test: Example, other: Example, similarity: float) -> Finding:
    return Finding(
        kind=kind,
        severity="error" if kind in ("duplicate", "near_duplicate") else "review",
        ids=(test.id, other.id),
        where=(test.where, other.where),
        similarity=similarity,
        message=f"test row {test.id} is {_SAYS[kind]} {other.split} row {other.id}".replace("is means", "means"),
    )


def _asked(example: Example) -> str:
    """What is looked for of a row in documents."""
    return example.key or "\n".join(example.input.values())


def _held(tests: Sequence[Example], documents: Sequence[Document]) -> Iterator[Finding]:
    """Document chunks that hold a test input together with its target."""
    if not documents:
        return
    # As many chunks together as hold the longest row of a group, wherever it begins: what is short is not looked for in
    # a long stretch, where its target may stand for another reason.
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for i, e in enumerate(tests):
        length = len(_asked(e).split())
        groups[1 << max(-(-length // CHUNK_STEP) - 1, 0).bit_length()].append(i)
    best: dict[tuple[int, str], tuple[float, str]] = {}
    for reach, rows in sorted(groups.items()):
        ids: list[str] = []
        texts: list[str] = []
        for document in documents:
            cut = chunks(document)
            for start in range(0, len(cut), reach):
                ids.append(cut[start].id)
                together = " ".join(c.text for c in cut[start : start + 2 * reach])
                texts.append(key(f"{document.title} {together}"))
        inputs = Lines[str].spooled(str)
        for i in rows:
            inputs.append(key(_asked(tests[i])))
        for n, j, share in similar(inputs, texts, HELD, contained=True):
            i = rows[n]
            target = tests[i].target
            items = [k for item in ((target,) if isinstance(target, str) else target) if (k := key(item))]
            # From the start of a word, open at its end: "egg" stands in "eggs".
            there = sum(f" {item}" in f" {texts[j]}" for item in items)
            document_id = ids[j].partition("#")[0]
            if items and there >= HELD_TARGET * len(items) and share > best.get((i, document_id), (0.0, ""))[0]:
                best[i, document_id] = (share, ids[j])
    for (i, _), (share, chunk) in best.items():
        yield Finding(
            kind="in_document", severity="review", ids=(tests[i].id, chunk), where=(tests[i].where, ""),
            similarity=share, message=f"document chunk {chunk} holds test row {tests[i].id} and its target",
        )  # fmt: skip

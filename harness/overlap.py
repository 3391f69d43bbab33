"""Pairs of texts that share most of their character 5-grams, without holding each text to every other.

Prefix filtering (Chaudhuri et al. 2006; Wang, Li and Feng 2012) with the bound that two sets' sizes give (Xiao et al.
2008): two sets that overlap enough share some of their rarest elements, so only pairs that do are looked at, and each
is then held to its exact value. Texts are read from where they lie; in memory are the grams of two blocks of rows,
whatever the number of rows.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.lines import closed, no_room

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Wanted = Callable[[NDArray[np.int64]], NDArray[np.bool_]]

GRAM = 5
SHARED = 24  # rare grams that a pair must share: more of them make longer prefixes and fewer pairs to look at
BLOCK = 8192  # rows whose grams are in memory at a time, on each side
BLOCK_GRAMS = 8_000_000  # the same of long texts, however few
_FIRST = 256  # rows of the very first block: where all texts are alike, no more are needed (see `Wanted`)
_TURN = 4  # pairs of one row that are looked at before the next row's
_CHUNK = 1000  # texts that are hashed together
_PAIRS = 1_000_000  # entries of one piece of the similarity matrix
_LOOKED = 4096  # pairs whose grams are held against each other at once
_COMMON = 1 << 20  # counters of how common grams are; two grams in one counter only make the order a little worse
_WEIGHTS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5,
                     0x85EBCA77C2B2AE63], dtype=np.uint64)  # fmt: skip


def similar(
    left: Sequence[str], right: Sequence[str], floor: float, *, contained: bool = False
) -> Iterator[tuple[int, int, float]]:
    """Pairs (i, j, value) of a left and a right text with at least this exact Jaccard index of their 5-grams.

    Args:
        contained: the share of the left text's 5-grams that the right one has, in place of the Jaccard index.
    """
    if left and right:
        common = _common(right)
        theirs = _Rarest(right, common, 0.0 if contained else floor)
        yield from _held(left, right, _Rarest(left, common, floor), theirs, floor, contained)


def alike(
    texts: Sequence[str], first: int, floor: float, wanted: Wanted | None = None
) -> Iterator[tuple[int, int, float]]:
    """The same among the texts themselves: each from `first` on against those before it (j < i).

    Args:
        wanted: of which of these rows i further pairs are wanted, as far as is known when it is asked: it is what keeps
            texts that are all alike from giving every pair there is.
    """
    if texts:
        rarest = _Rarest(texts, _common(texts), floor)
        yield from _held(texts, texts, rarest, rarest, floor, first=first, wanted=wanted)


def _held(
    left: Sequence[str],
    right: Sequence[str],
    asked: _Rarest,
    rarest: _Rarest,
    floor: float,
    contained: bool = False,
    first: int | None = None,
    wanted: Wanted | None = None,
) -> Iterator[tuple[int, int, float]]:
    """Every block against every other; pairs whose hashes agree enough are held to the exact value of their texts."""
    grams = lru_cache(maxsize=64)(_grams)
    for start, end in asked.blocks(first or 0, len(left)):
        ours = asked.block(start, end)
        want = _from(start, wanted) if wanted else None
        for other, last in rarest.blocks(0, len(right) if first is None else end):
            if want and not want(np.arange(end - start)).any():
                break
            theirs = rarest.block(other, last)
            before = None if first is None else start - other
            for a, b in _near(ours, theirs, floor - 0.01, contained, before, want):
                i, j = start + a, other + b
                mine, yours = grams(left[i]), grams(right[j])
                both = len(mine & yours)
                value = both / max(len(mine) if contained else len(mine) + len(yours) - both, 1)
                if value >= floor:
                    yield i, j, value


def _from(start: int, wanted: Wanted) -> Wanted:
    """The same of rows that are counted from the start of a block."""
    return lambda rows: wanted(rows + start)


def _common(texts: Sequence[str]) -> NDArray[np.int64]:
    """How common grams are: how many texts have one, by the last bits of its hash."""
    counts = np.zeros(_COMMON, dtype=np.int64)
    for _, grams in _hashed(texts):
        counts += np.bincount(grams & np.uint32(_COMMON - 1), minlength=_COMMON)
    return counts


def _grams(text: str) -> frozenset[str]:
    """The 5-grams of a text; a shorter text is its own."""
    return frozenset(text[n : n + GRAM] for n in range(len(text) - GRAM + 1)) or frozenset([text] if text else [])


class _Block(NamedTuple):
    """The grams of some rows, one row after the other, each row's rarest first.

    `sizes`: how many a row has; `keep`: how many of them two rows that overlap enough must share `least` of; `short`:
    how many are enough of the smaller one of the two.
    """

    grams: NDArray[np.uint32]
    sizes: NDArray[np.int32]
    keep: NDArray[np.int32]
    short: NDArray[np.int32]
    least: NDArray[np.int32]

    def first(self, count: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which grams are among so many rarest of their row."""
        rank = np.arange(len(self.grams)) - np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)
        return rank < np.repeat(count, self.sizes)

    def matrix(self, columns: NDArray[np.uint32], use: NDArray[np.bool_] | None = None) -> Any:
        """Rows x columns, 1 where a row has a gram (of those in `use`); what is no column is left out."""
        from scipy.sparse import csr_matrix

        row = np.repeat(np.arange(len(self.sizes)), self.sizes)
        grams = self.grams
        if use is not None:
            row, grams = row[use], grams[use]
        at = np.minimum(np.searchsorted(columns, grams), len(columns) - 1)
        there = columns[at] == grams
        row, at = row[there], at[there]
        starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(self.sizes)))])
        made = csr_matrix((np.ones(len(row), np.int32), at, starts), shape=(len(self.sizes), len(columns)))
        made.sort_indices()
        return made


class _Rarest:
    """The grams of all rows in a file without a name, each row's rarest first.

    Of n grams, of which a share `floor` must be common to both, two such rows share s of their n - ceil(floor n) + s
    rarest, whatever else they share. With floor 0 that is all of them. Of the smaller row of a pair a share of
    2 floor / (1 + floor) must be common, if floor is a Jaccard index.
    """

    def __init__(self, texts: Sequence[str], common: NDArray[np.int64], floor: float) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with this object)
        weakref.finalize(self, closed, self._file)
        columns: list[list[NDArray[np.int32]]] = [[], [], [], []]
        for row, grams in _hashed(texts):
            size = np.bincount(row)
            must = np.ceil(floor * size - 1e-9).astype(np.int64)
            least = np.minimum(SHARED, np.maximum(must, 1)) if floor else np.full(len(size), SHARED)
            keep = np.minimum(size, size - must + least)
            short = np.minimum(size, size - np.ceil(2 * floor / (1 + floor) * size - 1e-9).astype(np.int64) + least)
            order = np.lexsort((grams, common[grams & np.uint32(_COMMON - 1)], row))
            try:
                self._file.write(grams[order].tobytes())
            except OSError as error:
                raise no_room(error) from error
            for column, values in zip(columns, (size, keep, short, least), strict=True):
                column.append(values.astype(np.int32))
        self._sizes, self._keep, self._short, self._least = (np.concatenate(c) for c in columns)
        self._starts = np.concatenate([[0], np.cumsum(self._sizes, dtype=np.int64)])

    def blocks(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Where the blocks of rows start to end begin and end; the very first rows are a small one."""
        while start < end:
            most = int(np.searchsorted(self._starts, self._starts[start] + BLOCK_GRAMS, "right")) - 1
            last = max(start + 1, min(most, end, start + (BLOCK if start else _FIRST)))
            yield start, last
            start = last

    def block(self, start: int, end: int) -> _Block:
        """The grams of rows start to end."""
        try:
            self._file.seek(4 * int(self._starts[start]))
        except OSError as error:  # what was still to be written
            raise no_room(error) from error
        raw = self._file.read(4 * int(self._starts[end] - self._starts[start]))
        rows = slice(start, end)
        grams = np.frombuffer(raw, np.uint32)
        return _Block(grams, self._sizes[rows], self._keep[rows], self._short[rows], self._least[rows])


def _hashed(texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint32]]]:
    """The 32-bit hashes of each text's set of 5-grams, some texts at a time: (number in the chunk, hash).

    Every text has at least one entry, so that rows can be counted; an empty one has a hash that no other text has.
    """
    walk = enumerate(iter(texts))
    while part := list(islice(walk, _CHUNK)):
        padded = [t if len(t) >= GRAM else (t or f"\ue000{i}").ljust(GRAM, "\ue001") for i, t in part]
        codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
        lengths = np.array([len(t) for t in padded])
        row = np.repeat(np.arange(len(padded)), lengths)[: len(codes) - GRAM + 1]
        mixed = codes[: len(row)] * _WEIGHTS[0]
        for n in range(1, GRAM):
            mixed = (mixed ^ (mixed >> np.uint64(29))) + codes[n : n + len(row)] * _WEIGHTS[n]
        mixed = ((mixed ^ (mixed >> np.uint64(32))) * _WEIGHTS[1]) >> np.uint64(32)
        inside = np.arange(len(row)) <= np.repeat(np.cumsum(lengths) - GRAM, lengths)[: len(row)]
        whole = _distinct((row[inside].astype(np.uint64) << np.uint64(32)) | mixed[inside])
        yield (whole >> np.uint64(32)).astype(np.int64), (whole & np.uint64(0xFFFFFFFF)).astype(np.uint32)


def _distinct(values: NDArray[Any]) -> NDArray[Any]:
    """As `np.unique`, whose hash table takes 30 to 100 times as long as numpy's sort does where that is vectorised."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def _near(
    ours: _Block, theirs: _Block, floor: float, contained: bool, before: int | None, wanted: Wanted | None
) -> Iterator[tuple[int, int]]:
    """Pairs (i, j) of rows whose hashes agree to the floor; `before`: only those with j < i + before."""
    mine, yours = ours.first(ours.keep), theirs.first(theirs.keep)
    columns = _distinct(theirs.grams[yours])
    many, many_theirs = ours.matrix(columns, mine), theirs.matrix(columns, yours).T.tocsr()
    few = few_theirs = None
    if not contained:
        few = ours.matrix(columns, ours.first(ours.short))
        few_theirs = theirs.matrix(columns, theirs.first(theirs.short)).T.tocsr()
    every: tuple[Any, Any] | None = None  # all grams of both: of most blocks no pair comes so far
    step = max(1, _PAIRS // max(len(theirs.sizes), 1))
    for start in range(0, len(ours.sizes), step):
        rows = np.arange(start, min(start + step, len(ours.sizes)))
        rows = rows if wanted is None else rows[wanted(rows)]
        if not len(rows):
            continue
        if few is None:
            i, j = _sharing(rows, many, many_theirs, ours, theirs)
        else:
            i, j = _sharing(rows, few, many_theirs, ours, theirs)
            smaller = ours.sizes[i] <= theirs.sizes[j]
            k, m = _sharing(rows, many, few_theirs, ours, theirs)
            larger = ours.sizes[k] > theirs.sizes[m]
            i, j = np.concatenate([i[smaller], k[larger]]), np.concatenate([j[smaller], m[larger]])
        if before is not None:
            i, j = i[j < i + before], j[j < i + before]
        order = np.lexsort((j, i))
        i, j = i[order], j[order]
        turn = (np.arange(len(i)) - np.searchsorted(i, i)) // _TURN
        order = np.argsort(turn, kind="stable")
        i, j = i[order], j[order]
        for part in range(0, len(i), _LOOKED):
            a, b = i[part : part + _LOOKED], j[part : part + _LOOKED]
            if wanted is not None:
                more = wanted(a)
                a, b = a[more], b[more]
            if not len(a):
                continue
            if every is None:
                columns = _distinct(theirs.grams)
                every = ours.matrix(columns), theirs.matrix(columns)
            both = every[0][a].multiply(every[1][b]).sum(axis=1).A1
            whole = ours.sizes[a] if contained else ours.sizes[a] + theirs.sizes[b] - both
            near = both >= floor * whole
            yield from zip(a[near].tolist(), b[near].tolist(), strict=True)


def _sharing(
    rows: NDArray[np.int64], left: Any, right: Any, ours: _Block, theirs: _Block
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of these rows and of theirs that share enough grams of two matrices."""
    product = left[rows] @ right
    i, j = np.repeat(rows, np.diff(product.indptr)), product.indices.astype(np.int64)
    enough = product.data >= np.minimum(ours.least[i], theirs.least[j])
    return i[enough], j[enough]

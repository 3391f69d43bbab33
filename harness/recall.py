"""Retrieval recall: of the documents that answer a row, the share among the first passages that an arm showed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness import stats
from harness.models.base import Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Recall(Struct, frozen=True):
    """Mean recall at `k` in [0, 1] over the `n` rows that have relevant documents and an answer, with its interval."""

    k: int
    mean: float
    low: float
    high: float
    n: int


def shares(wanted: Sequence[Sequence[str]], passages: Sequence[Sequence[str] | None], k: int) -> NDArray[np.float64]:
    """Each row's share of its wanted documents among its first `k` passages; NaN without either.

    Args:
        wanted: ids of the relevant documents, a row each; empty where there are none.
        passages: ids of the passages shown, best first; None where the row was not answered.
    """
    found = np.full(len(wanted), np.nan)
    for i, (documents, shown) in enumerate(zip(wanted, passages, strict=True)):
        if documents and shown is not None:
            found[i] = sum(any(_of(p, d) for p in shown[:k]) for d in documents) / len(documents)
    return found


def recall(
    wanted: Sequence[Sequence[str]],
    passages: Sequence[Sequence[str] | None],
    clusters: Sequence[str | None] | None,
    alpha: float,
) -> Recall | None:
    """An arm's recall at as many passages as it shows; None where it shows none or no row says what is relevant."""
    k = max((len(p) for p in passages if p), default=0)
    values = shares(wanted, passages, k)
    there = ~np.isnan(values)
    if not k or not there.any():
        return None
    kept = None if clusters is None else [c for c, t in zip(clusters, there, strict=True) if t]
    its = stats.bar(values[there], kept, alpha)
    return Recall(k, its.mean, its.low, its.high, int(there.sum()))


def _of(passage: str, document: str) -> bool:
    """Whether a passage is a chunk of a document (`id`, or `id#n` from the second chunk on)."""
    return passage == document or (passage.startswith(f"{document}#") and passage[len(document) + 1 :].isdigit())

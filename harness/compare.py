"""A board's arrays become numbers to be shown: a `Cell` an arm and metric, a `Comparison` a pair of arms.

A missing pair is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness import stats
from harness.board import Board
from harness.exact import Losses
from harness.judging import corrected
from harness.models.base import Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.agreement import Corrected


class Cell(Struct, frozen=True):
    """One arm on one metric: the mean over examples with its interval, and what stands beside it.

    `completed_mean` leaves the failed examples out; it is shown beside the mean, never in place of it.
    """

    arm: str
    metric: str
    n: int
    mean: float
    low: float
    high: float
    method: str
    failed: int = 0
    missing: int = 0
    completed_mean: float | None = None


class Comparison(Struct, frozen=True):
    """A candidate against a baseline on one metric. `delta` > 0: the candidate is better, whatever the direction.

    `worst` holds the ids of the five worst losses; `lost_half` the share of examples that lost .5 or more. Where a
    judge was corrected, `n_labelled` examples did it (`synthetic`: by no person's labels); counts are the judge's.
    """

    metric: str
    baseline: str
    candidate: str
    n_pairs: int
    n_missing: int
    delta: float
    low: float
    high: float
    p: float
    method: str
    answer: stats.Answer
    label: stats.Label
    alpha: float
    won: int
    lost: int
    tied: int
    lost_half: float
    failed_baseline: int
    failed_candidate: int
    se: float = 0.0
    df: float = 0.0
    n_clusters: int | None = None
    flags: tuple[stats.Flag, ...] = ()
    worst: tuple[str, ...] = ()
    n_labelled: int | None = None
    synthetic: bool = False
    skew: float = 0.0
    rare: Losses | None = None


def cell(board: Board, arm: str, metric: str, alpha: float = 0.05) -> Cell:
    """One arm on one metric."""
    values = board.values[arm, metric]
    there = ~np.isnan(values)
    failed = board.failed[arm]
    completed = values[there & ~failed]
    missing = int((~there).sum())
    if not there.any():
        return Cell(arm, metric, 0, 0.0, 0.0, 1.0, "no score", int(failed.sum()), missing)
    clusters = None if board.clusters is None else [c for c, t in zip(board.clusters, there, strict=True) if t]
    bar = stats.bar(values[there], clusters, alpha)
    return Cell(
        arm=arm,
        metric=metric,
        n=int(there.sum()),
        mean=bar.mean,
        low=bar.low,
        high=bar.high,
        method=bar.method,
        failed=int(failed.sum()),
        missing=missing,
        completed_mean=float(completed.mean()) if len(completed) else None,
    )


def compare(
    board: Board,
    metric: str,
    candidates: Sequence[str],
    baseline: str,
    *,
    min_effect: float = 0.0,
    alpha: float = 0.05,
    max_missing: float = 0.02,
) -> list[Comparison]:
    """Each candidate against the baseline on one metric, Holm over the candidates when there are several."""
    ds = [paired(board, metric, c, baseline) for c in candidates]
    made = stats.decide_holm(
        [pair.asked for pair in ds],
        board.clusters,
        binary=board.binary[metric],
        min_effect=min_effect,
        alpha=alpha,
        ends=[pair.ends for pair in ds],
        levels=[pair.levels for pair in ds],
        max_missing=max_missing,
    )
    return [
        comparison(board, metric, candidate, baseline, pair.d, difference)
        for candidate, pair, difference in zip(candidates, ds, made, strict=True)
    ]


class Paired(NamedTuple):
    """Candidate minus baseline an example, more is better: `d` as scored, `asked` what is tested (a judge's corrected).

    `ends` are what a missing pair could have been: a missing score 0 or 1, the other one as it is. `levels` are what a
    cluster may lose and win whole, None where a judge who is corrected gave the scores.
    """

    d: NDArray[np.float64]
    asked: NDArray[np.float64] | Corrected
    ends: stats.Ends
    levels: stats.Levels | None


def paired(board: Board, metric: str, candidate: str, baseline: str) -> Paired:
    """Two arms on one metric, example by example."""
    c, b = board.oriented(candidate, metric), board.oriented(baseline, metric)
    low = np.nan_to_num(c, nan=0.0) - np.nan_to_num(b, nan=1.0)
    high = np.nan_to_num(c, nan=1.0) - np.nan_to_num(b, nan=0.0)
    d = c - b
    by_labels = corrected(board, metric, candidate, baseline)
    return Paired(d, by_labels or d, (low, high), None if by_labels else stats.levels_of(c, b))


def comparison(
    board: Board, metric: str, candidate: str, baseline: str, d: NDArray[np.float64], made: stats.Difference
) -> Comparison:
    """A difference with the names, the failures and the worst losses beside it."""
    # Equal losses by their id: neither the order of rows nor float noise may choose among them.
    lost = np.flatnonzero(d < -stats.NOISE).tolist()
    order = sorted(lost, key=lambda i: (round(float(d[i]), 9), board.ids[i]))[:5]
    return Comparison(
        metric=metric,
        baseline=baseline,
        candidate=candidate,
        n_pairs=made.n,
        n_missing=made.n_missing,
        delta=made.mean,
        low=made.low,
        high=made.high,
        p=made.p,
        method=made.method,
        answer=made.answer,
        label=made.label,
        alpha=made.alpha,
        won=made.won,
        lost=made.lost,
        tied=made.tied,
        lost_half=made.lost_half,
        failed_baseline=int(board.failed[baseline].sum()),
        failed_candidate=int(board.failed[candidate].sum()),
        se=made.se,
        df=made.df,
        n_clusters=made.n_clusters,
        flags=tuple(made.flags),
        worst=tuple(board.ids[i] for i in order),
        n_labelled=made.n_labelled,
        skew=made.skew,
        rare=made.rare,
        synthetic=bool(made.n_labelled) and board.labels[metric].synthetic,
    )

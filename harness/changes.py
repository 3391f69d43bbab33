"""What changed between two runs of the same test rows: every arm that both have, on every metric, paired by example.

The arms that are held against each other on a metric stand at their Holm levels, as several claims are made at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from harness import compare, stats
from harness.board import Board
from harness.errors import DataError, Problem
from harness.finished import FinishedRun
from harness.models.base import Struct
from harness.paths import shown


class Change(Struct, frozen=True):
    """One arm on one metric in two runs of the same test examples; `difference` is None where they cannot be paired."""

    arm: str
    metric: str
    before: float | None
    after: float | None
    difference: compare.Comparison | None = None
    note: str = ""


def between(before: FinishedRun, after: FinishedRun) -> list[Change]:
    """What changed from one run to another: after less before, example by example, whatever the order of the rows.

    Raises:
        DataError: they were not made on the same test examples.
    """
    _same_rows(before, after)
    one, two = before.board, after.board
    at = {id: i for i, id in enumerate(two.ids)}
    order = [at[id] for id in one.ids]
    arms, metrics = dict.fromkeys((*one.arms, *two.arms)), dict.fromkeys((*one.metrics, *two.metrics))
    moved: dict[tuple[str, str], compare.Comparison] = {}
    notes: dict[str, str] = {}
    for metric in metrics:
        digests = [run.scorers.get(metric) for run in (before, after)]
        if None not in digests and digests[0] != digests[1]:
            notes[metric] = "scored otherwise: not compared"
            continue
        moved |= {(c.candidate, metric): c for c in _compared(one, two, order, metric)}
    found: list[Change] = []
    for arm in arms:
        for metric in metrics:
            a, b = _mean(one, arm, metric), _mean(two, arm, metric)
            lacking = "gone" if (arm, metric) not in two.values else "new" if (arm, metric) not in one.values else ""
            none = "" if (arm, metric) in moved else lacking or notes.get(metric) or "no answer in common"
            found.append(Change(arm, metric, a, b, moved.get((arm, metric)), none))
    return found


def _compared(one: Board, two: Board, order: Sequence[int], metric: str) -> list[compare.Comparison]:
    """The arms that both runs have on one metric."""
    both = [a for a in one.arms if (a, metric) in one.values and (a, metric) in two.values]
    ds = {a: two.oriented(a, metric)[order] - one.oriented(a, metric) for a in both}
    ds = {a: d for a, d in ds.items() if not bool(np.isnan(d).all())}
    if not ds:
        return []
    made = stats.decide_holm(
        list(ds.values()),
        one.clusters,
        binary=one.binary[metric] and two.binary[metric],
        levels=[stats.levels_of(two.oriented(a, metric)[order], one.oriented(a, metric)) for a in ds],
    )
    return [
        msgspec.structs.replace(
            compare.comparison(one, metric, arm, arm, d, difference), failed_candidate=int(two.failed[arm].sum())
        )
        for (arm, d), difference in zip(ds.items(), made, strict=True)
    ]


def _same_rows(before: FinishedRun, after: FinishedRun) -> None:
    """The same ids with the same inputs and targets, or it is said what differs."""
    one, two = ({e.id: (dict(e.input), e.target) for e in run.examples} for run in (before, after))
    only, other = len(one.keys() ^ two.keys()), sum(one[id] != two[id] for id in one.keys() & two.keys())
    if only or other:
        parts = [f"{only} are in one of them only"] if only else []
        parts += [f"{other} have another input or target"] if other else []
        raise DataError(
            Problem(
                f"the two runs were not made on the same test examples: {' and '.join(parts)}",
                where=f"{shown(before.directory.path)} and {shown(after.directory.path)}",
                fix="compare runs of the same task set",
            )
        )


def _mean(board: Board, arm: str, metric: str) -> float | None:
    values = board.values.get((arm, metric))
    return None if values is None or bool(np.isnan(values).all()) else float(np.nanmean(values))

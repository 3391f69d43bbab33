"""Columns over the same examples, boiled down once, so that any weighted sum of them has its plus-two interval.

With one column and no clusters this is `intervals.plus_two`. With several, the two extra rows of each column lie as far
out as that column reaches, and are taken as independent of each other's. With clusters they are clusters of typical
size: where a whole document is retried, or lost, now and then, single rows left out the truth up to half of the time.
A mean vector, a variance matrix and one t quantile are all that is left: a page can move prices, volume and value
without the examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from harness.intervals import Clusters, Floats, Interval, codes_of, correlation_of, cr2
from harness.special import stdtrit


@dataclass(frozen=True, slots=True)
class Moments:
    """Means of columns over the same examples and how uncertain they are: all that intervals of weighted sums need.

    `mean` is raw; the interval of weights w is w . middle +- t sqrt(w' variance w), t at `df` degrees of freedom.
    `units` are the clusters, or the examples where there are none.
    """

    n: int
    mean: tuple[float, ...]
    middle: tuple[float, ...]
    variance: tuple[tuple[float, ...], ...]
    df: float
    units: int


def moments(
    columns: Sequence[ArrayLike],
    reach: Sequence[float],
    centre: Sequence[float | None],
    clusters: Clusters | None = None,
) -> Moments:
    """Boil columns down. Rows with a NaN in any column are left out.

    Args:
        columns: equally long; one value an example.
        reach: how far from its centre one value of each column may lie, seen or not.
        centre: the middle of each column's range (0 for score differences), or None for its own mean (dollars).
        clusters: cluster of each example, or None. The extra rows are then clusters: their size is the root mean
            square, as a large one that is retried whole costs the more.
    """
    table: Floats = np.array([np.asarray(c, dtype=float) for c in columns]).T
    if clusters is not None and len(clusters) != len(table):
        raise ValueError(f"{len(clusters)} cluster names for {len(table)} values")
    rows = np.flatnonzero(~np.isnan(table).any(axis=1))
    if not len(rows):
        raise ValueError("no example has a value in every column")
    rows = rows[np.lexsort(table[rows].T)]
    table = table[rows]
    n, mean = len(table), table.mean(axis=0)
    sums, sizes, alike = _sums(table - mean, None if clusters is None else [clusters[int(i)] for i in rows])
    size = float(np.sqrt(np.square(sizes).mean()))  # of either extra row: 1, or that of a cluster
    factors, df = cr2(np.r_[sizes, size, size], alike)
    middle_of_range = np.array([m if c is None else c for c, m in zip(centre, mean, strict=True)])
    middle = (n * mean + 2 * size * middle_of_range) / (n + 2 * size)
    out, far = size * (middle_of_range - middle), np.square(size * np.asarray(reach, dtype=float))
    residuals = factors[:-2, None] * (sums + np.outer(sizes, mean - middle))
    extra = 2 * factors[-1] ** 2 * (np.outer(out, out) + np.diag(far))
    variance = (residuals.T @ residuals + extra) / (n + 2 * size) ** 2
    rows_of = tuple(map(tuple, variance.tolist()))
    return Moments(n, tuple(mean.tolist()), tuple(middle.tolist()), rows_of, df, len(sums))


def _sums(centred: Floats, clusters: Clusters | None) -> tuple[Floats, Floats, float]:
    """Column sums and sizes of the clusters, in a canonical order, and how much the column that moves together most
    does; without clusters each row is one.
    """
    if clusters is None:
        return centred, np.ones(len(centred)), 0.0
    codes = codes_of(clusters)
    sizes = np.bincount(codes).astype(float)
    sums: Floats = np.zeros((len(sizes), centred.shape[1]))
    squares = np.zeros_like(sums)
    np.add.at(sums, codes, centred)
    np.add.at(squares, codes, np.square(centred))
    within = np.maximum(squares - np.square(sums) / sizes[:, None], 0.0)
    alike = max(correlation_of(s, sizes, w) for s, w in zip(sums.T, within.T, strict=True))
    order = np.lexsort((sizes, *sums.T))
    return sums[order], sizes[order], alike


def combine(found: Moments, weights: Sequence[float], constant: float = 0.0, alpha: float = 0.05) -> Interval:
    """The weighted sum of the columns, plus a constant, with its interval."""
    w = np.asarray(weights, dtype=float)
    middle = float(w @ np.asarray(found.middle)) + constant
    se = sqrt(max(float(w @ np.asarray(found.variance) @ w), 0.0))
    half = float(stdtrit(found.df, 1 - alpha / 2)) * se
    mean = float(w @ np.asarray(found.mean)) + constant
    return Interval(found.n, mean, middle - half, middle + half, middle, se, found.df, "plus-two t", found.units)

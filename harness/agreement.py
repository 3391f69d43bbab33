"""How far a judge may be trusted: agreement beyond chance with labels, and differences corrected by labels.

Sources: Cohen 1960; Fleiss, Cohen and Everitt 1969 (standard error of kappa); Angelopoulos 2023 (arXiv 2301.09633,
prediction-powered inference) and 2311.01453.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from harness.intervals import Floats
from harness.special import ndtri, stdtrit

FEWEST_LABELS = 100  # blind human labels below which a judge's score may not be primary


@dataclass(frozen=True, slots=True)
class Kappa:
    """Share of equal labels, Cohen's kappa and its interval; kappa is None when one label is all there is."""

    n: int
    agreement: float
    kappa: float | None
    low: float
    high: float


def kappa(a: Sequence[Hashable], b: Sequence[Hashable], alpha: float = 0.05) -> Kappa:
    """Cohen's kappa of two labellings of the same items, with the large-sample interval of Fleiss 1969."""
    if len(a) != len(b) or not a:
        raise ValueError(f"two labellings of the same items are needed, got {len(a)} and {len(b)} labels")
    names = {name: i for i, name in enumerate(dict.fromkeys([*a, *b]))}
    table = np.zeros((len(names), len(names)))
    np.add.at(table, ([names[x] for x in a], [names[x] for x in b]), 1.0)
    n, share = len(a), table / len(a)
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    seen, chance = float(np.trace(share)), float(rows @ columns)
    if chance > 1 - 1e-12:
        return Kappa(n, seen, None, -1.0, 1.0)
    value = (seen - chance) / (1 - chance)
    diagonal = np.diag(share) @ np.square(1 - (rows + columns) * (1 - value))
    crossed = np.square(columns[:, None] + rows[None, :])
    np.fill_diagonal(crossed, 0.0)
    rest = (1 - value) ** 2 * float((share * crossed).sum()) - (value - chance * (1 - value)) ** 2
    half = float(ndtri(1 - alpha / 2)) * sqrt(max(float(diagonal) + rest, 0.0) / n) / (1 - chance)
    return Kappa(n, seen, value, max(-1.0, value - half), min(1.0, value + half))


@dataclass(frozen=True, slots=True)
class Corrected:
    """A judge's mean difference, corrected by labels on some examples; `judge_mean` is the uncorrected one."""

    n: int
    n_labelled: int
    mean: float
    low: float
    high: float
    se: float
    judge_mean: float
    labels_only: float


def corrected_difference(judge: ArrayLike, label: ArrayLike, alpha: float = 0.05) -> Corrected:
    """Prediction-powered paired difference: mean of judge differences + mean of (label - judge) differences.

    Unbiased however the judge errs, provided that the labelled examples are a random sample. The labelled examples are
    part of all: the estimate is rewritten as two independent means, each with its plus-two rows, so that the variance
    is exact, and t has Welch's degrees of freedom.

    Args:
        judge: candidate minus baseline by the judge, one an example, in [-1, 1].
        label: the same by human labels; NaN where there is none.
        alpha: 1 - confidence.
    """
    f: Floats = np.asarray(judge, dtype=float)
    y: Floats = np.asarray(label, dtype=float)
    if f.ndim != 1 or f.shape != y.shape:
        raise ValueError(f"one judge difference and one label (or NaN) an example, got {f.shape} and {y.shape}")
    there = ~np.isnan(y)
    if not (np.abs(f) <= 1 + 1e-9).all() or not (np.abs(y[there]) <= 1 + 1e-9).all():
        raise ValueError("differences must lie in [-1, 1], the judge's without gaps")
    n, labelled = len(f), int(there.sum())
    if labelled < 2:
        raise ValueError("at least 2 labelled examples are needed, and 100 to be believed")
    weight = labelled / n
    parts = [_mean(np.sort(y[there] - (1 - weight) * f[there]))]
    if labelled < n:
        rest, spread, df = _mean(np.sort(f[~there]))
        parts.append(((1 - weight) * rest, (1 - weight) ** 2 * spread, df))
    variance = sum(v for _, v, _ in parts)
    df = variance**2 / sum(v**2 / k for _, v, k in parts)
    mean, se = sum(m for m, _, _ in parts), sqrt(variance)
    half = float(stdtrit(df, 1 - alpha / 2)) * se
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
    return Corrected(n, labelled, mean, low, high, se, float(np.sort(f).mean()), float(np.sort(y[there]).mean()))


def _mean(x: Floats) -> tuple[float, float, float]:
    """Mean, variance of the mean with two rows at mean +- 1, degrees of freedom."""
    n, mean = len(x), float(x.mean())
    return mean, float(np.square(x - mean).sum() + 2) / ((n + 1) * (n + 2)), n + 1.0

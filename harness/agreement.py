"""How far a judge may be trusted: agreement beyond chance with labels, and differences corrected by labels.

Sources: Cohen 1960; Fleiss, Cohen and Everitt 1969 (standard error of kappa); Angelopoulos 2023 (arXiv 2301.09633,
prediction-powered inference) and 2311.01453.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.intervals import Clusters, Floats, cr2, units_of
from harness.special import ndtri

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
    """A judge's paired differences with what labels correct: a column that takes the place of the differences.

    Args:
        values: one an example; their mean is the corrected difference. NaN where the judge could not say.
        judge: the judge's own differences.
        labelled: the examples on which both answers' labels are known.
        shift: what was added to every example that is not sure, the mean of label minus judge.
        reach: how far from 0 an example that was not seen yet may lie: a labelled one stands for so many.
        fewest: labels that decide whether there are enough.
        synthetic: the labels say of themselves that no person gave them.
    """

    values: Floats
    judge: Floats
    labelled: NDArray[np.bool_]
    shift: float
    reach: float
    fewest: int
    synthetic: bool = False

    @property
    def enough(self) -> bool:
        """Whether an answer may rest on it."""
        return self.fewest >= FEWEST_LABELS

    def units(self, clusters: Clusters | None) -> tuple[int, float]:
        """The clusters that hold labelled examples (else those examples), and degrees of freedom that they allow."""
        if not self.labelled.any():
            return 0, 1.0
        names = None if clusters is None else [clusters[int(i)] for i in np.flatnonzero(self.labelled)]
        sizes = units_of(np.zeros(int(self.labelled.sum())), names).sizes
        return len(sizes), cr2(np.r_[sizes, 1.0, 1.0])[1]


def corrected(
    judge: ArrayLike,
    label: ArrayLike,
    sure: ArrayLike | None = None,
    *,
    fewest: int | None = None,
    synthetic: bool = False,
) -> Corrected:
    """Prediction-powered paired differences: mean of judge differences + mean of (label - judge) differences.

    Unbiased however the judge errs, provided that the labelled examples are a random sample. With n examples that are
    not sure, m of them labelled, judge differences f and e = label - f, the column is f + mean(e), on labelled ones
    (n / m) (e - mean(e)) more. Its mean is the estimate, its sum of squares the estimate's exact variance var(f) / n +
    var(e) / m + 2 cov(f, e) / n, so that all that is asked of plain differences (intervals, clusters, sign-flips) may
    be asked of it. The two rows of the plus-two interval lie n / m off: as far as an unseen labelled example may.

    Args:
        judge: candidate minus baseline by the judge, one an example, in [-1, 1]; NaN where it could not say.
        label: the same by labels; NaN where there is none.
        sure: examples that judge and people know alike (both answers failed): nothing to correct.
        fewest: labels of the arm that has the fewest; default: the labelled examples.
        synthetic: the labels are none that a person gave.
    """
    f: Floats = np.asarray(judge, dtype=float)
    y: Floats = np.asarray(label, dtype=float)
    if f.ndim != 1 or f.shape != y.shape:
        raise ValueError(f"one judge difference and one label (or NaN) an example, got {f.shape} and {y.shape}")
    if (np.abs(f) > 1 + 1e-9).any() or (np.abs(y) > 1 + 1e-9).any():
        raise ValueError("differences by judge and by label must lie in [-1, 1]")
    asked = ~np.isnan(f) if sure is None else ~np.isnan(f) & ~np.asarray(sure, dtype=bool)
    labelled = asked & ~np.isnan(y)
    n, m = int(asked.sum()), int(labelled.sum())
    if not m:
        return Corrected(f, f, labelled, 0.0, 1.0, 0, synthetic)
    e = np.where(labelled, y - f, 0.0)
    shift = float(np.sort(e[labelled]).mean())
    values = np.where(asked, f + shift + np.where(labelled, n / m * (e - shift), 0.0), f)
    return Corrected(values, f, labelled, shift, n / m, m if fewest is None else min(m, fewest), synthetic)

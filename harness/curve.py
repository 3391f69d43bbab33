"""The learning curve: what would twice the data bring?

Scores against training sizes are fitted by s = a - b m^-c, the inverse power law of learning curves (Cortes 1993;
Viering and Loog 2023), with 0 <= a <= 1, b >= 0, 0 < c <= 2. For each c the best a and b have a closed form, so the fit
is a search over c alone: no start values, no failure to converge. It is never read further than twice the largest size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from harness.intervals import Clusters, Floats, codes_of

EXPONENTS = np.geomspace(0.02, 2.0, 100)


@dataclass(frozen=True, slots=True)
class Curve:
    """A fitted curve and the gain expected from twice the data, with its interval (at 1 - alpha of `fit_curve`).

    `means` are the measured scores at `sizes`, averaged over seeds and examples.
    """

    a: float
    b: float
    c: float
    sizes: tuple[int, ...]
    means: tuple[float, ...]
    gain: float
    gain_low: float
    gain_high: float

    def at(self, size: float) -> float:
        """The fitted score at a training size, up to twice the largest one."""
        if not 0 < size <= 2 * self.sizes[-1]:
            raise ValueError(f"the curve is read from above 0 to {2 * self.sizes[-1]} rows, not at {size}")
        return self.a - self.b * size**-self.c


def fit_curve(
    sizes: Sequence[int],
    scores: ArrayLike,
    clusters: Clusters | None = None,
    *,
    draws: int = 1000,
    seed: int = 0,
    alpha: float = 0.05,
) -> Curve:
    """Fit the curve and resample examples (whole clusters) and seeds for the interval of the gain.

    Since b >= 0 the gain cannot be negative: a lower end at 0 says that the curve may be flat, or falling.

    Args:
        sizes: training sizes, rising, at least 4.
        scores: shape (sizes, seeds, examples), in [0, 1], at least 2 seeds; the same test examples throughout.
        clusters: cluster of each example, or None.
        draws: resamples for the interval.
        seed: of the resampling.
        alpha: 1 - confidence.
    """
    table: Floats = np.asarray(scores, dtype=float)
    if len(sizes) < 4 or any(a >= b for a, b in pairwise(sizes)) or sizes[0] < 1:
        raise ValueError(f"a learning curve needs 4 rising sizes from 1 on, got {tuple(sizes)}")
    if table.ndim != 3 or table.shape[0] != len(sizes) or table.shape[1] < 2 or not table.shape[2]:
        raise ValueError(f"scores must have shape (sizes, 2 seeds or more, examples), got {table.shape}")
    if not ((table >= 0) & (table <= 1)).all():
        raise ValueError("scores must lie in [0, 1], none missing")
    codes = np.arange(table.shape[2]) if clusters is None else codes_of(clusters)
    if len(codes) != table.shape[2]:
        raise ValueError(f"{len(codes)} cluster names for {table.shape[2]} examples")
    sizes_of = np.bincount(codes).astype(float)
    sums = np.zeros((len(sizes_of), *table.shape[:2]))
    np.add.at(sums, codes, np.moveaxis(table, 2, 0))
    order = np.lexsort((sizes_of, *sums.reshape(len(sums), -1).T))
    sums, sizes_of = sums[order], sizes_of[order]
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=draws).astype(float)
    by_seed = (weights @ sums.reshape(len(sums), -1)).reshape(draws, *table.shape[:2]) / (weights @ sizes_of)[
        :, None, None
    ]
    picks = rng.integers(0, table.shape[1], by_seed.shape)
    resampled = np.take_along_axis(by_seed, picks, axis=2).mean(axis=2)
    means = table.mean(axis=(1, 2))
    fits = _fit(np.asarray(sizes, dtype=float), np.vstack([means, resampled]))
    gains = _gain(fits, sizes[-1])
    low, high = np.quantile(gains[1:], [alpha / 2, 1 - alpha / 2])
    a, b, c = (float(v) for v in fits[0])
    return Curve(a, b, c, tuple(sizes), tuple(means.tolist()), float(gains[0]), float(low), float(high))


def _gain(fits: Floats, largest: float) -> Floats:
    """Score at twice the largest size less the score at it."""
    return fits[:, 1] * (largest ** -fits[:, 2] - (2 * largest) ** -fits[:, 2])


def _fit(sizes: Floats, means: Floats) -> Floats:
    """Least squares (a, b, c) for each row of means[rows, sizes]; a tie goes to the smaller exponent."""
    best = np.full((len(means), 3), np.nan)
    least = np.full(len(means), np.inf)
    for c in EXPONENTS:
        x = sizes**-c
        a, b = _line(x, means)
        errors = np.square(means - (a[:, None] - b[:, None] * x)).sum(axis=1)
        better = errors < least - 1e-15
        best[better] = np.column_stack([a, b, np.full(len(means), c)])[better]
        least[better] = errors[better]
    return best


def _line(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Least squares y = a - b x with 0 <= a <= 1 and b >= 0: the free solution, or the best on a side it crosses."""
    centred = x - x.mean()
    b = np.maximum(-(y @ centred) / (centred @ centred), 0.0)
    a = y.mean(axis=1) + b * x.mean()
    over = a > 1
    b = np.where(over, np.maximum((1 - y) @ x / (x @ x), 0.0), b)
    return np.where(over, 1.0, a), b

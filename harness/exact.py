"""Exact tests of a paired difference: the second lock beside the interval.

Sources: Fagerland, Lydersen and Laake 2013 (McNemar mid-p); Phipson and Smyth 2010 (p of a drawn permutation test);
Clopper and Pearson 1934 (losses too rare to be seen).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.special import bdtr, betainc, betaincinv, ndtr

Floats = NDArray[np.float64]

RARE = 0.5  # a loss of so much of what can be lost is an event that may be too rare to be seen often enough

ENUMERATED = 16  # sign-flips of so many units are all tried; more are drawn


def mcnemar_mid_p(won: int, lost: int) -> float:
    """Two-sided McNemar mid-p of the discordant pairs (Fagerland 2013): 1 when there are none."""
    if won < 0 or lost < 0:
        raise ValueError(f"counts cannot be negative: {won}, {lost}")
    n, k = won + lost, min(won, lost)
    if n == 0:
        return 1.0
    at_most = float(bdtr(k, n, 0.5))
    exactly = at_most - (float(bdtr(k - 1, n, 0.5)) if k else 0.0)
    return 1 - exactly / 2 if won == lost else 2 * at_most - exactly


def sign_flip(units: ArrayLike, draws: int = 9999, seed: int = 0) -> float:
    """Two-sided mid-p of the sign-flip test that the units are symmetric about 0; T is the sum of the units.

    Sums beyond |T| count whole, ties with it half: for units of -1, 0 and 1 this is McNemar's mid-p, and without the
    half the lock cost up to 5 points of power where sums tie often (0/1 scores in clusters). Up to 16 non-zero units
    every pattern of signs is tried; else `draws` are drawn and p = (1 + hits) / (1 + draws) (Phipson and Smyth 2010).
    Sums that differ by float noise alone are ties. Signs are drawn as packed bits, eight units a byte: a table of the
    256 sums of each eight turns a draw into n / 8 look-ups.
    """
    values = np.asarray(units, dtype=float)
    if not np.isfinite(values).all():
        raise ValueError("a unit is not a finite number")
    values = values[np.lexsort((values, np.abs(values)))]
    values = values[np.abs(values) > 1e-12]
    sizes = np.abs(values)
    reached, noise = abs(float(values.sum())), 1e-9 * float(sizes.sum())

    def hits(sums: NDArray[np.float64]) -> float:
        beyond = np.abs(sums) - reached
        return float(np.count_nonzero(beyond > noise) + 0.5 * np.count_nonzero(np.abs(beyond) <= noise))

    if len(values) <= ENUMERATED:
        sums = np.zeros(1)
        for size in sizes:
            sums = np.concatenate([sums + size, sums - size])
        return hits(sums) / len(sums) if len(values) else 1.0
    padded = np.r_[sizes, np.zeros(-len(sizes) % 8)].reshape(-1, 8)
    signs = 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) - 1
    rng, sums, eight = np.random.Generator(np.random.PCG64(seed)), np.zeros(draws), np.empty(draws)
    for table in padded @ signs.T:
        picks = np.frombuffer(rng.bytes(draws), dtype=np.uint8).astype(np.intp)
        sums += table.take(picks, out=eight, mode="clip")  # every pick is in range; "clip" spares the check
    return (1 + hits(sums)) / (1 + draws)


@dataclass(frozen=True, slots=True)
class Losses:
    """Units (rows, or clusters on average) that lost half of what one can lose or more, by the size of the unit.

    `sizes`: rows a unit, the largest first; of each size `units` there are and `lost`, and `likely`: how many (not a
    whole number) the spread of the units alone lets expect. `large`: what each lost a row, all that it can where none
    did; `rest`: the mean of the others.
    """

    sizes: tuple[float, ...]
    units: tuple[int, ...]
    lost: tuple[int, ...]
    likely: tuple[float, ...]
    large: float
    rest: float

    @property
    def count(self) -> int:
        """How many were lost."""
        return sum(self.lost)

    def share(self, lost: Sequence[float]) -> float:
        """The share of rows in so many units of each size."""
        return float(np.dot(self.sizes, lost) / np.dot(self.sizes, self.units))

    def undone_at(self, delta: float) -> float:
        """The share of rows that must be lost for the mean to be delta: 0 where the others are no better than it."""
        above = self.rest - delta
        return min(above / max(self.rest + self.large, above), 1.0) if above > 0 else 0.0

    def most(
        self, alpha: float, tried: float, lost: Sequence[float] | None = None, times: float = 1.0, deviates: float = 0.0
    ) -> float:
        """The largest share of rows that may be lost, one-sided at alpha, whichever sizes are the ones that fail.

        Long documents overflow and short ones do not: all units may fail alike, or only the largest, to any size. Each
        such rate is held to Clopper and Pearson's upper end, the smaller units are lost as they were seen to be, and
        the worst case counts. `tried`: units that would show a loss. For what a test of another size would find:
        `lost` instead of those seen, of `times` as many units, and so many standard `deviates` more.
        """
        count, units, held, beside = self._largest(tried, self.lost if lost is None else lost)
        count, units = count * times, units * times
        count = count + deviates * np.sqrt(count)
        rate = np.where(count < units, betaincinv(count + 1, np.maximum(units - count, 1e-9), 1 - alpha), 1.0)
        return min(float((rate * held + beside).max()), 1.0)

    def chance(self, share: float, tried: float) -> float:
        """The chance of losses as few as those seen if they take this share of rows; `most` turned round."""
        count, units, held, beside = self._largest(tried, self.lost)
        rate = (share - beside) / held
        p = betainc(np.maximum(units - count, 1e-9), count + 1, 1 - np.clip(rate, 0.0, 1.0))
        p = np.where((count >= units) & (rate <= 1), 1.0, np.where(rate > 1, 0.0, p))  # all lost, and it is not enough
        return float(np.where(rate <= 0, 1.0, p).max())

    def _largest(self, tried: float, lost: Sequence[float]) -> tuple[Floats, Floats, Floats, Floats]:
        """Of the largest units, to each size: how many were lost, of how many tried; the share of rows that they hold,
        and the share that is lost beside them.
        """
        sizes, units, gone = (np.asarray(x, dtype=float) for x in (self.sizes, self.units, lost))
        rows = float(sizes @ units)
        held, taken = np.cumsum(sizes * units) / rows, np.cumsum(sizes * gone) / rows
        return np.cumsum(gone), np.cumsum(units) * (tried / units.sum()), held, taken[-1] - taken


def large_losses(sums: ArrayLike, sizes: ArrayLike = 1.0, full: float = 1.0) -> Losses:
    """Of sums and sizes of units, each of which may lose `full`; the order of units shows nowhere."""
    values, weights = np.broadcast_arrays(np.asarray(sums, dtype=float), np.asarray(sizes, dtype=float))
    order = np.lexsort((values, -weights))
    values, weights = values[order], weights[order]
    least, total = max(RARE * full, 1e-6), float(weights.sum())
    lost = values <= -least * weights + 1e-9  # half but for float noise is half; a tie is no loss
    of = float(weights[lost].sum())
    rest = float(values[~lost].sum() / weights[~lost].sum()) if not lost.all() else 0.0
    large = min(-float(values[lost].sum()) / of, 1.0) if of else full  # more: a label that stands for many
    mean = float(values.sum()) / total
    spread = float(np.linalg.norm(values - mean * weights)) / total**0.5  # of a row, rows of a unit being independent
    chance = ndtr(-(least + mean) * np.sqrt(weights) / spread) if spread > 0 else np.zeros(len(weights))
    starts = np.flatnonzero(np.r_[True, np.diff(weights) != 0])
    units = np.diff(np.r_[starts, len(weights)])
    gone, likely = np.add.reduceat(lost.astype(int), starts), np.add.reduceat(chance, starts)
    by_size = (tuple(weights[starts].tolist()), tuple(units.tolist()), tuple(gone.tolist()), tuple(likely.tolist()))
    return Losses(*by_size, large, rest)


def rare_losses(
    sums: ArrayLike,
    delta: float = 0.0,
    sizes: ArrayLike = 1.0,
    full: tuple[float, float] = (1.0, 1.0),
    tried: float | None = None,
) -> float:
    """How surprising so few large losses are if they undo the lead over delta (a lag: so few large wins).

    All gain a little and one in a hundred loses everything: where few or none of those are seen, the rest look as sure
    as can be, and an interval alone says a false "better" 6.2 % of the time. With k of n units (rows, or clusters of
    these `sizes`) that lost half or more of what one can lose (`full`; beside it what one can win), L each, and a mean
    m of the others, the lead is none if large losses take (m - delta) / (m + L) of the rows: the exact binomial chance
    of k or fewer is returned, of clusters the largest over the sizes that may be the ones that fail. `tried`: how many
    of the units would show such a loss; all by default.
    """
    values, weights = np.broadcast_arrays(np.asarray(sums, dtype=float), np.asarray(sizes, dtype=float))
    ahead = float(np.sort(values).sum() / weights.sum()) - delta
    if abs(ahead) <= 1e-12:  # float noise: there is no lead to undo, and the sign of noise must decide nothing
        return 1.0
    lead = 1.0 if ahead > 0 else -1.0
    seen = large_losses(lead * values, weights, full[0] if ahead > 0 else full[1])
    return seen.chance(seen.undone_at(lead * delta), tried or len(values))


def rare_bounds(
    sums: ArrayLike,
    sizes: ArrayLike,
    alpha: float,
    full: tuple[float, float] = (1.0, 1.0),
    tried: float | None = None,
) -> tuple[float, float]:
    """The lowest and highest mean that `rare_losses` does not contradict, each at alpha."""
    values = np.asarray(sums, dtype=float)
    ends: list[float] = []
    for lead, most in zip((1.0, -1.0), full, strict=True):
        seen = large_losses(lead * values, sizes, most)
        ends.append(lead * (seen.rest - seen.most(alpha, tried or len(values)) * max(seen.rest + seen.large, 0.0)))
    return ends[0], ends[1]

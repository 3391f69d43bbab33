"""What a paired difference has to show before any level is chosen: its units, its exact test, its missing pairs.

`stats` makes answers of it. Pure functions of arrays; wrong input raises `ValueError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.agreement import Corrected
from harness.exact import mcnemar_mid_p, rare_bounds, rare_losses, sign_flip
from harness.intervals import Clusters, Floats, Units, bounds_of, middle_of, units_of, values_of
from harness.special import stdtr

Answer = Literal["yes", "no", "inconclusive"]
Flag = Literal["missing", "few_clusters", "some_clusters", "indicative", "locked", "labels"]
Ends = tuple[ArrayLike, ArrayLike]
Levels = tuple[float, float]

FEW_CLUSTERS, SOME_CLUSTERS, EVEN_CLUSTERS, INDICATIVE = 6, 20, 15, 50  # EVEN_CLUSTERS: of one size, as `Units.even`
BARRING: frozenset[Flag] = frozenset(("missing", "few_clusters", "labels"))  # with one of them nothing is answered
NOISE = 1e-9  # differences of floats that should be equal: no win, no loss


def by(ends: tuple[float, float], delta: float) -> Answer:
    """What an interval alone answers."""
    return "yes" if ends[0] > delta else "no" if ends[1] < delta else "inconclusive"


@dataclass(frozen=True)
class Evidence:
    """Everything about a difference that does not depend on alpha. The exact test is run when first asked for.

    `full`: what baseline and candidate have to lose whole. `tried`: the units that would show it, of a judge the
    labelled ones.
    """

    units: Units
    middle: float
    se: float
    df: float
    binary: bool
    seed: int
    reach: float
    full: Levels
    tried: float

    @cached_property
    def exact(self) -> float:
        """p of the exact test at 0."""
        sums = self.units.sums
        if self.binary:
            return mcnemar_mid_p(int((sums > 0).sum()), int((sums < 0).sum()))
        return sign_flip(sums, seed=self.seed)

    @property
    def p(self) -> float:
        """Of the exact test at 0, and of losses too rare to be seen."""
        return max(self.exact, self.unseen(0.0))

    @property
    def rare(self) -> bool:
        """Whether losses too rare to be seen are looked for: not of 0/1 rows, whose exact test counts them, nor of a
        judge's rows of which under half are labelled: they lie further off than any loss (`reach`), and so do the two.
        """
        return not self.binary and (self.units.clustered or self.reach < 2)

    def unseen(self, delta: float) -> float:
        """The chance that losses too rare to be seen often enough hide; 0 where no such are looked for."""
        if not self.rare:
            return 0.0
        p = rare_losses(self.units.sums, delta, self.units.sizes, self.full, self.tried)
        return min(2 * p, 1.0) if self.units.clustered else p  # two-sided, as `interval`; rows have the two extra ones

    @property
    def skew(self) -> float:
        """Skewness of the units over the root of their number, the two rows among them."""
        off = self.units.sums - self.units.mean * self.units.sizes
        return float(np.sum(off**3)) / float(np.sum(off**2) + 2 * self.reach**2) ** 1.5

    @property
    def test(self) -> str:
        """The exact test's name."""
        return "McNemar mid-p" if self.binary else "sign-flip"

    def bounds(self, alpha: float) -> tuple[float, float]:
        """The two-sided t interval at alpha."""
        return bounds_of(self.middle, self.se, self.df, alpha, (-1.0, 1.0))

    def interval(self, alpha: float) -> tuple[float, float]:
        """`bounds`, and of clusters as far as clusters that fail whole, too rare to be seen, allow.

        The two rows that stand for what was not seen are single rows: beside a cluster that may be lost whole they are
        nothing. Where one in twenty is, the t interval alone leaves out the truth up to 60 % of the time.
        """
        low, high = self.bounds(alpha)
        if not (self.rare and self.units.clustered):
            return low, high
        least, most = rare_bounds(self.units.sums, self.units.sizes, alpha / 2, self.full, self.tried)
        return max(min(low, least), -1.0), min(max(high, most), 1.0)

    def answer(self, delta: float, alpha: float, locked: bool = True) -> Answer:
        """The rule of `stats.decide_difference`; without `locked` no exact test at 0 is asked."""
        found = by(self.interval(alpha), delta)
        if found != "inconclusive" and self.unseen(delta) > alpha:
            return "inconclusive"
        if not locked:
            return found
        return "inconclusive" if (found == "yes" or (found == "no" and delta == 0)) and self.p > alpha else found

    def smallest_alpha(self, delta: float) -> float:
        """The level at which this evidence would just be answered: what Holm sorts by."""
        t = (self.middle - delta) / self.se
        p = max(2 * float(stdtr(self.df, -abs(t))), self.unseen(delta))
        return max(p, self.p) if t > 0 or delta == 0 else p


def levels_of(candidate: Floats, baseline: Floats) -> Levels | None:
    """What a cluster may lose and win whole: a point, or nothing where baseline or candidate never scored; None: none.

    Over the examples that both have. The mean of the baseline is too little: a cluster may be lost just where the
    baseline is better than elsewhere (a false `yes` up to 30 % of the time).
    """
    both = ~np.isnan(candidate) & ~np.isnan(baseline)
    return (float(baseline[both].any()), float(candidate[both].any())) if both.any() else None


def evidence_of(
    d: Floats,
    clusters: Clusters | None,
    binary: bool,
    seed: int,
    levels: Levels | None = None,
    reach: float = 1.0,
    most: float = inf,
    tried: float = inf,
) -> Evidence:
    """`reach`, `most` degrees of freedom and `tried` units are those of a corrected judge.

    `levels` are what a cluster may lose whole, and win; None: 1 and 1, which a row may.
    """
    units = units_of(d, clusters)
    if binary and not units.clustered and not np.isin(d, (-1.0, 0.0, 1.0)).all():
        raise ValueError("binary differences must be -1, 0 or 1: the scores are 0/1 and one repeat is compared")
    middle, se, df = middle_of(units, reach, 0.0)
    full = levels if levels and units.clustered else (1.0, 1.0)
    tried = min(tried, len(units.sums))
    return Evidence(units, middle, se, min(df, most), binary and not units.clustered, seed, reach, full, tried)


@dataclass(frozen=True, slots=True)
class Pairs:
    """A difference with its missing pairs, and the same filled at the two ends of the range.

    `d` is what was seen, by the judge where one is corrected; `groups` the clusters that carry the answer.
    """

    d: Floats
    seen: Evidence
    filled: tuple[Evidence, ...]
    n_missing: int
    too_many: bool
    groups: int | None
    by: Corrected | None


def pairs_of(
    d: ArrayLike | Corrected,
    clusters: Clusters | None,
    binary: bool,
    ends: Ends | None,
    max_missing: float,
    seed: int,
    levels: Levels | None = None,
) -> Pairs:
    """The differences of `stats.decide_difference`, whose arguments these are, before a level is chosen."""
    by = d if isinstance(d, Corrected) else None
    values = d.values if isinstance(d, Corrected) else values_of(d, -1, 1, "differences")
    if clusters is not None and len(clusters) != len(values):
        raise ValueError(f"{len(clusters)} cluster names for {len(values)} values")
    gone = np.isnan(values)
    count = int(gone.sum())
    kept = values[~gone]
    names = None if clusters is None else [c for c, missing in zip(clusters, gone, strict=True) if not missing]
    labelled, most = by.units(clusters) if by else (0, inf)
    reach, shift = (by.reach, by.shift) if by else (1.0, 0.0)
    binary, tried = binary and by is None, labelled or inf
    seen = evidence_of(kept, names, binary, seed, levels, reach, most, tried)
    filled: list[Evidence] = []
    if count:
        for end in ends or (np.full(len(values), -1.0), np.full(len(values), 1.0)):
            fill = values_of(end, -1, 1, "ends")
            if fill.shape != values.shape or np.isnan(fill[gone]).any():
                raise ValueError("ends must give a number for every missing pair")
            made = np.where(gone, fill + shift, values)
            filled.append(evidence_of(made, clusters, binary, seed, levels, reach, most, tried))
    groups = len(seen.units.sums) if seen.units.clustered else None
    if by is not None:
        groups, kept = groups and min(groups, labelled), by.judge[~gone]
    return Pairs(kept, seen, tuple(filled), count, count > max_missing * len(values), groups, by)


def flags_of(pairs: Pairs) -> list[Flag]:
    """What a reader must know of the clusters, of n and of labels; `missing` and `locked` depend on the level."""
    flags: list[Flag] = []
    if pairs.groups is not None and pairs.groups < FEW_CLUSTERS:
        flags.append("few_clusters")
    elif pairs.groups is not None and (pairs.groups < SOME_CLUSTERS or pairs.seen.units.even < EVEN_CLUSTERS):
        flags.append("some_clusters")
    if pairs.seen.units.n < INDICATIVE:
        flags.append("indicative")
    if pairs.by is not None and not pairs.by.enough:
        flags.append("labels")
    return flags

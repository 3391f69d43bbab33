"""What the numbers allow to be said: intervals, exact tests, and the three answers made of both.

Pure functions of arrays; no harness type, no file, no clock; where chance is needed the seed is passed in. Differences
are candidate minus baseline, one an example, in [-1, 1]. Results do not depend on the order of rows or the names of
clusters. Wrong input raises `ValueError`. `benchmarks/calibration` measures how often each rule errs.

Sources: Holm 1979; Berger 1982 (intersection-union); Miller 2024 (arXiv 2411.00640) and Bowyer 2025 (2503.01747) on
statistics for model evaluations; those of the intervals and exact tests stand in their files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.exact import mcnemar_mid_p, sign_flip
from harness.intervals import Clusters, Floats, Interval, Units, bar, bounds_of, middle_of, name_of, units_of, values_of
from harness.intervals import may_be_best as may_be_best
from harness.intervals import plus_two as plus_two
from harness.intervals import wilson as wilson
from harness.special import bdtr, stdtr, stdtrit

Answer = Literal["yes", "no", "inconclusive"]
Label = Literal["better", "worse", "equivalent", "unclear"]
GateAnswer = Literal["pass", "fail", "inconclusive"]
Flag = Literal["missing", "few_clusters", "some_clusters", "indicative", "locked"]
Ends = tuple[ArrayLike, ArrayLike]

FEW_CLUSTERS, SOME_CLUSTERS, INDICATIVE = 6, 20, 50
NOISE = 1e-9  # differences of floats that should be equal: no win, no loss


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired comparison and its answer to "is the difference above min_effect?".

    `low` and `high` hold at `alpha` (a Holm level when several candidates were tested); `p` is the exact test at 0.
    `flags` name what a reader must know: `missing` and `few_clusters` force inconclusive; `locked` means that the
    interval alone would have answered and the exact test did not agree. `lost_half` is the share of examples that lost
    half a point or more.
    """

    n: int
    mean: float
    low: float
    high: float
    p: float
    method: str
    answer: Answer
    label: Label
    flags: tuple[Flag, ...]
    min_effect: float
    alpha: float
    se: float
    df: float
    n_missing: int
    n_clusters: int | None
    won: int
    lost: int
    tied: int
    lost_half: float


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate's answer. `low` is a one-sided 95 % bound, `high` a one-sided 97.5 % bound.

    `proven_drop`: a drop is certain, though it may be smaller than the margin. `honest_margin` is the smallest margin
    that an unchanged system would pass 95 times in 100 with this n. `incomplete`: too many pairs are missing.
    """

    n: int
    mean: float
    low: float
    high: float
    answer: GateAnswer
    margin: float
    honest_margin: float
    proven_drop: bool
    n_missing: int
    incomplete: bool
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class _Evidence:
    """Everything about a difference that does not depend on alpha. The exact test is run when first asked for."""

    units: Units
    middle: float
    se: float
    df: float
    binary: bool
    seed: int

    @cached_property
    def p(self) -> float:
        sums = self.units.sums
        if self.binary:
            return mcnemar_mid_p(int((sums > 0).sum()), int((sums < 0).sum()))
        return sign_flip(sums, seed=self.seed)

    @property
    def method(self) -> str:
        return f"{name_of(self.units)} + {'McNemar mid-p' if self.binary else 'sign-flip'}"

    def bounds(self, alpha: float) -> tuple[float, float]:
        return bounds_of(self.middle, self.se, self.df, alpha, (-1.0, 1.0))

    def answer(self, delta: float, alpha: float, locked: bool = True) -> Answer:
        """The rule of `decide_difference`; without `locked` the interval answers alone."""
        low, high = self.bounds(alpha)
        if low > delta and (not locked or self.p <= alpha):
            return "yes"
        if high < delta and (not locked or delta != 0 or self.p <= alpha):
            return "no"
        return "inconclusive"

    def smallest_alpha(self, delta: float) -> float:
        """The level at which this evidence would just be answered: what Holm sorts by."""
        t = (self.middle - delta) / self.se
        p = 2 * float(stdtr(self.df, -abs(t)))
        return max(p, self.p) if t > 0 or delta == 0 else p


def _evidence(d: Floats, clusters: Clusters | None, binary: bool, seed: int) -> _Evidence:
    units = units_of(d, clusters)
    if binary and not units.clustered and not np.isin(d, (-1.0, 0.0, 1.0)).all():
        raise ValueError("binary differences must be -1, 0 or 1: the scores are 0/1 and one repeat is compared")
    return _Evidence(units, *middle_of(units, 1.0, 0.0), binary and not units.clustered, seed)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A difference with its missing pairs, and the same filled at the two ends of the range."""

    d: Floats
    seen: _Evidence
    filled: tuple[_Evidence, ...]
    n_missing: int
    too_many: bool


def _pairs(
    d: ArrayLike, clusters: Clusters | None, binary: bool, ends: Ends | None, max_missing: float, seed: int
) -> _Pairs:
    values = values_of(d, -1, 1, "differences")
    if clusters is not None and len(clusters) != len(values):
        raise ValueError(f"{len(clusters)} cluster names for {len(values)} values")
    gone = np.isnan(values)
    count = int(gone.sum())
    kept = values[~gone]
    names = None if clusters is None else [c for c, missing in zip(clusters, gone, strict=True) if not missing]
    seen = _evidence(kept, names, binary, seed)
    filled: list[_Evidence] = []
    if count:
        for end in ends or (np.full(len(values), -1.0), np.full(len(values), 1.0)):
            fill = values_of(end, -1, 1, "ends")
            if fill.shape != values.shape or np.isnan(fill[gone]).any():
                raise ValueError("ends must give a number for every missing pair")
            filled.append(_evidence(np.where(gone, fill, values), clusters, binary, seed))
    return _Pairs(kept, seen, tuple(filled), count, count > max_missing * len(values))


def _flags(pairs: _Pairs) -> list[Flag]:
    units = pairs.seen.units
    flags: list[Flag] = []
    if units.clustered and len(units.sums) < SOME_CLUSTERS:
        flags.append("few_clusters" if len(units.sums) < FEW_CLUSTERS else "some_clusters")
    if units.n < INDICATIVE:
        flags.append("indicative")
    return flags


def _decide(pairs: _Pairs, delta: float, alpha: float, epsilon: float | None, locked: bool = True) -> Difference:
    seen, flags = pairs.seen, _flags(pairs)
    low, high = seen.bounds(alpha)
    answer = seen.answer(delta, alpha, locked)
    if locked and answer != seen.answer(delta, alpha, locked=False):
        flags.append("locked")
    if pairs.too_many or any(e.answer(delta, alpha, locked) != answer for e in pairs.filled):
        flags.append("missing")
    if "missing" in flags or "few_clusters" in flags:
        answer = "inconclusive"
    near = epsilon if epsilon is not None else (abs(delta) or 0.02)
    label: Label = "unclear"
    if "missing" not in flags and "few_clusters" not in flags:
        if low > 0 and seen.p <= alpha:
            label = "better"
        elif high < 0 and seen.p <= alpha:
            label = "worse"
        elif -near < low and high < near:
            label = "equivalent"
    d, units = pairs.d, seen.units
    won, lost = int((d > NOISE).sum()), int((d < -NOISE).sum())
    return Difference(
        n=units.n,
        mean=units.mean,
        low=low,
        high=high,
        p=seen.p,
        method=seen.method if locked else f"{name_of(units)}, non-inferiority",
        answer=answer,
        label=label,
        flags=tuple(sorted(flags)),
        min_effect=delta,
        alpha=alpha,
        se=seen.se,
        df=seen.df,
        n_missing=pairs.n_missing,
        n_clusters=len(units.sums) if units.clustered else None,
        won=won,
        lost=lost,
        tied=len(d) - won - lost,
        lost_half=float((d <= -0.5 + NOISE).mean()),
    )


def _checked(min_effect: float, alpha: float) -> None:
    if not 0 <= min_effect < 1:
        raise ValueError(f"min_effect must lie in [0, 1), got {min_effect!r}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha!r}")


def decide_difference(
    d: ArrayLike,
    clusters: Clusters | None = None,
    *,
    binary: bool = False,
    min_effect: float = 0.0,
    alpha: float = 0.05,
    epsilon: float | None = None,
    ends: Ends | None = None,
    max_missing: float = 0.02,
    seed: int = 0,
) -> Difference:
    """Is the candidate better than the baseline by more than min_effect: yes, no or inconclusive?

    `yes` iff the plus-two interval lies above min_effect and the exact test at 0 agrees (p <= alpha); `no` iff it lies
    below (with the exact test when min_effect is 0); else `inconclusive`. Two locks, because the interval alone errs a
    little with rare failures and the test alone cannot speak of min_effect.

    Args:
        d: candidate minus baseline, one an example (repeats averaged), in [-1, 1]; NaN is a missing pair.
        clusters: cluster of each example, or None. Under 6 clusters: inconclusive; under 20: flagged.
        binary: the scores are 0/1 and compared once: McNemar mid-p is the exact test (else sign-flip of whole units).
        min_effect: what the difference must exceed, in [0, 1).
        alpha: two-sided level.
        epsilon: "equivalent" means inside (-epsilon, epsilon); default min_effect, or .02 when that is 0.
        ends: (lowest, highest) value that each missing pair may have had; default -1 and 1.
        max_missing: share of missing pairs above which no answer is given.
        seed: for the drawn signs of the sign-flip test.
    """
    _checked(min_effect, alpha)
    return _decide(_pairs(d, clusters, binary, ends, max_missing, seed), min_effect, alpha, epsilon)


def decide_holm(
    ds: Sequence[ArrayLike],
    clusters: Clusters | None = None,
    *,
    binary: bool = False,
    min_effect: float = 0.0,
    alpha: float = 0.05,
    epsilon: float | None = None,
    ends: Sequence[Ends | None] | None = None,
    max_missing: float = 0.02,
    seed: int = 0,
) -> tuple[Difference, ...]:
    """Several candidates against one baseline, in the given order, each decided and shown at its own Holm level.

    Holm 1979: the clearest candidate is held to alpha / m, the next to alpha / (m - 1), and so on. From the first that
    stays open all the rest are shown at its level, so that no interval can contradict its answer. Candidates that
    may not be answered (missing pairs, few clusters) come last.
    """
    _checked(min_effect, alpha)
    all_ends = ends if ends is not None else [None] * len(ds)
    tests = [_pairs(d, clusters, binary, e, max_missing, seed) for d, e in zip(ds, all_ends, strict=True)]

    def rank(i: int) -> tuple[bool, float, int]:
        barred = tests[i].too_many or "few_clusters" in _flags(tests[i])
        return (barred, tests[i].seen.smallest_alpha(min_effect), i)

    found: dict[int, Difference] = {}
    level = alpha / max(len(ds), 1)
    going = True
    for done, i in enumerate(sorted(range(len(ds)), key=rank)):
        level = alpha / (len(ds) - done) if going else level
        found[i] = _decide(tests[i], min_effect, level, epsilon)
        going = going and found[i].answer != "inconclusive"
    return tuple(found[i] for i in range(len(ds)))


def beats_all(
    ds: Sequence[ArrayLike],
    clusters: Clusters | None = None,
    *,
    binary: bool = False,
    min_effect: float = 0.0,
    alpha: float = 0.05,
    ends: Sequence[Ends | None] | None = None,
    max_missing: float = 0.02,
    seed: int = 0,
) -> tuple[Answer, tuple[Difference, ...]]:
    """Does the candidate beat every other arm? `ds` holds candidate minus each of them.

    `yes` iff each comparison says yes at unadjusted alpha: intersection-union needs no correction (Berger 1982). `no`
    iff one says no at alpha / m: there one claim of many suffices. The comparisons are shown at alpha.
    """
    _checked(min_effect, alpha)
    all_ends = ends if ends is not None else [None] * len(ds)
    tests = [_pairs(d, clusters, binary, e, max_missing, seed) for d, e in zip(ds, all_ends, strict=True)]
    if not tests:
        raise ValueError("no other arm to beat")
    shown = tuple(_decide(t, min_effect, alpha, None) for t in tests)
    if all(s.answer == "yes" for s in shown):
        return "yes", shown
    strict = [_decide(t, min_effect, alpha / len(tests), None) for t in tests]
    return ("no" if any(s.answer == "no" for s in strict) else "inconclusive"), shown


def not_worse(
    d: ArrayLike,
    clusters: Clusters | None = None,
    *,
    margin: float,
    alpha: float = 0.05,
    ends: Ends | None = None,
    max_missing: float = 0.02,
) -> Difference:
    """Non-inferiority by the plus-two interval: `yes` (kept) iff low > -margin, `no` (lost) iff high < -margin."""
    if not 0 <= margin < 1:
        raise ValueError(f"margin must lie in [0, 1), got {margin!r}")
    pairs = _pairs(d, clusters, False, ends, max_missing, 0)
    return _decide(pairs, -margin, alpha, margin, locked=False)


def decide_gate(
    d: ArrayLike,
    clusters: Clusters | None = None,
    *,
    margin: float,
    identical: bool = False,
    ends: Ends | None = None,
    max_missing: float = 0.02,
) -> GateResult:
    """Has an arm fallen behind its stored baseline? `d` is now minus then, one an example; NaN is missing.

    Asked in this order: `pass` iff the one-sided 95 % lower bound is above -margin; `fail` iff the one-sided 97.5 %
    upper bound is below 0; else `inconclusive`. `identical` outputs pass without statistics.
    """
    if not 0 <= margin < 1:
        raise ValueError(f"margin must lie in [0, 1), got {margin!r}")
    pairs = _pairs(d, clusters, False, ends, max_missing, 0)

    def ask(e: _Evidence) -> tuple[GateAnswer, float, float]:
        low, high = e.bounds(0.10)[0], e.bounds(0.05)[1]
        return ("pass" if low > -margin else "fail" if high < 0 else "inconclusive"), low, high

    answer, low, high = ask(pairs.seen)
    flags = _flags(pairs)
    if pairs.too_many or any(ask(e)[0] != answer for e in pairs.filled):
        flags.append("missing")
    if "missing" in flags or "few_clusters" in flags:
        answer = "inconclusive"
    if identical and not pairs.n_missing and not pairs.d.any():
        answer = "pass"
    honest = 2 * float(stdtrit(pairs.seen.df, 0.95)) * pairs.seen.se
    n, mean, count = pairs.seen.units.n, pairs.seen.units.mean, pairs.n_missing
    return GateResult(n, mean, low, high, answer, margin, honest, high < 0, count, pairs.too_many, tuple(sorted(flags)))


def decide_level(
    scores: ArrayLike, limit: float, clusters: Clusters | None = None, *, at_least: bool = True, alpha: float = 0.05
) -> tuple[GateAnswer, Interval, bool]:
    """Is a mean at least `limit` (else: at most)? `pass` iff the bar is on the right side, `fail` iff on the wrong one.

    0/1 scores need the exact binomial test as well: where failures or successes are rare, Wilson's interval alone
    leaves out a true mean that is the limit up to 9 % of the time. The last value: the test kept an answer back.
    """
    shown = bar(scores, clusters, alpha)
    above = shown.low >= limit if at_least else shown.low > limit
    below = shown.high < limit if at_least else shown.high <= limit
    locked = False
    if shown.method == "Wilson" and (above or below):
        k = round(shown.mean * shown.n)
        p = float(bdtr(k, shown.n, limit)) if below else 1 - float(bdtr(k - 1, shown.n, limit)) if k else 1.0
        locked = p > alpha / 2
    if locked or not (above or below):
        return "inconclusive", shown, locked
    return ("pass" if above == at_least else "fail"), shown, False

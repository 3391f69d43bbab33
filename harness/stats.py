"""What the numbers allow to be said: intervals, exact tests, and the three answers made of both.

Pure functions of arrays; no harness type, no file, no clock; the seed is passed in. Differences are candidate minus
baseline, one an example, in [-1, 1]. Neither the order of rows nor the names of clusters matter. Wrong input raises
`ValueError`. `benchmarks/calibration` measures how often each rule errs.

Sources: Holm 1979; Hsu 1984 (comparison with the best); Berger 1982 (intersection-union); Miller 2024 (arXiv
2411.00640) and Bowyer 2025 (2503.01747) on statistics for model evaluations; those of the intervals and exact tests
stand in their files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.agreement import Corrected
from harness.evidence import BARRING as BARRING
from harness.evidence import NOISE, Answer, Ends, Evidence, Flag, Levels, Pairs, by, evidence_of, flags_of, pairs_of
from harness.evidence import levels_of as levels_of
from harness.exact import Losses, large_losses, sign_flip
from harness.intervals import Clusters, Floats, Interval, bar, name_of, units_of
from harness.intervals import plus_two as plus_two
from harness.intervals import wilson as wilson
from harness.special import bdtr

Label = Literal["better", "worse", "equivalent", "unclear"]
WIDENED = ", widened for clusters lost whole"  # of a `Difference.method`: see `Evidence.interval`
GateAnswer = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired comparison and its answer to "is the difference above min_effect?".

    `low` and `high` hold at `alpha` (a Holm level when several candidates were tested); `p` is the exact test at 0.
    `flags` name what a reader must know: `missing`, `few_clusters` and `labels` (too few of them to correct a judge by)
    force inconclusive; `locked` means that the interval alone would have answered and the exact test did not agree.
    `lost_half`: the share that lost half a point. `n_labelled`: where a judge's differences were corrected, by so many
    labelled examples; what was won, lost and tied is then by the judge alone. `skew`: of the units, over their root.
    `rare`: the large losses seen, where such are looked for that are too rare to be seen.
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
    n_labelled: int | None = None
    skew: float = 0.0
    rare: Losses | None = None


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate's answer. `low` is a one-sided 95 % bound, `high` a one-sided 97.5 % bound; `Units.honest_margin`.

    `proven_drop`: a drop is certain, though maybe smaller than the margin. `incomplete`: too many pairs are missing.
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


def _decide(pairs: Pairs, delta: float, alpha: float, epsilon: float | None, locked: bool = True) -> Difference:
    seen, flags = pairs.seen, flags_of(pairs)
    low, high = seen.interval(alpha)
    answer = seen.answer(delta, alpha, locked)
    if answer != by((low, high), delta):
        flags.append("locked")
    if pairs.too_many or any(e.answer(delta, alpha, locked) != answer for e in pairs.filled):
        flags.append("missing")
    barred = bool(BARRING & set(flags))
    if barred:
        answer = "inconclusive"
    near = epsilon if epsilon is not None else (abs(delta) or 0.02)
    label: Label = "unclear"
    if not barred:
        if low > 0 and seen.p <= alpha:
            label = "better"
        elif high < 0 and seen.p <= alpha:
            label = "worse"
        elif -near < low and high < near:
            label = "equivalent"
    d, units = pairs.d, seen.units
    labelled = None if pairs.by is None else int(pairs.by.labelled.sum())
    corrected = f", corrected by {labelled:,} labels" if labelled else ", by judge only" if pairs.by else ""
    widened = WIDENED if (low, high) != seen.bounds(alpha) else ""
    won, lost = int((d > NOISE).sum()), int((d < -NOISE).sum())
    return Difference(
        n=units.n,
        mean=units.mean,
        low=low,
        high=high,
        p=seen.p,
        method=name_of(units) + widened + corrected + (f" + {seen.test}" if locked else ", non-inferiority"),
        answer=answer,
        label=label,
        flags=tuple(sorted(flags)),
        min_effect=delta,
        alpha=alpha,
        se=seen.se,
        df=seen.df,
        n_missing=pairs.n_missing,
        n_clusters=pairs.groups,
        won=won,
        lost=lost,
        tied=len(d) - won - lost,
        lost_half=float((d <= -0.5 + NOISE).mean()),
        n_labelled=labelled,
        skew=seen.skew,
        rare=large_losses(units.sums, units.sizes, seen.full[0]) if seen.rare else None,
    )


def _checked(min_effect: float, alpha: float) -> None:
    if not 0 <= min_effect < 1:
        raise ValueError(f"min_effect must lie in [0, 1), got {min_effect!r}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha!r}")


def decide_difference(
    d: ArrayLike | Corrected,
    clusters: Clusters | None = None,
    *,
    binary: bool = False,
    min_effect: float = 0.0,
    alpha: float = 0.05,
    epsilon: float | None = None,
    ends: Ends | None = None,
    levels: Levels | None = None,
    max_missing: float = 0.02,
    seed: int = 0,
) -> Difference:
    """Is the candidate better than the baseline by more than min_effect: yes, no or inconclusive?

    `yes` iff the plus-two interval lies above min_effect and the exact test at 0 agrees (p <= alpha); `no` iff it lies
    below (with the exact test when min_effect is 0); else `inconclusive`. Two locks, because the interval alone errs
    with rare failures (so `rare_losses` must agree too) and the test alone cannot speak of min_effect. Of clusters the
    interval itself is widened by what `rare_losses` leaves open.

    Args:
        d: candidate minus baseline, one an example (repeats averaged), in [-1, 1]; NaN is a missing pair. A judge's
            corrected ones are answered only with enough labels, and the sign-flip is then that of the corrected column.
        clusters: cluster of each example, or None. Under 6 clusters: inconclusive; under 20: flagged.
        binary: the scores are 0/1 and compared once: McNemar mid-p is the exact test (else sign-flip of whole units).
        min_effect: what the difference must exceed, in [0, 1).
        alpha: two-sided level.
        epsilon: "equivalent" means inside (-epsilon, epsilon); default min_effect, or .02 when that is 0.
        ends: (lowest, highest) value that each missing pair may have had; default -1 and 1.
        levels: what a cluster may lose or win whole (`levels_of`); default 1 and 1.
        max_missing: share of missing pairs above which no answer is given.
        seed: for the drawn signs of the sign-flip test.
    """
    _checked(min_effect, alpha)
    return _decide(pairs_of(d, clusters, binary, ends, max_missing, seed, levels), min_effect, alpha, epsilon)


def decide_holm(
    ds: Sequence[ArrayLike | Corrected],
    clusters: Clusters | None = None,
    *,
    binary: bool = False,
    min_effect: float = 0.0,
    alpha: float = 0.05,
    epsilon: float | None = None,
    ends: Sequence[Ends | None] | None = None,
    levels: Sequence[Levels | None] | None = None,
    max_missing: float = 0.02,
    seed: int = 0,
) -> tuple[Difference, ...]:
    """Several candidates against one baseline, in the given order, each decided and shown at its own Holm level.

    Holm 1979: the clearest candidate is held to alpha / m, the next to alpha / (m - 1), and so on. From the first that
    stays open all the rest are shown at its level, so that no interval can contradict its answer. Candidates that
    may not be answered (missing pairs, few clusters) come last.
    """
    _checked(min_effect, alpha)
    each = zip(ds, ends or [None] * len(ds), levels or [None] * len(ds), strict=True)
    tests = [pairs_of(d, clusters, binary, e, max_missing, seed, of) for d, e, of in each]

    def rank(i: int) -> tuple[bool, float, int]:
        barred = tests[i].too_many or bool(BARRING & set(flags_of(tests[i])))
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
    ds: Sequence[ArrayLike | Corrected],
    clusters: Clusters | None = None,
    *,
    binary: bool = False,
    min_effect: float = 0.0,
    alpha: float = 0.05,
    ends: Sequence[Ends | None] | None = None,
    levels: Sequence[Levels | None] | None = None,
    max_missing: float = 0.02,
    seed: int = 0,
) -> tuple[Answer, tuple[Difference, ...]]:
    """Does the candidate beat every other arm? `ds` holds candidate minus each of them.

    `yes` iff each comparison says yes at unadjusted alpha: intersection-union needs no correction (Berger 1982). `no`
    iff one says no at alpha / m: there one claim of many suffices. The comparisons are shown at alpha.
    """
    _checked(min_effect, alpha)
    each = zip(ds, ends or [None] * len(ds), levels or [None] * len(ds), strict=True)
    tests = [pairs_of(d, clusters, binary, e, max_missing, seed, of) for d, e, of in each]
    if not tests:
        raise ValueError("no other arm to beat")
    shown = tuple(_decide(t, min_effect, alpha, None) for t in tests)
    if all(s.answer == "yes" for s in shown):
        return "yes", shown
    strict = [_decide(t, min_effect, alpha / len(tests), None) for t in tests]
    return ("no" if any(s.answer == "no" for s in strict) else "inconclusive"), shown


def may_be_best(scores: ArrayLike, clusters: Clusters | None = None, alpha: float = 0.05) -> tuple[bool, ...]:
    """The arms that cannot be told apart from the best, in the order of the columns of `scores[n, arms]`.

    A confidence set for the best arm (Hsu 1984, by Bonferroni): an arm leaves it when some other arm is better by the
    interval at alpha / (arms - 1) that `decide_difference` has. Examples with a NaN in any arm are left out.
    """
    table: Floats = np.asarray(scores, dtype=float)
    if table.ndim != 2 or not table.shape[1]:
        raise ValueError(f"scores must have shape (examples, arms), got {table.shape}")
    whole = np.flatnonzero(~np.isnan(table).any(axis=1))
    names = None if clusters is None else [clusters[int(i)] for i in whole]
    table, arms = table[whole], table.shape[1]
    stays, level = [True] * arms, alpha / max(arms - 1, 1)
    for a in range(arms):
        for b in range(a + 1, arms):
            one, other = table[:, a], table[:, b]
            found = evidence_of(one - other, names, False, 0, levels_of(one, other))
            answer = found.answer(0.0, level, locked=False)
            stays[b] = stays[b] and answer != "yes"
            stays[a] = stays[a] and answer != "no"
    return tuple(stays)


def not_worse(
    d: ArrayLike | Corrected,
    clusters: Clusters | None = None,
    *,
    margin: float,
    alpha: float = 0.05,
    ends: Ends | None = None,
    levels: Levels | None = None,
    max_missing: float = 0.02,
) -> Difference:
    """Non-inferiority by the interval: `yes` (kept) iff low > -margin, `no` (lost) iff high < -margin.

    As `decide_difference`, without the exact test at 0.
    """
    if not 0 <= margin < 1:
        raise ValueError(f"margin must lie in [0, 1), got {margin!r}")
    pairs = pairs_of(d, clusters, False, ends, max_missing, 0, levels)
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
    upper bound is below 0; else `inconclusive`. `identical` outputs pass without statistics. With clusters a drop needs
    the sign-flip of whole clusters as well: with very uneven sizes the bound alone cried wolf 4.8 % of the time. Losses
    and wins too rare to be seen are not looked for: two runs of an unchanged system differ one way as often as the
    other, so that none can hide, and with 30 clusters the bound that allows for them found a drop of 10 points 14 %
    of the time instead of 92 %.
    """
    if not 0 <= margin < 1:
        raise ValueError(f"margin must lie in [0, 1), got {margin!r}")
    pairs = pairs_of(d, clusters, False, ends, max_missing, 0)

    def ask(e: Evidence) -> tuple[GateAnswer, bool]:
        dropped = e.bounds(0.05)[1] < 0 and not (e.units.clustered and e.exact > 0.05)
        return ("pass" if e.bounds(0.10)[0] > -margin else "fail" if dropped else "inconclusive"), dropped

    answer, dropped = ask(pairs.seen)
    low, high = pairs.seen.bounds(0.10)[0], pairs.seen.bounds(0.05)[1]
    flags = flags_of(pairs)
    if answer == "inconclusive" and high < 0:
        flags.append("locked")
    if pairs.too_many or any(ask(e)[0] != answer for e in pairs.filled):
        flags.append("missing")
    if "missing" in flags or "few_clusters" in flags:
        answer = "inconclusive"
    if identical and not pairs.n_missing and not pairs.d.any():
        answer = "pass"
    honest = pairs.seen.units.honest_margin(pairs.seen.se, pairs.seen.df)
    n, mean, count = pairs.seen.units.n, pairs.seen.units.mean, pairs.n_missing
    return GateResult(n, mean, low, high, answer, margin, honest, dropped, count, pairs.too_many, tuple(sorted(flags)))


def decide_level(
    scores: ArrayLike, limit: float, clusters: Clusters | None = None, *, at_least: bool = True, alpha: float = 0.05
) -> tuple[GateAnswer, Interval, bool]:
    """Is a mean at least `limit` (else: at most)? `pass` iff the bar is on the right side, `fail` iff on the wrong one.

    0/1 scores need the exact binomial test as well (Wilson's interval alone leaves out a true mean that is the limit up
    to 9 % of the time where failures are rare), clusters the sign-flip of their sums about the limit (3.9 % where one
    holds half of all). The last value: the test kept an answer back.
    """
    shown = bar(scores, clusters, alpha)
    if shown.method == "Wilson" and (limit <= 0 if at_least else limit >= 1):
        return "pass", shown, False  # no rate can be beyond it
    above = shown.low >= limit if at_least else shown.low > limit
    below = shown.high < limit if at_least else shown.high <= limit
    p = 0.0
    if shown.method == "Wilson" and (above or below):
        k = round(shown.mean * shown.n)
        p = float(bdtr(k, shown.n, limit)) if below else 1 - float(bdtr(k - 1, shown.n, limit)) if k else 1.0
    elif shown.clusters is not None and (above or below):
        p = sign_flip(units_of(np.asarray(scores, dtype=float) - limit, clusters).sums) / 2
    locked = p > alpha / 2
    if locked or not (above or below):
        return "inconclusive", shown, locked
    return ("pass" if above == at_least else "fail"), shown, False

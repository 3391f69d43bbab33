"""Is it worth it? Break-even, payback, net benefit and where the answer flips: plain numbers, US dollars, months.

One idea carries the file: score difference, baseline dollars and fine-tune dollars are columns over the same examples,
and every economic question is a weighted sum of them (`harness.moments`). A page can do the same in three lines.

The interval is the plus-two t, its two rows at nothing and at the most that one task can cost (`dearest`). A rare dear
retry that no example showed is invisible to every method that looks at the sample alone: in the worst cell of
benchmarks/calibration plain t, percentile, BCa and bootstrap-t intervals hold the saving under 80 % of the time; this
one keeps 95 % in all, also when a failing task fails to the end, at the price of width. Break-even is monotone in the
saving, so its interval is the saving's, mapped (which is what Fieller's method gives when the numerator is known).

All differences are fine-tune against baseline: `fixed` and `hosting` are what the fine-tune costs more, a saving is
what a task costs less. Sources: Stinnett and Mullahy 1998 (net benefit); Black 1990 (quadrants); Fieller 1954.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import inf, isfinite, nan, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.intervals import Clusters, Interval
from harness.moments import Moments, combine, moments
from harness.special import stdtrit

Answer = Literal["yes", "no", "inconclusive"]
Bound = Literal["low", "mean", "high"]
DAYS_A_MONTH = 365.25 / 12
FEW = 6  # fewer clusters (or examples) carry no answer


def ledger(
    d: ArrayLike,
    baseline_usd: ArrayLike,
    tuned_usd: ArrayLike,
    clusters: Clusters | None = None,
    dearest: tuple[float | None, float | None] = (None, None),
) -> Moments:
    """The three columns of a comparison: score difference, dollars a task of the baseline, of the fine-tune.

    Args:
        d: fine-tune minus baseline scores, one an example, in [-1, 1].
        baseline_usd: dollars of all attempts at the example.
        tuned_usd: the same for the fine-tune.
        clusters: cluster of each example, or None.
        dearest: what one task could cost at most, baseline and fine-tune: attempts allowed x (longest prompt +
            max_tokens, at their prices). None: no more than the dearest task seen, which is right only where nothing is
            retried. A column that does not vary (a local model's time shared out) has no spread unless this is given.
    """
    base, tuned = np.asarray(baseline_usd, dtype=float), np.asarray(tuned_usd, dtype=float)
    centre: list[float | None] = [0.0]
    reach = [1.0]
    for cap, usd in zip(dearest, (base, tuned), strict=True):
        seen = usd[~np.isnan(usd)]
        varies = len(seen) and seen.max() > seen.min()
        most = max(float(seen.max()) if varies else 0.0, cap or 0.0)
        reach.append(most / 2)
        centre.append(most / 2 if most else None)
    return moments([np.asarray(d, dtype=float), base, tuned], reach, centre, clusters)


def saving(found: Moments, alpha: float = 0.05) -> Interval:
    """Dollars that the fine-tune saves a task (of a `ledger`), before fixed costs."""
    return combine(found, (0.0, 1.0, -1.0), alpha=alpha)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the fine-tune costs more beside its tasks, and over how many tasks that is spread.

    Args:
        fixed: training and labelling, fine-tune less baseline, dollars, once.
        hosting: dollars a month more.
        requests: a month.
        months: the life of the fine-tune (see `life`).
        value: dollars that a correct answer is worth, 0 when not said.
    """

    fixed: float
    hosting: float
    requests: float
    months: float
    value: float = 0.0

    @property
    def total(self) -> float:
        """N: fixed and hosting over the whole life."""
        return self.fixed + self.months * self.hosting

    @property
    def overhead(self) -> float:
        """N spread over the tasks of the life, dollars a task."""
        tasks = self.requests * self.months
        return self.total / tasks if tasks > 0 else (inf if self.total > 0 else -inf if self.total < 0 else 0.0)


@dataclass(frozen=True, slots=True)
class Life:
    """How long a fine-tune lives, what ends it, and the days its base model has left (None: no date known)."""

    months: float
    ends: Literal["horizon", "retirement", "retraining"]
    days_left: int | None


def life(
    horizon_months: float, today: date, retires: date | None = None, retrain_every_months: float | None = None
) -> Life:
    """The shortest of horizon, retirement of the base model and retraining rhythm; nothing lives past its base."""
    left = None if retires is None else max((retires - today).days, 0)
    found = Life(horizon_months, "horizon", left)
    if retrain_every_months is not None and retrain_every_months < found.months:
        found = Life(retrain_every_months, "retraining", left)
    if left is not None and left / DAYS_A_MONTH < found.months:
        found = Life(left / DAYS_A_MONTH, "retirement", left)
    return found


@dataclass(frozen=True, slots=True)
class BreakEven:
    """From which request on (`at`) or up to which one (`until`) the fine-tune is the cheaper arm.

    `requests` is infinite for `never` and `from_first`; an infinite `high` reads "may never".
    """

    kind: Literal["at", "never", "from_first", "until"]
    requests: float
    low: float
    high: float


def break_even(saved: Interval, terms: Terms) -> BreakEven:
    """V* = N / s over the life, with the interval of s mapped through it.

    With N > 0 the fine-tune must earn its fixed cost: `at` N / s when it saves, else `never`. With N <= 0 it starts
    ahead: `from_first`, or `until` N / s when its tasks are dearer.
    """
    total = terms.total

    def at(s: float) -> float:
        return total / s if s * total > 0 else inf

    if total > 0:
        return BreakEven("at" if saved.mean > 0 else "never", at(saved.mean), at(saved.high), at(saved.low))
    if total == 0:
        return BreakEven("from_first" if saved.mean >= 0 else "never", inf, inf, inf)
    return BreakEven("until" if saved.mean < 0 else "from_first", at(saved.mean), at(saved.low), at(saved.high))


def hosting_first(saved: float, hosting: float) -> float:
    """Requests a month that cover the hosting alone: dH / s. 0 without hosting, infinite when nothing is saved."""
    return 0.0 if hosting <= 0 else hosting / saved if saved > 0 else inf


def payback_months(saved: float, terms: Terms) -> float:
    """dF / (v s - dH): months until the fixed cost is earned back; infinite when it never is, whatever the life."""
    gain = terms.requests * saved - terms.hosting
    if terms.fixed <= 0:
        return 0.0 if gain >= 0 else inf
    return terms.fixed / gain if gain > 0 else inf


@dataclass(frozen=True, slots=True)
class Payback:
    """Months to pay back with their interval, and whether that is within the life."""

    months: float
    low: float
    high: float
    answer: Answer


def payback(saved: Interval, terms: Terms) -> Payback:
    """Does it pay back before it ends? A fine-tune that pays back after its base model dies does not pay back."""
    months, low, high = (payback_months(s, terms) for s in (saved.mean, saved.high, saved.low))
    answer: Answer = "yes" if high <= terms.months else "no" if low > terms.months else "inconclusive"
    return Payback(months, low, high, answer if _enough(saved) else "inconclusive")


def _enough(it: Interval) -> bool:
    """Whether there are units enough for an answer."""
    return (it.n if it.clusters is None else it.clusters) >= FEW


@dataclass(frozen=True, slots=True)
class NetBenefit:
    """Dollars gained a task, all counted, with interval and answer; `total` over the whole life."""

    per_task: float
    low: float
    high: float
    total: float
    answer: Answer


def net_benefit(found: Moments, terms: Terms, alpha: float = 0.05) -> NetBenefit:
    """value x score difference + saving - overhead of a `ledger`: `yes` iff the interval is above 0, `no` iff below."""
    it = combine(found, (terms.value, 1.0, -1.0), -terms.overhead, alpha)
    answer: Answer = "yes" if it.low > 0 else "no" if it.high < 0 else "inconclusive"
    answer = answer if _enough(it) else "inconclusive"
    return NetBenefit(it.mean, it.low, it.high, it.mean * terms.requests * terms.months, answer)


@dataclass(frozen=True, slots=True)
class Quadrant:
    """Where the fine-tune stands without a value per correct answer.

    `usd_per_correct` is the trade: `dearer_better`, dollars for each extra correct answer; `cheaper_worse`, dollars
    saved for each one given up.
    """

    name: Literal["dominates", "dominated", "dearer_better", "cheaper_worse", "inconclusive"]
    answer: Answer | Literal["depends"]
    usd_per_correct: float | None = None


def quadrant(label: Literal["better", "worse", "equivalent", "unclear"], d: float, saved: Interval) -> Quadrant:
    """Quality against cost. `saved` is the saving a task, less the overhead where the volume is known.

    Equal quality (`equivalent`) at a proven saving dominates (as good and cheaper), at a proven cost is dominated.
    """
    cost = "cheaper" if saved.low > 0 else "dearer" if saved.high < 0 else "unclear"
    if label == "unclear" or cost == "unclear" or not _enough(saved):
        return Quadrant("inconclusive", "inconclusive")
    if label == "equivalent" or (label, cost) in (("better", "cheaper"), ("worse", "dearer")):
        return Quadrant("dominates", "yes") if cost == "cheaper" else Quadrant("dominated", "no")
    rate = abs(saved.mean / d)
    return Quadrant("dearer_better" if cost == "dearer" else "cheaper_worse", "depends", rate)


@dataclass(frozen=True, slots=True)
class Flips:
    """Where one bound of the net benefit crosses 0, each with all else as it is; None: nowhere.

    Args:
        requests: a month.
        price: factor on the fine-tune's price a task (1.3: it may get 30 % dearer).
        usd: dollars a task of the fine-tune, the same as a flat surcharge.
        score: the score difference, in [-1, 1] or beyond when no score would do.
        value: dollars a correct answer.
    """

    requests: float | None
    price: float | None
    usd: float | None
    score: float | None
    value: float | None


def flips(found: Moments, terms: Terms, bound: Bound, alpha: float = 0.05) -> Flips:
    """Solve for the volume, price, score and value at which the answer flips, exactly.

    `low` is where yes and inconclusive meet, `high` where inconclusive and no meet, `mean` where the point estimate
    turns. A factor scales the spread too: the bound's zeros are those of a quadratic; the one nearest to 1 is given.
    """
    weights = (terms.value, 1.0, -1.0)
    gross = _at(combine(found, weights, 0.0, alpha), bound)
    tasks_usd = terms.total / terms.months if terms.months > 0 else nan
    net = gross - terms.overhead
    volume = tasks_usd / gross if gross else nan
    price = _factor(found, weights, (0.0, 0.0, -1.0), -terms.overhead, bound, alpha)
    value = _factor(found, weights, (terms.value or 1.0, 0.0, 0.0), -terms.overhead, bound, alpha)
    return Flips(
        requests=volume if isfinite(volume) and volume > 0 else None,
        price=price if price is not None and price >= 0 else None,
        usd=found.mean[2] + net if isfinite(net) else None,
        score=found.mean[0] - net / terms.value if terms.value and isfinite(net) else None,
        value=None if value is None or _value(value, terms) < 0 else _value(value, terms),
    )


def _value(factor: float, terms: Terms) -> float:
    """A factor on the value; where no value was said the unit was 1 dollar and the start was 0."""
    return factor * terms.value if terms.value else factor - 1


def _at(it: Interval, bound: Bound) -> float:
    return it.low if bound == "low" else it.high if bound == "high" else it.mean


def _factor(
    found: Moments, weights: Sequence[float], scaled: Sequence[float], constant: float, bound: Bound, alpha: float
) -> float | None:
    """The r nearest to 1 at which the bound of (weights - scaled + r x scaled) + constant is 0, or None."""
    if not isfinite(constant):
        return None
    u, w = np.asarray(scaled), np.asarray(weights) - np.asarray(scaled)
    centre, variance = np.asarray(found.mean if bound == "mean" else found.middle), np.asarray(found.variance)
    t = 0.0 if bound == "mean" else float(stdtrit(found.df, 1 - alpha / 2)) * (-1 if bound == "low" else 1)
    a0, a1 = float(w @ centre) + constant, float(u @ centre)
    v0, v1, v2 = float(w @ variance @ w), float(w @ variance @ u), float(u @ variance @ u)
    squares = (a1 * a1 - t * t * v2, 2 * (a0 * a1 - t * t * v1), a0 * a0 - t * t * v0)
    scale = abs(a0) + abs(a1) + abs(t) * sqrt(v0 + v2)
    roots: list[float] = []
    for r in _roots(squares) if t else ([-a0 / a1] if a1 else []):
        value = a0 + r * a1 + t * sqrt(max(v0 + 2 * r * v1 + r * r * v2, 0.0))
        if abs(value) <= 1e-7 * scale * (1 + abs(r)):  # squaring adds the roots of the other bound
            roots.append(r)
    return min(roots, key=lambda r: abs(r - 1), default=None)


def _roots(squares: tuple[float, float, float]) -> list[float]:
    """Real roots of a x^2 + b x + c, without cancellation."""
    a, b, c = squares
    if a == 0:
        return [-c / b] if b else []
    inner = b * b - 4 * a * c
    if inner < 0:
        return []
    q = -(b + (sqrt(inner) if b >= 0 else -sqrt(inner))) / 2
    return [q / a, c / q] if q else [0.0]


def cost_per_correct(usd: ArrayLike, scores: ArrayLike) -> float:
    """Dollars of all tasks over the sum of their scores; infinite when nothing was right."""
    right = float(np.sum(np.asarray(scores, dtype=float)))
    return float(np.sum(np.asarray(usd, dtype=float))) / right if right > 0 else inf


def pareto(costs: Sequence[float | None], scores: Sequence[float]) -> tuple[bool, ...]:
    """Arms that no other is at least as good as on both and better on one. Exact ties stay; unknown cost is off."""

    def beaten(i: int) -> bool:
        cost = costs[i]
        return cost is None or any(
            other is not None and other <= cost and scores[j] >= scores[i] and (other < cost or scores[j] > scores[i])
            for j, other in enumerate(costs)
        )

    return tuple(not beaten(i) for i in range(len(costs)))


def cumulative(
    fixed: float, usd_a_task: float, hosting: float, requests: float, months: float, retrain_every: float | None = None
) -> tuple[tuple[float, float], ...]:
    """An arm's total dollars by month as the corners of a line: (month, dollars). A retraining is an upright step.

    `months` ends where the arm does (horizon or retirement); `fixed` is paid at once and at every retraining before.
    """
    if retrain_every is not None and retrain_every <= 0:
        raise ValueError(f"retrain_every must be above 0 months, got {retrain_every!r}")
    rate = requests * usd_a_task + hosting
    points, paid, at = [(0.0, fixed)], fixed, retrain_every or inf
    while at < months:
        points += [(at, paid + at * rate), (at, paid + fixed + at * rate)]
        paid, at = paid + fixed, at + (retrain_every or inf)
    return (*points, (months, paid + months * rate))

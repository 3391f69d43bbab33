"""What would settle an open comparison: the smallest effect that it finds, and the examples that a hoped-for one needs.

Both start from the plus-two standard error, so that a small n is not flattered. In large samples the smallest effect
found 4 times in 5 is min_effect + 2.80 SE, and the n for an effect e is (2.80 s_d / (e - min_effect))^2 (Card 2020;
Miller 2024). That is too good below n = 200 and with few clusters (power 60-76 % at the effect so stated), so:
the exact power of the t test (non-central t, the comparison's own degrees of freedom) stands in for 2.80; the standard
error is freed of its bias (1 + 1 / 4 df); (n + 2) / n makes up for the two rows that pull the mean to 0; half an
example is added where 0/1 scores move in whole ones; and two points of power, one for the exact test, which must
agree, one for the spread of the stated effect itself, which comes from the same examples (so the limit is 2.88 rather
than 2.80). Where some lose much (a skew below 0), a small lead and a large spread come together, which cost up to 7
points: Z > t - effect becomes Z (1 - t skew / 2 sqrt(n)) > t - effect. And the lead must be one that losses too rare to
be seen cannot undo (`exact.rare_losses`, in clusters whole ones): large enough for that with the large losses that were
seen, or that the spread of clusters lets expect, and on top its own spread and theirs. Of clusters all of that must
hold at once, and the spread of few is known badly: 3 to 12 points of power more. What one or two that were seen lost
is taken together with two that lose all. benchmarks/calibration holds the result to 78 % in every cell of 50 examples
or more, few clusters too.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, sqrt

from harness.special import nctdtrinc, ndtri, stdtrit
from harness.stats import Difference

LOCK = 0.02  # power that the second lock (the exact test) and the noise of the statement take away
CLUSTERS, FEW, MOST = 0.03, 0.8, 0.12  # and, of clusters: all of them, few ones (by degrees of freedom), at most
MORE = 2  # and lost clusters that lose all, beside those seen
LIMIT = 10**9  # examples; who needs more is told that no number is enough


@dataclass(frozen=True, slots=True)
class Needed:
    """What would settle a comparison.

    Args:
        expect: the effect hoped for.
        detectable: the smallest true effect that n as it is finds 4 times in 5.
        n: examples needed to find `expect` 4 times in 5; None when `expect` is not above min_effect (no n is enough).
        more: n less the examples there are, 0 when there are enough.
    """

    expect: float
    detectable: float
    n: int | None
    more: int | None


def _smallest(found: Difference, n: float, power: float) -> float:
    """Smallest effect found with this power by n examples of the same spread and cluster sizes."""
    now = found.df or (found.n_clusters or found.n) + 1.0
    df = max(1.0, now * n / found.n)
    level = float(stdtrit(df, 1 - found.alpha / 2))
    power = min(power + LOCK + (min(CLUSTERS + FEW / df, MOST) if found.n_clusters else 0.0), 0.999)
    reach = float(nctdtrinc(df, 1 - power, level))
    lean = max(-found.skew * sqrt(found.n / n), 0.0)
    reach += max(reach - level, 0.0) * level * lean / 2
    spread = found.se * sqrt(found.n + 2) * (1 + 1 / (4 * now))
    step = 0.5 / n if "McNemar" in found.method else 0.0
    effect = (found.min_effect + reach * spread / sqrt(n + 2)) * (n + 2) / n + step
    if found.rare is None or n < 4:
        return effect
    rare, clustered, of = found.rare, found.n_clusters is not None, n / found.n
    tried, alpha = (found.n_clusters or 0, found.alpha / 2) if clustered else (found.n, found.alpha)
    lost = rare.likely if clustered and sum(rare.likely) > rare.count else rare.lost
    whole = MORE if clustered and rare.count else 0  # what one or two lost ones lost says little of the next
    large = (rare.large * rare.count + whole) / (rare.count + whole) if whole else rare.large
    z, own = float(ndtri(power)), spread / sqrt(n + 2)

    def lag(deviates: float) -> float:
        most = min(rare.most(alpha, tried, lost, of, deviates), 0.999)
        return (most - rare.share(lost)) * (found.min_effect + large) / (1 - most)

    theirs = lag(z) - lag(0.0)  # more may come by chance
    return max(effect, found.min_effect + lag(0.0) + hypot(z * own, theirs))


def detectable(found: Difference, power: float = 0.8) -> float:
    """The smallest true effect that this comparison, repeated, would answer `yes` with this power."""
    return _smallest(found, found.n, power)


def needed(found: Difference, expect: float, power: float = 0.8) -> Needed:
    """How many examples like these would answer `yes` with this power if the true effect were `expect`."""
    if not 0 < power < 1:
        raise ValueError(f"power must lie in (0, 1), got {power!r}")
    now, low, high = detectable(found, power), 0, 1
    while _smallest(found, high, power) > expect:
        low, high = high, 2 * high
        if expect <= found.min_effect or high > LIMIT:
            return Needed(expect, now, None, None)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _smallest(found, middle, power) > expect else (low, middle)
    return Needed(expect, now, high, max(0, high - found.n))

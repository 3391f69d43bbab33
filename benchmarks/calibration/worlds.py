"""Populations whose truth is known: what the rules are held against.

A world draws the scores of two arms on the same examples. `effect` is the true difference of their means, exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from harness.special import ndtri

Floats = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True)
class Sample:
    """Scores of baseline and candidate, and the cluster of each example."""

    baseline: Floats
    candidate: Floats
    clusters: list[int] | None = None

    @property
    def d(self) -> Floats:
        return self.candidate - self.baseline


@dataclass(frozen=True)
class World:
    """`draw(rng, effect)` gives a sample of n examples whose true mean difference is `effect`."""

    name: str
    n: int
    binary: bool
    draw: Callable[[Rng, float], Sample]


def binary(n: int, discordant: float) -> World:
    """0/1 scores, accuracy about .7, this share of examples right in one arm only."""

    def draw(rng: Rng, effect: float) -> Sample:
        share = max(discordant, abs(effect))
        u, right = rng.random(n), (rng.random(n) < 0.7).astype(float)
        won, lost = u < (share + effect) / 2, (u >= (share + effect) / 2) & (u < share)
        return Sample(np.where(won, 0.0, np.where(lost, 1.0, right)), np.where(won, 1.0, np.where(lost, 0.0, right)))

    return World(f"binary, {discordant:.0%} discordant", n, True, draw)


def _f1(rng: Rng, ease: Floats) -> Floats:
    """Set F1 of 3-10 items, each found with probability `ease`, false ones added at a fifth of the misses' rate."""
    items = rng.integers(3, 11, ease.shape)
    hits, false = rng.binomial(items, ease), rng.binomial(items, 0.2 * (1 - ease))
    return 2 * hits / np.maximum(items + hits + false, 1)


@cache
def _f1_mean() -> float:
    rng = np.random.default_rng(11)
    return float(_f1(rng, rng.beta(4, 2, 2_000_000)).mean())


def _better(rng: Rng, base: Floats, candidate: Floats, effect: float, mean: float) -> Sample:
    """An effect is a share of examples put right whole; one beyond that, a share that the baseline gets wrong whole."""
    fixed = np.where(rng.random(len(base)) < effect / (1 - mean), 1.0, candidate)
    spoilt = rng.random(len(base)) < max(1 - (1 - effect) / mean, 0.0)
    return Sample(np.where(spoilt, 0.0, base), fixed)


def set_f1(n: int) -> World:
    """Set F1 of two equal arms on examples of unequal ease."""

    def draw(rng: Rng, effect: float) -> Sample:
        ease = rng.beta(4, 2, n)
        return _better(rng, _f1(rng, ease), _f1(rng, ease), effect, _f1_mean())

    return World("set F1", n, False, draw)


def rare_failures(n: int, rate: float, whose: str) -> World:
    """One arm fails whole (score 0) at this rate and is a little better elsewhere, so that the means are equal."""

    def draw(rng: Rng, effect: float) -> Sample:
        level = rng.uniform(0.5, 0.7, n)
        failed = rng.random(n) < rate
        gain = rate * 0.6 / (1 - rate)
        frail, steady = np.where(failed, 0.0, level + gain), level
        if whose == "candidate":  # the effect goes to the arm as a whole, failures included, to be exact
            return Sample(steady, frail + effect)
        return Sample(frail, steady + effect)

    return World(f"rare failures ({rate:.0%}) of the {whose}", n, False, draw)


def _sizes(groups: int, sizes: str) -> NDArray[np.intp]:
    """Examples a cluster. Lognormal: quantiles. Pareto: those of the tail (1 - u)^(-1 / .8), 50 to 1,000 in all."""
    if sizes == "equal":
        return np.full(groups, 6)
    if sizes == "uneven":
        return np.resize([2, 3, 3, 4, 6, 18], groups)
    if sizes == "lognormal":
        return np.ceil(np.exp(1.5 + 0.9 * ndtri((np.arange(groups) + 0.5) / groups))).astype(np.intp)
    tail = (1 - (np.arange(groups) + 0.5) / groups) ** (-1 / 0.8)
    return np.ceil(tail * np.clip(tail.sum(), 50, 1000 - groups) / tail.sum()).astype(np.intp)


def total_losses(n: int, count: float) -> World:
    """The candidate loses everything in `count` examples on average, and is a little better in all others."""

    def draw(rng: Rng, effect: float) -> Sample:
        lost = rng.random(n) < count / n
        return Sample(np.full(n, 1 - count / n - effect), np.where(lost, 0.0, 1.0))

    return World(f"{count:g} total losses of the candidate", n, False, draw)


def clustered(groups: int, sizes: str, kind: str, lean_sd: float = 0.8, discordant: float = 0.3) -> World:
    """Examples in clusters that lean one way together, by `lean_sd`.

    `sizes`: equal (6 each), uneven (2 to 18, mean about 6), lognormal (1 to about 40) or Pareto (the largest holds
    up to half of all examples).
    """
    codes = np.repeat(np.arange(groups), _sizes(groups, sizes))
    n = len(codes)

    def draw(rng: Rng, effect: float) -> Sample:
        lean = rng.normal(0, lean_sd, groups)[codes]
        if kind == "binary":
            share = max(discordant, abs(effect))
            lift = np.clip(np.tanh(lean) * (share - abs(effect)), -1, 1)  # symmetric, so the mean stays `effect`
            u = rng.random(n)
            won, lost = u < (share + effect + lift) / 2, u >= 1 - (share - effect - lift) / 2
            right = (rng.random(n) < 0.7).astype(float)
            base = np.where(won, 0.0, np.where(lost, 1.0, right))
            return Sample(base, np.where(won, 1.0, np.where(lost, 0.0, right)), codes.tolist())
        ease = rng.beta(4, 2, n)
        logit = np.log(ease / (1 - ease))
        flip = 1 / (1 + np.exp(-logit - lean / 2)), 1 / (1 + np.exp(-logit + lean / 2))
        made = _better(rng, _f1(rng, flip[0]), _f1(rng, flip[1]), effect, _leaning_mean())
        return Sample(made.baseline, made.candidate, codes.tolist())

    return World(f"{groups} {sizes} clusters, {kind}", n, False, draw)


@cache
def _leaning_mean() -> float:
    rng = np.random.default_rng(12)
    ease = rng.beta(4, 2, 2_000_000)
    lean = rng.normal(0, 0.8, ease.shape)
    return float(_f1(rng, 1 / (1 + np.exp(-np.log(ease / (1 - ease)) + lean / 2))).mean())


def as_one(groups: int, sizes: str) -> World:
    """0/1 scores of whole clusters: what is right is right in all examples of one. Three in ten are discordant."""
    codes = np.repeat(np.arange(groups), _sizes(groups, sizes))

    def draw(rng: Rng, effect: float) -> Sample:
        share, u, right = max(0.3, abs(effect)), rng.random(groups), (rng.random(groups) < 0.7).astype(float)
        won, lost = u < (share + effect) / 2, (u >= (share + effect) / 2) & (u < share)
        base, candidate = np.where(won, 0.0, np.where(lost, 1.0, right)), np.where(won, 1.0, np.where(lost, 0.0, right))
        return Sample(base[codes], candidate[codes], codes.tolist())

    return World(f"{groups} {sizes} clusters, each as one", len(codes), False, draw)


def lost_clusters(groups: int, sizes: str, kind: str, rate: float, of: str = "all") -> World:
    """The candidate fails whole clusters at this rate and is a little better in the others: the means are equal.

    A long document that does not fit its context, a page that it cannot read: every question on it is lost. `of`:
    "all" clusters, or the "largest" sixth alone.
    """
    each = _sizes(groups, sizes)
    codes, chance = np.repeat(np.arange(groups), each), np.full(groups, rate)
    if of == "largest":
        chance[np.argsort(each, kind="stable")[: groups - groups // 6]] = 0.0
    n, share = len(codes), float(chance @ each) / len(codes)

    def draw(rng: Rng, effect: float) -> Sample:
        failed = (rng.random(groups) < chance)[codes]
        if kind == "binary":
            gain = (0.7 * share + effect) / (1 - share)
            discordant, u, right = max(0.2, gain), rng.random(n), (rng.random(n) < 0.7).astype(float)
            won, lost = u < (discordant + gain) / 2, (u >= (discordant + gain) / 2) & (u < discordant)
            base = np.where(failed, right, np.where(won, 0.0, np.where(lost, 1.0, right)))
            return Sample(base, np.where(failed | lost, 0.0, np.where(won, 1.0, right)), codes.tolist())
        level = rng.uniform(0.55, 0.65, n)
        candidate = np.where(failed, 0.0, level + 0.6 * share / (1 - share) + rng.uniform(-0.05, 0.05, n))
        base, candidate = level - effect / 2, candidate + effect / 2
        over = np.maximum(candidate - 1.0, 0.0)  # an effect that does not fit is taken from the baseline
        return Sample(base - over, candidate - over, codes.tolist())

    which = "" if of == "all" else " of the largest sixth"
    return World(f"{groups} {sizes} clusters, {rate:.0%}{which} fail whole, {kind}", n, False, draw)


def treasured(groups: int, sizes: str, rate: float, level: float = 0.1) -> World:
    """0/1 scores. The candidate fails whole just the clusters, at this rate, in which the baseline is always right.

    The baseline is right at `level` in all, and the means are equal.
    """
    codes = np.repeat(np.arange(groups), _sizes(groups, sizes))
    elsewhere = (level - rate) / (1 - rate)

    def draw(rng: Rng, effect: float) -> Sample:
        failed = (rng.random(groups) < rate)[codes]
        base = rng.random(len(codes)) < elsewhere
        won = rng.random(len(codes)) < (rate + effect) / (1 - rate) / (1 - elsewhere)
        candidate = (base | won) & ~failed
        return Sample((base | failed).astype(float), candidate.astype(float), codes.tolist())

    return World(
        f"{groups} {sizes} clusters, {rate:.0%} fail whole where the baseline is right", len(codes), False, draw
    )


@dataclass(frozen=True)
class Judge:
    """Scores answers at random at the rate `noise`, and gives full marks at a rate of its own to each arm.

    `whole`: the labels are those of whole clusters, about 100, and not of 100 single examples.
    """

    name: str
    noise: float
    candidate: float = 0.0
    baseline: float = 0.0
    whole: bool = False

    def judged(self, sample: Sample, rng: Rng) -> tuple[Floats, Floats]:
        """The judge's differences, and the labels' where there are any (else NaN)."""
        n = len(sample.d)
        if self.whole and sample.clusters is not None:
            codes = np.array(sample.clusters)
            order = rng.permutation(codes.max() + 1)
            count = int(np.searchsorted(np.cumsum(np.bincount(codes)[order]), 100)) + 1
            picked = np.isin(codes, order[:count])
        else:
            picked = np.isin(np.arange(n), rng.choice(n, 100, replace=False))
        by_judge = self._scored(sample.candidate, self.candidate, rng) - self._scored(
            sample.baseline, self.baseline, rng
        )
        return by_judge, np.where(picked, sample.d, np.nan)

    def _scored(self, truth: Floats, flattered: float, rng: Rng) -> Floats:
        n = len(truth)
        guessed = np.where(rng.random(n) < self.noise, rng.permutation(truth), truth)
        return np.where(rng.random(n) < flattered, 1.0, guessed)


JUDGES = (
    Judge("noisy", 0.4),
    Judge("generous to both arms", 0.1, 0.3, 0.3),
    Judge("for the candidate", 0.1, 0.2),
    Judge("against the candidate", 0.1, 0.0, 0.2),
    Judge("rarely wrong, for the candidate", 0.0, 0.02),
    Judge("for the candidate, whole clusters labelled", 0.1, 0.2, whole=True),
)


@dataclass(frozen=True)
class Bills:
    """Dollars a task of both arms with rare dear retries, the most one task can cost, and the true saving.

    An attempt that fails burns the token limit (three times a usual answer) and is tried again, four attempts at most;
    a task that failed once fails again at the rate `stubborn`. `whole`: what fails is a cluster, all of it, of so many
    and such sizes (see `clustered`); n is then theirs.
    """

    name: str
    n: int
    baseline_rate: float
    tuned_rate: float
    stubborn: float = 0.3
    whole: tuple[int, str] | None = None

    ATTEMPTS, CAP = 4, 3.0

    @staticmethod
    def of_clusters(name: str, groups: int, sizes: str, *rates: float) -> Bills:
        """Bills of whole clusters."""
        n = int(_sizes(groups, sizes).sum())
        return Bills(f"{groups} {sizes} clusters, {name}", n, *rates, whole=(groups, sizes))

    @property
    def clusters(self) -> list[int] | None:
        """The cluster of each task."""
        return None if self.whole is None else np.repeat(np.arange(self.whole[0]), _sizes(*self.whole)).tolist()

    def draw(self, rng: Rng) -> tuple[Floats, Floats]:
        prompt = rng.lognormal(-0.02, 0.2, self.n)  # a long example is long for both arms
        return self._arm(rng, prompt, 1.0, self.baseline_rate), self._arm(rng, prompt, 0.4, self.tuned_rate)

    def _arm(self, rng: Rng, prompt: Floats, price: float, rate: float) -> Floats:
        total, one = price * prompt * rng.lognormal(-0.02, 0.2, len(prompt)), self.clusters or range(len(prompt))
        failing = np.ones(max(one) + 1, dtype=bool)
        for attempt in range(1, self.ATTEMPTS):
            failing &= rng.random(len(failing)) < (rate if attempt == 1 else self.stubborn)
            total = total + failing[one] * price * self.CAP
        return total

    @property
    def dearest(self) -> tuple[float, float]:
        """What the pipeline knows beforehand: attempts allowed x the dearest attempt."""
        return self.ATTEMPTS * self.CAP, 0.4 * self.ATTEMPTS * self.CAP

    def saving(self) -> float:
        """Exact: E[prompt] and E[noise] are 1, and retries are a geometric sum."""
        extra = self.CAP * sum(self.stubborn**k for k in range(self.ATTEMPTS - 1))
        return 1.0 + self.baseline_rate * extra - 0.4 * (1.0 + self.tuned_rate * extra)

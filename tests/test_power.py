"""What would settle a comparison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from harness import power, stats

BIG = stats.decide_difference(np.tile([0.5, -0.5, 0.0, 0.0], 5000), min_effect=0.02)


def test_large_samples_tend_to_2_88_standard_errors():
    assert power.detectable(BIG) == pytest.approx(0.02 + 2.8753 * BIG.se, rel=2e-3)
    spread = BIG.se * np.sqrt(BIG.n + 2)
    assert power.needed(BIG, 0.03).n == pytest.approx((2.8753 * spread / 0.01) ** 2, rel=1e-2)


@given(st.integers(8, 400), st.integers(0, 100), st.sampled_from([0.0, 0.02]), st.floats(0.01, 0.5))
def test_needed_is_the_smallest_n_that_detects(n, seed, delta, gap):
    d = np.random.default_rng(seed).choice([-1.0, 0.0, 0.5, 1.0], n)
    found = stats.decide_difference(d, min_effect=delta)
    it = power.needed(found, delta + gap)
    assert it.n is not None
    assert it.more == max(0, it.n - n)
    assert (it.detectable <= it.expect) == (it.n <= n)


def test_the_power_is_that_of_the_t_test():
    half = np.random.default_rng(2).normal(0, 0.2, 30).clip(-1, 1)
    d = np.r_[half, -half]
    found = stats.decide_difference(d)
    effect = power.detectable(found) * 60 / 62
    law = scipy.stats.nct(found.df, effect / (found.se * (1 + 1 / (4 * found.df))))
    assert 1 - law.cdf(scipy.stats.t.ppf(0.975, found.df)) == pytest.approx(0.82, abs=1e-4)


def test_no_n_is_enough_for_an_effect_not_above_min_effect():
    assert power.needed(BIG, 0.02).n is None
    assert power.needed(BIG, 0.0).more is None


def test_a_stricter_level_and_clusters_need_more():
    d = np.random.default_rng(4).choice([-1.0, 0.0, 1.0], 100)
    found = stats.decide_difference(d)
    assert power.detectable(replace(found, alpha=0.01)) > power.detectable(found)
    lean = np.sort(d)
    alike = stats.decide_difference(lean, [i // 10 for i in range(100)])
    assert power.needed(alike, 0.2).n > power.needed(found, 0.2).n
    with pytest.raises(ValueError, match="power"):
        power.needed(found, 0.1, power=1.0)


def test_rare_large_losses_make_the_stated_effect_larger():
    """One direction only: a lead that is carried by large wins is found no more seldom."""
    d = np.r_[np.full(285, 0.05), np.full(15, -0.75)]
    lost, won = stats.decide_difference(d - d.mean()), stats.decide_difference(d.mean() - d)
    assert lost.se == pytest.approx(won.se)
    assert power.detectable(lost) > 1.04 * power.detectable(won)

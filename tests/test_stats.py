"""Intervals, exact tests and answers: edges, invariances, agreement with scipy and statsmodels, golden values."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness import exact, stats
from harness.agreement import corrected
from harness.evidence import evidence_of
from harness.intervals import cr2, units_of

steps = st.integers(-12, 12).map(lambda k: k / 12)
differences = st.lists(steps, min_size=1, max_size=40)
outcomes = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60)


@given(differences)
def test_plus_two_is_the_t_interval_with_two_more_rows(d):
    found = stats.plus_two(d)
    it = scipy.stats.ttest_1samp(np.r_[d, 1, -1], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((it.low, it.high), abs=1e-12)
    assert found.mean == pytest.approx(np.mean(d))
    assert found.n == len(d)
    assert found.clusters is None


@given(differences, st.integers(2, 12), st.integers(0, 5))
def test_clusters_agree_with_the_matrix_form_of_cr2(d, groups, seed):
    codes = np.random.default_rng(seed).integers(0, groups, len(d))
    found = stats.plus_two(d, codes.tolist())
    y = np.r_[d, 1.0, -1.0]
    names = np.r_[codes, [100, 101]]
    n = len(y)
    residuals, middle = y - y.mean(), np.eye(n) - np.full((n, n), 1 / n)
    variance, root = 0.0, []
    for name in np.unique(names):
        here = np.flatnonzero(names == name)
        values, vectors = np.linalg.eigh(middle[np.ix_(here, here)])
        shrink = vectors @ np.diag(values**-0.5) @ vectors.T
        variance += (np.ones(len(here)) @ shrink @ residuals[here] / n) ** 2
        root.append(middle[:, here] @ shrink @ np.ones(len(here)) / n)
    alike = units_of(np.array(d), codes.tolist()).alike
    together = np.where(names[:, None] == names, alike, 0.0)
    np.fill_diagonal(together, 1.0)
    spread = np.array(root) @ together @ np.array(root).T
    variance *= together.sum() / n**2 / np.trace(spread)
    assert found.se == pytest.approx(variance**0.5, abs=1e-12)
    assert found.df == pytest.approx(np.trace(spread) ** 2 / (spread**2).sum())


def test_the_correlation_within_clusters_is_that_of_the_analysis_of_variance():
    rng, sizes = np.random.default_rng(8), [2, 3, 5, 9, 1, 12]
    codes = np.repeat(np.arange(6), sizes)
    x = np.clip(rng.normal(0, 0.2, 6)[codes] + rng.normal(0, 0.2, len(codes)), -1, 1)
    f = scipy.stats.f_oneway(*(x[codes == i] for i in range(6))).statistic
    typical = (sum(sizes) - np.square(sizes).sum() / sum(sizes)) / 5
    assert 0 < units_of(x, codes.tolist()).alike == pytest.approx((f - 1) / (f - 1 + typical))
    assert units_of(np.linspace(0, 1, 6)[codes], codes.tolist()).alike == pytest.approx(1)
    assert units_of(np.tile([-1.0, 1.0], 8), np.repeat(np.arange(8), 2).tolist()).alike == 0
    assert units_of(np.full(32, 0.3), codes.tolist()).alike == 0


@pytest.mark.parametrize("sigma", [0.8, 1.0])
@pytest.mark.parametrize("groups", [40, 60])
def test_clusters_that_move_as_one_are_covered_whatever_their_sizes(groups, sigma):
    """With the degrees of freedom of independent rows the interval held the truth 92 to 93 % of the time."""
    rng, held = np.random.default_rng(groups), 0
    for _ in range(400):
        sizes = np.ceil(rng.lognormal(1.5, sigma, groups)).astype(int)
        d = np.repeat(rng.choice([-1.0, 0.0, 1.0], groups, p=[0.15, 0.7, 0.15]), sizes)
        found = stats.plus_two(d, np.repeat(np.arange(groups), sizes).tolist())
        held += found.low <= 0 <= found.high
    assert held / 400 >= 0.93


def test_clusters_of_equal_size_agree_with_statsmodels():
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    for size in (1, 4):
        y, codes = rng.uniform(-1, 1, 24 * size), np.repeat(np.arange(24), size)
        ols = sm.OLS(y, np.ones(len(y))).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
        factors, df = cr2(np.full(24, float(size)))
        sums = np.bincount(codes, weights=y - y.mean())
        assert float(np.linalg.norm(factors * sums)) / len(y) == pytest.approx(ols.bse[0])
        assert df == pytest.approx(23)


@given(differences, st.randoms(use_true_random=False), st.integers(1, 9))
def test_order_of_rows_and_names_of_clusters_never_matter(d, random, groups):
    names = [f"c{i % groups}" if i % 7 else None for i in range(len(d))]
    order = list(range(len(d)))
    random.shuffle(order)
    moved = [d[i] for i in order]
    renamed = [None if names[i] is None else f"other {names[i]}" for i in order]
    assert stats.decide_difference(d, names) == stats.decide_difference(moved, renamed)
    assert stats.decide_difference(d) == stats.decide_difference(moved)


def test_clusters_of_one_are_no_clusters():
    d = [1.0, 0, -1, 1, 0.0, 1]
    assert stats.decide_difference(d, list("abcdef"), binary=True) == stats.decide_difference(d, binary=True)
    assert stats.decide_difference(d, [None] * 6) == stats.decide_difference(d)


@given(outcomes)
def test_mcnemar_mid_p_agrees_with_the_binomial(d):
    won, lost = d.count(1.0), d.count(-1.0)
    p = exact.mcnemar_mid_p(won, lost)
    law = scipy.stats.binom(won + lost, 0.5)
    k = min(won, lost)
    its = 1.0 if won + lost == 0 else 1 - law.pmf(k) / 2 if won == lost else 2 * law.cdf(k) - law.pmf(k)
    assert p == pytest.approx(its, abs=1e-12)
    assert 0 < p <= 1
    assert p == exact.mcnemar_mid_p(lost, won)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=16))
def test_sign_flip_of_wins_and_losses_is_mcnemars_mid_p(d):
    assert exact.sign_flip(d) == pytest.approx(exact.mcnemar_mid_p(d.count(1.0), d.count(-1.0)), abs=1e-12)


@settings(max_examples=20)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=9, unique=True), st.integers(0, 511))
def test_exact_sign_flip_agrees_with_scipy(sizes, signs):
    d = np.array([s if signs >> i & 1 else -s for i, s in enumerate(sizes)])
    its = scipy.stats.permutation_test(
        (d,), lambda x, axis: np.abs(x.sum(axis)), permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    ties = np.mean(np.isclose(its.null_distribution, abs(d.sum()), rtol=0, atol=1e-9 * np.abs(d).sum()))
    assert exact.sign_flip(d) == pytest.approx(its.pvalue - ties / 2, abs=1e-9)


def test_drawn_sign_flip_is_near_the_exact_one_and_repeats():
    d = np.array([0.3, -0.1, 0.25, 0.4, -0.2, 0.15, 0.35, 0.05, -0.3, 0.2, 0.1, 0.45, -0.05, 0.3, 0.2, 0.1, 0.07])
    drawn = exact.sign_flip(d)
    sums = np.zeros(1)
    for x in np.abs(d):
        sums = np.concatenate([sums + x, sums - x])
    assert drawn == pytest.approx(np.mean(np.abs(sums) >= d.sum() - 1e-9), abs=0.005)
    assert drawn == exact.sign_flip(d[::-1])
    assert drawn != exact.sign_flip(d, seed=1)


def test_floats_that_tie_are_ties():
    # 0.1 + 0.2 is not 0.3 in floats; the signs + + - and - - + give the same |sum|, 0
    assert exact.sign_flip([0.1, 0.2, -0.3]) == exact.sign_flip([1, 2, -3])
    assert exact.sign_flip([0.1] * 3 + [0.3]) == exact.sign_flip([1] * 3 + [3])


@pytest.mark.parametrize("d", [[0.0], [1.0], [-1.0], [0.5]])
def test_one_example_settles_nothing(d):
    found = stats.decide_difference(d)
    assert found.answer == "inconclusive"
    assert found.low < 0 < found.high
    assert "indicative" in found.flags


def test_all_ties_have_an_interval_and_no_effect():
    found = stats.decide_difference([0.0] * 300, binary=True)
    assert (found.p, found.answer, found.label) == (1.0, "inconclusive", "equivalent")
    assert found.low == pytest.approx(-found.high)
    assert found.high > 0
    assert (found.won, found.lost, found.tied) == (0, 0, 300)
    assert stats.decide_difference([0.0] * 300, min_effect=0.05).answer == "no"


def test_zero_variance_has_no_zero_width():
    found = stats.decide_difference([0.25] * 60)
    assert found.low < 0.25 < found.high
    assert found.answer == "yes"
    assert stats.decide_difference([1.0] * 60).high == 1.0  # clipped to the range


def test_golden_values():
    d = [1.0] * 24 + [-1.0] * 10 + [0.0] * 66
    found = stats.decide_difference(d, binary=True, min_effect=0.02)
    assert (found.mean, found.low, found.high) == pytest.approx((0.14, 0.0231612, 0.2513486), abs=1e-6)
    assert found.p == pytest.approx(0.0166738, abs=1e-6)
    assert (found.answer, found.label, found.flags) == ("yes", "better", ())
    assert found.method == "plus-two t + McNemar mid-p"
    assert (found.won, found.lost, found.tied, found.lost_half) == (24, 10, 66, 0.1)


def test_small_but_certain_is_no_under_a_min_effect():
    found = stats.decide_difference([0.01] * 2000, min_effect=0.02)
    assert (found.answer, found.label) == ("no", "better")


def test_the_exact_test_is_a_second_lock():
    # seven clusters of which two lose a little: t is sure at 5 %, but 7 of 128 patterns of signs are as extreme
    each = [(2, 1.0), (2, -0.25), (5, 1.0), (3, 1.0), (3, -0.25), (3, 1.0), (4, 1.0)]
    rows = [(d, i) for i, (size, d) in enumerate(each) for _ in range(size)]
    found = stats.decide_difference([d for d, _ in rows], [i for _, i in rows], levels=(0, 1))
    assert found.low > 0
    assert found.p == 7 / 128
    assert "locked" in found.flags
    assert (found.answer, found.label) == ("inconclusive", "unclear")


@example([2 / 12, 2 / 12, 2 / 12, -0.5], 0.0, 0.05)  # a mean that is 0 but for float noise
@given(differences, st.sampled_from([0.0, 0.02, 0.1]), st.sampled_from([0.05, 0.01]))
def test_the_answer_never_contradicts_its_interval(d, delta, alpha):
    found = stats.decide_difference(d, min_effect=delta, alpha=alpha)
    if found.answer == "yes":
        assert found.low > delta
        assert found.p <= alpha
    if found.answer == "no":
        assert found.high < delta
    assert found.low <= found.mean * len(d) / (len(d) + 2) <= found.high
    mirrored = stats.decide_difference([-x for x in d], min_effect=delta, alpha=alpha)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))
    assert mirrored.p == pytest.approx(found.p)


def test_few_clusters_are_never_an_answer():
    d = [1.0] * 50
    assert stats.decide_difference(d, ["one"] * 50).answer == "inconclusive"
    five = stats.decide_difference(d, [i % 5 for i in range(50)])
    assert (five.answer, five.label, five.n_clusters) == ("inconclusive", "unclear", 5)
    assert "few_clusters" in five.flags
    twelve = stats.decide_difference(d * 4, [i % 12 for i in range(200)])
    assert twelve.flags == ("some_clusters",)
    assert twelve.answer == "yes"
    assert stats.decide_difference(d * 4, [i % 20 for i in range(200)]).flags == ()
    uneven = [i % 3 if i < 80 else 3 + i % 22 for i in range(200)]  # 25 clusters, of which three hold 80 of 200
    assert stats.decide_difference(d * 4, uneven).flags == ("some_clusters",)


def test_missing_pairs():
    d = np.array([1.0] * 40 + [-1.0] * 10 + [0.0] * 150)
    whole = stats.decide_difference(d, binary=True)
    assert whole.answer == "yes"
    few = np.r_[d, np.nan, np.nan]
    found = stats.decide_difference(few, binary=True)
    assert (found.answer, found.n, found.n_missing) == ("yes", 200, 2)
    many = stats.decide_difference(np.r_[d, [np.nan] * 5], binary=True)
    assert (many.answer, many.label) == ("inconclusive", "unclear")
    assert "missing" in many.flags
    tight = np.array([1.0] * 20 + [-1.0] * 8 + [0.0] * 172)
    assert stats.decide_difference(tight, binary=True).answer == "yes"
    turned = stats.decide_difference(np.r_[tight, [np.nan] * 4], binary=True)
    assert turned.answer == "inconclusive"
    assert "missing" in turned.flags
    ends = np.r_[tight, [0.0] * 4], np.r_[tight, [1.0] * 4]  # the baseline was wrong on them: they cannot be losses
    assert stats.decide_difference(np.r_[tight, [np.nan] * 4], binary=True, ends=ends).answer == "yes"


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.decide_difference([]),
        lambda: stats.decide_difference([np.nan]),
        lambda: stats.decide_difference([1.5]),
        lambda: stats.decide_difference([np.inf]),
        lambda: stats.decide_difference([[0.1]]),
        lambda: stats.decide_difference([0.5], binary=True),
        lambda: stats.decide_difference([0.1, 0.2], ["a"]),
        lambda: stats.decide_difference([0.1], min_effect=-0.1),
        lambda: stats.decide_difference([0.1], alpha=0),
        lambda: stats.decide_difference([0.1, np.nan], ends=([0.0], [1.0])),
        lambda: stats.plus_two([np.nan]),
        lambda: exact.sign_flip([np.nan]),
        lambda: stats.wilson(3, 2),
        lambda: stats.wilson(0, 0),
        lambda: exact.mcnemar_mid_p(-1, 2),
        lambda: stats.beats_all([]),
        lambda: stats.may_be_best([0.1, 0.2]),
        lambda: stats.not_worse([0.1], margin=-1),
        lambda: stats.decide_gate([0.1], margin=2),
    ],
)
def test_bad_numbers_are_refused(call):
    with pytest.raises(ValueError, match=r"\w"):
        call()


@settings(max_examples=25)
@given(st.lists(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=40, max_size=40), min_size=1, max_size=5))
def test_holm_shows_each_at_its_own_level(ds):
    ds[0] = [1.0] * 8 + ds[0][8:]
    found = stats.decide_holm(ds, binary=True)
    for d, f in zip(ds, found, strict=True):
        assert f == stats.decide_difference(d, binary=True, alpha=f.alpha)
    left = list(range(len(ds)))  # step down by hand
    while left:
        asked = {i: stats.decide_difference(ds[i], binary=True, alpha=0.05 / len(left)) for i in left}
        clear = [i for i in left if asked[i].answer != "inconclusive"]
        if not clear:
            break
        left.remove(clear[0])
    assert {i for i, f in enumerate(found) if f.answer == "inconclusive"} == set(left)
    assert all(found[i].alpha == pytest.approx(0.05 / len(left)) for i in left)


def test_holm_of_one_is_no_correction_and_barred_candidates_come_last():
    d = [1.0] * 30 + [0.0] * 70
    assert stats.decide_holm([d]) == (stats.decide_difference(d),)
    assert stats.decide_holm([]) == ()
    barred = [1.0] * 90 + [np.nan] * 10
    first, second = stats.decide_holm([barred, d])
    assert first.answer == "inconclusive"
    assert second.answer == "yes"
    assert second.alpha == 0.025


def test_best_of_all_needs_every_comparison():
    clear, open_, worse = [1.0] * 40 + [0.0] * 60, [0.0] * 100, [-1.0] * 40 + [0.0] * 60
    assert stats.beats_all([clear, clear])[0] == "yes"
    assert stats.beats_all([clear, open_])[0] == "inconclusive"
    assert stats.beats_all([clear, open_, worse])[0] == "no"
    assert all(f.alpha == 0.05 for f in stats.beats_all([clear, open_])[1])


def test_wilson_agrees_with_scipy():
    for k, n in ((0, 5), (3, 7), (50, 50), (41, 120)):
        it = scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
        found = stats.wilson(k, n)
        assert (found.low, found.high) == pytest.approx((it.low, it.high), abs=1e-12)


def test_bars_stay_inside_the_range():
    assert stats.bar([1, 1, 0, 1]).method == "Wilson"
    assert stats.bar([1.0] * 8 + [0.99]).high == 1.0
    assert stats.bar([0.5]).low == 0.0
    assert stats.bar([1, 1, 0, 1], ["a", "a", "b", "b"]).method == "plus-two t, clustered"


def test_not_worse_has_three_answers():
    assert stats.not_worse([0.0] * 400, margin=0.03).answer == "yes"
    assert stats.not_worse([-0.1] * 400, margin=0.03).answer == "no"
    assert stats.not_worse([0.0] * 20, margin=0.03).answer == "inconclusive"
    proven_small = stats.not_worse([-0.02] * 2000, margin=0.03)
    assert (proven_small.answer, proven_small.label) == ("yes", "worse")


def test_gate_answers_in_order():
    same = stats.decide_gate([0.0] * 10, margin=0.03, identical=True)
    assert same.answer == "pass"
    assert stats.decide_gate([0.0] * 10, margin=0.03).answer == "inconclusive"
    small = stats.decide_gate([-0.01] * 3000, margin=0.03)
    assert small.answer == "pass"
    assert small.proven_drop
    assert stats.decide_gate([-0.2] * 100, margin=0.03).answer == "fail"
    assert stats.decide_gate([-0.2] * 100, [0] * 100, margin=0.03).answer == "inconclusive"
    gone = stats.decide_gate([0.0] * 90 + [np.nan] * 10, margin=0.2, identical=True)
    assert gone.incomplete
    assert gone.answer == "inconclusive"
    assert "missing" in gone.flags


@settings(deadline=None)
@given(outcomes)
def test_gate_bounds_are_one_sided(d):
    found = stats.decide_gate(d, margin=0.03)
    its = scipy.stats.ttest_1samp(np.r_[d, 1, -1], 0)
    assert found.low == pytest.approx(max(-1, its.confidence_interval(0.90).low))
    assert found.high == pytest.approx(min(1, its.confidence_interval(0.95).high))
    se = np.r_[d, 1, -1].std(ddof=1) / np.sqrt(len(d) + 2)
    assert found.honest_margin == pytest.approx(2 * scipy.stats.t.ppf(0.95, len(d) + 1) * se)


def test_with_clusters_a_gate_fails_only_where_whole_clusters_agree():
    """Four of 45 clusters fell, others stand still: the bound is below 0, and four coins on one side are no proof."""
    groups = np.repeat(np.arange(45), 200)
    found = stats.decide_gate(np.where(groups < 4, -0.1, 0.0), groups.tolist(), margin=0.005)
    assert found.high < 0
    assert (found.answer, found.proven_drop, found.flags) == ("inconclusive", False, ("locked",))
    all_fell = stats.decide_gate(np.where(groups < 30, -0.1, 0.0), groups.tolist(), margin=0.005)
    assert (all_fell.answer, all_fell.proven_drop, all_fell.flags) == ("fail", True, ())


def test_one_large_cluster_outweighs_all_others():
    """The three largest clusters fell: what all of a cluster does at once is one thing seen, whatever its size."""
    sizes = [150, 40, 20, 10, 5, *[1] * 40]
    groups = np.repeat(np.arange(len(sizes)), sizes)
    found = stats.decide_gate(np.where(groups < 3, -0.1, 0.0), groups.tolist(), margin=0.03)
    assert found.high > 0


@pytest.mark.parametrize("sizes", [[6] * 20, [2, 3, 3, 4, 6, 18] * 4, [150, 40, 20, 10, 5, *[1] * 40]])
def test_an_unchanged_system_in_clusters_seldom_fails_and_passes_with_the_margin_that_it_was_told(sizes):
    """Answers flip together within a cluster (the cluster leans one way, or the other, between two runs)."""
    rng, names = np.random.default_rng(5), np.repeat(np.arange(len(sizes)), sizes)
    fails = passes = 0
    margin = 1.0
    for _ in range(800):
        lean = np.tanh(rng.normal(0, 3, len(sizes)))[names]
        u = rng.random(len(names))
        d = (u < 0.1 * (1 + lean)).astype(float) - (u > 1 - 0.1 * (1 - lean))
        found = stats.decide_gate(d, names.tolist(), margin=0.03)
        fails += found.answer == "fail"
        passes += found.low > -margin
        margin = found.honest_margin
    assert fails / 800 <= 0.03 + 3 * 0.006
    assert passes / 800 >= 0.93 - 3 * 0.009


def test_the_honest_margin_tends_to_3_29_standard_errors():
    d = np.tile([1.0, -1.0, 0, 0, 0, 0, 0, 0, 0, 0], 1000)
    assert stats.decide_gate(d, margin=0.03).honest_margin == pytest.approx(3.29 * d.std() / 100, rel=1e-3)


def test_levels():
    assert stats.decide_level([0.0] * 12, 1.0, at_least=False)[0] == "pass", "no rate can be beyond it"
    assert stats.decide_level([0.0] * 12, 0.0)[0] == "pass"
    assert stats.decide_level([1.0] * 100, 0.9)[0] == "pass"
    assert stats.decide_level([1.0] * 100, 0.9, at_least=False)[0] == "fail"
    assert stats.decide_level([1.0] * 50 + [0.0] * 50, 0.8)[0] == "fail"
    assert stats.decide_level([1.0] * 50 + [0.0] * 50, 0.8, at_least=False)[0] == "pass"
    assert stats.decide_level([1.0] * 8 + [0.0] * 2, 0.8)[0] == "inconclusive"
    answer, its, locked = stats.decide_level([0.0] * 47 + [1.0] * 3, 0.02, at_least=False)
    assert (answer, locked) == ("inconclusive", True)
    assert its.low > 0.02
    assert stats.decide_level([0.5] * 300, 0.4)[0::2] == ("pass", False)


def test_with_clusters_a_level_needs_the_sign_of_whole_clusters():
    """Four of 45 clusters lie under the floor, all others at it: four coins on one side settle nothing."""
    groups = np.repeat(np.arange(45), 200)
    answer, its, locked = stats.decide_level(np.where(groups < 4, 0.4, 0.5), 0.5, groups.tolist())
    assert (answer, locked, its.high < 0.5) == ("inconclusive", True, True)
    assert stats.decide_level(np.full(9000, 0.4), 0.5, groups.tolist())[0::2] == ("fail", False)
    assert stats.decide_level(np.full(9000, 0.6), 0.5, groups.tolist())[0::2] == ("pass", False)


@pytest.mark.parametrize("n", [50, 100, 200, 1000])
@pytest.mark.parametrize("limit", [0.005, 0.01, 0.02, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99])
def test_a_mean_that_is_the_limit_is_seldom_judged(n: int, limit: float):
    chance = scipy.stats.binom.pmf(range(n + 1), n, limit)
    for at_least in (True, False):
        answers = [
            stats.decide_level([1.0] * k + [0.0] * (n - k), limit, at_least=at_least)[0] if chance[k] > 1e-9 else ""
            for k in range(n + 1)
        ]
        for answer in ("pass", "fail"):
            assert sum(p for p, a in zip(chance, answers, strict=True) if a == answer) <= 0.025


def test_arms_that_may_be_best():
    rng = np.random.default_rng(1)
    ease = rng.random(300)
    good, twin, bad = ease < 0.8, ease < 0.79, ease < 0.5
    assert stats.may_be_best(np.array([good, twin, bad], dtype=float).T) == (True, True, False)
    assert stats.may_be_best(np.ones((5, 1))) == (True,)
    assert stats.may_be_best(np.array([[0.1, np.nan], [0.4, 0.4]])) == (True, True)


def test_importing_the_statistics_loads_no_heavy_module():
    code = (
        "import sys; from harness import agreement, curve, economics, power, stats;"
        "heavy = {'scipy.stats', 'scipy.optimize', 'pandas', 'torch', 'statsmodels'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def false_yes(n: int, loss: float, expected: float, alpha: float, delta: float = 0.0) -> float:
    """Exact: all gain a little, `expected` of n lose `loss`, the mean is delta; the answer hangs on how many did."""
    rate = expected / n
    gain = (rate * loss + delta) / (1 - rate)
    ds = [np.r_[np.full(n - k, gain), np.full(k, -loss)] for k in range(16)]
    said = [stats.decide_difference(d, min_effect=delta, alpha=alpha).answer == "yes" for d in ds]
    return float(sum(scipy.stats.binom.pmf(k, n, rate) for k, yes in enumerate(said) if yes))


@pytest.mark.parametrize("n", [50, 100, 300])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 8])
def test_losses_too_rare_to_be_seen_do_not_make_a_yes(n, alpha):
    """The interval alone says a false yes 5.8 to 6.2 % of the time here, and at the level of 8 candidates 2 %."""
    for loss in (0.5, 0.9, 0.99):
        for expected in (2.0, 2.8, 3.0, 4.4, 5.7, 7.4):
            assert false_yes(n, loss, expected, alpha) <= alpha + 1e-9
    assert false_yes(n, 0.99, 2.9, alpha, 0.02) <= alpha + 1e-9


def test_the_lock_against_rare_losses_is_a_binomial_test():
    one_lost = [*[0.05] * 99, -0.9]
    assert exact.rare_losses(one_lost) == pytest.approx(scipy.stats.binomtest(1, 100, 0.05 / 0.95, "less").pvalue)
    assert exact.rare_losses([0.05] * 100) == pytest.approx((1 - 0.05 / 1.05) ** 100)
    assert exact.rare_losses([-x for x in one_lost]) == exact.rare_losses(one_lost)
    assert exact.rare_losses([0.05] * 100, 0.02) == pytest.approx((1 - 0.03 / 1.05) ** 100)
    assert exact.rare_losses([-0.9] * 5) < 0.05
    assert exact.rare_losses([0.0] * 5) == 1.0
    found = stats.decide_difference([0.0295] * 100)
    assert (found.answer, found.flags, found.low > 0) == ("inconclusive", ("locked",), True)


def lost_whole(groups, size, lost, loss, gain):
    """Differences and clusters where `lost` of the groups lose everything and all others gain a little."""
    codes = [i // size for i in range(groups * size)]
    return [-loss if c < lost else gain for c in codes], codes


@pytest.mark.parametrize("groups", [15, 25, 60, 120])
@pytest.mark.parametrize("loss", [0.6, 1.0])
@pytest.mark.parametrize("expected", [0.7, 1.5, 2.4, 2.9, 3.6, 5.5, 7.2])
def test_clusters_lost_whole_seldom_pass_for_a_lead(groups, loss, expected):
    """Exact: the chance, over how many clusters are lost, of a yes or of an interval without the truth, which is 0."""
    rate = expected / groups
    yes = outside = 0.0
    for lost in range(groups):
        chance = float(scipy.stats.binom.pmf(lost, groups, rate))
        if chance < 1e-6:
            continue
        found = stats.decide_difference(*lost_whole(groups, 6, lost, loss, loss * rate / (1 - rate)))
        yes += chance * (found.answer == "yes")
        outside += chance * (not found.low <= 0 <= found.high)
    assert yes <= 0.025
    assert outside <= 0.07


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_no_claim_of_clusters_is_made_by_ones_too_rare_to_be_seen(lost):
    """Of 40 clusters so many are lost whole on average, and the others gain as much: in truth nothing differs."""
    rng, codes = np.random.default_rng(lost), np.repeat(np.arange(40), 6)
    wrong = dict.fromkeys(("kept", "left out"), 0)
    for _ in range(200):
        gone = (rng.random(40) < lost / 40)[codes]
        d, names = np.where(gone, -0.6, 0.6 * lost / (40 - lost)), codes.tolist()
        wrong["kept"] += stats.not_worse(d - 0.02, names, margin=0.02, levels=(0.6, 0.58)).answer == "yes"
        wrong["left out"] += not stats.may_be_best(np.c_[np.full(len(d), 0.6), 0.6 + d], names)[0]
    assert max(wrong.values()) / 200 <= 0.05, wrong


def test_a_judge_of_whom_nearly_all_is_labelled_passes_no_rare_losses_for_a_lead():
    """500 rows, all but ten of them labelled, and 2.9 lost whole on average; exact over how many are lost."""
    rate, yes = 0.0058, 0.0
    for lost in range(20):
        truth = np.where(np.arange(500) < lost, -1.0, rate / (1 - rate))
        found = stats.decide_difference(corrected(truth, np.where(np.arange(500) < 490, truth, np.nan)))
        yes += float(scipy.stats.binom.pmf(lost, 500, rate)) * (found.answer == "yes")
    assert yes <= 0.025


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("sees", [False, True])
def test_labels_correct_a_judge_who_may_not_see_the_clusters_that_are_lost(sees, whole):
    """One in 20 is lost whole; labels are those of 100 examples, or of 17 clusters, in which none may be lost."""
    rng, codes = np.random.default_rng(9), np.repeat(np.arange(80), 6)
    yes = held = 0
    for _ in range(200):
        truth = np.where((rng.random(80) < 0.05)[codes], -0.6, 0.6 * 0.05 / 0.95)
        judge = np.clip((truth if sees else 0.03) + rng.normal(0, 0.02, len(truth)), -1, 1)
        of = rng.choice(80, 17, replace=False)[:, None] == codes if whole else rng.choice(480, 100, replace=False)
        label = np.full(len(truth), np.nan)
        label[of.any(axis=0) if whole else of] = truth[of.any(axis=0) if whole else of]
        found = stats.decide_difference(corrected(judge, label), codes.tolist())
        yes += found.answer == "yes"
        held += found.low <= 0 <= found.high
    assert yes / 200 <= 0.05
    assert held / 200 >= 0.93


def test_the_interval_of_clusters_allows_for_whole_ones_lost():
    """As if they came as often as Clopper and Pearson let them: scipy's, at 2.5 % on either side."""
    d, codes = lost_whole(40, 5, 1, 0.9, 0.12)
    found = stats.decide_difference(d, codes)
    most = scipy.stats.binomtest(1, 40).proportion_ci(0.95).high
    assert found.low == pytest.approx(0.12 - most * (0.12 + 0.9))
    assert "widened" in found.method
    assert found.rare is not None
    assert (found.rare.sizes, found.rare.units, found.rare.lost) == ((5.0,), (40,), (1,))
    assert (found.rare.share(found.rare.lost), found.rare.large, found.rare.rest) == pytest.approx((0.025, 0.9, 0.12))
    assert stats.not_worse(d, codes, margin=0.1).low == found.low
    gate = stats.decide_gate(d, codes, margin=0.1)
    assert (gate.answer, gate.low > found.low) == ("pass", True), "a pass says that these examples kept their scores"
    none_lost, never = lost_whole(40, 5, 0, 0.9, 0.12), 1 - 0.025 ** (1 / 40)
    assert stats.decide_difference(*none_lost).low == pytest.approx(0.12 - never * (0.12 + 1))
    assert stats.decide_difference(*none_lost, levels=(0.0, 1.0)).low > 0.1  # there is nothing to lose
    noisy = np.random.default_rng(5).choice([-1.0, 0.0, 1.0], 600)
    assert "widened" not in stats.decide_difference(noisy, [i // 6 for i in range(600)]).method


def test_the_interval_of_clusters_allows_for_the_largest_being_the_ones_that_fail():
    """Of 6 documents of 9 rows and 30 of 3 one of the large is lost: the worst of "large ones fail" and "any may"."""
    sizes = [9] * 6 + [3] * 30
    codes = [i for i, size in enumerate(sizes) for _ in range(size)]
    found = stats.decide_difference([-0.8 if c == 0 else 0.2 for c in codes], codes)
    large, any_one = (scipy.stats.binomtest(1, n).proportion_ci(0.95).high for n in (6, 36))
    share = max(large * 54 / 144, any_one)
    assert share == large * 54 / 144
    assert found.low == pytest.approx(0.2 - share * (0.2 + 0.8))
    few = stats.decide_difference([-0.8 if c == 35 else 0.2 for c in codes], codes)  # a small one is lost
    never = 1 - 0.025 ** (1 / 6)
    assert few.low == pytest.approx(0.2 - (never * 54 / 144 + 3 / 144) * (0.2 + 0.8))


def test_the_largest_cluster_lost_is_a_loss_that_was_seen():
    """More than all of the largest cannot be lost: what is seen of them hides nothing."""
    sizes = [20] + [3] * 100
    codes = [i for i, size in enumerate(sizes) for _ in range(size)]
    d = np.array([-0.6 if c == 0 else 0.4 for c in codes])
    found = stats.decide_difference(d, codes)
    assert (found.low > 0, found.answer, found.flags) == (True, "yes", ())
    assert exact.rare_losses([-12.0, *[1.2] * 100], 0.0, sizes) < 1e-6


@pytest.mark.parametrize("groups", [30, 60, 120])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_large_clusters_lost_whole_seldom_pass_for_a_lead(groups, rate):
    """Only documents of 18 rows, one in six, overflow; exact over how many are lost."""
    sizes = np.resize([2, 3, 3, 4, 6, 18], groups)
    large, codes = np.flatnonzero(sizes == 18), np.repeat(np.arange(groups), sizes)
    share, yes = rate * 18 * len(large) / sizes.sum(), 0.0
    for lost in range(len(large) + 1):
        d = np.where(np.isin(codes, large[:lost]), -0.6, 0.6 * share / (1 - share))
        chance = float(scipy.stats.binom.pmf(lost, len(large), rate))
        yes += chance * (stats.decide_difference(d, codes.tolist()).answer == "yes")
    assert yes <= 0.025


@pytest.mark.parametrize("groups", [20, 30, 60])
def test_clusters_lost_where_the_baseline_is_at_its_best_do_not_pass_for_a_lead(groups):
    """It is right throughout one document in twenty and in one row of fifty elsewhere; exact over how many are lost."""
    rng, codes, yes = np.random.default_rng(3), np.repeat(np.arange(groups), 5), 0.0
    base = (rng.random(len(codes)) < 0.02).astype(float)
    base[-1] = 1.0
    for lost in range(groups):
        gone = codes < lost
        candidate = np.where(gone, 0.0, np.minimum(base + 0.05 / 0.95, 1.0))
        d = candidate - np.where(gone, 1.0, base)
        found = stats.decide_difference(d, codes.tolist(), levels=stats.levels_of(candidate, base))
        yes += float(scipy.stats.binom.pmf(lost, groups, 0.05)) * (found.answer == "yes")
    assert yes <= 0.025
    assert stats.levels_of(np.array([0.2, np.nan]), np.array([0.0, 1.0])) == (0.0, 1.0)
    assert stats.levels_of(np.array([np.nan]), np.array([1.0])) is None


@example([-0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4], 7, 0.0, 0.05)
@given(differences, st.integers(2, 9), st.sampled_from([0.0, 0.02, 0.1]), st.sampled_from([0.05, 0.01]))
def test_the_interval_of_clusters_says_what_the_test_of_lost_ones_says(d, groups, delta, alpha):
    it = evidence_of(np.array(d), [i * i % groups for i in range(len(d))], False, 0)
    (low, high), (t_low, t_high) = it.interval(alpha), it.bounds(alpha)
    assert low <= t_low
    assert high >= t_high
    if it.units.clustered and abs(it.unseen(delta) - alpha) > 1e-6:
        assert t_low <= delta or (low > delta) == (it.unseen(delta) < alpha)
        assert t_high >= delta or (high < delta) == (it.unseen(delta) < alpha)

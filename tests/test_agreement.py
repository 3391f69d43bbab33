"""Judges against labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import stats
from harness.agreement import corrected, kappa


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=5, max_size=60))
def test_kappa_agrees_with_statsmodels(pairs):
    from statsmodels.stats.inter_rater import cohens_kappa

    table = np.zeros((4, 4))
    for a, b in pairs:
        table[a, b] += 1
    found = kappa([a for a, _ in pairs], [b for _, b in pairs])
    assert found.agreement == pytest.approx(np.trace(table) / len(pairs))
    if found.kappa is None:
        assert len({x for pair in pairs for x in pair}) == 1
        return
    with np.errstate(invalid="ignore", divide="ignore"):  # its z value, which is not looked at
        its = cohens_kappa(table)
    assert found.kappa == pytest.approx(its.kappa)
    half = 1.959963984540054 * np.sqrt(max(its.var_kappa, 0))
    assert found.high == pytest.approx(min(1, its.kappa + half), abs=1e-6)


def test_kappa_of_one_label_is_unknown_not_perfect():
    assert kappa(["yes"] * 9, ["yes"] * 9).kappa is None
    assert kappa([1, 0, 1, 0], [1, 0, 1, 0]).kappa == pytest.approx(1)
    with pytest.raises(ValueError, match="same items"):
        kappa([1], [1, 0])


def test_labels_take_out_a_judges_bias():
    rng = np.random.default_rng(0)
    truth = rng.choice([-1.0, 0.0, 1.0], 2000, p=[0.2, 0.6, 0.2])
    judge = np.where(rng.random(2000) < 0.2, 1.0, truth)  # favours the candidate one time in five
    label = np.where(np.arange(2000) < 300, truth, np.nan)
    found = stats.decide_difference(corrected(judge, label))
    assert stats.plus_two(judge).low > 0.1, "by the judge alone the candidate is better"
    assert found.low < 0 < found.high
    assert found.answer == "inconclusive"
    assert found.n_labelled == 300
    assert found.mean == pytest.approx(judge.mean() + (label - judge)[:300].mean())
    assert found.high - found.low < 2 * 1.96 * truth[:300].std() / np.sqrt(300), "narrower than the labels alone"
    shuffled = rng.permutation(2000)
    assert stats.decide_difference(corrected(judge[shuffled], label[shuffled])) == found


def test_the_columns_variance_is_that_of_the_estimate():
    """var(f) / n + var(e) / m + 2 cov(f, e) / n (Angelopoulos 2023), but for the two rows."""
    rng = np.random.default_rng(5)
    judge, label = rng.uniform(-1, 1, 4000), np.full(4000, np.nan)
    label[:800] = np.clip(0.5 * judge[:800] + rng.uniform(-0.5, 0.5, 800), -1, 1)
    e = (label - judge)[:800]
    exact = judge.var() / 4000 + e.var() / 800 + 2 * np.cov(judge[:800], e)[0, 1] / 4000
    assert stats.decide_difference(corrected(judge, label)).se ** 2 == pytest.approx(exact, rel=0.02)


def test_all_labelled_is_the_labels_by_their_own_interval():
    truth = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 200)
    found, plain = stats.decide_difference(corrected(np.zeros(200), truth)), stats.decide_difference(truth)
    assert (found.mean, found.low, found.high) == pytest.approx((plain.mean, plain.low, plain.high))
    assert found.n_labelled == 200


def test_few_labels_or_clusters_of_them_answer_nothing():
    truth = np.full(400, 1.0)
    label = np.where(np.arange(400) < 99, truth, np.nan)
    few = stats.decide_difference(corrected(truth, label))
    assert (few.answer, few.label, few.flags) == ("inconclusive", "unclear", ("labels",))
    label[99] = 1.0
    assert stats.decide_difference(corrected(truth, label)).answer == "yes"
    assert stats.decide_difference(corrected(truth, label, fewest=99)).answer == "inconclusive"
    clusters = [i // 25 for i in range(400)]  # 16 clusters, labels in 4 of them
    few = stats.decide_difference(corrected(truth, label), clusters)
    assert (few.answer, few.n_clusters) == ("inconclusive", 4)
    assert "few_clusters" in few.flags
    nothing = stats.decide_difference(corrected(truth, np.full(400, np.nan)))
    assert (nothing.answer, nothing.n_labelled) == ("inconclusive", 0)
    assert "by judge only" in nothing.method


def test_what_the_judge_could_not_say_is_missing_and_may_turn_the_answer():
    rng = np.random.default_rng(2)
    truth = rng.choice([-1.0, 0.0, 1.0], 400, p=[0.1, 0.55, 0.35])
    label = np.where(np.arange(400) < 150, truth, np.nan)
    judge = np.where(np.arange(400) >= 396, np.nan, truth)
    found = stats.decide_difference(corrected(judge, label))
    assert (found.n_missing, found.n, found.answer) == (4, 396, "yes")
    judge[380:] = np.nan
    found = stats.decide_difference(corrected(judge, label))
    assert (found.answer, found.flags) == ("inconclusive", ("missing",))


@pytest.mark.parametrize(
    ("judge", "label"), [([0.1, 2], [0.1, 0.2]), ([0.1, 0.2], [0.1, 2]), ([0.1, 0.2], [0.1]), ([[0.1]], [[0.1]])]
)
def test_bad_labels_are_refused(judge, label):
    with pytest.raises(ValueError, match=r"label|lie in"):
        corrected(judge, label)

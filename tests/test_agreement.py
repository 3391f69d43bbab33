"""Judges against labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import stats
from harness.agreement import corrected_difference, kappa


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
    found = corrected_difference(judge, label)
    assert stats.plus_two(judge).low > 0.1, "by the judge alone the candidate is better"
    assert found.low < 0 < found.high
    assert found.judge_mean == pytest.approx(judge.mean())
    assert found.mean == pytest.approx(judge.mean() + (label - judge)[:300].mean())
    assert found.high - found.low < 2 * 1.96 * truth[:300].std() / np.sqrt(300), "narrower than the labels alone"


def test_all_labelled_is_the_labels_and_a_useless_judge_changes_nothing_on_average():
    truth = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 200)
    found = corrected_difference(np.zeros(200), truth)
    assert found.mean == pytest.approx(truth.mean())
    assert found.n_labelled == 200


@pytest.mark.parametrize(
    ("judge", "label"), [([0.1], [0.1]), ([0.1, 2], [0.1, 0.2]), ([np.nan, 0], [0, 0]), ([0.1, 0.2], [0.1])]
)
def test_bad_labels_are_refused(judge, label):
    with pytest.raises(ValueError, match=r"label|lie in"):
        corrected_difference(judge, label)

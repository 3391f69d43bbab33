"""The learning curve."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from harness.curve import fit_curve

SIZES = [15, 30, 60, 120, 240]


def scores_of(level, noise=0.05, seed=0, examples=80):
    rng = np.random.default_rng(seed)
    means = np.array([level(m) for m in SIZES])[:, None, None]
    return np.clip(means + rng.normal(0, noise, (len(SIZES), 2, examples)), 0, 1)


def test_an_exact_power_law_is_found():
    exact = scores_of(lambda m: 0.8 - 0.9 * m**-0.5, noise=0.0)
    found = fit_curve(SIZES, exact, draws=50)
    assert found.at(480) == pytest.approx(0.8 - 0.9 * 480**-0.5, abs=2e-3)
    assert found.gain == pytest.approx(0.9 * (240**-0.5 - 480**-0.5), abs=2e-3)
    assert found.gain_low == pytest.approx(found.gain) == pytest.approx(found.gain_high), "no noise, no width"


def test_the_fit_is_no_worse_than_scipys():
    table = scores_of(lambda m: 0.7 - 1.2 * m**-0.8, seed=3)
    found = fit_curve(SIZES, table, draws=20)
    x, y = np.array(SIZES, float), table.mean(axis=(1, 2))
    its = least_squares(lambda p: p[0] - p[1] * x ** -p[2] - y, (0.5, 1, 0.5), bounds=([0, 0, 0.02], [1, 99, 2]))
    ours = np.square(np.array([found.at(m) for m in SIZES]) - y).sum()
    assert ours <= 2 * its.cost + 1e-5


def test_flat_and_falling_curves_gain_nothing():
    for level in (lambda m: 0.6, lambda m: 0.8 - m / 1000):
        found = fit_curve(SIZES, scores_of(level), draws=200)
        assert found.gain_low == pytest.approx(0, abs=1e-6)
        assert found.gain < 0.01
        assert 0 <= found.a <= 1
        assert found.b >= 0


def test_it_never_reads_past_twice_the_data_nor_depends_on_order():
    table = scores_of(lambda m: 0.8 - 0.9 * m**-0.5)
    clusters = [f"c{i // 4}" for i in range(80)]
    found = fit_curve(SIZES, table, clusters, draws=100)
    with pytest.raises(ValueError, match="480"):
        found.at(481)
    order = np.random.default_rng(1).permutation(80)
    moved = fit_curve(SIZES, table[:, :, order], [clusters[i] for i in order], draws=100)
    assert (moved.gain, moved.gain_low, moved.gain_high) == pytest.approx((found.gain, found.gain_low, found.gain_high))


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [(SIZES[:3], (3, 2, 9)), (SIZES[::-1], (5, 2, 9)), (SIZES, (5, 1, 9)), (SIZES, (4, 2, 9)), (SIZES, (5, 18))],
)
def test_too_little_is_refused(sizes, shape):
    with pytest.raises(ValueError, match="sizes"):
        fit_curve(sizes, np.full(shape, 0.5))
    with pytest.raises(ValueError, match="lie in"):
        fit_curve(SIZES, np.full((5, 2, 3), np.nan))

"""The sampling error of unit means: what more answers, and finite units, make of it."""

import numpy as np
import pytest

from roxmodel.moments.condense import Design
from roxmodel.moments.source import SourceMoments
from roxmodel.moments.unit_means import growth_of, mean_noise

EXACT = 1e-12
WITHIN = np.array([[2.0, 0.5], [0.5, 1.0]])


@pytest.fixture
def staff():
    design = Design(codes=np.array([0, 0, 0, 0, 1, 1]), units=["north", "south"])
    columns = [np.array([1.0, 2, 3, 4, 5, 6]), np.array([1.0, 2, np.nan, 4, np.nan, 2])]
    return SourceMoments.from_columns("employee", ["a", "b"], columns, design)


def test_pairs_count_those_who_answered_both(staff):
    wanted = [[[2 / 4, 0.5 * 3 / 12], [0.5 * 3 / 12, 1 / 3]], [[2 / 2, 0.5 / 2], [0.5 / 2, 1.0]]]
    np.testing.assert_allclose(mean_noise(staff, WITHIN), wanted, rtol=EXACT)


def test_twice_the_answers_halve_it(staff):
    np.testing.assert_allclose(mean_noise(staff, WITHIN, 2.0), mean_noise(staff, WITHIN) / 2, rtol=EXACT)


def test_nobody_answers_twice(staff):
    finite = staff.with_eligible([4.0, 3.0])
    np.testing.assert_allclose(growth_of(finite, 2.0), [1.0, 1.5])
    assert mean_noise(finite, WITHIN)[0, 0, 0] == 0.0
    np.testing.assert_allclose(mean_noise(finite, WITHIN)[1, 0, 0], 2 * (1 / 2 - 1 / 3), rtol=EXACT)
    np.testing.assert_allclose(mean_noise(finite, WITHIN, 2.0)[1, 0, 0], 0.0, atol=EXACT)

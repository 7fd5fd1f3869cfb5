"""Items that never met: a covariance made whole, and what pairs seen together identify."""

import numpy as np
import pytest
from scipy.optimize import minimize

from roxmodel.implied.identification import completed, thin, together_of

SOLVED = 1e-6  # an iteration that stops at changes of 1e-9


def versions(p, blocks):
    """Pairs known when an anchor (item 0) is asked with one block of the others."""
    known = np.eye(p, dtype=bool)
    for block in blocks:
        at = [0, *block]
        known[np.ix_(at, at)] = True
    return known


def covariance_of(p, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(p, 2))
    return (a @ a.T + np.diag(rng.uniform(0.3, 2, p))) * np.outer(*2 * [rng.uniform(0.01, 100, p)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("blocks", [[[1], [2]], [[1, 2], [3, 4]], [[1, 2], [3], [4]], [[1, 2], [2, 3], [3, 4]]])
def test_a_completion_keeps_what_is_known_and_adds_no_partial_correlation(seed, blocks):
    p = 1 + max(map(max, blocks))
    whole, known = covariance_of(p, seed), versions(p, blocks)
    found = completed(np.where(known, whole, np.nan_to_num(np.nan)), known)
    np.testing.assert_allclose(found[known], whole[known], rtol=1e-12)
    precision = np.linalg.inv(found)
    sd = np.sqrt(np.diag(precision))
    assert np.abs((precision / np.outer(sd, sd))[~known]).max() < SOLVED
    np.testing.assert_allclose(found, found.T)


def test_a_ring_of_versions_by_brute_force():
    """Four items known in a ring: no clique holds three, and the largest determinant is found by search."""
    known = np.eye(4, dtype=bool)
    for k in range(4):
        known[k, (k + 1) % 4] = known[(k + 1) % 4, k] = True
    aim = np.where(known, 0.6, 0.0) + 0.4 * np.eye(4)

    def lost(values):
        trial = aim.copy()
        trial[0, 2] = trial[2, 0] = values[0]
        trial[1, 3] = trial[3, 1] = values[1]
        sign, size = np.linalg.slogdet(trial)
        return -size if sign > 0 and np.linalg.eigvalsh(trial)[0] > 0 else 1e3

    best = minimize(lost, [0.4, 0.4], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    found = completed(aim, known)
    np.testing.assert_allclose([found[0, 2], found[1, 3]], best.x, atol=1e-6)


def test_where_nothing_has_the_known_correlations_they_are_drawn_to_0():
    known = np.eye(4, dtype=bool)
    for k in range(4):
        known[k, (k + 1) % 4] = known[(k + 1) % 4, k] = True
    aim = np.where(known, 0.95, 0.0) + 0.05 * np.eye(4)
    aim[0, 3] = aim[3, 0] = -0.95
    found = completed(aim, known)
    assert np.linalg.eigvalsh(found)[0] > 0
    share = found[known & ~np.eye(4, dtype=bool)] / aim[known & ~np.eye(4, dtype=bool)]
    np.testing.assert_allclose(share, share[0])
    assert 0.6 < share[0] < 0.95


def test_complete_and_constant():
    whole = covariance_of(3, 1)
    assert completed(whole, np.ones((3, 3), dtype=bool)) is whole
    whole[1] = whole[:, 1] = 0.0
    found = completed(whole, versions(3, [[1], [2]]))
    assert (found[1] == 0).all()
    assert found[0, 2] == whole[0, 2]


def test_together_counts_cases():
    seen = np.array([[True, True, False], [True, False, True]])
    np.testing.assert_array_equal(together_of(seen, np.array([3.0, 4.0])), [[7, 3, 4], [3, 3, 0], [4, 0, 4]])


def test_small_studies_whose_items_all_met_are_not_thin():
    assert not thin(together_of(np.ones((6, 3), dtype=bool))).any()
    assert thin(np.array([[50.0, 3.0], [3.0, 40.0]]))[0, 1]

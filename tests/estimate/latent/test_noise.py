"""The sampling error of unit means, by formula and by brute force."""

from itertools import combinations

import numpy as np
import pytest

from roxmodel.errors import EstimationError
from roxmodel.estimate.latent.sample import noise_of
from roxmodel.moments.condense import Design
from roxmodel.moments.linked import SourceMoments, mean_noise

EXACT = 1e-10
SIGMA = np.array([[1.0, 0.4, 0.2], [0.4, 2.0, 0.5], [0.2, 0.5, 0.7]])


def moments_of(answers, codes, **design):
    own = Design(codes=codes, units=list(range(codes.max() + 1)), **design)
    return SourceMoments.from_columns("employee", ["a", "b", "c"], list(answers.T), own)


def rows_of(seed=0, units=8, holes=0.3):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(units), rng.integers(1, 7, units))
    answers = rng.normal(size=(len(codes), 3))
    answers[rng.random(answers.shape) < holes] = np.nan
    return answers, codes


def by_brute_force(answers, codes, weight=None, eligible=None):
    """L (I ⊗ Σ) Lᵀ with L the map from answers to unit means; with N eligible from their deviations (1/N each)."""
    weight = np.ones(len(answers)) if weight is None else weight
    found = np.zeros((codes.max() + 1, 3, 3))
    for unit in range(codes.max() + 1):
        rows = np.flatnonzero(codes == unit)
        people = len(rows) if eligible is None else int(eligible[unit])
        maps = np.zeros((3, people * 3))
        for item in range(3):
            there = [k for k, row in enumerate(rows) if not np.isnan(answers[row, item])]
            total = weight[rows[there]].sum()
            for k in there:
                maps[item, 3 * k + item] = weight[rows[k]] / total
            if eligible is not None and there:
                maps[item, item::3] -= 1 / people
        found[unit] = maps @ np.kron(np.eye(people), SIGMA) @ maps.T
    return found


def test_complete_answers():
    answers, codes = rows_of(holes=0.0)
    found = mean_noise(moments_of(answers, codes), SIGMA)
    np.testing.assert_allclose(found, SIGMA / np.bincount(codes)[:, None, None], rtol=EXACT)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("finite", [False, True])
def test_means_are_linear_maps_of_answers(seed, weighted, finite):
    answers, codes = rows_of(seed)
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.5, 2, len(answers)) if weighted else None
    eligible = np.bincount(codes) + rng.integers(0, 5, codes.max() + 1).astype(float) if finite else None
    found = mean_noise(moments_of(answers, codes, weight=weight, eligible=eligible), SIGMA)
    expected = by_brute_force(answers, codes, weight, eligible)
    np.testing.assert_allclose(found, expected, rtol=EXACT, atol=EXACT)
    assert (np.linalg.eigvalsh(found)[:, 0] > -1e-12).all()


def test_the_scale_of_weights_does_not_matter():
    answers, codes = rows_of()
    weight = np.random.default_rng(1).uniform(0.5, 2, len(answers))
    one, two = (mean_noise(moments_of(answers, codes, weight=w), SIGMA) for w in (weight, 1e6 * weight))
    np.testing.assert_allclose(one, two, rtol=EXACT)


def test_equal_weights_are_none():
    answers, codes = rows_of()
    one, two = (mean_noise(moments_of(answers, codes, weight=w), SIGMA) for w in (np.full(len(answers), 3.0), None))
    np.testing.assert_allclose(one, two, rtol=EXACT)


def test_frequencies_are_rows_that_occur_again():
    answers, codes = rows_of()
    times = np.random.default_rng(1).integers(1, 4, len(answers)).astype(float)
    again = np.repeat(np.arange(len(answers)), times.astype(int))
    one = mean_noise(moments_of(answers, codes, frequency=times), SIGMA)
    np.testing.assert_allclose(one, mean_noise(moments_of(answers[again], codes[again]), SIGMA), rtol=EXACT)


def test_everybody_answered():
    answers, codes = rows_of(holes=0.0)
    found = mean_noise(moments_of(answers, codes, eligible=np.bincount(codes).astype(float)), SIGMA)
    assert (found == 0).all()


def test_where_the_eligible_are_not_known_they_are_many():
    answers, codes = rows_of()
    eligible = np.where(np.arange(8) % 2, np.nan, 50.0)
    one = mean_noise(moments_of(answers, codes, eligible=eligible), SIGMA)
    none = mean_noise(moments_of(answers, codes), SIGMA)
    some = mean_noise(moments_of(answers, codes, eligible=np.full(8, 50.0)), SIGMA)
    np.testing.assert_allclose(one[1::2], none[1::2], rtol=EXACT)
    np.testing.assert_allclose(one[::2], some[::2], rtol=EXACT)
    everywhere = mean_noise(moments_of(answers, codes, eligible=np.full(8, np.nan)), SIGMA)
    np.testing.assert_allclose(everywhere, none, rtol=EXACT)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_simple_random_sampling_by_enumeration(n):
    """Every sample of n out of 6 people: the covariance of their mean is S² (1 / n - 1 / N)."""
    people = np.random.default_rng(2).normal(size=(6, 3))
    means = np.array([people[list(chosen)].mean(axis=0) for chosen in combinations(range(6), n)])
    exact = np.cov(means, rowvar=False, bias=True) if len(means) > 1 else np.zeros((3, 3))
    spread = np.cov(people, rowvar=False)
    own = moments_of(people[:n], np.zeros(n, dtype=int), eligible=np.array([6.0]))
    np.testing.assert_allclose(mean_noise(own, spread), exact[None], rtol=EXACT, atol=1e-14)


def test_two_items_asked_of_different_people_by_enumeration():
    """One item of n_a people, another of n_b others: their means vary together by -S / N."""
    people = np.random.default_rng(4).normal(size=(6, 3))
    pairs = []
    for chosen in combinations(range(6), 4):
        for first in combinations(chosen, 2):
            others = [k for k in chosen if k not in first]
            pairs.append([people[list(first), 0].mean(), people[others, 1].mean()])
    exact = np.cov(np.array(pairs), rowvar=False, bias=True)
    answers = np.full((4, 3), np.nan)
    answers[:2, 0], answers[2:, 1], answers[:, 2] = 1.0, 2.0, 3.0
    own = moments_of(answers, np.zeros(4, dtype=int), eligible=np.array([6.0]))
    found = mean_noise(own, np.cov(people, rowvar=False))[0]
    np.testing.assert_allclose(found[:2, :2], exact, rtol=EXACT)


def test_the_sample_lays_noise_out_over_units_and_items(tiny):
    model, frames = tiny.model(2), tiny.frames(8, 2)
    frames = (frames[0][frames[0]["key"] != "u002"], *frames[1:])
    sample = tiny.sample(model, tiny.study(model, frames))
    found = noise_of(sample.means, sample.sources)
    for source in sample.sources:
        own = mean_noise(source.moments, source.within.covariance)
        there = np.flatnonzero(source.rows >= 0)
        np.testing.assert_allclose(found[np.ix_(there, source.at, source.at)], own[source.rows[there]], rtol=EXACT)
    assert (found[2][:2] == 0).all()
    assert (found[:, 4] == 0).all()
    assert (found[:, :2, 2:] == 0).all()


def test_an_item_with_one_mean_everywhere_is_refused(tiny):
    """Up to rounding: every unit gives the same four answers, in another order."""
    model, frames = tiny.model(2), tiny.frames(12, 2, sizes=(4, 5))
    rng = np.random.default_rng(0)
    answers = np.concatenate([rng.permutation([0.1, 0.2, 0.7, 1.3]) for _ in range(12)])
    frames = (frames[0].assign(e1=answers), *frames[1:])
    with pytest.raises(EstimationError, match="'e1' has the same mean in all units"):
        tiny.sample(model, tiny.study(model, frames))

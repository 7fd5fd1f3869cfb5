"""Unit means side by side, of one wave or of several, and their sampling error."""

import numpy as np
import pytest

from roxmodel.errors import DataError
from roxmodel.moments.condense import Design
from roxmodel.moments.linked import LinkedMoments, SourceMoments, UnitFigures, UnitMeans, growth_of, mean_noise

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


def wave(number, seed):
    """Two surveys and figures, keyed by unit and wave; the guests of one unit are asked in the first wave only."""
    rng = np.random.default_rng(seed)
    units = [(name, number) for name in ("north", "south", "west")]
    staff = Design(codes=np.repeat(np.arange(3), [4, 2, 3]), units=units)
    guests = Design(codes=np.repeat(np.arange(2 if number > 1 else 3), 3), units=units[: 2 if number > 1 else 3])
    sources = (
        SourceMoments.from_columns("employee", ["a", "b"], list(rng.normal(size=(2, 9))), staff),
        SourceMoments.from_columns("customer", ["c"], list(rng.normal(size=(1, len(guests.codes)))), guests),
    )
    return LinkedMoments(sources, UnitFigures(("d",), tuple(units), rng.normal(size=(3, 1))))


def test_waves_are_rows_of_their_own():
    """Merged, the means of two waves are those of each, and errors of one wave do not covary with the other's."""
    first, second = wave(1, seed=5), wave(2, seed=6)
    items, within = ("c", "a", "d", "b"), {"employee": WITHIN, "customer": np.array([[3.0]])}
    both, one, two = (UnitMeans.of(moments, items) for moments in (first + second, first, second))
    assert both.units == tuple(sorted((*one.units, *two.units)))
    at = [[both.units.index(unit) for unit in part.units] for part in (one, two)]
    assert [source.moments.source for source in both.sources] == ["customer", "employee"]
    for rows, part in zip(at, (one, two), strict=True):
        np.testing.assert_array_equal(both.values[rows], part.values)
        np.testing.assert_array_equal(both.noise(within)[rows], part.noise(within))
    assert np.isnan(both.values[both.units.index(("west", 2)), 0])
    assert both.noise(within).shape == (6, 4, 4)


def test_figures_have_no_error_and_unknown_items_are_named():
    moments = wave(1, seed=5)
    means = UnitMeans.of(moments, ["a", "d"])
    noise = means.noise({"employee": WITHIN[:1, :1]})
    assert (noise[:, 0, 0] > 0).all()
    assert not noise[:, 1].any()
    np.testing.assert_allclose(means.noise({}), 0.0)
    np.testing.assert_allclose(means.spread(noise)[1], np.std(moments.figures.values))
    with pytest.raises(DataError, match="hold nothing of 'e'"):
        UnitMeans.of(moments, ["a", "e"])

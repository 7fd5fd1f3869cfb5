"""Respondents by unit and pattern of missing answers."""

import numpy as np
import pytest

from roxmodel.errors import DataError
from roxmodel.moments.cells import Cells
from roxmodel.moments.condense import Design

EXACT = 1e-12
UNITS = ["south", "north", 7, "west"]


def rows(n=60, p=3, seed=0, holes=0.3):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, p)) + 4
    values[rng.random((n, p)) < holes] = np.nan
    values[0] = np.nan  # somebody who answered nothing
    return values, rng.integers(-1, 3, n)  # "west" has nobody


def cells_of(values, codes, units=UNITS, reading=None, **design):
    names = [f"i{k}" for k in range(values.shape[1])]
    return Cells.from_columns(names, list(values.T), Design(codes=codes, units=units, **design), reading)


def by_hand(values, codes, units=UNITS, times=None):
    """(unit, pattern) -> respondents, mean, cross-products."""
    times = np.ones(len(values)) if times is None else times
    found = {}
    for key in {(c, tuple(~np.isnan(v))) for v, c in zip(values, codes, strict=True) if c >= 0}:
        if not any(key[1]):
            continue
        at = [k for k in range(len(values)) if codes[k] == key[0] and tuple(~np.isnan(values[k])) == key[1]]
        own, n = np.repeat(np.nan_to_num(values[at]), times[at].astype(int), axis=0), times[at].sum()
        rest = own - own.mean(axis=0)
        found[units[key[0]], key[1]] = (n, own.mean(axis=0) * key[1], rest.T @ rest * np.outer(key[1], key[1]))
    return found


def as_dict(cells):
    scatter = {int(c): s for c, s in zip(cells.several, cells.scatter, strict=True)}
    zero = np.zeros((len(cells.items),) * 2)
    return {
        (cells.units[u], tuple(cells.seen[p])): (cells.n[c], cells.mean[c], scatter.get(c, zero))
        for c, (u, p) in enumerate(zip(cells.unit, cells.pattern, strict=True))
    }


def assert_equal(found, expected):
    assert set(found) == set(expected)
    for key, (n, mean, scatter) in expected.items():
        assert found[key][0] == n
        np.testing.assert_allclose(found[key][1], mean, rtol=EXACT, atol=EXACT)
        np.testing.assert_allclose(found[key][2], scatter, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("holes", [0.0, 0.3, 0.8])
def test_cells_by_hand(holes):
    values, codes = rows(holes=holes)
    cells = cells_of(values, codes)
    assert_equal(as_dict(cells), by_hand(values, codes))
    assert set(cells.units) == set(UNITS)
    assert cells.seen.any(axis=1).all()
    assert len({*zip(cells.unit, cells.pattern, strict=True)}) == len(cells.n)


def test_order_of_rows_and_units_does_not_matter():
    values, codes = rows()
    order = np.random.default_rng(1).permutation(len(values))
    one, two = cells_of(values, codes), cells_of(values[order], codes[order])
    assert_equal(as_dict(two), as_dict(one))
    turned = cells_of(values, np.where(codes >= 0, 3 - codes, -1), units=UNITS[::-1])
    assert turned.units == one.units
    assert_equal(as_dict(turned), as_dict(one))


def test_frequencies_are_rows_that_occur_again():
    values, codes = rows()
    times = np.random.default_rng(2).integers(0, 4, len(values)).astype(float)
    again = np.repeat(np.arange(len(values)), times.astype(int))
    found = as_dict(cells_of(values, codes, frequency=times))
    assert_equal(found, as_dict(cells_of(values[again], codes[again])))


def test_reversed_items_are_read_reversed():
    values, codes = rows()
    signs, offsets = np.array([1.0, -1.0, 1.0]), np.array([0.0, 8.0, 0.0])
    found = as_dict(cells_of(values, codes, reading=(signs, offsets)))
    assert_equal(found, as_dict(cells_of(offsets + signs * values, codes)))


def test_scatter_by_pattern_counts_units_as_often_as_said():
    values, codes = rows()
    cells = cells_of(values, codes)
    times = np.array([2.0, 0.0, 1.0, 3.0])
    place = {unit: k for k, unit in enumerate(cells.units)}
    expected = np.zeros((len(cells.seen), 3, 3))
    for (unit, pattern), (_, _, scatter) in as_dict(cells).items():
        expected[[tuple(s) for s in cells.seen].index(pattern)] += times[place[unit]] * scatter
    np.testing.assert_allclose(cells.scatter_of(times), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(cells.scatter_of(), cells.scatter_of(np.ones(4)), rtol=EXACT)


def test_many_cells_in_small_blocks(monkeypatch):
    values, codes = rows(400, seed=3)
    one = cells_of(values, codes)
    monkeypatch.setattr("roxmodel.moments.cells._BLOCK", 3)
    assert_equal(as_dict(cells_of(values, codes)), as_dict(one))


def test_far_means_lose_no_digits():
    values, codes = rows()
    found, far = as_dict(cells_of(values, codes)), as_dict(cells_of(values + 1e7, codes))
    for key, (_, _, scatter) in found.items():
        np.testing.assert_allclose(far[key][2], scatter, rtol=1e-6, atol=1e-7)


def test_sampling_weights_are_refused():
    values, codes = rows()
    with pytest.raises(DataError, match="sampling weights"):
        cells_of(values, codes, weight=np.ones(len(values)))

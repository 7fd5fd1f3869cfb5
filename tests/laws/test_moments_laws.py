"""Laws of moments: parts add up to the whole in any order, and no label, order or scale matters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roxmodel.moments.condense import Design
from roxmodel.moments.linked import SourceMoments
from roxmodel.moments.single import Moments

pytestmark = pytest.mark.slow

EXACT = 1e-10  # algebra: another order of the same sums, relative to the largest entry or the answers' sd of 1

FIELDS = ("respondents", "n", "weight", "weight2", "pair_mean", "scatter")
NAMES = ("a", "b", "c")

# A mean of 1e5 is stored to 1e-11, so that cross-products of a handful of answers (sd 1), which the merge takes
# about such means, are still known to EXACT. tests/test_moments.py has 1e6 with more answers a unit.
LEVEL = 1e5

laws = settings(max_examples=60, deadline=None)

worlds = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "n": st.integers(1, 60),
        "p": st.integers(1, 3),
        "groups": st.integers(1, 5),
        "missing": st.sampled_from([0.0, 0.3, 0.9]),
        "level": st.sampled_from([0.0, LEVEL]),
        "weighted": st.booleans(),
        "counted": st.booleans(),
    }
)


class World:
    """Respondents with answers, units, weights and frequencies, all random."""

    def __init__(self, seed, n, p, groups, missing, level, weighted, counted):
        self.rng = rng = np.random.default_rng(seed)
        self.table = level + rng.normal(size=(n, p))
        self.table[rng.random((n, p)) < missing] = np.nan
        self.codes = rng.integers(-1, groups, n)
        self.weight = rng.uniform(0.1, 5, n) if weighted else None
        self.frequency = rng.integers(0, 4, n) if counted else None
        self.items = NAMES[:p]

    def condense(self, rows=slice(None), keys=str):
        """Moments of some rows, which know only the units they come from."""
        present, codes = np.unique(self.codes[rows], return_inverse=True)
        if len(present) and present[0] == -1:
            present, codes = present[1:], codes - 1
        design = Design(
            codes.astype(np.int64),
            [keys(code) for code in present.tolist()],
            None if self.weight is None else self.weight[rows],
            None if self.frequency is None else self.frequency[rows],
        )
        return SourceMoments.from_columns("s", self.items, list(self.table[rows].T), design)

    def three_parts(self):
        part = self.rng.integers(0, 3, len(self.codes))
        return [self.condense(part == k) for k in range(3)]


def same(got, wanted, least=1.0):
    wanted = np.asarray(wanted, dtype=float)
    scale = np.max(np.abs(wanted), initial=least, where=np.isfinite(wanted))
    np.testing.assert_allclose(got, wanted, rtol=EXACT, atol=EXACT * scale)


def equal(a, b, fields=FIELDS):
    assert a.units == b.units
    for name in fields:
        same(getattr(a, name), getattr(b, name), np.max(b.weight, initial=1.0))


@laws
@given(worlds)
def test_the_parts_add_up_to_the_whole_in_any_order(world):
    world = World(**world)
    a, b, c = world.three_parts()
    whole = world.condense()
    equal((a + b) + c, whole)
    equal(a + (b + c), whole)
    equal(c + (b + a), whole)


@laws
@given(worlds)
def test_row_order_does_not_matter(world):
    world = World(**world)
    equal(world.condense(world.rng.permutation(len(world.codes))), world.condense())
    equal(world.condense(np.argsort(world.codes, kind="stable")), world.condense())


@laws
@given(worlds)
def test_expanded_rows_equal_frequencies(world):
    world = World(**{**world, "counted": True})
    counted = world.condense()
    rows = np.repeat(np.arange(len(world.codes)), world.frequency)
    world.frequency = None
    expanded = world.condense(rows)
    known = [counted.units.index(unit) for unit in expanded.units]  # a unit of frequencies 0 has no expanded row
    for name in FIELDS:
        same(getattr(expanded, name), getattr(counted, name)[known])
    same(expanded.within_covariance, counted.within_covariance)
    same(expanded.within_df, counted.within_df)


@laws
@given(worlds, st.floats(1e-6, 1e6))
def test_the_scale_of_the_weights_does_not_matter(world, scale):
    world = World(**{**world, "weighted": True})
    before = world.condense()
    world.weight = world.weight * scale
    after = world.condense()
    for name in ("n", "pair_mean", "within_covariance", "within_df", "item_variance"):
        same(getattr(after, name), getattr(before, name))


@laws
@given(worlds)
def test_unit_names_do_not_matter(world):
    world = World(**world)
    plain, renamed = world.condense(keys=int), world.condense(keys=lambda code: f"unit {9 - code}")
    for name in FIELDS:
        same(getattr(renamed, name), getattr(plain, name)[::-1])
    same(renamed.within_covariance, plain.within_covariance)


@laws
@given(worlds, st.lists(st.sampled_from([-2.0, -1.0, 1.0, 2.0]), min_size=3, max_size=3))
def test_affine_is_condensing_changed_answers(world, sign):
    world = World(**{**world, "level": 0.0})
    s, shift = np.array(sign[: len(world.items)]), np.full(len(world.items), 8.0)
    got = world.condense().affine(s, shift)
    world.table = shift + s * world.table
    equal(got, world.condense())


@laws
@given(worlds)
def test_variances_are_never_negative(world):
    world = World(**world)
    got = world.condense()
    assert (got.scatter.diagonal(axis1=1, axis2=2) >= 0).all()
    np.testing.assert_array_equal(np.isnan(got.item_variance), got.counts < 2)


@laws
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(2, 20), min_size=3, max_size=3), st.sampled_from([0.0, LEVEL]))
def test_single_level_moments_add_up_too(seed, sizes, level):
    table = level + np.random.default_rng(seed).normal(size=(sum(sizes), 2))
    a, b, c = (Moments.from_rows(part, ["x", "y"]) for part in np.split(table, np.cumsum(sizes)[:2]))
    for got in ((a + b) + c, a + (b + c), c + (b + a)):
        assert got.n == sum(sizes)
        same(got.mean, table.mean(axis=0))
        same(got.covariance, np.cov((table - level).T))

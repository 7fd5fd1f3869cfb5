"""A construct's score in a unit is the mean of its items' unit means."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.survey.composites import item_mean, unit_composites

EXACT = 1e-12


def test_mean_of_what_is_there():
    mean, partial = item_mean(np.array([[1.0, 3.0], [2.0, np.nan], [np.nan, np.nan]]))
    np.testing.assert_array_equal(mean, [2.0, 2.0, np.nan])
    assert partial == 1


def test_nothing_at_all_is_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, partial = item_mean(np.full((3, 2), np.nan))
    assert np.isnan(mean).all()
    assert partial == 0


def test_scores_by_hand(model, frames):
    staff = frames["employee"].assign(p3=6 - frames["employee"]["p3"])
    composites = unit_composites(model, rox.Study(model, **frames, by="shop").moments)
    assert composites.names == ("pride", "drive", "value", "revenue")
    assert composites.units == tuple("ABCDEFG")
    by_hand = staff.groupby("shop")[["p1", "p2", "p3"]].mean().mean(axis=1)
    np.testing.assert_allclose(composites.values[:, 0], by_hand, rtol=EXACT)
    np.testing.assert_array_equal(composites.values[:, 3], [10.0, 12.0, 6.5, 8.0, 7.0, np.nan, 9.5])
    assert np.isnan(composites.values[6, 2])


def test_scores_on_some_items_only_are_counted(model, frames):
    staff = frames["employee"].copy()
    staff.loc[staff["shop"].isin(["B", "C"]), "p2"] = np.nan
    composites = unit_composites(model, rox.Study(model, **{**frames, "employee": staff}, by="shop").moments)
    assert composites.partial.tolist() == [2, 0, 0, 0]


@pytest.mark.parametrize("name", ["names", "units"])
def test_composites_do_not_change(name, model, frames):
    composites = unit_composites(model, rox.Study(model, **frames, by="shop").moments)
    with pytest.raises(AttributeError):
        setattr(composites, name, ())

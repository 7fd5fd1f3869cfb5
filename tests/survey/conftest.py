"""A small study with every difficulty once: a reversed item, holes, a unit that some frames lack."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox

Frames = dict[str, pd.DataFrame]


@pytest.fixture(scope="session")
def model() -> rox.RoxModel:
    five, nps = rox.Likert(1, 5), rox.NPS()
    pride = [rox.Item(name="p1"), rox.Item(name="p2"), rox.Item(name="p3", reverse=True)]
    return rox.RoxModel(
        name="shops",
        constructs=[
            rox.Construct(name="pride", factor="pride", source="employee", items=pride, scale=five),
            rox.Construct(name="drive", factor="behaviours", source="employee", items=["d1", "d2"], scale=five),
            rox.Construct(name="value", factor="value_drivers", source="customer", items=["v1", "v2"], scale=nps),
            rox.Construct(name="revenue", factor="outcomes", source="unit", items=["revenue"]),
        ],
        edges=["pride -> drive", "drive -> value", "value -> revenue"],
    )


@pytest.fixture
def frames() -> Frames:
    """Respondents of the shops A to G (customers know no G, the books no F), one without a shop; 10 % holes."""
    rng = np.random.default_rng(7)
    shops = np.array(list("ABCDEFG"))
    level = rng.normal(0, 0.8, len(shops))

    def survey(units: int, people: int, items: list[str], low: int, high: int) -> pd.DataFrame:
        at = rng.integers(0, units, people)
        spread, middle = (high - low) / 5, (high + low) / 2
        answers = middle + spread * (level[at, None] + rng.normal(0, 1, (people, len(items))))
        table = pd.DataFrame(np.clip(np.rint(answers), low, high), columns=items)
        table = table.mask(rng.random(table.shape) < 0.1)
        table.insert(0, "shop", shops[at])
        return table

    staff = survey(7, 90, ["p1", "p2", "p3", "d1", "d2"], 1, 5)
    staff["p3"] = 6 - staff["p3"]
    staff.loc[3, "shop"] = None
    guests = survey(6, 150, ["v1", "v2"], 0, 10)
    books = pd.DataFrame({"shop": list("GEDCBA"), "revenue": [9.5, 7.0, 8.0, 6.5, 12.0, 10.0]})
    books["staff"] = [60, 70, 65, 80, 90, np.nan]
    books["region"] = ["south", "north", "south", None, "north", "north"]
    return {"employee": staff, "customer": guests, "unit": books}


@pytest.fixture
def same() -> Callable[..., None]:
    """Assert that two studies hold the same moments, bit for bit or within `tolerance` (relative)."""

    def check(one: rox.Study, two: rox.Study, tolerance: float = 0.0) -> None:
        assert one.units == two.units
        for a, b in zip(one.moments.sources, two.moments.sources, strict=True):
            assert (a.source, a.items, a.units) == (b.source, b.items, b.units)
            for name in ("respondents", "n", "weight", "weight2", "pair_mean", "scatter"):
                left, right = getattr(a, name), getattr(b, name)
                np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance, err_msg=name)
        figures = one.moments.figures, two.moments.figures
        assert (figures[0] is None) == (figures[1] is None)
        if figures[0] is not None and figures[1] is not None:
            np.testing.assert_array_equal(figures[0].values, figures[1].values)

    return check

"""Levels of the units against the conditional expectation given all answers, and what of them is shown."""

from dataclasses import replace

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.errors import EstimationError
from roxmodel.estimate.latent.both_levels import estimate_jointly
from roxmodel.estimate.latent.latent_fit import lower_roots, predicted_levels
from roxmodel.estimate.latent.solve import solve_between
from roxmodel.survey.composites import suppressed

EXACT = 1e-8  # two ways of inverting the same matrices


def dense_levels(tiny, model, frames, solved):
    """E[η | answers] and its root variance, unit by unit, in points of the first items."""
    table, theta, sample = solved
    sigma, mu = tiny.moments(table, model.names, sample.items, theta)
    within = np.zeros_like(sigma)
    for source in sample.sources:
        within[np.ix_(source.at, source.at)] = source.within.covariance
    markers = [sample.items.index(c.item_names[0]) for c in model.constructs]
    across = sigma[markers].copy()  # covariance of constructs and between parts of items: no residual
    for k, marker in enumerate(markers):
        for row in table.of("variance"):
            if row.left == sample.items[marker] and row.left not in model.names:
                across[k, marker] -= theta[row.free - 1] if row.free else (row.value or 0.0)
    dense = tiny.dense.of(model, frames)
    values, errors = [], []
    for (y, variable, _), covariance in zip(dense.units, dense.matrices(sigma, within), strict=True):
        gain = np.linalg.solve(covariance, across[:, variable].T).T
        values.append(mu[markers] + gain @ (y - mu[variable]))
        left = across[range(len(markers)), markers] - np.einsum("kn,kn->k", gain, across[:, variable])
        errors.append(np.sqrt(np.maximum(left, 0.0)))
    return np.array(values), np.array(errors)


@pytest.mark.slow
@pytest.mark.parametrize("items", [2, 3])
@pytest.mark.parametrize("holes", [0.0, 0.25])
def test_levels_are_conditional_expectations(tiny, items, holes):
    model, frames = tiny.model(items), tiny.frames(14, items, seed=2, holes=holes)
    frames = (
        frames[0][frames[0]["key"] != "u004"],
        frames[1],
        frames[2].assign(m=frames[2]["m"].mask([k == 5 for k in range(14)])),
    )
    sample = tiny.sample(model, tiny.study(model, frames))
    known = solve_between(model, sample)
    if holes:
        found = estimate_jointly(model, sample, known, modelled=False, scaling="marker")
        known, sample = found.solution, found.sample
    levels, doubts = predicted_levels(known, replace(sample, min_group=1))
    values, errors = dense_levels(tiny, model, frames, (known.table, known.found.theta, sample))
    np.testing.assert_allclose(levels.values, values, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(levels.errors, errors, rtol=1e-5, atol=1e-6)
    roots = lower_roots(doubts)
    np.testing.assert_allclose(roots @ np.swapaxes(roots, 1, 2), doubts, rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diagonal(doubts, axis1=1, axis2=2)), errors, rtol=1e-5, atol=1e-6)


def test_levels_with_a_reliability(tiny):
    model, frames = tiny.model(3, money={"reliability": 0.7}), tiny.frames(30, 3, seed=2)
    fit = tiny.fit(model, frames)
    plain = tiny.fit(tiny.model(3), frames)
    with_error, exact = fit.unit_scores(), plain.unit_scores()
    np.testing.assert_allclose(exact["money"], frames[2]["m"], rtol=1e-9)
    assert np.std(with_error["money"]) < np.std(frames[2]["m"])
    assert (with_error["money_se"] > 0).all()
    assert np.abs(exact["money_se"]).max() < 1e-6


@pytest.mark.parametrize("scaling", ["marker", "standardized"])
def test_levels_are_in_points_of_the_first_item(tiny, scaling):
    model, frames = tiny.model(3), tiny.frames(30, 3, seed=5)
    one = tiny.fit(model, frames, scaling=scaling).unit_scores()
    scaled = (frames[0].assign(e1=10 * frames[0]["e1"] + 3), *frames[1:])
    two = tiny.fit(model, scaled, scaling=scaling).unit_scores()
    np.testing.assert_allclose(two["staff"], 10 * one["staff"] + 3, rtol=1e-4)
    np.testing.assert_allclose(two["staff_se"], 10 * one["staff_se"], rtol=1e-3)
    np.testing.assert_allclose(two["guests"], one["guests"], rtol=1e-4)


def test_table(tiny):
    model, frames = tiny.model(3), tiny.frames(20, 3, seed=4, sizes=(2, 12))
    frames = (frames[0][frames[0]["key"] != "u003"], *frames[1:])
    study = tiny.study(model, frames, min_group=5)
    table = rox.fit(model, study, method="linked").unit_scores()
    names = list(model.names)
    assert list(table.columns) == ["key", *names, *(f"{n}_se" for n in names), "predicted", "hidden"]
    assert table["key"].tolist() == list(study.units)
    assert table.loc[table["key"] == "u003", "predicted"].item() == "staff"
    for name, frame in (("staff", frames[0]), ("guests", frames[1])):
        counts = frame.groupby("key").size().reindex(study.units, fill_value=0).to_numpy(float)
        hidden = suppressed(counts, 5)
        assert hidden.any()
        assert (table[name].isna().to_numpy() == hidden).all()
        assert (table[f"{name}_se"].isna().to_numpy() == hidden).all()
        assert ([name in row.split(", ") for row in table["hidden"]] == hidden).all()
    assert table["money"].notna().all()
    everybody = rox.fit(model, tiny.study(model, frames, min_group=1), method="linked").unit_scores()
    assert everybody[names].notna().all().all()


def test_a_document_holds_no_unit(tiny, tmp_path):
    model, frames = tiny.model(3), tiny.frames(12, 3, seed=4)
    fit = tiny.fit(model, frames)
    path = fit.save(tmp_path / "fit.json")
    text = path.read_text(encoding="utf-8")
    assert not any(key in text for key in frames[2]["key"])
    for name in model.names:  # nor the lowest or highest level, which is that of one unit
        for level in (fit.unit_scores()[name].min(), fit.unit_scores()[name].max(), frames[2]["m"].max()):
            assert f"{level:.6g}" not in text
    loaded = rox.load(path)
    assert loaded.method == "linked"
    assert loaded.population.units is None
    with pytest.raises(EstimationError, match="A document holds no unit"):
        loaded.unit_scores()
    np.testing.assert_allclose(loaded.edges()["estimate"], fit.edges()["estimate"])
    np.testing.assert_allclose(loaded.edges(level="within")["estimate"], fit.edges(level="within")["estimate"])


def test_other_methods_have_none(tiny):
    model, frames = tiny.model(3), tiny.frames(20, 3)
    with pytest.raises(EstimationError, match="method 'path'"):
        rox.fit(model, tiny.study(model, frames), method="path").unit_scores()


def test_shown_scores_use_no_answers_of_a_small_group():
    """A unit with one employee and no customers: what is shown of it does not follow the one person's answers."""
    world = rox.datasets.make_world(60, seed=5)
    key = world.unit["branch"].min()
    alone = world.employee["branch"].ne(key) | ~world.employee["branch"].duplicated()
    staff, guests = world.employee[alone], world.customer[world.customer["branch"] != key]
    shown = []
    for answer in (1, 5):
        people = staff.copy()
        people.loc[people["branch"] == key, people.columns.drop("branch")] = answer
        study = rox.Study(world.model, employee=people, customer=guests, unit=world.unit, by="branch")
        table = rox.fit(world.model, study).unit_scores().set_index("branch")
        assert "pride" in table.loc[key, "hidden"]
        assert np.isnan(table.loc[key, "pride"])
        shown.append(table.loc[key, ["value", "loyalty"]].astype(float))
    assert (abs(shown[1] - shown[0]) < 0.05).all()  # the parameters move a little

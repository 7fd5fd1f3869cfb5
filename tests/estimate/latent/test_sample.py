"""What is estimated from: moments against numpy, weights, groups, places, what is left out."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import DataError, EstimationError
from roxmodel.estimate.latent.row_sample import sample_of_frame, sample_of_moments
from roxmodel.estimate.options import SemOptions

EXACT = {"rtol": 1e-11, "atol": 1e-12}  # the same sums in another order
NAMES = ["a1", "a2", "a3", "b1"]
MODEL = rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\nb1 ~ a")


def answers(n=60, seed=1, holes=0.0):
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(n, 1)) + rng.normal(size=(n, 4))) * [1, 1e5, 1e-4, 1] + [1e3, 0, 1, -5]
    frame = pd.DataFrame(rows, columns=NAMES).mask(rng.random((n, 4)) < holes)
    return frame.assign(g=np.where(np.arange(n) % 3, "n", "s"), w=rng.uniform(0.5, 3, n), f=np.arange(n) % 3)


def read(frame, **options):
    return sample_of_frame(MODEL, frame, SemOptions(bootstrap=2, **options))


def own_units(sample, group=0):
    target = sample.groups[group].target
    return target.mean * sample.scale, target.covariance * np.outer(sample.scale, sample.scale)


def test_moments_of_complete_rows():
    frame = answers()
    sample = read(frame)
    mean, covariance = own_units(sample)
    np.testing.assert_allclose(mean, frame[NAMES].mean(), rtol=1e-10)
    np.testing.assert_allclose(covariance, frame[NAMES].cov(ddof=0), rtol=1e-9)
    np.testing.assert_allclose(np.diag(sample.groups[0].target.covariance), 1.0, **EXACT)
    assert sample.n == 60
    assert sample.complete
    np.testing.assert_array_equal(sample.groups[0].places, np.arange(60))


def test_a_large_shift_costs_no_digit():
    frame = answers()
    far = frame.assign(a1=frame["a1"] + 1e7)
    np.testing.assert_allclose(own_units(read(far))[1], own_units(read(frame))[1], rtol=1e-6)


@pytest.mark.parametrize("option", ["weight", "frequency"])
def test_weighted_moments(option):
    frame = answers()
    column = {"weight": "w", "frequency": "f"}[option]
    sample = read(frame, **{option: column})
    own = frame[column].to_numpy()
    mean, covariance = own_units(sample)
    np.testing.assert_allclose(mean, np.average(frame[NAMES], axis=0, weights=own), rtol=1e-10)
    np.testing.assert_allclose(covariance, np.cov(frame[NAMES], rowvar=False, aweights=own, ddof=0), rtol=1e-9)
    assert sample.n == pytest.approx(60 if option == "weight" else own.sum())
    assert sample.groups[0].sampling == (option == "weight")
    assert len(sample.groups[0].rows) == (60 if option == "weight" else 40)


def test_groups_stand_in_the_order_of_appearance_in_common_units():
    frame = answers()
    sample = read(frame, group="g")
    assert [group.name for group in sample.groups] == ["s", "n"]
    assert [group.n for group in sample.groups] == [20, 40]
    for place, group in enumerate(sample.groups):
        own = frame.loc[frame["g"] == group.name, NAMES]
        np.testing.assert_allclose(own_units(sample, place)[1], own.cov(ddof=0), rtol=1e-9)
        np.testing.assert_array_equal(group.places, own.index)
    np.testing.assert_allclose(sample.scale, frame[NAMES].std(ddof=0), rtol=1e-9)
    np.testing.assert_allclose(sample.mean, frame[NAMES].mean(), rtol=1e-9)


def test_sampling_weights_keep_each_groups_share():
    frame = answers()
    sample = read(frame, group="g", weight="w")
    share = frame.groupby("g")["w"].sum() / frame["w"].sum()
    assert sample.n == pytest.approx(60)
    assert {g.name: g.n / 60 for g in sample.groups} == pytest.approx(share.to_dict())


def test_listwise_and_fiml():
    frame = answers(holes=0.1)
    frame.loc[7, NAMES] = np.nan
    complete = frame[NAMES].dropna()
    sample = read(frame)
    assert sample.dropped == 60 - len(complete)
    assert "listwise" in sample.notes[0]
    np.testing.assert_array_equal(sample.groups[0].places, complete.index)
    sample = read(frame, missing="fiml")
    assert sample.dropped == 1
    assert "no answer at all" in sample.notes[0]
    assert not sample.complete
    assert sample.groups[0].patterns.weight.sum() == pytest.approx(1.0)
    assert np.linalg.eigvalsh(sample.groups[0].target.covariance)[0] > 0


def test_rows_that_miss_what_the_data_give_are_left_out_even_with_fiml():
    frame = answers().assign(x=np.random.default_rng(2).normal(size=60))
    frame.loc[:4, "x"] = frame.loc[10:12, "a1"] = np.nan
    model = rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\na ~ x")
    sample = sample_of_frame(model, frame, SemOptions(missing="fiml"))
    assert sample.n == 55
    assert "(x)" in sample.notes[0]
    assert "exogenous='free'" in sample.notes[0]
    assert sample_of_frame(model.replace(exogenous="free"), frame, SemOptions(missing="fiml")).n == 60
    fit = rox.fit(rox.RoxModel.from_lavaan("a1 ~ x\nb1 ~ a1 + x"), frame, method="sem", missing="fiml")
    assert fit.indices()["chisq"] == pytest.approx(0.0, abs=1e-6)


def test_no_respondents_own_answer_is_kept():
    frame = answers()
    sample = read(frame)
    ordered = np.sort(frame["a1"])
    assert sample.low[0] == pytest.approx(ordered[:5].mean())
    assert sample.high[0] == pytest.approx(ordered[-5:].mean())
    assert read(frame.iloc[:9]).low is None


def test_rows_are_kept_only_where_something_needs_them():
    frame = answers()
    assert sample_of_frame(MODEL, frame, SemOptions()).groups[0].rows is None
    assert sample_of_frame(MODEL, frame, SemOptions(estimator="MLR")).groups[0].rows is not None
    assert sample_of_frame(MODEL, frame, SemOptions(cluster="g")).groups[0].rows is not None


def test_reversed_items_are_turned():
    items = [rox.Item(name="a1"), rox.Item(name="a2", reverse=True)]
    scale = rox.Likert(1, 5)
    constructs = [
        rox.Construct(name="a", factor="pride", source="employee", items=items, scale=scale),
        rox.Construct(name="b", factor="outcomes", source="employee", items=["b1", "b2"], scale=scale),
    ]
    model = rox.RoxModel(name="m", constructs=constructs, edges=["a -> b"])
    frame = pd.DataFrame(np.random.default_rng(1).integers(1, 6, (50, 4)), columns=["a1", "a2", "b1", "b2"])
    sample = sample_of_frame(model, frame, SemOptions())
    np.testing.assert_allclose(sample.mean, [frame["a1"].mean(), 6 - frame["a2"].mean(), *frame[["b1", "b2"]].mean()])
    of_moments = sample_of_moments(model, rox.Moments.from_rows(frame.to_numpy(), list(frame)))
    np.testing.assert_allclose(of_moments.mean, sample.mean)
    theirs, ours = (one.groups[0].target.covariance for one in (of_moments, sample))
    np.testing.assert_allclose(theirs, ours, **EXACT)


def test_moments_have_divisor_n():
    frame = answers()
    sample = sample_of_moments(MODEL, rox.Moments.from_rows(frame[NAMES].to_numpy(), NAMES))
    mean, covariance = own_units(sample)
    np.testing.assert_allclose(mean, frame[NAMES].mean(), rtol=1e-9)
    np.testing.assert_allclose(covariance, frame[NAMES].cov(ddof=0), rtol=1e-9)
    assert sample.groups[0].rows is None


def test_moments_are_checked_whoever_made_them():
    names, bad = tuple(NAMES), np.eye(4) + 0.5 - 0.5 * np.eye(4)
    bad[0, 1] = bad[1, 0] = -0.9
    with pytest.raises(DataError, match="not positive definite"):
        sample_of_moments(MODEL, rox.Moments(names, 100, None, bad))


def test_one_cluster_in_a_group_is_refused():
    frame = answers()
    with pytest.raises(EstimationError, match="Group 's' has one cluster only"):
        read(frame.assign(c=np.where(frame["g"] == "s", 0, np.arange(60))), group="g", cluster="c")
    frame.loc[frame["g"] == "s", "a1"] = np.nan
    with pytest.raises(EstimationError, match="rows that are left have one cluster only"):
        read(frame, cluster="g")

"""A fit of several groups, one of them as a fit of its own, and edges compared between them."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import EstimationError, RoxError
from roxmodel.result.groups import holm

# the rows of the reference cases miss their model by design, and a fit says so
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")

EXACT = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture(scope="module")
def configural(chain_model, chain_rows):
    return rox.fit(chain_model, chain_rows, method="sem", group="region")


def test_a_group_of_a_configural_fit_is_the_fit_of_its_rows(configural, chain_model, chain_rows):
    for name, rows in chain_rows.groupby("region"):
        view, alone = configural.group(name), rox.fit(chain_model, rows, method="sem", means=True)
        ours, theirs = view.parameters().set_index("id"), alone.parameters().set_index("id")
        assert set(ours.index) == set(theirs.index)
        columns = ["estimate", "se", "ci_low", "ci_high", "standardized"]
        np.testing.assert_allclose(ours.loc[theirs.index, columns], theirs[columns], rtol=1e-5, atol=1e-7)
        mine, other = view.effects("influencers", "loyalty"), alone.effects("influencers", "loyalty")
        pd.testing.assert_frame_equal(mine, other, rtol=1e-5, atol=1e-8)
        assert view.population.n == alone.population.n == len(rows)
        np.testing.assert_allclose(view.population.mean, alone.population.mean, rtol=1e-9)
        np.testing.assert_allclose(view.population.covariance, alone.population.covariance, rtol=1e-5)
        for one, two in zip(view.measures, alone.measures, strict=True):
            np.testing.assert_allclose(one.weights, two.weights, rtol=1e-5)
            np.testing.assert_allclose(one.signs, two.signs, rtol=1e-5)
            np.testing.assert_allclose(one.offsets, two.offsets, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(one.errors, two.errors, rtol=1e-5)


def test_a_group_numbers_its_parameters_anew(metric):
    for name in ("north", "south"):
        view = metric.group(name)
        free = sorted({row.free for row in view.table if row.free})
        assert free == list(range(1, len(free) + 1)) == list(range(1, len(view.theta) + 1))
        assert view.vcov.shape == (len(free), len(free))
        whole = metric.parameters().query("group == @name")
        np.testing.assert_array_equal(view.parameters()["estimate"], whole["estimate"])
        np.testing.assert_array_equal(view.parameters()["se"], whole["se"])
        se = np.sqrt(np.diag(view.vcov))[[row.free - 1 for row in view.table if row.free]]
        np.testing.assert_allclose(se, view.parameters().query("free > 0")["se"], **EXACT)
        assert set(view.parameters()["group"]) == {""}
        assert not view.parameters()["id"].str.contains("@").any()


def test_a_group_says_what_it_is(metric):
    view = metric.group("south")
    text = view.summary()
    assert "DOUBTFUL (dependence): Rows of one 'branch'" in text.partition("chain (south)")[0]  # said first
    assert "\nchain (south): 7 edges, method 'sem' (MLR), n = 120" in text
    assert "Group 'south' of a fit of 2 groups" in text
    assert "15 of its parameters are held equal" in text
    assert view.indices().drop(["n"]).isna().all()
    assert view.draws(5, seed=1).shape == (5, len(view.theta))
    assert view.to_mermaid().count("-->") == 7
    run = rox.simulate(view, [rox.Intervention(name="coaching", shift={"pride": 0.5})], horizon=1, draws=50, seed=1)
    shown = run.effects().set_index("construct")["mean"]
    assert shown["loyalty"] == pytest.approx(0.5 * view.effects("pride", "loyalty")["estimate"].iloc[-1], rel=0.2)


def test_a_group_survives_its_document(metric, tmp_path):
    view = metric.group("north")
    again = rox.load(view.save(tmp_path / "north.json"))
    np.testing.assert_array_equal(again.theta, view.theta)
    pd.testing.assert_frame_equal(again.edges(), view.edges())


def test_a_group_of_a_bootstrap_keeps_its_replicates(chain_model, chain_rows):
    fit = rox.fit(
        chain_model, chain_rows, method="sem", group="region", invariance="metric", bootstrap=30, seed=1, progress=False
    )
    view = fit.group("south")
    places = {row.id: row.free - 1 for row in fit.table if row.free}
    for row in view.table:
        if row.free:
            own = fit.bootstrap_draws()[:, places[f"{row.id}@south"]]
            np.testing.assert_array_equal(view.bootstrap_draws()[:, row.free - 1], own)
    difference = fit.edge_differences()
    ends = [fit.bootstrap_draws()[:, places[f"edge:pride->value@{name}"]] for name in ("north", "south")]
    row = difference.query("cause == 'pride' and effect == 'value'")
    np.testing.assert_allclose(row["se"], np.std(ends[0] - ends[1], ddof=1), rtol=1e-9)


def test_edges_and_effects_say_their_group(metric):
    edges = metric.edges()
    assert "group" in edges.columns
    assert edges.groupby("group", sort=False)["n"].first().to_dict() == {"north": 180, "south": 120}
    effects = metric.effects("pride", "loyalty")
    assert effects.columns[-1] == "group"
    for name in ("north", "south"):
        own = metric.group(name)
        pd.testing.assert_frame_equal(
            effects[effects["group"] == name].drop(columns="group").reset_index(drop=True),
            own.effects("pride", "loyalty"),
        )
        pd.testing.assert_frame_equal(
            edges[edges["group"] == name].drop(columns="group").reset_index(drop=True), own.edges()
        )


def test_the_summary_names_the_groups(metric):
    text = metric.summary()
    assert "chain: 7 edges" in text
    assert "Groups: north (n = 180), south (n = 120)" in text
    assert "pride -> value (south)" in text
    assert "<th>group</th>" in metric._repr_html_()
    assert repr(metric) == "<Fit of 'chain' by method 'sem', n = 300, 2 groups; 2 doubtful: fit.doubts>"


def test_a_question_for_one_system_is_refused_with_the_way_out(metric, complete):
    actions = [rox.Intervention(name="coaching", shift={"pride": 0.4})]
    for ask in (metric.system, metric.plot, lambda: rox.simulate(metric, actions, horizon=1, draws=10, seed=1)):
        with pytest.raises(RoxError, match=r"fit\.group\('north'\)"):
            ask()
    with pytest.raises(RoxError, match="no group 'souht'. Did you mean 'south'"):
        metric.group("souht")
    with pytest.raises(RoxError, match="has no groups"):
        complete.group("south")
    with pytest.raises(RoxError, match="no groups whose edges"):
        complete.edge_differences()
    with pytest.raises(EstimationError):
        metric.to_dot()


def test_differences_of_edges_use_the_covariance_of_both(metric):
    table = metric.edge_differences()
    places = {row.id: row.free - 1 for row in metric.table if row.free}
    assert len(table) == len(metric.model.edges)
    for row in table.to_dict("records"):
        one, other = (places[f"edge:{row['cause']}->{row['effect']}@{row[g]}"] for g in ("group", "other_group"))
        variance = metric.vcov[one, one] + metric.vcov[other, other] - 2 * metric.vcov[one, other]
        assert row["difference"] == pytest.approx(metric.theta[one] - metric.theta[other])
        assert row["se"] == pytest.approx(np.sqrt(variance))
        assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert table["same_units"].all()
    assert (table["p_holm"] >= table["p"]).all()


def test_differences_know_what_was_held_equal(configural, chain_model, chain_rows):
    assert not configural.edge_differences()["same_units"].any()
    equal = rox.fit(chain_model, chain_rows, method="sem", group="region", equal=["loadings", "edges"])
    table = equal.edge_differences()
    assert (table["difference"] == 0).all()
    assert table[["se", "p", "p_holm"]].isna().all(axis=None)


def test_three_groups_are_compared_pair_by_pair(chain_model, chain_rows):
    rows = chain_rows.assign(third=np.array(["a", "b", "c"])[np.arange(len(chain_rows)) % 3])
    table = rox.fit(chain_model, rows, method="sem", group="third", invariance="metric").edge_differences()
    pairs = table[["group", "other_group"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert len(table) == 3 * len(chain_model.edges)


def test_holm_is_holms():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([np.nan, 0.5, 0.9])), [np.nan, 1.0, 1.0])
    assert len(holm(np.zeros(0))) == 0


def test_definitions_stay_with_every_group(chain_rows):
    text = "a =~ inf1 + inf2 + inf3\nb =~ pri1 + pri2 + pri3\nc =~ beh1 + beh2 + beh3\nb ~ p*a\nc ~ q*b\npq := p*q"
    fit = rox.fit(rox.RoxModel.from_lavaan(text), chain_rows, method="sem", group="region")
    row = fit.parameters().query("kind == 'defined'")
    for name in ("north", "south"):
        own = fit.group(name).parameters().query("kind == 'defined'")
        np.testing.assert_array_equal(own[["estimate", "se"]], row[["estimate", "se"]])


def test_latent_means_of_a_group_alone_name_what_they_are_against(chain_model, chain_rows):
    whole = rox.fit(chain_model, chain_rows, method="sem", group="region", invariance="scalar")
    first, second = (group.name for group in whole.groups[:2])
    assert f"Latent means of {second}, against {first}: " in whole.summary()
    assert "Latent means, against the first group: " in whole.group(second).summary()
    assert "Latent means" not in whole.group(first).summary()

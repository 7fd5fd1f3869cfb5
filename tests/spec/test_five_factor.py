"""The five-factor chain from a short mapping."""

import pytest

import roxmodel as rox

ITEMS = {
    "pride": ["p1", "p2"],
    "influencers": ["i1"],
    "behaviours": ["b1", "b2"],
    "value_drivers": ["v1"],
    "outcomes": {"revenue": "revenue", "churn": ["churn"]},
    "context": ["region"],
}


def test_default_arrows_follow_the_main_order():
    model = rox.five_factor(ITEMS)
    chain = [str(edge) for edge in model.edges if edge.cause != "context"]
    assert chain == [
        "pride -> influencers",
        "influencers -> behaviours",
        "behaviours -> value_drivers",
        "value_drivers -> revenue",
        "value_drivers -> churn",
    ]
    adjusted = [edge.effect for edge in model.edges if edge.cause == "context"]
    assert adjusted == ["pride", "influencers", "behaviours", "value_drivers", "revenue", "churn"]


def test_order_of_the_mapping_does_not_matter():
    assert rox.five_factor(dict(reversed(ITEMS.items()))).edges == rox.five_factor(ITEMS).edges


def test_a_factor_that_is_missing_is_skipped():
    assert [str(e) for e in rox.five_factor({"outcomes": ["y"], "pride": ["p"]}).edges] == ["pride -> outcomes"]
    assert rox.five_factor({"pride": ["p"]}).edges == ()


def test_default_and_given_sources():
    sources = {c.name: c.source for c in rox.five_factor(ITEMS).constructs}
    assert sources == {
        "pride": "employee",
        "influencers": "employee",
        "behaviours": "employee",
        "value_drivers": "customer",
        "revenue": "unit",
        "churn": "unit",
        "context": "unit",
    }
    given = rox.five_factor(ITEMS, sources={"outcomes": "customer", "churn": "unit"})
    assert (given.find("revenue").source, given.find("churn").source) == ("customer", "unit")


def test_the_scale_is_that_of_survey_items():
    model = rox.five_factor(ITEMS, scale=rox.Likert(1, 7))
    assert model.find("pride").items[0].scale == rox.Likert(1, 7)
    assert model.find("revenue").items[0].scale is None


def test_items_may_be_names_or_items():
    one = rox.Item(name="p1", reverse=True)
    for given in (one, [one]):
        assert rox.five_factor({"pride": given, "outcomes": "y"}).find("pride").items == (one,)


@pytest.mark.parametrize("edges", ["pride -> revenue", ["pride -> revenue"], rox.Edge(cause="pride", effect="revenue")])
def test_edges_take_the_place_of_the_default(edges):
    assert [str(edge) for edge in rox.five_factor(ITEMS, edges=edges).edges] == ["pride -> revenue"]
    assert rox.five_factor(ITEMS, edges=[]).edges == ()


@pytest.mark.parametrize(
    ("items", "options", "culprit"),
    [
        ({"prid": ["p1"]}, {}, "'prid' is no factor. Did you mean 'pride'"),
        ({5: ["p1"]}, {}, "5 is no factor"),
        (["pride"], {}, r"items= was \['pride'\]"),
        ({"pride": []}, {}, "'pride' has no items: nobody measures it"),
        ({"pride": ["x"], "outcomes": ["x"]}, {}, "Item 'x' is used by the constructs 'pride' and 'outcomes'"),
        ({"pride": ["x"]}, {"sources": {"prid": "unit"}}, "sources= names 'prid'.*Did you mean 'pride'"),
        ({"pride": ["x"]}, {"sources": "unit"}, "sources= was 'unit'"),
        ({"pride": ["x"]}, {"edges": "pride -> rev"}, "names 'rev', which is no construct"),
        ({"pride": ["x"]}, {"scale": "likert"}, "'scale' was 'likert'"),
    ],
)
def test_bad_input_is_named(items, options, culprit):
    with pytest.raises(rox.SpecError, match=culprit):
        rox.five_factor(items, **options)


def test_a_scale_for_each_factor_reaches_figures_of_the_unit():
    five, share = rox.Likert(1, 5), rox.Percent()
    model = rox.five_factor(
        {"pride": ["p1"], "outcomes": {"return": ["r"], "churn": ["c"]}}, scale={"pride": five, "churn": share}
    )
    assert [model.find(name).items[0].scale for name in ("pride", "return", "churn")] == [five, None, share]


def test_one_scale_is_of_surveys_and_never_dropped_in_silence():
    five = rox.Likert(1, 5)
    model = rox.five_factor({"pride": ["p1"], "outcomes": ["revenue"]}, scale=five)
    assert [item.scale for item in model.items] == [five, None]
    with pytest.raises(rox.SpecError, match="'pride' is taken from the unit's books"):
        rox.five_factor({"pride": ["p1"], "behaviours": ["b"]}, scale=five, sources={"pride": "unit"})
    with pytest.raises(rox.SpecError, match="every item is a figure of the unit"):
        rox.five_factor({"outcomes": ["revenue"]}, scale=five)
    with pytest.raises(rox.SpecError, match="'prid'.*Did you mean 'pride'"):
        rox.five_factor({"pride": ["p1"]}, scale={"prid": five})
    own = rox.Item(name="p1", scale=rox.Percent())
    model = rox.five_factor({"pride": [own], "behaviours": ["b"]}, scale=five, sources={"pride": "unit"})
    assert [item.scale for item in model.items] == [rox.Percent(), five]

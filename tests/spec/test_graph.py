"""The model: the contract of DESIGN section 4, bad input by name, values that never change."""

import copy
import pickle
import random
import sys

import networkx as nx
import pytest

import roxmodel as rox


def construct(name, items=None, factor="context", source="employee", **rest):
    return rox.Construct(name=name, factor=factor, source=source, items=items or [f"{name}1", f"{name}2"], **rest)


def model(**changes):
    """Three constructs: a and b latent, c observed."""
    constructs = [construct("a"), construct("b"), construct("c", ["c"], source="unit")]
    return rox.RoxModel(**{"name": "m", "constructs": constructs} | changes)


@pytest.fixture
def branches():
    return rox.RoxModel(
        name="branches",
        constructs=[
            construct("influencers", ["inf1", "inf2", "inf3"], "influencers"),
            construct("pride", ["pri1", "pri2", "pri3", "pri4"], "pride"),
            construct("behaviours", ["beh1", "beh2", "beh3"], "behaviours"),
            construct("value", ["val1", "val2", "val3", "val4"], "value_drivers", "customer"),
            construct("loyalty", ["loy1", "loy2", "loy3"], "outcomes", "customer"),
            construct("revenue", ["revenue"], "outcomes", "unit"),
            construct("affluence", ["affluence"], "context", "unit"),
        ],
        edges=[
            "influencers -> pride",
            "influencers + pride -> behaviours",
            "behaviours -> value",
            "value -> loyalty",
            "value + loyalty + affluence -> revenue",
        ],
    )


def test_the_model_of_the_design(branches):
    assert len(branches.edges) == 8
    assert branches.causes("revenue") == ("value", "loyalty", "affluence")
    assert branches.exogenous_names == ("influencers", "affluence")
    assert branches.endogenous == ("pride", "behaviours", "value", "loyalty", "revenue")
    assert branches.sources == ("employee", "customer", "unit")
    assert branches.respondent_sources == ("employee", "customer")
    assert len(branches.items) == 19
    assert branches.find("value").source == "customer"


def test_the_graph_is_networkx(branches):
    graph = branches.graph
    assert type(graph) is nx.DiGraph
    assert set(graph.nodes) == set(branches.names)
    assert graph.number_of_edges() == 8
    assert graph.nodes["value"] == {
        "factor": "value_drivers",
        "source": "customer",
        "items": ("val1", "val2", "val3", "val4"),
    }
    assert graph.edges["value", "loyalty"]["edges"] == (rox.Edge(cause="value", effect="loyalty"),)
    graph.remove_node("value")
    assert "value" in branches.graph


def test_one_edge_of_the_graph_holds_every_lag():
    lagged = rox.Edge(cause="a", effect="b", lag=2, fixed=0.1)
    assert model(edges=["a -> b", lagged]).graph.edges["a", "b"]["lags"] == (0, 2)


@pytest.mark.parametrize(
    "edges",
    [
        "a + b -> c; a <-> b",
        ["a + b -> c", "a <-> b"],
        ("a -> c", rox.Edge(cause="b", effect="c"), rox.Covariance(left="a", right="b")),
        [{"cause": "a", "effect": "c"}, {"cause": "b", "effect": "c"}, {"left": "a", "right": "b"}],
        iter(["a + b -> c", "a <-> b"]),
    ],
)
def test_edges_come_in_many_shapes(edges):
    made = model(edges=edges)
    assert [str(edge) for edge in made.edges] == ["a -> c", "b -> c"]
    assert [str(pair) for pair in made.covariances] == ["a <-> b"]


def test_one_edge_or_one_construct_may_stand_alone():
    assert model(edges=rox.Edge(cause="a", effect="b")) == model(edges="a -> b")
    assert rox.RoxModel(name="m", constructs=construct("a")).names == ("a",)


def test_covariances_take_arrow_text_too():
    assert model(covariances="a <-> b") == model(edges="a <-> b")
    with pytest.raises(rox.SpecError, match="covariances= holds the edge a -> b"):
        model(covariances="a -> b")


def test_a_measurement_model_is_a_model():
    assert model().edges == ()
    assert model().exogenous_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"edges": "prid -> a"}, "edge prid -> a names 'prid'.*Known: 'a', 'b', 'c'"),
        ({"edges": "a -> b; b -> cc"}, "edge b -> cc names 'cc', which is no construct. Did you mean 'c'"),
        ({"edges": "a <-> zz"}, "arrow a <-> zz names 'zz', which is neither a construct nor an item"),
        ({"edges": "a1 -> b"}, "names 'a1', which is no construct"),
        ({"edges": "a <-> b1"}, "arrow a <-> b1 joins a construct and an item"),
        ({"edges": "a1 <-> c"}, "arrow a1 <-> c.*'c' is a construct of its own.*measured without error"),
        ({"edges": "a -> b; a -> b"}, "edge 'a -> b' is given more than once"),
        ({"edges": "a + a -> b"}, "edge 'a -> b' is given more than once"),
        ({"edges": "a <-> b; b <-> a"}, "arrow 'a <-> b' is given more than once"),
        ({"edges": "a -> a"}, "edge a -> a lets a construct cause itself"),
        ({"edges": "a => b"}, "'a => b' cannot be read at character 3"),
        ({"edges": None}, "edges= was None"),
        ({"edges": 5}, "edges= was 5"),
        ({"edges": ["a -> b", 5]}, "'edges.1' was 5: a rox.Edge was expected"),
        ({"edges": {"cause": "a", "effect": "b"}}, "edges= was {'cause'"),
        ({"edges": [{"cause": "a", "efect": "b"}]}, "no argument 'efect'. Did you mean 'effect'"),
        ({"covariances": 5}, "covariances= was 5"),
        ({"constructs": []}, "at least one construct"),
        ({"constructs": ["a"]}, "'constructs.0' was 'a': a rox.Construct was expected"),
        ({"constructs": 5}, "'constructs' was 5"),
        ({"constructs": [{"name": "a", "factor": "prid", "source": "u", "items": ["x"]}]}, "'a' has the factor 'prid'"),
        ({"constructs": [{"name": "a", "factor": "pride", "source": "u", "itms": ["x"]}]}, "no argument 'itms'"),
        ({"edgs": "a -> b"}, "no argument 'edgs'. Did you mean 'edges'"),
        ({"exogenous": "fix"}, "'exogenous' was 'fix': .*'free' or 'fixed'"),
        ({"feedback": "maybe"}, "'feedback' was 'maybe'"),
        ({"definitions": "ab := a*b"}, "'definitions' was 'ab := a"),
        ({"definitions": {"ab": 5}}, "'definitions.ab' was 5"),
        ({"name": 5}, "'name' was 5"),
    ],
)
def test_bad_input_is_named(changes, culprit):
    with pytest.raises(rox.SpecError, match=culprit) as caught:
        model(**changes)
    assert "pydantic" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_needs_a_name():
    with pytest.raises(rox.SpecError, match="RoxModel needs 'name'"):
        rox.RoxModel(constructs=[construct("a")])
    with pytest.raises(rox.SpecError, match=r"RoxModel has no argument 'nme'. Did you mean 'name'"):
        rox.RoxModel(nme="m", constructs=[construct("a")])


@pytest.mark.parametrize(
    ("constructs", "culprit"),
    [
        ([construct("a"), construct("a", ["x"])], "construct 'a' is given more than once"),
        ([construct("a", ["x", "y"]), construct("b", ["z", "y"])], "Item 'y' is used by the constructs 'a' and 'b'"),
        ([construct("a", ["x", "x"])], "item of 'a' 'x' is given more than once"),
        ([construct("a", ["x", "b"]), construct("b", ["z"])], "'b' is a construct and also an item of 'a'"),
        ([construct("a", ["a", "x"])], "'a' is a construct and also an item of 'a'"),
    ],
)
def test_names_that_mean_two_things_are_refused(constructs, culprit):
    with pytest.raises(rox.SpecError, match=culprit):
        rox.RoxModel(name="m", constructs=constructs)


@pytest.mark.parametrize(
    ("edges", "loop"),
    [
        ("a -> b -> a", "a -> b -> a"),
        ("a -> b -> c -> a", "a -> b -> c -> a"),
        ("c -> a; a -> b; b -> a", "a -> b -> a"),
    ],
)
def test_a_loop_without_a_lag_is_named(edges, loop):
    with pytest.raises(rox.SpecError, match=rf"loop without a lag: {loop}\..*feedback=True"):
        model(edges=edges)
    assert model(edges=edges, feedback=True).feedback


def test_a_lag_breaks_a_loop():
    made = model(edges=["a -> b -> c", rox.Edge(cause="c", effect="a", lag=1, fixed=0.2)])
    assert made.order() == ("a", "b", "c")
    assert made.exogenous_names == ("a",)


def test_order_puts_causes_first_and_keeps_the_rest():
    assert model(edges="c -> b -> a").order() == ("c", "b", "a")
    assert model().order() == ("a", "b", "c")
    assert model(edges="a -> b -> a", feedback=True).order() == ("a", "b", "c")


def test_feedback_does_not_let_a_construct_cause_itself():
    with pytest.raises(rox.SpecError, match="a -> a lets a construct cause itself"):
        model(edges="a -> a", feedback=True)


def test_covariances_join_two_constructs_or_two_items():
    made = model(edges="a <-> c; a1 <-> b1; a1 <-> a2")
    assert [str(pair) for pair in made.covariances] == ["a <-> c", "a1 <-> b1", "a1 <-> a2"]


def test_an_item_measured_with_error_has_a_residual_to_covary():
    with_reliability = construct("c", ["c1"], reliability=0.8)
    assert model(constructs=[construct("a"), with_reliability], edges="a1 <-> c1").covariances
    with pytest.raises(rox.SpecError, match="'c1' is a construct of its own"):
        model(constructs=[construct("a"), construct("c", ["c1"])], edges="a1 <-> c1")


def test_find_offers_the_likely_name(branches):
    with pytest.raises(rox.SpecError, match=r"Model 'branches' has no construct 'prid'. Did you mean 'pride'"):
        branches.find("prid")


@pytest.mark.parametrize(
    ("edges", "definitions", "culprit"),
    [
        ([rox.Edge(cause="a", effect="b", label="p")], {"q": "p * r"}, "definition 'q' = .*uses 'r'.*Known: 'p'"),
        ([rox.Edge(cause="a", effect="b", label="p")], {"p": "p * 2"}, "'p' is a definition and also the label"),
        ([rox.Edge(cause="a", effect="b", label="p")], {"q": "q * 2"}, "'q' = 'q . 2' uses itself"),
        (
            [rox.Edge(cause="a", effect="b", label="p", fixed=1), rox.Edge(cause="b", effect="c", label="p", fixed=2)],
            {},
            "label 'p' is fixed to 1 and to 2",
        ),
    ],
)
def test_labels_and_definitions_must_agree(edges, definitions, culprit):
    with pytest.raises(rox.SpecError, match=culprit):
        model(edges=edges, definitions=definitions)


def test_nothing_of_a_model_can_be_changed():
    made = model(edges=[rox.Edge(cause="a", effect="b", label="p")], definitions={"q": "p * 2"})
    for name in ("name", "constructs", "edges", "new"):
        with pytest.raises(rox.SpecError, match=f"RoxModel never changes: '{name}'.*replace"):
            setattr(made, name, "x")
    with pytest.raises(rox.SpecError, match="'edges' cannot be set or deleted"):
        del made.edges
    with pytest.raises(TypeError, match="item assignment"):
        made.definitions["z"] = "p"
    with pytest.raises(TypeError, match="item assignment"):
        made.constructs[0] = made.constructs[1]
    with pytest.raises(rox.SpecError, match="Construct never changes"):
        made.constructs[0].items = ()


def test_definitions_given_later_do_not_reach_the_model():
    given = {"q": "p * 2"}
    made = model(edges=[rox.Edge(cause="a", effect="b", label="p")], definitions=given)
    given["z"] = "p"
    assert dict(made.definitions) == {"q": "p * 2"}


def test_equal_models_are_equal_hash_equal_and_copy():
    first, second = (model(edges="a -> b", covariances=["a <-> c"]) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first.content_hash == second.content_hash
    assert len({first, second, model(edges="b -> a")}) == 2
    for other in (
        copy.copy(first),
        copy.deepcopy(first),
        pickle.loads(pickle.dumps(first)),
        first.model_copy(deep=True),
    ):
        assert other == first
    assert model(edges="a -> b").content_hash != model(edges="b -> a").content_hash


def test_replace_gives_new_edges_the_place_of_the_old():
    made = model(edges="a -> b; a <-> c")
    assert made.replace(edges="a -> b; a <-> c") == made
    assert made.replace(edges=[*made.edges, "b -> c"]).covariances == made.covariances
    assert made.replace(edges=iter(["b -> c"])).causes("c") == ("b",)
    assert made.replace(covariances=[]).covariances == ()
    assert made.replace(name="other").edges == made.edges
    with pytest.raises(rox.SpecError, match="loop without a lag"):
        made.replace(edges="a -> b -> a")
    with pytest.raises(rox.SpecError, match="no argument 'edgs'"):
        made.replace(edgs="a -> b")


def test_weird_names_everywhere():
    names = ["Stolz & Ehre", "a -> b", 'say "hi"', "it's", "价值", "tab\there"]
    made = rox.RoxModel(
        name="seltsam 'quoted'",
        constructs=[construct(name, [f"{name}?", f"{name}!"]) for name in names],
        edges=[rox.Edge(cause=names[0], effect=name) for name in names[1:]] + ['价值 <-> "it\'s"'],
    )
    assert rox.RoxModel.from_json(made.to_json()) == made
    again = rox.RoxModel(
        name=made.name, constructs=made.constructs, edges=[str(part) for part in (*made.edges, *made.covariances)]
    )
    assert again == made
    assert len(made.parameters()) > 20
    with pytest.raises(rox.SpecError, match="'Stolz & Ehre' cannot be a name in lavaan"):
        made.to_lavaan()


def test_sixty_constructs_with_every_edge():
    names = [f"c{i:02d}" for i in range(60)]
    shuffled = random.Random(1).sample(names, 60)
    edges = [f"{cause} -> {' + '.join(names[i + 1 :])}" for i, cause in enumerate(names[:-1])]
    made = rox.RoxModel(name="huge", constructs=[construct(name) for name in shuffled], edges=edges)
    assert len(made.edges) == 1770
    assert made.order() == tuple(names)
    assert rox.RoxModel.from_json(made.to_json()) == made
    table = made.parameters()
    assert table["free"].max() == 60 + 1770 + 120 + 60 + 120


def test_json_of_a_model_says_what_it_is():
    text = model(edges="a -> b").to_json()
    assert '"kind": "model"' in text
    with pytest.raises(rox.DocumentError, match="altered since it was written"):
        rox.RoxModel.from_json(text.replace('"effect": "b"', '"effect": "c"'))
    with pytest.raises(rox.DocumentError, match="not a complete JSON document"):
        rox.RoxModel.from_json(text[: len(text) // 2])
    with pytest.raises(rox.DocumentError, match="Give a document's text, not its path"):
        rox.RoxModel.from_json("model.json")
    assert rox.RoxModel.from_json(text.encode()) == model(edges="a -> b")


def test_a_document_with_a_good_seal_and_a_bad_model_is_refused_by_name():
    from roxmodel.document import write_document

    content = model(edges="a -> b").model_dump(mode="json")
    content["edges"][0]["effect"] = "bb"
    with pytest.raises(rox.SpecError, match=r"names 'bb', which is no construct. Did you mean 'b'"):
        rox.RoxModel.from_json(write_document("model", content))
    content["self"] = 1
    with pytest.raises(rox.SpecError, match="no argument 'self'"):
        rox.RoxModel.from_json(write_document("model", content))


class TestNotebook:
    def test_a_model_shows_its_picture_its_arrows_and_its_items(self):
        shown = rox.five_factor({"pride": ["a<b", "c"], "outcomes": ["r"]})._repr_html_()
        assert "data:image/svg+xml;base64," in shown
        assert "pride → outcomes" in shown
        assert "a&lt;b, c" in shown
        assert "a<b" not in shown

    def test_without_matplotlib_the_words_are_there(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        shown = rox.five_factor({"pride": ["a"], "outcomes": ["r"]})._repr_html_()
        assert "<img" not in shown
        assert "pride → outcomes" in shown


def test_a_label_that_an_earlier_version_made_frees_the_first_loading():
    """Version 0.1.0 wrote ``NA*x1`` as the label free.x1, which groups then shared."""
    from roxmodel.document import write_document

    def document(definitions):
        content = rox.RoxModel.from_lavaan("f =~ NA*x1 + x2 + x10; f ~~ 1*f").model_dump(mode="json")
        first = content["constructs"][0]["items"][0]
        del first["free"]
        first["loading"] = "free.x1"
        return rox.RoxModel.from_json(write_document("model", content | {"definitions": definitions}))

    assert document({}) == rox.RoxModel.from_lavaan("f =~ NA*x1 + x2 + x10; f ~~ 1*f")
    kept = document({"twice": "2*free.x1"}).find("f").items[0]
    assert (kept.loading, kept.free) == ("free.x1", None)


def test_a_document_says_nothing_of_free_where_nothing_is_said():
    """So that a version that does not know it reads the document, and its hash stands."""
    assert '"free":' not in model(edges="a -> b").to_json()
    assert '"free": true' in rox.RoxModel.from_lavaan("f =~ NA*x1 + x2; f ~~ 1*f").to_json()

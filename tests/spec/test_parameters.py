"""The planned parameter table: rows, numbers of theta, and what fixes them."""

import pytest

import roxmodel as rox
from roxmodel.spec.parameters import plan


def construct(name, items=None, **rest):
    items = items or [f"{name}1", f"{name}2"]
    return rox.Construct(**{"name": name, "factor": "context", "source": "employee", "items": items} | rest)


def model(constructs=None, **rest):
    return rox.RoxModel(
        name="m", constructs=constructs or [construct("a"), construct("b"), construct("c", ["c"])], **rest
    )


def free(table, kind):
    return [row.id for row in table.of(kind) if row.free]


def test_rows_come_in_the_order_of_the_table():
    kinds = [row.kind for row in plan(model(edges="a -> b -> c"))]
    order = ["loading", "edge", "variance", "covariance", "intercept", "defined"]
    assert kinds == sorted(kinds, key=order.index)


def test_the_first_item_is_the_marker():
    table = plan(model())
    assert table.row("loading:a=~a1").value == 1.0
    assert table.row("loading:a=~a1").note == "marker"
    assert free(table, "loading") == ["loading:a=~a2", "loading:b=~b2"]


def test_an_observed_construct_has_loading_one_and_no_residual():
    table = plan(model())
    assert table.row("loading:c=~c").value == 1.0
    assert (table.row("variance:c|c").free, table.row("variance:c|c").value) == (0, 0.0)
    assert table.row("variance:c").free > 0
    assert table.row("intercept:c").free > 0


def test_a_reliability_leaves_the_residual_to_the_data():
    row = plan(model([construct("c", ["c1"], reliability=0.75)])).row("variance:c1|c")
    assert (row.free, row.value, row.note) == (0, None, "(1 - 0.75) of the item's variance")


def test_a_stated_item_variance_is_the_residual_of_a_single_item():
    fixed = rox.Covariance(left="c1", right="c1", fixed=0.25)
    table = plan(model([construct("c", ["c1"])], covariances=[fixed]))
    assert (table.row("variance:c1|c").free, table.row("variance:c1|c").value) == (0, 0.25)
    table = plan(model([construct("c", ["c1"])], covariances=[rox.Covariance(left="c1", right="c1")]))
    assert (table.row("variance:c1|c").free > 0, table.row("variance:c1|c").lower) == (True, 0.0)


def test_a_stated_variance_of_a_namesake_is_the_construct_s():
    table = plan(model([construct("c", ["c"])], covariances=[rox.Covariance(left="c", right="c", fixed=2)]))
    assert table.row("variance:c").value == 2.0
    assert table.row("variance:c|c").value == 0.0


def test_loadings_are_fixed_freed_and_made_equal():
    items = [
        rox.Item(name="a1", loading="l"),
        rox.Item(name="a2", loading=0.7),
        rox.Item(name="a3", loading="l", start=2),
    ]
    table = plan(model([construct("a", items)]))
    assert table.row("loading:a=~a1").free == table.row("loading:a=~a3").free > 0
    assert table.row("loading:a=~a2").value == 0.7
    assert table.row("loading:a=~a3").start == 2.0


def test_equal_labels_share_one_number():
    edges = [rox.Edge(cause="a", effect="b", label="p"), rox.Edge(cause="b", effect="c", label="p")]
    table = plan(model(edges=edges))
    assert table.row("edge:a->b").free == table.row("edge:b->c").free
    assert sorted({row.free for row in table if row.free}) == list(range(1, table.n_free + 1))
    assert table.n_free == plan(model(edges="a -> b -> c")).n_free - 1


def test_a_label_of_a_fixed_parameter_fixes_the_others():
    edges = [rox.Edge(cause="a", effect="b", label="p"), rox.Edge(cause="b", effect="c", label="p", fixed=0.5)]
    table = plan(model(edges=edges))
    assert (table.row("edge:a->b").free, table.row("edge:a->b").value) == (0, 0.5)
    assert table.n_free == plan(model(edges="a -> b -> c")).n_free - 2


def test_edges_are_fixed_lagged_and_started():
    lagged = rox.Edge(cause="c", effect="a", lag=1, fixed=0.1)
    table = plan(model(edges=["a -> b", rox.Edge(cause="b", effect="c", start=0.3), lagged]))
    assert table.row("edge:b->c").start == 0.3
    row = table.row("edge:c->a@lag1")
    assert (row.free, row.value, row.lag) == (0, 0.1, 1)
    assert "simulation only" in row.note


def test_exogenous_constructs_covary_and_disturbances_do_not():
    chain = plan(model(edges="a -> b; a -> c"))
    assert free(chain, "covariance") == []
    assert free(plan(model(edges="a + b -> c")), "covariance") == ["covariance:a~~b"]
    assert len(free(plan(model()), "covariance")) == 3
    assert free(plan(model(edges="a -> b; a -> c", terminal_covariances=True)), "covariance") == ["covariance:b~~c"]
    assert free(plan(model(edges="a -> b; a -> c; b <-> c")), "covariance") == ["covariance:b~~c"]


def test_items_may_covary():
    assert free(plan(model(edges="a -> b -> c; a1 <-> b1")), "covariance") == ["covariance:a1~~b1"]


def test_a_stated_zero_takes_a_covariance_away():
    row = plan(model(covariances=[rox.Covariance(left="b", right="a", fixed=0)])).row("covariance:a~~b")
    assert (row.free, row.value) == (0, 0.0)


def test_exogenous_fixed_gives_the_moments_of_observed_constructs_to_the_data():
    constructs = [construct("x", ["x"]), construct("z", ["z1"]), construct("f"), construct("y", ["y"])]
    table = plan(model(constructs, edges="x + z + f -> y", exogenous="fixed"))
    given = {row.id for row in table if row.note == "given by the data"}
    assert given == {"variance:x", "variance:z", "covariance:x~~z", "intercept:x", "intercept:z"}
    assert all(row.free == 0 and row.value is None for row in table if row.id in given)
    assert free(table, "covariance") == ["covariance:x~~f", "covariance:z~~f"]
    stated = plan(model(constructs, edges="x + z + f -> y; x <-> x", exogenous="fixed"))
    assert stated.row("variance:x").free
    assert stated.row("intercept:x").free


@pytest.mark.parametrize(("residuals", "count"), [(None, 2), ("free", 2), ("equal", 1), ("zero", 0)])
def test_residuals_are_free_equal_or_zero(residuals, count):
    table = plan(model([construct("a", residuals=residuals)]))
    numbers = {row.free for row in table.of("variance") if row.left in {"a1", "a2"}} - {0}
    assert len(numbers) == count


def test_variances_are_bounded_at_zero():
    assert {row.lower for row in plan(model()).of("variance") if row.free} == {0.0}
    assert {row.lower for row in plan(model()).of("covariance")} == {None}


def test_means_are_optional_and_latent_means_zero():
    with_means, without = plan(model()), plan(model(), means=False)
    assert without.of("intercept") == ()
    assert with_means.n_free - without.n_free == 5
    assert with_means.row("intercept:a").value == 0.0


def test_composites_have_a_structural_part_only():
    table = plan(model(edges="a -> b -> c; a1 <-> b1"), "composite")
    assert {row.kind for row in table} == {"edge", "variance", "intercept"}
    assert table.n_free == 2 + 3 + 3


def test_definitions_close_the_table():
    edges = [rox.Edge(cause="a", effect="b", label="p")]
    row = plan(model(edges=edges, definitions={"q": "p * 2"})).row("defined:q")
    assert (row.kind, row.left, row.note) == ("defined", "q", "q := p * 2")


def test_feedback_is_planned():
    table = plan(model(edges="a -> b -> a; c -> a", feedback=True), means=False)
    assert free(table, "edge") == ["edge:a->b", "edge:b->a", "edge:c->a"]


def test_a_row_is_found_by_id_or_the_likely_one_offered():
    with pytest.raises(rox.SpecError, match=r"no parameter 'edge:a->bb'. Did you mean 'edge:a->b'"):
        plan(model(edges="a -> b")).row("edge:a->bb")


def test_names_that_make_one_id_are_refused():
    constructs = [construct(name, [name]) for name in ("a", "a->b", "b->c", "c")]
    edges = [rox.Edge(cause="a->b", effect="c"), rox.Edge(cause="a", effect="b->c")]
    with pytest.raises(rox.SpecError, match="Two parameters would be called 'edge:a->b->c'"):
        plan(model(constructs, edges=edges))


def test_the_frame_has_one_row_a_parameter():
    frame = model(edges="a -> b").parameters()
    assert list(frame.columns) == [
        "id", "kind", "left", "right", "group", "free", "value", "start", "label", "lag", "lower", "note",
    ]  # fmt: skip
    assert frame["id"].is_unique


def test_a_plan_of_millions_is_refused_before_it_is_made():
    constructs = [rox.Construct(name=f"c{k}", factor="context", source="unit", items=[f"c{k}"]) for k in range(400)]
    with pytest.raises(rox.SpecError, match=r"400 constructs without a cause, which makes 79,800 covariances"):
        plan(rox.RoxModel(name="m", constructs=constructs))

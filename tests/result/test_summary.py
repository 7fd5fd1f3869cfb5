"""What a reader is told: sentences, numbers fit for reading, small print; html that is safe."""

from html import escape

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox


def construct(name, scale=None):
    return rox.Construct(name=name, factor="outcomes", source="unit", items=[rox.Item(name=name, scale=scale)])


def fitted(edges=("a -> b", "b -> c"), names="abc", scales=None, n=80, name="shops", factor=1.0, **options):
    rng = np.random.default_rng(2)
    a = rng.normal(size=n)
    b = 0.8 * a + rng.normal(size=n)
    table = pd.DataFrame({"a": a, "b": b, "c": 0.02 * b + rng.normal(size=n)})
    if scales:
        table["c"] = (table["c"] > 0).astype(float)
    table["b"] *= factor
    m = rox.RoxModel(name=name, constructs=[construct(x, (scales or {}).get(x)) for x in names], edges=list(edges))
    return rox.fit(m, rox.Study(m, unit=table.assign(u=range(n)), by="u"), **{"method": "path"} | options)


def test_a_summary_says_level_errors_n_and_what_holds():
    text = fitted().summary()
    assert text.splitlines()[0] == "shops: 2 edges, method 'path', 80 units"
    assert "between units" in text
    assert "heteroscedasticity-consistent (HC3)" in text
    assert "1 of 2 estimated edges have an interval that excludes 0; not: b -> c." in text
    assert "chisq(1)" in text
    assert "converged: yes" in text
    assert "no unmeasured cause" in text
    assert str(fitted()) == text


def test_all_edges_clear_needs_no_list():
    assert "1 of 1 estimated edges have an interval that excludes 0." in fitted(["a -> b"]).summary()


def test_without_edges_there_is_no_causal_word():
    text = fitted([]).summary()
    assert "0 edges" in text
    assert "Causal" not in text
    assert "Empty" not in text
    assert "df = 0" in text
    assert "<table" not in fitted([])._repr_html_()


def test_easily_overturned_edges_are_said():
    fit = fitted(n=2000)
    weak = fit.edges().query("robustness_value < 0.1 and (ci_low > 0 or ci_high < 0)")
    assert ("Easily overturned" in fit.summary()) == bool(len(weak))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"se": "standard"}, "classical"),
        ({"bootstrap": 20, "seed": 1, "progress": False}, "bootstrap by unit, 20 replicates, percentile intervals"),
        ({"scales": {"c": rox.Binary()}}, "HC3; sandwich for curved equations"),
        ({"edges": [rox.Edge(cause="a", effect="b", fixed=0.5)]}, "Assumed, not estimated: a -> b = 0.5."),
        ({"n": 20}, "Only 20 units"),
        ({"scales": {"c": rox.Binary()}}, "Curved equations: c (logit)"),
    ],
)
def test_the_small_print_belongs_to_the_numbers(options, words):
    fit = fitted(**options)
    assert words in fit.summary()
    assert escape(words) in fit._repr_html_()


@pytest.mark.parametrize(("factor", "shown"), [(1e6, ","), (1.0, "0."), (1e-6, "e-0"), (1e12, "e+")])
def test_numbers_are_fit_for_reading(factor, shown):
    row = next(line for line in fitted(factor=factor).summary().splitlines() if line.split()[:2] == ["a", "b"])
    assert shown in row.split()[2]


def test_names_cannot_break_the_page():
    fit = fitted(name="<script>alert(1)</script>")
    assert "<script>" not in fit._repr_html_()


def test_no_unit_is_named():
    world = rox.datasets.make_world(30, seed=1)
    fit = rox.fit(world.model, world.study(), method="path")
    for text in (fit.summary(), fit._repr_html_(), repr(fit)):
        assert not any(str(unit) in text for unit in world.unit["branch"])

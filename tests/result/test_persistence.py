"""A fit survives its document bit for bit, and no unit leaves with it."""

import json
import os
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.document import SCHEMA_VERSION, content_hash
from roxmodel.errors import DocumentError, RoxError

CANARY = 31.415926535897


def construct(name, scale=None, items=None):
    items = items or [rox.Item(name=name, scale=scale)]
    return rox.Construct(name=name, factor="outcomes", source="unit", items=items)


def rich(curved=False):
    """Reversed items, labels, definitions, fixed and lagged edges, residual covariances, given moments."""
    items = [rox.Item(name="a1", scale=rox.Likert(1, 7)), rox.Item(name="a2", scale=rox.Likert(1, 7), reverse=True)]
    edges = [
        rox.Edge(cause="a", effect="b", label="p"),
        rox.Edge(cause="b", effect="d", label="q"),
        rox.Edge(cause="a", effect="c", fixed=0.25),
        rox.Edge(cause="d", effect="a", lag=2, fixed=0.1),
        rox.Covariance(left="b", right="c"),
    ]
    constructs = [
        construct("a", items=items),
        construct("b"),
        construct("c"),
        construct("d", rox.Binary() if curved else None),
    ]
    m = rox.RoxModel(name="ünits", constructs=constructs, edges=edges, definitions={"pq": "p * q"}, exogenous="fixed")
    rng = np.random.default_rng(0)
    latent = rng.normal(4, 1, 90)
    a1, a2 = (np.clip(np.round(latent + rng.normal(0, 0.6, 90)), 1, 7) for _ in range(2))
    table = pd.DataFrame({"a1": a1, "a2": 8 - a2})
    table["b"] = 0.5 * latent + rng.normal(size=90)
    table["c"] = 0.25 * latent + rng.normal(size=90)
    table["d"] = 0.4 * table["b"] + rng.normal(size=90)
    if curved:
        table["d"] = (table["d"] > table["d"].median()).astype(float)
    return m, table.assign(u=[f"secret-{i}" for i in range(90)])


def fits():
    m, table = rich()
    study = rox.Study(m, unit=table, by="u")
    names = ["a1", "a2", "b", "c", "d"]
    world = rox.datasets.make_world(40, seed=1, without_customers=0.1)
    yield "robust", rox.fit(m, study, method="path")
    yield "standard", rox.fit(m, table, method="path", se="standard")
    yield "bootstrap", rox.fit(m, study, method="path", bootstrap=30, seed=3, progress=False)
    yield "moments", rox.fit(m, rox.Moments.from_rows(table[names].to_numpy(), names), method="path")
    no_means = rox.Moments.from_covariance(names, table[names].cov(), n=90)
    yield "no means", rox.fit(m, no_means, method="path")
    yield "world", rox.fit(world.model, world.study(), method="path")
    yield "linked", rox.fit(world.model, world.study())
    yield "curved", rox.fit(rich(True)[0], rox.Study(rich(True)[0], unit=rich(True)[1], by="u"), method="path")
    one = rox.RoxModel(name="one", constructs=[construct("b")])
    yield "one construct", rox.fit(one, table, method="path")


FITS = dict(fits())


@pytest.fixture(params=FITS)
def pair(request, tmp_path):
    fit = FITS[request.param]
    return fit, rox.load(fit.save(tmp_path / "fit.rox.json")), request.param


def test_everything_is_the_same_bit_for_bit(pair):
    fit, loaded, _ = pair
    np.testing.assert_array_equal(loaded.theta, fit.theta)
    np.testing.assert_array_equal(loaded.vcov, fit.vcov)
    np.testing.assert_array_equal(loaded.draws(50, seed=7), fit.draws(50, seed=7))
    pd.testing.assert_frame_equal(loaded.edges(), fit.edges(), check_exact=True)
    pd.testing.assert_frame_equal(loaded.parameters(), fit.parameters(), check_exact=True)
    checks = fit.checks()  # a document holds the three verdicts and every doubt
    kept = checks["check"].isin(fit.verdicts) | checks["verdict"].isin(["doubtful", "unusable"])
    pd.testing.assert_frame_equal(loaded.checks(), checks[kept].reset_index(drop=True), check_exact=True)
    pd.testing.assert_series_equal(loaded.indices(), fit.indices(), check_exact=True)
    assert loaded.model == fit.model
    assert loaded.summary() == fit.summary()
    assert loaded._repr_html_() == fit._repr_html_()
    assert repr(loaded) == repr(fit)
    assert (loaded.se, loaded.errors, loaded.method, loaded.level) == (fit.se, fit.errors, fit.method, fit.level)
    assert loaded.families == fit.families


def test_effects_are_the_same_where_no_levels_are_needed(pair):
    fit, loaded, name = pair
    whole = ("pride", "revenue")
    ends = {"world": whole, "linked": whole, "one construct": None}.get(name, ("a", "b" if name == "curved" else "d"))
    if ends is not None:
        for interval in (None, "draws"):
            pd.testing.assert_frame_equal(
                loaded.effects(*ends, interval=interval), fit.effects(*ends, interval=interval), check_exact=True
            )


def test_a_document_is_a_fixed_point(pair, tmp_path):
    fit, loaded, _ = pair
    first, second = fit.save(tmp_path / "a.json").read_text(), loaded.save(tmp_path / "b.json").read_text()
    assert first == second


def test_a_loaded_fit_simulates_the_same_without_caps(pair):
    fit, loaded, name = pair
    if name in {"world", "linked", "one construct", "curved"}:
        return
    # From wave 3 on `d` acts on `a`, whose scale ends: a loaded fit knows the levels of `a` up to their error only.
    options = {"horizon": 2, "draws": 60, "seed": 2, "value": {"d": 10.0}, "n_units": 90, "discount": 0.03}
    action = rox.Intervention(name="x", shift={"b": 0.2, "c": -0.1}, cost=5.0)
    one, two = rox.simulate(fit, [action], **options), rox.simulate(loaded, [action], **options)
    np.testing.assert_allclose(two.changes[:, :, 1:], one.changes[:, :, 1:], rtol=1e-12)
    numbers = one.rox().columns[1:]
    np.testing.assert_allclose(two.rox()[numbers], one.rox()[numbers], rtol=1e-12)


def test_setting_a_level_in_a_loaded_fit_moves_from_the_mean(tmp_path):
    fit = FITS["robust"]
    loaded = rox.load(fit.save(tmp_path / "f.json"))
    action = rox.Intervention(name="x", set={"b": 3.0})
    changes = [rox.simulate(f, [action], horizon=1, draws=20, seed=2).changes[:, 0, 1:] for f in (fit, loaded)]
    np.testing.assert_allclose(changes[1], changes[0], rtol=1e-10)


def test_weights_of_a_loaded_bootstrap_are_refused(tmp_path):
    loaded = rox.load(FITS["bootstrap"].save(tmp_path / "f.json"))
    np.testing.assert_array_equal(loaded.bootstrap_draws(), FITS["bootstrap"].bootstrap_draws())
    with pytest.raises(RoxError, match="not the rows"):
        loaded.bootstrap_weights(0)


# --- privacy


def test_no_unit_leaves(tmp_path):
    """Neither keys nor any unit's own value, the largest and the smallest included."""
    m, table = rich()
    table = table.astype({"b": float})
    table.loc[3, "b"], table.loc[4, "c"], table.loc[5, "d"] = CANARY, -CANARY, CANARY * 1.5
    with pytest.warns(rox.RoxWarning, match="books"):
        study = rox.Study(m, unit=table.assign(region=[f"hush-{i % 9}" for i in range(90)]), by="u")
    for place, options in enumerate(({}, {"bootstrap": 20, "seed": 1, "progress": False}, {"cluster": "region"})):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rox.RoxWarning)  # such units are doubted by name, which stays in the fit
            fit = rox.fit(m, study, **{"method": "path"} | options)
        text = fit.save(tmp_path / f"{place}.json").read_text()
        assert "secret" not in text
        assert "hush" not in text
        numbers = {float(number) for number in re.findall(r"-?\d+\.?\d*(?:[eE][-+]?\d+)?", text)}
        values = table[["b", "c", "d"]].to_numpy().ravel()
        assert not numbers & set(values.tolist())
        for canary in (CANARY, CANARY * 1.5):
            assert str(canary)[:8] not in text


def test_the_ends_of_what_was_observed_are_means_of_five_units(tmp_path):
    fit = FITS["robust"]
    loaded = rox.load(fit.save(tmp_path / "f.json"))
    assert loaded.population.levels is None
    assert loaded.population.units is None
    column = np.sort(fit.population.levels[:, 1])
    assert loaded.population.low[1] == pytest.approx(column[:5].mean())
    assert loaded.population.high[1] == pytest.approx(column[-5:].mean())
    m, table = rich()
    few = rox.load(rox.fit(m, table.iloc[:9], method="path", se="standard").save(tmp_path / "few.json"))
    assert few.population.low is None


# --- documents that are not as they should be


@pytest.fixture
def document(tmp_path):
    path = FITS["robust"].save(tmp_path / "fit.json")
    return path, json.loads(path.read_text())


def rewritten(path, envelope):
    envelope["checksum"] = content_hash(envelope["content"])
    path.write_text(json.dumps(envelope))
    return path


def test_tampered_truncated_newer_and_foreign_documents_are_refused(document):
    path, _ = document
    text = path.read_text()
    for broken, message in (
        (text[:-30], "not a complete JSON document"),
        (text.replace('"estimate": 0.', '"estimate": 1.', 1), "altered"),
        (text.replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99'), "reads up to"),
        (text.replace('"kind": "fit"', '"kind": "model"', 1), "'fit' was asked for"),
        ("[]", "not a roxmodel document"),
        ("", "empty"),
    ):
        path.write_text(broken)
        with pytest.raises(DocumentError, match=message):
            rox.load(path)
    with pytest.raises(DocumentError, match="cannot be read"):
        rox.load(path.with_name("missing.json"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c["vcov"].pop(), "arrays do not fit together"),
        (lambda c: c["vcov"][0].pop(), "arrays do not fit together"),
        (lambda c: c["population"]["covariance"].pop(), "arrays do not fit together"),
        (lambda c: c["measures"][0]["weights"].append(1.0), "arrays do not fit together"),
        (lambda c: c["measures"].reverse(), "measures names"),
        (lambda c: c["parameters"].pop(), "not those of its model"),
        (lambda c: c["parameters"][0].update(free=99), "not those of its model"),
        (lambda c: c.update(method="magic"), "method is 'magic'"),
        (lambda c: c.update(level="galaxy"), "level is 'galaxy'"),
        (lambda c: c.update(errors="none: at all"), "errors is 'none'"),
        (lambda c: c["model"].update(name="other"), "not the one that was fitted"),
        (lambda c: c["model"].update(constructs=[]), "model cannot be read"),
        (lambda c: c["model"].update(surprise=1), "model cannot be read"),
        (lambda c: c.update(surprise=1), "field 'surprise'"),
        (lambda c: c.pop("equations"), "field 'equations'"),
        (lambda c: c["parameters"][0].update(se="much"), r"field 'parameters\.0\.se'"),
    ],
)
def test_contradictions_are_refused_even_with_a_right_checksum(document, spoil, message):
    path, envelope = document
    spoil(envelope["content"])
    with pytest.raises(DocumentError, match=message):
        rox.load(rewritten(path, envelope))


def test_a_document_without_partial_r2_is_read(document):
    """The field came later; an older document has no robustness values."""
    path, envelope = document
    for record in envelope["content"]["parameters"]:
        del record["partial_r2"]
    assert rox.load(rewritten(path, envelope)).edges()["robustness_value"].isna().all()


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "fit.json"
    FITS["robust"].save(path)
    before = path.read_text()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DocumentError, match="No space left"):
        FITS["standard"].save(path)
    monkeypatch.undo()
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["fit.json"]
    with pytest.raises(DocumentError, match="directory"):
        FITS["robust"].save(tmp_path)

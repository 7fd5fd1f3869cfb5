"""Where method "linked" must agree with simpler methods, and where little or nothing is to be found."""

import pickle

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import EstimationError, RoxError
from roxmodel.survey.linkage import equation_units

SOLVED = {"rtol": 1e-5, "atol": 1e-7}  # two iterations that stop at 1e-13 of squared standard errors
ERRORS = {"rtol": 1e-4, "atol": 1e-6}


def by_id(fit, *columns):
    return fit.parameters().set_index("id")[list(columns)].astype(float).sort_index()


def same(one, two, columns=("estimate", "se", "standardized")):
    for column in columns:
        left, right = (by_id(fit, column)[column] for fit in (one, two))
        assert list(left.index) == list(right.index)
        np.testing.assert_allclose(right, left, err_msg=column, **(ERRORS if column == "se" else SOLVED))


def printed(frame, prefix, count=10**9):
    """The unit means as they would be printed, from so many respondents each."""
    groups = frame.groupby("key")
    items = [c for c in frame if c.startswith(prefix)]
    table = groups[items].mean().reset_index().assign(n=count)
    for item in items:
        table[f"v_{item}"] = groups[item].var().fillna(0.5).to_numpy()
    return rox.Aggregated(table, n="n", variance={item: f"v_{item}" for item in items})


def sound(fit):
    """Whatever was found, it can be read, and a number that is not known is not given as 0."""
    assert fit.summary()
    fit.indices()
    fit.effects("staff", "money")
    if fit.method == "linked":
        fit.unit_scores()
    table = fit.parameters()
    free = table[table["free"] > 0]
    known = free["se"].notna()
    size = free["estimate"].abs().clip(lower=1e-300)
    assert (free["se"][known] / size[known] > 1e-9).all(), free[["id", "estimate", "se"]].to_string()
    if fit.converged:
        bound = (free["kind"] == "variance") & (free["estimate"] <= 0)
        reason = fit.verdicts["admissible"].reason
        assert not bound.any() or "held at 0" in reason or "stopped at its bound 0" in reason
        assert free.loc[bound, "se"].isna().all()
    else:
        assert not fit.verdicts["converged"].ok
        assert fit.verdicts["converged"].reason


# --- what it becomes


@pytest.mark.parametrize("information", ["expected", "observed"])
def test_without_sampling_error_it_is_method_sem(tiny, information):
    model, frames = tiny.model(3), tiny.frames(80, 3, seed=1, sizes=(12, 13))
    many = (printed(frames[0], "e"), printed(frames[1], "c"), frames[2])
    linked = rox.fit(model, tiny.study(model, many), method="linked", information=information)
    means = pd.concat([f.groupby("key").mean(numeric_only=True) for f in frames], axis=1)
    sem = rox.fit(model, means, method="sem", means=True, information=information)
    same(sem, linked, ("estimate", "standardized"))
    one, two = (fit.parameters().set_index("id") for fit in (sem, linked))
    for name, row in one[one["free"] > 0].iterrows():
        factor = 1.0
        if row["kind"] == "edge":
            factor = np.sqrt(80 / (80 - len(model.causes(row["right"])) - 1))
        assert two.loc[name, "se"] == pytest.approx(factor * row["se"], rel=1e-3, nan_ok=True), name
    for index in ("chisq", "df", "loglik", "aic", "bic", "cfi", "tli", "rmsea"):
        assert linked.indices()[index] == pytest.approx(sem.indices()[index], rel=1e-4, abs=1e-3), index


@pytest.mark.parametrize("holes", [0.0, 0.15])
def test_figures_only_is_method_sem(holes):
    rng = np.random.default_rng(3)
    a = rng.normal(size=90)
    b = 0.5 * a + rng.normal(size=90)
    names = ["a1", "a2", "a3", "b1", "b2", "b3"]
    frame = pd.DataFrame(np.repeat(np.column_stack([a, b]), 3, axis=1) + 0.7 * rng.normal(size=(90, 6)), columns=names)
    frame = frame.mask(rng.random(frame.shape) < holes)
    constructs = [
        rox.Construct(name=c, factor="outcomes", source="unit", items=[f"{c}{k}" for k in (1, 2, 3)]) for c in "ab"
    ]
    model = rox.RoxModel(name="books", constructs=constructs, edges=["a -> b"])
    study = rox.Study(model, unit=frame.assign(key=range(90)), by="key")
    linked = rox.fit(model, study, method="linked", information="observed")
    sem = rox.fit(model, frame, method="sem", missing="fiml", information="observed")
    same(sem, linked, ("estimate", "standardized"))
    for index in ("chisq", "df", "loglik", "aic", "bic"):
        assert linked.indices()[index] == pytest.approx(sem.indices()[index], rel=1e-4, abs=2e-3), index
    one, two = (by_id(fit, "se")["se"] for fit in (sem, linked))
    factor = pd.Series(np.where(one.index.str.startswith("edge"), np.sqrt(90 / 88), 1.0), index=one.index)
    np.testing.assert_allclose(two, one * factor, rtol=1e-4)
    joint = rox.fit(model, study, method="linked", within="saturated")
    same(linked, joint, ("estimate",))
    assert joint.indices()["loglik"] == pytest.approx(linked.indices()["loglik"], rel=1e-8)


def test_moments_are_enough(tiny):
    model, frames = tiny.model(3), tiny.frames(40, 3)
    study = tiny.study(model, frames)
    same(rox.fit(model, study, method="linked"), rox.fit(model, study.moments))
    again = pickle.loads(pickle.dumps(study))
    same(rox.fit(model, study, method="linked"), rox.fit(model, again, method="linked"))
    same(rox.fit(model, study, within="saturated"), rox.fit(model, study.moments, within="saturated"))


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")  # 20 units
def test_equation_units(tiny):
    model, frames = tiny.model(3), tiny.frames(20, 3)
    frames = (frames[0][frames[0]["key"] > "u002"], frames[1][frames[1]["key"] < "u018"], frames[2])
    found = equation_units(model, tiny.sample(model, tiny.study(model, frames)).means)
    assert found == {"staff": 17, "guests": 15, "money": 15}
    edges = tiny.fit(model, frames).edges().set_index(["cause", "effect"])
    assert edges.loc[("staff", "guests"), "df"] == 15 - 1 - 1
    assert edges.loc[("staff", "money"), "df"] == 15 - 2 - 1


# --- little or nothing between units


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
@pytest.mark.parametrize("within", ["pooled", "saturated"])
@pytest.mark.parametrize("seed", range(4))
def test_nothing_between_units(tiny, seed, within):
    holes = 0.2 if seed % 2 else 0.0
    model, frames = tiny.model(3), tiny.frames(25, 3, seed=seed, between=1e-9, holes=holes)
    sound(tiny.fit(model, frames, within=within))


def test_units_of_equal_composition(tiny):
    """Every unit gives the same answers: refused, whatever rounding leaves."""
    model, frames = tiny.model(3), tiny.frames(25, 3, sizes=(4, 5))
    rng = np.random.default_rng(0)
    answers = np.concatenate([rng.permutation([0.1, 0.2, 0.7, 1.3]) for _ in range(25)])
    with pytest.raises(EstimationError, match="'e1' has the same mean in all units"):
        tiny.fit(model, (frames[0].assign(e1=answers), *frames[1:]))


# --- few units, units without a source


@pytest.mark.parametrize("units", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("within", ["pooled", "saturated"])
def test_few_units_are_refused(tiny, units, within):
    with pytest.raises(EstimationError, match=r"unit\(s\)|units") as caught:
        tiny.fit(tiny.model(3), tiny.frames(units, 3), within=within)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
@pytest.mark.parametrize("within", ["pooled", "saturated"])
@pytest.mark.parametrize("units", [8, 10])
def test_hardly_enough_units(tiny, units, within):
    sound(tiny.fit(tiny.model(3), tiny.frames(units, 3, seed=1), within=within))


@pytest.mark.parametrize("within", ["pooled", "saturated", "model"])
@pytest.mark.parametrize("source", [0, 1, 2])
def test_a_unit_without_one_source(tiny, source, within):
    model, frames = tiny.model(3), tiny.frames(30, 3)
    lost = tuple(f[f["key"] != "u003"] if k == source else f for k, f in enumerate(frames))
    fit = tiny.fit(model, lost, within=within)
    assert fit.converged
    assert fit.indices()["n_units"] == 30
    assert any(f"1 of 30 without {('employee', 'customer', 'unit')[source]}" in note for note in fit.notes)
    sound(fit)


@pytest.mark.slow
@pytest.mark.parametrize("within", ["pooled", "saturated"])
def test_an_item_known_in_one_unit(tiny, within):
    model, frames = tiny.model(3), tiny.frames(30, 3)
    staff = frames[0].assign(e1=frames[0]["e1"].where(frames[0]["key"] == "u001"))
    with pytest.raises(EstimationError, match=r"'e1' is known in 1 unit\(s\)"):
        tiny.fit(model, (staff, *frames[1:]), within=within)
    staff = frames[0].assign(e1=frames[0]["e1"].where(frames[0]["key"] < "u002"))
    sound(tiny.fit(model, (staff, *frames[1:]), within=within))


def test_huge_units_beside_small_ones(tiny):
    model, frames = tiny.model(3), tiny.frames(30, 3)
    rng = np.random.default_rng(0)
    crowd = pd.DataFrame(rng.normal(size=(100_000, 3)) + 4, columns=["e1", "e2", "e3"]).assign(key="u000")
    staff = frames[0][frames[0]["key"] != "u001"]
    alone = frames[0][frames[0]["key"] == "u001"].head(1)
    sound(tiny.fit(model, (pd.concat([staff, alone, crowd]), *frames[1:])))


# --- answers that do not vary within units, or determine each other


def altered(frames, kind):
    staff = frames[0].copy()
    if kind == "no variance within units":
        staff["e1"] = staff.groupby("key")["e2"].transform("mean").where(staff["e1"].notna())
    elif kind == "duplicate":
        staff["e2"] = staff["e1"]
    else:
        staff["e3"] = staff["e1"] + staff["e2"]
    return staff, *frames[1:]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["no variance within units", "duplicate", "sum"])
@pytest.mark.parametrize("holes", [0.0, 0.2])
@pytest.mark.parametrize("within", ["pooled", "saturated", "model"])
def test_singular_answers(tiny, kind, holes, within):
    """A fit, or one sentence."""
    model, frames = tiny.model(3), altered(tiny.frames(30, 3, holes=holes), kind)
    refusal = ""
    try:
        fit = tiny.fit(model, frames, within=within)
    except RoxError as error:
        refusal = str(error)
    if not refusal:
        sound(fit)
        return
    assert "\n" not in refusal
    assert refusal.endswith(".")
    assert ". " in refusal  # what is wrong, and what to do


# --- scales


@pytest.mark.slow
@pytest.mark.parametrize("within", ["pooled", "saturated", "model"])
@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_extreme_scales(tiny, within, holes):
    model, frames = tiny.model(3), tiny.frames(30, 3, seed=1, holes=holes)
    other = (
        frames[0].assign(e1=1e-6 * frames[0]["e1"]),
        frames[1].assign(c2=1e-9 * frames[1]["c2"]),
        frames[2].assign(m=1e9 * frames[2]["m"]),
    )
    one, two = tiny.fit(model, frames, within=within), tiny.fit(model, other, within=within)
    assert two.converged
    sizes = {"staff": 1e-6, "guests": 1.0, "money": 1e9}
    for _, row in two.edges().iterrows():
        plain = one.edges().set_index(["cause", "effect"]).loc[(row["cause"], row["effect"])]
        size = sizes[row["effect"]] / sizes[row["cause"]]
        np.testing.assert_allclose(row["estimate"], size * plain["estimate"], rtol=1e-3)
        np.testing.assert_allclose(row["se"], size * plain["se"], rtol=1e-3)
        np.testing.assert_allclose(row["standardized"], plain["standardized"], rtol=1e-3)


def test_figures_far_from_zero(tiny):
    model, frames = tiny.model(3), tiny.frames(30, 3, seed=1)
    far = (*frames[:2], frames[2].assign(m=frames[2]["m"] + 1e7))
    one, two = tiny.fit(model, frames), tiny.fit(model, far)
    np.testing.assert_allclose(two.edges()["estimate"], one.edges()["estimate"], rtol=1e-4)
    np.testing.assert_allclose(two.edges()["se"], one.edges()["se"], rtol=1e-3)


# --- finite units


def test_everybody_answered(tiny):
    """No sampling error: the unit means as they are, by method "sem"."""
    model, frames = tiny.model(3), tiny.frames(50, 3, seed=1)
    sizes = [f.groupby("key").size().to_numpy(float) for f in frames[:2]]
    books = frames[2].assign(staffed=sizes[0], served=sizes[1])
    study = tiny.study(model, (*frames[:2], books), eligible={"employee": "staffed", "customer": "served"})
    means = pd.concat([f.groupby("key").mean(numeric_only=True) for f in frames], axis=1)
    one = rox.fit(model, means, method="sem", means=True)
    same(one, rox.fit(model, study, method="linked"), ("estimate", "standardized"))


@pytest.mark.parametrize("known", ["nowhere", "in some units"])
def test_eligible_not_known(tiny, known):
    model, frames = tiny.model(3), tiny.frames(30, 3)
    books = frames[2].assign(staffed=np.where(frames[2].index < (0 if known == "nowhere" else 10), 50.0, np.nan))
    fit = rox.fit(model, tiny.study(model, (*frames[:2], books), eligible={"employee": "staffed"}), method="linked")
    sound(fit)
    if known == "nowhere":
        same(tiny.fit(model, frames), fit)


# --- models of all sorts


def item(name, **options):
    return rox.Item(name=name, **options)


MODELS = {
    "fixed edge": {"edges": [rox.Edge(cause="staff", effect="guests", fixed=0.6), "guests + staff -> money"]},
    "equal edges": {
        "edges": [
            rox.Edge(cause="staff", effect="guests", label="a"), rox.Edge(cause="guests", effect="money", label="a"),
        ]
    },
    "equal loadings": {"staff": {"items": ["e1", item("e2", loading="l"), item("e3", loading="l")]}},
    "fixed loadings": {"staff": {"items": ["e1", item("e2", loading=1.0), item("e3", loading=0.8)]}},
    "reliability of a figure": {"money": {"reliability": 0.8}},
    "reliability of an item": {"staff": {"items": ["e1"], "reliability": 0.8}},
    "residuals zero": {"staff": {"residuals": "zero"}, "guests": {"residuals": "zero"}},
    "residuals equal": {"staff": {"residuals": "equal"}, "guests": {"residuals": "equal"}},
    "items that covary over sources": {"edges": ["staff -> guests", "guests + staff -> money", "e1 <-> c1"]},
    "items that covary in a source": {"edges": ["staff -> guests", "guests + staff -> money", "e1 <-> e2"]},
    "two items": {"staff": {"items": ["e1", "e2"]}, "guests": {"items": ["c1", "c2"]}},
    "one item": {"staff": {"items": ["e1"]}, "guests": {"items": ["c1"]}},
    "no edges": {"edges": []},
    "unconnected": {"edges": ["guests -> money"]},
    "two items unconnected, equal": {
        "staff": {"items": ["e1", "e2"], "residuals": "equal"}, "edges": ["guests -> money"],
    },
    "constructs that covary": {"edges": ["staff -> guests", "staff -> money", "guests <-> money"]},
    "ends that covary": {"edges": ["staff -> guests", "staff -> money"], "terminal_covariances": True},
    "fixed exogenous": {"exogenous": "fixed"},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("within", ["pooled", "saturated"])
def test_models(tiny, name, within):
    fit = tiny.fit(tiny.model(3, **MODELS[name]), tiny.frames(40, 3, seed=3, sizes=(8, 16)), within=within)
    assert fit.converged
    assert fit.identified
    sound(fit)
    edges = fit.edges().set_index(["cause", "effect"])
    if name == "fixed edge":
        assert edges.loc[("staff", "guests"), "estimate"] == 0.6
        assert np.isnan(edges.loc[("staff", "guests"), "se"])
    if name == "equal edges":
        assert edges["estimate"].nunique() == 1
    if name == "two items":
        table = fit.parameters().set_index("id")["estimate"]
        assert table["variance:e1"] == table["variance:e2"]
        assert any("held equal: staff, guests" in note for note in fit.notes)
    if name == "residuals zero":
        table = fit.parameters().set_index("id")["estimate"]
        assert (table[[f"variance:e{k}" for k in (1, 2, 3)]] == 0).all()
    if name == "reliability of a figure":
        one = tiny.fit(tiny.model(3), tiny.frames(40, 3, seed=3, sizes=(8, 16)), within=within).parameters()
        plain = one.set_index("id").loc["edge:staff->money", "standardized"]
        assert abs(edges.loc[("staff", "money"), "standardized"]) > abs(plain)


@pytest.mark.parametrize("residuals", ["zero", "equal"])
def test_residuals_are_a_statement_on_units(tiny, residuals):
    """What is said of residuals between units does not hold of single answers."""
    model = tiny.model(4, staff={"residuals": residuals}, guests={"residuals": residuals})
    frames = tiny.frames(40, 4, seed=3, sizes=(8, 16))
    assert not any("No edges within" in note for note in tiny.fit(model, frames).notes)
    plain = tiny.fit(tiny.model(4), frames, within="model")
    found = tiny.fit(model, frames, within="model")
    assert found.converged
    assert found.indices()["aic"] - plain.indices()["aic"] < 60  # no worse than what the units pay for it


def test_two_items_alone_are_refused(tiny):
    for edges in (["guests -> money"], []):
        with pytest.raises(EstimationError, match="'staff' has two items and is connected to nothing"):
            tiny.fit(tiny.model(3, edges=edges, staff={"items": ["e1", "e2"]}), tiny.frames(30, 3))
        obeyed = tiny.model(3, edges=edges, staff={"items": ["e1", rox.Item(name="e2", loading=1.0)]})
        assert tiny.fit(obeyed, tiny.frames(30, 3)).identified


def feedback():
    constructs = [
        rox.Construct(name="staff", factor="pride", source="employee", items=["e1", "e2", "e3"]),
        rox.Construct(name="guests", factor="outcomes", source="customer", items=["c1", "c2", "c3"]),
        rox.Construct(name="pay", factor="context", source="unit", items=["pay"]),
        rox.Construct(name="price", factor="context", source="unit", items=["price"]),
    ]
    edges = ["staff -> guests", "guests -> staff", "pay -> staff", "price -> guests"]
    return rox.RoxModel(name="loop", constructs=constructs, edges=edges, feedback=True)


def test_feedback():
    rng = np.random.default_rng(0)
    units, size = 150, 30
    pay, price = rng.normal(size=(2, units))
    own = np.column_stack([0.8 * pay, -0.8 * price]) + 0.5 * rng.normal(size=(units, 2))
    level = own @ np.linalg.inv(np.eye(2) - np.array([[0, 0.3], [0.4, 0]])).T
    keys = np.repeat(np.arange(units), size)
    frames = []
    for k, prefix in enumerate("ec"):
        answers = level[keys, [k] * len(keys)][:, None] + rng.normal(size=(len(keys), 3))
        frames.append(pd.DataFrame(answers, columns=[f"{prefix}{i}" for i in (1, 2, 3)]).assign(key=keys))
    books = pd.DataFrame({"key": range(units), "pay": pay, "price": price})
    model = feedback()
    study = rox.Study(model, employee=frames[0], customer=frames[1], unit=books, by="key")
    fit = rox.fit(model, study, method="linked")
    assert fit.converged
    edges = fit.edges().set_index(["cause", "effect"])
    truth = {("staff", "guests"): 0.4, ("guests", "staff"): 0.3, ("pay", "staff"): 0.8, ("price", "guests"): -0.8}
    for pair, value in truth.items():
        assert abs(edges.loc[pair, "estimate"] - value) < 4 * edges.loc[pair, "se"]
    assert any("equilibrium" in note for note in fit.notes)
    bare = model.replace(edges=("staff -> guests", "guests -> staff"))
    with pytest.raises(EstimationError, match="not identified"):
        rox.fit(bare, study, method="linked")


@pytest.mark.parametrize("holes", [0.0, 0.1])
def test_many_items(tiny, holes, monkeypatch):
    """More items than the saturated model takes; the chi-square says that it is out of reach."""
    monkeypatch.setattr("roxmodel.estimate.latent.unrestricted._MOST_ITEMS", 10)
    model, frames = tiny.model(6), tiny.frames(60, 6, seed=1, holes=holes)
    fit = tiny.fit(model, frames)
    assert fit.converged
    assert np.isnan(fit.indices()["chisq"])
    assert any("out of reach (more than" in note for note in fit.notes)

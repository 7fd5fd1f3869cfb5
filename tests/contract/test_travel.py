"""Every public answer travels: copied, deep-copied, pickled, sent to a process that starts from nothing.

It comes back as the same type, gives the same answers, and stays as frozen as it was.
"""

import copy
import multiprocessing
import pickle
import types
import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.frozen import Frozen, FrozenMapping
from roxmodel.published import published
from roxmodel.spec.parameters import plan as planned
from roxmodel.survey.reading import Reading

pytestmark = pytest.mark.slow

WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {k}": lambda thing, k=k: pickle.loads(pickle.dumps(thing, protocol=k)) for k in range(2, 6)},
}
FEW = {"draws": 40, "seed": 1}
ACTIONS = [
    rox.Intervention(name="coaching", shift={"pride": 0.2}, cost=1e3, units=rox.Lowest(on="pride"), ramp=1),
    rox.Intervention(name="rules", set={"behaviours": 4.0}, cost=2e3, start=2),
]
LAVAAN = "A =~ a0 + l*a1 + a2\nB =~ b0 + b1 + b2\nB ~ p*A\nq := p^2 + exp(l)"


def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=240)
    found = {f"{name}{k}": share * x + rng.normal(size=240) for name, share in (("a", 1), ("b", 0.5)) for k in range(3)}
    return pd.DataFrame(found).assign(g=rng.choice(["u", "v"], 240))


def specifications():
    yield (
        "scales",
        [
            rox.Likert(1, 3, labels=["a", "b", "c"]),
            *(rox.NPS(), rox.Percent(), rox.Binary(labels=["no", "yes"]), rox.Count(), rox.Amount("EUR")),
        ],
    )
    yield "actions", ACTIONS
    yield "rules", [rox.Above(on="a", level=1), rox.Below(on="a", level=1), rox.Highest(on="a"), rox.Lowest(on="a")]
    yield (
        "values",
        [
            *(rox.LogValue(1.0), rox.NormalValue(1, 1), rox.TriangularValue(1, 2, 3), rox.UniformValue(1, 2)),
            *(rox.UnitValue({"a": 1, 2: 3}), rox.LifetimeValue(10.0, retention=0.8)),
        ],
    )
    yield "finance", rox.Finance(value={"revenue": rox.NormalValue(1, 1)}, discount=0.1)
    yield (
        "parts",
        [rox.Item(name="i", scale=rox.NPS()), rox.Edge(cause="a", effect="b"), rox.Covariance(left="a", right="b")],
    )
    yield "model", rox.RoxModel.from_lavaan(LAVAAN)
    yield "parameters", planned(rox.RoxModel.from_lavaan(LAVAAN))
    yield (
        "errors",
        [
            kind("what is wrong", allowed="this", hint="do that")
            for kind in (rox.RoxError, rox.SpecError, rox.DataError, rox.EstimationError, rox.SimulationError)
        ],
    )
    yield "document error", [rox.DocumentError("x"), rox.RoxWarning("y")]
    yield "mapping", FrozenMapping({"a": FrozenMapping({"b": 1})})


def single_level():
    frame = rows()
    model = rox.RoxModel.from_lavaan(LAVAAN)
    yield "fit sem", rox.fit(model, frame, means=True)
    yield "fit groups", (groups := rox.fit(model, frame, group="g"))
    yield "fit one group", groups.group("u")
    ordinal = frame.drop(columns="g").apply(lambda column: pd.cut(column, [-9, -1, 0, 1, 9], labels=False))
    yield "fit ordinal", rox.fit(model, ordinal, estimator="DWLS", ordered=list(ordinal))
    yield "invariance", rox.invariance(rox.RoxModel.from_lavaan("A =~ a0 + a1 + a2"), frame, group="g")
    yield "moments", rox.Moments.from_rows(frame.iloc[:, :6].to_numpy(), list(frame)[:6])
    yield "aggregated", rox.Aggregated(pd.DataFrame({"b": [1, 2], "x": [1.0, 2.0], "n": [5, 6]}), n="n")
    yield "published", published()


def linked(folder):
    world = rox.datasets.make_world(units=30, seed=1)
    study = world.study()
    yield "world", world
    yield "truth", world.truth
    yield "design", world.design
    yield "study", study
    yield "study of moments", rox.Study.of(study.moments, world.model, by="branch")
    yield "study check", study.check()
    yield "linked moments", study.moments
    yield "fit path", (path := rox.fit(world.model, study, method="path"))
    yield "fit bootstrap", rox.fit(world.model, study, method="path", bootstrap=20, seed=1)
    yield "fit linked", (fit := rox.fit(world.model, study))
    yield "story", fit.story()
    for name, one in (("path", path), ("linked", fit)):
        yield f"run {name}", rox.simulate(one, ACTIONS, horizon=3, value={"revenue": 1e3}, **FEW)
        price = {"revenue": rox.NormalValue(1e3, 10)}
        yield f"plan {name}", (plan := rox.optimize(one, ACTIONS, budget=5e3, horizon=3, value=price, **FEW))
        yield f"saved plan {name}", rox.load_plan(plan.save(folder / "plan.json"), one)
        yield f"forecast {name}", rox.forecast(one, **FEW)
        yield f"priorities {name}", rox.where_to_act(one, "revenue", **FEW)
        saved = one.save(folder / "fit.json")
        yield f"loaded {name}", rox.load(saved)
        yield f"engine {name}", (engine := rox.ScoringEngine.load(saved))
        yield f"scores {name}", engine.score({"pri1": 3, "val2": 4})
    yield "counterfactual", rox.counterfactual(path, study.units[3], do={"pride": 3.0}, **FEW)


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        return dict([*specifications(), *single_level(), *linked(tmp_path_factory.mktemp("travel"))])


def said(thing):
    """What an answer says, as text: its record, words and tables, its arrays."""
    if isinstance(thing, Mapping):
        return [type(thing), [*thing], [said(part) for part in thing.values()]]
    if isinstance(thing, list | tuple):
        return [type(thing), [said(part) for part in thing]]
    found = [str(type(thing)), str(thing)]
    if isinstance(thing, rox.ScoringEngine):
        found += [thing.items, thing.score({"pri1": 4, "beh2": 2}), thing.what_if({"pride": 0.2})]
    if isinstance(thing, Exception):
        found += [vars(thing)]
    for name in ("summary", "edges", "parameters", "indices", "rox", "linkage", "quality", "checks", "model_dump"):
        if callable(getattr(thing, name, None)):
            found.append(getattr(thing, name)())
    return [*map(str, found), *(str(array.tolist()) for _, array in arrays(thing))]


def arrays(thing, seen=None, where="", depth=0):
    """Every array that an object holds, by where it stands."""
    seen = {} if seen is None else seen
    still = str | bytes | int | float | None | type | types.ModuleType | types.FunctionType | pd.DataFrame | pd.Series
    if isinstance(thing, still) or id(thing) in seen or depth > 25:
        return
    seen[id(thing)] = thing
    if isinstance(thing, np.ndarray):
        yield where, thing
        return
    if isinstance(thing, Mapping):
        parts = [(f"[{key!r}]", part) for key, part in thing.items()]
    elif isinstance(thing, list | tuple | set | frozenset):
        parts = [(f"[{place}]", part) for place, part in enumerate(thing)]
    else:
        names = [*getattr(thing, "__dict__", {}), *getattr(type(thing), "model_fields", {})]
        for kind in type(thing).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            names += [slots] if isinstance(slots, str) else slots
        names = [
            name for name in dict.fromkeys(names) if not (isinstance(thing, Reading) and name == "rows")
        ]  # at home
        parts = [(f".{name}", getattr(thing, name)) for name in names if hasattr(thing, name)]
    for name, part in parts:
        yield from arrays(part, seen, where + name, depth + 1)


@pytest.fixture(scope="module")
def answers(things):
    return {name: said(thing) for name, thing in things.items()}


@pytest.mark.parametrize("way", WAYS)
def test_every_answer_comes_back_the_same(things, answers, way):
    for name, thing in things.items():
        back = WAYS[way](thing)
        assert type(back) is type(thing), name
        if way not in {"copy", "pickle 3", "pickle 4"}:  # what they hold is compared below
            assert said(back) == answers[name], name
        for (where, got), (_, wanted) in zip(arrays(back), arrays(thing), strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=f"{name} {where}")


@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle 5"])
def test_what_was_read_only_stays_so(things, way):
    for name, thing in things.items():
        before = {where: array.flags.writeable for where, array in arrays(thing)}
        after = {where: array.flags.writeable for where, array in arrays(WAYS[way](thing))}
        opened = [where for where, open_ in after.items() if open_ and not before.get(where, True)]
        assert not opened, f"{name}: {opened}"


def test_the_arrays_of_a_fit_are_read_only(things):
    for name in [name for name in things if name.startswith(("fit", "loaded"))]:
        assert not [where for where, array in arrays(things[name]) if array.flags.writeable], name


def test_frozen_things_refuse_changes_afterwards(things):
    frozen = [name for name in things if name not in {"errors", "document error"}]
    for name in (name for name in frozen if not isinstance(things[name], list | dict | Mapping)):
        for way in ("copy", "deepcopy", "pickle 4"):
            back = WAYS[way](things[name])
            kind = type(back)
            names = getattr(kind, "__dataclass_fields__", getattr(kind, "model_fields", getattr(kind, "__slots__", ())))
            field = next(iter(names or ["name"]))
            with pytest.raises((AttributeError, rox.RoxError)):
                setattr(back, field, 1)


def test_a_copy_shares_nothing_that_can_be_changed(things):
    world = things["world"]
    back = copy.deepcopy(world)
    back.employee.iloc[0, 1] = -99
    assert world.employee.iloc[0, 1] != -99


def test_a_fit_to_a_study_that_travelled_is_the_same(things):
    world = things["world"]
    holed = world.employee.mask(np.random.default_rng(0).random(world.employee.shape) < 0.05)
    holed[world.by] = world.employee[world.by]
    # a pickled study leaves its rows at home, and with them the patterns of missing answers
    for employee, ways in ((world.employee, ("deepcopy", "pickle 5")), (holed, ("copy", "deepcopy"))):
        study = world.study(employee=employee)
        for method in ("path", "linked"):
            first = rox.fit(world.model, study, method=method)
            for way in ways:
                again = rox.fit(world.model, WAYS[way](study), method=method)
                np.testing.assert_allclose(again.theta, first.theta, rtol=1e-6, err_msg=f"{method} {way}")


def test_no_rows_of_a_study_travel(things):
    """Answers of single people are remembered where they were read, and nowhere else."""
    study = things["study"]
    assert study._reading.rows
    assert not pickle.loads(pickle.dumps(study))._reading.rows
    fits = [things[name] for name in things if name.startswith(("fit", "loaded"))]
    assert not [
        where for fit in fits for where, array in arrays(fit) if array.shape[:1] == (len(things["world"].employee),)
    ]


def test_every_public_type_is_among_them(things):
    """A new public class has to be sent on this journey too."""
    seen: set[type] = set()

    def note(thing):
        seen.update(type(thing).__mro__)
        if isinstance(thing, list | tuple | Mapping):
            for part in thing.values() if isinstance(thing, Mapping) else thing:
                note(part)

    for thing in things.values():
        note(thing)
        if isinstance(thing, rox.RoxModel):
            note(list(thing.constructs))
    public = [getattr(rox, name) for name in rox.__all__ if isinstance(getattr(rox, name), type)]
    assert not [kind.__name__ for kind in public if kind not in seen]
    assert Frozen in seen


def test_a_process_that_starts_from_nothing_gets_the_same(things, answers):
    names = ("engine linked", "invariance", "world", "run path", "study", "model")
    engine, fit = things["engine linked"], things["fit linked"]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        back = pool.map(copy.copy, [things[name] for name in names])
        assert pool.apply(engine.score, ({"pri1": 4},))["pride"] == engine.score({"pri1": 4})["pride"]
        assert pool.apply(fit.summary) == fit.summary()
    for name, found in zip(names, back, strict=True):
        assert said(found) == answers[name], name

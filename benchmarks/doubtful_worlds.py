"""Worlds whose truth is known: clean ones that nobody may doubt, and ones that break one assumption each.

Used by `doubts.py`. Pride moves behaviours, these value, value revenue, beside affluence; employees answer the first
two, customers value, the books hold the rest. A world is one function of a random generator, a number of units and a
strength.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from scipy import stats

import roxmodel as rox

__all__ = ["CLEAN", "VIOLATIONS", "Case", "World"]

Rng: TypeAlias = np.random.Generator
Array: TypeAlias = np.ndarray
TOTAL: Final = 0.6 * 0.7 * 60.0  # of pride on revenue
ASKED: Final = {"employee": ("pride", "beh"), "customer": ("value",)}
FACTOR: Final = {"pride": "pride", "beh": "behaviours", "value": "value_drivers"}
ORDER: Final = ("pride", "beh", "value", "revenue")
REGIONS: Final = 12


@dataclass(frozen=True)
class World:
    """Surveys, the graph that is fitted to them, and what is known of them."""

    model: rox.RoxModel
    frames: Mapping[str, pd.DataFrame]  # by source; "rows" alone: people with all answers in one row
    truth: float = TOTAL
    head: tuple[str, str] = ("pride", "revenue")
    culprits: tuple[tuple[str, ...], ...] = ()  # it is found where a row names all names of one of these
    right: rox.RoxModel | None = None  # one arrow more than the model: the likelihood ratio is the best test
    causes: int = 3  # of the equation that gains this arrow
    pvalue: float = np.nan  # of the best test, where it is none of likelihoods

    def data(self) -> Any:
        """What is given to the fit."""
        return self.frames["rows"] if "rows" in self.frames else rox.Study(self.model, **self.frames, by="branch")


@dataclass(frozen=True)
class Case:
    """A kind of world."""

    name: str
    draw: Callable[[Rng, int, float], World]
    strength: float = 0.0
    checks: tuple[str, ...] = ()  # whose place it is to say it
    best: str = ""  # the test that is held to be the best

    @property
    def label(self) -> str:
        """Name and strength."""
        return f"{self.name}, {self.strength:g}" if self.strength else self.name


@dataclass(frozen=True)
class Shape:
    """How a world is drawn; the defaults are a clean one."""

    noise: Callable[[Rng, int], Array] = lambda rng, n: rng.standard_normal((4, n))  # (4, units), of `ORDER`
    context: Callable[[Rng, int], Array] = lambda rng, n: rng.standard_normal(n)  # (units,) affluence
    direct: float = 0.0  # pride -> revenue
    size: tuple[int, int] = (20, 20)
    points: int = 0  # of the scale; 0: not rounded
    centre: float = 0.6  # of the scale's length
    missing: float = 0.0
    tendency: float = 0.0  # sd over units of how all their employees answer
    meaning: float = 0.0  # of value1: points that affluence moves it by, past value
    crossed: float = 0.0  # loading of beh3 on pride


def scale_of(shape: Shape) -> Any:
    return rox.Likert(1, shape.points) if shape.points else None


def graph(*more: str, turned: str = "", scale: Any = None) -> rox.RoxModel:
    """The chain's model with further edges; `turned` is an edge that is drawn the other way."""
    constructs = [
        rox.Construct(name=k, factor=FACTOR[k], source=source, items=[f"{k}{i}" for i in (1, 2, 3)], scale=scale)
        for source, names in ASKED.items()
        for k in names
    ]
    own = (("affluence", "context"), ("revenue", "outcomes"))
    constructs += [rox.Construct(name=k, factor=f, source="unit", items=[k]) for k, f in own]
    edges = ["pride -> beh", "beh -> value", "affluence -> value", "value -> revenue", "affluence -> revenue"]
    edges = [" -> ".join(reversed(edge.split(" -> "))) if edge == turned else edge for edge in edges]
    return rox.RoxModel(name="chain", constructs=constructs, edges=[*edges, *more])


def apart(item: str, other: str) -> rox.RoxModel:
    """The chain's model with an item that another construct moves too: it becomes an effect of both."""
    base, own = graph(), item[:-1]
    constructs = [
        rox.Construct(name=c.name, factor=c.factor, source=c.source, items=[i for i in c.item_names if i != item])
        for c in base.constructs
    ]
    source = next(c.source for c in base.constructs if c.name == own)
    constructs.append(rox.Construct(name=f"{item}_level", factor="context", source=source, items=[item]))
    edges = [*base.edges, f"{own} -> {item}_level", f"{other} -> {item}_level"]
    return rox.RoxModel(name="apart", constructs=constructs, edges=edges)


def levels(shape: Shape, rng: Rng, units: int) -> dict[str, Array]:
    """True levels of all units."""
    pushed = dict(zip(ORDER, shape.noise(rng, units), strict=True))
    affluence = shape.context(rng, units)
    pride = 0.35 * pushed["pride"]
    beh = 0.6 * pride + 0.2 * pushed["beh"]
    value = 0.7 * beh + 0.08 * affluence + 0.2 * pushed["value"]
    revenue = 60.0 * value + 6.0 * affluence + shape.direct * pride + 15.0 * pushed["revenue"]
    return {"pride": pride, "beh": beh, "value": value, "revenue": revenue, "affluence": affluence}


def keys(units: int) -> Array:
    return np.array([f"b{k:03d}" for k in range(units)])


def sizes(shape: Shape, rng: Rng, units: int) -> Array:
    return rng.integers(shape.size[0], shape.size[1] + 1, units)


def survey(
    shape: Shape, rng: Rng, level: Mapping[str, Array], source: str, counts: Array, spread: Array | None = None
) -> pd.DataFrame:
    """Answers of one source; `spread` is the sd of what is a person's own, by unit."""
    unit = np.repeat(np.arange(len(counts)), counts)
    mood = 0.5 * rng.standard_normal(len(unit))
    common = shape.tendency * rng.standard_normal(len(counts))[unit] if source == "employee" else 0.0
    wide = 0.7 if spread is None else spread[unit]
    columns = {}
    for name in ASKED[source]:
        for k in (1, 2, 3):
            item = level[name] + 0.08 * rng.standard_normal(len(counts))
            item += shape.meaning * level["affluence"] if (name, k) == ("value", 1) else 0.0
            item += shape.crossed * level["pride"] if (name, k) == ("beh", 3) else 0.0
            answer = item[unit] + common + mood + wide * rng.standard_normal(len(unit))
            columns[f"{name}{k}"] = answered(shape, rng, answer)
    return pd.DataFrame({"branch": keys(len(counts))[unit], **columns})


def answered(shape: Shape, rng: Rng, answer: Array) -> Array:
    """On the scale, and with holes."""
    found = answer + 4.0
    if shape.points:
        length = shape.points - 1
        found = np.clip(np.rint(1 + length * (shape.centre + answer / 4.0)), 1, shape.points)
    return np.where(rng.random(len(found)) < shape.missing, np.nan, found) if shape.missing else found


def books(level: Mapping[str, Array]) -> pd.DataFrame:
    own = {"revenue": 500.0 + level["revenue"], "affluence": 25.0 + level["affluence"]}
    return pd.DataFrame({"branch": keys(len(level["revenue"])), **own})


def chain(shape: Shape, rng: Rng, units: int, counts: Array | None = None) -> tuple[World, dict[str, Array]]:
    """A world of this shape and its true levels."""
    level = levels(shape, rng, units)
    frames = {}
    for source in ASKED:
        own = sizes(shape, rng, units) if counts is None else counts
        frames[source] = survey(shape, rng, level, source, own)
    truth = TOTAL + shape.direct
    return World(graph(scale=scale_of(shape)), {**frames, "unit": books(level)}, truth=truth), level


def with_books(world: World, **columns: Any) -> World:
    return replace(world, frames={**world.frames, "unit": world.frames["unit"].assign(**columns)})


def unit_means(world: World, name: str) -> Array:
    """(units,) mean answer to a construct, in the order of the books."""
    source = next(source for source, names in ASKED.items() if name in names)
    frame = world.frames[source]
    means = frame.groupby("branch")[[f"{name}{k}" for k in (1, 2, 3)]].mean().mean(axis=1)
    return means.reindex(world.frames["unit"]["branch"]).to_numpy()


def left_over(y: Array, *causes: Array) -> Array:
    """What a regression leaves."""
    x = np.column_stack([np.ones(len(y)), *causes])
    return np.asarray(y - x @ np.linalg.lstsq(x, y, rcond=None)[0])


def by_groups(values: Array, groups: Array) -> float:
    """P-value of an analysis of variance."""
    return float(stats.f_oneway(*(values[groups == own] for own in np.unique(groups) if (groups == own).any())).pvalue)


def equations(world: World) -> list[Array]:
    """What regressions of unit means leave of every construct that has causes, and pride."""
    pride, beh, value = (unit_means(world, name) for name in ("pride", "beh", "value"))
    own = world.frames["unit"]
    revenue, affluence = own["revenue"].to_numpy(), own["affluence"].to_numpy()
    return [pride, left_over(beh, pride), left_over(value, beh, affluence), left_over(revenue, value, affluence)]


# Clean ones


def plain(rng: Rng, units: int, _: float, shape: Shape = Shape()) -> World:
    return chain(shape, rng, units)[0]


def _tail(z: Array) -> Array:
    """Lognormal, skewness 1.75, mean 0 and variance 1, of standard normals."""
    return np.asarray((np.exp(0.5 * z) - np.exp(0.125)) / np.sqrt(np.exp(0.5) - np.exp(0.25)))


def _lognormal(rng: Rng, n: int) -> Array:
    own = rng.standard_normal((4, n))
    own[3] = _tail(own[3])
    return own


def _uneven(rng: Rng, n: int) -> Array:
    own = rng.standard_normal((4, n))
    spread = rng.uniform(0.4, 1.6, n)
    own[3] *= spread / np.sqrt(np.mean(spread**2))
    return own


def skewed(rng: Rng, units: int, _: float) -> World:
    """Revenue has a long tail, and so have affluence and a figure of the books that no construct uses."""
    world = chain(Shape(noise=_lognormal, context=lambda own, n: _tail(own.standard_normal(n))), rng, units)[0]
    return with_books(world, people=np.exp(3.0 + 0.7 * rng.standard_normal(units)))


def harmless(rng: Rng, units: int, _: float) -> World:
    return with_books(plain(rng, units, 0.0), region=[f"R{k:02d}" for k in rng.integers(0, REGIONS, units)])


def partly(rng: Rng, units: int, _: float) -> World:
    """A tenth of the units has no customers' answers, another tenth none of employees."""
    world = plain(rng, units, 0.0)
    order, tenth = keys(units)[rng.permutation(units)], units // 10
    gone = {"customer": order[:tenth], "employee": order[tenth : 2 * tenth]}
    frames = {source: world.frames[source][~world.frames[source]["branch"].isin(out)] for source, out in gone.items()}
    return replace(world, frames={**world.frames, **frames})


def make_world(rng: Rng, units: int, _: float) -> World:
    own = rox.datasets.make_world(units, seed=int(rng.integers(2**31)))
    frames = {"employee": own.employee, "customer": own.customer, "unit": own.unit}
    return World(own.model, frames, truth=own.truth.total("pride", "revenue"))


def people(rng: Rng, units: int, _: float) -> World:
    """One survey, all answers of a person in one row (method "sem"), six rows a unit."""
    n = 6 * units
    z = rng.standard_normal((3, n))
    pride, beh = z[0], 0.5 * z[0] + z[1]
    loyal = 0.5 * beh + z[2]
    rows = {f"{k}{i}": v + 0.7 * rng.standard_normal(n) for k, v in
            (("pride", pride), ("beh", beh), ("loyal", loyal)) for i in (1, 2, 3)}  # fmt: skip
    names = (("pride", "pride"), ("beh", "behaviours"), ("loyal", "outcomes"))
    constructs = [
        rox.Construct(name=k, factor=f, source="customer", items=[f"{k}{i}" for i in (1, 2, 3)]) for k, f in names
    ]
    model = rox.RoxModel(name="people", constructs=constructs, edges=["pride -> beh", "beh -> loyal"])
    return World(model, {"rows": pd.DataFrame(rows)}, truth=0.25, head=("pride", "loyal"))


# Violations


def noise(rng: Rng, units: int, _: float) -> World:
    """One question whose answers do not differ between units at all; six answers each."""
    n = 6 * units
    answers = np.clip(np.rint(3.4 + rng.standard_normal(n)), 1, 5)
    model = rox.RoxModel(name="noise", edges=["pride -> revenue"], constructs=[
        rox.Construct(name="pride", factor="pride", source="employee", items=["pride1"], scale=rox.Likert(1, 5)),
        rox.Construct(name="revenue", factor="outcomes", source="unit", items=["revenue"])])  # fmt: skip
    frames = {
        "employee": pd.DataFrame({"branch": np.repeat(keys(units), 6), "pride1": answers}),
        "unit": pd.DataFrame({"branch": keys(units), "revenue": 500 + 50 * rng.standard_normal(units)}),
    }
    return World(model, frames, truth=0.0, culprits=(("pride",),))


def collinear(rng: Rng, units: int, strength: float) -> World:
    """Two causes that go together; an item of the second holds what is particular to the effect."""
    z = rng.standard_normal((3, units))
    staff, info = z[0], strength * z[0] + np.sqrt(1 - strength**2) * z[1]
    rating = 0.5 * staff + 0.3 * info + 0.5 * z[2]
    unit = np.repeat(np.arange(units), 20)

    def ask(**level: Array) -> pd.DataFrame:
        own = {}
        for name, i in ((name, i) for name in level for i in (1, 2, 3)):
            item = level[name] + 0.2 * rng.standard_normal(units) + (0.4 * z[2] if (name, i) == ("info", 3) else 0.0)
            own[f"{name}{i}"] = item[unit] + 1.5 * rng.standard_normal(len(unit))
        return pd.DataFrame({"branch": keys(units)[unit], **own})

    kinds = {
        "staff": ("value_drivers", "customer"),
        "info": ("value_drivers", "customer"),
        "rating": ("outcomes", "guest"),
    }
    constructs = [
        rox.Construct(name=k, factor=f, source=s, items=[f"{k}{i}" for i in (1, 2, 3)]) for k, (f, s) in kinds.items()
    ]
    model = rox.RoxModel(name="two causes", constructs=constructs, edges=["staff + info -> rating"])
    frames: dict[str, Any] = {"customer": ask(staff=staff, info=info), "sources": {"guest": ask(rating=rating)}}
    return World(model, frames, truth=0.5, head=("staff", "rating"), culprits=(("staff", "info"),))


def arrow(rng: Rng, units: int, strength: float) -> World:
    """Pride moves revenue past the chain, and the graph does not say so."""
    world = chain(Shape(direct=strength), rng, units)[0]
    return replace(world, right=graph("pride -> revenue"), culprits=(("pride", "revenue"),))


def covariance(rng: Rng, units: int, strength: float) -> World:
    """A cause of behaviours and revenue that nobody has measured."""

    def joined(own: Rng, n: int) -> Array:
        z = own.standard_normal((4, n))
        z[3] = strength * z[1] + np.sqrt(1 - strength**2) * z[3]
        return z

    world = chain(Shape(noise=joined), rng, units)[0]
    return replace(world, right=graph("beh <-> revenue"), culprits=(("beh", "revenue"),))


def crossed(rng: Rng, units: int, strength: float) -> World:
    world = chain(Shape(crossed=strength), rng, units)[0]
    return replace(world, right=apart("beh3", "pride"), culprits=(("beh3",),), causes=2)


def turned(rng: Rng, units: int, _: float) -> World:
    """Revenue moves value: the books come first, and what is left is no chain."""
    z, affluence = rng.standard_normal((4, units)), rng.standard_normal(units)
    pride = 0.35 * z[0]
    beh = 0.6 * pride + 0.2 * z[1]
    revenue = 6.0 * affluence + 20.0 * z[3]
    value = 0.7 * beh + 0.04 * affluence + 0.009 * revenue + 0.15 * z[2]
    level = {"pride": pride, "beh": beh, "value": value, "revenue": revenue, "affluence": affluence}
    counts = np.full(units, 20)
    frames = {source: survey(Shape(), rng, level, source, counts) for source in ASKED}
    return World(
        graph(), {**frames, "unit": books(level)}, truth=0.0, right=graph("beh -> revenue"),
        culprits=(("value", "revenue"), ("beh", "revenue"), ("pride", "revenue")),
    )  # fmt: skip


def equivalent(rng: Rng, units: int, _: float) -> World:
    """Behaviours move pride, which nothing in the data can tell from the graph."""
    world = plain(rng, units, 0.0)
    return replace(world, truth=0.0, culprits=(("pride", "beh"),))


def extra_row(rng: Rng, units: int, _: float, kind: str) -> World:
    world = plain(rng, units, 0.0)
    own = world.frames["unit"]
    mean, total = own["revenue"].mean(), own["revenue"].sum()
    row = {"Total": total, "Closed": 0.0, "Head": 12 * mean}[kind]
    added = pd.DataFrame({"branch": [kind], "revenue": [row], "affluence": [own["affluence"].mean()]})
    frame = pd.concat([own, added], ignore_index=True)
    return replace(world, frames={**world.frames, "unit": frame}, culprits=((kind,),), pvalue=0.0)


def outlying(rng: Rng, units: int, strength: float) -> World:
    """The revenue of one branch is off by some standard deviations of what value and affluence leave."""
    world = plain(rng, units, 0.0)
    value, own = unit_means(world, "value"), world.frames["unit"]
    place = int(np.argsort(value)[-units // 10])
    money = own["revenue"].to_numpy().copy()
    money[place] -= strength * 15.0
    x = np.column_stack([np.ones(units), value, own["affluence"]])
    hat = np.einsum("ij,ij->i", x, x @ np.linalg.inv(x.T @ x))
    e = left_over(money, value, own["affluence"].to_numpy())
    df = units - 4
    s2 = ((e**2).sum() - e**2 / (1 - hat)) / df
    p = 2 * stats.t.sf(np.abs(e / np.sqrt(s2 * (1 - hat))).max(), df) * units
    return replace(with_books(world, revenue=money), culprits=((keys(units)[place],),), pvalue=min(float(p), 1.0))


def selected(rng: Rng, units: int, strength: float) -> World:
    """The better half is asked; the books know all."""
    world = plain(rng, 2 * units, 0.0)
    own = world.frames["unit"]
    z = stats.zscore(own["revenue"].to_numpy())
    kept = np.argsort(strength * z + rng.logistic(size=2 * units))[units:]
    names = own["branch"].to_numpy()[kept]
    asked = {source: world.frames[source][world.frames[source]["branch"].isin(names)] for source in ASKED}
    inside = np.isin(np.arange(2 * units), kept)
    p = stats.ttest_ind(z[inside], z[~inside]).pvalue
    return replace(world, frames={**world.frames, **asked}, culprits=(("revenue",),), pvalue=float(p))


def response(rng: Rng, units: int, strength: float) -> World:
    """The more revenue, the more employees answer."""
    level = levels(Shape(), rng, units)
    z = stats.zscore(level["revenue"])
    counts = np.rint(np.exp(np.log(15) + strength * z + 0.35 * rng.standard_normal(units))).clip(3, 80).astype(int)
    frames = {"employee": survey(Shape(), rng, level, "employee", counts)}
    frames["customer"] = survey(Shape(), rng, level, "customer", np.full(units, 20))
    p = float(stats.spearmanr(counts, level["revenue"]).pvalue)
    return World(graph(), {**frames, "unit": books(level)}, culprits=(("employee",),), pvalue=p)


def spread(rng: Rng, units: int, strength: float) -> World:
    """The larger a branch, the less its people agree."""
    level = levels(Shape(), rng, units)
    counts = rng.integers(5, 81, units)
    wide = 0.7 * (counts / 30.0) ** strength
    frames = {source: survey(Shape(), rng, level, source, counts, wide) for source in ASKED}
    own = frames["employee"]
    within = own.groupby("branch")[[f"beh{k}" for k in (1, 2, 3)]].var().mean(axis=1)
    p = float(stats.spearmanr(within, own.groupby("branch").size()).pvalue)
    return World(graph(), {**frames, "unit": books(level)}, culprits=(("employee",), ("customer",)), pvalue=p)


def regions(rng: Rng, units: int, strength: float) -> World:
    where = rng.integers(0, REGIONS, units)

    def shared(own: Rng, n: int) -> Array:
        part = own.standard_normal((4, REGIONS))[:, where]
        return np.sqrt(1 - strength) * own.standard_normal((4, n)) + np.sqrt(strength) * part

    world = with_books(chain(Shape(noise=shared), rng, units)[0], region=[f"R{k:02d}" for k in where])
    p = min(by_groups(own, where) for own in equations(world)) * 4
    return replace(world, culprits=(("region",),), pvalue=min(p, 1.0))


def teams(rng: Rng, units: int, strength: float) -> World:
    """Four teams of five in every branch, each with a level of its own."""
    world = plain(rng, units, 0.0)
    frame = world.frames["employee"].copy()
    team = np.tile(np.repeat(np.arange(4), 5), units)
    place = np.repeat(np.arange(units), 20) * 4 + team
    items = [name for name in frame if name != "branch"]
    shift = {k: strength * rng.standard_normal(4 * units)[place] for k in ("pride", "beh")}
    for name in items:
        frame[name] += shift[name[:-1]]
    frame["team"] = [f"{key}-{own}" for key, own in zip(frame["branch"], team, strict=True)]
    best = 1.0
    for k in ("pride", "beh"):
        y = frame[[f"{k}{i}" for i in (1, 2, 3)]].mean(axis=1)
        inside = y - y.groupby(place).transform("mean")
        among = y.groupby(place).transform("mean") - y.groupby(frame["branch"]).transform("mean")
        f = (among**2).sum() / (3 * units) / ((inside**2).sum() / (16 * units))
        best = min(best, 2 * float(stats.f.sf(f, 3 * units, 16 * units)))
    return replace(world, frames={**world.frames, "employee": frame}, culprits=(("team",),), pvalue=best)


def tendency(rng: Rng, units: int, strength: float) -> World:
    """All employees of a branch answer high or low, whatever they are asked."""
    world = chain(Shape(tendency=strength), rng, units)[0]
    return replace(world, right=graph("pride -> value"), causes=4, culprits=(("pride", "value"), ("pride", "beh")))


def ceiling(rng: Rng, units: int, strength: float) -> World:
    """The share `strength` of customers ticks the best of five points."""
    world = plain(rng, units, 0.0)
    frame = world.frames["customer"].copy()
    for k in (1, 2, 3):
        own = frame[f"value{k}"]
        cut = float(own.quantile(1 - strength))
        frame[f"value{k}"] = np.clip(np.rint(own - cut + 4.5), 1, 5)
    culprits = (("value",), ("value1",), ("value2",), ("value3",))
    return replace(world, frames={**world.frames, "customer": frame}, culprits=culprits, pvalue=0.0)


def meaning(rng: Rng, units: int, strength: float) -> World:
    """What the first question of value means goes with affluence."""
    world = chain(Shape(meaning=strength), rng, units)[0]
    return replace(world, right=apart("value1", "affluence"), culprits=(("value1",),), causes=2)


def common(rng: Rng, units: int, strength: float) -> World:
    """One unseen cause moves everything."""

    def joined(own: Rng, n: int) -> Array:
        return np.asarray((own.standard_normal((4, n)) + strength * own.standard_normal(n)) / np.sqrt(1 + strength**2))

    world = chain(Shape(noise=joined), rng, units)[0]
    return replace(world, right=graph("pride <-> revenue"), culprits=(("unmeasured cause",), ("pride", "revenue")))


def turned_item(rng: Rng, units: int, _: float) -> World:
    world = plain(rng, units, 0.0)
    frame = world.frames["employee"].assign(pride1=8.0 - world.frames["employee"]["pride1"])
    return replace(world, frames={**world.frames, "employee": frame}, culprits=(("pride1",),), pvalue=0.0)


def repeated(rng: Rng, units: int, strength: float) -> World:
    """A share of the employees' rows stands twice, somewhere in the file."""
    world = plain(rng, units, 0.0, Shape(points=5))
    frame = world.frames["employee"]
    frame = pd.concat([frame, frame.sample(frac=strength, random_state=int(rng.integers(2**31)))], ignore_index=True)
    return replace(world, frames={**world.frames, "employee": frame}, culprits=(("employee",),))


def code_99(rng: Rng, units: int, strength: float) -> World:
    world = plain(rng, units, 0.0, Shape(points=5))
    frame = world.frames["employee"].copy()
    frame.loc[rng.random(len(frame)) < strength, "beh1"] = 99.0
    model = graph()
    return replace(world, model=model, frames={**world.frames, "employee": frame}, culprits=(("beh1",),), pvalue=0.0)


LR: Final = "likelihood ratio, one arrow"
CLEAN: Final[Sequence[Case]] = (
    Case("plain", plain),
    Case("skewed money", skewed),
    Case("5 to 80 answers", partial(plain, shape=Shape(size=(5, 80)))),
    Case("five points", partial(plain, shape=Shape(points=5, centre=0.7))),
    Case("seven points", partial(plain, shape=Shape(points=7, centre=0.7))),
    Case("10 % missing", partial(plain, shape=Shape(missing=0.1))),
    Case("harmless regions", harmless),
    Case("uneven spread", partial(plain, shape=Shape(noise=_uneven))),
    Case("one survey only", partly),
    Case("make_world", make_world),
    Case("people in one row", people),
)
VIOLATIONS: Final[Sequence[Case]] = (
    Case("noise", noise, 0.0, ("no_information", "identified"), "none needed"),
    Case("collinear causes", collinear, 0.97, ("collinear", "sign", "size"), "none"),
    Case("arrow left out", arrow, 15.0, ("missing_arrow",), LR),
    Case("arrow left out", arrow, 30.0, ("missing_arrow",), LR),
    Case("covariance left out", covariance, 0.5, ("missing_arrow",), LR),
    Case("cross-loading", crossed, 0.5, ("missing_arrow", "misfit"), LR),
    Case("arrow turned", turned, 0.0, ("missing_arrow",), LR),
    Case("arrow turned, equivalent", equivalent, 0.0, ("reversed",), "none has power"),
    Case("total row", partial(extra_row, kind="Total"), 0.0, ("books",), "seen"),
    Case("closed branch", partial(extra_row, kind="Closed"), 0.0, ("books",), "seen"),
    Case("head office", partial(extra_row, kind="Head"), 0.0, ("books",), "seen"),
    Case("outlying unit", outlying, 5.0, ("leverage",), "largest studentised residual"),
    Case("outlying unit", outlying, 8.0, ("leverage",), "largest studentised residual"),
    Case("units selected", selected, 1.0, ("units", "sampling", "response"), "t of asked against others"),
    Case("response", response, 0.3, ("response",), "Spearman"),
    Case("spread with size", spread, 0.4, ("response", "units", "sampling"), "Spearman"),
    Case("regions", regions, 0.25, ("dependence",), "analysis of variance"),
    Case("regions", regions, 0.5, ("dependence",), "analysis of variance"),
    Case("teams", teams, 0.5, ("teams",), "analysis of variance"),
    Case("answer tendency", tendency, 0.2, ("method", "missing_arrow"), LR),
    Case("answer tendency", tendency, 0.35, ("method", "missing_arrow"), LR),
    Case("ceiling", ceiling, 0.6, ("scale",), "seen"),
    Case("meaning differs", meaning, 0.15, ("missing_arrow", "misfit", "method"), LR),
    Case("common cause", common, 0.45, ("missing_arrow",), LR),
    Case("reversed item", turned_item, 0.0, ("reversed",), "seen"),
    Case("repeated rows", repeated, 0.2, ("duplicates",), "seen"),
    Case("code 99", code_99, 0.04, ("scale",), "seen"),
)

"""Differencing at every door: what a hidden unit answered changes nothing that the library says of units.

Two branches, B003 and B007, are alike in all but the answers of their one employee. Exchanging these answers leaves
every estimate as it was, so that whatever changes was told by a door. `python tests/contract/test_privacy_doors.py`
prints the table of doors and verbs.
"""

from __future__ import annotations

import inspect
import json
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import roxmodel as rox
from roxmodel.doubts import Doubt

pytestmark = pytest.mark.slow

CLOSE = 1e-7  # the order in which two rows are added up, through an iteration that stops at 1e-9
TWINS = ("B003", "B007")
GROUPS = {"one": ["B007"], "the other": ["B003"], "both": list(TWINS), "others": ["B001", "B002", "B007"]}


def model() -> rox.RoxModel:
    def construct(name: str, factor: str, source: str, items: list[str], scale: object = None) -> rox.Construct:
        return rox.Construct(name=name, factor=factor, source=source, items=items, scale=scale)

    return rox.RoxModel(
        name="m",
        edges=["pride -> loyalty", "pride + loyalty -> revenue"],
        constructs=[
            construct("pride", "pride", "employee", ["p1", "p2"], rox.Likert(1, 5)),
            construct("loyalty", "outcomes", "customer", ["l1", "l2"], rox.Likert(1, 5)),
            construct("revenue", "outcomes", "unit", ["revenue"]),
        ],
    )


def world(exchanged: bool, min_group: int = 5) -> rox.Study:
    """40 branches; the employees of B003 and B007 are one person each, whose answers are exchanged or not."""
    rng, keys = np.random.default_rng(4), [f"B{i:03d}" for i in range(40)]
    pride = rng.normal(0, 0.5, 40)
    loyalty = 0.5 * pride + rng.normal(0, 0.4, 40)

    def survey(level: np.ndarray, n: int, names: list[str]) -> pd.DataFrame:
        key = np.repeat(np.arange(40), n)
        x = 3 + level[key] + rng.normal(0, 0.6, len(key))
        answers = {q: np.clip(np.rint(x + rng.normal(0, 0.6, len(key))), 1, 5) for q in names}
        return pd.DataFrame({"branch": np.array(keys)[key], **answers})

    staff, guests = survey(pride, 8, ["p1", "p2"]), survey(loyalty, 10, ["l1", "l2"])
    books = pd.DataFrame({"branch": keys, "revenue": 100 + 10 * pride + 20 * loyalty + rng.normal(0, 5, 40)})
    first, second = TWINS
    guests.loc[guests["branch"] == second, ["l1", "l2"]] = guests.loc[
        guests["branch"] == first, ["l1", "l2"]
    ].to_numpy()
    books.loc[books["branch"] == second, "revenue"] = books.loc[books["branch"] == first, "revenue"].to_numpy()
    answers = [(1.0, 2.0), (5.0, 4.0)]
    one = pd.DataFrame([(k, *a) for k, a in zip(TWINS, answers[::-1] if exchanged else answers, strict=True)])
    one.columns = ["branch", "p1", "p2"]
    staff = pd.concat([staff[~staff["branch"].isin(TWINS)], one], ignore_index=True)
    return rox.Study(model(), employee=staff, customer=guests, unit=books, by="branch", min_group=min_group)


# --- everything that can be asked

INTERVENTIONS = [
    rox.Intervention(name="everywhere", shift={"pride": 1.5}, cost=10.0),
    rox.Intervention(name="set one", set={"loyalty": 4.0}, units=["B007"], cost=5.0, start=2),
    rox.Intervention(name="low", shift={"pride": 0.5}, units=rox.Below(on="pride", level=2.9), cost=3.0),
    rox.Intervention(name="high", shift={"pride": -0.5}, units=rox.Above(on="pride", level=3.1), cost=3.0),
    rox.Intervention(name="lowest", shift={"p1": 0.5}, units=rox.Lowest(on="pride"), cost=3.0),
    rox.Intervention(name="highest", shift={"pride": 0.3}, units=rox.Highest(on="pride", share=0.5), cost=3.0),
    rox.Intervention(name="factor", scale={"pride": 1.1}, units=list(TWINS), cost=3.0),
]
SET = [rox.Intervention(name="set", set={"pride": 4.0}, units=["B007"], cost=1.0)]
EVERYWHERE = [rox.Intervention(name="set", set={"pride": 4.0}, cost=1.0)]
ALL_BUT_ONE = [
    rox.Intervention(name="set", set={"pride": 4.0}, units=[f"B{i:03d}" for i in range(40) if i != 7], cost=1.0)
]
MONEY: dict[str, Any] = {"value": {"revenue": 100.0}, "horizon": 2, "draws": 60, "seed": 1}
LEVELS = (1.6, 2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 4.4)


def worth_in_one(fit: rox.Fit, rule: object) -> pd.DataFrame:
    """What a rule brings in B007 alone: only there a point is worth anything."""
    value = {"revenue": rox.UnitValue(values={"B007": 100.0}, default=0.0)}
    act = rox.Intervention(name="rule", shift={"pride": 0.1}, units=rule, cost=1.0)
    return rox.simulate(fit, [act], **{**MONEY, "value": value}).rox()


VERBS: dict[str, Callable[[rox.Fit], object]] = {
    "simulate": lambda fit: rox.simulate(fit, INTERVENTIONS, **MONEY),
    "simulate, set on one unit": lambda fit: rox.simulate(fit, SET, **MONEY),
    "simulate, all less all but one": lambda fit: (
        rox.simulate(fit, EVERYWHERE, **MONEY).effects()["mean"]
        - rox.simulate(fit, ALL_BUT_ONE, **MONEY).effects()["mean"]
    ),
    "bisecting Below": lambda fit: [worth_in_one(fit, rox.Below(on="pride", level=level)) for level in LEVELS],
    "bisecting Above": lambda fit: [worth_in_one(fit, rox.Above(on="pride", level=level)) for level in LEVELS],
    "Lowest and Highest": lambda fit: [
        worth_in_one(fit, rule(on="pride", share=share))
        for rule in (rox.Lowest, rox.Highest)
        for share in (0.1, 0.5, 0.9)
    ],
    "optimize": lambda fit: rox.optimize(fit, INTERVENTIONS, budget=15.0, **MONEY),
    "optimize, set on one unit": lambda fit: rox.optimize(fit, SET, budget=15.0, shrink=False, **MONEY),
    "where_to_act": lambda fit: rox.where_to_act(fit, "revenue", groups=GROUPS, **MONEY),
    "where_to_act, per money": lambda fit: rox.where_to_act(
        fit, "revenue", groups=GROUPS, cost={"pride": 10.0}, **MONEY
    ).table(),
    "where_to_act, rules": lambda fit: rox.where_to_act(
        fit, "revenue", groups={"low": rox.Below(on="pride", level=2.9), "lowest": rox.Lowest(on="pride")}, **MONEY
    ),
    "counterfactual, shift": lambda fit: rox.counterfactual(fit, "B007", shift={"pride": 0.4}, draws=60, seed=1),
    "counterfactual, do": lambda fit: rox.counterfactual(fit, "B007", do={"loyalty": 4.0}, draws=60, seed=1),
    "counterfactual, do what is hidden": lambda fit: rox.counterfactual(fit, "B007", do={"pride": 4.0}, seed=1),
    "forecast": lambda fit: rox.forecast(fit, {"pride": 3.5}, draws=60, seed=1),
    "forecast, unit": lambda fit: rox.forecast(fit, unit="B007", draws=60, seed=1),
    "forecast, given of the unit": lambda fit: rox.forecast(fit, {"pride": 3.5}, unit="B007", draws=60, seed=1),
    "fit": lambda fit: fit,
}

# Public names that are not asked, each with its reason.
LEFT_OUT = {
    "moments": "the analyst's own data, condensed",
    "cells": "the analyst's own data, condensed",
    "bootstrap_draws": "these fits have no bootstrap", "bootstrap_weights": "these fits have no bootstrap",
    "draws": "estimates (asked below by their edges)", "answer_draws": "estimates",
    "effect_draws": "estimates", "system": "estimates",
    "factor_scores": "of answers that the caller holds", "group": "of method sem", "edge_differences": "of method sem",
    "require_one_group": "of method sem", "save": "asked below, as a document", "of": "how it is made",
    "model": "what was asked", "question": "inside", "options": "inside", "beside": "inside", "worth": "inside",
    "evaluate": "asked below", "actions": "inside", "course": "inside", "money": "inside", "fit": "the fit itself",
    "solver": "inside", "parted": "the analyst's own data, condensed",
}  # fmt: skip
ARGUMENTS = {
    "effects": {"cause": "pride", "effect": "revenue"}, "unit_column": {"name": "revenue"}, "stability": {"draws": 20},
    "sensitivity": {"cause": "pride", "effect": "revenue"}, "checks_on": {"cause": "pride", "effect": "revenue"},
    "doubts_on": {"edges": ["pride -> revenue"]}, "unknown_after": {"pushed": ["pride"]},
    "edges_in": {"doubt": Doubt("size", "note", "", ("pride",), "")},
}  # fmt: skip


def answers(asked: object) -> Iterator[tuple[str, object]]:
    """Every public name of an answer, and how it shows itself."""
    shown = ("__str__", "__repr__", "_repr_html_")
    if not type(asked).__module__.startswith("roxmodel"):
        yield "value", asked
        return
    for name in [*(n for n in dir(asked) if not n.startswith("_")), *(n for n in shown if hasattr(asked, n))]:
        if name in LEFT_OUT:
            continue
        value = getattr(asked, name)
        if callable(value):
            needed = {
                p.name for p in inspect.signature(value).parameters.values() if p.default is p.empty and p.kind < 2
            }
            given = {k: v for k, v in ARGUMENTS.get(name, {}).items() if k in inspect.signature(value).parameters}
            assert needed <= set(given), f"{type(asked).__name__}.{name} is public and not asked: {needed}"
            value = said(lambda value=value, given=given: value(**given))
        yield name, value


def said(ask: Callable[[], object]) -> object:
    """The answer, or the sentence that refuses it."""
    try:
        return ask()
    except rox.RoxError as error:
        return str(error)


def plain(value: object) -> Iterator[object]:
    """Numbers and texts of anything."""
    if isinstance(value, str | int | float | type(None)):
        yield value
        return
    parts = parts_of(value)
    if parts is None:
        yield str(type(value))
        return
    for part in parts:
        yield from plain(part)


def parts_of(value: Any) -> list[Any] | None:
    """What a value is made of; None where it is taken as a whole."""
    if isinstance(value, Figure):
        texts = [text.get_text() for text in value.findobj(Text)]
        lines = [np.asarray(line.get_data(), dtype=float) for axes in value.axes for line in axes.lines]
        plt.close(value)
        return [*texts, *lines]
    if isinstance(value, pd.DataFrame | pd.Series):
        value = value.reset_index().to_numpy().ravel()
    if isinstance(value, np.ndarray | np.generic):
        return list(np.ravel(value).tolist())
    if isinstance(value, Mapping):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if hasattr(value, "__dataclass_fields__"):
        return [getattr(value, name) for name in value.__dataclass_fields__ if name not in LEFT_OUT]
    return None


def differ(one: object, two: object) -> str:
    """Where two answers differ, empty where they do not."""
    first, second = list(plain(one)), list(plain(two))
    if len(first) != len(second):
        return f"{len(first)} against {len(second)} parts"
    for a, b in zip(first, second, strict=True):
        if isinstance(a, int | float) and isinstance(b, int | float):
            if not np.isclose(a, b, rtol=CLOSE, atol=CLOSE, equal_nan=True):
                return f"{a!r} against {b!r}"
        elif a != b:
            return f"{a!r} against {b!r}"[:200]
    return ""


def fitted(method: str, min_group: int = 5) -> tuple[rox.Fit, rox.Fit]:
    one, two = (rox.fit(model(), world(exchanged, min_group), method=method) for exchanged in (False, True))
    return one, two


def told(verb: str, fits: tuple[rox.Fit, rox.Fit]) -> tuple[int, list[str]]:
    """How many answers a verb gave, and which of them told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = [said(lambda fit=fit: VERBS[verb](fit)) for fit in fits]
        found = [(name, differ(a, b)) for (name, a), (_, b) in zip(*map(answers, pair), strict=True)]
    return len(found), [f"{name}: {what}" for name, what in found if what]


@pytest.fixture(scope="module", params=["path", "linked"])
def fits(request):
    return fitted(request.param)


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_tells_what_a_hidden_unit_answered(fits, verb):
    count, leaks = told(verb, fits)
    assert count
    assert not leaks


def test_the_estimates_are_the_same_in_both_worlds(fits):
    one, two = fits
    np.testing.assert_allclose(one.theta, two.theta, rtol=CLOSE, atol=CLOSE)
    assert np.isnan(one.population.levels[7, 0])
    assert "Hidden in" in one.summary()


@pytest.mark.parametrize("method", ["path", "linked"])
def test_these_doors_would_tell_without_a_smallest_group(method):
    """The test has teeth: with min_group=1 the same questions tell the two worlds apart."""
    shown = fitted(method, min_group=1)
    for verb in ("simulate, set on one unit", "simulate, all less all but one", "where_to_act", "forecast, unit"):
        assert told(verb, shown)[1], verb


def test_no_table_of_a_study_tells():
    for (name, one), (_, two) in zip(answers(world(False)), answers(world(True)), strict=True):
        assert not differ(one, two), name


def of_moments(exchanged: bool, min_group: int = 5) -> rox.Study:
    """The same study, made of its moments."""
    return rox.Study.of(world(exchanged).moments, model(), by="branch", min_group=min_group)


@pytest.mark.parametrize("method", ["path", "linked"])
def test_no_study_of_moments_tells(method):
    for (name, one), (_, two) in zip(answers(of_moments(False)), answers(of_moments(True)), strict=True):
        assert not differ(one, two), name
    hidden, shown = (
        tuple(rox.fit(model(), of_moments(exchanged, least), method=method) for exchanged in (False, True))
        for least in (5, 1)
    )
    for verb in ("simulate, set on one unit", "where_to_act", "forecast, unit", "fit"):
        assert not told(verb, hidden)[1], verb
    assert told("simulate, set on one unit", shown)[1]


def test_no_document_tells(fits, tmp_path):
    one, two = (rox.load(fit.save(tmp_path / f"{k}.json")) for k, fit in enumerate(fits))
    for name in ("names", "n", "n_units", "mean", "covariance", "low", "high"):
        assert not differ(getattr(one.population, name), getattr(two.population, name)), name
    count, leaks = told("simulate, set on one unit", (one, two))  # refused: a document knows no unit by name
    assert count
    assert not leaks
    candidates = [one for one in INTERVENTIONS if one.name in {"set one", "lowest"}]
    kept = [
        rox.optimize(fit, candidates, budget=15.0, **MONEY).save(tmp_path / "plan.json").read_text() for fit in fits
    ]
    promised = [json.loads(text)["content"]["promised"] for text in kept]
    assert not differ(*promised)


def test_no_pickle_of_a_fit_tells(fits):
    """What a pickle holds of units is the population."""
    one, two = (pickle.loads(pickle.dumps(fit)).population for fit in fits)
    assert not differ(one, two)
    assert np.isnan(one.levels[[3, 7], 0]).all()


if __name__ == "__main__":  # the table of doors and verbs
    for method in ("path", "linked"):
        hidden, shown = fitted(method), fitted(method, min_group=1)
        sys.stdout.write(f"\n{method:36} {'answers':>8} {'tell, min_group=5':>18} {'tell, min_group=1':>18}\n")
        for verb in VERBS:
            asked, leaks = told(verb, hidden)
            sys.stdout.write(f"{verb:36} {asked:8} {len(leaks):18} {len(told(verb, shown)[1]):18}\n")

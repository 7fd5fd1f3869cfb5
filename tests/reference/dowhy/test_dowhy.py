"""Interventions and counterfactuals against DoWhy's graphical causal models, on one linear graph (see reference.py)."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import RoxWarning
from roxmodel.simulation.counterfactual import counterfactual

NUMBERS = json.loads((Path(__file__).parent / "numbers.json").read_text(encoding="utf-8"))
NAMES = NUMBERS["names"]
QUESTIONS = [pytest.param(question, id=question["name"]) for question in NUMBERS["questions"]]

ALGEBRA = {"rtol": 1e-9, "atol": 1e-9}  # the same least squares and the same substitution, in another order
SIGMAS = 5.0  # Monte-Carlo errors by which means of samples may be off


@pytest.fixture(scope="module")
def rows():
    return pd.DataFrame(NUMBERS["rows"], columns=NAMES)


@pytest.fixture(scope="module")
def fit(rows):
    """The same regressions; without uncertainty, as DoWhy has none."""
    constructs = [rox.Construct(name=name, factor="outcomes", source="unit", items=[name]) for name in NAMES]
    edges = [f"{cause} -> {effect}" for cause, effect in NUMBERS["edges"]]
    found = rox.fit(rox.RoxModel(name="dowhy", constructs=constructs, edges=edges), rows, method="path")
    return replace(found, vcov=np.zeros_like(found.vcov))


def options(question):
    return {kind: question[kind] or None for kind in ("do", "shift")}


def interventions(question):
    return [rox.Intervention(name="asked", set=question["do"] or None, shift=question["shift"] or None)]


def population_means(fit, question):
    """Mean of every construct under the question."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RoxWarning)
        run = rox.simulate(fit, interventions(question), horizon=1, draws=1, seed=1)
    return fit.population.mean + run.changes[0, 0]


@pytest.mark.parametrize("question", QUESTIONS)
def test_counterfactuals_of_single_rows(fit, question):
    for row, expected in zip(NUMBERS["units"], question["counterfactual"], strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RoxWarning)
            table = counterfactual(fit, row, **options(question), draws=1, seed=1).table()
        np.testing.assert_allclose(table["counterfactual"], expected, **ALGEBRA)


@pytest.mark.parametrize("question", QUESTIONS)
def test_means_under_an_intervention(fit, question):
    """`exact` is the mean of DoWhy's counterfactuals of all rows: linear mechanisms, empirical roots and noise."""
    np.testing.assert_allclose(population_means(fit, question), question["exact"], **ALGEBRA)


@pytest.mark.parametrize("question", QUESTIONS)
def test_means_of_samples_of_the_interventional_distribution(fit, question):
    bound = SIGMAS * np.array(question["sampled"]["sd"]) / np.sqrt(NUMBERS["samples"])
    apart = np.abs(population_means(fit, question) - question["sampled"]["mean"])
    assert (apart <= bound + 1e-9).all()


@pytest.mark.slow
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_spread_of_samples_is_that_of_units_with_the_causes_cut(fit, rows, question):
    """Every row's counterfactual spreads as samples do, so that disturbances are kept, not drawn from elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RoxWarning)
        every = np.array(
            [counterfactual(fit, row, **options(question), draws=1, seed=1).levels for row in range(len(rows))]
        )
    own, drawn = every.std(axis=0), np.array(question["sampled"]["sd"])
    # Noise of different constructs is drawn apart there and stands as observed here: correlations of a sample of rows.
    assert (np.abs(own - drawn) <= SIGMAS * drawn / np.sqrt(2 * len(rows)) + 1e-9).all()


def test_the_numbers_say_where_they_come_from():
    assert NUMBERS["versions"]["dowhy"] == "0.14"
    assert NUMBERS["seed"] == 20240
    assert len(NUMBERS["rows"]) == 300

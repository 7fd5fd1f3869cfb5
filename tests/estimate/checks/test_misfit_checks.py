"""Items that measure more than they should, chi-square on few rows, indices in words."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.estimate.checks.misfit_checks import swain_factor
from roxmodel.result.indices import index_words

MODEL = rox.RoxModel.from_lavaan("A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\nB ~ A\nC ~ B\nA ~~ A")


def rows(n=400, seed=0, shared=0.0, cross=0.0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = 0.6 * a + 0.8 * rng.normal(size=n)
    c = 0.6 * b + 0.8 * rng.normal(size=n)
    found = {
        f"{name}{i}": v + 0.7 * rng.normal(size=n) for name, v in (("a", a), ("b", b), ("c", c)) for i in (1, 2, 3)
    }
    wording = shared * rng.normal(size=n)
    found["b2"] = found["b2"] + wording
    found["c2"] = found["c2"] + wording + cross * a
    return pd.DataFrame(found)


def of(fit, check):
    return [one for one in fit.findings if one.check == check]


def test_a_right_model_is_not_doubted():
    fit = rox.fit(MODEL, rows(seed=1))
    assert not fit.doubts
    (good,) = of(fit, "misfit")
    assert good.verdict == "ok"
    assert "Hu & Bentler" in good.finding
    assert good.finding in fit.summary()


def test_items_worded_alike_are_named():
    """What is named accounts for chi-square, and the edges stay where they are: nothing to doubt, all to read."""
    fit = rox.fit(MODEL, rows(shared=1.2))
    first, thumbs = of(fit, "misfit")
    assert (first.verdict, first.culprits) == ("note", ("b2", "c2"))
    told = float(first.finding.split("of about ")[1].split()[0])
    assert told == pytest.approx(1.44 / (0.49 + 1.44), rel=0.3)  # of what is left of both; one step, no refit
    assert thumbs.verdict == "note"
    assert fit.indices()["pvalue"] < 1e-6


def test_a_graph_that_misses_everywhere_is_doubted():
    """Items of one construct that are two: no single parameter mends it."""
    table = rows(seed=2)
    rng = np.random.default_rng(5)
    other = rng.normal(size=(len(table), 3))
    mixed = {f"{name}{i}": table[f"{name}{i}"] + 0.7 * other[:, i - 1] for name in "abc" for i in (1, 2, 3)}
    with pytest.warns(rox.RoxWarning, match="misfit"):
        fit = rox.fit(MODEL, pd.DataFrame(mixed))
    assert any(one.serious for one in of(fit, "misfit"))


def test_an_item_that_follows_another_construct_is_named():
    with pytest.warns(rox.RoxWarning, match="'c2' measures C but also follows A"):
        fit = rox.fit(MODEL, rows(cross=0.5))
    assert of(fit, "misfit")[0].culprits == ("c2", "A")


@pytest.mark.parametrize(("n", "shared"), [(400, 0.6), (6_000, 0.25)])
def test_what_is_seen_but_moves_no_effect_is_a_note(n, shared):
    fit = rox.fit(MODEL, rows(n=n, shared=shared))  # no warning
    first = of(fit, "misfit")[0]
    assert (first.verdict, first.culprits) == ("note", ("b2", "c2"))
    assert "No effect moves" in first.finding


def test_the_correction_for_few_rows():
    """The factor by hand, and that it leaves a right model alone: 9 variables, 40 rows."""
    p, df, n = 9, 25, 40
    q = (np.sqrt(1 + 4 * p * (p + 1) - 8 * df) - 1) / 2
    by_hand = 1 - (p * (2 * p * p + 3 * p - 1) - q * (2 * q * q + 3 * q - 1)) / (12 * df * (n - 1))
    assert swain_factor(p, df, n) == pytest.approx(by_hand)
    assert swain_factor(p, df, 1e9) == pytest.approx(1)
    assert swain_factor(p, df, n) < 1


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"cfi": 0.97, "tli": 0.96, "rmsea": 0.04, "srmr": 0.05}, "good"),
        ({"cfi": 0.93, "tli": 0.96, "rmsea": 0.04, "srmr": 0.05}, "middling"),
        ({"cfi": 0.79, "tli": 0.70, "rmsea": 0.12, "srmr": 0.05}, "poor"),
        ({"cfi": 0.99, "tli": 0.99, "cfi_robust": 0.8, "tli_robust": 0.8, "rmsea": 0.01, "srmr": 0.01}, "poor"),
    ],
)
def test_indices_have_words(values, word):
    good, words = index_words(values | {"n": 400.0})
    assert f"the fit is {word}" in words
    assert good == (word == "good")
    assert index_words({"cfi": np.nan}) == (True, "")


def test_a_gross_misfit_is_doubtful_though_notes_name_most_of_it():
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    b = 0.5 * a + rng.normal(size=400)
    frame = pd.DataFrame(
        {f"{k}{i}": 0.8 * v + 0.6 * rng.normal(size=400) for k, v in (("a", a), ("b", b)) for i in range(3)}
    )
    frame["b1"] += 0.7 * frame["a0"]  # follows the other construct, and one of its items: RMSEA .21
    fit = rox.fit(rox.RoxModel.from_lavaan("A =~ a0+a1+a2\nB =~ b0+b1+b2\nB ~ A"), frame, method="sem")
    assert [one.check for one in fit.doubts] == ["misfit"]

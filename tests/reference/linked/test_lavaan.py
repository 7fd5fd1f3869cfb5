"""Every number of lavaan that is kept in ``lavaan/``, against ours: two levels, one survey or two stacked ones.

The model of a case is the part between units of lavaan's text. With ``within="saturated"`` or ``"model"`` both programs
maximise one likelihood; with ``"pooled"`` ours is another, whose estimates must be near. Errors of edges are compared
without what the linked method widens them by where units are few.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox

HERE = Path(__file__).parent
PUBLIC = HERE.parents[3] / "shared" / "reference" / "data" / "lavaan__Demo.twolevel.csv"

EXACT = 1e-6  # of a standard error: the same optimum, to what both iterations leave
NEAR = 0.1  # of a standard error: another estimator, with the covariance within units found beforehand
HOLED = 0.5  # the same with holes: means of the answers that are there are consistent, but not the most that is in them
ERROR = 1e-5  # relative, of standard errors: both Hessians are differences of gradients
NEAR_ERROR = 0.02  # relative: the covariance within units is taken as known
HOLED_ERROR = 0.15  # the same with holes
LOGLIK = 1e-6
CORRELATION = 1e-6

SOURCES = {"w": "unit", "revenue": "unit", "y": "employee", "pri": "employee", "inf": "employee", "beh": "employee"}

SAME = [
    ("one_construct", "model"),
    ("one_construct", "saturated"),
    ("two_constructs", "model"),
    ("two_constructs_free", "saturated"),
    ("two_constructs_holes", "saturated"),
    ("two_constructs_mar", "saturated"),
    ("stacked", "saturated"),
    ("stacked_holes", "saturated"),
]
# Pooled is free within units, which two_constructs is not; and its means do not know why answers are missing in
# two_constructs_mar.
POOLED = [
    ("one_construct", NEAR, NEAR_ERROR),
    ("two_constructs_free", NEAR, NEAR_ERROR),
    ("two_constructs_holes", HOLED, HOLED_ERROR),
    ("stacked", NEAR, NEAR_ERROR),
    ("stacked_holes", HOLED, HOLED_ERROR),
]
CASES = sorted({name for name, _ in SAME})

_FITS: dict[tuple[str, str], rox.Fit] = {}


# --- cases


def read_case(name: str) -> dict[str, Any]:
    """Read what lavaan said."""
    content: dict[str, Any] = json.loads((HERE / "lavaan" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def source_of(construct: rox.Construct) -> str:
    """Who answers a construct: customers, unless its items are of another source."""
    return SOURCES.get(construct.item_names[0].rstrip("0123456789"), "customer")


def model_of(case: dict[str, Any]) -> rox.RoxModel:
    """The part between units of lavaan's text, its constructs asked of whom they are asked of."""
    plain = rox.RoxModel.from_lavaan(case["model"].split("level: 2\n")[1])
    return plain.replace(constructs=tuple(one.replace(source=source_of(one)) for one in plain.constructs))


def rows_of(case: dict[str, Any]) -> pd.DataFrame:
    """The rows of a case; skipped where they are other people's and not here."""
    kind, name = case["data"].split(":")
    if kind == "data":
        return pd.read_csv(HERE / "data" / f"{name}.csv.gz")
    if not PUBLIC.exists():
        pytest.skip(f"needs the rows of {PUBLIC.name}, which are not in the repository")
    rows = pd.read_csv(PUBLIC)
    if " less " in name:
        holes = pd.read_csv(HERE / "data" / f"{name.split(' less ')[1]}.csv.gz")
        columns = [rows.columns.get_loc(f"y{k}") for k in range(1, 7)]
        values = rows.to_numpy(dtype=float, copy=True)
        values[holes["row"], np.array(columns)[holes["item"]]] = np.nan
        rows = pd.DataFrame(values, columns=rows.columns).astype({"cluster": int})
    return rows


def study_of(case: dict[str, Any]) -> rox.Study:
    """Every survey a frame of its own, figures of the units one row a unit."""
    model, rows, by = model_of(case), rows_of(case), case["options"]["cluster"]
    frames: dict[str, pd.DataFrame] = {}
    for name in model.sources:
        items = [item for one in model.constructs if one.source == name for item in one.item_names]
        own = rows[[by, *items]]
        if name == "unit":
            frames[name] = own.drop_duplicates(ignore_index=True)
        else:
            frames[name] = own[rows["source"] == name] if "source" in rows else own
    return rox.Study(model, **frames, by=by)


def fitted(name: str, within: str) -> tuple[dict[str, Any], rox.Fit]:
    """The case and its fit, once for all tests."""
    case = read_case(name)
    if (name, within) not in _FITS:
        study = study_of(case)
        _FITS[name, within] = rox.fit(study.model, study, within=within)
    return case, _FITS[name, within]


# --- comparison


def indexed(fit: rox.Fit) -> dict[tuple[str, ...], Any]:
    """Rows by what they join; a one-item construct's own stand before those of its item."""
    found: dict[tuple[str, ...], Any] = {}
    for row in sorted(fit.parameters().to_dict("records"), key=lambda row: "|" in row["id"]):
        ends = sorted((row["left"], row["right"])) if row["kind"] == "covariance" else [row["left"], row["right"]]
        found.setdefault((row["kind"], *ends), SimpleNamespace(**row))
    return found


def key_of(row: pd.Series) -> tuple[str, ...]:
    """A row of lavaan's in our words."""
    if row.op == "~~":
        return ("variance" if row.lhs == row.rhs else "covariance", *sorted((row.lhs, row.rhs)))
    if row.op == "~1":
        return "intercept", row.lhs, row.lhs
    return ("edge", row.rhs, row.lhs) if row.op == "~" else ("loading", row.lhs, row.rhs)


def widened(fit: rox.Fit, effect: str) -> float:
    """What errors of edges are widened by where units are few (``small_sample`` of the linked method)."""
    edges = fit.edges().set_index("effect")
    n = int(np.atleast_1d(edges.loc[effect, "n_units"])[0])
    return float(np.sqrt(n / (n - len(fit.model.causes(effect)) - 1)))


def compare(case: dict[str, Any], fit: rox.Fit) -> pd.DataFrame:
    """Free parameters between units: away (in lavaan's standard errors) and ratio of the standard errors."""
    table = pd.DataFrame(case["parameters"])
    ours, rows = indexed(fit), {}
    for row in table[(table["level"] == 2) & (table["se"] > 0)].itertuples():
        mine = ours[key_of(row)]
        factor = widened(fit, row.lhs) if row.op == "~" else 1.0
        away = (mine.estimate - row.est) / row.se
        rows[f"{row.lhs} {row.op} {row.rhs}"] = {"away": away, "ratio": mine.se / factor / row.se}
    return pd.DataFrame(rows).T


def within_gap(case: dict[str, Any], fit: rox.Fit) -> float:
    """Largest difference of the covariances of one construct's answers, as correlations."""
    names = case["within"]["names"]
    theirs = np.zeros((len(names), len(names)))
    theirs[np.tril_indices(len(names))] = case["within"]["covariance"]
    theirs = np.maximum(np.abs(theirs), np.abs(theirs.T)) * np.sign(theirs + theirs.T)
    worst = 0.0
    for measure in fit.measures:
        if measure.source != "unit":
            at = [names.index(item) for item in measure.items]
            sd = np.sqrt(np.diag(theirs)[at])
            worst = max(worst, float(np.abs((measure.within - theirs[np.ix_(at, at)]) / np.outer(sd, sd)).max()))
    return worst


# --- tests


@pytest.mark.parametrize(("name", "within"), SAME)
def test_the_same_likelihood(name: str, within: str) -> None:
    case, fit = fitted(name, within)
    gaps = compare(case, fit)
    assert gaps["away"].abs().max() <= EXACT, gaps["away"].abs().idxmax()
    assert (gaps["ratio"] - 1).abs().max() <= ERROR, (gaps["ratio"] - 1).abs().idxmax()
    assert fit.indices()["loglik"] == pytest.approx(case["logl"], abs=LOGLIK)
    assert within_gap(case, fit) <= CORRELATION


@pytest.mark.parametrize(("name", "near", "error"), POOLED)
def test_pooled_is_near(name: str, near: float, error: float) -> None:
    case, fit = fitted(name, "pooled")
    gaps = compare(case, fit)
    assert gaps["away"].abs().max() <= near, gaps["away"].abs().idxmax()
    assert (gaps["ratio"] - 1).abs().max() <= error, (gaps["ratio"] - 1).abs().idxmax()


def test_the_edge_within_units() -> None:
    case, fit = fitted("two_constructs", "model")
    table = pd.DataFrame(case["parameters"])
    theirs = table[(table["level"] == 1) & (table["op"] == "~")].iloc[0]
    ours = fit.edges(level="within").iloc[0]
    assert (ours["cause"], ours["effect"]) == ("f1", "f2")
    assert abs(ours["estimate"] - theirs["est"]) <= EXACT * theirs["se"]
    assert ours["se"] == pytest.approx(theirs["se"], rel=ERROR)


def test_aic_counts_the_parameters_of_both_levels() -> None:
    for name, within in SAME:
        if name.startswith("stacked"):
            case, fit = fitted(name, within)
            assert fit.indices()["aic"] == pytest.approx(2 * case["npar"] - 2 * case["logl"], abs=2 * LOGLIK)


@pytest.mark.parametrize("name", CASES)
def test_lavaan_itself_had_arrived(name: str) -> None:
    """A reference is one only where lavaan's gradient is gone and no variance is negative."""
    case = read_case(name)
    table = pd.DataFrame(case["parameters"])
    variances = table[(table["op"] == "~~") & (table["lhs"] == table["rhs"]) & (table["se"] > 0)]
    assert case["gradient"] < 1e-9
    assert (variances["est"] > 0).all()
    assert table["se"].notna().all()

"""The cases of ``lavaan/*.json``, fitted here and laid beside lavaan's numbers.

`CASES` names them, `fit_case` fits one with the options lavaan had, `compare` gives the largest differences. Used by
``test_parity.py`` and ``parity_table.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

import roxmodel as rox
from roxmodel.datasets import published

__all__ = [
    "CASES",
    "INDICES",
    "SHARED",
    "Gaps",
    "NoRowsError",
    "compare",
    "data_of",
    "fit_case",
    "options_of",
    "read_case",
]

HERE = Path(__file__).parent
SHARED = HERE.parents[3] / "shared"
FOLDERS = {"public": SHARED / "reference" / "data", "mobi": SHARED / "data" / "ecsi_mobile"}

# lavaan's name of an index -> ours
INDICES = {
    "chisq": "chisq",
    "df": "df",
    "pvalue": "pvalue",
    "chisq.scaled": "chisq_scaled",
    "pvalue.scaled": "pvalue_scaled",
    "chisq.scaling.factor": "scaling_factor",
    "cfi": "cfi",
    "tli": "tli",
    "rmsea": "rmsea",
    "rmsea.ci.lower": "rmsea_ci_lower",
    "rmsea.ci.upper": "rmsea_ci_upper",
    "srmr": "srmr",
    "logl": "loglik",
    "aic": "aic",
    "bic": "bic",
    "ntotal": "n",
    "cfi.scaled": "cfi_scaled",
    "tli.scaled": "tli_scaled",
    "rmsea.scaled": "rmsea_scaled",
    "cfi.robust": "cfi_robust",
    "tli.robust": "tli_robust",
    "rmsea.robust": "rmsea_robust",
}
ESTIMATORS = {"WLSMV": "DWLS"}
INVARIANCE = {(): "configural", ("loadings",): "metric", ("intercepts", "loadings"): "scalar"}
EQUAL = {"regressions": "edges"}
RENAMED = {
    "sampling.weights": "weight",
    "cluster": "cluster",
    "group": "group",
    "missing": "missing",
    "ordered": "ordered",
}
IMPLY_MEANS = {"missing", "group", "by", "ordered"}
PASSED_BY = {"se", "bootstrap", "meanstructure", "estimator", "group.equal", "by", "iseed"}

_TABLES = ("_lrt_", "_bootstrap", "ordinal_moments")
CASES = sorted(p.stem for p in (HERE / "lavaan").glob("*.json") if not any(part in p.stem for part in _TABLES))


class NoRowsError(Exception):
    """The rows of the case belong to other people and are not here."""


@dataclass(slots=True)
class Gaps:
    """Largest differences of one case.

    Attributes
    ----------
    estimate_in_se, estimate
        Free parameters: in lavaan's standard errors, and as they are. Fixed ones count in `estimate`.
    se
        Relative to lavaan's.
    interval
        Of confidence limits, in standard errors.
    standardized
        As they are.
    indices
        Ours minus lavaan's, by lavaan's name.
    worst
        Rows with the largest differences, in words.
    missing
        What lavaan has and we have not.
    """

    estimate_in_se: float = 0.0
    estimate: float = 0.0
    se: float = 0.0
    interval: float = 0.0
    standardized: float = 0.0
    rows: int = 0
    indices: dict[str, float] = field(default_factory=dict)
    worst: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def note(self, what: str, value: float, row: str) -> None:
        """Keep a difference if it is the largest so far; NaN is larger than anything."""
        if not value <= getattr(self, what):
            setattr(self, what, value)
            self.worst[what] = row


def read_case(name: str) -> dict[str, Any]:
    """Read what lavaan said."""
    content: dict[str, Any] = json.loads((HERE / "lavaan" / f"{name}.json").read_text(encoding="utf-8"))
    return content


# --- data


def data_of(case: dict[str, Any]) -> pd.DataFrame | rox.Moments:
    """Rows or moments of a case.

    Raises
    ------
    NoRowsError
        If they are other people's rows and not here.
    """
    kind, name = case["data"].split(":")
    if kind == "printed":
        return published()[name].moments
    if kind == "moments":
        return _moments(name, case["options"])
    if kind == "data":
        return pd.read_csv(HERE / "data" / f"{name}.csv")
    path = FOLDERS[kind] / f"{name}.csv"
    if not path.exists():
        raise NoRowsError(f"needs the rows of {path.name}, which are not in the repository")
    return pd.read_csv(path)


def _moments(name: str, options: dict[str, Any]) -> pd.DataFrame | rox.Moments:
    content = json.loads((HERE / "data" / f"{name}_moments.json").read_text(encoding="utf-8"))
    names = content["names"]
    if "by" not in options:
        part = content["all"]
        mean = part["mean"] if options["meanstructure"] else None
        return rox.Moments.from_covariance(names, part["covariance"], mean=mean, n=part["n"])
    groups = [
        rows_with_moments(part, names, seed).assign(**{content["group"]: label})
        for seed, (label, part) in enumerate(content["groups"].items())
    ]
    return pd.concat(groups, ignore_index=True)


def rows_with_moments(part: dict[str, Any], names: list[str], seed: int) -> pd.DataFrame:
    """Draw rows that have exactly these means and covariances: for normal-theory ML they are the rows."""
    z = np.random.default_rng(seed).normal(size=(part["n"], len(names)))
    z -= z.mean(axis=0)
    whiten = np.linalg.inv(np.linalg.cholesky(np.cov(z.T)))
    colour = np.linalg.cholesky(np.array(part["covariance"]))
    return pd.DataFrame(z @ whiten.T @ colour.T + np.array(part["mean"]), columns=names)


# --- fit


def options_of(case: dict[str, Any]) -> dict[str, Any]:
    """Say lavaan's options in ours.

    Raises
    ------
    KeyError
        If we have no word for one.
    """
    said = case["options"]
    estimator = said.get("estimator", "ML")
    options: dict[str, Any] = {"method": "sem", "estimator": ESTIMATORS.get(estimator, estimator)}
    if said["meanstructure"] and not IMPLY_MEANS & set(said):
        options["means"] = True
    if "group" in said or "by" in said:
        options["group"] = said.get("group", said.get("by"))
        equal = said.get("group.equal", "")
        levels = tuple(level for level in sorted({equal} if isinstance(equal, str) else set(equal)) if level)
        if levels in INVARIANCE:
            options["invariance"] = INVARIANCE[levels]
        else:
            options["equal"] = [EQUAL.get(level, level) for level in levels]
    for key, value in said.items():
        if key == "std.lv":
            options["scaling"] = "standardized"
        elif key == "expand":
            options["frequency"] = "freq"
        elif key == "information":
            options["information"] = value
        elif key in RENAMED:
            options[RENAMED[key]] = value
        elif key not in PASSED_BY:
            raise KeyError(key)
    return options


def fit_case(case: dict[str, Any], **changes: Any) -> rox.Fit:
    """Fit a case as lavaan did; `changes` overrule options."""
    model = rox.RoxModel.from_lavaan(case["model"])
    return rox.fit(model, data_of(case), **(options_of(case) | changes))


# --- compare


def compare(case: dict[str, Any], fit: rox.Fit) -> Gaps:
    """Lay a fit beside lavaan's numbers."""
    gaps = Gaps()
    ours = _indexed(fit.parameters())
    theirs = pd.DataFrame(case["parameters"])
    if "group" not in theirs:
        theirs["group"] = ""
    for row in theirs.to_dict("records"):
        _compare_row(gaps, row, ours)
    indices = fit.indices()
    for name, own in INDICES.items():
        value = case["fit"].get(name)
        if value is None or value == "NA":
            continue
        if own not in indices.index:
            gaps.missing.append(f"index {own}")
        else:
            gaps.indices[name] = float(indices[own]) - float(value)
    return gaps


def _indexed(table: pd.DataFrame) -> dict[tuple[str, ...], Any]:
    """Rows by what they join; a one-item construct's own rows stand before those of its item."""
    found: dict[tuple[str, ...], Any] = {}
    order = table["id"].str.contains("|", regex=False) & ~table["kind"].eq("threshold")
    records: list[dict[Any, Any]] = pd.concat([table[~order], table[order]]).to_dict("records")
    for row in records:
        ends = sorted((row["left"], row["right"])) if row["kind"] == "covariance" else [row["left"], row["right"]]
        found.setdefault((row["kind"], *ends, str(row["group"])), SimpleNamespace(**row))
    return found


def _key(row: Mapping[Any, Any]) -> tuple[str, ...]:
    left, operator, right, group = row["lhs"], row["op"], row["rhs"], row["group"]
    if operator == "~~":
        return ("variance" if left == right else "covariance", *sorted((left, right)), group)
    if operator == "~":
        return ("edge", right, left, group)
    if operator == "~1":
        return ("intercept", left, left, group)
    return {"=~": "loading", "|": "threshold", ":=": "defined"}[operator], left, right, group


def _compare_row(gaps: Gaps, row: Mapping[Any, Any], ours: dict[tuple[str, ...], Any]) -> None:
    key = _key(row)
    if key[0] == "defined":
        mine = next((found for name, found in ours.items() if name[0] == "defined" and found.left == row["lhs"]), None)
    else:
        mine = ours.get(key)
    name = f"{row['lhs']} {row['op']} {row['rhs']} {row['group']}".strip()
    free = bool(row["se"] and row["se"] > 0)
    if mine is None:
        if free:
            gaps.missing.append(name)
        return
    gaps.rows += 1
    away = abs(mine.estimate - row["est"])
    gaps.note("estimate", away, name)
    if row.get("std.all") is not None and not np.isnan(float(row["std.all"])):
        gaps.note("standardized", abs(mine.standardized - row["std.all"]), name)
    if free:
        gaps.note("estimate_in_se", away / row["se"], name)
        gaps.note("se", abs(mine.se / row["se"] - 1.0), name)
        limits = max(abs(mine.ci_low - row["ci.lower"]), abs(mine.ci_high - row["ci.upper"]))
        gaps.note("interval", limits / row["se"], name)

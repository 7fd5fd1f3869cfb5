"""Matrices that were printed, with the estimates that were printed beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd

from roxmodel.frozen import FrozenMapping
from roxmodel.moments.single import Moments
from roxmodel.spec.constructs import Construct, Edge
from roxmodel.spec.graph import RoxModel

__all__ = ["Published", "published"]

_NAMES = ("smith_sivo_2012", "bank_satisfaction")
_COLUMNS = ["cause", "effect", "estimate", "se", "standardized", "standardized_se"]


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """A correlation matrix from the literature, a model of it, and what was printed about it.

    Parameters
    ----------
    name
        Its name in `published`.
    source
        Where the numbers stand.
    doi
        DOI of the publication; None if there is none.
    note
        By which conventions the numbers were computed.
    moments
        Means (None if not printed), covariances and n.
    model
        The published model; one item a construct.
    estimates
        One row an edge: cause, effect, estimate, se, standardized, standardized_se; NaN = not printed.
    fit
        Fit indices by the names of `Fit.indices`, plus what else was printed; empty if nothing was.
    further
        Other printed numbers by kind, for example ``further["residual_variance"]["SP"]``.
    """

    name: str
    source: str
    doi: str | None
    note: str
    moments: Moments
    model: RoxModel
    estimates: pd.DataFrame
    fit: Mapping[str, float]
    further: Mapping[str, Mapping[str, float]]


def published() -> Mapping[str, Published]:
    """Read the published matrices.

    ``smith_sivo_2012``: intention to go on with e-learning, n = 517, maximum likelihood in lavaan.
    ``bank_satisfaction``: a bank's customers, n = 250, least squares on composites in plspm.

    Returns
    -------
    Mapping[str, Published]
        Name to record, fresh at every call.

    References
    ----------
    Smith & Sivo (2012), doi:10.1111/j.1467-8535.2011.01223.x; the full sources are in each record.

    Examples
    --------
    >>> paper = published()["smith_sivo_2012"]
    >>> paper.moments.n, len(paper.estimates), paper.fit["chisq"]
    (517, 9, 9.567)
    """
    return FrozenMapping({name: _read(name) for name in _NAMES})


def _read(name: str) -> Published:
    text = files("roxmodel").joinpath("data", f"{name}.json").read_text(encoding="utf-8")
    record: dict[str, Any] = json.loads(text)
    variables = record["variables"]
    estimates = pd.DataFrame(record["estimates"], columns=_COLUMNS)
    return Published(
        name=name,
        source=record["source"],
        doi=record["doi"],
        note=record["note"],
        moments=Moments.from_correlation(
            variables, record["correlations"], sd=record["sd"], mean=record["mean"], n=record["n"]
        ),
        model=RoxModel(
            name=name,
            constructs=tuple(
                Construct(name=variable, factor=factor, source="customer", items=[variable])
                for variable, factor in zip(variables, record["factors"], strict=True)
            ),
            edges=tuple(Edge(cause=row["cause"], effect=row["effect"]) for row in record["estimates"]),
            exogenous=record["exogenous"],
        ),
        estimates=estimates.astype(dict.fromkeys(_COLUMNS[2:], float)),
        fit=FrozenMapping(record["fit"]),
        further=FrozenMapping({kind: FrozenMapping(kept) for kind, kept in record["further"].items()}),
    )

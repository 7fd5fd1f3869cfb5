"""A fit to a document and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import fields, replace
from math import comb
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from roxmodel.document import (
    DoubtRecord,
    FitContent,
    ParameterRecord,
    errors_field,
    load_document,
    write_document,
    write_text,
)
from roxmodel.doubts import Doubt
from roxmodel.errors import DocumentError, RoxError, listed
from roxmodel.records import Estimates, Population, Verdict, traits_of, verdict_findings
from roxmodel.result.draws import Draws
from roxmodel.result.fitted import Fitted
from roxmodel.saving import AnyPath
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Kind, Parameter, ParameterTable, covariates, plan, residual_of
from roxmodel.survey.composites import MIN_GROUP
from roxmodel.types import FloatArray, Level, Method, Scaling, StandardErrors

__all__ = ["fit_content", "fitted_from_content", "load_fitted", "save_fit", "saved_doubts"]

_PLANNED = tuple(field.name for field in fields(Parameter) if field.name != "given")  # what a document says of a row
_FORMER = {"value": "estimate", "low": "ci_low", "high": "ci_high"}  # columns that a document calls otherwise
_COLUMNS = {_FORMER.get(field.name, field.name): field.name for field in fields(Estimates)}
_ALIKE = (  # what a fit and its document call by one name
    "method", "level", "vcov", "equations", "measures", "notes", "groups", "scaling", "estimator", "missing",
    "within_edges",
)  # fmt: skip
_VERDICTS = ("converged", "identified", "admissible")
_FEWEST = 5  # units in any number of the document


def save_fit(fit: Fitted, path: AnyPath, min_group: int = MIN_GROUP) -> Path:
    """Write a fit as a document; see `Fit.save`."""
    _refuse_few(fit, min_group)
    return write_text(path, write_document("fit", fit_content(fit).model_dump(mode="python")))


def _refuse_few(fit: Fitted, min_group: int) -> None:
    """Refuse a document in which parameters are those of a handful of people."""
    if isinstance(min_group, bool) or not isinstance(min_group, int | np.integer) or min_group < 1:
        raise DocumentError(f"min_group= was {min_group!r}.", allowed="a whole number of at least 1")
    if fit.level != "single":
        return
    found = [(group.name, group.n if group.people is None else group.people) for group in fit.groups]
    few = [(name, n) for name, n in found or [("", float(fit.population.n))] if n < min_group]
    if few:
        name, n = few[0]
        who = f"The group {name!r}" if name else "This fit"
        raise DocumentError(
            f"{who} rests on {n:.3g} people (rows, counted by their weights); its document would tell what they "
            "answered.",
            allowed=f"at least min_group={min_group}",
            hint="Join small groups before the fit, or say min_group= if that is no secret. Nothing was written.",
        )


def load_fitted(path: AnyPath) -> Fitted:
    """Read a fit from a document; see `roxmodel.load`."""
    return fitted_from_content(load_document(path))


def fit_content(fit: Fitted) -> FitContent:
    """What the document of a fit says; no unit and no respondent is in it."""
    low, high = _outermost(fit.population)
    nobody: dict[str, Any] = {"units": None, "levels": None, "roots": None, "hidden": None, "min_group": 0}
    return FitContent(
        **{name: getattr(fit, name) for name in _ALIKE},
        **{name: fit.verdicts[name] for name in _VERDICTS},
        model=fit.model.model_dump(mode="json"),
        model_hash=fit.model.content_hash,
        errors=errors_field(fit.se, fit.errors),
        parameters=tuple(_parameters(fit)),
        population=replace(fit.population, low=low, high=high, **nobody),
        replicates=None if fit.resampling is None else fit.resampling.values,
        indices={name: float(value) for name, value in fit.index_values.items()},
        doubts=saved_doubts(fit, fit.doubts),
    )


def saved_doubts(fit: Fitted, doubts: Iterable[Doubt]) -> tuple[DoubtRecord, ...]:
    """What a document may hold of doubts: the edges that they are about, no unit."""
    units = {str(key) for key in fit.population.units or ()} - {*fit.model.names, *(i.name for i in fit.model.items)}
    found = []
    for one in doubts:
        told = one.anonymous or ("" if units.isdisjoint(one.culprits) else "This check doubts single units.")
        found.append(DoubtRecord.of(replace(one, edges=fit.edges_in(one), anonymous=told)))
    return tuple(found)


def _parameters(fit: Fitted) -> Iterator[ParameterRecord]:
    columns = {name: getattr(fit.estimates, own).tolist() for name, own in _COLUMNS.items()}
    for i, row in enumerate(fit.table):
        planned = {name: getattr(row, name) for name in _PLANNED}
        yield ParameterRecord(**planned, **{name: column[i] for name, column in columns.items()})


def _outermost(people: Population) -> tuple[FloatArray | None, FloatArray | None]:
    """Ends of what was observed: means of the five outermost units, so that no unit is told."""
    if people.levels is None:
        return people.low, people.high
    known = [np.sort(column[~np.isnan(column)]) for column in people.levels.T]
    if any(len(column) < 2 * _FEWEST for column in known):
        return None, None
    low = np.array([column[:_FEWEST].mean() for column in known])
    return low, np.array([column[-_FEWEST:].mean() for column in known])


def fitted_from_content(content: FitContent) -> Fitted:
    """Build a fit from its document; parts that contradict each other are refused."""
    se, errors = content.said_errors
    for what, given, known in (
        ("method", content.method, get_args(Method)),
        ("level", content.level, get_args(Level)),
        ("scaling", content.scaling, get_args(Scaling)),
        ("errors", se, get_args(StandardErrors)),
    ):
        if given not in known:
            raise DocumentError(f"The document's {what} is {given!r}.", allowed=listed(known))
    model, table = _read_model(content)
    try:
        return _fit(content, model, table, (se, errors))
    except ValueError as error:
        raise DocumentError(f"The document's arrays do not fit together: {error}.") from None


def _read_model(content: FitContent) -> tuple[RoxModel, ParameterTable]:
    latent = traits_of(content.method).latent
    try:
        model = RoxModel(**content.model)
        if not latent and comb(len(model.exogenous_names), 2) > len(content.parameters):
            raise DocumentError("its causes have more covariances than the document has parameters.")
        means = any(record.kind == "intercept" for record in content.parameters)
        table = plan(model, "composite", means) if not latent else _table(content, model)
    except (RoxError, TypeError) as error:
        raise DocumentError(f"The document's model cannot be read: {error}") from None
    if model.content_hash != content.model_hash:
        raise DocumentError("The document's model is not the one that was fitted (its hash differs).")
    known = [(row.id, row.free) for row in table]
    same = known == [(record.id, record.free) for record in content.parameters]
    if not same or (latent and not _is_latent_of(table, model)):
        raise DocumentError("The document's parameters are not those of its model.", hint="Save the fit again.")
    for what, names in (
        ("measures", tuple(m.name for m in content.measures)),
        ("population", content.population.names),
    ):
        if names != model.names:
            raise DocumentError(f"The document's {what} names {listed(names)}, its model {listed(model.names)}.")
    return model, table


def _table(content: FitContent, model: RoxModel) -> ParameterTable:
    """The rows of a latent model as they were saved: its groups and what is equal over them are in no model."""
    known = covariates(model)
    ordinal = {record.left for record in content.parameters if record.kind == "threshold"}
    rows = (Parameter(**{name: getattr(record, name) for name in _PLANNED}) for record in content.parameters)
    return ParameterTable(tuple(_given(row, model, known, ordinal) for row in rows))


def _given(row: Parameter, model: RoxModel, known: Set[str], ordinal: Set[str]) -> Parameter:
    """The row with how the data give its value: no document says so, but its model does."""
    if row.free or row.value is not None or row.kind not in {"variance", "covariance", "intercept"}:
        return row
    if row.kind == "variance" and residual_of(row, model.names):
        return replace(row, given="rest" if row.left in ordinal else "share")
    return replace(row, given="moment" if {row.left, row.right} <= known else "rest")


def _is_latent_of(table: ParameterTable, model: RoxModel) -> bool:
    """Whether each group has the model's loadings and edges, and theta is numbered without a hole."""
    numbers = sorted({row.free for row in table if row.free})
    if any(number != place for place, number in enumerate(numbers, start=1)):  # never more than there are rows
        return False
    if any(row.kind not in get_args(Kind) for row in table):
        return False
    wanted = [(construct.name, item, 0) for construct in model.constructs for item in construct.item_names]
    wanted += [(edge.cause, edge.effect, edge.lag) for edge in model.edges]
    groups = dict.fromkeys(row.group for row in table if row.kind != "defined")
    return all(
        [(row.left, row.right, row.lag) for row in table if row.group == group and row.kind in {"loading", "edge"}]
        == wanted
        for group in groups
    )


def _findings(content: FitContent, verdicts: Mapping[str, Verdict]) -> tuple[Doubt, ...]:
    """The verdicts, and the doubts of the document; without any it was clean, or written before there were doubts.

    Of what is not admissible the document says whether it is grave: unsaid, it is a note.
    """
    said = {doubt.check for doubt in content.known_doubts}
    rows = []
    for own in verdict_findings(verdicts):
        if own.check in said:
            rows += [doubt for doubt in content.known_doubts if doubt.check == own.check]
        else:
            rows.append(replace(own, verdict="note") if own.check == "admissible" and own.serious else own)
    return (*rows, *(doubt for doubt in content.known_doubts if doubt.check not in verdicts))


def _fit(content: FitContent, model: RoxModel, table: ParameterTable, words: tuple[str, str]) -> Fitted:
    alike: dict[str, Any] = {name: getattr(content, name) for name in _ALIKE}
    columns = {own: [getattr(record, name) for record in content.parameters] for name, own in _COLUMNS.items()}
    verdicts = {name: getattr(content, name) for name in _VERDICTS}
    draws = content.replicates  # without the rows they were drawn from
    return Fitted(
        **alike,
        model=model,
        se=cast(StandardErrors, words[0]),
        errors=words[1],
        table=table,
        estimates=Estimates(**{own: np.array(column, dtype=np.float64) for own, column in columns.items()}),
        population=content.population,
        verdicts=verdicts,
        findings=_findings(content, verdicts),
        index_values=dict(content.indices),
        resampling=None if draws is None else Draws("bootstrap", draws.reshape(len(draws), table.n_free)),
    )

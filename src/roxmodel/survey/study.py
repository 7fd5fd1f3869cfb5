"""The study: what employees, customers and the books say, linked by unit and condensed to moments."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import DataError, SpecError, did_you_mean, listed
from roxmodel.moments import Design, LinkedMoments, SourceMoments, UnitFigures
from roxmodel.spec.constructs import UNIT
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.questionnaire import Item
from roxmodel.survey.aggregated import Aggregated, read_aggregated
from roxmodel.survey.answers import read_answers
from roxmodel.survey.composites import unit_composites
from roxmodel.survey.frames import Frame, number_column, open_frame, raw_column, require_columns
from roxmodel.survey.keys import Keys, read_keys, refuse_mixed_types, refuse_twice
from roxmodel.survey.linkage import linkage_table, unmatched_table
from roxmodel.survey.privacy import suppressed
from roxmodel.survey.quality import quality_table
from roxmodel.types import BoolArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Study"]


@dataclass(frozen=True, slots=True)
class _Options:
    """How the frames are to be read."""

    by: str
    weight: Mapping[str, str]
    frequency: Mapping[str, str]
    eligible: Mapping[str, str]
    coerce: bool


@dataclass(slots=True)
class _Read:
    """What was read so far."""

    sources: list[SourceMoments] = field(default_factory=list)
    figures: UnitFigures | None = None
    without_unit: dict[str, int] = field(default_factory=dict)
    coerced: dict[str, int] = field(default_factory=dict)
    keys: dict[str, Keys] = field(default_factory=dict)


class Study:
    """Surveys of different people, and the unit's own figures, linked by unit.

    The frames are read once, checked against the model and condensed to `moments`; they are never written into.
    A unit that some frame lacks is kept and reported by `linkage`. Columns that no construct uses are ignored.

    Parameters
    ----------
    model
        Which items measure which construct, and who answers them.
    employee, customer
        Frames of respondents, one row a person, or `Aggregated` (one row a unit).
    unit
        Frame of the unit's own figures, one row a unit.
    by
        Column with the unit's key, in every frame.
    sources
        Frames of further respondents: name -> frame.
    weight
        Column of sampling weights (> 0), or source -> column: means are weighted, counts are not.
    frequency
        Column of counts (whole numbers >= 1), or source -> column: a row stands for so many equal rows.
    eligible
        Source -> column of the unit frame with how many people could have answered.
    min_group
        Smallest number of respondents of a unit that any table of single units shows.
    coerce
        Whether answers outside their scale count as missing (and are reported) instead of raising.
    wave
        Not supported yet: raises.

    Raises
    ------
    RoxError
        For a missing column (with the likely one), text, constant, infinite or empty items, answers outside the
        scale, duplicate units in `unit`, frames that share no unit.

    Examples
    --------
    >>> import pandas as pd
    >>> from roxmodel.spec.five_factor import five_factor
    >>> model = five_factor({"pride": ["p1", "p2"], "outcomes": ["revenue"]})
    >>> staff = pd.DataFrame({"store": list("aabbcc"), "p1": [3, 4, 2, 2, 5, 4], "p2": [4, 4, 1, 3, 5, 5]})
    >>> books = pd.DataFrame({"store": list("abc"), "revenue": [10.0, 7.0, 12.0]})
    >>> study = Study(model, employee=staff, unit=books, by="store")
    >>> study.linkage()[["construct", "respondents", "units", "matched"]].to_dict("list")
    {'construct': ['pride', 'outcomes'], 'respondents': [6, 3], 'units': [3, 3], 'matched': [3, 3]}
    """

    __slots__ = ("_coerced", "_frames", "_keys", "_without_unit", "by", "min_group", "model", "moments")

    model: RoxModel
    moments: LinkedMoments
    by: str
    min_group: int
    _frames: Mapping[str, Frame]
    _keys: Mapping[str, Keys]
    _without_unit: Mapping[str, int]
    _coerced: Mapping[str, int]

    def __init__(  # noqa: PLR0913 - the contract of DESIGN.md
        self,
        model: RoxModel,
        employee: object = None,
        customer: object = None,
        unit: object = None,
        *,
        by: str,
        sources: Mapping[str, object] | None = None,
        weight: str | Mapping[str, str] | None = None,
        frequency: str | Mapping[str, str] | None = None,
        eligible: Mapping[str, str] | None = None,
        min_group: int = 5,
        coerce: bool = False,
        wave: str | None = None,
    ) -> None:
        if wave is not None:
            raise SpecError("wave= is not supported yet.", hint="Give one wave at a time.")
        if min_group < 1:
            raise SpecError(f"min_group= was {min_group}.", allowed="a whole number of at least 1")
        given = {"employee": employee, "customer": customer, UNIT: unit, **(sources or {})}
        frames = {source: frame for source, frame in given.items() if frame is not None}
        _check_sources(model, frames)
        asked = model.respondent_sources
        options = _Options(
            by=by,
            weight=_by_source("weight", weight, asked),
            frequency=_by_source("frequency", frequency, asked),
            eligible=dict(eligible or {}),
            coerce=coerce,
        )
        opened = {s: open_frame(s, f.frame if isinstance(f, Aggregated) else f) for s, f in frames.items()}
        read = _read_all(model, frames, opened, options)
        moments = _with_eligible(LinkedMoments(tuple(read.sources), read.figures), opened, read, options)
        _check_matched(by, moments, read)
        values = (model, moments, by, min_group, opened, read.keys, read.without_unit, read.coerced)
        names = ("model", "moments", "by", "min_group", "_frames", "_keys", "_without_unit", "_coerced")
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A Study does not change; make a new one instead of setting {name!r}.")

    @property
    def units(self) -> tuple[Hashable, ...]:
        """Keys of all units that any frame knows, sorted."""
        return self.moments.units

    def linkage(self) -> pd.DataFrame:
        """Who met whom, one row a construct.

        Returns
        -------
        DataFrame
            construct, source, items; respondents (people with at least one answer in the source); units (with an
            answer), matched (units that every source knows), lost (units of the study without an answer);
            answers_min, answers_median, answers_max (per unit); missing (share of answers, 0-1); icc1, icc2, rwg
            (see `roxmodel.survey.linkage.agreement`); note (why a number is missing, what was left out).
        """
        return linkage_table(self.model, self.moments, self._without_unit, self._coerced)

    def unmatched(self) -> pd.DataFrame:
        """Units that some source lacks: the key, and ``missing_from``."""
        return unmatched_table(self.by, self.moments, self.model.sources)

    def quality(self) -> pd.DataFrame:
        """Do the items of each construct hang together, over all respondents of a source.

        Returns
        -------
        DataFrame
            construct, source, items, alpha, omega, composite_reliability, ave (all 0-1), htmt (largest ratio with
            another construct of the source), htmt_with, note.
        """
        return quality_table(self.model, self.moments)

    def scores(self) -> pd.DataFrame:
        """Item means of every construct in every unit, small groups left out.

        Returns
        -------
        DataFrame
            One row a unit: the key, a column for each construct (points of the item mean), and ``hidden``: the
            sources whose figures are left out because fewer than `min_group` people answered, or because they
            would give such a unit away.
        """
        import pandas as pd

        composites = unit_composites(self.model, self.moments)
        values = composites.values.copy()
        hidden = {source: self._hidden(source) for source in self.model.respondent_sources}
        for column, construct in enumerate(self.model.constructs):
            if construct.source in hidden:
                values[hidden[construct.source], column] = np.nan
        table = pd.DataFrame(values, columns=list(composites.names))
        table.insert(0, self.by, list(composites.units))
        table["hidden"] = [", ".join(s for s in hidden if hidden[s][row]) for row in range(len(table))]
        return table

    def unit_column(self, name: str) -> list[Hashable]:
        """One column of the unit frame, one value for each of `units` (None where the unit is not there).

        Raises
        ------
        DataError
            If there is no unit frame, or no such column.
        """
        if UNIT not in self._frames:
            raise DataError(f"There is no unit frame to take the column {name!r} from.", hint="Give Study(unit=...).")
        frame = self._frames[UNIT]
        require_columns(UNIT, frame, [name])
        keys = self._keys[UNIT]
        values = dict(zip((keys.units[c] for c in keys.codes if c >= 0), raw_column(frame, name), strict=False))
        return [values.get(unit) for unit in self.units]

    def _hidden(self, source: str) -> BoolArray:
        own = self.moments.source(source)
        counts = dict(zip(own.units, own.respondents, strict=True))
        by_unit = np.array([counts.get(unit, 0.0) for unit in self.units])
        return suppressed(by_unit, self.min_group)

    def __repr__(self) -> str:
        people = ", ".join(f"{int(s.respondents.sum())} {s.source} answers" for s in self.moments.sources)
        return f"<Study of {len(self.units)} units by {self.by!r}: {people or 'unit figures only'}>"

    def _repr_html_(self) -> str:
        html: str = self.linkage().to_html(index=False, float_format=lambda x: f"{x:.3g}")
        return f"<p>{self!r}</p>".replace("<Study", "&lt;Study").replace("'>", "'") + html


def _check_sources(model: RoxModel, frames: Mapping[str, object]) -> None:
    for source in frames:
        if source not in model.sources and source not in {"employee", "customer", UNIT}:
            raise SpecError(
                f"sources= has the frame {source!r}, but no construct has that source.",
                hint=did_you_mean(source, model.sources),
            )
    for source in model.sources:
        if source not in frames:
            names = [c.name for c in model.constructs if c.source == source]
            how = f"{source}=frame" if source in {"employee", "customer", UNIT} else f"sources={{{source!r}: frame}}"
            raise DataError(
                f"No {source} frame was given, but {listed(names)} are asked of {source!r}.", hint=f"Give {how}."
            )
    if isinstance(frames.get(UNIT), Aggregated):
        raise SpecError("The unit frame holds the units' own figures; it cannot be rox.Aggregated.")


def _by_source(what: str, given: str | Mapping[str, str] | None, sources: tuple[str, ...]) -> dict[str, str]:
    if given is None:
        return {}
    if isinstance(given, str):
        return dict.fromkeys(sources, given)
    for source in given:
        if source not in sources:
            raise SpecError(f"{what}= names the source {source!r}.", hint=did_you_mean(source, sources))
    return dict(given)


def _read_all(
    model: RoxModel, frames: Mapping[str, object], opened: Mapping[str, Frame], options: _Options
) -> _Read:
    read = _Read()
    for source, frame in opened.items():
        items = [item for c in model.constructs if c.source == source for item in c.items]
        require_columns(source, frame, [options.by, *(item.name for item in items)])
        keys = read_keys(source, frame, options.by)
        read.keys[source] = keys
        if keys.without:
            read.without_unit[source] = keys.without
        if source == UNIT:
            refuse_twice(source, options.by, keys)
            read.figures = _read_figures(frame, items, keys, options, read)
        elif items:
            given = frames[source]
            read.sources.append(_read_source(source, given, frame, items, keys, options, read))
    return read


def _read_source(
    source: str, given: object, frame: Frame, items: list[Item], keys: Keys, options: _Options, read: _Read
) -> SourceMoments:
    signs, offsets = zip(*(item.reading for item in items), strict=True)
    if isinstance(given, Aggregated):
        if source in options.weight or source in options.frequency:
            raise SpecError(f"weight= and frequency= are of rows; the {source} frame is rox.Aggregated.")
        refuse_twice(source, options.by, keys)
        moments, coerced = read_aggregated(source, given, frame, keys, items, options.coerce)
        read.coerced |= coerced
        return moments.affine(signs, offsets)
    answers = [read_answers(source, frame, item, coerce=options.coerce) for item in items]
    read.coerced |= {a.item.name: a.coerced for a in answers if a.coerced}
    design = Design(
        codes=keys.codes,
        units=keys.units,
        weight=_positive("weight", source, frame, options.weight.get(source)),
        frequency=_positive("frequency", source, frame, options.frequency.get(source)),
    )
    names = [item.name for item in items]
    moments = SourceMoments.from_columns(source, names, [a.values for a in answers], design)
    return moments if all(sign > 0 for sign in signs) else moments.affine(signs, offsets)


def _positive(what: str, source: str, frame: Frame, column: str | None) -> FloatArray | None:
    if column is None:
        return None
    require_columns(source, frame, [column])
    values = number_column(source, frame, column, {}).astype(np.float64)
    wrong = ~(values > 0) | np.isinf(values)
    if what == "frequency":
        wrong |= values != np.floor(np.where(wrong, 0.0, values))
    if wrong.any():
        allowed = "positive whole numbers" if what == "frequency" else "positive numbers"
        raise DataError(
            f"{what}= {column!r} of the {source} frame has {int(wrong.sum())} value(s) such as "
            f"{values[wrong][0]:g}.",
            allowed=allowed,
            hint="Leave rows that should not count out of the frame.",
        )
    return values


def _read_figures(frame: Frame, items: list[Item], keys: Keys, options: _Options, read: _Read) -> UnitFigures:
    values = np.full((len(keys.units), len(items)), np.nan)
    rows = np.flatnonzero(keys.codes >= 0)
    for column, item in enumerate(items):
        answers = read_answers(UNIT, frame, item, coerce=options.coerce, means=_fraction_ok(item))
        if answers.coerced:
            read.coerced[item.name] = answers.coerced
        sign, offset = item.reading
        values[keys.codes[rows], column] = offset + sign * answers.values[rows].astype(np.float64)
    return UnitFigures(tuple(item.name for item in items), keys.units, values)


def _fraction_ok(item: Item) -> bool:
    """A unit's figure on a rating scale may be a mean; a count or a yes/no may not."""
    return item.scale is not None and item.scale.kind not in {"count", "binary"}


def _with_eligible(
    moments: LinkedMoments, opened: Mapping[str, Frame], read: _Read, options: _Options
) -> LinkedMoments:
    """Attach how many people could have answered."""
    if not options.eligible:
        return moments
    if UNIT not in opened:
        raise DataError("eligible= names columns of the unit frame, but there is none.", hint="Give Study(unit=...).")
    sources = {source.source: source for source in moments.sources}
    for source, column in options.eligible.items():
        if source not in sources:
            raise SpecError(f"eligible= names the source {source!r}.", hint=did_you_mean(source, sources))
        require_columns(UNIT, opened[UNIT], [column])
        values = number_column(UNIT, opened[UNIT], column, {}).astype(np.float64)
        keys = read.keys[UNIT]
        found = {keys.units[code]: values[row] for row, code in enumerate(keys.codes) if code >= 0}
        own = sources[source]
        eligible = np.array([found.get(unit, np.nan) for unit in own.units])
        fewer = eligible < own.respondents
        if fewer.any():
            place = int(np.flatnonzero(fewer)[0])
            raise DataError(
                f"{options.by} {own.units[place]!r} has {own.respondents[place]:g} {source} answers but only "
                f"{eligible[place]:g} eligible people in {column!r}.",
                hint="Correct the column: nobody can answer who is not eligible.",
            )
        sources[source] = replace(own, eligible=eligible)
    return LinkedMoments(tuple(sources.values()), moments.figures)


def _check_matched(by: str, moments: LinkedMoments, read: _Read) -> None:
    if moments.matched:
        return
    units_of = [(source, keys.units) for source, keys in read.keys.items()]
    refuse_mixed_types(by, units_of)
    shown = "; ".join(f"{source}: {listed(units, 3)}" for source, units in units_of)
    raise DataError(
        f"No unit is in all frames: the keys {by!r} do not match ({shown}).",
        hint="Check spelling, blanks and leading zeros of the keys.",
    )

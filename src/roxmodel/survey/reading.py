"""Reading a study's frames: checked against the model, linked by unit, condensed to moments."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import DataError, SpecError, did_you_mean, listed
from roxmodel.moments.cells import Cells
from roxmodel.moments.condense import Design
from roxmodel.moments.linked import LinkedMoments, SourceMoments, UnitFigures
from roxmodel.spec.constructs import UNIT
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.questionnaire import Item
from roxmodel.survey.aggregated import Aggregated, read_aggregated
from roxmodel.survey.answers import Answers, read_answers
from roxmodel.survey.books import book_doubts
from roxmodel.survey.frames import (
    LARGEST,
    Frame,
    distinct,
    float_column,
    number_column,
    open_frame,
    raw_column,
    require_columns,
)
from roxmodel.survey.keys import Keys, key_doubts, label_doubts, read_keys, refuse_mixed_types, refuse_twice
from roxmodel.survey.misread import ItemAnswers, Kind, code_doubts
from roxmodel.survey.suspect import duplicate_doubts, heaped_answers, reversed_in_moments
from roxmodel.survey.team_columns import team_codes, team_doubts
from roxmodel.types import FloatArray, IntArray

__all__ = ["Options", "Reading", "Rows", "frame_doubts", "read_frames", "read_moments", "require_sources"]

_REMEDY = (
    "Give the item its scale, such as rox.Item(name={name}, scale={scale}), and say coerce=True; or set {codes} to "
    "missing in the data."
)
_MASK = "Set {codes} to missing in the frame, such as frame[{name}].mask(frame[{name}].isin([{codes}]))."


@dataclass(frozen=True, slots=True)
class Options:
    """How the frames are to be read."""

    by: str  # column with the unit's key
    weight: Mapping[str, str] = field(default_factory=dict)  # source -> column
    frequency: Mapping[str, str] = field(default_factory=dict)
    eligible: Mapping[str, str] = field(default_factory=dict)  # source -> column of the unit frame
    team: Mapping[str, str] = field(default_factory=dict)  # source -> column
    anywhere: bool = False  # whether this column may be missing from some of the frames
    coerce: bool = False  # whether answers outside their scale count as missing


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What the frames said.

    `origin`: ``frames``; ``pickle``: without rows and without columns that no construct uses; ``moments``: without any;
    `assumed`: source -> people in every unit, where means came without counts.
    """

    moments: LinkedMoments  # of all sources; rows are forgotten
    unit_frame: Frame | None  # the units' own figures, kept for columns such as the region
    unit_keys: Keys | None
    without_unit: Mapping[str, int] = field(default_factory=dict)  # source -> rows that name no unit
    coerced: Mapping[str, int] = field(default_factory=dict)  # item -> answers outside its scale, taken as missing
    rows: Mapping[str, Rows] = field(default_factory=dict)  # source -> its answers, as they were given
    eligible: tuple[str, ...] = ()  # columns of the unit frame with how many people could have answered
    origin: Literal["frames", "pickle", "moments"] = "frames"
    left_behind: tuple[str, ...] = ()  # sources with missing answers whose rows stayed where the pickle was made
    doubts: tuple[Doubt, ...] = ()  # what in the frames may not be what it seems
    remarks: tuple[Doubt, ...] = ()  # what else was looked at: notes, and what is in order
    assumed: Mapping[str, int] = field(default_factory=dict)

    def travelling(self, by: str) -> Reading:
        """What a pickle holds: no rows of respondents, and of the unit frame the columns that are used, copied."""
        frame, figures = self.unit_frame, self.moments.figures
        if frame is not None:
            used = dict.fromkeys((by, *(() if figures is None else figures.names), *self.eligible))
            frame = open_frame(UNIT, {name: raw_column(frame, name) for name in used if name in frame.columns})
        left = tuple(dict.fromkeys((*self.left_behind, *(source for source, own in self.rows.items() if own.holed))))
        origin: Literal["pickle", "moments"] = "moments" if self.origin == "moments" else "pickle"
        return replace(self, unit_frame=frame, rows={}, origin=origin, left_behind=left)

    def cells(self, source: str, items: Sequence[str]) -> Cells | None:
        """Moments by unit and pattern of missing answers; None where rows are not at hand or are weighted."""
        rows = self.rows.get(source)
        if rows is None or not rows.holed or rows.design.weight is not None:
            return None
        own = {one.item.name: one for one in rows.answers}
        signs, offsets = zip(*(own[item].item.reading for item in items), strict=True)
        return Cells.from_columns(items, [own[item].values for item in items], rows.design, (signs, offsets))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Answers of one survey, as they were given (columns of the frame, where that can be).

    Kept with the study in memory, never with a document or a pickle.
    """

    answers: tuple[Answers, ...]
    design: Design
    holed: bool  # whether some who answered skipped an item

    def parted(self, source: str, parts: Sequence[Sequence[str]], rng: np.random.Generator) -> list[SourceMoments]:
        """Moments of a survey whose people are dealt out at random, within units and team by team: each part of them
        answers for the items of one of `parts`, and is a survey of its own.
        """
        own, design = {one.item.name: one for one in self.answers}, self.design
        dealt = _dealt(design, len(parts), rng)
        found = []
        for number, items in enumerate(parts):
            at = np.flatnonzero(dealt == number)
            columns, team = [own[item].values[at] for item in items], design.team
            weight = None if design.weight is None else design.weight[at]
            some = Design(design.codes[at], design.units, weight, team=None if team is None else team[at])
            moments = SourceMoments.from_columns(f"{source} (part {number + 1})", items, columns, some)
            found.append(moments.affine(*zip(*(own[item].item.reading for item in items), strict=True)))
        return found


def _dealt(design: Design, parts: int, rng: np.random.Generator) -> IntArray:
    """(n,) part of each person, -1 without a unit; parts of a unit differ by one person, or team, at most."""
    codes, team = design.used_codes(), np.arange(len(design.codes)) if design.team is None else np.asarray(design.team)
    alone = team.max(initial=0) + 1 + np.arange(len(team))
    key = np.where(team >= 0, team, alone) + (codes + 1) * (int(alone.max(initial=0)) + 1)
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    unit = codes[first]
    order = np.lexsort((rng.random(len(unit)), unit))
    start = np.searchsorted(unit[order], unit[order])
    shift = rng.integers(0, parts, int(unit.max(initial=0)) + 2)
    dealt = np.empty(len(unit), dtype=np.int64)
    dealt[order] = (np.arange(len(unit)) - start + shift[unit[order]]) % parts
    return np.where(codes >= 0, dealt[place], -1)


@dataclass(slots=True)
class _Book:
    """What is noted while reading."""

    construct: dict[str, str]  # of each item
    keys: dict[str, Keys] = field(default_factory=dict)
    coerced: dict[str, int] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    surveys: int = 1  # how many of people

    def note(self, source: str, kind: Kind, answers: Sequence[Answers]) -> None:
        """Answers outside their scale, and codes for "no answer" in items without a scale."""
        self.coerced |= {one.item.name: one.coerced for one in answers if one.coerced}
        if all(one.item.scale is not None for one in answers):
            return
        used = self.keys[source].used
        values = [one.values if used is None else one.values[used] for one in answers]
        asked = [ItemAnswers(a.item, own, self.construct[a.item.name]) for a, own in zip(answers, values, strict=True)]
        self.doubts += code_doubts(source, asked, kind, _REMEDY)


def read_frames(model: RoxModel, frames: Mapping[str, object], options: Options) -> Reading:
    """Read one frame a source; frames of sources the model does not ask are left unread."""
    book, sources = _Book({item.name: c.name for c in model.constructs for item in c.items}), []
    figures, unit_frame = None, None
    book.surveys = len(model.respondent_sources)
    for source, given in frames.items():
        items = [item for c in model.constructs if c.source == source for item in c.items]
        if source == UNIT:
            unit_frame = open_frame(UNIT, given)
            figures = _read_figures(unit_frame, items, options, book)
        elif items:
            sources.append(_read_source(source, given, items, options, book))
    moments = LinkedMoments(tuple(sources), figures)
    if options.anywhere and all(own.teams is None for own in sources):
        column = next(iter(options.team.values()), "")
        raise DataError(f"team={column!r} is in none of the frames.", hint="Name the column with the teams of a frame.")
    doubts, remarks = _parted(book.doubts)
    if options.eligible:
        moments = _with_eligible(moments, unit_frame, book, options)
    present = {source: dict(zip(keys.units, keys.rows.tolist(), strict=True)) for source, keys in book.keys.items()}
    linkage = _linkage_doubts(model, options.by, moments, present)
    return Reading(
        moments, unit_frame, book.keys.get(UNIT), coerced=book.coerced, rows=book.rows,
        without_unit={source: keys.without for source, keys in book.keys.items() if keys.without},
        eligible=tuple(options.eligible.values()),
        doubts=(*doubts, *linkage, *book_doubts(moments), *reversed_in_moments(model, moments)), remarks=remarks,
        assumed={s: own.assumed for s, own in frames.items() if isinstance(own, Aggregated) and own.assumed},
    )  # fmt: skip


def _parted(found: Sequence[Doubt]) -> tuple[tuple[Doubt, ...], tuple[Doubt, ...]]:
    """Doubts, and the rest of what was found."""
    return tuple(one for one in found if one.serious), tuple(one for one in found if not one.serious)


def frame_doubts(model: RoxModel, native: object, columns: Mapping[str, str | None]) -> tuple[Doubt, ...]:
    """Codes, repeated rows and labels of the one frame that holds all items; `columns`: option of a fit -> column."""
    named = [(option, column) for option in ("group", "cluster") if (column := columns.get(option)) is not None]
    frame = open_frame("data", native, [*(item.name for item in model.items), *(column for _, column in named)])
    codes = [item.scale.codes if item.scale is not None else {} for item in model.items]
    answers = [number_column("data", frame, item.name, own) for item, own in zip(model.items, codes, strict=True)]
    constructs = [construct.name for construct in model.constructs for _ in construct.items]
    asked = [ItemAnswers(item, own, name) for item, own, name in zip(model.items, answers, constructs, strict=True)]
    found = list(code_doubts("data", asked, "answers", _MASK))
    found += heaped_answers("data", list(zip(model.items, answers, strict=True)))
    if columns.get("frequency") is None:
        found += duplicate_doubts("data", answers, None)
    for option, column in named:
        found += label_doubts(column, option, distinct(frame, column)[1])
    return tuple(found)


def read_moments(model: RoxModel, moments: LinkedMoments, by: str) -> Reading:
    """What moments say of a model: its items, nothing else; a DataError where they lack one or share no unit."""
    require_sources(model, moments)
    sources = [moments.source(name).select(_items(model, name)) for name in model.respondent_sources]
    asked = _items(model, UNIT)
    figures = moments.figures.select(asked) if moments.figures is not None and asked else None
    own = LinkedMoments(tuple(sources), figures)
    present = {s.source: dict(zip(s.units, s.respondents.tolist(), strict=True)) for s in own.sources}
    if figures is not None:
        present[UNIT] = dict.fromkeys(figures.units, 1.0)
    doubts = (*_linkage_doubts(model, by, own, present), *book_doubts(own), *reversed_in_moments(model, own))
    return Reading(own, None, None, origin="moments", doubts=doubts)


def require_sources(model: RoxModel, moments: LinkedMoments) -> None:
    """Refuse moments that lack a source, an item or the figures that the model asks for."""
    for name in model.respondent_sources:
        known = [source.source for source in moments.sources]
        if name not in known:
            raise DataError(f"The moments hold no source {name!r}.", hint=did_you_mean(name, known))
        own = moments.source(name)
        for item in _items(model, name):
            if item not in own.items:
                raise DataError(f"The {name} moments hold no item {item!r}.", hint=did_you_mean(item, own.items))
    if UNIT in model.sources and moments.figures is None:
        raise DataError("The moments hold no figures of the units, which the model asks for.")


def _items(model: RoxModel, source: str) -> list[str]:
    return [item.name for c in model.constructs if c.source == source for item in c.items]


def _linkage_doubts(
    model: RoxModel, by: str, moments: LinkedMoments, present: Mapping[str, Mapping[Hashable, float]]
) -> tuple[Doubt, ...]:
    """Keys that nearly match, and units that few frames share; none in all is refused."""
    if set(moments.matched).isdisjoint(present.get(UNIT, moments.matched)):
        refuse_mixed_types(by, [(source, list(found)) for source, found in present.items()])
        shown = "; ".join(f"{source}: {listed(list(found), 3)}" for source, found in present.items())
        raise DataError(
            f"No unit is in all frames: the keys {by!r} do not match ({shown}).",
            hint="Check spelling, blanks and leading zeros of the keys.",
        )
    units = dict.fromkeys(unit for found in present.values() for unit in found)
    found = key_doubts(by, present, list(units))
    matched, known = len(moments.matched), len(moments.units)
    if len(model.sources) < 2 or matched >= known / 2:
        return found
    finding = f"Only {matched} of {known} units are in every source."
    remedy = f"Check whether the keys {by!r} agree; study.unmatched() lists the units that a source lacks."
    return (*found, Doubt("units", "doubtful", finding, (by,), remedy))


def _read_source(source: str, given: object, items: list[Item], options: Options, book: _Book) -> SourceMoments:
    names = [item.name for item in items]
    wanted = {options.by, *names, *_named(source, given, options)}
    frame = open_frame(source, given.frame if isinstance(given, Aggregated) else given, wanted)
    require_columns(source, frame, [options.by, *names])
    keys = book.keys[source] = read_keys(source, frame, options.by)
    if isinstance(given, Aggregated):
        refuse_twice(source, options.by, keys)
        moments, answers = read_aggregated(source, given, frame, keys, items, options.coerce)
        book.note(source, "means", answers)
    else:
        answers = [read_answers(source, frame, item, coerce=options.coerce, used=keys.used) for item in items]
        weight, frequency = (
            _positive(what, source, frame, asked.get(source))
            for what, asked in (("weight", options.weight), ("frequency", options.frequency))
        )
        columns = [one.values for one in answers]
        asked = options.team.get(source)
        asked = None if options.anywhere and asked not in frame.columns else asked
        team = None if asked is None else team_codes(source, frame, asked)
        design = Design(keys.codes, keys.units, weight, frequency, team=team)
        moments = SourceMoments.from_columns(source, names, columns, design)
        if asked is not None:
            _require_teams(source, asked, options.by, moments)
        holed = moments.n.shape[1:] != (1, 1) and bool((moments.n != moments.n[:, :1, :1]).any())
        book.rows[source] = Rows(tuple(answers), design, holed)
        book.note(source, "answers", answers)
        book.doubts += heaped_answers(source, [(one.item, one.values) for one in answers])
        if source not in options.frequency:
            twice = duplicate_doubts(source, columns, keys.codes)
            book.doubts += twice
            if asked is None and not twice:  # the rows of a person read twice are no team
                book.doubts += team_doubts(source, frame, wanted, (columns, keys), book.surveys)
    signs, offsets = zip(*(item.reading for item in items), strict=True)
    return moments if all(sign > 0 for sign in signs) else moments.affine(signs, offsets)


def _named(source: str, given: object, options: Options) -> list[str]:
    """Columns that options name, beside key and items."""
    team = {} if options.anywhere and isinstance(given, Aggregated) else options.team
    weights = [which[source] for which in (options.weight, options.frequency, team) if source in which]
    if not isinstance(given, Aggregated):
        return weights
    if weights:
        raise SpecError(f"weight=, frequency= and team= are of rows; the {source} frame is rox.Aggregated.")
    return list(given.columns)


def _require_teams(source: str, column: str, by: str, moments: SourceMoments) -> None:
    """Refuse a column that says nothing of teams."""
    teams = moments.teams
    if teams is None or ((teams.count > 1).any() and (teams.count < moments.respondents).any()):
        return
    what = "all people of a unit are one team" if not (teams.count > 1).any() else "no two people share a team"
    raise DataError(
        f"team={column!r} of the {source} frame: {what}, so that nothing can be told of what teams have in common.",
        hint=f"Name the column with teams inside each {by}, of several people each, or leave team= out.",
    )


def _positive(what: str, source: str, frame: Frame, column: str | None) -> FloatArray | None:
    if column is None:
        return None
    values = float_column(source, frame, column)
    wrong = ~((values >= 1 / LARGEST) & (values <= LARGEST))
    if what == "frequency":
        wrong |= values != np.floor(np.where(wrong, 0.0, values))
    if wrong.any():
        allowed = "positive whole numbers" if what == "frequency" else "positive numbers"
        raise DataError(
            f"{what}= {column!r} of the {source} frame has {int(wrong.sum())} value(s) such as {values[wrong][0]:g}.",
            allowed=allowed,
            hint="Leave rows that should not count out of the frame.",
        )
    return values


def _read_figures(frame: Frame, items: list[Item], options: Options, book: _Book) -> UnitFigures | None:
    """Figures of the units; None if the model asks for none (the frame may still hold regions or sizes)."""
    require_columns(UNIT, frame, [options.by, *(item.name for item in items)])
    keys = book.keys[UNIT] = read_keys(UNIT, frame, options.by)
    refuse_twice(UNIT, options.by, keys)
    answers, turned = [], []
    for item in items:
        means = item.scale is not None and item.scale.kind not in {"count", "binary"}
        answers.append(read_answers(UNIT, frame, item, coerce=options.coerce, means=means, used=keys.used))
        sign, offset = item.reading
        turned.append(offset + sign * answers[-1].values[keys.row].astype(np.float64))
    book.note(UNIT, "figures", answers)
    return UnitFigures(tuple(item.name for item in items), keys.units, np.column_stack(turned)) if items else None


def _with_eligible(moments: LinkedMoments, frame: Frame | None, book: _Book, options: Options) -> LinkedMoments:
    """Attach how many people could have answered."""
    if frame is None:
        problem = "eligible= names columns of the unit frame, but there is none."
        raise DataError(problem, hint="Give Study(unit=...).")
    sources = {source.source: source for source in moments.sources}
    for source, column in options.eligible.items():
        if source not in sources:
            raise SpecError(f"eligible= names the source {source!r}.", hint=did_you_mean(source, sources))
        values = float_column(UNIT, frame, column)
        keys, own = book.keys[UNIT], sources[source]
        found = dict(zip(keys.units, values[keys.row], strict=True))
        eligible = np.array([found.get(unit, np.nan) for unit in own.units])
        _refuse_too_few(options.by, column, own, eligible)
        sources[source] = replace(own, eligible=eligible)
    return LinkedMoments(tuple(sources.values()), moments.figures)


def _refuse_too_few(by: str, column: str, source: SourceMoments, eligible: FloatArray) -> None:
    wrong = (eligible < source.respondents) | np.isinf(eligible)
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{by} {source.units[place]!r} has {source.respondents[place]:g} {source.source} answers but "
            f"{eligible[place]:g} eligible people in {column!r}.",
            allowed="at least as many as answered; missing where unknown",
            hint="Correct the column: nobody can answer who is not eligible.",
        )

"""The study: what employees, customers and the books say, linked by unit and condensed to moments."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from roxmodel.doubts import Doubt, doubt_lines, doubt_tail, warn_doubts
from roxmodel.errors import DataError, SpecError, did_you_mean, listed
from roxmodel.moments.cells import Cells
from roxmodel.moments.linked import LinkedMoments, SourceMoments
from roxmodel.spec.constructs import UNIT
from roxmodel.spec.graph import RoxModel
from roxmodel.story import Story, StoryTable, Told
from roxmodel.survey.aggregated import Aggregated
from roxmodel.survey.books import Grouping, groupings_of
from roxmodel.survey.composites import MIN_GROUP, hidden_scores, unit_composites
from roxmodel.survey.frames import raw_column, require_columns
from roxmodel.survey.keys import refuse_rounded
from roxmodel.survey.linkage import linkage_table, quality_table, unmatched_table
from roxmodel.survey.reading import Options, Reading, read_frames, read_moments

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.planning.study_check import StudyCheck

__all__ = ["Study"]

_ARGUMENTS = ("employee", "customer", UNIT)  # sources with an argument of their own


class Study(Told):
    """Surveys of different people, and the unit's own figures, linked by unit.

    The frames are read once, checked against the model and condensed to `moments`; they are never written
    into. The columns of answers are remembered (the frame's own where that can be; never pickled, never in a fit), for
    the likelihood of answers with holes and to part respondents (``method_guard="split"``). A unit that
    some frame lacks is kept and reported by `linkage`. Columns that no construct uses are ignored; a pickle does not
    keep them. `Study.of` makes a study of moments, without rows.

    Parameters
    ----------
    model
        Which items measure which construct, and who answers them.
    employee, customer
        Frames of respondents, one row a person, or `Aggregated` (one row a unit).
    unit
        Frame of the unit's own figures, one row a unit.
    by
        Column with the unit's key, in every frame. A row without a key is left out and reported.
    sources
        Frames of further respondents: name -> frame.
    weight
        Column of sampling weights (> 0), or source -> column: means are weighted, counts are not.
    frequency
        Column of counts (whole numbers >= 1), or source -> column: a row stands for so many equal rows.
    eligible
        Source -> column of the unit frame with how many people could have answered.
    team
        Column of teams inside units (of every frame that has it), or source -> column: people of one team answer alike
        (they share a boss, a shift, a day), so that a mean of 20 people of 4 teams says less than one of 20 people who
        have nothing in common. The sampling error of unit means then comes from teams: Σ_team Σ_t (n_tj / n_j)² +
        Σ_person / n_j, both covariances found by the method of moments (doi 10.1002/9780470316856); without it effects
        are understated where teams differ. A value names a team of its own in every unit; a person without one stands
        alone. In finite units (`eligible`) both parts shrink by the share that was asked: teams that answered stand for
        those that did not. Left out, columns that could name teams are tested, and one where people answer alike is a
        doubt (``teams``).
    min_group
        Smallest number of people of a survey that any figure of a single unit rests on. What may not be shown, nothing
        that answers about units knows: tables leave it out, and `simulate` and its like take such a unit to stand at
        the mean of the others. Estimates use all answers ("Privacy" among the explanations says what that leaves open).
    coerce
        Whether answers outside their scale count as missing (and are reported) instead of raising.
    wave
        Not supported yet: raises.

    Raises
    ------
    RoxError
        For a missing column (with the likely one), text, constant, infinite or empty items, answers outside
        the scale, duplicate units in `unit`, frames that share no unit.

    Warns
    -----
    RoxWarning
        Once, if something in the frames may not be what it seems; all of it stands in `doubts`.

    Examples
    --------
    >>> import pandas as pd
    >>> from roxmodel.spec.graph import five_factor
    >>> model = five_factor({"pride": ["p1", "p2"], "outcomes": ["revenue"]})
    >>> staff = pd.DataFrame({"store": list("aabbcc"), "p1": [3, 4, 2, 2, 5, 4], "p2": [4, 4, 1, 3, 5, 5]})
    >>> books = pd.DataFrame({"store": list("abc"), "revenue": [10.0, 7.0, 12.0]})
    >>> study = Study(model, employee=staff, unit=books, by="store")
    >>> study.linkage()[["construct", "respondents", "units", "matched"]].to_dict("list")
    {'construct': ['pride', 'outcomes'], 'respondents': [6, 3], 'units': [3, 3], 'matched': [3, 3]}
    """

    __slots__ = ("_reading", "by", "min_group", "model")

    model: RoxModel
    by: str
    min_group: int
    _reading: Reading

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
        team: str | Mapping[str, str] | None = None,
        min_group: int = MIN_GROUP,
        coerce: bool = False,
        wave: str | None = None,
    ) -> None:
        if wave is not None:
            raise SpecError(f"wave= was {wave!r}: it is not supported yet.", hint="Give one wave at a time.")
        _check_plain(model, by, min_group)
        frames = _frames({"employee": employee, "customer": customer, UNIT: unit}, sources)
        _check_sources(model, frames)
        asked = model.respondent_sources
        options = Options(
            by=by,
            weight=_by_source("weight", weight, asked),
            frequency=_by_source("frequency", frequency, asked),
            eligible=_by_source("eligible", eligible, asked),
            team=_by_source("team", team, asked),
            anywhere=isinstance(team, str),
            coerce=coerce,
        )
        reading = read_frames(model, frames, options)
        self._set(model=model, by=by, min_group=int(min_group), _reading=reading)
        warn_doubts("study", self.doubts, stacklevel=2)

    @classmethod
    def of(cls, moments: LinkedMoments, model: RoxModel, *, by: str = "unit", min_group: int = MIN_GROUP) -> Self:
        """Make a study of moments: no row is needed, and none is ever seen.

        Moments of sites, or of partitions of a large table, add up (``one + other``), can leave a firm where rows
        cannot, and are the `moments` of any study. What a study answers, it answers from them: `linkage`, `quality`,
        `check`, `scores`, and every method of `roxmodel.fit` that takes a study. Only what goes back to rows says that
        it needs them: `unit_column`, and with it ``cluster=`` of `roxmodel.fit`; and, where answers are missing, the
        likelihood of every answer (``within="saturated"`` or ``"model"``; ``"pooled"`` then pools the covariance within
        units pair by pair).

        Parameters
        ----------
        moments
            Surveys by unit and the units' figures, as read for `model`: reversed items turned, answers outside their
            scale left out.
        model
            Which items measure which construct, and who answers them. What it does not ask for is left out.
        by
            What a unit is called: the name of the column of keys in tables.
        min_group
            As of `Study`: smallest number of people of a survey that any figure of a single unit rests on.

        Raises
        ------
        RoxError
            If the moments lack a source or an item of the model, or no unit is in all sources.

        Warns
        -----
        RoxWarning
            Once, if something in the moments may not be what it seems; all of it stands in `doubts`.

        Examples
        --------
        >>> from roxmodel.datasets import make_world
        >>> read = make_world(40, seed=1).study()
        >>> study = Study.of(read.moments, read.model, by="branch")
        >>> study.linkage().equals(read.linkage()), study.check().n_units
        (True, 40)
        """
        given: object = moments
        if not isinstance(given, LinkedMoments):
            problem = f"moments= is of type {type(moments).__name__!r}."
            raise SpecError(problem, allowed="rox.LinkedMoments, then the model: rox.Study.of(study.moments, model)")
        _check_plain(model, by, min_group)
        study = cls.__new__(cls)
        study._set(model=model, by=by, min_group=int(min_group), _reading=read_moments(model, moments, by))
        warn_doubts("study", study.doubts, stacklevel=2)
        return study

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A Study does not change; make a new one instead of setting {name!r}.")

    def __copy__(self) -> Self:
        """A study never changes: its copy is itself, rows included."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """As `__copy__`."""
        return self

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        kept = {name: getattr(self, name) for name in self.__slots__}
        return None, kept | {"_reading": self._reading.travelling(self.by)}

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        self._set(**state[1])

    def cells(self, source: str, items: Sequence[str]) -> Cells | None:
        """Moments of a survey by unit and pattern of missing answers.

        Returns
        -------
        Cells or None
            None where no answer is missing, rows are not at hand (published means, a pickled study) or are weighted.
        """
        return self._reading.cells(source, items)

    def parted(self, source: str, parts: Sequence[Sequence[str]], rng: np.random.Generator) -> list[SourceMoments]:
        """Moments of a survey whose people are dealt out at random within units, each part for some of the items.

        Raises
        ------
        DataError
            Where rows are not at hand (published means, moments, a pickle), or stand for several people, or for all.
        """
        rows = self._reading.rows.get(source)
        if rows is None:
            raise DataError(
                f"To part its respondents takes the rows of {source!r}, and this study has none (published means, "
                "moments or a pickle).",
                hint="Make the Study from the frames; method_guard='factor' needs no rows.",
            )
        if rows.design.frequency is not None or self.moments.source(source).eligible is not None:
            raise DataError(
                f"The respondents of {source!r} cannot be parted: rows stand for several people (frequency=), or for "
                "all who could answer (eligible=).",
                hint="Leave these options out of the Study; method_guard='factor' takes them.",
            )
        return rows.parted(source, parts, rng)

    @property
    def moments(self) -> LinkedMoments:
        """Counts, means and cross-products of the answers by unit, and the units' figures."""
        return self._reading.moments

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What in the data may not be what it seems; empty = nothing was seen.

        ``scale`` (codes such as 99 in an item without a scale), ``duplicates`` (rows read twice), ``keys`` (units that
        are one, written in two ways), ``units`` (fewer than half are in every source), ``books`` (rows of the unit
        frame that look like no units, such as a total; figures far from all others), ``reversed`` (items that run
        against the others of their construct), ``teams`` (people of one team answer alike, and `team` was not said).
        """
        return self._reading.doubts

    @property
    def remarks(self) -> tuple[Doubt, ...]:
        """What else was looked at when the frames were read: notes, and what is in order."""
        return self._reading.remarks

    @property
    def frame_at_hand(self) -> bool:
        """Whether columns of the unit frame that no construct uses are at hand: not of moments, nor out of a pickle."""
        return self._reading.origin == "frames"

    @property
    def left_behind(self) -> tuple[str, ...]:
        """Sources with missing answers whose rows a pickle left behind, so that fits rest on sums by unit only."""
        return self._reading.left_behind

    @property
    def assumed_counts(self) -> Mapping[str, int]:
        """Source -> people in every unit that were assumed, because the means came without counts."""
        return self._reading.assumed

    @property
    def units(self) -> tuple[Hashable, ...]:
        """Keys of all units that any survey or the unit's figures know, sorted."""
        return self.moments.units

    def linkage(self) -> pd.DataFrame:
        """Who met whom, one row a construct.

        Returns
        -------
        DataFrame
            construct, source, items; respondents (people with at least one answer in the source); units (with
            an answer), matched (units that every source knows), lost (units of the study without an answer);
            answers_min, answers_median, answers_max (per unit); missing (share of answers, 0-1); icc1, icc2,
            rwg (see `roxmodel.survey.linkage.agreement`); note (why a number is missing, what was left out);
            response (share of the eligible people who answered, NaN without ``eligible=``).
        """
        reading = self._reading
        return linkage_table(self.model, self.moments, reading.without_unit, reading.coerced, self.assumed_counts)

    def unmatched(self) -> pd.DataFrame:
        """Units that some source lacks: the key, and ``missing_from``."""
        return unmatched_table(self.by, self.moments, self.model.sources)

    def quality(self) -> pd.DataFrame:
        """Do the items of each construct hang together, over all respondents of a source.

        Returns
        -------
        DataFrame
            construct, source, items, alpha, omega, composite_reliability, ave (all at most 1), htmt (largest
            ratio with another construct of the source), htmt_with, note.
        """
        return quality_table(self.model, self.moments)

    def check(self, model: RoxModel | None = None) -> StudyCheck:
        """What this study can carry, before any fit: reliability, identification, power, what to collect next.

        Planned for `rox.fit(model, study)`: errors are those that the likelihood with the sampling error of unit means
        is expected to have, by its information at values that the study's own moments suggest.

        Parameters
        ----------
        model
            What is to be fitted: the study's own model, or another one with items of the study.

        Returns
        -------
        StudyCheck
            ``constructs`` (ICC(1), reliability of unit means, effective number of units), ``edges`` and ``total`` (the
            smallest standardised effects found with 80 % power at 5 %, two-sided), ``identified`` and ``reason``,
            ``collect`` and ``advice`` (more units, or more answers of whom), ``units_for(effect)``, ``summary()``.
            A number that cannot be had is NaN, with the reason beside it.

        Raises
        ------
        SpecError
            If the study was read for other items than the model asks.

        References
        ----------
        Raudenbush & Liu (2000), doi 10.1037/1082-989X.5.2.199 (units against answers per unit); Satorra & Saris
        (1985), doi 10.1007/BF02294150 (power from expected information).

        Examples
        --------
        >>> from roxmodel.datasets import make_world
        >>> check = make_world(60, seed=1).study().check()
        >>> check.identified, check.total.cause, check.total.effect
        (True, 'pride', 'revenue')
        >>> check.units_for(0.1) > check.units_for(0.2)
        True
        """
        from roxmodel.planning.study_check import check_study

        if model is not None:
            _check_plain(model, self.by, self.min_group)
            check_same_items(model, self.model)
        return check_study(self.model if model is None else model, self.moments)

    def scores(self) -> pd.DataFrame:
        """Item means of every construct in every unit, small groups left out.

        Returns
        -------
        DataFrame
            One row a unit: the key, a column for each construct (points of the item mean), and ``hidden``:
            the constructs that are left out because fewer than `min_group` people answered one of their items
            there, or because they would give such a unit away.
        """
        import pandas as pd

        composites = unit_composites(self.model, self.moments)
        hidden = hidden_scores(self.model, self.moments, self.min_group)
        table = pd.DataFrame(np.where(hidden, np.nan, composites.values), columns=list(composites.names))
        table.insert(0, self.by, list(composites.units))
        names = np.array(composites.names)
        return table.assign(hidden=[", ".join(names[row]) for row in hidden])

    def unit_column(self, name: str) -> list[Hashable]:
        """One column of the unit frame, one value for each of `units` (None where missing).

        Raises
        ------
        DataError
            If there is no unit frame (as in a study made of moments), or no such column (of a pickled study: no column
            but those its model uses), or it holds long numbers that were rounded.
        """
        import pandas as pd

        frame, keys = self._reading.unit_frame, self._reading.unit_keys
        if self._reading.origin == "moments":
            raise DataError(
                f"The column {name!r} needs rows, and this study was made of moments, which hold none.",
                hint="Make the Study from the frames: Study(model, ..., unit=...).",
            )
        if frame is None or keys is None:
            problem = f"There is no unit frame to take the column {name!r} from."
            raise DataError(problem, hint="Give Study(unit=...).")
        if self._reading.origin == "pickle" and name not in frame.columns:
            raise DataError(
                f"The column {name!r} did not travel: a pickled study keeps the columns that its model uses, no other.",
                allowed=listed(list(frame.columns)),
                hint="Make the Study from the frames again, or fit before pickling.",
            )
        require_columns(UNIT, frame, [name])
        column = raw_column(frame, name)[keys.row]
        refuse_rounded(f"The column {name!r} of the unit frame", column.tolist(), str(column.dtype))
        holes = pd.isna(column)
        values = column.tolist() if column.dtype.kind in "biufU" else list(column)
        known = {u: v for u, v, hole in zip(keys.units, values, holes, strict=True) if not hole}
        return [known.get(unit) for unit in self.units]

    def groupings(self) -> list[Grouping]:
        """Columns of the unit frame that put units into groups, such as regions, and that no construct uses.

        Text, categories or whole numbers with 5 to a third as many values as units, nearly all with two units or more.

        Returns
        -------
        list of Grouping
            ``name`` of the column and ``codes``, (units,) place of each of `units` among its values, -1 where missing.
            Empty for a study made of moments or out of a pickle.

        Examples
        --------
        >>> from roxmodel.datasets import make_world
        >>> world = make_world(30, seed=1)
        >>> books = world.unit.assign(region=[f"R{k % 6}" for k in range(30)])
        >>> [found.name for found in world.study(unit=books).groupings()]
        ['region']
        """
        frame, keys = self._reading.unit_frame, self._reading.unit_keys
        if frame is None or keys is None:
            return []
        place = dict(zip(keys.units, keys.row.tolist(), strict=True))
        rows = np.array([place.get(unit, -1) for unit in self.units], dtype=np.int64)
        used = {item.name for construct in self.model.constructs for item in construct.items}
        return list(groupings_of(frame, rows, {self.by, *used, *self._reading.eligible}))

    def __repr__(self) -> str:
        people = ", ".join(f"{int(s.respondents.sum())} {s.source} answers" for s in self.moments.sources)
        known, matched = len(self.units), len(self.moments.matched)
        whole = "" if matched == known else f" ({matched} in every source)"
        doubts = doubt_tail(self.doubts, "study")
        return f"<Study of {known} units{whole} by {self.by!r}: {people or 'unit figures only'}{doubts}>"

    def _story(self) -> Story:
        warnings = tuple(doubt_lines(self.doubts))
        return Story("study", "", repr(self), warnings=warnings, body=(StoryTable.of(self.linkage()),))


def _check_plain(model: object, by: object, min_group: object) -> None:
    """Refuse what is no model, no column, no size."""
    if not isinstance(model, RoxModel):
        problem = f"model= is of type {type(model).__name__!r}."
        raise SpecError(problem, allowed="a rox.RoxModel, then the frames: rox.Study(model, employee=...)")
    if not isinstance(by, str):
        raise SpecError(f"by= was {by!r}.", allowed="the name of the column with the unit's key")
    if by in {*model.names, *(item.name for item in model.items), "hidden", "missing_from"}:
        problem = f"by= was {by!r}, which is also a construct, an item or a column of the result."
        raise SpecError(problem, hint="Give the key column a name of its own.")
    whole = isinstance(min_group, int | np.integer) and not isinstance(min_group, bool)
    if not whole or min_group < 1:  # type: ignore[operator]
        raise SpecError(f"min_group= was {min_group!r}.", allowed="a whole number of at least 1")


def _frames(own: Mapping[str, object], sources: object) -> dict[str, object]:
    """Put the frames of `sources` beside those with an argument of their own."""
    if sources is not None and not isinstance(sources, Mapping):
        problem = f"sources= is of type {type(sources).__name__!r}."
        raise SpecError(problem, allowed="a mapping source -> frame")
    frames = {source: frame for source, frame in own.items() if frame is not None}
    for source, frame in (sources or {}).items():
        if source in frames:
            problem = f"The {source} frame was given twice: as {source}= and in sources=."
            raise SpecError(problem, hint="Give it once.")
        if frame is not None:
            frames[source] = frame
    return frames


def _check_sources(model: RoxModel, frames: Mapping[str, object]) -> None:
    for source in frames:
        if source not in (*model.sources, *_ARGUMENTS):
            raise SpecError(
                f"sources= has the frame {source!r}, but no construct has that source.",
                hint=did_you_mean(str(source), model.sources),
            )
    for source in model.sources:
        if source not in frames:
            names = [c.name for c in model.constructs if c.source == source]
            how = f"{source}=frame" if source in _ARGUMENTS else f"sources={{{source!r}: frame}}"
            problem = f"No {source} frame was given, but {listed(names)} are asked of {source!r}."
            near = did_you_mean(source, [name for name in frames if name not in model.sources])
            raise DataError(problem, hint=near if near.startswith("Did") else f"Give {how}.")
    if isinstance(frames.get(UNIT), Aggregated):
        raise SpecError("The unit frame holds the units' own figures; it cannot be rox.Aggregated.")


def _by_source(what: str, given: object, sources: tuple[str, ...]) -> dict[str, str]:
    """Source to column, from one column for all or from a mapping."""
    if given is None:
        return {}
    if isinstance(given, str) and what != "eligible":
        return dict.fromkeys(sources, given)
    if not isinstance(given, Mapping) or not all(isinstance(column, str) for column in given.values()):
        one = "" if what == "eligible" else "the name of a column, or "
        raise SpecError(f"{what}= was {given!r}.", allowed=f"{one}a mapping source -> column")
    for source in given:
        if source not in sources:
            hint = did_you_mean(str(source), sources)
            raise SpecError(f"{what}= names the source {source!r}.", hint=hint)
    return dict(given)


def check_same_items(model: RoxModel, other: RoxModel) -> None:
    """Refuse a study that was read for another model's items."""
    if model == other:
        return
    known = {item.name: (item, c.source) for c in other.constructs for item in c.items}
    for construct in model.constructs:
        for item in construct.items:
            if item.name not in known:
                raise SpecError(
                    f"The study was read for model {other.name!r}, which has no item {item.name!r}.",
                    hint="Make a Study with this model.",
                )
            twin, source = known[item.name]
            if (twin.reading, source) != (item.reading, construct.source):
                raise SpecError(
                    f"The study read item {item.name!r} with another source, scale or direction.",
                    hint="Make a Study with this model.",
                )

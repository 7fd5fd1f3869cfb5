"""Every error and warning of the library: what is wrong, what was got, what is allowed, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from functools import partial
from unicodedata import normalize

__all__ = [
    "DataError", "DocumentError", "EstimationError", "RoxError", "RoxWarning", "SimulationError", "SpecError",
    "did_you_mean", "listed",
]  # fmt: skip

_LONGEST = 2_000  # characters of each part of a message


class RoxError(ValueError):
    """Something the user gave cannot be used; the message names the culprit and the remedy.

    Parameters
    ----------
    problem
        One clear sentence: what is wrong, with the name of the culprit and the value got.
    allowed
        What would have been accepted, when that helps.
    hint
        What to do next.

    Examples
    --------
    >>> str(RoxError("Item 'pri1' is constant (5.0 in all 40 rows).", hint="Drop the item."))
    "Item 'pri1' is constant (5.0 in all 40 rows). Drop the item."
    """

    def __init__(self, problem: str, *, allowed: str | None = None, hint: str | None = None) -> None:
        self.problem = _brief(problem)
        self.allowed = None if allowed is None else _brief(allowed)
        self.hint = None if hint is None else _brief(hint)
        parts = [self.problem]
        if self.allowed is not None:
            parts.append(f"Allowed: {self.allowed}.")
        if self.hint is not None:
            parts.append(self.hint)
        super().__init__(" ".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the three parts when an error crosses a process border."""
        return (partial(type(self), self.problem, allowed=self.allowed, hint=self.hint), ())


def _brief(text: str) -> str:
    """A message stays readable, whatever it quotes: the middle of a very long one is left out."""
    if len(text) <= _LONGEST:
        return text
    kept = _LONGEST // 2 - 50
    return f"{text[:kept]} [... {len(text) - 2 * kept:,} characters left out ...] {text[-kept:]}"


class SpecError(RoxError):
    """The model itself is not well-formed: a name, an arrow, a scale, a loop.

    Examples
    --------
    >>> import roxmodel as rox
    >>> try:
    ...     rox.Likert(5, 1)
    ... except rox.SpecError as error:
    ...     print(error)
    Likert(5, 1) has no width. Allowed: low < high.
    """


class DataError(RoxError):
    """The data do not fit the model: a column, a key, an answer, a count.

    Examples
    --------
    >>> import roxmodel as rox
    >>> model = rox.five_factor({"pride": ["pri1"]})
    >>> try:
    ...     rox.Study(model, employee={"branch": ["A", "B"], "prl1": [3, 4]}, by="branch")
    ... except rox.DataError as error:
    ...     print(error)
    The employee frame has no column 'pri1'. Did you mean 'prl1'?
    """


class EstimationError(RoxError):
    """The model cannot be estimated from these data by this method.

    Examples
    --------
    >>> import roxmodel as rox
    >>> model = rox.five_factor({"pride": ["pride"], "outcomes": ["sales"]}, sources={"outcomes": "employee"})
    >>> try:
    ...     rox.fit(model, {"pride": [1.0, 2.0], "sales": [3.0, 5.0]}, method="path")
    ... except rox.EstimationError as error:
    ...     print(error.problem)
    The equation of 'outcomes' has 1 cause(s), an intercept and a residual variance, but only 2 rows with complete data.
    """


class SimulationError(RoxError):
    """The what-if question cannot be asked of this fit.

    Examples
    --------
    >>> import roxmodel as rox
    >>> try:
    ...     rox.Intervention(name="coaching", shift={"pride": 0.4}, cost=-1.0)
    ... except rox.SimulationError as error:
    ...     print(error)
    Intervention 'coaching' has the cost -1. Allowed: 0 or a positive amount.
    """


class DocumentError(RoxError):
    """A saved document cannot be read: truncated, altered, of another kind or of a newer schema.

    Examples
    --------
    >>> import roxmodel as rox
    >>> try:
    ...     rox.RoxModel.from_json('{"format": "other"}')
    ... except rox.DocumentError as error:
    ...     print(error.problem)
    This JSON is not a roxmodel document.
    """


class RoxWarning(UserWarning):
    """A result was computed, but a reader must know something before using it.

    Examples
    --------
    >>> import warnings
    >>> import roxmodel as rox
    >>> world = rox.datasets.make_world(30, seed=1)
    >>> fit = rox.fit(world.model, world.study(), method="path")
    >>> far = rox.Intervention(name="leap", set={"pride": 5.0})
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     run = rox.simulate(fit, [far], horizon=1, draws=10, seed=1)
    >>> caught[0].category.__name__, "extrapolation" in str(caught[0].message)
    ('RoxWarning', True)
    """


def listed(names: Iterable[object], limit: int = 8) -> str:
    """Join names as ``'a', 'b' and 3 more`` for use in a message.

    >>> listed(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    every = [repr(name) for name in names]
    shown = ", ".join(every[:limit])
    rest = len(every) - limit
    return f"{shown} and {rest} more" if rest > 0 else shown


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Say which known name was probably meant, or list the known names.

    Case does not count, nor how words are parted (blank, underscore, hyphen, dot); what differs by no more than
    that goes before what is spelt otherwise. The name itself is never offered.

    >>> did_you_mean("prid", ["pride", "value"])
    "Did you mean 'pride'?"
    >>> did_you_mean("Net Revenue", ["revenue", "net_revenue"])
    "Did you mean 'net_revenue'?"
    >>> did_you_mean("zzz", ["pride", "value"])
    "Known: 'pride', 'value'."
    """
    name = str(name)
    known = [option for option in dict.fromkeys(map(str, options)) if option != name]
    meant = _closest(name, known) if len(name) <= _LONGEST else []
    if meant and normalize("NFKC", meant[0]) == normalize("NFKC", name):
        return f"Did you mean {meant[0]!r}, which looks alike but is written with other characters?"
    if meant:
        return f"Did you mean {' or '.join(map(repr, meant[:2]))}?"
    return f"Known: {listed(known)}." if known else "Nothing is known by any name here."


def _closest(name: str, known: list[str]) -> list[str]:
    """The known names that differ least: by signs that look alike, case, what parts words, then by letters."""
    for folded in (_plain, _parted, _joined):
        wanted = folded(name)
        same = [one for one in known if folded(one) == wanted]
        if wanted and same:
            return same
    if not _joined(name):
        return []
    keys: dict[str, list[str]] = {}
    for one in known:
        keys.setdefault(_joined(one), []).append(one)
    close = get_close_matches(_joined(name), keys, n=1, cutoff=0.6)
    if not close:
        return []
    return [max(keys[close[0]], key=lambda one: SequenceMatcher(None, name, one).ratio())]


def _plain(name: str) -> str:
    return normalize("NFKC", name).strip().casefold()


def _parted(name: str) -> str:
    return re.sub(r"[\s_.\-]+", "_", _plain(name)).strip("_")


def _joined(name: str) -> str:
    return _parted(name).replace("_", "")

"""What text in a column of numbers is, and how it becomes numbers: header rows, decimal commas, signs, words."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["text_advice"]

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
_THOUSANDS = re.compile(r"\s*[+-]?\d{1,3}(,\d{3})+(\.\d+)?\s*")
_POINTS = re.compile(r"\s*[+-]?\d{1,3}([.\u00a0\u202f' ]\d{3})+(,\d+)?\s*")
_PERCENT = re.compile(r"\s*[+-]?\d+([.,]\d+)?[\s\u00a0\u202f]*%\s*")
_MONEY = re.compile(r"\s*([€$£]|EUR|USD|GBP|CHF)?\s*[+-]?\d[\d.,' \u00a0]*\s*([€$£]|EUR|USD|GBP|CHF)?\s*")
_LEADING = re.compile(r"\s*[+-]?\d+\s*[-\u2013\u2014=:.)(].*[^\W\d_].*", re.DOTALL)
_NOTHING = frozenset(
    {
        "", "-", "--", "\u2013", "\u2014", ".", "?", "/", "n/a", "na", "#n/a", "#null!", "nan", "n.a.", "null", "none",
        "missing", "no answer", "not applicable", "not available", "refused", "don't know", "dont know", "dk", "ka",
        "k.a.", "k. a.", "keine angabe", "keine antwort", "wei\u00df nicht", "weiss nicht", "entf\u00e4llt",
        "not asked", "prefer not to say", "skipped", "unknown", "unbekannt",
    }
)  # fmt: skip
_STORED = "numbers stored as text"
_COMMAS = "numbers with a comma between thousands"
_DECIMAL = "numbers with a decimal comma"
_BOTH = "numbers with a sign between thousands and a decimal comma"
_SHARES = "numbers with a percent sign"
_WORDED = "a number and its words in one"
_AMOUNTS = "amounts with their currency"
_HEADERS = 3  # rows above the answers that survey tools write at most


def text_advice(
    name: str, texts: Sequence[str], first: Sequence[int], others: int, labelled: bool = False
) -> tuple[str, str] | None:
    """Say what the texts of a column are; None where they are words, which labels explain.

    Parameters
    ----------
    name
        The column.
    texts
        Distinct texts that were not read as numbers.
    first
        Row of the first occurrence of each, 0 = the first row of the frame.
    others
        How many distinct numbers (or labels) stand beside them.
    labelled
        Whether the answers are words that labels explain.

    Returns
    -------
    tuple or None
        What they are, and what to do (pandas code that works on the column).

    Examples
    --------
    >>> text_advice("q1", ["3,5", "4,0"], [0, 1], 0)[0]
    'numbers with a decimal comma'
    >>> text_advice("q1", ["How proud are you?", "4", "5"], [0, 1, 2], 0)[1]
    "Leave out 1 row: pandas.read_csv(path, skiprows=[1]), or frame.iloc[1:] with pandas.to_numeric(frame['q1'])."
    >>> text_advice("q1", ["agree", "disagree"], [0, 1], 0) is None
    True
    """
    column = f"frame[{name!r}]"
    heads, answers = _parted(texts, first)
    if heads and (others or any(_like_number(text) for text in answers)):
        rows = len(heads)
        skipped = list(range(1, rows + 1))
        number = "." if labelled else f" with pandas.to_numeric({column})."
        left = f"{rows} row{'' if rows == 1 else 's'}: pandas.read_csv(path, skiprows={skipped})"
        what = "the question's text above the answers (a second header row, as survey tools export it)"
        return what, f"Leave out {left}, or frame.iloc[{rows}:]{number}"
    empty = [text for text in texts if text.strip().casefold() in _NOTHING]
    answers = [text for text in texts if text.strip().casefold() not in _NOTHING]
    kind = _kind(answers)
    if empty and (kind is not None or (others and not answers)):
        made = _replaced(column, empty)
        made = made if labelled else f"pandas.to_numeric({made})"
        what = f'words for "no answer" among {"labels" if labelled else "numbers"}'
        return what, f"Set them to missing: pandas.read_csv(path, na_values={empty[:6]!r}), or {made}."
    return None if kind is None else (kind, _remedy(kind, column, answers))


def _parted(texts: Sequence[str], first: Sequence[int]) -> tuple[list[str], list[str]]:
    """Texts of the first rows that are no numbers, if they stand in rows 0, 1 ... without a gap; and the others."""
    by_row = sorted(zip(first, texts, strict=True))
    heads: list[str] = []
    for row, text in by_row[:_HEADERS]:
        wordy = not _like_number(text) and text.strip().casefold() not in _NOTHING
        if row != len(heads) or not wordy:
            break
        heads.append(text)
    rest = [text for _, text in by_row[len(heads) :]]
    return (
        (heads, rest) if all(_like_number(t) or t.strip().casefold() in _NOTHING for t in rest) else ([], list(texts))
    )


def _like_number(text: str) -> bool:
    return any(kind.fullmatch(text) for kind in (_NUMBER, _COMMA, _THOUSANDS, _POINTS, _PERCENT, _LEADING))


def _kind(answers: Sequence[str]) -> str | None:
    """What all texts are, the plainest reading first."""
    if not answers:
        return None
    readings = (
        (_STORED, (_NUMBER,)),
        (_COMMAS, (_THOUSANDS, _NUMBER)),
        (_DECIMAL, (_COMMA, _NUMBER)),
        (_BOTH, (_POINTS, _COMMA, _NUMBER)),
        (_SHARES, (_PERCENT, _NUMBER)),
        (_WORDED, (_LEADING, _NUMBER)),
        (_AMOUNTS, (_MONEY,)),
    )
    for kind, patterns in readings:
        if all(any(pattern.fullmatch(text) for pattern in patterns) for text in answers):
            return kind
    return None


def _replaced(column: str, texts: Sequence[str]) -> str:
    listed = ", ".join(f"{text!r}: None" for text in texts[:6])
    return f"{column}.replace({{{listed}}})"


def _remedy(kind: str, column: str, answers: Sequence[str]) -> str:
    """What to do, for each kind of text; the code works on the column as it is."""
    first, plain = answers[0], answers[0].replace(",", ".")
    off = rf"{column}.str.replace(r'[^\d,+-]', '', regex=True).str.replace(',', '.').astype(float)"
    unsigned = rf"{column}.str.replace(r'[\s%]', '', regex=True).str.replace(',', '.').astype(float)"
    bare = rf"{column}.astype(str).str.replace(r'[^\d.,+-]', '', regex=True)"
    leading = rf"{column}.astype(str).str.extract(r'^\s*([+-]?\d+)')[0].astype(float)"
    remedies = {
        _STORED: f"Make them numbers: pandas.to_numeric({column}).",
        _COMMAS: f"Say so when reading: pandas.read_csv(path, thousands=','), or {column}.str.replace(',', '')"
        f".astype(float); if these are decimal commas ({first!r} = {plain}), decimal=','.",
        _DECIMAL: "Say so when reading: pandas.read_csv(path, decimal=','), or "
        f"{column}.str.replace(',', '.').astype(float).",
        _BOTH: f"Say so when reading: pandas.read_csv(path, thousands='.', decimal=','), or {off}.",
        _SHARES: f"Take the sign off: {unsigned}, with the scale rox.Percent().",
        _WORDED: f"Take the number: {leading}; or give the item's scale these texts as its labels, in order: "
        "rox.Likert(1, 5, labels=[...]).",
        _AMOUNTS: f"Take the currency off: {bare}, then make the rest numbers (mind commas: decimal=',' or "
        "thousands=',').",
    }
    return remedies[kind]

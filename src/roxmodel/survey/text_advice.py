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
        return (
            "the question's text above the answers (a second header row, as survey tools export it)",
            f"Leave out {rows} row{'' if rows == 1 else 's'}: pandas.read_csv(path, skiprows={skipped}), or "
            f"frame.iloc[{rows}:]{number}",
        )
    empty = [text for text in texts if text.strip().casefold() in _NOTHING]
    answers = [text for text in texts if text.strip().casefold() not in _NOTHING]
    kind = _kind(answers)
    if empty and (kind is not None or (others and not answers)):
        made = _replaced(column, empty)
        made = made if labelled else f"pandas.to_numeric({made})"
        return (
            f'words for "no answer" among {"labels" if labelled else "numbers"}',
            f"Set them to missing: pandas.read_csv(path, na_values={empty[:6]!r}), or {made}.",
        )
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
    return (heads, rest) if all(_like_number(t) or t.strip().casefold() in _NOTHING for t in rest) else ([], list(texts))


def _like_number(text: str) -> bool:
    return any(kind.fullmatch(text) for kind in (_NUMBER, _COMMA, _THOUSANDS, _POINTS, _PERCENT, _LEADING))


def _kind(answers: Sequence[str]) -> str | None:
    """What all texts are, the plainest reading first."""
    if not answers:
        return None
    readings = (
        ("numbers stored as text", (_NUMBER,)),
        ("numbers with a comma between thousands", (_THOUSANDS, _NUMBER)),
        ("numbers with a decimal comma", (_COMMA, _NUMBER)),
        ("numbers with a sign between thousands and a decimal comma", (_POINTS, _COMMA, _NUMBER)),
        ("numbers with a percent sign", (_PERCENT, _NUMBER)),
        ("a number and its words in one", (_LEADING, _NUMBER)),
        ("amounts with their currency", (_MONEY,)),
    )
    for kind, patterns in readings:
        if all(any(pattern.fullmatch(text) for pattern in patterns) for text in answers):
            return kind
    return None


def _replaced(column: str, texts: Sequence[str]) -> str:
    listed = ", ".join(f"{text!r}: None" for text in texts[:6])
    return f"{column}.replace({{{listed}}})"


def _remedy(kind: str, column: str, answers: Sequence[str]) -> str:
    if kind == "numbers stored as text":
        return f"Make them numbers: pandas.to_numeric({column})."
    if kind == "numbers with a comma between thousands":
        return (
            f"Say so when reading: pandas.read_csv(path, thousands=','), or {column}.str.replace(',', '').astype(float); "
            f"if these are decimal commas ({answers[0]!r} = {answers[0].replace(',', '.')}), decimal=','."
        )
    if kind == "numbers with a decimal comma":
        return (
            "Say so when reading: pandas.read_csv(path, decimal=','), or "
            f"{column}.str.replace(',', '.').astype(float)."
        )
    if kind == "numbers with a sign between thousands and a decimal comma":
        return (
            "Say so when reading: pandas.read_csv(path, thousands='.', decimal=','), or "
            rf"{column}.str.replace(r'[^\d,+-]', '', regex=True).str.replace(',', '.').astype(float)."
        )
    if kind == "numbers with a percent sign":
        return (
            rf"Take the sign off: {column}.str.replace(r'[\s%]', '', regex=True).str.replace(',', '.').astype(float), "
            "with the scale rox.Percent()."
        )
    if kind == "a number and its words in one":
        return (
            rf"Take the number: {column}.astype(str).str.extract(r'^\s*([+-]?\d+)')[0].astype(float); or give the item's "
            "scale these texts as its labels, in order: rox.Likert(1, 5, labels=[...])."
        )
    return (
        rf"Take the currency off: {column}.astype(str).str.replace(r'[^\d.,+-]', '', regex=True), then make the rest "
        "numbers (mind commas: decimal=',' or thousands=',')."
    )

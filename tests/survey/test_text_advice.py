"""What text in a column of numbers is; every piece of advice is obeyed by running it."""

import ast
import io
import re

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.survey.misread import text_advice

MODEL = rox.five_factor({"pride": ["q1"]})
LABELLED = rox.five_factor({"pride": ["q1"]}, scale=rox.Likert(1, 3, labels=["no", "partly", "yes"]))


def refusal(answers, model=MODEL) -> rox.DataError:
    frame = pd.DataFrame({"store": ["a", "b"] * 10, "q1": pd.Series(answers * 20, dtype=object)[:20]})
    with pytest.raises(rox.DataError) as caught:
        rox.Study(model, employee=frame, by="store")
    return caught.value


def code_in(hint: str) -> str:
    """The longest piece from the first column on that is code."""
    start = hint.index("pandas.to_numeric(" if "pandas.to_numeric(" in hint else "frame['q1']")
    for end in range(len(hint), start, -1):
        try:
            found = ast.parse(hint[start:end], mode="eval").body
        except SyntaxError:
            continue
        if isinstance(found, ast.Call):
            return hint[start:end]
    raise AssertionError(hint)


COLUMNS = {
    "decimal comma": (["3,5", "4,0", "2"], "decimal comma", [3.5, 4, 2]),
    "thousands": (["1,234", "12,345.5"], "comma between thousands", [1234, 12345.5]),
    "points and a comma": (["1.234,5", "2.000"], "decimal comma", [1234.5, 2000]),
    "percent": (["45 %", "12,5%"], "percent sign", [45, 12.5]),
    "number and words": (["5 - very good", "1 = bad", "3"], "a number and its words", [5, 1, 3]),
    "words in brackets": (["1 (low)", "5 (high)"], "a number and its words", [1, 5]),
    "stored as text": (["3", "4", "5.5"], "stored as text", [3, 4, 5.5]),
    "no answer": (["4", "n/a", "5"], 'words for "no answer"', [4, np.nan, 5]),
    "blank": (["4", "", "5"], 'words for "no answer"', [4, np.nan, 5]),
    "no answer among numbers": ([4, "keine Angabe", 5], 'words for "no answer"', [4, np.nan, 5]),
    "euros": (["€ 12", "5 EUR"], "currency", [12, 5]),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_a_column_is_told_and_the_code_makes_it_numbers(case):
    answers, what, expected = COLUMNS[case]
    error = refusal(answers)
    assert what in error.problem
    assert "labels" not in (error.hint or "") or case in {"number and words", "words in brackets"}
    code = code_in(error.hint)
    found = eval(code, {"pandas": pd, "frame": pd.DataFrame({"q1": pd.Series(answers, dtype=object)})})
    np.testing.assert_allclose(pd.to_numeric(found).to_numpy(float), expected)


@pytest.mark.parametrize("heads", [["How proud are you?"], ["How proud are you?", '{"ImportId":"QID1"}']])
def test_header_rows_are_skipped(heads):
    text = "store,q1\n" + "".join(f'-,"{head.replace(chr(34), chr(34) * 2)}"\n' for head in heads)
    text += "".join(f"{'ab'[k % 2]},{1 + k % 5}\n" for k in range(20))
    with pytest.raises(rox.DataError, match="second header row") as caught:
        rox.Study(MODEL, employee=pd.read_csv(io.StringIO(text)), by="store")
    hint = caught.value.hint
    assert "labels" not in hint
    rows = eval(re.search(r"skiprows=(\[.*?\])", hint)[1])
    read = pd.read_csv(io.StringIO(text), skiprows=rows)
    assert rox.Study(MODEL, employee=read, by="store").units == ("a", "b")


def test_words_are_still_sent_to_labels():
    assert "labels" in refusal(["agree", "disagree"]).hint
    assert "labels" in refusal([3, 4, "very good"]).hint
    assert text_advice("q1", ["12.05.2020", "x"], [0, 1], 0) is None


def test_beside_labels():
    assert "second header row" in refusal(["How proud?", *["no", "yes"] * 10], LABELLED).problem
    error = refusal(["no", "yes", "n/a"], LABELLED)
    assert error.hint == (
        "Set them to missing: pandas.read_csv(path, na_values=['n/a']), or frame['q1'].replace({'n/a': None})."
    )
    assert "no label explains" in refusal(["no", "Yes"], LABELLED).problem

"""How numbers are written."""

import math

import pandas as pd
import pytest

from roxmodel import numerals

NAN = math.nan
CASES = [
    ("includes_zero", (-0.1, 0.2), True),
    ("includes_zero", (0.1, 0.2), False),
    ("includes_zero", (-0.1, NAN), False),
    ("finite", (0.4,), True),
    ("finite", (None,), False),
    ("finite", (NAN,), False),
    ("written", ([0.42, 0.31, 0.534],), ["0.42", "0.31", "0.53"]),
    ("written", ([-1234.5, 2.0],), ["−1,234", "2"]),
    ("written", ([2_500_000.0],), ["2.50M"]),
    ("written", ([3.1e9, 0.0],), ["3.10bn", "0.00bn"]),
    ("written", ([0.00042],), ["0.00042"]),
    ("with_interval", (0.42, 0.31, 0.53), "0.42 [0.31, 0.53]"),
    ("with_interval", (-0.1, None, None), "−0.10"),
    ("tick_text", (-0.2,), "−0.2"),
    ("tick_text", (150_000.0,), "150,000"),
    ("tick_text", (2_500_000.0,), "2.5M"),
    ("tick_text", (0.30000000000000004,), "0.3"),
    ("plain", (0.00432, 2), "0.0043"),
    ("plain", (1702.0,), "1,702"),
    ("plain", (-12.345,), "-12.3"),
    ("plain", (2.5e6 + 0.25,), "2,500,000"),
    ("plain", (NAN,), ""),
    ("money_text", (1234567.0,), "1,230,000"),
    ("money_text", (-12.34,), "-12.3"),
    ("money_text", (0.0,), "0"),
    ("signed_text", (0.2,), "+0.200"),
    ("signed_text", (-1234.0,), "-1,230"),
    ("span_text", (1.0, 2.5), "1.00 to 2.50"),
    ("span_text", (1.0, 1.0), ""),
    ("span_text", (NAN, NAN), ""),
    ("span_text", (-0.1, 0.2, True), "-0.100 to +0.200"),
    ("amount_text", (120_000.0,), "120,000"),
    ("amount_text", (-1_200.5,), "-1,200.50"),
    ("amount_text", (0.0025,), "0.0025"),
    ("amount_text", (3.5e18,), "3.5e+18"),
    ("exact_text", (1_250_000.0,), "1,250,000"),
    ("exact_text", (0.125,), "0.125"),
    ("estimate_text", (0.42,), "0.420"),
    ("estimate_text", (250.0,), "250.0"),
    ("estimate_text", (12_345.6,), "12,346"),
    ("estimate_text", (4e-5,), "4e-05"),
    ("estimate_text", (NAN,), ""),
    ("p_text", (0.0421,), "0.042"),
    ("p_text", (1e-9,), "<.001"),
    ("p_text", (NAN,), ""),
    ("chance_text", (0.123,), "12%"),
    ("chance_text", (0.001,), "below 1%"),
]


@pytest.mark.parametrize(("name", "given", "text"), CASES)
def test_a_number_is_written_as_it_is_read(name, given, text):
    assert getattr(numerals, name)(*given) == text


def test_every_way_is_shown():
    assert {name for name, _, _ in CASES} == set(numerals.__all__) - {"for_reading"}


def test_a_table_for_reading_is_a_copy():
    table = pd.DataFrame({"n": [3], "x": [0.123456], "who": ["a"]})
    assert numerals.for_reading(table).to_dict("list") == {"n": [3], "x": ["0.123"], "who": ["a"]}
    assert table["x"][0] == 0.123456

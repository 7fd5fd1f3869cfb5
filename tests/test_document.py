"""The document: what is written is read back; what is not ours, not whole or not plain is refused in words."""

import hashlib
import json
import math

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.document import (
    SCHEMA_VERSION,
    FitContent,
    content_hash,
    read_document,
    read_fit,
    read_text,
    write_document,
    write_text,
)

CONTENT = {
    "name": "m",
    "numbers": [1, 2.5, 1e-300, -0.0],
    "text": 'Stolz \u00e4 \u4ef7 "quoted"',
    "none": None,
    "yes": True,
}


def sealed(inner, **envelope):
    """An envelope with a matching checksum, made by hand."""
    plain = json.dumps(inner, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    checksum = hashlib.sha256(plain.encode()).hexdigest()
    whole = {"format": "roxmodel", "kind": "model", "schema_version": SCHEMA_VERSION, "checksum": checksum}
    return json.dumps({**whole, "content": inner, **envelope})


def test_round_trip():
    text = write_document("model", CONTENT)
    assert read_document(text, "model") == CONTENT
    assert read_document(text.encode(), "model") == CONTENT
    assert read_document("\ufeff" + text, "model") == CONTENT
    assert text.endswith("}\n")
    assert write_document("model", read_document(text, "model")) == text


def test_the_checksum_is_that_of_canonical_json():
    assert read_document(sealed(CONTENT), "model") == CONTENT
    assert json.loads(write_document("model", CONTENT))["checksum"] == content_hash(CONTENT)


def test_layout_and_order_of_keys_do_not_matter():
    envelope = json.loads(write_document("model", CONTENT))
    turned = {key: envelope[key] for key in reversed(envelope)}
    turned["content"] = {key: CONTENT[key] for key in reversed(CONTENT)}
    assert read_document(json.dumps(turned, indent=7), "model") == CONTENT


def test_nan_and_infinities_stand_as_text():
    text = write_document("fit", {"a": math.nan, "b": [math.inf, -math.inf], "c": (1, 2)})
    assert read_document(text, "fit") == {"a": "NaN", "b": ["Infinity", "-Infinity"], "c": [1, 2]}
    json.loads(text, parse_constant=pytest.fail)


def test_numpy_numbers_and_arrays_are_written_as_plain_json():
    content = {"n": np.int64(3), "x": np.float32(0.5), "yes": np.True_, "rows": np.array([[1.0, np.nan]])}
    assert read_document(write_document("fit", content), "fit") == {
        "n": 3,
        "x": 0.5,
        "yes": True,
        "rows": [[1.0, "NaN"]],
    }


def test_what_json_cannot_hold_is_named():
    with pytest.raises(rox.DocumentError, match="fit document cannot hold this: Object of type set"):
        write_document("fit", {"a": {1, 2}})


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_document_is_refused(share):
    text = write_document("model", CONTENT).rstrip()
    with pytest.raises(rox.DocumentError, match=r"not a complete JSON document: .*(empty|character \d+ of \d+)"):
        read_document(text[: int(len(text) * share)], "model")


@pytest.mark.parametrize(
    ("old", "new"),
    [('"m"', '"n"'), ("2.5", "2.50001"), ("true", "false"), ("null", "0"), ('"name"', '"nam"'), ("1,", "1.0,")],
)
def test_a_tampered_document_is_refused(old, new):
    text = write_document("model", CONTENT)
    head, content = text.split('"content"')
    assert old in content
    with pytest.raises(rox.DocumentError, match="altered since it was written"):
        read_document(f'{head}"content"{content.replace(old, new, 1)}', "model")


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("[1, 2]", "not a roxmodel document"),
        ('{"a": 1}', "not a roxmodel document"),
        ("5", "not a roxmodel document"),
        ("model.rox.json", "not a complete JSON document.*Give a document's text, not its path"),
        (None, "A document is text, but this is NoneType"),
        (b"\xff\xfe", "not UTF-8 text"),
        ("[" * 100_000, "nested too deeply"),
        ('{"format": ' + "9" * 5000 + "}", "digits"),
        (sealed(CONTENT, kind="fit"), "holds a 'fit', but a 'model' was asked for"),
        (sealed(CONTENT, kind=None), "holds a None"),
        (sealed(CONTENT, schema_version=SCHEMA_VERSION + 1), f"schema version {SCHEMA_VERSION + 1}.*Upgrade roxmodel"),
        (sealed(CONTENT, schema_version=0), "schema_version 0"),
        (sealed(CONTENT, schema_version=True), "schema_version True"),
        (sealed(CONTENT, schema_version="1"), "schema_version '1'"),
        (sealed(CONTENT, schema_version=None), "schema_version None"),
        (sealed(CONTENT, content=[1]), "has no content"),
        (sealed(CONTENT, content=None), "has no content"),
        (sealed(CONTENT, checksum=None), "altered"),
        (sealed({"a": 1}).replace('"a": 1', '"a": NaN'), "bare NaN"),
        (sealed({"a": 1}).replace('"a": 1', '"a": -Infinity'), "bare -Infinity"),
        (sealed({"a": 1}).replace('"a": 1', '"a": "\\ud800"'), "half a character"),
        (sealed(CONTENT).replace('"none": null', '"none": 1, "none": null'), "holds 'none' twice"),
        (sealed(CONTENT).replace('"kind"', '"kind": "plan", "kind"'), "holds 'kind' twice"),
    ],
)
def test_what_is_no_document_of_ours_is_refused(text, culprit):
    with pytest.raises(rox.DocumentError, match=culprit):
        read_document(text, "model")


def test_a_deep_document_is_refused_in_words():
    deep = '{"a":' * 950 + "1" + "}" * 950
    with pytest.raises(rox.DocumentError):
        read_document(sealed({}).replace('"content": {}', f'"content": {deep}'), "model")


def test_files(tmp_path):
    path = write_text(tmp_path / "model.rox.json", write_document("model", CONTENT))
    assert read_document(read_text(path), "model") == CONTENT
    assert [file.name for file in tmp_path.iterdir()] == ["model.rox.json"]
    write_text(path, "second")
    assert read_text(str(path)) == "second"


@pytest.mark.parametrize(
    ("name", "culprit"), [("missing.json", "missing.json' cannot be read: No such file"), ("", "cannot be read")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, culprit):
    with pytest.raises(rox.DocumentError, match=culprit):
        read_text(tmp_path / name)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "model.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(rox.DocumentError, match=r"model.json' cannot be read: it is not UTF-8 text"):
        read_text(tmp_path / "model.json")
    with pytest.raises(rox.DocumentError, match="cannot be read: embedded null"):
        read_text("a\x00b")


@pytest.mark.parametrize("name", ["missing/model.json", "", "a\x00b"])
def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path, name):
    with pytest.raises(rox.DocumentError, match="cannot be written"):
        write_text(tmp_path / name, "text")
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = write_text(tmp_path / "model.json", "old")
    with pytest.raises(rox.DocumentError, match="UTF-8"):
        write_text(path, "\ud800")
    assert read_text(path) == "old"
    assert len(list(tmp_path.iterdir())) == 1


def fit_content():
    number = {"estimate": 1.0, "se": math.nan, "statistic": math.nan, "p": math.nan, "ci_low": -math.inf}
    row = {"id": "edge:a->b", "kind": "edge", "left": "a", "right": "b", "group": "", "free": 1, "lag": 0, "label": ""}
    measure = {"name": "a", "factor": "pride", "source": "employee", "items": ["x"], "weights": [1.0]}
    check = {"ok": True, "reason": ""}
    return {
        "model": {"name": "m"},
        "model_hash": "0",
        "method": "linked",
        "level": "between",
        "errors": "standard",
        "parameters": [{**row, **number, "ci_high": math.inf, "standardized": 0.5, "df": math.inf}],
        "vcov": [[1.0]],
        "equations": [{"effect": "b", "family": "linear", "n": 10, "df": 8.0, "dispersion": 1.0}],
        "measures": [
            {
                **measure,
                "signs": [1.0],
                "offsets": [0.0],
                "lows": [1.0],
                "highs": [None],
                "codes": [{}],
                "within_covariance": [[0.0]],
            }
        ],
        "population": {
            "names": ["a"], "n": 10, "n_units": None, "mean": [0.0], "covariance": [[1.0]], "low": None, "high": None,
        },
        "replicates": None,
        "indices": {"chisq": math.nan, "cfi": 1.0},
        "converged": check,
        "identified": check,
        "admissible": {"ok": False, "reason": "variance of 'x' is at 0"},
        "notes": ["between units"],
    }  # fmt: skip


def test_a_fit_document_is_read_with_nan_and_infinities():
    fit = read_fit(write_document("fit", fit_content()))
    assert isinstance(fit, FitContent)
    assert math.isnan(fit.parameters[0].se)
    assert (fit.parameters[0].ci_low, fit.parameters[0].df) == (-math.inf, math.inf)
    assert math.isnan(fit.indices["chisq"])
    assert read_fit(write_document("fit", fit.model_dump())).model_dump_json() == fit.model_dump_json()


@pytest.mark.parametrize(
    ("path", "value", "culprit"),
    [
        (("parameters", 0, "se"), "abc", "parameters.0.se"),
        (("parameters", 0, "colour"), 1, "parameters.0.colour"),
        (("population", "n"), 1.5, "population.n"),
        (("converged", "ok"), "perhaps", "converged.ok"),
        (("vcov",), None, "vcov"),
        (("extra",), 1, "extra"),
    ],
)
def test_a_field_that_is_not_as_the_schema_has_it_is_named(path, value, culprit):
    content = fit_content()
    *way, last = path
    place = content
    for step in way:
        place = place[step]
    place[last] = value
    with pytest.raises(rox.DocumentError, match=f"field '{culprit}' is not as the schema has it"):
        read_fit(write_document("fit", content))


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("population", "units", ["north"]),
        ("population", "levels", [[1.0]]),
        ("population", "hidden", None),
        ("population", "min_group", 5),
        ("converged", "faults", []),
    ],
)
def test_what_is_kept_in_memory_only_stands_in_no_document(part, name, value):
    content = fit_content()
    content[part] = {**content[part], name: value}
    with pytest.raises(rox.DocumentError, match=rf"'{part}.{name}' is not .*: Extra inputs are not permitted"):
        read_fit(write_document("fit", content))
    fit = read_fit(write_document("fit", fit_content()))
    assert name not in fit.model_dump()[part]


def test_a_part_that_is_no_record_is_named_as_ever():
    content = fit_content()
    content["measures"] = [3]
    with pytest.raises(rox.DocumentError, match="'measures.0' .*: Input should be a valid dictionary or instance of "):
        read_fit(write_document("fit", content))


def test_a_missing_field_is_named():
    content = fit_content()
    del content["method"]
    with pytest.raises(rox.DocumentError, match="field 'method'"):
        read_fit(write_document("fit", content))


def test_a_model_is_no_fit():
    with pytest.raises(rox.DocumentError, match="holds a 'model', but a 'fit' was asked for"):
        read_fit(write_document("model", CONTENT))


@pytest.mark.parametrize(
    ("path", "value", "culprit"),
    [
        (("parameters", 0, "free"), 3_000_000, "number 3000000 but no 1"),
        (("parameters", 0, "free"), -1, "parameters.0.free"),
        (("parameters", 0, "lag"), 10**30, "parameters.0.lag"),
        (("population", "n"), 2**60, "population.n"),
        (("population", "covariance"), [[1.0, 2.0]], "population.covariance is 1 x 2, not 1 x 1"),
        (("population", "mean"), [0.0, 1.0], "population.mean is of length 2, not of length 1"),
        (("measures", 0, "within_covariance"), [], "within_covariance of 'a' is 0 x 1, not 1 x 1"),
        (("measures", 0, "codes"), [], "codes of 'a' is of length 0"),
        (("vcov",), [[1.0, 0.0]], "vcov is 1 x 2, not 1 x 1"),
        (("replicates",), [[1.0], []], "replicates is 2 x 0, not 2 x 1"),
    ],
)
def test_sizes_that_do_not_fit_are_named(path, value, culprit):
    content = fit_content()
    *way, last = path
    place = content
    for step in way:
        place = place[step]
    place[last] = value
    with pytest.raises(rox.DocumentError, match=culprit):
        read_fit(write_document("fit", content))


def test_utf_16_is_named(tmp_path):
    (tmp_path / "wide.json").write_bytes(write_document("model", CONTENT).encode("utf-16"))
    with pytest.raises(rox.DocumentError, match=r"wide\.json' cannot be read: it is not UTF-8 text but UTF-16"):
        read_text(tmp_path / "wide.json")
    (tmp_path / "marked.json").write_bytes(write_document("model", CONTENT).encode("utf-8-sig"))
    assert read_document(read_text(tmp_path / "marked.json"), "model") == CONTENT


def test_a_path_is_a_path(tmp_path):
    for read in (rox.load, rox.ScoringEngine.load):
        for given in (None, 3, b"fit.json"):
            with pytest.raises(rox.DocumentError, match="is no path but of type"):
                read(given)
        with pytest.raises(rox.DocumentError, match="cannot be read"):
            read(tmp_path)

#!/usr/bin/env bash
# narwhals 2.29.0: group_by().agg(median()) is the median on polars (on pandas and DuckDB too); on a pyarrow table it is
# pyarrow's approximate one: a unit of two answers gets the smaller (0 of 0 and 10), one of 500 ones and 500 fives 2.75
# instead of 3. Without group_by the same table gives 5.0. No warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check narwhals==2.29.0 pyarrow==26.0.1 polars==2.1.0
"$work/env/bin/python" -W error::UserWarning - <<'PY'
import narwhals as nw, polars as pl, pyarrow as pa

scores = [0, 10] + [1, 2, 4, 5] + [1] * 500 + [5] * 500
answers = {"unit": ["a"] * 2 + ["b"] * 4 + ["c"] * 1000, "score": scores}
seen, whole = {}, {}
for name, table in (("polars", pl.DataFrame(answers)), ("pyarrow", pa.table(answers))):
    frame = nw.from_native(table)
    grouped = frame.group_by("unit").agg(nw.col("score").median()).sort("unit")
    seen[name] = [float(x) for x in grouped["score"].to_list()]
    a = frame.filter(nw.col("unit") == "a").select(nw.col("score").median())
    whole[name] = float(a["score"].to_list()[0])
    print("narwhals", nw.__version__, name, "grouped:", seen[name], "unit a alone:", whole[name])
assert seen["polars"] == [5.0, 3.0, 3.0]
assert seen["pyarrow"][0] == 0.0 and seen["pyarrow"][1] == 3.0, "the median of two is exact now"
assert 2.6 < seen["pyarrow"][2] < 2.9, "the median of many is exact now"
assert whole["pyarrow"] == whole["polars"] == 5.0
PY
echo "as described"

#!/usr/bin/env bash
# pandas 3.1.1: read_sas takes blanks at the end of a SAS transport file for padding. A survey whose last column is an
# open comment ends in blanks when the last respondent wrote little or nothing: that respondent is gone, from chunks too.
# A single short text column gains rows instead. pyreadstat 1.3.7 reads the same files whole. No warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 numpy==2.4.6 pyreadstat==1.3.7
cd "$work"
"$work/env/bin/python" -W error::UserWarning - <<'PY'
import pandas as pd, pyreadstat

print("pandas", pd.__version__, "pyreadstat", pyreadstat.__version__)


def rows(frame):
    pyreadstat.write_xport(frame, "wave.xpt", file_format_version=5)
    whole = pyreadstat.read_xport("wave.xpt")[0]
    mine = pd.read_sas("wave.xpt", encoding="utf-8")
    chunks = sum(len(c) for c in pd.read_sas("wave.xpt", chunksize=3, encoding="utf-8"))
    return len(whole), len(mine), chunks


seen = {}
for last in ("", "ok", "a comment as long as those of the others"):
    text = ["a comment as long as those of the others"] * 9 + [last]
    seen[last] = rows(pd.DataFrame({"id": range(1, 11), "nps": [9.0] * 10, "comment": text}))
    print(f"10 respondents, last comment {last!r}: pyreadstat, pandas, pandas in chunks:", seen[last])
one = rows(pd.DataFrame({"segment": list("aabbaba")}))
print("7 respondents, one letter each:", one)
assert seen[""] == seen["ok"] == (10, 9, 9), "the last respondent is there now"
assert seen["a comment as long as those of the others"] == (10, 10, 10)
assert one[0] == 7 and one[1] == 8, "no row is added now"
PY
echo "as described"

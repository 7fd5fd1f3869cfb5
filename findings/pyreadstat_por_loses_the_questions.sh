#!/usr/bin/env bash
# pyreadstat 1.3.7: an SPSS portable file has upper-case names only. write_por turns q1 into Q1 and drops what was said of
# q1: neither its wording (column_labels) nor its format (variable_format) is in the file, without a word. With the names
# in upper case both are kept; write_sav keeps both for either.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 numpy==2.4.6 pyreadstat==1.3.7
cd "$work"
"$work/env/bin/python" -W error::UserWarning - <<'PY'
import pandas as pd, pyreadstat as p

print("pyreadstat", p.__version__)
for names in (["Q1", "SEG"], ["q1", "seg"]):
    wording = dict(zip(names, ["How satisfied are you?", "Segment"]))
    frame = pd.DataFrame({names[0]: [1.0, 5.0], names[1]: ["a", "b"]})
    for kind, write, read in (("por", p.write_por, p.read_por), ("sav", p.write_sav, p.read_sav)):
        write(frame, "wave." + kind, column_labels=wording, variable_format={names[0]: "F5.1"})
        found, meta = read("wave." + kind)
        print(names, kind, meta.column_names_to_labels, meta.original_variable_types)
        assert found.iloc[:, 0].tolist() == [1.0, 5.0]
        lost = kind == "por" and names[0] == "q1"
        assert list(meta.column_names_to_labels.values()) == ([None, None] if lost else list(wording.values()))
        assert list(meta.original_variable_types.values())[0] == ("F8.2" if lost else "F5.1")
PY
echo "as described"

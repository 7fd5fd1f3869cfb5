#!/usr/bin/env bash
# factor_analyzer 0.5.1: its confirmatory analysis takes a frame's columns by place and the model's items by their order
# in the dictionary. Where the frame holds a question of one factor beside one of another, as questionnaires do, every
# loading goes to another item: .96 for an item whose loading is .50, and nothing for one of .70, without a word. The
# names in the model are the frame's own names.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check factor_analyzer==0.5.1 scikit-learn==1.5.2 pandas==2.3.3 numpy==2.4.6 scipy==1.17.1
"$work/env/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np, pandas as pd
from factor_analyzer import ConfirmatoryFactorAnalyzer, ModelSpecificationParser

r = np.random.default_rng(1)
levels = {"a": r.normal(size=2000), "b": r.normal(size=2000)}
share = {"0": 0.9, "1": 0.7, "2": 0.5}
frame = pd.DataFrame({
    f + i: s * levels[f] + np.sqrt(1 - s * s) * r.normal(size=2000) for f in "ab" for i, s in share.items()
})
model = {"A": ["a0", "a1", "a2"], "B": ["b0", "b1", "b2"]}
found = {}
for columns in (list(frame), ["b0", "a0", "b1", "a1", "b2", "a2"]):
    asked = frame[columns]
    spec = ModelSpecificationParser.parse_model_specification_from_dict(asked, model)
    fit = ConfirmatoryFactorAnalyzer(spec, disp=False).fit(asked)
    found[columns[0]] = dict(zip(spec.variable_names, fit.loadings_.max(axis=1).round(2)))
    print("columns", *columns, {k: float(v) for k, v in found[columns[0]].items()})
print("factor_analyzer", version("factor_analyzer"))
assert abs(found["a0"]["a2"] - 0.5) < 0.1 and abs(found["a0"]["a1"] - 0.7) < 0.1
assert found["b0"]["a2"] > 0.9 and found["b0"]["a1"] < 0.1
PY
echo "as described"

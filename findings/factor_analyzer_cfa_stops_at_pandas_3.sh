#!/usr/bin/env bash
# factor_analyzer 0.5.1 with pandas 3.1.1 (its requirements allow it): every model of its confirmatory analysis, the
# README's kind included, ends before the data are read in "assignment destination is read-only": it writes into arrays
# that pandas 3 hands out locked. With pandas 2.3.3 the same lines run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/ask.py" <<'PY'
from importlib.metadata import version

import numpy as np, pandas as pd
from factor_analyzer import ModelSpecificationParser

frame = pd.DataFrame(np.random.default_rng(1).normal(size=(50, 4)), columns=["a", "b", "c", "d"])
try:
    ModelSpecificationParser.parse_model_specification_from_dict(frame, {"A": ["a", "b"], "B": ["c", "d"]})
    print("pandas", version("pandas"), "runs")
except ValueError as error:
    print("pandas", version("pandas"), "raises:", error)
PY
for pandas in 2.3.3 3.1.1; do
    python3 -m venv "$work/$pandas"
    "$work/$pandas/bin/pip" install --quiet --disable-pip-version-check factor_analyzer==0.5.1 scikit-learn==1.5.2 "pandas==$pandas" numpy==2.4.6 scipy==1.17.1
    "$work/$pandas/bin/python" -W ignore "$work/ask.py"
done >"$work/seen"
cat "$work/seen"
grep -q "pandas 2.3.3 runs" "$work/seen"
grep -q "pandas 3.1.1 raises: assignment destination is read-only" "$work/seen"
echo "as described"

#!/usr/bin/env bash
# semopy 2.3.11: a number before a loading that is not the first ("f =~ x1 + 0.8*x2 + ...") makes that item the only
# marker: the first loading is estimated. lavaan reads the same text with both fixed (1 and 0.8), one degree of freedom
# more. No warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check semopy==2.3.11 numpy==2.4.6 pandas==3.1.1 scipy==1.17.1
"$work/env/bin/python" -W error::UserWarning - <<'PY'
import numpy as np, pandas as pd, semopy

r = np.random.default_rng(1)
f = 1.5 * r.normal(size=400)
frame = pd.DataFrame({f"x{k}": w * f + r.normal(size=400) for k, w in ((1, 1.0), (2, 0.6), (3, 1.2), (4, 0.9))})
model = semopy.Model("f =~ x1 + 0.8*x2 + x3 + x4")
model.fit(frame)
loading = {row.lval: float(row.Estimate) for row in model.inspect().itertuples() if row.op == "~"}
df = int(semopy.calc_stats(model)["DoF"].iloc[0])
print("semopy", semopy.__version__, "loadings", {k: round(v, 3) for k, v in loading.items()}, "df", df)
assert loading["x2"] == 0.8 and abs(loading["x1"] - 1.0) > 0.2, "the first loading is no longer estimated"
assert df == 2, "the degrees of freedom have changed (lavaan: 3)"
PY
echo "as described"

#!/usr/bin/env bash
# semopy 2.3.11 reads lavaan's "NA*" (free this parameter) as a label called NA: two loadings marked so are held equal,
# and the item that follows becomes the marker, although the text fixes the factor's variance. No warning. lavaan frees
# both loadings and fixes none, which leaves 2 degrees of freedom here.
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
model = semopy.Model("f =~ NA*x1 + NA*x2 + x3 + x4\nf ~~ 1*f")
model.fit(frame)
found = model.inspect()
loading = {row.lval: float(row.Estimate) for row in found.itertuples() if row.op == "~"}
df = int(semopy.calc_stats(model)["DoF"].iloc[0])
print("semopy", semopy.__version__, "loadings", {k: round(v, 3) for k, v in loading.items()}, "df", df)
assert loading["x1"] == loading["x2"], "NA* is no longer a shared label"
assert loading["x3"] == 1.0, "the item after them is no longer the marker"
assert df == 4, "the degrees of freedom have changed (lavaan: 2)"
PY
echo "as described"

#!/usr/bin/env bash
# semopy 2.3.11 counts the variance of an exogenous observed variable among the data but not among the parameters: the
# saturated path model "x2 ~ x1; x3 ~ x1 + x2" gets one degree of freedom, a chi-square near 0 and so a test that it
# always passes; CFI is above 1. A saturated factor of three items gets df 0 and an infinite RMSEA.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check semopy==2.3.11 numpy==2.4.6 pandas==3.1.1 scipy==1.17.1
"$work/env/bin/python" -W ignore - <<'PY'
import numpy as np, pandas as pd, semopy

r = np.random.default_rng(1)
f = 1.5 * r.normal(size=400)
frame = pd.DataFrame({f"x{k}": w * f + r.normal(size=400) for k, w in ((1, 1.0), (2, 0.6), (3, 1.2))})
path = semopy.Model("x2 ~ x1\nx3 ~ x1 + x2")
path.fit(frame)
p = semopy.calc_stats(path).iloc[0]
factor = semopy.Model("f =~ x1 + x2 + x3")
factor.fit(frame)
q = semopy.calc_stats(factor).iloc[0]
print("semopy", semopy.__version__, "path: df", p["DoF"], "chi2", p["chi2"], "p", p["chi2 p-value"], "CFI", p["CFI"])
print("factor: df", q["DoF"], "RMSEA", q["RMSEA"])
assert int(p["DoF"]) == 1 and p["chi2"] < 0.01 and p["CFI"] > 1.0
assert int(q["DoF"]) == 0 and np.isinf(q["RMSEA"])
PY
echo "as described"

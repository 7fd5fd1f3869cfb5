#!/usr/bin/env bash
# pingouin 0.7.0: in the table of mediation_analysis "Y ~ M" is the slope without X, not the path of the indirect effect.
# Where a mediator does nothing of its own (it and Y hang on X), the table shows the paths .85 and .53, p < 1e-20, beside
# an indirect effect of -.04: their product is .45. With two mediators the same, each beside the other but without X.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pingouin==0.7.0 numpy==2.4.6 pandas==3.1.1 scipy==1.17.1
"$work/env/bin/python" -W error::UserWarning - <<'PY'
import numpy as np, pandas as pd, pingouin as pg

r = np.random.default_rng(1)
n = 400
x = r.normal(size=n)
d = pd.DataFrame({"x": x, "m": 0.8 * x + 0.6 * r.normal(size=n), "k": 0.8 * x + 0.6 * r.normal(size=n)})
d["y"] = 0.8 * x + 0.6 * r.normal(size=n)
one = pg.mediation_analysis(d, x="x", m="m", y="y", n_boot=200, seed=1).set_index("path")
print("pingouin", pg.__version__)
print(one[["coef", "pval"]].round(4))
with_x = np.linalg.lstsq(np.c_[np.ones(n), d.m, d.x], d.y, rcond=None)[0][1]
alone = np.linalg.lstsq(np.c_[np.ones(n), d.m], d.y, rcond=None)[0][1]
a, b, product = one.coef["m ~ X"], one.coef["Y ~ m"], one.coef["Indirect"]
print(f"a x b as printed {a * b:.3f}, indirect {product:.3f}, slope of m with x held {with_x:.3f}")
assert abs(b - alone) < 1e-8 and abs(product - a * with_x) < 1e-8, "the path printed is the one multiplied now"
assert one.pval["Y ~ m"] < 1e-20 and a * b > 0.4 and abs(product) < 0.1
two = pg.mediation_analysis(d, x="x", m=["m", "k"], y="y", n_boot=200, seed=1).set_index("path")
print(two.coef.round(4).to_dict())
both = np.linalg.lstsq(np.c_[np.ones(n), d.m, d.k], d.y, rcond=None)[0][1]
assert abs(two.coef["Y ~ m"] - both) < 1e-8 and both > 0.2 and abs(two.coef["Indirect m"]) < 0.1
PY
echo "as described"

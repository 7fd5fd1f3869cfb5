#!/usr/bin/env bash
# semopy 2.3.11: maximum likelihood does not depend on the units of the items, but its default optimiser does. With three
# of six items counted in thousandths (x 1,000, as money beside five-point answers) it says "Optimization terminated
# successfully" with a discrepancy that is tens of times the one it finds in plain units, and other standardised effects.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check semopy==2.3.11 numpy==2.4.6 pandas==3.1.1 scipy==1.17.1
"$work/env/bin/python" -W ignore - <<'PY'
import numpy as np, pandas as pd, semopy

r = np.random.default_rng(1)
f = 1.5 * r.normal(size=400)
g = 0.5 * f + r.normal(size=400)
frame = pd.DataFrame({f"x{k}": w * f + r.normal(size=400) for k, w in ((1, 1.0), (2, 0.6), (3, 1.2))})
for k, w in ((1, 1.0), (2, 0.6), (3, 1.2)):
    frame[f"y{k}"] = w * g + r.normal(size=400)
text = "f =~ x1 + x2 + x3\ng =~ y1 + y2 + y3\ng ~ f"
answers = {}
for name, times in (("plain", 1.0), ("y in thousandths", 1000.0)):
    model = semopy.Model(text)
    result = model.fit(frame * [1.0, 1.0, 1.0, times, times, times])
    table = model.inspect(std_est=True)
    row = table[(table.lval == "g") & (table.op == "~")].iloc[0]
    answers[name] = (bool(result.success), float(result.fun), float(row["Est. Std"]))
    print("semopy", semopy.__version__, name, answers[name])
plain, scaled = answers.values()
assert scaled[0], "it no longer says success"
assert scaled[1] > 10 * plain[1], "it now reaches the optimum"
PY
echo "as described"

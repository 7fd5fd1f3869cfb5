#!/usr/bin/env bash
# pingouin 0.7.0: intraclass_corr needs as many ratings in every target. With units of 3 to 8 respondents it raises, and
# names nan_policy="omit" as the remedy; that keeps only the targets that have as many as the largest one: 5 of 30 units
# here, without a word, and an ICC(1,1) of .71 where the analysis of variance of all 30 unequal units gives .48.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pingouin==0.7.0 numpy==2.4.6 pandas==3.1.1 scipy==1.17.1
"$work/env/bin/python" -W error::UserWarning - <<'PY'
import numpy as np, pandas as pd, pingouin as pg

r = np.random.default_rng(1)
sizes = r.integers(3, 9, 30)
unit = np.repeat(np.arange(30), sizes)
score = r.normal(size=30)[unit] + r.normal(size=len(unit))
frame = pd.DataFrame({"unit": unit, "rater": np.concatenate([np.arange(n) for n in sizes]), "score": score})
try:
    pg.intraclass_corr(frame, targets="unit", raters="rater", ratings="score")
    raise SystemExit("unbalanced data no longer raise")
except ValueError as error:
    print("raises:", str(error)[:90])
row = pg.intraclass_corr(frame, targets="unit", raters="rater", ratings="score", nan_policy="omit").iloc[0]
groups = frame.groupby("unit").score
n, mean = groups.size(), groups.mean()
between = (n * (mean - score.mean()) ** 2).sum() / 29
within = ((score - mean.to_numpy()[unit]) ** 2).sum() / (len(unit) - 30)
size = (len(unit) - (n**2).sum() / len(unit)) / 29
icc = (between - within) / (between + (size - 1) * within)
kept = int(row["df1"]) + 1
print("pingouin", pg.__version__, f"omit: {kept} of 30 units, ICC(1,1) {row['ICC']:.3f}; all units {icc:.3f}")
assert kept == int((n == n.max()).sum()) < 10 and abs(row["ICC"] - icc) > 0.1
PY
echo "as described"

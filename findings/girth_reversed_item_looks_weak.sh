#!/usr/bin/env bash
# girth 0.8.0: the graded response model of an item worded the other way round (slope -1.7 where the others have 0.8, 2.6
# and 1.9) reports a discrimination of +0.3, near the lower end that its optimiser allows, without a word. The item looks
# weak and would be dropped; turned round it is one of the good ones. The discriminations of the others move with it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check girth==0.8.0 numpy==2.4.6 scipy==1.17.1 numba
"$work/env/bin/python" -W error::UserWarning - <<'PY'
from importlib.metadata import version

import girth, numpy as np

r = np.random.default_rng(1)
level = r.normal(size=2000)
slopes = np.array([0.5, 1.0, 1.5, 1.0])
answers = np.clip(np.round(3 + level * slopes[:, None] + r.normal(size=(4, 2000))), 1, 5).astype(int)
as_it_is = girth.grm_mml(answers)["Discrimination"]
answers[1] = 6 - answers[1]
turned = girth.grm_mml(answers)["Discrimination"]
print("girth", version("girth"), "as it is", as_it_is.round(2), "item 2 worded the other way round", turned.round(2))
print("correlation of item 2 with the sum of the others:", np.corrcoef(answers[1], answers[[0, 2, 3]].sum(0))[0, 1].round(2))
assert as_it_is[1] > 1.5 and 0 < turned[1] < 0.5 and (turned > 0).all()
PY
echo "as described"

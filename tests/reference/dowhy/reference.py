"""Interventions and counterfactuals by DoWhy's graphical causal models, on a linear graph of five constructs.

Run in an environment of its own (``pip install dowhy numpy pandas scikit-learn``)::

    python tests/reference/dowhy/reference.py

It writes ``numbers.json``: the rows that both programs read, the versions, the seed, and for several questions

- ``counterfactual``: `gcm.counterfactual_samples` of some rows (abduction, action, prediction);
- ``exact``: the mean of the same over all rows, which is the mean of the interventional distribution, because
  mechanisms are linear and both roots and noise are the empirical ones;
- ``sampled``: mean and standard deviation of `gcm.interventional_samples`, drawn afresh.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import sklearn
from dowhy import __version__, gcm

HERE = Path(__file__).parent
SEED, ROWS, SAMPLES, DIGITS = 20240, 300, 20_000, 4
# A chain, two edges that skip a step of it, and a common cause of its two ends.
EDGES = [
    ("affluence", "influencers"), ("affluence", "revenue"),
    ("influencers", "pride"), ("influencers", "value"),
    ("pride", "value"), ("pride", "revenue"),
    ("value", "revenue"),
]  # fmt: skip
NAMES = ["affluence", "influencers", "pride", "value", "revenue"]
QUESTIONS = [
    {"name": "do pride", "do": {"pride": 4.2}, "shift": {}},
    {"name": "do revenue", "do": {"revenue": 10.0}, "shift": {}},
    {"name": "shift influencers", "do": {}, "shift": {"influencers": 0.3}},
    {"name": "shift affluence", "do": {}, "shift": {"affluence": -1.5}},
    {"name": "do influencers and value", "do": {"influencers": 3.0, "value": 3.9}, "shift": {}},
    {"name": "do pride, shift value", "do": {"pride": 2.8}, "shift": {"value": 0.25}},
]
UNITS = [0, 17, 123, 299]


def make_rows() -> pd.DataFrame:
    """Rows of the linear world, rounded, so that they can be read back to the bit."""
    rng = np.random.default_rng(SEED)
    affluence = 25 + 3 * rng.normal(size=ROWS)
    influencers = 3.4 + 0.05 * (affluence - 25) + rng.normal(0, 0.4, ROWS)
    pride = 1.5 + 0.6 * influencers + rng.normal(0, 0.5, ROWS)
    value = 0.8 + 0.25 * influencers + 0.5 * pride + rng.normal(0, 0.3, ROWS)
    revenue = 2 + 0.2 * affluence + 0.7 * pride + 1.1 * value + rng.standard_t(5, ROWS)
    table = np.column_stack([affluence, influencers, pride, value, revenue])
    return pd.DataFrame(table, columns=NAMES).round(DIGITS)


def fitted(rows: pd.DataFrame) -> gcm.InvertibleStructuralCausalModel:
    """Roots and noise as observed, every other construct a linear regression on its causes."""
    model = gcm.InvertibleStructuralCausalModel(nx.DiGraph(EDGES))
    for name in NAMES:
        root = not any(effect == name for _, effect in EDGES)
        mechanism = gcm.EmpiricalDistribution() if root else gcm.AdditiveNoiseModel(gcm.ml.create_linear_regressor())
        model.set_causal_mechanism(name, mechanism)
    gcm.fit(model, rows)
    return model


def acting(question: dict) -> dict:
    """A question as DoWhy's interventions."""
    found = {name: (lambda x, to=to: np.full_like(x, to)) for name, to in question["do"].items()}
    return found | {name: (lambda x, by=by: x + by) for name, by in question["shift"].items()}


def asked(model: gcm.InvertibleStructuralCausalModel, rows: pd.DataFrame, question: dict) -> dict:
    """Every answer to one question, in the order of the constructs."""
    every = gcm.counterfactual_samples(model, acting(question), observed_data=rows)[NAMES]
    drawn = gcm.interventional_samples(model, acting(question), num_samples_to_draw=SAMPLES)[NAMES]
    return question | {
        "counterfactual": every.iloc[UNITS].to_numpy().tolist(),
        "exact": every.mean().tolist(),
        "sampled": {"mean": drawn.mean().tolist(), "sd": drawn.std(ddof=1).tolist()},
    }


def main() -> None:
    """Ask everything, write it down."""
    warnings.simplefilter("ignore")
    gcm.config.disable_progress_bars()
    gcm.util.general.set_random_seed(SEED)
    rows = make_rows()
    model = fitted(rows)
    numbers = {
        "program": "DoWhy, graphical causal models",
        "versions": {
            "dowhy": __version__, "python": sys.version.split()[0], "numpy": np.__version__,
            "pandas": pd.__version__, "scikit-learn": sklearn.__version__,
        },
        "seed": SEED,
        "samples": SAMPLES,
        "names": NAMES,
        "edges": EDGES,
        "units": UNITS,
        "questions": [asked(model, rows, question) for question in QUESTIONS],
        "rows": rows.to_numpy().tolist(),
    }  # fmt: skip
    (HERE / "numbers.json").write_text(compact(numbers), encoding="utf-8")


def compact(numbers: dict) -> str:
    """JSON with one line for each entry and each row."""
    lines = []
    for key, value in numbers.items():
        if key in {"questions", "rows"}:
            inner = ",\n  ".join(json.dumps(one) for one in value)
            lines.append(f'"{key}": [\n  {inner}\n ]')
        else:
            lines.append(f'"{key}": {json.dumps(value)}')
    return "{\n " + ",\n ".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()

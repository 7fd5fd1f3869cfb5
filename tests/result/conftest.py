"""Simulated rows of the reference cases, and what lavaan computed from them."""

import json
import warnings
from pathlib import Path

import pandas as pd
import pytest

import roxmodel as rox

REFERENCE = Path(__file__).resolve().parents[1] / "reference"


def said(name: str) -> dict:
    """What lavaan said of one case (tests/reference/sem_scores/scores.R)."""
    return json.loads((REFERENCE / "sem_scores" / f"{name}.json").read_text(encoding="utf-8"))


def quietly(*given, **options):
    """A fit of rows that miss their model by design, which is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        return rox.fit(*given, **options)


@pytest.fixture(scope="session")
def lavaan():
    """Read one case by name."""
    return said


@pytest.fixture(scope="session")
def chain_rows():
    return pd.read_csv(REFERENCE / "sem" / "data" / "chain.csv")


@pytest.fixture(scope="session")
def holed_rows():
    return pd.read_csv(REFERENCE / "sem" / "data" / "chain_missing.csv")


@pytest.fixture(scope="session")
def chain_model():
    return rox.RoxModel.from_lavaan(said("complete")["model"], name="chain")


@pytest.fixture(scope="session")
def complete(chain_model, chain_rows):
    return quietly(chain_model, chain_rows, method="sem")


@pytest.fixture(scope="session")
def metric(chain_model, chain_rows):
    return quietly(chain_model, chain_rows, method="sem", group="region", invariance="metric", estimator="MLR")


@pytest.fixture(scope="session")
def scalar(chain_model, chain_rows):
    return quietly(chain_model, chain_rows, method="sem", group="region", invariance="scalar")

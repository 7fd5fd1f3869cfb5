"""A model with everything in it, laid out in matrices."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.estimate.latent.row_sample import sample_of_frame
from roxmodel.estimate.latent.solve import given_by_data, layouts_of, table_of
from roxmodel.estimate.options import SemOptions
from roxmodel.implied.starts import start_values

# residuals that covary, an equality, a fixed loading, a loop with instruments, a construct known up to its reliability
FULL = """
a =~ a1 + a2 + a3
b =~ b1 + k*b2 + b3
c =~ c1 + k*c2 + 0.7*c3
a ~ b + x1
b ~ a + x2
c ~ a + b + x2
a1 ~~ b1
a2 ~~ a3
"""
PLAIN = "a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\nc =~ c1 + c2 + c3\nb ~ a\nc ~ a + b"
ITEMS = ["a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "c3", "x1", "x2"]
UNITS = np.array([1, 10, 0.1, 1, 1000, 1, 1e-3, 1, 1, 5, 1e4])


def answers(n=150, seed=4):
    rng = np.random.default_rng(seed)
    x1, x2 = rng.normal(size=(2, n))
    a = 0.6 * x1 + rng.normal(size=n)
    b = 0.4 * a + 0.5 * x2 + rng.normal(size=n)
    c = 0.3 * a + 0.4 * b + rng.normal(size=n)
    latent = np.column_stack([a, a, a, b, b, b, c, c, c, x1, x2])
    noise = rng.normal(size=(n, 11)) * np.array([0.6] * 9 + [0, 0])
    values = (latent * [1, 0.8, 1.2, 1, 0.9, 0.7, 1, 0.9, 0.7, 1, 1] + noise + 3) * UNITS
    return pd.DataFrame(values, columns=ITEMS).assign(g=np.where(np.arange(n) % 3, "north", "south"))


@dataclass(frozen=True)
class Case:
    layouts: tuple
    targets: tuple
    start: np.ndarray
    size: np.ndarray

    def around(self, rng, count=None, width=0.1):
        shape = (len(self.start),) if count is None else (count, len(self.start))
        return self.start + width * rng.uniform(-1, 1, shape) * self.size


def case_of(text, exogenous="free", **options):
    model = rox.RoxModel.from_lavaan(text).replace(exogenous=exogenous)
    asked = SemOptions(**options)
    sample = sample_of_frame(model, answers(), asked)
    names = [group.name for group in sample.groups]
    table = table_of(model, asked, names)
    given = {name: float(value) for name, value in given_by_data(model, table, sample).items()}
    layouts = layouts_of(model, table, names, given, sample.scale)
    targets = tuple(group.target for group in sample.groups)
    start, size = start_values(model, table, list(zip(names, targets, strict=True)), sample.scale)
    return Case(layouts, targets, start, size)


CASES = {
    "plain": lambda: case_of(PLAIN),
    "plain, standardized": lambda: case_of(PLAIN, scaling="standardized"),
    "full": lambda: case_of(FULL),
    "full, means": lambda: case_of(FULL, means=True),
    "full, given by the data": lambda: case_of(FULL, exogenous="fixed", means=True),
    "full, groups": lambda: case_of(FULL, group="g", equal=("loadings", "intercepts")),
}


@pytest.fixture(params=sorted(CASES))
def case(request):
    return CASES[request.param]()


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def differences(function, theta, size, step=1e-5):
    """Central differences by each element of theta, last axis."""
    found = []
    for place in range(len(theta)):
        move = np.zeros(len(theta))
        move[place] = step * size[place]
        found.append((function(theta + move) - function(theta - move)) / (2 * move[place]))
    return np.stack(found, axis=-1)


@pytest.fixture
def numeric():
    return differences


@pytest.fixture
def cases():
    return case_of, PLAIN, FULL

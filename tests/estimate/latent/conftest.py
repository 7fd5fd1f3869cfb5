"""A tiny study, and the likelihood of all its answers by one large covariance matrix a unit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import roxmodel as rox
from roxmodel.estimate.latent import both_levels as joint
from roxmodel.estimate.latent.both_levels import within_model
from roxmodel.estimate.latent.joint_likelihood import JointObjective
from roxmodel.estimate.latent.sample import linked_sample
from roxmodel.estimate.latent.solve import solve_between
from roxmodel.spec.parameters import residual_of

EDGES = ("staff -> guests", "guests + staff -> money")


def model_of(k=2, edges=EDGES, staff=None, guests=None, money=None, **options):
    """Employees, customers and a figure; `k` items a survey unless a construct says otherwise."""
    own = {
        "staff": {"factor": "pride", "source": "employee", "items": [f"e{i + 1}" for i in range(k)]} | (staff or {}),
        "guests": {"factor": "outcomes", "source": "customer", "items": [f"c{i + 1}" for i in range(k)]}
        | (guests or {}),
        "money": {"factor": "outcomes", "source": "unit", "items": ["m"]} | (money or {}),
    }
    constructs = [rox.Construct(name=name, **how) for name, how in own.items()]
    return rox.RoxModel(name="tiny", constructs=constructs, edges=list(edges), **options)


def frames_of(units=6, k=2, seed=0, sizes=(2, 7), holes=0.0, between=1.0):
    """Frames of employees, customers and units; sizes from the first to below the second."""
    rng = np.random.default_rng(seed)
    staff = between * rng.normal(size=units)
    guests = 0.6 * staff + 0.7 * between * rng.normal(size=units)
    money = 0.5 * guests + 0.3 * staff + 0.6 * rng.normal(size=units) + 10
    keys = np.array([f"u{j:03d}" for j in range(units)])

    def survey(level, prefix):
        unit = np.repeat(np.arange(units), rng.integers(*sizes, size=units))
        person = 0.7 * rng.normal(size=len(unit))
        own = 0.2 * between * rng.normal(size=(units, k))
        answers = level[unit, None] * np.linspace(1, 0.8, k) + own[unit] + person[:, None] + 4
        answers += 0.6 * rng.normal(size=answers.shape)
        answers[rng.random(answers.shape) < holes] = np.nan
        return pd.DataFrame(answers, columns=[f"{prefix}{i + 1}" for i in range(k)]).assign(key=keys[unit])

    books = pd.DataFrame({"key": keys, "m": money, "region": np.arange(units) % 4})
    return survey(staff, "e"), survey(guests, "c"), books


def study_of(model, frames, **options):
    return rox.Study(model, employee=frames[0], customer=frames[1], unit=frames[2], by="key", **options)


def sample_of(model, study):
    """What method "linked" estimates from."""
    cells = {}
    for source in model.respondent_sources:
        names = [item.name for c in model.constructs if c.source == source for item in c.items]
        own = study.cells(source, names)
        if own is not None:
            cells[source] = own
    return linked_sample(model, study.moments, cells)


def moments_at(table, constructs, items, theta, given=None):
    """Σ and μ straight from the rows of a table, complex where theta is."""
    place, at = {n: i for i, n in enumerate(constructs)}, {n: i for i, n in enumerate(items)}
    p, k = len(items), len(constructs)
    lam, beta, psi, own = (np.zeros(s, dtype=theta.dtype) for s in ((p, k), (k, k), (k, k), (p, p)))
    nu, alpha = np.zeros(p, dtype=theta.dtype), np.zeros(k, dtype=theta.dtype)
    for row in table:
        if row.kind == "defined" or row.lag:
            continue
        fixed = (given or {}).get(row.id, 0.0) if row.value is None else row.value
        value = theta[row.free - 1] if row.free else fixed
        if row.kind == "loading":
            lam[at[row.right], place[row.left]] = value
        elif row.kind == "edge":
            beta[place[row.right], place[row.left]] = value
        elif row.kind == "intercept":
            if row.left in place:
                alpha[place[row.left]] = value
            else:
                nu[at[row.left]] = value
        else:
            residual = residual_of(row, constructs)
            matrix, of = (own, at) if residual else (psi, place)
            matrix[of[row.left], of[row.right]] = matrix[of[row.right], of[row.left]] = value
    reach = lam @ np.linalg.inv(np.eye(k) - beta)
    return reach @ psi @ reach.T + own, nu + reach @ alpha


@dataclass(frozen=True)
class Dense:
    """All answers of all units, and their normal density.

    Attributes
    ----------
    units
        For each unit the answers (n,), which variable each is of (n,), and who gave it (n,); -1: the unit itself.
    items
        Variables.
    """

    units: list
    items: tuple

    @classmethod
    def of(cls, model, frames):
        items = tuple(item.name for item in model.items)
        owner = [("employee", 0), ("customer", 1), ("unit", 2)]
        keys = sorted(set().union(*(frame["key"] for frame in frames)))
        found = []
        for key in keys:
            rows, person = [], 0
            for source, place in owner:
                names = [i.name for c in model.constructs if c.source == source for i in c.items]
                for _, row in frames[place][frames[place]["key"] == key].iterrows():
                    who = -1 if source == "unit" else person
                    rows += [(row[n], items.index(n), who) for n in names if not np.isnan(row[n])]
                    person += 1
            if rows:
                y, variable, who = zip(*rows, strict=True)
                found.append((np.array(y), np.array(variable), np.array(who)))
        return cls(found, items)

    def matrices(self, sigma, within):
        """Covariance of all answers of each unit; `within` (p, p) is 0 between sources and for figures."""
        for _, variable, who in self.units:
            same = (who[:, None] == who[None, :]) & (who[:, None] >= 0)
            yield sigma[np.ix_(variable, variable)] + same * within[np.ix_(variable, variable)]

    def loglik(self, sigma, mu, within):
        """Log density of all answers; complex for complex moments."""
        total = 0.0
        for (y, variable, _), covariance in zip(self.units, self.matrices(sigma, within), strict=True):
            rest = y - mu[variable]
            if np.iscomplexobj(covariance) or np.iscomplexobj(mu):
                sign, size = np.linalg.slogdet(covariance)
                logdet = np.log(sign) + size
                total = total - (logdet + rest @ np.linalg.solve(covariance, rest) + len(y) * np.log(2 * np.pi)) / 2
            else:
                total += multivariate_normal(mu[variable], covariance).logpdf(y)
        return total

    @property
    def answers(self):
        return sum(len(y) for y, _, _ in self.units)


@pytest.fixture
def tiny():
    """Builders: model, frames, study, sample, moments by hand, dense likelihood."""

    class Tiny:
        model = staticmethod(model_of)
        frames = staticmethod(frames_of)
        study = staticmethod(study_of)
        sample = staticmethod(sample_of)
        moments = staticmethod(moments_at)
        dense = Dense

        @staticmethod
        def fit(model, frames, **options):
            return rox.fit(model, study_of(model, frames), **options)

    return Tiny


class Caught(Exception):  # noqa: N818 - a way out, no error
    """What was to be minimised, and from where."""


@pytest.fixture
def objective_of(monkeypatch):
    """The objective over all answers, its start, the models within units, and the estimate that goes before."""

    def run(model, frames, modelled):
        def caught(objective, start, *_):
            raise Caught(objective, start)

        sample = sample_of(model, study_of(model, frames))
        known = solve_between(model, sample)
        with monkeypatch.context() as patch:
            patch.setattr(joint, "minimise", caught)  # by Newton's method with holes or without
            patch.setattr(JointObjective, "differentiate", lambda *at: np.eye(len(at[1])))
            with pytest.raises(Caught) as found:
                joint.estimate_jointly(model, sample, known, modelled, "marker")
        objective, start = found.value.args
        models = [within_model(model, source, "marker") if modelled else None for source in sample.sources]
        return objective, start, models, known

    return run

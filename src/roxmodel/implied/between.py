"""A model between units: its parameters, the values that the data give, and moments between units to start from."""

from __future__ import annotations

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.implied.layout import residual_of
from roxmodel.implied.noisy import NoisyMeans
from roxmodel.implied.normal import Target
from roxmodel.implied.together import FEWEST, completed
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable, plan
from roxmodel.types import FloatArray, Scaling

__all__ = ["between_table", "condensed", "given_values", "moments_between"]

_EIGEN = 0.02  # smallest eigenvalue of a correlation that is taken as it is
_FLOOR = 0.01  # share of what is seen that is taken to lie between units at least, at the start


def between_table(model: RoxModel, scaling: Scaling) -> ParameterTable:
    """Plan the parameters: as for method "sem", with equal residuals where a construct has two items.

    Exogenous constructs covary freely whatever the model says of them: the edges are the same, and a mean of
    respondents is not known exactly.

    Raises
    ------
    EstimationError
        For a construct of two items that nothing is connected with.
    """
    connected = {name for edge in model.edges if edge.lag == 0 for name in (edge.cause, edge.effect)}
    connected |= {name for pair in model.covariances for name in (pair.left, pair.right)}
    constructs = []
    for construct in model.constructs:
        few = len(construct.items) == 2 and construct.residuals is None
        told = isinstance(construct.items[-1].loading, float)
        if few and not told and construct.name not in connected and len(model.constructs) > 1:
            raise EstimationError(
                f"{construct.name!r} has two items and is connected to nothing, so its loading cannot be told.",
                hint=f"Give it a third item or an edge, or fix the loading of {construct.items[1].name!r}: "
                f"rox.Item(name={construct.items[1].name!r}, loading=1.0).",
            )
        constructs.append(construct.replace(residuals="equal") if few else construct)
    return plan(model.replace(constructs=tuple(constructs), exogenous="free"), "reflective", True, scaling=scaling)


def given_values(model: RoxModel, table: ParameterTable, start: Target, scale: FloatArray) -> dict[str, float]:
    """Residual variances that a stated reliability implies, net of the sampling error of the unit means."""
    items = {item.name: i for i, item in enumerate(model.items)}
    found: dict[str, float] = {}
    for row in table:
        if row.free or row.value is not None or row.kind != "variance" or not residual_of(row, model.names):
            continue
        owner = next(construct for construct in model.constructs if row.left in construct.item_names)
        at = items[row.left]
        found[row.id] = (1.0 - (1.0 if owner.reliability is None else owner.reliability)) * float(
            start.covariance[at, at] * scale[at] ** 2
        )
    return found


def condensed(data: NoisyMeans) -> NoisyMeans:
    """All units as one, with the mean of their noise: what the iteration of the whole is started with."""
    weight = data.weight[:, None] * data.seen
    count = weight.sum(axis=0)
    mean = (weight * data.mean).sum(axis=0) / count
    rest = np.where(data.seen, data.mean - mean, 0.0)
    counts = weight.T @ data.seen
    pairs = np.maximum(counts, 1.0)
    both = data.seen[:, :, None] & data.seen[:, None, :]
    noise = np.tensordot(data.weight, np.where(both, data.noise, 0.0), 1) / pairs
    scatter = completed((weight * rest).T @ rest / pairs, counts >= FEWEST)  # what never met follows from what did
    values, vectors = np.linalg.eigh(scatter / np.sqrt(np.outer(np.diag(scatter), np.diag(scatter))))
    if values[0] < _EIGEN:  # pairs of items that rest on different units
        sd = np.sqrt(np.diag(scatter))
        scatter = ((vectors * np.maximum(values, _EIGEN)) @ vectors.T) * np.outer(sd, sd)
    p = len(mean)
    return NoisyMeans(np.ones((1, p), dtype=bool), mean[None], noise[None], np.ones(1), scatter[None])


def moments_between(data: NoisyMeans, floor: float = _FLOOR) -> Target:
    """Covariance between units as if all had the same noise: exact maximum likelihood there.

    With S the covariance of the means and N their noise, S^½ U max(1 - κ, 0) Uᵀ S^½, κ and U the eigenvalues and
    vectors of S^-½ N S^-½ (Anderson, Anderson & Olkin 1986, doi 10.1214/aos/1176349932).

    Parameters
    ----------
    data
        Units' means with their noise.
    floor
        What takes the place of 0, so that the iteration starts inside.
    """
    one = condensed(data)
    if one.scatter is None:
        raise ValueError("condensed means have a scatter")
    values, vectors = np.linalg.eigh(one.scatter[0])
    root = (vectors * np.sqrt(np.maximum(values, 1e-12 * values[-1]))) @ vectors.T
    back = (vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1]))) @ vectors.T
    share, turned = np.linalg.eigh(back @ one.noise[0] @ back)
    inner = root @ turned
    return Target(one.mean[0], np.asarray((inner * np.maximum(1.0 - share, floor)) @ inner.T))

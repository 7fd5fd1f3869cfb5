"""Each edge beside its fellows: causes that stand for each other, turned signs, edges larger than they can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.doubts import Doubt, DoubtVerdict
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.estimate.latent.row_sample import sample_of_frame
from roxmodel.estimate.latent.sample import LinkedSample
from roxmodel.estimate.latent.solve import sandwich, unit_cases
from roxmodel.estimate.options import SemOptions
from roxmodel.implied.matrices import DISTURBANCES, EDGES, Layout, filled
from roxmodel.moments.single import Moments
from roxmodel.numerals import estimate_text
from roxmodel.records import LINEAR
from roxmodel.result.draws import delta_se, slopes_of
from roxmodel.result.fit import Fit
from roxmodel.result.groups import holm
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from roxmodel.estimate.latent.sample import LatentSolution

__all__ = ["told_apart"]

_CLOSE = 0.9  # multiple correlation from which causes stand for each other (Rönkkö & Cho 2022)
_MUCH = 1.2  # times an error by the information from which a larger one by the sandwich is told
_ROUNDING = 1e-6
_HOPELESS = 50.0  # variance inflation from which causes are one, where no test of their correlation has power
_INFLATED = 5.0  # variance inflation from which a turned sign is no suppression that anybody could see


@dataclass(frozen=True, slots=True)
class _Edge:
    """One edge of an equation beside its fellows: four quantities, each with its standard error."""

    cause: str
    effect: str
    fellow: str  # the other cause that it goes with most; empty where it is alone
    df: float
    value: tuple[float, float]  # the edge
    shared: tuple[float, float]  # the multiple correlation of the cause with the other causes
    alone: tuple[float, float]  # slope of the effect on this cause alone
    size: tuple[float, float]  # the edge, standardised

    @property
    def inflation(self) -> float:
        """Of the variance of the edge, by its fellows."""
        return 1 / (1 - min(self.shared[0], 1 - 1e-9) ** 2)

    @property
    def reaches_one(self) -> bool:
        """Whether the 95 % interval of the multiple correlation holds 1."""
        return self.shared[0] + 2.0 * self.shared[1] >= 1

    def beyond(self, what: tuple[float, float], least: float = 0.0) -> float:
        """One-sided p of a quantity that is no larger in size than `least`."""
        from scipy.special import stdtr

        value, se = what
        return float(stdtr(min(self.df, 1e6), -(abs(value) - least) / se)) if se > 0 else 1.0

    def __str__(self) -> str:
        return f"{self.cause} -> {self.effect}"


def told_apart(evidence: Evidence) -> Iterator[Doubt]:
    """Each edge beside its fellows: whether they stand for each other, turn its sign, make it larger than it can be."""
    found = _edges_of(evidence)
    for doubt in _collinear(found):
        yield _with_errors(evidence, doubt)
    yield from _turned(evidence, found)
    yield from _large(found)


def _collinear(found: Sequence[_Edge]) -> Iterator[Doubt]:
    """Causes of one effect that stand for each other.

    Doubtful where their correlation is beyond .9 by a test, or may be 1 and an edge turns its sign or exceeds 1
    (standardised); a note where it may be 1 only. Of the latent causes, so that error of measurement does not hide it:
    by the information of the data each edge may seem well known, but a fault of one item as small as what tells the
    causes apart turns its sign (Rönkkö & Cho 2022, doi 10.1177/1094428120968614; Fornell & Larcker 1981, doi
    10.1177/002224378101800104).
    """
    rejected = _rejected([edge.beyond(edge.shared, _CLOSE) for edge in found], "collinear")
    for effect in dict.fromkeys(edge.effect for edge in found):
        own = [edge for edge, yes in zip(found, rejected, strict=True) if yes and edge.effect == effect]
        near = [e for e in found if e.effect == effect and e.shared[0] > _CLOSE and e.reaches_one]
        hopeless = [edge for edge in near if edge.inflation > _HOPELESS]  # chance alone reaches 24 with 50 units
        odd = any(abs(edge.size[0]) > 1 + _ROUNDING or edge.value[0] * edge.alone[0] < 0 for edge in hopeless)
        if own or near:
            yield _tangled(effect, own or near, "doubtful" if own or odd else "note")


def _tangled(effect: str, own: Sequence[_Edge], verdict: DoubtVerdict) -> Doubt:
    names = tuple(dict.fromkeys(name for edge in own for name in (edge.cause, edge.fellow)))
    worst = max(own, key=lambda edge: edge.inflation)
    finding = (
        f"{_and(names)} can hardly be told apart as causes of {effect} (each follows from the others to a correlation "
        f"of {worst.shared[0]:.2f}, variance inflation {worst.inflation:.0f}): a small fault of one item turns a sign."
    )
    remedy = "Merge them, leave one out, or measure what differs; read their edges together, never one alone."
    return Doubt("collinear", verdict, finding, names, remedy, tuple(f"{name} -> {effect}" for name in names))


def _with_errors(evidence: Evidence, doubt: Doubt) -> Doubt:
    """The doubt with what a sandwich says of its edges' errors, where that is much more than the information says.

    In 200 worlds of 2,474 hospitals each (heavy tails, surveys of unequal size, causes correlated .97) an edge varied
    by .118; the information said .074, the sandwich .122, the bootstrap .136.
    """
    solution, fit = evidence.solution, evidence.fit
    if not doubt.serious or solution is None or fit.se != "standard" or fit.resampling is not None:
        return doubt
    robust = _sandwich(evidence, solution)
    if robust is None:
        return doubt
    rows = [r for r in solution.table.of("edge") if r.free and f"{r.left} -> {r.right}" in doubt.edges]
    pairs = [(float(np.sqrt(c[r.free - 1, r.free - 1])) for c in (solution.vcov, robust)) for r in rows]
    told = [(row, own, other) for row, (own, other) in zip(rows, pairs, strict=True) if other > _MUCH * own > 0]
    if not told:
        return doubt
    row, own, other = max(told, key=lambda one: one[2] / one[1])
    words = (
        f" Its errors are too small as well: {row.left} -> {row.right} has {estimate_text(own)} where answers are "
        f"normal, {estimate_text(other)} as they are (se='robust')."
    )
    return replace(doubt, finding=doubt.finding + words)


def _sandwich(evidence: Evidence, solution: LatentSolution) -> FloatArray | None:
    """Errors by the scores of rows or units, as a covariance; None where there are none, or they are such already."""
    sample, bread, inverse = solution.sample, solution.bread, solution.bread.whole
    if isinstance(sample, LinkedSample):
        cases = unit_cases(sample.data.weight, sample.groups[0].clusters)
        return sandwich([(solution.layout, sample.data, cases)], solution.found, inverse, sample.data.size)
    plain = evidence.fit.estimator == "ML" and sample.complete and not any(evidence.columns.values())
    if not plain or isinstance(evidence.data, Moments) or bread.held.any():
        return None
    rows = sample_of_frame(solution.model, evidence.data, SemOptions(estimator="MLR"))
    parts = [(layout, own.data, own.cases) for layout, own in zip(solution.layouts, rows.groups, strict=True)]
    return sandwich(parts, solution.found, inverse, rows.n)


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _turned(evidence: Evidence, found: Sequence[_Edge]) -> Iterator[Doubt]:
    """Edges against the association of their cause and effect, both beyond chance.

    Such suppression can be real: a note, unless the cause goes with the others so much that nobody could see it.
    """
    found = () if evidence.model.feedback else found
    level = LEVELS["sign"]
    for edge, yes in zip(found, _rejected([2 * edge.beyond(edge.value) for edge in found], "sign"), strict=True):
        if not yes or edge.value[0] * edge.alone[0] >= 0 or 2 * edge.beyond(edge.alone) > level:
            continue
        close = edge.inflation > _INFLATED
        finding = (
            f"{edge} is {estimate_text(edge.value[0])}, though the two go together the other way "
            f"({estimate_text(edge.alone[0])} by {edge.cause} alone): with {edge.fellow} held fixed the sign turns."
        )
        remedy = "Believe it only if you can say why; else merge the two, or ask what one of them measures besides."
        verdict: DoubtVerdict = "doubtful" if close else "note"
        yield Doubt("sign", verdict, finding, (edge.cause, edge.fellow), remedy, (str(edge),))


def _large(found: Sequence[_Edge]) -> Iterator[Doubt]:
    """Standardised edges beyond 1: by a test, else a note."""
    tests = [edge.beyond(edge.size, 1.0) for edge in found]
    for edge, yes in zip(found, _rejected(tests, "size"), strict=True):
        if abs(edge.size[0]) <= 1 + _ROUNDING:
            continue
        how = "beyond chance" if yes else "by its estimate"
        finding = (
            f"{edge} is {edge.size[0]:.2f} standard deviations for one, more than 1 {how}: the causes of {edge.effect} "
            "pull against each other."
        )
        remedy = "Look for causes that say the same, and read their edges together."
        yield Doubt("size", "doubtful" if yes else "note", finding, (edge.cause, edge.effect), remedy, (str(edge),))


def _rejected(p: Sequence[float], check: str) -> list[bool]:
    """Which tests reject at the level of the check, all of them together."""
    return [bool(one <= LEVELS[check]) for one in holm(np.asarray(p, dtype=np.float64))]


def _edges_of(evidence: Evidence) -> list[_Edge]:
    """All free edges within the wave of equations with two causes or more, group by group."""
    fit, solution, found = evidence.fit, evidence.solution, []
    if solution is None:
        return _of_scores(fit)
    for group, layout in zip(solution.sample.groups, solution.layouts, strict=True):
        rows = [row for row in solution.table.of("edge") if row.group == group.name and not row.lag]
        if fit.resampling is None and solution.vcov.size:
            found += _of_latent(fit, rows, layout, solution)
    return found


def _of_latent(fit: Fit, rows: list[Parameter], layout: Layout, solution: LatentSolution) -> list[_Edge]:
    wanted = _wanted(fit.model, rows)
    if not wanted:
        return []

    def told(theta: FloatArray) -> FloatArray:
        total = np.linalg.inv(np.eye(len(layout.constructs)) - filled(layout, theta, EDGES))
        phi = total @ filled(layout, theta, DISTURBANCES) @ np.swapaxes(total, -1, -2)
        return _quantities(fit.model, wanted, phi, theta)

    theta = solution.found.theta
    value = told(theta[None])[0]
    se = np.nan_to_num(delta_se(slopes_of(told, theta, solution.vcov), solution.vcov))
    return _put(fit, wanted, value, se)


def _of_scores(fit: Fit) -> list[_Edge]:
    """The same of composites, with the usual errors of correlations."""
    rows = [row for row in fit.table.of("edge") if not row.lag]
    wanted = _wanted(fit.model, rows)
    if not wanted or fit.families != (LINEAR,) * len(fit.model.names):
        return []
    phi = fit.population.covariance
    value = _quantities(fit.model, wanted, phi[None], fit.theta[None])[0].reshape(4, -1)
    sizes = {equation.effect: equation.n for equation in fit.equations}
    se = np.zeros_like(value)
    for k, row in enumerate(wanted):
        a, b = (fit.model.names.index(name) for name in (row.left, row.right))
        n = max(sizes[row.right] - len(fit.model.causes(row.right)) - 2, 1)
        own, spread = np.sqrt(max(fit.vcov[row.free - 1, row.free - 1], 0.0)), np.sqrt(phi[b, b] / phi[a, a])
        left = max(1 - (value[2, k] / spread) ** 2, 0.0)
        se[:, k] = own, max(1 - value[1, k] ** 2, 1e-9) / np.sqrt(n), spread * np.sqrt(left / n), own / spread
    return _put(fit, wanted, value.ravel(), se.ravel())


def _wanted(model: RoxModel, rows: Sequence[Parameter]) -> list[Parameter]:
    return [row for row in rows if row.free and len(model.causes(row.right)) > 1]


def _quantities(model: RoxModel, rows: Sequence[Parameter], phi: FloatArray, theta: FloatArray) -> FloatArray:
    """(draws, 4 m): edges, multiple correlations of their causes, slopes of each cause alone, standardised edges."""
    place, found = {name: i for i, name in enumerate(model.names)}, np.full((4, len(rows), len(phi)), np.nan)
    for k, row in enumerate(rows):
        a, b = place[row.left], place[row.right]
        causes = [place[row.left], *(place[name] for name in model.causes(row.right) if name != row.left)]
        own, others = phi[:, a, a], phi[np.ix_(range(len(phi)), causes[1:], causes[1:])]
        cross = phi[:, causes[1:], a]
        with np.errstate(invalid="ignore", divide="ignore"):
            known = np.einsum("di,dij,dj->d", cross, np.linalg.pinv(others, hermitian=True), cross) / own
            spread = np.sqrt(own / phi[:, b, b])
            shared = np.sqrt(np.clip(known, 0.0, 1.0))
            found[:, k] = theta[:, row.free - 1], shared, phi[:, a, b] / own, theta[:, row.free - 1] * spread
    return found.reshape(4 * len(rows), -1).T


def _put(fit: Fit, rows: Sequence[Parameter], value: FloatArray, se: FloatArray) -> list[_Edge]:
    """Edges whose four quantities are all known."""
    found, names = [], fit.model.names
    freedom = {row.id: df for row, df in zip(fit.table, fit.estimates.df.tolist(), strict=True)}
    pairs = np.stack([value, se], axis=1).reshape(4, len(rows), 2)
    spread = np.sqrt(np.maximum(np.diag(fit.population.covariance), 0.0))
    for k, row in enumerate(rows):
        own = pairs[:, k]
        if not np.isfinite(own).all() or not (own[:, 1] > 0).all():
            continue
        a, others = names.index(row.left), [name for name in fit.model.causes(row.right) if name != row.left]
        share = [abs(fit.population.covariance[a, names.index(name)]) / spread[names.index(name)] for name in others]
        fellow, df = others[int(np.argmax(share))], freedom[row.id]
        four = [(float(x), float(y)) for x, y in own]
        found.append(_Edge(row.left, row.right, fellow, df if df > 0 else np.inf, *four))
    return found

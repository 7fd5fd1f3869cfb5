"""What the estimates themselves say: whether a figure means anything.

Verdicts: how grave a failed one is, and for which edges. Information: a cause that does not differ between units moves
nothing that is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.doubts import Doubt, DoubtVerdict
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.estimate.latent.sample import LinkedSample
from roxmodel.implied.matrices import DISTURBANCES, EDGES, Layout, filled
from roxmodel.moments.linked import LinkedMoments
from roxmodel.numerals import estimate_text, p_text
from roxmodel.records import LINEAR, Fault, Verdict
from roxmodel.result.draws import delta_se, slopes_of
from roxmodel.result.fit import Fit
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.definitions import in_order, names_in
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, residual_of
from roxmodel.survey.linkage import agreement
from roxmodel.survey.study import Study
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from roxmodel.estimate.latent.sample import LatentSolution

__all__ = ["no_information", "told_apart", "verdict_rows", "without_numbers"]

_GRAVITY: tuple[DoubtVerdict, ...] = ("unusable", "doubtful", "note", "ok")
_REMEDY = "Do not read these figures off this fit before that is mended."


def verdict_rows(evidence: Evidence) -> Iterator[Doubt]:
    """One row a verdict; what was held at 0 though the data pull it below 0 beyond chance is doubtful."""
    fit = evidence.fit
    for name, verdict in fit.verdicts.items():
        below = _below_zero(evidence.solution) if name == "admissible" and evidence.solution is not None else []
        yield _row(name, verdict, evidence, below)


def _row(name: str, verdict: Verdict, evidence: Evidence, below: list[tuple[Parameter, float]]) -> Doubt:
    model, table = evidence.model, {row.id: row for row in evidence.fit.table}
    told = [(_grade(name, fault, _edges(fault, model, table)), fault) for fault in verdict.faults]
    grave: DoubtVerdict = min((grade for grade, _ in told), key=_GRAVITY.index, default="ok")
    if below and grave in {"ok", "note"}:
        return _pulled(model, below)
    reason = f"{verdict.reason[:1].upper()}{verdict.reason[1:]}."
    if grave == "ok":
        return Doubt(name, "ok", reason, (), "")
    gravest = [fault for grade, fault in told if grade == grave]
    edges = tuple(dict.fromkeys(edge for fault in gravest for edge in _edges(fault, model, table)))
    culprits = tuple(dict.fromkeys(one for fault in gravest for one in _names(fault, model, table)))
    if grave == "note":
        remedy = "It happens by chance too; look again with more units, rows or items."
        return Doubt(name, "note", reason, culprits, remedy, edges)
    return Doubt(name, grave, f"Not {name}: {verdict.reason}.", culprits, _REMEDY, edges)


def _grade(name: str, fault: Fault, edges: tuple[str, ...]) -> DoubtVerdict:
    """A variance at 0 happens by chance; what is impossible takes the meaning from the edges that it concerns."""
    if name != "admissible":
        return "unusable"
    if fault.code == "bound":
        return "note"
    if edges:
        return "unusable"
    return "note" if fault.code == "inseparable" else "doubtful"


def _names(fault: Fault, model: RoxModel, table: dict[str, Parameter]) -> tuple[str, ...]:
    """Constructs and items that a fault concerns."""
    found = list(fault.names)
    for row in (table[name] for name in fault.rows):
        if row.kind == "loading":
            found.append(row.right)
        elif row.kind != "defined":
            found += [row.left, row.right] if row.kind in {"edge", "covariance"} else [row.left]
    known = {*model.names, *(item.name for item in model.items)}
    return tuple(name for name in dict.fromkeys(found) if name in known)


def _edges(fault: Fault, model: RoxModel, table: dict[str, Parameter]) -> tuple[str, ...]:
    """Edges whose figures a fault takes the meaning from."""
    if fault.edges:
        return fault.edges
    rows = [table[name] for name in fault.rows]
    own = [f"{row.left} -> {row.right}" for row in rows if row.kind == "edge"]
    if own:
        return tuple(dict.fromkeys(own))
    names = _owners(model, _names(fault, model, table))
    if fault.code == "inseparable":  # what coincides can be told apart where it causes different things
        return tuple(
            f"{name} -> {effect}"
            for effect in model.endogenous
            for name in names
            if name in model.causes(effect) and len(set(names) & set(model.causes(effect))) > 1
        )
    if fault.code == "loop":
        return tuple(f"{e.cause} -> {e.effect}" for e in model.edges if {e.cause, e.effect} <= set(names))
    return _edges_at(model, names) if fault.rows or fault.names else _edges_at(model, model.names)


def _owners(model: RoxModel, names: tuple[str, ...]) -> tuple[str, ...]:
    """Constructs among the names, and those whose items are."""
    return tuple(c.name for c in model.constructs if c.name in names or set(c.item_names) & set(names))


def _edges_at(model: RoxModel, names: tuple[str, ...]) -> tuple[str, ...]:
    """Edges with an end among these constructs."""
    found = [f"{e.cause} -> {e.effect}" for e in model.edges if e.cause in names or e.effect in names]
    return tuple(dict.fromkeys(found))


def _below_zero(solution: LatentSolution) -> list[tuple[Parameter, float]]:
    """Variances held at 0 that the data pull below it beyond chance, by one score test each, with Holm's correction.

    With score s and inverse information C of all parameters the estimate without the bound lies near C s, its error is
    √(C / n) and z = √(n C) s. Holm (1979), doi 10.2307/4615733. Not for items between units: there z falls below -3 in
    3 to 4 % of clean worlds, because noise is not of one size in all units.
    """
    from scipy.special import ndtr

    held, n, names = solution.bread.held, solution.sample.n, solution.model.names
    units = isinstance(solution.sample, LinkedSample)
    tested = [row for row in solution.table.of("variance") if row.free and not (units and residual_of(row, names))]
    rows = {row.free - 1: row for row in tested if held[row.free - 1]}
    at = np.array(list(rows), dtype=np.int64)
    if not len(at):
        return []
    slope = np.asarray(solution.found.expansion.gradient)[at]
    z: FloatArray = -slope * np.sqrt(n * np.maximum(np.diag(solution.bread.whole)[at], 0.0))
    p, found = ndtr(z), []
    for rank, k in enumerate(np.argsort(p)):
        if p[k] * (len(at) - rank) > LEVELS["admissible"]:
            break
        found.append((rows[int(at[k])], float(z[k])))
    return found


def _pulled(model: RoxModel, below: list[tuple[Parameter, float]]) -> Doubt:
    """An estimate that would be negative beyond chance."""
    names = tuple(dict.fromkeys(row.left for row, _ in below))
    items = [row.left for row, _ in below if residual_of(row, model.names)]
    what = ", ".join(f"{row.left} (z {z:.1f})" for row, z in below)
    finding = f"The data ask for a variance below 0 of {what}, which chance alone does not explain."
    remedy = "The model is wrong there: look for a second construct, an absent arrow" + (
        ", or two items that share more than their construct." if items else "."
    )
    return Doubt("admissible", "doubtful", finding, names, remedy, _edges_at(model, _owners(model, names)))


# --- information

_CLOSE = 0.9  # multiple correlation from which causes stand for each other (Rönkkö & Cho 2022)
_ROUNDING = 1e-6
_INFLATED = 5.0  # variance inflation from which a turned sign is no suppression that anybody could see
_WEAK = 0.05  # p of "its units (or items) are alike" above which the 95 % interval of an edge out of it has no end
_COUNTED = ("se", "statistic", "p", "low", "high", "standardized", "partial_r2")
_MORE = "Ask more people or items, or leave the construct out; until then no effect and no money can be read off it."


def no_information(evidence: Evidence) -> Iterator[Doubt]:
    """Edges whose error the data do not tell at all, and causes that cannot be told from mere noise."""
    model, lost = evidence.model, _lost(evidence)
    if lost:
        yield _nothing(lost)
    causes = {edge.cause for edge in model.edges if edge.fixed is None and (edge.cause, edge.effect) not in lost}
    for construct in model.constructs:
        if construct.name in causes:
            yield from _weak(evidence, construct, lost)


def _lost(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """Free edges that lie in a direction of no curvature, so that no error exists."""
    solution = evidence.solution
    if solution is None or not solution.vcov.size:
        return ()
    unknown = (np.diag(solution.vcov) <= 0) & ~solution.found.bound
    rows = [row for row in solution.table.of("edge") if row.free and unknown[row.free - 1]]
    return tuple(dict.fromkeys((row.left, row.right) for row in rows))


def _nothing(lost: Sequence[tuple[str, str]]) -> Doubt:
    edges = tuple(f"{cause} -> {effect}" for cause, effect in lost)
    finding = (
        f"The data say nothing of {', '.join(edges)}: other values fit as well, so there is no error and no interval."
    )
    return Doubt("no_information", "unusable", finding, tuple(dict.fromkeys(cause for cause, _ in lost)), _MORE, edges)


def _weak(evidence: Evidence, construct: Construct, lost: Sequence[tuple[str, str]]) -> Iterator[Doubt]:
    """A cause whose spread is not told apart from none: an edge is a ratio with that spread below the line.

    Where the denominator's own test does not reject, the interval of such a ratio has no end (Fieller 1954, doi
    10.1111/j.2517-6161.1954.tb00159.x; Staiger & Stock 1997, doi 10.2307/2171753), whatever its standard error says.
    """
    data, name = evidence.data, construct.name
    moments = data.moments if isinstance(data, Study) else data
    if isinstance(moments, LinkedMoments):
        p, what = _alike_between(moments, construct), "units differ in it no more than by who happened to answer"
    else:
        p, what = _unrelated(evidence.solution, construct), "its items have nothing in common"
    if not p > _WEAK:  # NaN: nothing to test
        return
    own = [f"{e.cause} -> {e.effect}" for e in evidence.model.edges if e.cause == name and (name, e.effect) not in lost]
    blur = (
        "is near 0 for that reason alone" if evidence.solution is None else "may lie anywhere, whatever its error says"
    )
    finding = f"{name}: {what} (p = {p_text(p)}), so that an edge out of it {blur}."
    yield Doubt("no_information", "doubtful", finding, (name,), _MORE, tuple(own))


def _alike_between(moments: LinkedMoments, construct: Construct) -> float:
    """Give p of the one-way analysis of variance of the item mean over units; NaN where there is none.

    Where the eligible are known, what varies by who answered is less by the share that did.
    """
    from scipy.special import fdtrc

    if construct.source == UNIT:
        return np.nan
    source = moments.source(construct.source)
    groups = int((source.select(construct.item_names).counts > 0).all(axis=1).sum())
    people = float(source.respondents.sum())
    reliability = agreement(source, construct).icc2
    if np.isnan(reliability) or groups < 2 or people <= groups:
        return np.nan
    left = 1.0
    if source.eligible is not None:
        there = np.isfinite(source.eligible) & (source.respondents > 0)
        if there.any():
            left = float(np.mean(1 - np.minimum(source.respondents[there] / source.eligible[there], 1.0)))
    if left <= 0 or reliability >= 1:
        return 0.0
    return float(fdtrc(groups - 1, people - groups, 1 / (1 - reliability) / left))


def _unrelated(solution: LatentSolution | None, construct: Construct) -> float:
    """Probability of such items of a construct if they were uncorrelated, of rows; the smallest over groups.

    NaN of a single item, whose variance is what is seen. Bartlett (1950), doi 10.1111/j.2044-8317.1950.tb00285.x.
    """
    from scipy.special import chdtrc

    if solution is None or len(construct.items) < 2:
        return np.nan
    at, found = [solution.sample.items.index(name) for name in construct.item_names], np.nan
    for group in solution.sample.groups:
        own = group.target.covariance[np.ix_(at, at)]
        sd = np.sqrt(np.diag(own))
        sign, size = np.linalg.slogdet(own / np.outer(sd, sd)) if (sd > 0).all() else (0.0, 0.0)
        q = len(at)
        if sign > 0:
            found = np.fmin(found, chdtrc(q * (q - 1) / 2, -size * max(group.n - 1 - (2 * q + 5) / 6, 1.0)))
    return float(found)


def without_numbers(fit: Fit) -> Fit:
    """The fit without errors, tests and intervals of edges of which the data say nothing, and of what uses them."""
    lost = set(fit.without_information)
    if not lost:
        return fit
    rows = [row.kind == "edge" and (row.left, row.right) in lost and bool(row.free) for row in fit.table]
    labels = {row.label for row, gone in zip(fit.table, rows, strict=True) if gone and row.label}
    for name in in_order(fit.model.definitions):
        if labels & set(names_in(name, fit.model.definitions[name])):
            labels.add(name)
    gone = np.array(rows) | [row.kind == "defined" and row.left in labels for row in fit.table]
    columns = {name: np.where(gone, np.nan, getattr(fit.estimates, name)) for name in _COUNTED}
    return replace(fit, estimates=replace(fit.estimates, **columns))


# --- causes of one effect


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
    yield from _collinear(found)
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
        odd = any(abs(edge.size[0]) > 1 + _ROUNDING or edge.value[0] * edge.alone[0] < 0 for edge in near)
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
    """Which tests reject at the level of the check, with Holm's correction (1979, doi 10.2307/4615733)."""
    found = [False] * len(p)
    for rank, k in enumerate(np.argsort(p, kind="stable").tolist()):
        if not p[k] * (len(p) - rank) <= LEVELS[check]:
            break
        found[k] = True
    return found


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

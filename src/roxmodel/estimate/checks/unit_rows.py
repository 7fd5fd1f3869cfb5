"""Single units that a fit hangs on, and how units answered: who is missing, how many answered, how answers spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import networkx as nx
import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import listed
from roxmodel.estimate.checks.dependence import columns_of, dependence_findings
from roxmodel.estimate.checks.disturbances import Unexplained, moved_totals, total_slope, totals_at, unexplained
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.estimate.latent.sample import LinkedSample
from roxmodel.estimate.latent.solve import solved_again
from roxmodel.implied.likelihood import expand
from roxmodel.moments.linked import LinkedMoments, SourceMoments
from roxmodel.numerals import plain, written
from roxmodel.records import LINEAR
from roxmodel.spec.causal import headline
from roxmodel.survey.books import book_doubts, slipped, unknown_rows
from roxmodel.survey.study import Study
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["unit_findings"]

_NEAR = 0.7  # errors that a first step must move the total by, before it is looked at closely
_MANY = 400  # units, of which none moves a total by its error that does not lie far out
_CLOSE = 2  # units that are looked at closely
_STEPS = 6
_SHOWN = 5  # units that are spelt out
_FEW = 5  # units on either side, below which nothing is compared
_ENOUGH = 20  # units below which no trend is looked for
_SPREAD_MATTERS = 1.1  # ratio of standard deviations from which errors of unit means are a fifth off
_LOOSE = 0.05  # p up to which a cause may go with the size of units, too


def unit_findings(evidence: Evidence) -> Iterator[Doubt]:
    """What is found of single units or rows: ``dependence``, ``leverage``, ``books``, ``response``, ``units`` ..."""
    columns = columns_of(evidence)
    rest = unexplained(evidence, reread=bool(columns[0]))
    if rest is None:
        yield from _unseen(evidence)
        return
    if not rest.caused.any():
        return
    if not _columns_at_hand(evidence):
        yield Doubt(
            "dependence", "note",
            "Whether units of one region share what is unexplained was not looked at: this study was made of moments, "
            "or came out of a pickle, and has no columns of the unit frame that no construct uses.",
            (), "Fit a Study that is made of its frames, or take the words of such a fit.",
        )  # fmt: skip
    yield from dependence_findings(evidence, rest, columns)
    yield from _answering(evidence, rest)
    far = list(_far_out(evidence, rest))
    yield from far
    yield from _pulling(evidence, rest, bool(far))


def _columns_at_hand(evidence: Evidence) -> bool:
    """Whether columns of the units that no construct uses could be looked at."""
    data = evidence.data
    return data.frame_at_hand if isinstance(data, Study) else not isinstance(data, LinkedMoments)


def _unseen(evidence: Evidence) -> Iterator[Doubt]:
    """That single units or rows were not looked at, and why: silence would pass for order."""
    if not any(evidence.model.causes(name) for name in evidence.model.names):
        return
    if evidence.fit.traits.ordinal:
        why = "answers are ordered categories"
    elif any(evidence.columns.get(name) for name in ("weight", "frequency")):
        why = "rows have weights, or stand for several people"
    else:
        why = "the fit rests on moments, without single rows"
    looked = [("leverage", "far out"), ("dependence", "alike within groups")]
    if hasattr(evidence.data, "columns") and not columns_of(evidence)[0]:  # no column could be one of groups
        looked = looked[:1]
    for check, what in looked:
        finding = f"Whether rows are {what} in what the causes leave unexplained was not looked at: {why}."
        yield Doubt(check, "note", finding, (), "Look at a fit of the plain rows beside this one.")


# --- far out


def _far_out(evidence: Evidence, rest: Unexplained) -> Iterator[Doubt]:
    """Units that lie apart from all others: in all their values together, or in what one equation leaves."""
    effects = [name for name, caused in zip(rest.names, rest.caused, strict=True) if caused]
    push, weight = rest.net()
    level = LEVELS["leverage"] / 4
    found: dict[int, list[str]] = {}
    worst: dict[int, float] = {}
    if rest.distance is not None and rest.values is not None:
        own = np.diagonal(weight, axis1=1, axis2=2)
        z = np.divide(push**2, own, out=np.zeros(push.shape), where=own > 0)
        # the farthest equation is left to its own test, which knows how heavy its tails are
        for place in _apart(np.maximum(rest.distance - z.max(axis=1), 0.0), rest.values - 1, level):
            found.setdefault(place, [])
    strange = _strange(evidence)
    for k, name in enumerate(effects):
        own = weight[:, k, k]
        there = np.flatnonzero(own > 0)
        z = push[there, k] / np.sqrt(own[there])
        for place in slipped(z, level / len(effects)):
            case, size = int(there[place]), abs(float(z[place]))
            if size > worst.get(case, 0.0):  # what leaks into other equations is smaller
                worst[case], found[case] = size, [name]
    found = {case: names for case, names in found.items() if rest.units is None or str(rest.units[case]) not in strange}
    if not found:
        return
    who, told = [_called(rest, place) for place in found], []
    for name, places in zip(who, found.values(), strict=True):
        told.append(f"{name} (in {', '.join(places)})" if places else f"{name} (in all its values together)")
    names = tuple(dict.fromkeys(name for names in found.values() for name in names))
    kind = "unit" if rest.units is not None else "row"
    kinds = f"1 {kind} lies" if len(found) == 1 else f"{len(found)} {kind}s lie"
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    told = told[:_SHOWN]
    yield Doubt(
        "leverage", "doubtful",
        f"{kinds} farther from what the model expects of it than any chance explains: {'; '.join(told)}{more}.",
        (*(str(rest.units[place]) if rest.units is not None else f"row {rest.rows[place]}" for place in found), *names),
        "Check these figures and answers; if they are right, let a construct of the context say what differs there.",
        anonymous=f"{kinds} farther from what the model expects of it than any chance explains.",
    )  # fmt: skip


def _apart(distance: FloatArray, values: IntArray, level: float) -> list[int]:
    """Places of distances beyond all others, (n,) each of so many values, on the scale of a normal variable."""
    from scipy.special import chdtrc, ndtri

    normal = -ndtri(np.clip(chdtrc(np.maximum(values, 1), distance), 1e-300, 1 - 1e-12))
    return [place for place in slipped(normal, level) if normal[place] > 0]


def _called(rest: Unexplained, place: int) -> str:
    return f"row {rest.rows[place]}" if rest.units is None else repr(rest.units[place])


# --- what the total hangs on


def _pulling(evidence: Evidence, rest: Unexplained, far: bool) -> Iterator[Doubt]:
    """Notes of ``leverage``: the total that is reported first without a unit, where it moves by more than its error."""
    pair, fit, strange = headline(evidence.model), evidence.fit, _strange(evidence)
    known = [k for k, unit in enumerate(rest.units or ()) if str(unit) in strange]
    if pair is None or len(fit.groups) > 1 or any(family != LINEAR for family in fit.families):
        return
    if not (len(rest.rows) <= _MANY or far or known):
        return
    slope = total_slope(fit)
    error = float(np.sqrt(slope @ fit.vcov @ slope))
    moved = moved_totals(evidence, rest, slope) if error > 0 else None
    if moved is None:
        return
    now = float(totals_at(fit, fit.theta[None])[0])
    told = []
    if known:
        told.append((known, _total_without(evidence, rest, known)))
    for place in np.argsort(-np.abs(moved))[:_CLOSE]:
        if abs(moved[place]) > _NEAR * error and int(place) not in known:
            told.append(([int(place)], _total_without(evidence, rest, [int(place)])))
    for places, total in told:
        if total is None or abs(total - now) < (min(error, abs(now)) / 10 if places == known else error):
            continue
        names = [_called(rest, place) for place in places]
        whole, part = plain(now, 2), plain(total, 2)
        who = ", ".join(names[:_SHOWN])
        culprits = tuple(str(rest.units[place]) for place in places) if rest.units is not None else tuple(names)
        tail = f"would be {part} instead of {whole}"
        yield Doubt(
            "books" if places == known else "leverage", "note",
            f"Without {who} the total {pair[0]} -> {pair[1]} {tail}.", culprits,
            "Say both numbers, or leave out what is no unit like the others.", edges=(),
            anonymous=f"Without {len(places)} of the units the total {pair[0]} -> {pair[1]} {tail}.",
        )  # fmt: skip


def _strange(evidence: Evidence) -> set[str]:
    """Keys of units whose rows of the books are doubted."""
    data = evidence.data
    doubts = data.doubts if isinstance(data, Study) else book_doubts(data) if isinstance(data, LinkedMoments) else ()
    return {name for one in doubts if one.check == "books" for name in one.culprits}


def _total_without(evidence: Evidence, rest: Unexplained, places: Sequence[int]) -> float | None:
    """The total when some units do not count: a few steps from the estimate, as many as it takes for doubted rows."""
    fit, solution = evidence.fit, evidence.solution
    kept = np.ones(len(rest.rows), dtype=bool)
    kept[list(places)] = False
    if solution is None:
        return _regressed(evidence, rest, kept)
    if not isinstance(solution.sample, LinkedSample):
        return None
    data = solution.sample.data.weighted(kept.astype(np.float64))
    if len(places) > 1 or str((rest.units or ())[places[0]]) in _strange(evidence):  # no step reaches that far
        return float(totals_at(fit, solved_again(solution, data).theta[None])[0])
    data = data.merged()
    theta, held = solution.found.theta.copy(), solution.bread.held
    at = expand(solution.layout, theta, data)
    for _ in range(_STEPS):
        step, moving = np.zeros(len(theta)), ~held
        curve = at.hessian[np.ix_(moving, moving)]
        if not np.isfinite(curve).all() or np.linalg.eigvalsh(curve)[0] <= 0:
            curve = at.information[np.ix_(moving, moving)]
        step[moving] = -np.linalg.lstsq(curve, at.gradient[moving], rcond=None)[0]
        for size in (1.0, 0.5, 0.1, 0.01):
            then = expand(solution.layout, theta + size * step, data)
            if np.isfinite(then.value) and then.value <= at.value:
                break
        else:
            return None
        theta, at = theta + size * step, then
        if float(-at.gradient[moving] @ step[moving]) ** 2 < 1e-12:
            break
    return float(totals_at(fit, theta[None])[0])


def _regressed(evidence: Evidence, rest: Unexplained, kept: BoolArray) -> float | None:
    """The same of regressions, exactly."""
    fit, levels = evidence.fit, evidence.fit.population.levels
    if levels is None:
        return None
    theta, names = fit.theta.copy(), fit.model.names
    for k, name in enumerate(names):
        edges = [row for row in fit.table.of("edge") if row.right == name and row.free and not row.lag]
        causes = np.array([names.index(row.left) for row in edges], dtype=np.int64)
        at = np.array([row.free - 1 for row in edges], dtype=np.int64)
        there = (rest.weight[:, k, k] > 0) & kept
        if edges and there.sum() > len(edges) + 1:
            x = levels[there][:, causes]
            x = np.column_stack([x, np.ones(len(x))])
            theta[at] = np.linalg.lstsq(x, levels[there, k], rcond=None)[0][:-1]
    return float(totals_at(fit, theta[None])[0])


# --- how units answered


def _answering(evidence: Evidence, rest: Unexplained) -> Iterator[Doubt]:
    """Of ``books``, ``units``, ``response`` and ``sampling``, where surveys are linked by unit."""
    data = evidence.data
    moments = data.moments if isinstance(data, Study) else data
    if rest.units is None or not isinstance(moments, LinkedMoments) or not moments.sources:
        return
    if not isinstance(data, Study):
        yield from book_doubts(moments)
    strange = _strange(evidence)
    lone = [unit for unit in unknown_rows(moments) if str(unit) not in strange]
    if lone:
        count = "1 row" if len(lone) == 1 else f"{len(lone)} rows"
        yield Doubt(
            "books", "note", f"{count} of the books without a survey: {listed(lone, _SHOWN)}.",
            tuple(map(str, lone)), "Check that they are units like the others: their figures count.",
            anonymous=f"{count} of the books without a survey.",
        )  # fmt: skip
    yield from _selected(evidence, moments)
    yield from _responding(evidence, rest, moments)
    if evidence.solution is not None:
        yield from _spreading(moments)


def _selected(evidence: Evidence, moments: LinkedMoments) -> Iterator[Doubt]:
    """Whether units that a survey lacks differ from the others in their figures: rank tests, Holm.

    Wilcoxon (1945), doi 10.2307/3001968. A likelihood of all that is known allows for units that are missing by what
    the model's figures say (Rubin 1976, doi 10.1093/biomet/63.3.581); regressions of complete rows do not.
    """
    figures = moments.figures
    if figures is None:
        return
    strange = _strange(evidence)
    usual = np.array([str(unit) not in strange for unit in figures.units], dtype=bool)
    found = []
    for source in moments.sources:
        met = {u for u, n in zip(source.units, source.respondents.tolist(), strict=True) if n > 0}
        there = np.array([unit in met for unit in figures.units], dtype=bool)
        for k, name in enumerate(figures.names):
            known = usual & ~np.isnan(figures.values[:, k])
            own, other = figures.values[known & there, k], figures.values[known & ~there, k]
            if min(len(own), len(other)) >= _FEW:
                found.append((_ranked(own, other), source.source, name, own, other))
    found.sort(key=lambda one: one[0])
    if not found or found[0][0] * len(found) > LEVELS["units"]:
        return
    _, source_name, name, own, other = found[0]
    middle = written([float(np.median(other)), float(np.median(own))])
    linked = evidence.solution is not None
    remedy = (
        "The fit allows for that as far as the figures in the model say who is missing; survey these units to be sure."
        if linked
        else "Use method='linked', which allows for it as far as figures in the model say who is missing."
    )
    yield Doubt(
        "units", "note" if linked else "doubtful",
        f"The {len(other)} units without answers of the {source_name} survey are no chance selection: their median of "
        f"{name} is {middle[0]}, that of the {len(own)} others {middle[1]}.",
        (source_name, name), remedy,
    )  # fmt: skip


def _ranked(one: FloatArray, two: FloatArray) -> float:
    """Two-sided p of the rank sum, normal approximation with ties."""
    from scipy.special import ndtr
    from scipy.stats import rankdata

    every = np.concatenate([one, two])
    ranks, n, a, b = rankdata(every), len(every), len(one), len(two)
    spread = a * b / n * float(((ranks - ranks.mean()) ** 2).sum()) / (n - 1)
    if not spread > 0:
        return 1.0
    return float(2 * ndtr(-abs(float(ranks[:a].sum()) - a * (n + 1) / 2) / np.sqrt(spread)))


def _responding(evidence: Evidence, rest: Unexplained, moments: LinkedMoments) -> Iterator[Doubt]:
    """Whether response rates, or how many answered, go with what is unexplained: slopes with t tests, Holm."""
    tests: list[tuple[float, str, bool, int, float]] = []  # p, source, rate, construct, correlation
    push, weight = _each(rest)
    for source in moments.sources:
        place = {unit: k for k, unit in enumerate(source.units)}
        rows = np.array([place.get(unit, -1) for unit in rest.units or ()])
        x, rate = _answered(source)
        x = np.where(rows >= 0, x[rows], np.nan)
        for k in range(len(rest.names)):
            there = (weight[:, k] > 0) & ~np.isnan(x)
            if there.sum() >= _ENOUGH and float(np.ptp(x[there])) > 0:
                w, causes = weight[there, k], _levels(evidence, k, len(x))[there]
                p, r = _slope(x[there], push[there, k] / w, w, causes)
                tests.append((p, source.source, rate, k, r))
    tests.sort()
    for done, (p, source_name, rate, k, r) in enumerate(tests):
        if p * (len(tests) - done) > LEVELS["response"]:
            return
        name = rest.names[k]
        above = nx.ancestors(evidence.model.graph, name)
        both = [one for one in tests if one[1] == source_name and one[0] <= _LOOSE and rest.names[one[3]] in above]
        beyond = f"{name} beyond what its causes explain" if rest.caused[k] else name
        what = (
            f"The response rate of the {source_name} survey" if rate else f"How many answered the {source_name} survey"
        )
        also = f" and with {', '.join(rest.names[one[3]] for one in both)}" if both and not rate else ""
        serious = rate or bool(both and rest.caused[k])
        remedy = (
            "Find out who did not answer; what moves both answering and the outcome biases the arrows between them."
            if rate
            else "If larger units differ, say so: their size as a construct of the context, with arrows to both."
        )
        yield Doubt(
            "response", "doubtful" if serious else "note", f"{what} goes with {beyond} (correlation {r:.2f}){also}.",
            (source_name, name), remedy,
        )  # fmt: skip


def _each(rest: Unexplained) -> tuple[FloatArray, FloatArray]:
    """(n, k) scores and information of each construct, those with causes net of the others."""
    push, weight = rest.push.copy(), np.diagonal(rest.weight, axis1=1, axis2=2).copy()
    own, net = rest.net()
    push[:, rest.caused], weight[:, rest.caused] = own, np.diagonal(net, axis1=1, axis2=2)
    return push, weight


def _answered(source: SourceMoments) -> tuple[FloatArray, bool]:
    """(G,) response rate where it is known, else the logarithm of how many answered; and which it is."""
    count = np.where(source.respondents > 0, source.respondents, np.nan)
    if source.eligible is not None and np.isfinite(source.eligible).sum() >= _ENOUGH:
        return np.where(source.eligible > 0, count / np.maximum(source.eligible, 1e-300), np.nan), True
    return np.log(count), False


def _levels(evidence: Evidence, k: int, n: int) -> FloatArray:
    """(n, causes) levels of the causes of a construct, where not known at their mean."""
    model, levels = evidence.model, evidence.fit.population.levels
    causes = [model.names.index(name) for name in model.causes(model.names[k])]
    if levels is None or not causes:
        return np.zeros((n, 0))
    own = levels[:, np.array(causes)] - np.nanmean(levels[:, np.array(causes)], axis=0)
    return np.asarray(np.nan_to_num(own))


def _slope(x: FloatArray, y: FloatArray, weight: FloatArray, causes: FloatArray) -> tuple[float, float]:
    """Two-sided p of a weighted slope beside the causes, and the partial correlation."""
    from scipy.special import stdtr

    root = np.sqrt(weight)[:, None]
    others = np.linalg.qr(root * np.column_stack([np.ones(len(x)), causes]))[0]
    both = root * np.column_stack([x, y])
    both = both - others @ (others.T @ both)
    (xx, xy), (_, yy) = both.T @ both
    df = len(x) - 1 - others.shape[1]
    r = float(xy / np.sqrt(xx * yy)) if xx > 0 and yy > 0 else 0.0
    return float(2 * stdtr(df, -abs(r) * np.sqrt(df / max(1 - r * r, 1e-12)))), r


def _spreading(moments: LinkedMoments) -> Iterator[Doubt]:
    """Whether answers of larger units spread more, though all units are taken to have one covariance within them.

    Weighted slope of variances within units on the logarithm of how many answered, with errors that do not ask how
    variances scatter (White 1980, doi 10.2307/1912934) and the degrees of freedom that these have if all scatter alike
    (Bell & McCaffrey 2002, Survey Methodology 28, 169-181).
    """
    from scipy.special import stdtr

    for source in moments.sources:
        pooled = np.diag(source.within_covariance)
        own = np.where(pooled > 0, source.item_variance / np.where(pooled > 0, pooled, 1.0), np.nan)
        there = (source.respondents >= _FEW - 2) & ~np.isnan(own).any(axis=1)
        if there.sum() < _ENOUGH or not float(np.ptp(source.respondents[there])) > 0:
            continue
        n, ratio = source.respondents[there], own[there].mean(axis=1)
        weight, x = n - 1, np.log(n)
        x = x - np.average(x, weights=weight)
        level = float(np.average(ratio, weights=weight))
        slope = float((weight * x * ratio).sum() / (weight * x * x).sum())
        left = (ratio - level - slope * x) / (1 - weight * x * x / (weight * x * x).sum() - weight / weight.sum())
        error = float(np.sqrt(((weight * x * left) ** 2).sum()) / (weight * x * x).sum())
        pull = weight * x * x
        freedom = min(float(pull.sum() ** 2 / (pull @ pull)), len(n) - 2.0)  # few units of another size tell little
        if not error > 0 or 2 * float(stdtr(freedom, -abs(slope / error))) > LEVELS["sampling"] / len(moments.sources):
            continue
        third, last = np.quantile(n, [1 / 3, 2 / 3])
        few = n <= min(float(third), float(n.min() + n.max()) / 2)
        ends = (few, (n >= last) & ~few)
        low, high = (np.sqrt(np.average(ratio[end], weights=weight[end])) for end in ends)
        if max(high / low, low / high) < _SPREAD_MATTERS:
            continue
        way = "more" if slope > 0 else "less"
        yield Doubt(
            "sampling", "doubtful",
            f"Answers of the {source.source} survey spread {way} in units where more answered: the standard deviation "
            f"of one answer is {low:.2f} times the usual in the third of units where fewest answered, {high:.2f} times "
            "where most did; the errors of unit means take it as the same everywhere.",
            (source.source,), "Compare with fits of the smaller and of the larger units alone.",
        )  # fmt: skip

"""How answers came about: cause and effect answered by the same people, and items that mean another thing elsewhere.

All people of a unit may answer high or low whatever they are asked, by a mood or by habit. Where one survey holds cause
and effect, that tendency joins them, and it dilutes what its constructs do to anything else. It is one more factor: the
items of a survey move by the same number of points. Its variance is tested by a score test (one degree, one-sided), and
what it would do to edges is one step of the likelihood. Within one survey it looks like any covariance of its
constructs; what tells it are the arrows that the graph does not have to what others answer or the books say.

Podsakoff, MacKenzie & Podsakoff (2012), doi 10.1146/annurev-psych-120710-100452; Ostroff, Kinicki & Clark (2002), doi
10.1037/0021-9010.87.2.355. An item whose residual goes with a figure of the units, what its construct explains taken
off, is one of another meaning there: Muthén (1989), doi 10.1007/BF02296397.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.doubts import Doubt, DoubtVerdict
from roxmodel.errors import listed
from roxmodel.estimate.checks.candidates import few_units_p
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample
from roxmodel.implied.likelihood import Seen, expand
from roxmodel.implied.matrices import lay_out
from roxmodel.implied.score_tests import Freed, score_tests
from roxmodel.numerals import p_text, plain
from roxmodel.result.fit import Fit
from roxmodel.result.groups import holm
from roxmodel.result.system import total_effects
from roxmodel.spec.causal import headline
from roxmodel.spec.constructs import UNIT
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Kind, Parameter
from roxmodel.types import BoolArray, FloatArray

__all__ = ["lengths", "same_people", "shared_edges", "tendency_label"]

_CHECK = "method"
_LEVEL = LEVELS[_CHECK] / 2  # of each of the two: a tendency, items of another meaning
_UPPER = 1.645  # standard errors up to which a tendency may be larger than it seems, one-sided 95 %
_MATTERS = 0.1  # of a standard deviation between units, per standard deviation of the figure


def shared_edges(model: RoxModel) -> dict[str, list[tuple[str, str]]]:
    """Edges whose ends the same people answer, by source."""
    sources = {construct.name: construct.source for construct in model.constructs}
    found: dict[str, list[tuple[str, str]]] = {}
    for edge in model.edges:
        if not edge.lag and sources[edge.cause] == sources[edge.effect] != UNIT:
            found.setdefault(sources[edge.cause], []).append((edge.cause, edge.effect))
    return found


_OTHERS = (
    "Ask different people about cause and effect (halves of a survey), take one of them from another source or the "
    "books, or measure the cause a wave earlier"
)


def tendency_label(source: str) -> str:
    """Label of the equal covariances that a factor of the answers makes (``method_guard="factor"``)."""
    return f"{''.join(c if c.isalnum() else '_' for c in source)}_answers"


def same_people(evidence: Evidence) -> Iterator[Doubt]:
    """An answer tendency that cause and effect share, and what it would do; items of another meaning in some units."""
    model, fit = evidence.model, evidence.fit
    every = shared_edges(model)
    if not fit.converged:
        return
    labels = {row.label for row in fit.table}
    shared = {source: pairs for source, pairs in every.items() if tendency_label(source) not in labels}
    for source in [source for source in every if source not in shared]:
        words = f"The same people ({source}) answered cause and effect; what they share has a factor of its own."
        yield Doubt(_CHECK, "note", words, (), f"{_OTHERS}.", edges=_touched(model, source))
    sources, loadings = list(shared), _figures_on_items(evidence)
    if not sources and not loadings:
        return
    at = _Expanded.of(evidence, sources, loadings)
    yield from _tendencies(evidence, shared, at)
    if at is not None and loadings:
        yield from _meanings(evidence, loadings, at.tests("edge", "loading"))


@dataclass(frozen=True, slots=True)
class _Expanded:
    """Slopes and information of the likelihood with rows that the model does not have, at 0."""

    rows: tuple[Parameter, ...]
    gradient: FloatArray
    information: FloatArray
    moving: BoolArray  # (m,) of the model's own
    n: float

    @classmethod
    def of(cls, evidence: Evidence, sources: Sequence[str], loadings: Sequence[Parameter]) -> _Expanded | None:
        """All that is asked, with one look at the likelihood; None where there is no such likelihood."""
        solution, fit = evidence.solution, evidence.fit
        if solution is None or fit.traits.ordinal or len(fit.groups) != 1:
            return None
        m, model, names = solution.table.n_free, solution.model, [f"{source} answers" for source in sources]
        tendency = [
            Parameter(f"loading:{name}=~{item}", "loading", name, item, value=length)
            for name, source in zip(names, sources, strict=True)
            for item, length in lengths(model, source).items()
        ]
        asked = [*_arrows(model, loadings), *(_variance(name) for name in names), *loadings]
        rows = [replace(row, free=m + k + 1, value=None) for k, row in enumerate(asked)]
        own = [row for row in solution.table if row.kind != "defined"]
        every, sample = (solution.sample.items, (*model.names, *names)), solution.sample
        layout = lay_out([*own, *tendency, *rows], every, solution.given, sample.scale, m + len(rows))
        try:
            at = expand(layout, np.append(solution.found.theta, np.zeros(len(rows))), _seen(solution))
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(at.gradient).all():
            return None
        return cls(tuple(rows), at.gradient, at.information, np.asarray(np.diag(fit.vcov) > 0), float(sample.n))

    def tests(self, known: str, asked: Kind) -> Freed:
        """Tests of the rows of a kind, those of the kind `known` counted among the model's parameters."""
        m = len(self.moving)
        kinds = ([m + k for k, row in enumerate(self.rows) if row.kind == kind] for kind in (known, asked))
        beside, wanted = kinds
        at = np.array([*range(m), *beside, *wanted], dtype=np.int64)
        moving = np.append(self.moving, np.ones(len(beside), dtype=bool))
        return score_tests(self.gradient[at], self.information[np.ix_(at, at)], moving, self.n)


def _variance(name: str) -> Parameter:
    return Parameter(f"variance:{name}", "variance", name, name, free=1)


def _seen(solution: LatentSolution) -> Seen:
    sample = solution.sample
    return sample.data.merged() if isinstance(sample, LinkedSample) else sample.groups[0].data


def lengths(model: RoxModel, source: str) -> dict[str, float]:
    """Item of a source -> length of its scale, that of the first being 1; 1 for all where one has no ends."""
    items = [item for construct in model.constructs if construct.source == source for item in construct.items]
    ends = [(np.nan if low is None else low, np.nan if high is None else high) for low, high in (i.ends for i in items)]
    found = np.array([float(high) - float(low) for low, high in ends])
    known = found if np.isfinite(found).all() else np.ones(len(items))
    return {item.name: float(own) for item, own in zip(items, known / known[0], strict=True)}


# --- a tendency, in words


def _tendencies(
    evidence: Evidence, shared: Mapping[str, Sequence[tuple[str, str]]], at: _Expanded | None
) -> Iterator[Doubt]:
    """One finding for each survey that holds cause and effect."""
    if at is None:
        for source, pairs in shared.items():
            yield _untested(evidence, source, pairs)
        return
    tests, model = at.tests("", "variance"), evidence.model
    most = max(len(model.causes(name)) for name in model.names)
    p = few_units_p(tests.statistic, tests.n, np.full(len(shared), max(tests.n - most - 2.0, 1.0)))
    adjusted = holm(np.where(tests.change > 0, p / 2, 1 - p / 2))
    for place, (source, pairs) in enumerate(shared.items()):
        yield _tendency(evidence, tests, (place, source, float(adjusted[place])), pairs)


def _tendency(
    evidence: Evidence, tests: Freed, found: tuple[int, str, float], pairs: Sequence[tuple[str, str]]
) -> Doubt:
    """What the data say of the tendency of one source, and what it would do."""
    place, source, p = found
    fit, arrows = evidence.fit, listed([f"{a} -> {b}" for a, b in pairs], 3).replace("'", "")
    whom = f"The same people ({source}) answered cause and effect of {arrows}"
    names = tuple(dict.fromkeys(name for pair in pairs for name in pair))
    change = float(tests.change[place])
    if np.isnan(change):
        words = f"{whom}, and these data cannot tell what they share from a tendency to answer high or low."
        return Doubt(_CHECK, "note", words, names, f"{_OTHERS}.", edges=_touched(fit.model, source))
    if p < _LEVEL:
        without = _Without.of(evidence, source, change)
        words = (
            f"{whom}, and all their answers go up and down together, whatever is asked: a tendency with a standard "
            f"deviation of about {plain(float(np.sqrt(without.size)), 2)} points between units (p {_p(p)}). Without it,"
            f"{without.told(pairs)}"
        )
        remedy = (
            f"{_OTHERS}; with the data at hand, method_guard='factor' takes the tendency out. An arrow that the graph "
            "lacks can look the same (missing_arrow)."
        )
        verdict: DoubtVerdict = "doubtful" if without.most > 1 else "note"
        return Doubt(_CHECK, verdict, words, names, remedy, edges=_touched(fit.model, source))
    most = max(change, 0.0) + _UPPER / float(np.sqrt(tests.n * tests.left[place, place]))
    shared = _in_common(evidence, pairs)
    without = _Without.of(evidence, source, min(most, shared / 2))
    upper, size = (plain(float(np.sqrt(value)), 2) for value in (min(most, shared), without.size))
    words = (
        f"{whom}; these data do not exclude that all their answers go up and down together, whatever is asked, with a "
        f"standard deviation between units of up to {upper} points."
    )
    if without.size > 0:
        words += f" Were it {size}, then{without.told(pairs)}"
    return Doubt(_CHECK, "note", words, names, f"{_OTHERS}.", edges=_touched(fit.model, source))


def _in_common(evidence: Evidence, pairs: Sequence[tuple[str, str]]) -> float:
    """The smallest covariance of cause and effect, half the smallest variance where there is none above 0."""
    names, covariance = evidence.model.names, evidence.fit.population.covariance
    found = min(float(covariance[names.index(a), names.index(b)]) for a, b in pairs)
    if found > 0:
        return found
    return min(float(covariance[names.index(name), names.index(name)]) for pair in pairs for name in pair) / 2


@dataclass(frozen=True, slots=True)
class _Without:
    """Effects once a tendency is taken off what the constructs of a survey have in common."""

    size: float  # variance of the tendency in points squared, of the first item of the survey
    edges: Mapping[tuple[str, str], tuple[float, float]]  # as estimated, and without
    totals: tuple[str, float, float] | None
    most: float  # largest move of an edge, in its standard errors

    @classmethod
    def of(cls, evidence: Evidence, source: str, size: float) -> _Without:
        """Each equation by the moments that the model implies, less the tendency (graphs without loops)."""
        fit, model = evidence.fit, evidence.model
        scale, names = lengths(model, source), model.names
        own = np.array([scale[c.item_names[0]] if c.source == source else 0.0 for c in model.constructs])
        places = np.flatnonzero(own)
        block = fit.population.covariance[np.ix_(places, places)]
        while size > 0 and np.linalg.eigvalsh(block - size * np.outer(own[places], own[places]))[0] <= 0:
            size *= 0.9 if size > 1e-9 * block[0, 0] else 0.0
        covariance = fit.population.covariance - size * np.outer(own, own)
        before = {(r.left, r.right): r.free - 1 for r in fit.table.of("edge") if r.free and not r.lag}
        edges, coefficients, most = {}, np.array(fit.system().coefficients[0]), 0.0
        for effect in () if model.feedback else model.endogenous:
            causes = [name for name in model.causes(effect) if (name, effect) in before]
            at, to = [names.index(name) for name in causes], names.index(effect)
            if not at:
                continue
            both = (fit.population.covariance, covariance)
            moved = [np.linalg.lstsq(c[np.ix_(at, at)], c[at, to], rcond=None)[0] for c in both]
            for k, name in enumerate(causes):
                place, change = before[name, effect], float(moved[1][k] - moved[0][k])
                edges[name, effect] = float(fit.theta[place]), float(fit.theta[place]) + change
                coefficients[to, at[k]] += change
                se = float(np.sqrt(fit.vcov[place, place]))
                most = max(most, abs(change) / se if se > 0 else 0.0)
        return cls(size, edges, _totals(fit, coefficients), most)

    def told(self, pairs: Sequence[tuple[str, str]]) -> str:
        """In words, with a blank in front."""
        words = [f"{a} -> {b} would be {plain(self.edges[a, b][1], 2)} for {plain(self.edges[a, b][0], 2)}"
                 for a, b in pairs if (a, b) in self.edges][:3]  # fmt: skip
        if self.totals is not None:
            words.append(f"{self.totals[0]} in all {plain(self.totals[2])} for {plain(self.totals[1])}")
        return f" {'; '.join(words)}." if words else " nothing changes."


def _totals(fit: Fit, coefficients: FloatArray) -> tuple[str, float, float] | None:
    pair, names = headline(fit.model), fit.model.names
    if pair is None or fit.model.feedback:
        return None
    both = total_effects(np.stack([fit.system().coefficients[0], coefficients]))
    before, after = (float(own[names.index(pair[1]), names.index(pair[0])]) for own in both)
    return f"{pair[0]} -> {pair[1]}", before, after


def _p(value: float) -> str:
    text = p_text(value)
    return text.replace("<", "below ") if text.startswith("<") else f"= {text}"


def _touched(model: RoxModel, source: str) -> tuple[str, ...]:
    """Edges with an end in that survey."""
    own = {construct.name for construct in model.constructs if construct.source == source}
    return tuple(f"{e.cause} -> {e.effect}" for e in model.edges if not e.lag and {e.cause, e.effect} & own)


def _untested(evidence: Evidence, source: str, pairs: Sequence[tuple[str, str]]) -> Doubt:
    """Regressions of composites, ordinal items, groups: no test here."""
    arrows = listed([f"{a} -> {b}" for a, b in pairs], 3).replace("'", "")
    names = tuple(dict.fromkeys(name for pair in pairs for name in pair))
    words = f"The same people ({source}) answered cause and effect of {arrows}, and nothing here tests what they share."
    if not evidence.fit.traits.latent and evidence.fit.level == "between":
        words = (
            f"The same people ({source}) answered cause and effect of {arrows}: what single persons share in both "
            "joins unit means beside what units share, and this method takes it as the units' own."
        )
        remedy = f"Use method='linked', which takes it off, or method_guard='split'. {_OTHERS}."
        return Doubt(_CHECK, "note", words, names, remedy, edges=_touched(evidence.model, source))
    return Doubt(_CHECK, "note", words, names, f"{_OTHERS}.", edges=_touched(evidence.model, source))


# --- items of another meaning


def _figures_on_items(evidence: Evidence) -> list[Parameter]:
    """Loadings of the units' given figures on items of constructs with several."""
    model, solution = evidence.model, evidence.solution
    if solution is None or not isinstance(solution.sample, LinkedSample):
        return []
    figures = [c.name for c in model.constructs if c.source == UNIT and len(c.items) == 1 and not model.causes(c.name)]
    items = [item for c in model.constructs if len(c.items) > 1 for item in c.item_names]
    return [Parameter(f"loading:{f}=~{item}", "loading", f, item, free=1) for f in figures for item in items]


def _arrows(model: RoxModel, loadings: Sequence[Parameter]) -> list[Parameter]:
    """Arrows from the figures to constructs that have causes: what a figure does to all items is not their meaning."""
    return [
        Parameter(f"edge:{figure}->{c.name}", "edge", figure, c.name, free=1)
        for figure in dict.fromkeys(row.left for row in loadings)
        for c in model.constructs
        if len(c.items) > 1 and model.causes(c.name) and figure not in model.causes(c.name)
    ]


def _meanings(evidence: Evidence, loadings: Sequence[Parameter], tests: Freed) -> Iterator[Doubt]:
    """The item that goes with a figure of the units otherwise than its construct does, if one does."""
    model, solution = evidence.model, evidence.solution
    adjusted = holm(few_units_p(tests.statistic, tests.n, np.full(len(loadings), max(tests.n - 4.0, 1.0))))
    if solution is None or np.isnan(adjusted).all() or not np.nanmin(adjusted) < _LEVEL:
        return
    best = int(np.nanargmax(np.where(adjusted <= np.nanmin(adjusted), tests.statistic, np.nan)))
    figure, item = loadings[best].left, loadings[best].right
    construct = next(c.name for c in model.constructs if item in c.item_names)
    spread = float(np.sqrt(evidence.fit.population.covariance[(model.names.index(figure),) * 2]))
    size, own = float(tests.change[best]) * spread, solution.sample.scale[solution.sample.items.index(item)]
    words = (
        f"Item {item!r} of {construct} means something else in some units: where {figure} is one standard deviation "
        f"higher it is {plain(abs(size), 2)} points {'higher' if size > 0 else 'lower'} than {construct} lets expect "
        f"(p {_p(float(adjusted[best]))} after {len(loadings)} such tests)."
    )
    remedy = f"Read its wording with {figure} in mind, and leave it out, or see what the totals are without it."
    verdict: DoubtVerdict = "doubtful" if abs(size) > _MATTERS * own else "note"
    yield Doubt(_CHECK, verdict, words, (item,), remedy)

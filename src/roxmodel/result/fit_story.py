"""A fit as a story: its edges, its measurement, how it fits, and what a reader must know beside the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.doubts import doubt_lines
from roxmodel.numerals import estimate_text, p_text
from roxmodel.result.indices import index_words
from roxmodel.result.tables import edge_table
from roxmodel.story import Story, StoryPart, StoryTable

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.result.fitted import Fitted
    from roxmodel.spec.parameters import Parameter

__all__ = ["fit_story"]

_LEVELS = {
    "between": "between units: how units that differ in the cause differ in the effect",
    "single": "single level: how respondents (rows) that differ in the cause differ in the effect",
    "within": "within units",
}
_SHOWN = ["cause", "effect", "estimate", "se", "p", "ci_low", "ci_high", "standardized", "n"]
_MOST = 12  # correlations that are listed; the rest are in parameters()


def fit_story(fit: Fitted) -> Story:
    """See `Fit.story`."""
    count, how = len(fit.model.edges), _how(fit)
    table = edge_table(fit)
    basis = (
        f"Level: {_LEVELS[fit.level]}.\n"
        f"Errors: {fit.errors}. Intervals: 95 %. Standardised by model-implied standard deviations."
    )
    edges: list[StoryPart] = [_edges_shown(table), *_edge_sentences(fit, table)] if count else []
    return Story(
        kind="fit",
        title=f"{fit.model.name}: {how}",
        headline=f"{fit.model.name}: {count} edge{'' if count == 1 else 's'}, {how}",
        warnings=tuple(doubt_lines(fit.doubts)),
        basis=(*_groups(fit), basis),
        body=(*edges, *_latent(fit), *_index_lines(fit)),
        notes=(*(f"{name}: {'yes' if v.ok else 'NO'} ({v.reason})." for name, v in fit.verdicts.items()), *fit.notes),
    )


def _how(fit: Fitted) -> str:
    """Method, estimator and whom the numbers speak of."""
    people = fit.population
    whom = f"{people.n_units} units" if people.n_units is not None else f"n = {people.n}"
    estimator = f" ({fit.estimator}{', all answers by FIML' if fit.missing == 'fiml' else ''})" if fit.estimator else ""
    return f"method '{fit.method}'{estimator}, {whom}"


def _groups(fit: Fitted) -> list[str]:
    if len(fit.groups) < 2:
        return []
    sizes = ", ".join(f"{group.name} (n = {group.n:.0f})" for group in fit.groups)
    lines = [f"Groups: {sizes}. fit.edge_differences() compares their edges, fit.group(name) is one of them."]
    shared = _shared_over_groups(fit)
    return [*lines, f"Held equal over groups: {', '.join(shared)}."] if shared else lines


def _shared_over_groups(fit: Fitted) -> list[str]:
    """Kinds of parameters that are equal over groups, edges by name (a label in the model holds them equal too)."""
    groups: dict[int, set[str]] = {}
    for row in fit.table:
        if row.free and row.kind != "defined":
            groups.setdefault(row.free, set()).add(row.group)
    shared = [row for row in fit.table if row.free and len(groups.get(row.free, ())) > 1]
    edges = dict.fromkeys(f"the edge {row.left} -> {row.right}" for row in shared if row.kind == "edge")
    kinds = dict.fromkeys(f"{row.kind}s" for row in shared if row.kind != "edge")
    return [*kinds, *edges]


def _edges_shown(table: pd.DataFrame) -> StoryTable:
    """The columns of the edge table that a reader looks at first, rounded for reading."""
    shown = table[[*(["group"] if "group" in table else []), *_SHOWN]].copy()
    for column in ("estimate", "se", "ci_low", "ci_high", "standardized"):
        shown[column] = [estimate_text(value) for value in table[column]]
    shown["p"] = [p_text(value) for value in table["p"]]
    if (table["status"] != "estimated").any():
        shown["status"] = table["status"]
    if (table["doubt"] != "").any():
        shown["doubt"] = table["doubt"]
    if (table["family"] != "linear").any():
        shown["family"] = table["family"]
    return StoryTable.of(shown)


def _edge_sentences(fit: Fitted, table: pd.DataFrame) -> list[str]:
    """Which edges are clear of 0; where an edge is unusable nothing is said of its interval."""
    estimated = table[table["se"].notna()]
    if len(estimated) == 0:
        return ["No edge was estimated."]
    edges = [f"{cause} -> {effect}" for cause, effect in zip(estimated["cause"], estimated["effect"], strict=True)]
    lost = [[one.check for one in fit.doubts_on([edge]) if one.verdict == "unusable"] for edge in edges]
    usable = np.array([not checks for checks in lost], dtype=bool)
    tested, out = estimated[usable], estimated[~usable]
    checks = ", ".join(dict.fromkeys(check for found in lost for check in found))
    if len(tested) == 0:
        return [f"No interval is read off these edges: all of them are unusable ({checks}; see above)."]
    unread = [f"Unusable ({checks}; see above), so that no interval is read: {_pairs(out)}."] if len(out) else []
    return [*unread, *_clear_of_zero(tested)]


def _clear_of_zero(tested: pd.DataFrame) -> list[str]:
    clear = tested[(tested["ci_low"] > 0) | (tested["ci_high"] < 0)]
    lines = [
        f"{len(clear)} of {len(tested)} estimated edges have an interval that excludes 0"
        + (f"; not: {_pairs(tested.drop(clear.index))}." if len(clear) < len(tested) else ".")
    ]
    weak = clear[clear["robustness_value"] < 0.1]
    if len(weak):
        lines.append(
            f"Easily overturned by an unmeasured cause that explains less than 10 % of the residual variance on "
            f"both sides: {_pairs(weak)}."
        )
    return lines


def _pairs(table: pd.DataFrame) -> str:
    groups = [f" ({name})" for name in table["group"]] if "group" in table else [""] * len(table)
    rows = zip(table["cause"], table["effect"], groups, strict=True)
    return ", ".join(f"{cause} -> {effect}{group}" for cause, effect, group in rows)


def _index_lines(fit: Fitted) -> list[str]:
    found = fit.index_values
    if np.isnan(found.get("chisq", np.nan)):
        return []
    if found["df"] <= 0:
        return ["The model has as many parameters as the data have moments, so its fit cannot be tested (df = 0)."]
    scaled = "_scaled" if "chisq_scaled" in found else ""
    robust = "_robust" if "cfi_robust" in found else scaled
    test = f" (scaled; {found['chisq']:.2f} unscaled)" if scaled else ""
    which = {"_robust": " (robust)", "_scaled": " (scaled)", "": ""}[robust]
    p = p_text(found["pvalue" + scaled])
    line = (
        f"Fit of the graph to the covariances: chisq({found['df']:.0f}) = {found['chisq' + scaled]:.2f}{test}, "
        f"p {p if p.startswith('<') else f'= {p}'}, CFI {found['cfi' + robust]:.3f}{which}, "
        f"RMSEA {found['rmsea' + robust]:.3f}{which} [90 %: {found['rmsea_ci_lower' + robust]:.3f} to "
        f"{found['rmsea_ci_upper' + robust]:.3f}], SRMR {found['srmr']:.3f}."
    )
    return [line, index_words(found)[1]]


def _latent(fit: Fitted) -> Iterator[str]:
    """Standardised loadings of each construct, correlations, latent means and definitions, one line each."""
    estimates = fit.estimates
    rows = list(zip(fit.table, estimates.standardized.tolist(), strict=True))
    for group in fit.groups:
        yield from _loadings(fit, group.name, rows)
    for group in fit.groups:
        yield from _correlations(fit, group.name, rows)
    with_ends = list(zip(fit.table, estimates.value, estimates.low, estimates.high, strict=True))
    yield from _latent_means(fit, with_ends)
    shown = [
        f"{row.left} = {value:.3f} [{low:.3f} to {high:.3f}]"
        for row, value, low, high in with_ends
        if row.kind == "defined" and not np.isnan(value)
    ]
    if shown:
        yield f"Defined: {', '.join(shown)}."


def _loadings(fit: Fitted, group: str, rows: list[tuple[Parameter, float]]) -> list[str]:
    several = {construct.name for construct in fit.model.constructs if len(construct.items) > 1}
    found: dict[str, list[str]] = {}
    for row, value in rows:
        if row.kind == "loading" and row.group == group and row.left in several:
            found.setdefault(row.left, []).append(f"{row.right} {value:.2f}")
    where = f" in {group}" if group else ""
    lines = [f"Standardised loadings{where}:", *(f"  {name}: {', '.join(own)}" for name, own in found.items())]
    return lines if found else []


def _correlations(fit: Fitted, group: str, rows: list[tuple[Parameter, float]]) -> list[str]:
    pairs = [
        f"{row.left} <-> {row.right} {value:.2f}"
        for row, value in rows
        if row.kind == "covariance" and row.group == group and row.free and not np.isnan(value)
    ]
    if not pairs:
        return []
    more = f" and {len(pairs) - _MOST} more, see fit.parameters()" if len(pairs) > _MOST else ""
    what = "Correlations (of what causes leave, where there are causes)" if fit.model.edges else "Correlations"
    return [f"{what}{f' in {group}' if group else ''}: {', '.join(pairs[:_MOST])}{more}."]


def _latent_means(fit: Fitted, rows: list[tuple[Parameter, float, float, float]]) -> list[str]:
    if not fit.traits.latent:
        return []
    latent = {construct.name for construct in fit.model.constructs if len(construct.items) > 1}
    found: dict[str, list[str]] = {}
    for row, value, low, high in rows:
        if row.kind == "intercept" and row.free and row.left in latent:
            found.setdefault(row.group, []).append(f"{row.left} {value:+.3f} [{low:+.3f} to {high:+.3f}]")
    first = fit.groups[0].name if fit.groups else ""
    # one group of a fit stands alone, and the first one is not in it
    return [
        f"Latent means of {group}, against {first}: {', '.join(own)}." if group
        else f"Latent means, against the first group: {', '.join(own)}."
        for group, own in found.items()
    ]  # fmt: skip

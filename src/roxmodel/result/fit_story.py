"""A fit in plain words, for a terminal and for a notebook.

What a latent fit says of its measurement: loadings, correlations, definitions, in a few lines.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from roxmodel.doubts import doubt_lines
from roxmodel.result.tables import edge_table

if TYPE_CHECKING:
    from roxmodel.result.fitted import Fitted

__all__ = ["edge_sentences", "fit_html", "fit_summary", "latent_lines", "shown_edges"]


_LEVELS = {
    "between": "between units: how units that differ in the cause differ in the effect",
    "single": "single level: how respondents (rows) that differ in the cause differ in the effect",
    "within": "within units",
}


_SHOWN = ["cause", "effect", "estimate", "se", "p", "ci_low", "ci_high", "standardized", "n"]


def fit_summary(fit: Fitted) -> str:
    """See `Fit.summary`."""
    edges = len(fit.model.edges)
    parts = [
        f"{fit.model.name}: {edges} edge{'' if edges == 1 else 's'}, {_how(fit)}",
        *doubt_lines(fit.doubts),
        *_failed_lines(fit),
        *_group_lines(fit),
        f"Level: {_LEVELS[fit.level]}.",
        f"Errors: {fit.errors}. Intervals: 95 %. Standardised by model-implied standard deviations.",
        "",
        *([shown_edges(fit).to_string(index=False), ""] if fit.model.edges else []),
        *edge_sentences(fit),
        *latent_lines(fit),
        *_index_lines(fit),
        "",
        "Small print",
        *(f"- {note}" for note in [*_verdict_lines(fit), *fit.notes]),
    ]
    return "\n".join(parts)


def _how(fit: Fitted) -> str:
    """Method, estimator and whom the numbers speak of."""
    people = fit.population
    whom = f"{people.n_units} units" if people.n_units is not None else f"n = {people.n}"
    estimator = f" ({fit.estimator}{', all answers by FIML' if fit.missing == 'fiml' else ''})" if fit.estimator else ""
    return f"method '{fit.method}'{estimator}, {whom}"


def _failed_lines(fit: Fitted) -> list[str]:
    """Verdicts that failed stand before any number."""
    return [f"NOT {name.upper()}: {verdict.reason}." for name, verdict in fit.verdicts.items() if not verdict.ok]


def _group_lines(fit: Fitted) -> list[str]:
    if len(fit.groups) < 2:
        return []
    sizes = ", ".join(f"{group.name} (n = {group.n:.0f})" for group in fit.groups)
    lines = [f"Groups: {sizes}. fit.edge_differences() compares their edges, fit.group(name) is one of them."]
    shared = _shared_over_groups(fit)
    if shared:
        lines.append(f"Held equal over groups: {', '.join(shared)}.")
    return lines


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


def shown_edges(fit: Fitted) -> pd.DataFrame:
    """The columns of the edge table that a reader looks at first, rounded for reading."""
    table = edge_table(fit)
    shown = table[[*(["group"] if "group" in table else []), *_SHOWN]].copy()
    for column in ("estimate", "se", "ci_low", "ci_high", "standardized"):
        shown[column] = [_number(value) for value in table[column]]
    shown["p"] = [_p(value) for value in table["p"]]
    fixed = table["status"] != "estimated"
    if fixed.any():
        shown["status"] = table["status"]
    if (table["family"] != "linear").any():
        shown["family"] = table["family"]
    return shown


def _number(value: float) -> str:
    if np.isnan(value):
        return ""
    size = abs(value)
    if 0 < size < 0.001 or size >= 1e9:
        return f"{value:.3g}"
    return f"{value:,.0f}" if size >= 1_000 else f"{value:.1f}" if size >= 100 else f"{value:.3f}"


def _p(value: float) -> str:
    if np.isnan(value):
        return ""
    return "<.001" if value < 0.001 else f"{value:.3f}"


def _p_words(value: float) -> str:
    shown = _p(value)
    return shown if shown.startswith("<") else f"= {shown}"


def edge_sentences(fit: Fitted) -> list[str]:
    """What the edges say, in a few sentences."""
    table = edge_table(fit)
    tested = table[table["se"].notna()]
    if not fit.model.edges:
        return []
    if len(tested) == 0:
        return ["No edge was estimated."]
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
    line = (
        f"Fit of the graph to the covariances: chisq({found['df']:.0f}) = {found['chisq' + scaled]:.2f}{test}, "
        f"p {_p_words(found['pvalue' + scaled])}, CFI {found['cfi' + robust]:.3f}{which}, "
        f"RMSEA {found['rmsea' + robust]:.3f}{which} [90 %: {found['rmsea_ci_lower' + robust]:.3f} to "
        f"{found['rmsea_ci_upper' + robust]:.3f}], SRMR {found['srmr']:.3f}."
    )
    return [line]


def _verdict_lines(fit: Fitted) -> list[str]:
    return [f"{name}: {'yes' if v.ok else 'NO'} ({v.reason})." for name, v in fit.verdicts.items()]


def fit_html(fit: Fitted) -> str:
    """See `Fit._repr_html_`."""
    notes = "".join(f"<li>{escape(line)}</li>" for line in [*_verdict_lines(fit), *fit.notes])
    sentences = "".join(
        f"<p>{escape(line)}</p>" for line in [*edge_sentences(fit), *latent_lines(fit), *_index_lines(fit)]
    )
    failed = "".join(
        f"<p><strong>{escape(line)}</strong></p>" for line in [*doubt_lines(fit.doubts), *_failed_lines(fit)]
    )
    edges = shown_edges(fit).to_html(index=False, border=0) if fit.model.edges else ""
    return (
        f"<h4>{escape(fit.model.name)}: {escape(_how(fit))}</h4>{failed}"
        f"{''.join(f'<p>{escape(line)}</p>' for line in _group_lines(fit))}"
        f"<p>Level: {escape(_LEVELS[fit.level])}. Errors: {escape(fit.errors)}. Intervals: 95 %. "
        f"Standardised by model-implied standard deviations.</p>{edges}{sentences}"
        f"<details><summary>Small print</summary><ul>{notes}</ul></details>"
    )


_MOST = 12  # correlations that are listed; the rest are in parameters()


def latent_lines(fit: Fitted) -> list[str]:
    """Standardised loadings of each construct, correlations, latent means and definitions, one line each."""
    return [*_loadings(fit), *_correlations(fit), *_latent_means(fit), *_definitions(fit)]


def _groups(fit: Fitted) -> list[tuple[str, str]]:
    """Names of the groups as they stand in the table, and as a reader sees them."""
    return [(group.name, f" in {group.name}" if group.name else "") for group in fit.groups]


def _loadings(fit: Fitted) -> list[str]:
    lines = []
    several = {construct.name for construct in fit.model.constructs if len(construct.items) > 1}
    for group, where in _groups(fit):
        found: dict[str, list[str]] = {}
        for row, value in zip(fit.table, fit.estimates.standardized, strict=True):
            if row.kind == "loading" and row.group == group and row.left in several:
                found.setdefault(row.left, []).append(f"{row.right} {value:.2f}")
        if found:
            lines += [f"Standardised loadings{where}:", *(f"  {name}: {', '.join(own)}" for name, own in found.items())]
    return lines


def _correlations(fit: Fitted) -> list[str]:
    lines = []
    for group, where in _groups(fit):
        pairs = [
            (row, float(value))
            for row, value in zip(fit.table, fit.estimates.standardized, strict=True)
            if row.kind == "covariance" and row.group == group and row.free and not np.isnan(value)
        ]
        if not pairs:
            continue
        shown = ", ".join(f"{row.left} <-> {row.right} {value:.2f}" for row, value in pairs[:_MOST])
        more = f" and {len(pairs) - _MOST} more, see fit.parameters()" if len(pairs) > _MOST else ""
        what = "Correlations (of what causes leave, where there are causes)" if fit.model.edges else "Correlations"
        lines.append(f"{what}{where}: {shown}{more}.")
    return lines


def _latent_means(fit: Fitted) -> list[str]:
    estimates = zip(fit.table, fit.estimates.value, fit.estimates.low, fit.estimates.high, strict=True)
    if not fit.traits.latent:
        return []
    latent = {construct.name for construct in fit.model.constructs if len(construct.items) > 1}
    found: dict[str, list[str]] = {}
    for row, value, low, high in estimates:
        if row.kind == "intercept" and row.free and row.left in latent:
            found.setdefault(row.group, []).append(f"{row.left} {value:+.3f} [{low:+.3f} to {high:+.3f}]")
    first = fit.groups[0].name if fit.groups else ""
    return [f"Latent means of {group}, against {first}: {', '.join(own)}." for group, own in found.items()]


def _definitions(fit: Fitted) -> list[str]:
    estimates = zip(fit.table, fit.estimates.value, fit.estimates.low, fit.estimates.high, strict=True)
    shown = [
        f"{row.left} = {value:.3f} [{low:.3f} to {high:.3f}]"
        for row, value, low, high in estimates
        if row.kind == "defined" and not np.isnan(value)
    ]
    return [f"Defined: {', '.join(shown)}."] if shown else []

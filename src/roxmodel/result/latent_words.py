"""What a latent fit says of its measurement: loadings, correlations, definitions, in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roxmodel.result.fitted import Fitted

__all__ = ["latent_lines"]

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

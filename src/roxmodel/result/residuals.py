"""What the model leaves: residual covariances, and the share of variance explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from roxmodel.errors import EstimationError, RoxError, did_you_mean
from roxmodel.implied.layout import DISTURBANCES, RESIDUALS
from roxmodel.implied.matrices import filled, moment_jacobian
from roxmodel.result.latent import (
    LatentGroup,
    given_by_data,
    latent_groups,
    only_group,
    require_continuous,
    require_people,
)
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.result.fitted import Fitted

__all__ = ["ResidualKind", "explained", "residual_frame"]

ResidualKind: TypeAlias = Literal["raw", "correlation", "standardized"]

_ROUNDING = 1e-10


def residual_frame(fit: Fitted, kind: ResidualKind, group: str | None) -> pd.DataFrame:
    """See `Fit.residuals`."""
    import pandas as pd

    if kind not in get_args(ResidualKind):
        raise RoxError(f"kind= was {kind!r}.", hint=did_you_mean(str(kind), get_args(ResidualKind)))
    given, known = given_by_data(fit)
    parts = latent_groups(fit, given, np.concatenate([fit.theta, known]))
    if kind == "standardized":
        require_people(fit, "There are no standardised residuals", "Ask for kind='correlation'.")
        require_continuous(fit)
    if kind == "standardized" and (fit.missing != "listwise" or len(parts) > 1):
        raise EstimationError(
            "Standardised residuals need one group and complete answers.", hint="Ask for kind='correlation'."
        )
    if group is not None:
        wanted = only_group(fit, group)
        parts = [part for part in parts if part.name == wanted]
    names = [item.name for item in fit.model.items]
    frames = {part.name: pd.DataFrame(_residuals(part, kind), index=names, columns=names) for part in parts}
    return next(iter(frames.values())) if len(frames) == 1 else pd.concat(frames, names=["group", "item"])


def _residuals(part: LatentGroup, kind: ResidualKind) -> FloatArray:
    sample, sigma = part.sample.covariance, part.at.sigma
    if kind == "raw":
        return part.covariance - part.sigma
    if kind == "correlation":
        return _correlation(sample) - _correlation(sigma)
    left, variance = sample - sigma, _residual_variance(part)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > _ROUNDING, left / np.sqrt(variance / part.n), np.nan)


def _correlation(covariance: FloatArray) -> FloatArray:
    scale = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / np.outer(scale, scale))


def _residual_variance(part: LatentGroup) -> FloatArray:
    """(p, p) n times the sampling variance of each residual, with normal answers: of (I - Δ E⁻¹ Δᵀ A) vec S.

    Δ, A and E (derivatives, weight, expected information of one observation) stand at the model, the covariance of S
    at the sample.
    """
    sigma, sample = part.at.sigma, part.sample.covariance
    by_sigma, by_mu = moment_jacobian(part.layout, part.at)
    delta, means = by_sigma @ part.layout.link, by_mu @ part.layout.link
    inverse = np.linalg.inv(sigma)
    weighted = np.einsum("ab,bcr,cd->adr", inverse, delta, inverse, optimize=True) / 2
    with_score = 2 * np.einsum("ab,bcr,cd->adr", sample, weighted, sample, optimize=True)
    pushed = inverse @ means
    expected = np.einsum("abr,abs->rs", delta, weighted) + means.T @ pushed
    spread = np.einsum("abr,abs->rs", weighted, with_score) + pushed.T @ sample @ pushed
    moved = delta @ np.linalg.pinv(expected, hermitian=True)
    whole = np.outer(np.diag(sample), np.diag(sample)) + sample**2
    taken = 2 * (with_score * moved).sum(axis=2) - np.einsum("abr,rs,abs->ab", moved, spread, moved, optimize=True)
    return np.asarray(np.where(whole - taken > _ROUNDING * whole, whole - taken, 0.0))


def explained(fit: Fitted) -> pd.DataFrame:
    """See `Fit.r2`."""
    import pandas as pd

    rows: list[tuple[str, str, float, str]] = []
    for part in latent_groups(fit):
        left = np.diag(filled(part.layout, fit.theta, RESIDUALS))
        sigma = np.diag(part.sigma)
        for construct in fit.model.constructs:
            for item in () if construct.observed else construct.item_names:
                at = part.layout.items.index(item)
                rows.append(("item", item, float(1.0 - left[at] / sigma[at]), part.name))
        psi, latent = np.diag(filled(part.layout, fit.theta, DISTURBANCES)), np.diag(part.at.latent)
        for name in fit.model.endogenous:
            at = fit.model.names.index(name)
            rows.append(("construct", name, float(1.0 - psi[at] / latent[at]), part.name))
    table = pd.DataFrame(rows, columns=["kind", "name", "r2", "group"])
    return table if len(fit.groups) > 1 else table.drop(columns="group")

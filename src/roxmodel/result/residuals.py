"""What the model leaves: residual covariances, and the share of variance explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from roxmodel.errors import EstimationError, RoxError, did_you_mean
from roxmodel.implied.layout import DISTURBANCES, RESIDUALS
from roxmodel.implied.matrices import filled, moment_jacobian
from roxmodel.result.latent import LatentGroup, latent_groups, only_group
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
    parts = latent_groups(fit)
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
    """n times the sampling variance of each residual: that of the sample's covariance, less what the model takes.

    With normal answers: σ_ii σ_jj + σ_ij² - Δ I⁻¹ Δᵀ, where I is the expected information of one observation.
    """
    sigma = part.at.sigma
    whole = np.outer(np.diag(sigma), np.diag(sigma)) + sigma**2
    by_sigma, by_mu = moment_jacobian(part.layout, part.at)
    delta, means = by_sigma @ part.layout.link, by_mu @ part.layout.link
    inverse = np.linalg.inv(sigma)
    half = np.einsum("ab,bcr->acr", inverse, delta)
    information = 0.5 * np.einsum("abr,bas->rs", half, half) + means.T @ inverse @ means
    taken = np.einsum("abr,rs,abs->ab", delta, np.linalg.pinv(information, hermitian=True), delta, optimize=True)
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

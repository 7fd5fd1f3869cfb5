"""Diagonally weighted least squares on the moments of ordinal items: value, derivatives, errors and test.

F = ½ Σ w (s - σ)² with w the inverse asymptotic variances (Muthén, du Toit & Spisic 1997). The residual variance of an
ordinal item is what its construct leaves of 1 (delta parameterisation), so its diagonal entry is no statistic. Given
covariates, the statistics are slopes on them and covariances of what they leave.

Thresholds and means beside weighted least squares: as many parameters as statistics, so they are solved for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.estimate.ordinal.ordinal_moments import OrdinalMoments
from roxmodel.implied.likelihood import Expansion
from roxmodel.implied.matrices import Implied, Layout, bank_of, conditioned, implied, moment_jacobian, second_order
from roxmodel.result.indices import Correction, Tested, tested_indices
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["FirstStep", "WeightedCovariances", "covariance_part", "first_step_of", "weighted_indices", "weighted_vcov"]


@dataclass(frozen=True, slots=True)
class WeightedCovariances:
    """The covariance statistics (and slopes, if there are covariates) with their weights, as something to minimise."""

    layout: Layout
    rows: IntArray  # (m,) and columns: entries of Σ, or of what covariates leave of it, that the first statistics are
    columns: IntArray
    statistics: FloatArray  # (m + slopes,)
    weights: FloatArray  # 1 / asymptotic variance
    places: IntArray  # among all statistics
    given: IntArray  # (q,) places of the covariates among the items
    slopes: tuple[IntArray, IntArray]  # items and covariates, 0 to q-1, that the last statistics are the slopes of

    def value(self, theta: FloatArray) -> float:
        """½ Σ w (s - σ)²."""
        rest = self.statistics - self.implied(implied(self.layout, theta))
        return float(0.5 * rest @ (self.weights * rest))

    def implied(self, at: Implied) -> FloatArray:
        """(m + slopes,) σ."""
        if not len(self.given):
            return np.asarray(at.sigma[self.rows, self.columns])
        left = conditioned(at.sigma, self.given)
        return np.concatenate([left.sigma[self.rows, self.columns], left.slopes[self.slopes]])

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """(m + slopes, n_free) derivatives of σ."""
        at = implied(self.layout, theta)
        by_sigma, _ = moment_jacobian(self.layout, at)
        if len(self.given):
            by_left, by_slopes = conditioned(at.sigma, self.given).jacobian(by_sigma)
            return np.vstack([by_left[self.rows, self.columns], by_slopes[self.slopes]]) @ self.layout.link
        return np.asarray(by_sigma[self.rows, self.columns] @ self.layout.link)

    def expand(self, theta: FloatArray) -> Expansion:
        """The value with its derivatives; the information is Δᵀ W Δ."""
        layout = self.layout
        at = implied(layout, theta)
        rest = self.statistics - self.implied(at)
        jacobian = self.jacobian(theta)
        information = jacobian.T @ (self.weights[:, None] * jacobian)
        pull, bend = self._pulled(at, -self.weights * rest)
        pull = pull + pull.T  # twice on the diagonal, as ½ tr(G ∂²Σ) counts it once
        bank = bank_of(layout, at)
        bent = second_order(layout, at, bank.T @ pull @ bank, np.zeros(bank.shape[1])) + bend
        hessian = information + layout.link.T @ bent @ layout.link
        value = float(0.5 * rest @ (self.weights * rest))
        return Expansion(value, -jacobian.T @ (self.weights * rest), hessian, information)

    def _pulled(self, at: Implied, by_statistic: FloatArray) -> tuple[FloatArray, FloatArray | float]:
        """(p, p) gradient by Σ, and the second derivatives that the statistics have beside those of Σ."""
        pull, count = np.zeros_like(at.sigma), len(self.rows)
        pull[self.rows, self.columns] = by_statistic[:count]
        if not len(self.given):
            return pull, 0.0
        left = conditioned(at.sigma, self.given)
        on_slopes = np.zeros_like(left.slopes)
        on_slopes[self.slopes] = by_statistic[count:]
        return left.pull(pull, on_slopes), left.bend(pull, moment_jacobian(self.layout, at)[0])


def covariance_part(layout: Layout, moments: OrdinalMoments) -> WeightedCovariances:
    """Pick the variances of continuous items, all covariances and slopes out of the statistics."""
    at = {name: i for i, name in enumerate(layout.items)}
    covariates = () if moments.given is None else moments.given.names
    picked = [i for i, label in enumerate(moments.labels) if label[0] in {"variance", "covariance"}]
    sloped = [i for i, label in enumerate(moments.labels) if label[0] == "slope"]
    rows = np.array([at[moments.labels[i][2]] for i in picked], dtype=np.int64)
    columns = np.array([at[moments.labels[i][1]] for i in picked], dtype=np.int64)
    where = np.array([*picked, *sloped], dtype=np.int64)
    slopes = (
        np.array([at[moments.labels[i][1]] for i in sloped], dtype=np.int64),
        np.array([covariates.index(moments.labels[i][2]) for i in sloped], dtype=np.int64),
    )
    given = np.array([at[name] for name in covariates], dtype=np.int64)
    weights = 1.0 / np.diag(moments.gamma)[where]
    return WeightedCovariances(layout, rows, columns, moments.statistics[where], weights, where, given, slopes)


def weighted_vcov(
    part: WeightedCovariances, theta: FloatArray, first: FirstStep, moments: OrdinalMoments, robust: bool
) -> FloatArray:
    """Covariance of all parameters, E⁻¹ Δᵀ W Γ W Δ E⁻¹ / (n - 1) (or E⁻¹ / (n - 1)).

    `robust` says whether Γ is used, the asymptotic covariance of the statistics.
    """
    jacobian = part.jacobian(theta)
    bread = np.linalg.pinv(jacobian.T @ (part.weights[:, None] * jacobian), hermitian=True)
    reach = np.zeros((len(theta), len(moments.labels)))  # how theta moves with the statistics
    reach[:, part.places] = bread @ (jacobian * part.weights[:, None]).T
    if len(first.theta):
        slopes = first.jacobian(part.layout, theta)
        rest = -slopes @ reach
        rest[np.arange(len(first.theta)), first.statistics] += 1.0
        reach[first.theta] = np.linalg.solve(slopes[:, first.theta], rest)
    gamma = moments.gamma if robust else np.diag(np.diag(moments.gamma))
    return np.asarray(reach @ gamma @ reach.T / (moments.n - 1))


def weighted_indices(
    part: WeightedCovariances, theta: FloatArray, moments: OrdinalMoments, n_free: int
) -> dict[str, float]:
    """Test and indices: scaled and shifted (Asparouhov & Muthén 2010), robust ones by normal-theory misfit.

    Asparouhov & Muthén (2010), Simple second order chi-square correction; Savalei (2021),
    doi 10.1080/00273171.2020.1717922 (robust CFI and RMSEA).
    """
    n, total = moments.n, len(moments.labels)
    df = total - n_free
    gamma = moments.gamma[np.ix_(part.places, part.places)]
    jacobian = part.jacobian(theta)
    chisq = 2 * (n - 1) * part.value(theta)
    # the baseline has the variances of continuous items and the slopes on covariates, no covariances
    kept = np.append(part.rows == part.columns, np.ones(len(part.slopes[0]), dtype=bool))
    off = ~kept
    base_chisq = float((n - 1) * (part.weights * part.statistics**2)[off].sum())
    base_df = int(off.sum())
    keep = np.diag(kept.astype(float))[:, kept]
    found: dict[str, float] = {}
    if df > 0:
        own, base = (_traces(part.weights, gamma, slopes) for slopes in (jacobian, keep))
        shifts = [_shifted(x, d, *traces) for x, d, traces in ((chisq, df, own), (base_chisq, base_df, base))]
        (stat, factor), (base_stat, base_factor) = shifts
        scaled = Correction(chisq, base_chisq, factor, base_factor)
        robust = None if kept.any() else _normal_misfit(part, theta, gamma, jacobian, n, df, base_df)
        tested = Tested(chisq, df, base_chisq, base_df, n - 1, 1, scaled, (stat, base_stat), robust)
        found = tested_indices(tested)
    else:
        found = tested_indices(Tested(chisq, df, base_chisq, base_df, n - 1))
    return found | {"srmr": _srmr(part, theta, moments), "n": float(n)}


def _srmr(part: WeightedCovariances, theta: FloatArray, moments: OrdinalMoments) -> float:
    """Root mean square of residual correlations (given covariates: of what these leave; they count as variables).

    Variances are counted as fitted, as in lavaan.
    """
    p, every, count = len(moments.names), len(part.layout.items), len(part.rows)
    spread = np.ones(every)
    spread[[part.layout.items.index(name) for name in moments.names]] = np.sqrt(moments.variance)
    away = (part.statistics - part.implied(implied(part.layout, theta)))[:count]
    rest = (away / (spread[part.rows] * spread[part.columns]))[part.rows != part.columns] ** 2
    return float(np.sqrt(rest.sum() / (p * (p - 1) / 2 + every)))


def _traces(weights: FloatArray, gamma: FloatArray, jacobian: FloatArray) -> tuple[float, float]:
    """tr(U Γ) and tr((U Γ)²), U = W - W Δ (Δᵀ W Δ)⁻¹ Δᵀ W."""
    weighted = weights[:, None] * jacobian
    residual = np.diag(weights)
    if jacobian.shape[1]:
        residual = residual - weighted @ np.linalg.pinv(jacobian.T @ weighted, hermitian=True) @ weighted.T
    product = residual @ gamma
    return float(np.trace(product)), float((product * product.T).sum())


def _shifted(chisq: float, df: int, trace: float, square: float) -> tuple[float, float]:
    """The statistic with the mean and variance of a chi-square, and 1 / its slope."""
    slope = np.sqrt(df / square)
    return float(slope * chisq + df - slope * trace), float(1.0 / slope)


def _normal_misfit(
    part: WeightedCovariances,
    theta: FloatArray,
    gamma: FloatArray,
    jacobian: FloatArray,
    n: float,
    df: int,
    base_df: int,
) -> Correction | None:
    """n·F_ML of the polychoric correlations at the weighted estimate, with what it is expected to be."""
    p = len(part.layout.items)
    observed, expected = np.eye(p), implied(part.layout, theta).sigma.copy()
    observed[part.rows, part.columns] = observed[part.columns, part.rows] = part.statistics
    np.fill_diagonal(expected, 1.0)
    if min(np.linalg.eigvalsh(observed)[0], np.linalg.eigvalsh(expected)[0]) <= 0:
        return None  # polychoric correlations need not be positive definite: no such index then
    weighted = part.weights[:, None] * jacobian
    solved = np.linalg.pinv(jacobian.T @ weighted, hermitian=True)
    bent = np.eye(len(part.rows)) - jacobian @ solved @ weighted.T
    found = []
    i, j = part.rows, part.columns
    for matrix, turn, freedom in ((expected, bent, df), (np.eye(p), None, base_df)):
        inverse = np.linalg.inv(matrix)
        weight = inverse[i][:, i] * inverse[j][:, j] + inverse[i][:, j] * inverse[j][:, i]  # normal theory
        gap = np.linalg.slogdet(matrix)[1] - np.linalg.slogdet(observed)[1]
        chisq = n * float(gap + (inverse * observed).sum() - p)
        turned = weight if turn is None else turn.T @ weight @ turn
        found.append((chisq, float((turned * gamma).sum()) / freedom))
    (chisq, factor), (base, base_factor) = found
    return Correction(chisq, base, factor, base_factor)


@dataclass(frozen=True, slots=True)
class FirstStep:
    """Where thresholds and means stand.

    A threshold's statistic is the threshold less the mean that the causes give its item; a mean's is the implied mean.
    Both are taken where all covariates are 0, if there are any.
    """

    theta: IntArray  # (m,) places in theta
    statistics: IntArray  # (m,) places among the statistics
    item: IntArray  # (m,) places of the items
    threshold: BoolArray  # (m,) whether it is a threshold
    given: IntArray  # (q,) places of the covariates among the items
    mean: FloatArray  # (q,) their means, in units of the scale

    def _means(self, at: Implied) -> FloatArray:
        """(p,) implied means, all covariates being 0."""
        return at.mu - conditioned(at.sigma, self.given).slopes @ self.mean if len(self.given) else at.mu

    def jacobian(self, layout: Layout, theta: FloatArray) -> FloatArray:
        """(m, n_free) derivatives of the statistics."""
        at = implied(layout, theta)
        by_sigma, by_mu = moment_jacobian(layout, at)
        if len(self.given):
            _, by_slopes = conditioned(at.sigma, self.given).jacobian(by_sigma)
            by_mu = by_mu - np.einsum("ikr,k->ir", by_slopes, self.mean)
        found = (by_mu @ layout.link)[self.item]
        found[self.threshold] *= -1.0
        cuts = np.flatnonzero(self.threshold)
        found[cuts, self.theta[cuts]] += 1.0
        return np.asarray(found)

    def solved(self, layout: Layout, theta: FloatArray, statistics: FloatArray) -> FloatArray:
        """Theta with the thresholds and means that give these statistics; they enter linearly, so one step is exact."""
        if not len(self.theta):
            return theta
        found = theta.copy()
        found[self.theta] = 0.0
        mu = self._means(implied(layout, found))[self.item]
        here = np.where(self.threshold, -mu, mu)
        own = self.jacobian(layout, found)[:, self.theta]
        found[self.theta] = np.linalg.solve(own, statistics[self.statistics] - here)
        return found


def first_step_of(model: RoxModel, table: ParameterTable, moments: OrdinalMoments) -> FirstStep:
    """Find thresholds and means in the table and among the statistics."""
    at, known = {label: i for i, label in enumerate(moments.labels)}, moments.given
    items = {item.name: i for i, item in enumerate(model.items)}
    theta, statistics, item, threshold = [], [], [], []
    for row in table:
        if not row.free or row.kind not in {"threshold", "intercept"}:
            continue
        # an observed construct bears the mean of its item
        name = model.find(row.left).item_names[0] if row.left in model.names and row.kind == "intercept" else row.left
        theta.append(row.free - 1)
        item.append(items[name])
        threshold.append(row.kind == "threshold")
        statistics.append(at["threshold", name, row.right] if row.kind == "threshold" else at["mean", name, ""])
    return FirstStep(
        np.array(theta, dtype=np.int64),
        np.array(statistics, dtype=np.int64),
        np.array(item, dtype=np.int64),
        np.array(threshold, dtype=bool),
        np.array([items[name] for name in (() if known is None else known.names)], dtype=np.int64),
        np.empty(0) if known is None else known.mean,
    )

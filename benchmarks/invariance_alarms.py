"""How often `rox.invariance` raises an alarm, where groups answer alike and where they do not.

    python benchmarks/invariance_alarms.py [repetitions] [rows a group ...]

Each world has two groups of one size, one construct and some items; the groups differ in its mean and variance, as
groups do (alphas are those of the first). Alike: loadings and intercepts are equal. Otherwise one loading is .3 lower,
or one intercept .4 points higher (items spread by 1.0 to 1.6 points), in the second group. All worlds are fitted at
once by Fisher scoring; the first is held against `rox.invariance`. Printed for each step, and for any of them: the
share of worlds whose verdict is not "holds" (± its Monte-Carlo error) by the rule in force, how many of these "fail",
and the same by the fall of indices alone (Chen 2007, doi 10.1080/10705510701301834) and by the test alone.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from scipy.stats import chi2

import roxmodel as rox
from roxmodel.estimate.invariance import verdict_of

LOADINGS = np.array([1.0, 0.9, 0.8, 1.1, 1.0, 0.7])
SHAPES = {"6 items, alpha .91": (6, 0.7), "6 items, alpha .77": (6, 1.2), "4 items, alpha .86": (4, 0.75)}
WORLDS = {"alike": (0.0, 0.0), "loading -.3": (-0.3, 0.0), "intercept +.4": (0.0, 0.4)}
LEVELS = ("configural", "metric", "scalar")
STEPS = 60


def answers(rng: np.random.Generator, count: int, n: int, shape: str, world: str) -> list[np.ndarray]:
    """Two groups, (count, n, p) answers each."""
    p, noise = SHAPES[shape]
    loading, intercept = WORLDS[world]
    found = []
    for second in (0, 1):
        factor = rng.normal(0.3 * second, 1.0 + 0.2 * second, (count, n, 1))
        rows = factor * (LOADINGS[:p] + second * loading * (np.arange(p) == 1)) + 4.0
        rows += noise * rng.normal(size=(count, n, p)) + second * intercept * (np.arange(p) == p - 1)
        found.append(rows)
    return found


def map_of(p: int, level: str) -> tuple[np.ndarray, np.ndarray]:
    """(2, own, k) which parameters a group's loadings, residuals, intercepts, variance and mean are; what is fixed."""
    own = 3 * p + 2
    names: list[tuple[object, ...]] = []
    rows = np.zeros((2, own), dtype=int)
    for group in (0, 1):
        for j in range(own):
            kind, item = ("loading", "residual", "intercept", "rest")[min(j // p, 3)], j % p
            shared = (kind == "loading" and level != "configural") or (kind == "intercept" and level == "scalar")
            fixed = (kind == "loading" and item == 0) or (j == own - 1 and (group == 0 or level != "scalar"))
            name = (kind, j) if shared else (kind, j, group)
            if not fixed and name not in names:
                names.append(name)
            rows[group, j] = -1 if fixed else names.index(name)
    maps = np.zeros((2, own, len(names)))
    for group in (0, 1):
        free = rows[group] >= 0
        maps[group, np.flatnonzero(free), rows[group][free]] = 1.0
    constant = np.zeros(own)
    constant[0] = 1.0
    return maps, constant


def fitted(means: np.ndarray, covariances: np.ndarray, n: int, level: str) -> dict[str, np.ndarray]:
    """chisq, df, srmr of all worlds; means (2, count, p), covariances (2, count, p, p)."""
    _, count, p = means.shape
    maps, constant = map_of(p, level)
    k = maps.shape[2]
    theta = np.zeros((count, k))
    start = np.zeros((2, count, 3 * p + 2))
    variance = np.diagonal(covariances, axis1=2, axis2=3)
    start[..., :p] = 1.0
    start[..., p : 2 * p], start[..., 2 * p : 3 * p] = 0.5 * variance, means
    start[..., -2] = 0.5 * variance[..., 0]
    theta = np.einsum("gjk,gcj->ck", maps, start) / maps.sum(axis=(0, 1))
    for _ in range(STEPS):
        gradient, information = np.zeros((count, k)), np.zeros((count, k, k))
        for g in (0, 1):
            mu, sigma, by_mu, by_sigma = moments(theta @ maps[g].T + constant, p)
            inverse = np.linalg.inv(sigma)
            gap = means[g] - mu
            off = covariances[g] + gap[:, :, None] * gap[:, None, :] - sigma
            left = inverse @ off @ inverse
            own = 0.5 * np.einsum("cij,cija->ca", left, by_sigma) + np.einsum("ci,cij,cja->ca", gap, inverse, by_mu)
            turned = np.einsum("cij,cjka,ckl->cila", inverse, by_sigma, inverse, optimize=True)
            inside = 0.5 * np.einsum("cila,cilb->cab", turned, by_sigma, optimize=True)
            inside += np.einsum("cia,cij,cjb->cab", by_mu, inverse, by_mu, optimize=True)
            gradient += own @ maps[g]
            information += maps[g].T @ inside @ maps[g]
        step = np.linalg.solve(information, gradient[..., None])[..., 0]
        theta = theta + step * np.minimum(1.0, 2.0 / np.abs(step).max(axis=1, keepdims=True).clip(1e-12))
        if np.abs(step).max() < 1e-8:
            break
    chisq, squares = np.zeros(count), np.zeros(count)
    for g in (0, 1):
        mu, sigma, _, _ = moments(theta @ maps[g].T + constant, p)
        gap = means[g] - mu
        inverse = np.linalg.inv(sigma)
        ratio = np.linalg.slogdet(sigma)[1] - np.linalg.slogdet(covariances[g])[1]
        chisq += n * (ratio + np.einsum("cij,cji->c", inverse, covariances[g]) - p)
        chisq += n * np.einsum("ci,cij,cj->c", gap, inverse, gap)
        squares += 0.5 * residual(means[g], covariances[g], mu, sigma)
    return {"chisq": chisq, "df": np.full(count, p * (p + 3) - k), "srmr": squares}


def moments(own: np.ndarray, p: int) -> tuple[np.ndarray, ...]:
    """Implied mean, covariance, and their derivatives by a group's own parameters."""
    lam, theta, nu, phi, kappa = own[:, :p], own[:, p : 2 * p], own[:, 2 * p : 3 * p], own[:, -2], own[:, -1]
    eye = np.eye(p)
    sigma = phi[:, None, None] * lam[:, :, None] * lam[:, None, :] + theta[:, :, None] * eye
    by_mu = np.zeros((len(own), p, own.shape[1]))
    by_sigma = np.zeros((len(own), p, p, own.shape[1]))
    for j in range(p):
        by_mu[:, j, j], by_mu[:, j, 2 * p + j] = kappa, 1.0
        by_sigma[:, j, :, j] += phi[:, None] * lam
        by_sigma[:, :, j, j] += phi[:, None] * lam
        by_sigma[:, j, j, p + j] = 1.0
    by_mu[:, :, -1] = lam
    by_sigma[..., -2] = lam[:, :, None] * lam[:, None, :]
    return nu + lam * kappa[:, None], sigma, by_mu, by_sigma


def residual(mean: np.ndarray, covariance: np.ndarray, mu: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """SRMR of one group (Bentler): standardised by observed deviations, means included."""
    p = mean.shape[1]
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    rows, columns = np.tril_indices(p)
    off = (covariance - sigma) / (sd[:, :, None] * sd[:, None, :])
    total = (off[:, rows, columns] ** 2).sum(axis=1) + (((mean - mu) / sd) ** 2).sum(axis=1)
    return np.asarray(np.sqrt(total / (p * (p + 3) / 2)))


def tables(rows: list[np.ndarray]) -> dict[str, pd.DataFrame]:
    """By level: chisq, df, cfi, rmsea, srmr of every world."""
    n = rows[0].shape[1]
    means = np.stack([group.mean(axis=1) for group in rows])
    covariances = np.stack(
        [np.einsum("cni,cnj->cij", d, d) / n for d in (group - group.mean(axis=1, keepdims=True) for group in rows)]
    )
    p = means.shape[2]
    spread = np.log(np.diagonal(covariances, axis1=2, axis2=3)).sum(axis=2) - np.linalg.slogdet(covariances)[1]
    base, base_df = n * spread.sum(axis=0), p * (p - 1)
    found = {}
    for level in LEVELS:
        own = fitted(means, covariances, n, level)
        excess = np.maximum(own["chisq"] - own["df"], 0.0)
        cfi = 1 - excess / np.maximum(np.maximum(base - base_df, excess), 1e-12)
        rmsea = np.sqrt(2 * excess / (own["df"] * 2 * n))
        found[level] = pd.DataFrame({**own, "cfi": cfi, "rmsea": rmsea})
    return found


def judged(found: dict[str, pd.DataFrame], level: str, n: int) -> pd.DataFrame:
    """Differences to the level before, and verdicts."""
    before = found[LEVELS[LEVELS.index(level) - 1]]
    rows = (found[level] - before)[["cfi", "rmsea", "srmr", "chisq", "df"]].add_suffix("_diff").assign(level=level)
    rows["pvalue"] = chi2.sf(rows["chisq_diff"], rows["df_diff"])
    records = rows.to_dict("records")
    rows["verdict"] = [verdict_of(row, 2 * n, 0.05 / 2) for row in records]
    rows["alone"] = [verdict_of({**row, "pvalue": np.nan}, 2 * n) for row in records]
    return rows


def check(rows: list[np.ndarray], found: dict[str, pd.DataFrame]) -> None:
    """The first world against `rox.invariance`."""
    p = rows[0].shape[2]
    names = [f"x{i}" for i in range(p)]
    frame = pd.concat([pd.DataFrame(group[0], columns=names).assign(g=i) for i, group in enumerate(rows)])
    table = rox.invariance(rox.RoxModel.from_lavaan(f"f =~ {' + '.join(names)}"), frame, group="g").table()
    for name in ("chisq", "df", "cfi", "rmsea", "srmr"):
        np.testing.assert_allclose([found[level][name][0] for level in LEVELS], table[name], atol=1e-4)


def main() -> None:
    """Print the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    sizes = [int(size) for size in sys.argv[2:]] or [80, 150, 300, 1000]
    print(f"{'items':20}{'second group':16}{'rows':>5} {'step':8}{'alarm':>15}{'fails':>8}{'indices':>9}{'p<.025':>8}")
    for shape in SHAPES:
        for world in WORLDS:
            for n in sizes:
                rng = np.random.default_rng([n, *map(ord, shape + world)])
                rows = answers(rng, repetitions, n, shape, world)
                found = tables(rows)
                check(rows, found)
                steps = {level: judged(found, level, n) for level in LEVELS[1:]}
                shares = {
                    level: pd.DataFrame(
                        {
                            "alarm": own["verdict"] != "holds",
                            "fails": own["verdict"] == "fails",
                            "indices": own["alone"] != "holds",
                            "test": own["pvalue"] < 0.05 / 2,
                        }
                    )
                    for level, own in steps.items()
                }
                shares["any"] = shares["metric"] | shares["scalar"]
                for level, own in shares.items():
                    share = own.mean()
                    error = np.sqrt(share["alarm"] * (1 - share["alarm"]) / len(own))
                    words = "".join(f"{share[name]:8.3f}" for name in ("fails", "indices", "test"))
                    print(f"{shape:20}{world:16}{n:5} {level:8}{share['alarm']:8.3f} ±{error:.3f}{words}", flush=True)


if __name__ == "__main__":
    main()

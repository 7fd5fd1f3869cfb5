"""Teams inside units: sums, what they say of the covariance between teams, the sampling error of unit means."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from roxmodel.errors import DataError
from roxmodel.moments.condense import Design
from roxmodel.moments.linked import SourceMoments, mean_noise, team_covariance

ITEMS = ["a", "b", "c"]


def _answers(seed: int, sizes: list[list[int]], holes: float = 0.0, weights: bool = False):
    """Rows of units with teams of these sizes: columns, codes, teams, weights."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), [sum(own) for own in sizes])
    team = np.concatenate([np.repeat(np.arange(len(own)), own) for own in sizes])
    name = np.unique(codes * 100 + team, return_inverse=True)[1]
    values = rng.standard_normal((len(codes), 3)) + rng.standard_normal((name.max() + 1, 3))[name]
    values = values @ np.array([[1, 0.5, 0.2], [0, 1, 0.3], [0, 0, 1.0]]) + rng.standard_normal((len(sizes), 3))[codes]
    values[rng.random(values.shape) < holes] = np.nan
    weight = rng.uniform(0.5, 2.0, len(codes)) if weights else None
    order = rng.permutation(len(codes))
    return values[order], codes[order], team[order], None if weight is None else weight[order]


def _moments(values, codes, team, weight=None, units=None) -> SourceMoments:
    count = int(codes.max()) + 1
    design = Design(codes, list(range(count)) if units is None else units, weight, team=team)
    return SourceMoments.from_columns("employee", ITEMS, list(values.T.copy()), design)


def test_balanced_teams_make_the_closed_form() -> None:
    """T teams of m: the sampling error is (m Σ_team + Σ_person) / (m T), and both are those of a nested ANOVA."""
    units, teams, m = 12, 4, 5
    values, codes, team, _ = _answers(1, [[m] * teams] * units)
    own = _moments(values, codes, team)
    by = np.array([[values[(codes == j) & (team == t)].mean(0) for t in range(teams)] for j in range(units)])
    inside = sum(np.cov(values[(codes == j) & (team == t)].T) * (m - 1) for j in range(units) for t in range(teams)) / (
        units * teams * (m - 1)
    )
    squares = sum(m * np.cov(by[j].T) * (teams - 1) for j in range(units)) / (units * (teams - 1))
    between = (squares - inside) / m
    assert own.between_teams()[0] == pytest.approx(between, rel=1e-10)
    assert own.within_covariance == pytest.approx(between + inside, rel=1e-10)
    noise = mean_noise(own, own.within_covariance)
    assert noise[0] == pytest.approx((between + inside / m) / teams, rel=1e-9)
    assert noise[0] == pytest.approx(squares / (m * teams), rel=1e-9)  # the ultimate-cluster estimate


def test_unequal_teams_are_unbiased() -> None:
    """Over many draws the covariances are the true ones, and the sampling error that of unit means."""
    sizes = [[1, 2, 6], [4, 4, 3], [9], [2, 2, 2, 2, 5], [1, 1, 7, 3]]
    root = np.array([[1, 0.5, 0.2], [0, 1, 0.3], [0, 0, 1.0]])
    truth = root.T @ root
    found = np.array([_moments(*_answers(seed, sizes)[:3]).between_teams()[0] for seed in range(250)])
    assert np.abs(found.mean(0) - truth).max() < 4.5 * found.std(0).max() / np.sqrt(len(found))
    own = _moments(*_answers(0, sizes)[:3])
    noise = mean_noise(own, 2 * truth, team=truth)
    for j, unit in enumerate(sizes):
        n = np.array(unit, float)
        assert noise[j] == pytest.approx(truth * (n**2).sum() / n.sum() ** 2 + truth / n.sum())


@pytest.mark.parametrize("weights", [False, True])
def test_holes_and_weights_by_brute_force(weights: bool) -> None:
    """Pair by pair: people who answered both, their teams, their weights."""
    values, codes, team, weight = _answers(3, [[3, 4, 5], [2, 6], [5, 5, 4]], 0.2, weights)
    own = _moments(values, codes, team, weight)
    w = np.ones(len(codes)) if weight is None else weight
    a, b = 0, 2
    inside = total = spare_in = spare = room = 0.0

    def parts(rows: np.ndarray) -> tuple[float, float, float]:
        both = rows & ~np.isnan(values[:, a]) & ~np.isnan(values[:, b])
        u, x, y = w[both], values[both, a], values[both, b]
        if len(u) < 2:
            return 0.0, 0.0, u.sum()
        cross = (u * (x - np.average(x, weights=u)) * (y - np.average(y, weights=u))).sum()
        return float(cross), float(u.sum() - (u**2).sum() / u.sum()), float(u.sum())

    cross_at = np.zeros(3)
    for j in range(3):
        s, d, whole = parts(codes == j)
        total, spare = total + s, spare + d
        squares = 0.0
        for t in np.unique(team[codes == j]):
            rows = (codes == j) & (team == t)
            s, d, part = parts(rows)
            inside, spare_in, squares = inside + s, spare_in + d, squares + part**2
            cross_at[j] += w[rows & ~np.isnan(values[:, a])].sum() * w[rows & ~np.isnan(values[:, b])].sum()
        room += whole - squares / whole
        cross_at[j] /= w[(codes == j) & ~np.isnan(values[:, a])].sum()
        cross_at[j] /= w[(codes == j) & ~np.isnan(values[:, b])].sum()
    person = inside / spare_in
    expected = (total - inside - (spare - spare_in) * person) / room
    assert own.between_teams()[0][a, b] == pytest.approx(expected, rel=1e-9)
    assert own.teams is not None
    assert own.teams.share(own.weight)[:, a, b] == pytest.approx(cross_at, rel=1e-9)


def test_parts_merge_to_the_whole_in_any_order() -> None:
    values, codes, team, weight = _answers(5, [[3, 4], [2, 6, 1], [5, 5], [4, 4, 4]], 0.1, True)
    whole = _moments(values, codes, team, weight)
    pieces = []
    for teams in ((0,), (1,), (2,)):  # each team lies whole in one part
        rows = np.isin(team, teams)
        pieces.append(_moments(values[rows], codes[rows], team[rows], weight[rows], list(range(4))))
    one = (pieces[0] + pieces[1]) + pieces[2]
    other = pieces[2] + (pieces[1] + pieces[0])
    for merged in (one, other, pickle.loads(pickle.dumps(one))):
        assert merged.teams is not None
        assert whole.teams is not None
        for got, want in zip(merged.teams.arrays, whole.teams.arrays, strict=True):
            assert np.broadcast_to(got, np.broadcast_shapes(got.shape, want.shape)) == pytest.approx(
                np.broadcast_to(want, np.broadcast_shapes(got.shape, want.shape)), rel=1e-9, abs=1e-9
            )
        assert mean_noise(merged, merged.within_covariance) == pytest.approx(
            mean_noise(whole, whole.within_covariance), rel=1e-9, abs=1e-12
        )


def test_some_items_turned_items_and_units_in_another_order() -> None:
    values, codes, team, _ = _answers(6, [[3, 4], [2, 6], [5, 5]])
    own = _moments(values, codes, team, units=["c", "a", "b"])
    plain = _moments(values, codes, team)
    assert own.units == ("a", "b", "c")
    assert mean_noise(own, np.eye(3))[2] == pytest.approx(mean_noise(plain, np.eye(3))[0])
    turned = plain.affine([1, -1, 1], [0, 6, 0]).select(["b", "c"])
    sign = np.array([-1, 1])
    assert turned.between_teams()[0] == pytest.approx(plain.between_teams()[0][1:, 1:] * np.outer(sign, sign))


def test_people_without_a_team_stand_alone() -> None:
    values, codes, _, _ = _answers(7, [[3, 4], [2, 6]])
    alone = _moments(values, codes, np.full(len(codes), -1))
    plain = SourceMoments.from_columns("employee", ITEMS, list(values.T.copy()), Design(codes, [0, 1]))
    assert mean_noise(alone, plain.within_covariance) == pytest.approx(mean_noise(plain, plain.within_covariance))


def test_no_variance_falls_below_zero() -> None:
    """People of a team who differ more than chance leave a positive sampling error."""
    values, codes, team, _ = _answers(8, [[2, 2, 2]] * 6)
    for j in range(6):  # both of a team answer in opposite ways
        for t in range(3):
            rows = np.flatnonzero((codes == j) & (team == t))
            values[rows[1]] = -values[rows[0]]
    own = _moments(values, codes, team)
    noise = mean_noise(own, own.within_covariance)
    assert np.linalg.eigvalsh(noise).min() > 0
    assert (np.diag(team_covariance(own, own.within_covariance)) < 0).all()


def test_finite_units_leave_no_error_where_all_answered() -> None:
    values, codes, team, _ = _answers(9, [[3, 4], [2, 6]])
    own = _moments(values, codes, team).with_eligible([7.0, 16.0])
    noise, endless = mean_noise(own, np.eye(3)), mean_noise(_moments(values, codes, team), np.eye(3))
    assert noise[0] == pytest.approx(np.zeros((3, 3)), abs=1e-12)
    assert noise[1] == pytest.approx(endless[1] / 2, rel=1e-9)


def test_parts_with_and_without_teams_do_not_merge() -> None:
    values, codes, team, _ = _answers(9, [[3, 4], [2, 6]])
    plain = SourceMoments.from_columns("employee", ITEMS, list(values.T.copy()), Design(codes, [0, 1]))
    with pytest.raises(DataError, match="team="):
        plain + _moments(values, codes, team)

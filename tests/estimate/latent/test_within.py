"""The covariance of answers within units: pooled, by REML where answers are missing, pair by pair elsewhere."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import roxmodel as rox
from roxmodel.errors import DataError, EstimationError
from roxmodel.estimate.latent.sample import reweighted
from roxmodel.estimate.latent.within import within_of
from roxmodel.moments.cells import Cells
from roxmodel.moments.condense import Design
from roxmodel.moments.linked import SourceMoments, mean_noise

EXACT = 1e-10  # algebra in double precision
SOLVED = 1e-6  # an iteration that stops at changes of 1e-8


def rows_of(units=12, p=3, seed=0, holes=0.0, sizes=(2, 7)):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(units), rng.integers(*sizes, size=units))
    answers = rng.normal(size=(units, p))[codes] + rng.normal(size=(len(codes), 1)) + rng.normal(size=(len(codes), p))
    answers = answers * np.array([1, 0.8, 1.3, 1, 1])[:p] + 4
    answers[rng.random(answers.shape) < holes] = np.nan
    there = ~np.isnan(answers).all(axis=1)
    return answers[there], codes[there]


def both(answers, codes, units=None, **design):
    names = [f"i{k}" for k in range(answers.shape[1])]
    own = Design(codes=codes, units=list(range(codes.max() + 1)) if units is None else units, **design)
    moments = SourceMoments.from_columns("employee", names, list(answers.T), own)
    plain = replace(own, weight=None) if own.weight is not None else own
    return moments, Cells.from_columns(names, list(answers.T), plain)


def restricted_loglik(answers, codes, sigma):
    """Log density of all answers with the levels of the units integrated out over a flat prior, up to a constant."""
    total = 0.0
    for unit in np.unique(codes):
        own = answers[codes == unit]
        known = ~np.isnan(own).all(axis=0)
        y, design, blocks = [], [], []
        for row in own:
            there = np.flatnonzero(~np.isnan(row))
            y.append(row[there])
            design.append(np.eye(len(row))[there][:, known])
            blocks.append(sigma[np.ix_(there, there)])
        size = sum(map(len, y))
        covariance, at = np.zeros((size, size)), 0
        for block in blocks:
            covariance[at : at + len(block), at : at + len(block)] = block
            at += len(block)
        y, design = np.concatenate(y), np.concatenate(design)
        inverse = np.linalg.inv(covariance)
        precision = design.T @ inverse @ design
        rest = y - design @ np.linalg.solve(precision, design.T @ inverse @ y)
        logdet = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(precision)[1]
        total -= (logdet + rest @ inverse @ rest) / 2
    return total


# --- complete answers


@pytest.mark.parametrize("p", [1, 3, 5])
def test_complete_answers_are_pooled(p):
    answers, codes = rows_of(p=p)
    moments, _ = both(answers, codes)
    found = within_of(moments, None)
    frame = pd.DataFrame(answers)
    rest = frame - frame.groupby(codes).transform("mean")
    df = len(frame) - len(np.unique(codes))
    np.testing.assert_allclose(found.covariance, rest.T @ rest / df, rtol=EXACT)
    assert found.df == df
    assert not found.assumed
    assert found.notes == ()


def test_reml_of_complete_answers_is_the_pooled_covariance():
    answers, codes = rows_of()
    moments, cells = both(answers, codes)
    pooled, found = within_of(moments, None), within_of(moments, cells)
    np.testing.assert_allclose(found.covariance, pooled.covariance, rtol=SOLVED)


def test_units_that_count_several_times_are_units_that_occur_again():
    for holes in (0.0, 0.25):
        answers, codes = rows_of(holes=holes, sizes=(3, 8))
        moments, cells = both(answers, codes)
        times = np.array([2, 1, 0, 3, 1, 1, 0, 2, 1, 1, 4, 1.0])
        again = [(answers[codes == j], k) for k, j in enumerate(np.repeat(np.arange(12), times.astype(int)))]
        rows = np.concatenate([a for a, _ in again])
        numbers = np.concatenate([np.full(len(a), k) for a, k in again])
        other, other_cells = both(rows, numbers)
        left = within_of(moments, cells if holes else None, times)
        right = within_of(other, other_cells if holes else None)
        np.testing.assert_allclose(left.covariance, right.covariance, rtol=SOLVED)
        assert left.df == pytest.approx(right.df)
        start = within_of(moments, cells if holes else None)
        from_start = within_of(moments, cells if holes else None, times, start)
        np.testing.assert_allclose(from_start.covariance, right.covariance, rtol=SOLVED)


# --- answers missing


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("holes", [0.1, 0.4])
def test_restricted_likelihood_is_at_its_maximum(seed, holes):
    answers, codes = rows_of(units=12, seed=seed, holes=holes)
    moments, cells = both(answers, codes)
    found = within_of(moments, cells).covariance
    best, rng = restricted_loglik(answers, codes, found), np.random.default_rng(seed)
    for i in range(3):
        for j in range(i + 1):
            move = np.zeros((3, 3))
            move[i, j] = move[j, i] = 1e-4 * np.sqrt(found[i, i] * found[j, j])
            ahead, behind = (restricted_loglik(answers, codes, found + s * move) for s in (1, -1))
            slope, curve = (ahead - behind) / 2e-4, (2 * best - ahead - behind) / 1e-8
            assert curve > 0
            assert abs(slope) < 1e-4 * curve
    for _ in range(20):
        root = np.linalg.cholesky(found) @ (np.eye(3) + 0.2 * np.tril(rng.normal(size=(3, 3))))
        assert restricted_loglik(answers, codes, root @ root.T) <= best + 1e-8


@pytest.mark.parametrize(("seed", "best"), [(1, -14.182), (3, -25.755)])  # by BFGS over Cholesky factors
def test_restricted_likelihood_that_rises_to_the_edge(seed, best):
    """Few answers: some combination of items need not vary within units at all."""
    answers, codes = rows_of(units=10, seed=seed, holes=0.55)
    found = within_of(*both(answers, codes)).covariance
    assert np.linalg.eigvalsh(found)[0] >= 0
    assert restricted_loglik(answers, codes, found + 1e-9 * np.eye(3)) > best - 0.05


def test_order_of_rows_does_not_matter():
    answers, codes = rows_of(units=20, seed=7, holes=0.3)
    order = np.random.default_rng(3).permutation(len(answers))
    one = within_of(*both(answers, codes))
    two = within_of(*both(answers[order], codes[order]))
    np.testing.assert_allclose(two.covariance, one.covariance, rtol=SOLVED)


@pytest.mark.parametrize("units", [1e-9, 1e-6, 1e6, 1e9])
def test_units_of_measurement_do_not_matter(units):
    answers, codes = rows_of(units=20, seed=7, holes=0.3)
    one = within_of(*both(answers, codes)).covariance
    size = np.array([units, 1.0, 1.0])
    two = within_of(*both(answers * size, codes)).covariance
    np.testing.assert_allclose(two / np.outer(size, size), one, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("holes", [0.3, 0.6])
def test_always_positive_semi_definite(seed, holes):
    answers, codes = rows_of(units=5, p=4, seed=seed, holes=holes, sizes=(2, 4))
    moments, cells = both(answers, codes)
    for given in (cells, None):
        try:
            found = within_of(moments, given).covariance
        except EstimationError:  # nobody answered an item twice in a unit
            continue
        assert np.linalg.eigvalsh(found)[0] >= -1e-10 * np.trace(found)


def halves(seed=2, **eligible):
    """Two versions of a questionnaire: items 0 and 1 are asked of different people."""
    answers, codes = rows_of(units=40, seed=seed)
    half = np.arange(len(answers)) % 2 == 0
    answers[half, 0] = np.nan
    answers[~half, 1] = np.nan
    moments, cells = both(answers, codes)
    if eligible:
        moments = moments.with_eligible(np.full(len(moments.units), eligible["people"]))
    return moments, cells


def test_a_pair_that_nobody_answered_together():
    """Means of different people: nothing needs to be assumed of how one person's answers go together."""
    moments, cells = halves()
    found = within_of(moments, cells)
    assert np.linalg.eigvalsh(found.covariance)[0] > 0
    assert found.apart.tolist() == [[False, True, False], [True, False, False], [False, False, False]]
    assert not found.assumed
    assert not any("assumed for" in note for note in found.notes)
    noise = mean_noise(moments, found.covariance)
    assert (noise[:, 0, 1] == 0).all()
    s = found.covariance
    assert s[0, 1] == pytest.approx(s[0, 2] * s[2, 1] / s[2, 2], rel=1e-6)  # what the third item explains


def test_reml_of_a_pair_that_nobody_answered_together():
    """The restricted likelihood written out with one matrix of all answers, maximised by another program."""
    moments, cells = halves()
    found = within_of(moments, cells).covariance
    answers, codes = rows_of(units=40, seed=2)
    half = np.arange(len(answers)) % 2 == 0
    answers[half, 0], answers[~half, 1] = np.nan, np.nan
    pairs = [(0, 0), (1, 1), (2, 2), (0, 2), (1, 2)]

    def restricted(values):
        s = np.zeros((3, 3))
        for (a, b), value in zip(pairs, values, strict=True):
            s[a, b] = s[b, a] = value
        s[0, 1] = s[1, 0] = s[0, 2] * s[2, 1] / s[2, 2]
        return -restricted_loglik(answers, codes, s) if np.linalg.eigvalsh(s)[0] > 0 else 1e10

    start = [found[pair] for pair in pairs]
    best = minimize(restricted, np.array(start) * 1.1, method="BFGS")
    np.testing.assert_allclose(start, best.x, rtol=1e-4)
    assert restricted(start) <= best.fun + 1e-7


def test_in_finite_units_a_pair_that_nobody_answered_together_is_assumed():
    """Who answered the one leaves fewer to answer the other: the errors of both means covary."""
    moments, cells = halves(people=30)
    found = within_of(moments, cells)
    assert found.assumed
    assert any("nobody answered both of" in note for note in found.notes)
    noise = mean_noise(moments, found.covariance)
    np.testing.assert_allclose(noise[:, 0, 1], -found.covariance[0, 1] / 30)


def test_a_pair_that_one_person_a_unit_answered_is_in_the_rows():
    answers, codes = rows_of(units=40, seed=2)
    half = np.arange(len(answers)) % 2 == 0
    first = np.append(True, codes[1:] != codes[:-1])
    answers[half & ~first, 0] = np.nan
    answers[~half & ~first, 1] = np.nan
    found = within_of(*both(answers, codes))
    assert found.apart is None
    assert not found.assumed
    assert np.linalg.eigvalsh(found.covariance)[0] > 0


@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_an_item_that_does_not_vary_within_units(holes):
    answers, codes = rows_of(units=15, seed=1, holes=holes)
    answers[:, 0] = np.where(np.isnan(answers[:, 0]), np.nan, codes.astype(float))
    moments, cells = both(answers, codes)
    found = within_of(moments, cells if holes else None).covariance
    np.testing.assert_allclose(found[0], 0.0, atol=1e-9)
    assert (np.diag(found)[1:] > 0).all()


@pytest.mark.parametrize("holes", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["duplicate", "sum"])
def test_items_that_determine_each_other(holes, kind):
    answers, codes = rows_of(units=15, seed=1, holes=holes)
    answers[:, 2] = answers[:, 1] if kind == "duplicate" else answers[:, 0] + answers[:, 1]
    moments, cells = both(answers, codes)
    found = within_of(moments, cells if holes else None).covariance
    assert np.linalg.eigvalsh(found)[0] == pytest.approx(0.0, abs=1e-2 * np.trace(found))


# --- without rows, or with sampling weights


def pair_by_pair(answers, codes, weight=None):
    weight = np.ones(len(answers)) if weight is None else weight
    p = answers.shape[1]
    top, bottom = np.zeros((p, p)), np.zeros((p, p))
    for unit in np.unique(codes):
        for a in range(p):
            for b in range(p):
                at = (codes == unit) & ~np.isnan(answers[:, [a, b]]).any(axis=1)
                w, y = weight[at], answers[at][:, [a, b]]
                if at.sum() < 2:
                    continue
                rest = y - w @ y / w.sum()
                top[a, b] += w @ (rest[:, 0] * rest[:, 1])
                bottom[a, b] += w.sum() - (w**2).sum() / w.sum()
    return top / bottom


@pytest.mark.parametrize("weighted", [False, True])
def test_pair_by_pair(weighted):
    answers, codes = rows_of(units=25, seed=4, holes=0.2, sizes=(3, 9))
    weight = np.random.default_rng(0).uniform(0.5, 2, len(answers)) if weighted else None
    moments, _ = both(answers, codes, weight=weight)
    found = within_of(moments, None)
    np.testing.assert_allclose(found.covariance, pair_by_pair(answers, codes, weight), rtol=EXACT)
    assert any("pair by pair" in note for note in found.notes)
    counts = pd.DataFrame(answers).groupby(codes).count().to_numpy()
    assert found.df == pytest.approx(np.maximum(counts - 1, 0).sum(axis=0).mean())  # raw counts, weights or not


def test_complete_answers_with_weights():
    answers, codes = rows_of(units=25, seed=4)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(answers))
    found = within_of(both(answers, codes, weight=weight)[0], None)
    np.testing.assert_allclose(found.covariance, pair_by_pair(answers, codes, weight), rtol=EXACT)
    assert found.df == len(answers) - 25


def aggregated(answers, codes, **printed):
    names = [f"i{k}" for k in range(answers.shape[1])]
    groups = pd.DataFrame(answers, columns=names).groupby(codes)
    frame = groups.mean().assign(n=groups.size()).rename_axis("key").reset_index()
    for name in names:
        frame[f"v_{name}"] = groups[name].var().fillna(0.0).to_numpy()
    model = rox.RoxModel(
        name="one", constructs=[rox.Construct(name="pride", factor="pride", source="employee", items=names)]
    )
    if "variance" in printed:
        printed["variance"] = {name: f"v_{name}" for name in names}
    study = rox.Study(model, employee=rox.Aggregated(frame, n="n", **printed), by="key")
    return study.moments.source("employee")


def test_printed_variances_leave_correlations_to_assume():
    answers, codes = rows_of(sizes=(1, 6))
    moments, _ = both(answers, codes)
    sd = np.sqrt(np.diag(within_of(moments, None).covariance))
    groups = np.array([0, 0, 1])
    found = within_of(aggregated(answers, codes, variance=True), None, groups=groups)
    np.testing.assert_allclose(np.diag(found.covariance), sd**2, rtol=EXACT)
    correlation = found.covariance / np.outer(sd, sd)
    assert correlation[0, 1] > correlation[0, 2] > 0
    assert correlation[0, 2] == pytest.approx(correlation[1, 2])
    assert found.assumed
    assert any(f"{correlation[0, 1]:g} was assumed" in note for note in found.notes)
    one = found.with_correlations(1.0, 0.5, groups)
    np.testing.assert_allclose(one / np.outer(sd, sd), [[1, 1, 0.5], [1, 1, 0.5], [0.5, 0.5, 1]], rtol=EXACT)


def test_what_was_assumed_is_assumed_of_every_replicate(tiny):
    """Units that count once each: the covariance within units is the one before."""
    model, (staff, *rest) = tiny.model(3), tiny.frames(20, 3, sizes=(4, 9))
    one = staff.assign(e1=staff["e1"].where(staff.index % 2 == 0), e2=staff["e2"].where(staff.index % 2 == 1))
    printed = staff.groupby("key")[["e1", "e2", "e3"]].mean().assign(n=20.0, v=2.0).reset_index()
    means = rox.Aggregated(printed, n="n", variance={"e1": "v", "e2": "v", "e3": "v"})
    across = model.replace(
        constructs=(
            model.constructs[0].replace(items=["e1", "e2"]),
            rox.Construct(name="mood", factor="context", source="employee", items=["e3"]),
            *model.constructs[1:],
        )
    )
    people = one.groupby("key").size().rename("people").reset_index()
    finite = (one, rest[0], rest[1].merge(people.assign(people=40), on="key"))
    for m, frames, how in ((across, (means, *rest), {}), (model, finite, {"eligible": {"employee": "people"}})):
        sample = tiny.sample(m, tiny.study(m, frames, **how))
        assert sample.sources[0].within.assumed
        again = reweighted(sample, np.ones(sample.n))
        np.testing.assert_allclose(again.noise, sample.data.noise, rtol=1e-6, atol=1e-9)


def test_a_printed_covariance_is_taken_as_it_is():
    answers, codes = rows_of()
    moments, _ = both(answers, codes)
    known = within_of(moments, None).covariance
    found = within_of(aggregated(answers, codes, covariance=known), None)
    np.testing.assert_allclose(found.covariance, known, rtol=EXACT)
    assert not found.assumed


# --- refused


def test_nothing_printed_about_the_variance():
    answers, codes = rows_of()
    with pytest.raises(DataError, match=r"'i0', 'i1', 'i2'.*variance="):
        within_of(aggregated(answers, codes), None)


def test_nobody_answers_beside_another():
    answers, codes = rows_of(sizes=(1, 2))
    with pytest.raises(EstimationError, match="No unit has two answers"):
        within_of(both(answers, codes)[0], None)
    answers, codes = rows_of(sizes=(2, 5))
    first = pd.Series(codes).duplicated().to_numpy()
    answers[first, 1] = np.nan
    with pytest.raises(EstimationError, match="two answers to 'i1'"):
        within_of(*both(answers, codes))

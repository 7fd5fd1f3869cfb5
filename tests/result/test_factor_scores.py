"""Factor scores against lavaan, against the definition, and for people who answered little or nothing."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import DataError, EstimationError, RoxError
from roxmodel.result.latent import latent_groups

# the rows of the reference cases miss their model by design, and a fit says so
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")

CASES = {
    "complete": {},
    "means": {"means": True},
    "holes": {"missing": "fiml"},
    "configural": {"group": "region"},
    "scalar": {"group": "region", "invariance": "scalar"},
    "scalar_holes": {"group": "region", "invariance": "scalar", "missing": "fiml"},
}
CLOSE = {"rtol": 0, "atol": 1e-6}  # both optima are exact to about 1e-8
EXACT = {"rtol": 1e-9, "atol": 1e-10}

COVARIATES = """influencers =~ inf1 + inf2 + inf3 + inf4
pride =~ pri1 + pri2 + pri3 + pri4
influencers ~ tenure + size
pride ~ influencers + tenure"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["regression", "bartlett"])
@pytest.mark.parametrize("name", CASES)
def test_scores_and_errors_are_lavaans(name, method, lavaan, chain_model, chain_rows, holed_rows):
    case, options = lavaan(name), CASES[name]
    rows = holed_rows if "missing" in options else chain_rows
    fit = rox.fit(chain_model, rows, method="sem", **options)
    found = fit.factor_scores(rows, method=method, group=options.get("group"))
    assert len(found) == len(rows)
    for part in case[method]:
        own = found.iloc[np.array(part["row"]) - 1]
        np.testing.assert_allclose(own[part["names"]], np.array(part["score"]), **CLOSE)
        errors = own[[f"{construct}_se" for construct in part["names"]]]
        np.testing.assert_allclose(errors, np.array(part["se"], dtype=float), **CLOSE)


@pytest.fixture(scope="module")
def covariates(chain_rows):
    """Observed causes, exogenous and free, beside latent constructs."""
    return rox.RoxModel.from_lavaan(f"{COVARIATES}\ntenure ~~ tenure + size\nsize ~~ size")


def test_regression_scores_are_the_conditional_mean(covariates, chain_rows):
    """Given observed causes too; lavPredict leaves their covariance with the construct out, so it is no reference."""
    fit = rox.fit(covariates, chain_rows, method="sem", means=True)
    value = dict(zip([row.id for row in fit.table], fit.estimates.value, strict=True))
    (part,) = latent_groups(fit)
    items, k = [item.name for item in covariates.items], len(covariates.names)
    edges = np.zeros((k, k))
    for edge in covariates.edges:
        ends = covariates.names.index(edge.effect), covariates.names.index(edge.cause)
        edges[ends] = value[f"edge:{edge.cause}->{edge.effect}"]
    loadings = np.zeros((len(items), k))
    for row in fit.table.of("loading"):
        loadings[items.index(row.right), covariates.names.index(row.left)] = value[row.id]
    levels = np.linalg.inv(np.eye(k) - edges) @ [value.get(f"intercept:{name}", 0.0) for name in covariates.names]
    with_items = part.at.latent @ loadings.T
    weights = with_items @ np.linalg.inv(part.sigma)
    rows = chain_rows[items].to_numpy()
    wanted = levels + (rows - part.at.mu * part.layout.scale) @ weights.T
    found = fit.factor_scores(chain_rows)
    np.testing.assert_allclose(found[list(covariates.names)], wanted, **EXACT)
    np.testing.assert_allclose(found[["tenure", "size"]], chain_rows[["tenure", "size"]], **EXACT)
    assert (found[["tenure_se", "size_se"]] == 0).all(axis=None)


def test_bartlett_scores_are_weighted_least_squares(covariates, chain_rows):
    fit = rox.fit(covariates, chain_rows, method="sem", means=True)
    value = dict(zip([row.id for row in fit.table], fit.estimates.value, strict=True))
    items = covariates.find("pride").item_names
    lam = np.array([value[f"loading:pride=~{item}"] for item in items])
    theta = np.array([value[f"variance:{item}"] for item in items])
    nu = np.array([value[f"intercept:{item}"] for item in items])
    wanted = (chain_rows[list(items)].to_numpy() - nu) @ (lam / theta) / (lam @ (lam / theta))
    found = fit.factor_scores(chain_rows, method="bartlett")
    np.testing.assert_allclose(found["pride"], wanted, **EXACT)
    np.testing.assert_allclose(found["pride_se"], 1 / np.sqrt(lam @ (lam / theta)), **EXACT)


def test_modelled_means_change_no_score(covariates, chain_rows):
    one, other = (
        rox.fit(covariates, chain_rows, method="sem", means=m).factor_scores(chain_rows) for m in (True, False)
    )
    pd.testing.assert_frame_equal(one, other, atol=1e-6)


def test_scores_of_a_pattern_do_not_depend_on_the_other_rows(chain_model, holed_rows):
    fit = rox.fit(chain_model, holed_rows, method="sem", missing="fiml")
    together = fit.factor_scores(holed_rows)
    shuffled = holed_rows.sample(frac=1.0, random_state=3)
    pd.testing.assert_frame_equal(fit.factor_scores(shuffled), together.loc[shuffled.index], rtol=1e-10)
    for row in (0, 7, 150):
        alone = fit.factor_scores(holed_rows.iloc[[row]])
        pd.testing.assert_frame_equal(alone, together.iloc[[row]], rtol=1e-10)
        answered = holed_rows.iloc[row][[item.name for item in chain_model.items]].dropna().to_dict()
        np.testing.assert_allclose(fit.factor_scores(answered), alone, rtol=1e-10)


def test_somebody_who_answered_nothing(complete, chain_rows):
    empty = chain_rows.iloc[:2].assign(**{item.name: np.nan for item in complete.model.items})
    regression = complete.factor_scores(empty)
    sd = np.sqrt(np.diag(latent_groups(complete)[0].at.latent))
    np.testing.assert_allclose(regression[list(complete.model.names)], 0.0, atol=1e-12)
    np.testing.assert_allclose(regression.filter(like="_se").iloc[0], sd)
    assert complete.factor_scores(empty, method="bartlett").isna().all(axis=None)


def test_bartlett_leaves_out_only_what_the_answers_do_not_tell(complete, chain_rows):
    silent = chain_rows.assign(**dict.fromkeys(complete.model.find("pride").item_names, np.nan))
    found = complete.factor_scores(silent, method="bartlett")
    whole = complete.factor_scores(chain_rows, method="bartlett")
    assert found[["pride", "pride_se"]].isna().all(axis=None)
    others = [name for name in complete.model.names if name != "pride"]
    np.testing.assert_allclose(found[others], whole[others], rtol=1e-9)
    assert complete.factor_scores(silent)["pride"].notna().all()


def test_more_answers_never_make_a_score_less_sure(chain_model, holed_rows, chain_rows):
    fit = rox.fit(chain_model, holed_rows, method="sem", missing="fiml")
    holed, whole = (fit.factor_scores(rows).filter(like="_se").to_numpy() for rows in (holed_rows, chain_rows))
    assert (whole <= holed + 1e-12).all()


def test_reversed_items_and_answers_in_words(chain_rows):
    labels = ["never", "seldom", "often", "always"]
    cut = chain_rows[["inf1", "inf2", "inf3", "inf4"]].apply(lambda x: pd.qcut(x, 4, labels=False) + 1)
    words = cut.assign(inf2=[labels[i - 1] for i in cut["inf2"]], inf3=5 - cut["inf3"])

    def fitted(scale_of_two, reverse, rows):
        items = [
            rox.Item(name="inf1", scale=rox.Likert(1, 4)),
            rox.Item(name="inf2", scale=scale_of_two),
            rox.Item(name="inf3", scale=rox.Likert(1, 4), reverse=reverse),
            rox.Item(name="inf4", scale=rox.Likert(1, 4)),
        ]
        construct = rox.Construct(name="inf", factor="influencers", source="employee", items=items)
        return rox.fit(rox.RoxModel(name="one", constructs=[construct]), rows, method="sem").factor_scores(rows)

    plain = fitted(rox.Likert(1, 4), False, cut)
    pd.testing.assert_frame_equal(fitted(rox.Likert(1, 4, labels=labels), True, words), plain, rtol=1e-8)


def test_groups_need_their_column_and_know_their_names(scalar, chain_rows):
    with pytest.raises(RoxError, match="groups 'north', 'south'. Say which column"):
        scalar.factor_scores(chain_rows)
    with pytest.raises(DataError, match="'east', which is no group"):
        scalar.factor_scores(chain_rows.assign(region="east"), group="region")
    with pytest.raises(RoxError, match="has no groups"):
        scalar.group("north").factor_scores(chain_rows, group="region")
    north = chain_rows[chain_rows["region"] == "north"]
    one, other = scalar.factor_scores(north, group="region"), scalar.group("north").factor_scores(north)
    pd.testing.assert_frame_equal(one, other, rtol=1e-9)


def test_what_cannot_be_scored_is_refused(complete, chain_rows, chain_model):
    with pytest.raises(RoxError, match="Did you mean 'bartlett'"):
        complete.factor_scores(chain_rows, method="bartlet")
    with pytest.raises(DataError, match="no column 'pri2'"):
        complete.factor_scores(chain_rows.drop(columns="pri2"))
    with pytest.raises(DataError, match="outside its scale"):
        complete.factor_scores(chain_rows.assign(pri2=np.inf))
    with pytest.raises(DataError, match="no item of the model"):
        complete.factor_scores({"prl1": 3})
    items = [item.name for item in chain_model.items]
    moments = rox.Moments.from_covariance(items, chain_rows[items].cov().to_numpy(), n=len(chain_rows))
    with pytest.raises(EstimationError, match="without means"):
        rox.fit(chain_model, moments, method="sem").factor_scores(chain_rows)
    world = rox.datasets.make_world(40, seed=1)
    with pytest.raises(EstimationError, match="no latent constructs"):
        rox.fit(world.model, world.study(), method="path").factor_scores(chain_rows)
    ordinal = rox.fit(chain_model, chain_rows.round(0), method="sem", estimator="DWLS", ordered=["inf1"])
    with pytest.raises(EstimationError, match="needs continuous items"):
        ordinal.factor_scores(chain_rows)

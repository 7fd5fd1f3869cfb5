"""The public contract: names, arguments in their order, defaults, and the leading columns of every table."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.simulation.run import Run

PACKAGE = Path(rox.__file__).parent
FACE = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))

# Argument -> default; `...` = must be given.
FUNCTIONS = {
    "fit": {
        "model": ..., "data": ..., "method": None, "estimator": "ML", "missing": "listwise", "se": None,
        "bootstrap": 0, "group": None, "cluster": None, "within": "pooled", "seed": None, "progress": None,
        "weight": None, "frequency": None, "invariance": "configural", "equal": (), "scaling": "marker",
        "information": None, "ordered": None, "means": False,
    },
    "simulate": {
        "fit": ..., "interventions": ..., "horizon": 8, "draws": 2_000, "seed": None, "value": None,
        "discount": 0.0, "n_units": None,
    },
    "load": {"path": ...},
    "Study": {
        "model": ..., "employee": None, "customer": None, "unit": None, "by": ..., "sources": None, "weight": None,
        "frequency": None, "eligible": None, "min_group": 5, "coerce": False, "wave": None,
    },
    "Aggregated": {"frame": ..., "n": ..., "variance": None, "covariance": None},
    "RoxModel.from_lavaan": {"text": ..., "factors": None, "source": "customer", "name": "lavaan"},
    "Moments.from_correlation": {"names": ..., "correlation": ..., "sd": None, "n": ...},
    "Fit.edges": {"level": None},
    "Fit.parameters": {},
    "Fit.effects": {"cause": ..., "effect": ..., "interval": None},
    "Fit.sensitivity": {"cause": ..., "effect": ..., "benchmark": None},
    "Fit.indices": {},
    "Fit.draws": {"n": ..., "seed": None},
    "Fit.bootstrap_draws": {},
    "Fit.bootstrap_weights": {"replicate": ...},
    "Fit.summary": {},
    "Fit.story": {},
    "Study.story": {},
    "Fit.save": {"path": ...},
    "Study.of": {"moments": ..., "model": ..., "by": "unit", "min_group": 5},
    "Study.linkage": {},
    "Study.quality": {},
    "ScoringEngine.load": {"path": ...},
    "ScoringEngine.score": {"answers": ...},
    "ScoringEngine.score_batch": {"answers": ...},
    "ScoringEngine.what_if": {"shift": ...},
}  # fmt: skip

# Fields of records, with their defaults; `...` = must be given.
RECORDS = {
    "RoxModel": {
        "name": ..., "constructs": ..., "edges": (), "feedback": False, "terminal_covariances": False,
        "exogenous": "free",
    },
    "Construct": {"name": ..., "factor": ..., "source": ..., "items": ..., "reliability": None},
    "Item": {
        "name": ..., "scale": None, "reverse": False, "text": "", "touchpoint": None, "channel": None,
        "loading": None, "start": None,
    },
    "Edge": {
        "cause": ..., "effect": ..., "lag": 0, "fixed": None, "label": None, "start": None, "expected": None,
    },
    "Likert": {"low": ..., "high": ..., "labels": None},
    "Amount": {"unit": "EUR"},
    "Intervention": {
        "name": ..., "shift": None, "set": None, "cost": 0.0, "start": 1, "ramp": 0, "fade": 0.0, "units": None,
    },
}  # fmt: skip

ESTIMATES = ["estimate", "se", "z", "p", "ci_low", "ci_high", "standardized"]


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(units=40, seed=1)


@pytest.fixture(scope="module")
def fit(world):
    return rox.fit(world.model, world.study(), method="path", se="bootstrap", bootstrap=20, seed=1)


def leads(table: pd.DataFrame, *columns: str) -> bool:
    return list(table.columns[: len(columns)]) == list(columns)


def found(path: str) -> object:
    value: object = rox
    for part in path.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_and_defaults(name):
    given = {
        key: ... if parameter.default is inspect.Parameter.empty else parameter.default
        for key, parameter in inspect.signature(found(name)).parameters.items()
        if key != "self"
    }
    wanted = FUNCTIONS[name]
    for key, default in wanted.items():
        assert key in given, f"{name} has no argument {key!r}"
        if key != "n":  # required in both spellings: without a default, or refused when it is None
            assert given[key] == default, f"{name}({key}=) defaults to {given[key]!r}"
    new = [key for key in given if key not in wanted]
    assert all(given[key] is not ... for key in new), f"{name} needs {new}, which the contract does not name"


@pytest.mark.parametrize("name", RECORDS)
def test_fields_and_defaults(name):
    fields = found(name).model_fields
    for key, default in RECORDS[name].items():
        assert key in fields, f"{name} has no field {key!r}"
        assert (... if fields[key].is_required() else fields[key].default) == default
    new = [key for key in fields if key not in RECORDS[name]]
    assert not [key for key in new if fields[key].is_required()]


def test_scales_are_made_as_documented():
    assert rox.Likert(1, 5).ends == (1, 5)
    assert rox.Likert(1, 2, labels=["no", "yes"]).codes == {"no": 1, "yes": 2}
    assert [scale().ends for scale in (rox.NPS, rox.Percent, rox.Binary)] == [(0, 10), (0, 100), (0, 1)]
    assert rox.Count().ends == (0, None)
    assert rox.Amount(unit="EUR").ends == (None, None)


def test_errors_are_value_errors_of_one_family():
    for name in ("SpecError", "DataError", "EstimationError", "SimulationError", "DocumentError"):
        assert issubclass(found(name), rox.RoxError)
    assert issubclass(rox.RoxError, ValueError)
    assert issubclass(rox.RoxWarning, UserWarning)


def test_edges_has_its_columns(fit):
    assert leads(fit.edges(), "cause", "effect", *ESTIMATES, "level", "n", "n_units", "method")
    assert set(fit.edges()["level"]) == {"between"}
    assert [f"{c} -> {e}" for c, e in zip(fit.edges()["cause"], fit.edges()["effect"], strict=True)] == [
        str(edge) for edge in fit.model.edges
    ]


def test_parameters_has_its_columns_and_kinds(fit):
    table = fit.parameters()
    assert leads(table, "id", "kind", "left", "right", "group", "free", *ESTIMATES)
    assert table["id"].is_unique
    kinds = {"loading", "edge", "variance", "covariance", "intercept", "threshold", "defined"}
    assert set(table["kind"]) <= kinds
    edges = table[table["kind"] == "edge"]
    assert (edges["left"].to_numpy() == fit.edges()["cause"].to_numpy()).all()


def test_effects_has_its_columns_and_rows(fit):
    table = fit.effects("pride", "revenue")
    assert list(table.columns) == ["kind", "path", "estimate", "se", "ci_low", "ci_high", "p", "standardized"]
    assert list(table["kind"]) == ["indirect", "indirect", "indirect", "total"]
    assert list(table["path"][-2:]) == ["all", "all"]
    assert table["path"][0] == "pride -> behaviours -> value -> revenue"
    assert fit.effects("value", "revenue")["kind"][0] == "direct"


def test_indices_have_their_names(fit):
    wanted = [
        "chisq", "df", "pvalue", "chisq_scaled", "pvalue_scaled", "scaling_factor", "cfi", "tli", "rmsea",
        "rmsea_ci_lower", "rmsea_ci_upper", "srmr", "loglik", "aic", "bic", "n", "n_units",
    ]  # fmt: skip
    assert list(fit.indices().index) == wanted


def test_a_fit_says_whether_it_can_be_believed(fit):
    assert [fit.converged, fit.identified, fit.admissible] == [True, True, True]
    assert "Small print" in fit.summary()
    assert "<table" in fit._repr_html_()


def test_draws_have_their_shapes(fit):
    n_free = int(fit.parameters()["free"].max())
    assert fit.draws(7, seed=1).shape == (7, n_free)
    assert fit.bootstrap_draws().shape == (20, n_free)
    assert fit.bootstrap_weights(0).sum() == 40


def test_linkage_and_quality_have_their_columns(world):
    study = world.study()
    linkage, quality = study.linkage(), study.quality()
    assert {"construct", "source", "respondents", "units", "matched", "icc1", "icc2", "rwg"} <= set(linkage.columns)
    assert {"construct", "alpha", "omega", "composite_reliability", "ave", "htmt"} <= set(quality.columns)
    for table in (linkage, quality):
        assert table.columns[0] == "construct"
        assert list(table["construct"]) == list(world.model.names)


def test_a_run_has_its_tables(fit):
    actions = [
        rox.Intervention(name="b", shift={"pride": 0.1}, cost=1.0),
        rox.Intervention(name="a", shift={"value": 0.1}, cost=1.0),
    ]
    run = rox.simulate(fit, actions, horizon=3, draws=20, seed=1, value={"revenue": 1.0}, discount=0.02)
    assert isinstance(run, Run)
    effects, money = run.effects(), run.rox()
    assert leads(effects, "construct", "wave", "mean", "ci_low", "ci_high")
    assert sorted(set(effects["wave"])) == [1, 2, 3]
    assert leads(money, "intervention", "benefit", "cost", "npv", "rox", "payback", "prob_positive")
    assert {f"{name}_{end}" for name in ("benefit", "npv", "rox") for end in ("low", "high")} <= set(money.columns)
    assert list(money["intervention"]) == ["b", "a", "total"]


def test_a_model_goes_to_text_graph_and_picture(world):
    model = world.model
    assert set(model.graph.edges) == {(edge.cause, edge.effect) for edge in model.edges}
    assert rox.RoxModel.from_json(model.to_json()) == model
    assert "pride ~ influencers" in model.to_lavaan()
    assert type(model.plot()).__mro__[1].__module__.startswith("matplotlib")


def test_save_and_load_go_by_path(fit, tmp_path):
    written = fit.save(tmp_path / "fit.json")
    again = rox.load(written)
    np.testing.assert_array_equal(again.theta, fit.theta)
    assert rox.ScoringEngine.load(str(written)).constructs == fit.model.names


def _typed_names() -> dict[str, str]:
    """What the TYPE_CHECKING block imports: name -> module."""
    block = next(node for node in FACE.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: node.module or ""
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_three_lists_of_names_agree():
    typed = _typed_names()
    assert typed.pop("datasets") == "roxmodel"
    assert typed == rox._PUBLIC
    assert sorted(rox.__all__) == sorted(["__version__", "datasets", *rox._PUBLIC])
    assert dir(rox) == sorted(rox.__all__)


def test_every_public_name_stands_in_the_module_the_table_says():
    for name, module in rox._PUBLIC.items():
        value = getattr(rox, name)
        assert value.__module__ == module or module in {"roxmodel.spec.graph"}, (name, value.__module__)


def test_every_public_name_has_its_place_in_the_reference():
    root = PACKAGE.parents[1]
    pages = "".join(page.read_text(encoding="utf-8") for page in (root / "docs" / "reference").glob("*.md"))
    shown = {line.removeprefix("::: roxmodel.") for line in pages.splitlines() if line.startswith("::: ")}
    wanted = {*rox._PUBLIC, *(f"datasets.{name}" for name in rox.datasets.__all__)}
    assert not wanted - shown


def test_a_misspelt_name_gets_the_likely_one():
    with pytest.raises(AttributeError, match="no name 'RoxModle'. Did you mean 'RoxModel'"):
        rox.RoxModle  # noqa: B018


@pytest.mark.parametrize(
    "room", sorted(path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("*/**/__init__.py"))
)
def test_the_inner_init_holds_a_docstring_and_nothing_else(room):
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1

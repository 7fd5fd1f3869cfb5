"""Bad input of method "linked": one clear sentence that names the culprit, never a message of a numerical library."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import DataError, EstimationError, RoxError, RoxWarning
from roxmodel.moments.linked import UnitFigures

JARGON = (
    "lapack", "linalg", "singular matrix", "traceback", "keyerror", "nan encountered", "divide", "unhashable", "dgesv",
    "to the last digits", "positive definite",
)  # fmt: skip


@pytest.fixture
def refused():
    def check(kind, *parts, model, data, **options):
        with pytest.raises(RoxError) as caught:
            rox.fit(model, data, **({"method": "linked", "progress": False} | options))
        text = str(caught.value)
        assert isinstance(caught.value, kind), text
        for part in parts:
            assert part in text, text
        assert not any(word in text.lower() for word in JARGON), text
        assert "\n" not in text
        assert text.endswith((".", "?", "!")), text

    return check


@pytest.fixture
def known(tiny):
    model, frames = tiny.model(3), tiny.frames(30, 3)
    return model, frames, tiny.study(model, frames)


OPTIONS = {
    "estimator": ({"estimator": "DWLS"}, ["estimator='DWLS'", "'MLR'"]),
    "estimator, a list": ({"estimator": ["ML"]}, ["estimator="]),
    "group": ({"group": "region"}, ["group='region'", "'sem'"]),
    "invariance": ({"invariance": "metric"}, ["invariance='metric'"]),
    "equal": ({"equal": "loadings"}, ["equal="]),
    "ordered": ({"ordered": True}, ["ordered=True"]),
    "means": ({"means": True}, ["means=True"]),
    "fiml": ({"missing": "fiml"}, ["missing='fiml'", "within='saturated'"]),
    "missing, misspelt": ({"missing": "listwize"}, ["missing='listwize'"]),
    "within": ({"within": "satturated"}, ["within= was 'satturated'", "Did you mean 'saturated'"]),
    "within, no name": ({"within": None}, ["within= was None"]),
    "one replicate": ({"bootstrap": 1}, ["bootstrap=1"]),
    "half a replicate": ({"bootstrap": 1.5}, ["bootstrap= was 1.5"]),
    "less than none": ({"bootstrap": -1}, ["bootstrap= was -1"]),
    "seed": ({"seed": -1}, ["seed= was -1"]),
    "se": ({"se": "robustt"}, ["se= was 'robustt'"]),
    "robust beside a bootstrap": ({"se": "robust", "bootstrap": 10}, ["contradict"]),
    "MLR and standard": ({"estimator": "MLR", "se": "standard"}, ["contradict"]),
    "joint and bootstrap": ({"within": "saturated", "bootstrap": 10}, ["within='saturated'", "within='pooled'"]),
    "joint and robust": ({"within": "model", "se": "robust"}, ["within='model'", "within='pooled'"]),
    "joint and clusters": ({"within": "model", "cluster": "region"}, ["within='model'"]),
    "joint and expected": ({"within": "model", "information": "expected"}, ["information="]),
    "information": ({"information": "fisher"}, ["information= was 'fisher'"]),
    "information, a list": ({"information": ["observed"]}, ["information="]),
    "scaling": ({"scaling": "markr"}, ["scaling= was 'markr'", "Did you mean 'marker'"]),
    "weight": ({"weight": "w"}, ["weight= belongs to the Study"]),
    "frequency": ({"frequency": "w"}, ["frequency= belongs to the Study"]),
    "cluster, misspelt": ({"cluster": "regoin"}, ["'regoin'", "Did you mean 'region'"]),
    "cluster, no name": ({"cluster": 3}, ["no column 3"]),
}


@pytest.mark.parametrize("case", sorted(OPTIONS))
def test_options(refused, known, case):
    options, parts = OPTIONS[case]
    refused(RoxError, *parts, model=known[0], data=known[2], **options)


def test_clusters_that_are_none(tiny, refused, known):
    model, frames, study = known
    holes = frames[2].assign(region=frames[2]["region"].where(frames[2].index > 3))
    refused(
        DataError, "missing for some units", model=model, data=tiny.study(model, (*frames[:2], holes)), cluster="region"
    )
    one = frames[2].assign(region="all")
    refused(DataError, "1 different value", model=model, data=tiny.study(model, (*frames[:2], one)), cluster="region")
    refused(RoxError, "no unit frame", model=model, data=study.moments, cluster="region")


def test_data_of_another_kind(refused, known):
    model, frames, study = known
    for data in (frames[0], None, rox.Moments.from_correlation(["a", "b"], [[1, 0.4], [0.4, 1]], n=50)):
        refused(RoxError, "rox.Study", type(data).__name__, model=model, data=data)
    refused(RoxError, "method='linked'", model=model, data=study, method="sem")


def test_moments_that_lack_something(tiny, refused, known):
    model, _, study = known
    moments = study.moments
    refused(
        DataError, "no source 'customer'", model=model, data=rox.LinkedMoments(moments.sources[:1], moments.figures)
    )
    refused(DataError, "no figures", model=model, data=rox.LinkedMoments(moments.sources))
    refused(DataError, "no item 'e9'", model=tiny.model(3, staff={"items": ["e1", "e2", "e9"]}), data=moments)
    other = UnitFigures(("q",), moments.figures.units, moments.figures.values)
    refused(DataError, "nothing of 'm'", model=model, data=rox.LinkedMoments(moments.sources, other))


def printed(frame, variance):
    groups = frame.groupby("key")
    items = [c for c in frame if c != "key"]
    table = groups[items].mean().reset_index().assign(n=groups.size().to_numpy())
    for item in items:
        table[f"v_{item}"] = groups[item].var().fillna(0.0).to_numpy()
    return rox.Aggregated(table, n="n", variance={item: f"v_{item}" for item in items} if variance else None)


def test_printed_means(tiny, refused, known):
    model, frames, _ = known
    bare = tiny.study(model, (printed(frames[0], False), *frames[1:]))
    refused(DataError, "'e1', 'e2', 'e3'", "variance=", "employee", model=model, data=bare)
    half = tiny.study(model, (printed(frames[0], True), *frames[1:]))
    refused(EstimationError, "employee", "within='pooled'", model=model, data=half, within="saturated")
    fit = rox.fit(model, half, method="linked")
    text = " ".join(fit.notes)
    assert "0.5 was assumed" in text
    assert "if they were 0" in text
    assert "staff" not in fit.edges(level="within")["cause"].tolist()


def test_joint_likelihood_out_of_reach(tiny, refused, known):
    model, frames, _ = known
    weighted = (frames[0].assign(w=np.linspace(1, 2, len(frames[0]))), *frames[1:])
    study = tiny.study(model, weighted, weight={"employee": "w"})
    refused(EstimationError, "sampling weights", "within='pooled'", model=model, data=study, within="saturated")
    finite = tiny.study(model, (*frames[:2], frames[2].assign(N=50)), eligible={"employee": "N"})
    refused(EstimationError, "eligible=", model=model, data=finite, within="saturated")
    holes = tiny.study(model, tiny.frames(30, 3, holes=0.2))
    refused(EstimationError, "holes", model=model, data=holes.moments, within="saturated")


@pytest.mark.parametrize("within", ["pooled", "saturated", "model"])
@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_one_respondent_in_every_unit(tiny, refused, within, holes):
    model, frames = tiny.model(3), tiny.frames(30, 3, holes=holes)
    single = (frames[0].groupby("key").head(1), *frames[1:])
    refused(
        EstimationError, "'e1', 'e2', 'e3'", "method='path'", model=model, data=tiny.study(model, single), within=within
    )


def test_items_that_nobody_varies_on(tiny, known):
    model, frames, _ = known
    for values, what in ((3.0, "constant"), (np.nan, "no answer")):
        with pytest.raises(DataError, match=f"'e1' .*{what}"):
            tiny.study(model, (frames[0].assign(e1=values), *frames[1:]))


def test_surveys_that_share_no_unit(tiny, refused, known):
    model, frames, _ = known
    keys = frames[2]["key"]
    apart = (frames[0][frames[0]["key"] < keys[20]], frames[1][frames[1]["key"] >= keys[19]], frames[2])
    with pytest.warns(RoxWarning, match="Only 1 of 30 units"):
        study = tiny.study(model, apart)
    refused(
        EstimationError, "were known in the same unit only once", "study.unmatched()", "'e1' and 'c1'",
        "staff -> money",
        model=model, data=study,
    )  # fmt: skip


def test_levels_of_edges(known):
    model, _, study = known
    fit = rox.fit(model, study, method="linked")
    for level in ("single", "betwen", 1):
        with pytest.raises(RoxError, match="'between' or 'within'"):
            fit.edges(level=level)
    assert isinstance(fit.edges(level="within"), pd.DataFrame)

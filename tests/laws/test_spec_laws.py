"""Laws of the specification: what is written is read back, and equal models are equal in every disguise."""

import copy
import pickle
from collections import defaultdict
from itertools import combinations, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import roxmodel as rox
from roxmodel.spec.constructs import arrow_text, read_arrows
from roxmodel.spec.parameters import plan
from roxmodel.types import Factor

pytestmark = pytest.mark.slow

FACTORS = Factor.__args__
LABELS = ("a", "b", "c.prime", "load_1")
SCALES = (
    None,
    rox.Likert(1, 7),
    rox.Likert(1, 3, labels=["no", "partly", "yes"]),
    rox.Likert(0, 2.5, whole=False),
    rox.NPS(),
    rox.Percent(),
    rox.Binary(),
    rox.Count(),
    rox.Amount("CHF"),
)

numbers = st.floats(-1e6, 1e6, allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, 1e-300, 1e16])
any_text = st.text(min_size=1, max_size=12).filter(lambda text: text == text.strip() and text)
lavaan_names = st.from_regex(r"[A-Za-zäß][A-Za-z0-9_.]{0,5}", fullmatch=True).filter(
    lambda name: name not in {*LABELS, "if", "in", "for", "NA", "next"}
)

laws = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def refusal(call):
    """What a call says when it refuses, None if it does not; any other error fails the law."""
    try:
        call()
    except rox.SpecError as error:
        return str(error)
    return None


@st.composite
def models(draw, names=any_text, reliability=True, exogenous=("free", "fixed"), lags=True):
    pool = draw(st.lists(names, min_size=4, max_size=14, unique=True))
    count = draw(st.integers(1, min(4, len(pool) - 1)))
    constructs = _constructs(draw, pool[:count], pool[count:], reliability)
    edges = _edges(draw, [c.name for c in constructs], lags)
    covariances = _covariances(draw, constructs)
    used = {part.label for part in (*edges, *covariances)}
    used |= {i.loading for c in constructs for i in c.items if isinstance(i.loading, str)}
    definitions = {}
    if used - {None}:
        label = draw(st.sampled_from(sorted(used - {None})))
        definitions = {"twice": f"{label} * 2", "again": f"twice ^ 2 - exp({label})"}
    return rox.RoxModel(
        name=draw(st.text(max_size=5)),
        constructs=constructs,
        edges=edges,
        covariances=covariances,
        definitions=definitions,
        terminal_covariances=draw(st.booleans()),
        exogenous=draw(st.sampled_from(exogenous)),
    )


def _constructs(draw, names, items, reliability):
    found = []
    for name in names:
        size = draw(st.integers(0, 3))
        own = [_item(draw, items.pop(), position) for position in range(min(size, len(items)))]
        if len(own) == 1:
            own = [rox.Item(name=own[0].name, scale=own[0].scale, reverse=own[0].reverse)]
        found.append(
            rox.Construct(
                name=name,
                factor=draw(st.sampled_from(FACTORS)),
                source=draw(st.sampled_from(["employee", "customer", "unit", "Lieferanten"])),
                items=own or [name],
                scale=draw(st.sampled_from(SCALES)),
                reliability=draw(st.sampled_from([None, 0.8, 1])) if reliability and len(own) == 1 else None,
                residuals=draw(st.sampled_from([None, "free", "equal", "zero"])),
            )
        )
    return found


def _item(draw, name, position):
    loading = draw(st.none() | numbers | st.sampled_from(LABELS))
    said = draw(st.sampled_from([None, True, False])) if position == 0 and not isinstance(loading, float) else None
    marks = position == 0 and (said is False or (said is None and loading is None))
    free = not isinstance(loading, float) and not marks
    return rox.Item(
        name=name,
        scale=draw(st.sampled_from(SCALES)),
        reverse=draw(st.booleans()),
        loading=loading,
        free=said,
        start=draw(st.none() | numbers) if free else None,
    )


def _arrowed(draw):
    kind = draw(st.sampled_from(["free", "fixed", "label", "start"]))
    given = {"fixed": numbers, "label": st.sampled_from(LABELS), "start": numbers}
    return {kind: draw(given[kind])} if kind in given else {}


def _edges(draw, names, lags):
    found = []
    for cause, effect in combinations(names, 2):
        if draw(st.booleans()):
            expected = draw(st.sampled_from([None, "positive", "negative"]))
            found.append(rox.Edge(cause=cause, effect=effect, expected=expected, **_arrowed(draw)))
    if lags and draw(st.booleans()):
        found.append(rox.Edge(cause=names[-1], effect=names[0], lag=2, fixed=0.1))
    return found


def _covariances(draw, constructs):
    names = [c.name for c in constructs]
    items = [i.name for c in constructs if len(c.items) > 1 for i in c.items]
    pairs = [*product(names, names), *product(items, items)]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=4, unique_by=frozenset)) if pairs else []
    return [rox.Covariance(left=left, right=right, **_arrowed(draw)) for left, right in chosen]


@given(models())
@laws
def test_json_round_trip_is_the_same_model(model):
    back = rox.RoxModel.from_json(model.to_json())
    assert back == model
    assert back.content_hash == model.content_hash
    assert hash(back) == hash(model)
    assert back.to_json() == model.to_json()
    assert list(plan(back)) == list(plan(model))


@given(models())
@laws
def test_copies_and_pickles_are_the_same_model(model):
    for other in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model), model.replace()):
        assert other == model
        assert hash(other) == hash(model)
        assert other.content_hash == model.content_hash


@given(models(), st.text(max_size=5))
@laws
def test_a_change_and_back_is_no_change(model, name):
    assert model.replace(name=name).replace(name=model.name) == model
    assert (model.replace(name=name).content_hash == model.content_hash) == (name == model.name)


@given(models())
@laws
def test_arrow_text_of_a_model_is_read_back(model):
    plain = [edge for edge in model.edges if edge.lag == 0]
    arrows = [read_arrows(str(part))[0] for part in (*plain, *model.covariances)]
    assert [(a.left, a.right) for a in arrows if a.kind == "->"] == [(e.cause, e.effect) for e in plain]
    assert [(a.left, a.right) for a in arrows if a.kind == "<->"] == [(c.left, c.right) for c in model.covariances]


@given(st.text(min_size=1), st.text(min_size=1), st.sampled_from(["->", "<->"]))
def test_any_two_names_survive_arrow_text(left, right, kind):
    (arrow,) = read_arrows(arrow_text(left, right, kind))
    assert (arrow.left, arrow.right, arrow.kind) == (left, right, kind)


@given(st.text(max_size=30))
def test_arrow_text_is_read_or_refused_in_words(text):
    said = refusal(lambda: read_arrows(text))
    assert said is None or repr(text) in said


@given(st.text(alphabet='xyzf12 ~=+*:.()#!\n;"NAstart-e', max_size=40))
def test_lavaan_text_is_read_or_refused_in_words(text):
    said = refusal(lambda: rox.RoxModel.from_lavaan(text))
    assert said is None or len(said) > 20


@given(st.text(alphabet="ab.c+-*/^()12 eE", max_size=25))
def test_a_definition_is_read_or_refused_in_words(text):
    edges = [rox.Edge(cause="a", effect="b", label="a"), rox.Edge(cause="b", effect="c", label="b")]
    constructs = [rox.Construct(name=n, factor="context", source="unit", items=[n]) for n in "abc"]
    said = refusal(lambda: rox.RoxModel(name="m", constructs=constructs, edges=edges, definitions={"d": text}))
    assert said is None or "'d'" in said


def structure(model):
    """Planned parameters without names of labels: fixed values, and which rows share one free parameter."""
    fixed, together = set(), defaultdict(set)
    for row in plan(model):
        ends = (row.left, row.right) if row.kind in {"loading", "edge"} else tuple(sorted((row.left, row.right)))
        if row.kind == "defined":
            fixed.add((row.kind, row.left, row.note))
        elif row.lag == 0 and row.free:
            together[row.free].add((row.kind, ends, row.start))
        elif row.lag == 0 and not (row.kind == "covariance" and row.value == 0):
            fixed.add((row.kind, ends, row.value))
    return fixed, {frozenset(rows) for rows in together.values()}


@given(models(lavaan_names, reliability=False, exogenous=("free",)))
@laws
def test_lavaan_text_out_and_in_plans_the_same_parameters(model):
    back = rox.RoxModel.from_lavaan(model.to_lavaan())
    assert structure(back) == structure(model)


@given(models(lavaan_names, reliability=False))
@laws
def test_lavaan_text_keeps_what_the_model_says(model):
    back = rox.RoxModel.from_lavaan(model.to_lavaan())
    assert set(back.names) == set(model.names)
    for construct in model.constructs:
        assert back.find(construct.name).item_names == construct.item_names
    said = {(e.cause, e.effect, e.fixed, e.label, e.start) for e in model.edges if e.lag == 0}
    assert {(e.cause, e.effect, e.fixed, e.label, e.start) for e in back.edges} >= {
        one for one in said if one[3] is None
    }
    assert dict(back.definitions).keys() == dict(model.definitions).keys()


@given(models(lavaan_names, reliability=False, lags=False))
@laws
def test_a_second_trip_through_lavaan_changes_nothing(model):
    once = rox.RoxModel.from_lavaan(model.to_lavaan())
    assert structure(rox.RoxModel.from_lavaan(once.to_lavaan())) == structure(once)


@pytest.mark.parametrize("scale", SCALES[1:], ids=str)
def test_a_scale_survives_json(scale):
    item = rox.Item(name="x", scale=scale)
    assert rox.Item(**item.model_dump(mode="json")) == item

"""lavaan's syntax in and out, and the parameters that its sem() would estimate.

Reference: lavaan 0.6-14 on R 4.2.2 (parameter tables of cfa(), sem() on HolzingerSwineford1939, PoliticalDemocracy
and Demo.twolevel). Cases without a table follow the rules of its sem() as its documentation and its source
(lav_partable_flat.R, lav_partable_vnames.R) have them.
"""

import pytest

import roxmodel as rox
from roxmodel.spec.parameters import plan

HOLZINGER = """
visual =~ x1 + x2 + x3
textual =~ x4 + x5 + x6
speed =~ x7 + x8 + x9
"""
HOLZINGER_ROWS = """
visual=~x1 visual=~x2 visual=~x3 textual=~x4 textual=~x5 textual=~x6 speed=~x7 speed=~x8 speed=~x9
x1~~x1 x2~~x2 x3~~x3 x4~~x4 x5~~x5 x6~~x6 x7~~x7 x8~~x8 x9~~x9 visual~~visual textual~~textual speed~~speed
visual~~textual visual~~speed textual~~speed
"""
HOLZINGER_MEANS = "x1~1 x2~1 x3~1 x4~1 x5~1 x6~1 x7~1 x8~1 x9~1 visual~1 textual~1 speed~1"
DEMOCRACY = """
ind60 =~ x1 + x2 + x3
dem60 =~ y1 + y2 + y3 + y4
dem65 =~ y5 + y6 + y7 + y8
dem60 ~ a*ind60
dem65 ~ c*ind60 + b*dem60
y1 ~~ y5
y2 ~~ y4 + y6
y3 ~~ y7
y4 ~~ y8
y6 ~~ y8
indirect := a*b
total := c + a*b
"""
DEMOCRACY_ROWS = """
ind60=~x1 ind60=~x2 ind60=~x3 dem60=~y1 dem60=~y2 dem60=~y3 dem60=~y4 dem65=~y5 dem65=~y6 dem65=~y7 dem65=~y8
dem60~ind60 dem65~ind60 dem65~dem60 y1~~y5 y2~~y4 y2~~y6 y3~~y7 y4~~y8 y6~~y8
x1~~x1 x2~~x2 x3~~x3 y1~~y1 y2~~y2 y3~~y3 y4~~y4 y5~~y5 y6~~y6 y7~~y7 y8~~y8
ind60~~ind60 dem60~~dem60 dem65~~dem65 indirect:=a*b total:=c+a*b
"""
WITHIN = "fw =~ y1 + y2 + y3\nfw ~ x1 + x2 + x3"
WITHIN_ROWS = """
fw=~y1 fw=~y2 fw=~y3 fw~x1 fw~x2 fw~x3 y1~~y1 y2~~y2 y3~~y3 fw~~fw
x1~~x1 x1~~x2 x1~~x3 x2~~x2 x2~~x3 x3~~x3
"""


def lavaan_rows(model, means=False):
    """Rows of the plan in lavaan's notation; an observed variable is no latent with one indicator there."""
    found = set()
    for row in plan(model, means=means):
        if "|" in row.id or (row.kind == "loading" and row.left == row.right):
            continue
        left, right = sorted((row.left, row.right))
        found.add(
            {
                "loading": f"{row.left}=~{row.right}",
                "edge": f"{row.right}~{row.left}",
                "variance": f"{row.left}~~{row.left}",
                "covariance": f"{left}~~{right}",
                "intercept": f"{row.left}~1",
                "defined": f"{row.left}:={row.right.replace(' ', '')}",
            }[row.kind]
        )
    return found


def expected(rows):
    """Rows of a reference with the ends of covariances in the order of the alphabet."""
    return {"~~".join(sorted(row.split("~~"))) for row in rows.split()}


@pytest.mark.parametrize(
    ("text", "means", "n_free", "rows"),
    [
        pytest.param(HOLZINGER, False, 21, HOLZINGER_ROWS, id="hs_ml, hs_mlr"),
        pytest.param(HOLZINGER, True, 30, HOLZINGER_ROWS + HOLZINGER_MEANS, id="hs_fiml, hs_fiml_mlr"),
        pytest.param(DEMOCRACY, False, 31, DEMOCRACY_ROWS, id="pd_ml, pd_mlr"),
        pytest.param(WITHIN, False, 9, WITHIN_ROWS, id="twolevel_ml, level 1 by itself"),
    ],
)
def test_the_reference_tables(text, means, n_free, rows):
    model = rox.RoxModel.from_lavaan(text)
    assert plan(model, means=means).n_free == n_free
    assert lavaan_rows(model, means) == expected(rows)


F = "f =~ x1 + x2 + x3\n"
G = "g =~ z1 + z2 + z3\n"


@pytest.mark.parametrize(
    ("text", "n_free", "n_with_means"),
    [
        pytest.param(F, 6, 9, id="one factor"),
        pytest.param(F + "f ~~ f; x1 ~~ x1", 6, 9, id="plain variances say nothing new"),
        pytest.param("f =~ x1 + a*x2 + a*x3", 5, 8, id="equal loadings"),
        pytest.param("f =~ a*x1 + b*x2 + x3", 6, 9, id="a label does not free the marker"),
        pytest.param("f =~ a*x1 + a*x2 + x3", 5, 8, id="a label of the marker fixes the others at 1"),
        pytest.param("f =~ NA*x1 + x2 + x3; f ~~ 1*f", 6, 9, id="variance one instead of a marker"),
        pytest.param("f =~ x1 + NA*x2 + x3", 6, 9, id="a later loading is free anyway"),
        pytest.param("f =~ a*x1 + x2 + x3; y ~ a*f", 7, 11, id="a marker's label fixes an edge at 1"),
        pytest.param("f =~ NA*x1 + a*x1 + a*x2 + a*x3; f ~~ 1*f", 4, 7, id="equal loadings, variance one"),
        pytest.param("f =~ 0.5*x1 + 2*x2 + x3", 5, 8, id="fixed loadings"),
        pytest.param(F + "x1 ~~ 0*x1; x2 ~~ v*x2; x3 ~~ v*x3", 4, 7, id="fixed and equal residuals"),
        pytest.param(F + G, 13, 19, id="exogenous latents covary"),
        pytest.param(F + G + "f ~~ 0*g", 12, 18, id="orthogonal"),
        pytest.param(F + G + "g ~ f", 13, 19, id="a path instead of a covariance"),
        pytest.param(F + G + "g ~ 0*f", 12, 18, id="a fixed path"),
        pytest.param(F + G + "h =~ w1 + w2 + w3\nf + g ~ h", 21, 30, id="terminal latents covary"),
        pytest.param(F + G + "h =~ w1 + w2 + w3\nf + g ~ h\nf ~~ 0*g", 20, 29, id="terminal, made zero"),
        pytest.param("y ~ x", 2, 3, id="regression"),
        pytest.param("y ~ x1 + x2 + x3", 4, 5, id="given moments are no parameters"),
        pytest.param("y1 + y2 ~ x", 5, 7, id="terminal observed variables covary"),
        pytest.param("m ~ x; y ~ m + x", 5, 7, id="mediation"),
        pytest.param(F + "y ~ f", 8, 12, id="latent cause, observed effect"),
        pytest.param(F + "f ~ x", 7, 10, id="observed cause, latent effect"),
        pytest.param(F + "y ~ f + x", 9, 13, id="latent and observed causes do not covary"),
        pytest.param(F + "y ~ f + x; f ~~ x", 11, 16, id="unless they are said to"),
        pytest.param("y ~ x1 + x2; x1 ~~ x1", 4, 6, id="a named variance is a parameter"),
        pytest.param("y ~ x1 + x2; x1 ~~ x2", 6, 9, id="a named covariance: variances are parameters too"),
        pytest.param("x1 ~~ x2", 3, 5, id="a covariance alone"),
        pytest.param("f =~ x1", 1, 2, id="single indicator"),
        pytest.param("f =~ x1; y ~ f", 3, 5, id="single indicator as a cause"),
        pytest.param("f =~ x1; x1 ~~ 0.25*x1; y ~ f", 3, 5, id="single indicator with a known residual"),
        pytest.param("f =~ x1; g =~ z1; y ~ f + g", 6, 9, id="two single indicators"),
        pytest.param("a ~ b + x; b ~ a + z", 6, 8, id="feedback: causes of each other are not terminal"),
    ],
)
def test_the_rules_of_sem(text, n_free, n_with_means):
    model = rox.RoxModel.from_lavaan(text)
    assert plan(model, means=False).n_free == n_free
    assert plan(model, means=True).n_free == n_with_means
    again = rox.RoxModel.from_lavaan(model.to_lavaan())
    assert plan(again, means=True).n_free == n_with_means
    assert lavaan_rows(again) == lavaan_rows(model)


def test_latent_and_observed_causes_have_covariance_zero():
    row = plan(rox.RoxModel.from_lavaan(F + "y ~ f + x")).row("covariance:f~~x")
    assert (row.free, row.value) == (0, 0.0)


def test_what_was_read():
    model = rox.RoxModel.from_lavaan(DEMOCRACY, factors={"ind60": "influencers"}, source="student", name="pd")
    assert model.name == "pd"
    assert {c.name: c.factor for c in model.constructs} == {
        "ind60": "influencers",
        "dem60": "context",
        "dem65": "context",
    }
    assert model.sources == ("student",)
    assert [(str(e), e.label) for e in model.edges] == [
        ("ind60 -> dem60", "a"),
        ("ind60 -> dem65", "c"),
        ("dem60 -> dem65", "b"),
    ]
    assert len(model.covariances) == 6
    assert dict(model.definitions) == {"indirect": "a*b", "total": "c + a*b"}
    assert model.terminal_covariances
    assert not model.feedback


def test_observed_variables_are_constructs_of_their_own_name():
    model = rox.RoxModel.from_lavaan("y ~ x1 + x2", factors={"y": "outcomes"})
    assert model.names == ("y", "x1", "x2")
    assert all(c.item_names == (c.name,) and c.observed for c in model.constructs)
    assert model.find("y").factor == "outcomes"


def test_modifiers():
    model = rox.RoxModel.from_lavaan(
        'f =~ x1 + start(0.8)*x2 + 1e-1*x3 + c.p*x4 + "q"*x5 + label("r")*x6 + start(-.5)*x7 + s*x7\n'
        "y ~ 0.5*f + b1*f\ny ~~ start(2)*y"
    )
    loadings = {item.name: (item.loading, item.start) for item in model.find("f").items}
    assert loadings == {
        "x1": (None, None),
        "x2": (None, 0.8),
        "x3": (0.1, None),
        "x4": ("c.p", None),
        "x5": ("q", None),
        "x6": ("r", None),
        "x7": ("s", -0.5),
    }
    assert (model.edges[0].fixed, model.edges[0].label) == (0.5, "b1")
    assert model.covariances[0].start == 2.0


def test_layout_of_the_text_does_not_matter():
    laid_out = """
      # a comment
      f =~   x1
           + x2 +
             x3   ! another comment
      y ~
        f ;  y ~~ y
    """
    model = rox.RoxModel.from_lavaan(laid_out)
    assert model.find("f").item_names == ("x1", "x2", "x3")
    assert model.causes("y") == ("f",)
    assert rox.RoxModel.from_lavaan("f=~x1+x2+x3;y~f") == model


def test_a_definition_of_a_fixed_loading_holds_its_value():
    model = rox.RoxModel.from_lavaan("f =~ 2*x1 + a*x1 + b*x2 + x3\nratio := b / a")
    assert model.definitions["ratio"] == "b / (2.0)"


def test_a_definition_keeps_the_label_of_a_marker():
    """Which is 1 with a marker, and estimated where the scaling is another."""
    model = rox.RoxModel.from_lavaan("f =~ a*x1 + b*x2 + x3\nratio := b / a")
    assert model.definitions["ratio"] == "b / a"
    marker, free = (plan(model, scaling=scaling).row("loading:f=~x1") for scaling in ("marker", "standardized"))
    assert (marker.free, marker.value, marker.label) == (0, 1.0, "a")
    assert (free.free > 0, free.value, free.label) == (True, None, "a")


@pytest.mark.parametrize(
    ("first", "loading", "free", "written"),
    [
        ("x1", None, None, "x1"),
        ("NA*x1", None, True, "NA*x1"),
        ("a*x1", "a", False, "a*x1"),
        ("NA*x1 + a*x1", "a", None, "NA*x1 + a*x1"),
        ("a*x1 + NA*x1", "a", None, "NA*x1 + a*x1"),
        ("NA*x1 + start(0.5)*x1", None, True, "start(0.5)*x1 + NA*x1"),
        ("2*x1 + a*x1", 2.0, None, "2.0*x1"),
    ],
)
def test_what_is_said_of_a_first_loading(first, loading, free, written):
    model = rox.RoxModel.from_lavaan(f"f =~ {first} + x2 + x3\nf ~~ 1*f")
    item = model.find("f").items[0]
    assert (item.loading, item.free) == (loading, free)
    assert model.to_lavaan().splitlines()[0] == f"f =~ {written} + x2 + x3"
    assert plan(rox.RoxModel.from_lavaan(model.to_lavaan())).rows == plan(model).rows
    assert rox.RoxModel.from_json(model.to_json()) == model


SAME = "f =~ x1 + x2 + x3\ny ~ f"


@pytest.mark.parametrize(
    "text",
    [
        "f =~ x1 + x2 + x3   # items; see codebook\ny ~ f",
        "# one; two\nf =~ x1 + x2 + x3\ny ~ f ! ends; here",
        "f =~ x1 + x2 + x3; y ~ f # a; b",
        "f =~ x1 +  # first; then\n x2 + x3\ny ~ f",
        "f =~ x1 + x2 + x3;;\n ; \ny ~ f;  ",
        "f =~ x1 + x2 + x3;#c;\ny ~ f;!d;",
        "f =~ x1\n+ x2 +\n\n x3\ny ~\nf",
        "f =~ x1 +\r\n x2 + x3\r\ny ~ f\r\n",
        "f =~ x1 + x2 + x3 # a; b\ry ~ f",
        "\ufefff\t=~\tx1 +\tx2 +\u00a0x3\n\ty\t~\tf",
        "f =~ x1 + x2 + x3 # don't; \"stop\ny ~ f ! it's; so",
        "f =~ x1 + x2 + x3 ! one # two; three\ny ~ f # one ! two; three",
    ],
)
def test_comments_blanks_and_ends_of_lines_say_nothing(text):
    assert rox.RoxModel.from_lavaan(text) == rox.RoxModel.from_lavaan(SAME)


def test_signs_in_quotes_are_part_of_a_label():
    for quoted in ('"a;b#c!d"', "'a;b#c!d'", 'label("a;b#c!d")', "label('a;b#c!d')"):
        assert rox.RoxModel.from_lavaan(f"y ~ {quoted}*x").edges[0].label == "a;b#c!d"


def test_a_definition_goes_on_over_lines():
    said = rox.RoxModel.from_lavaan("y ~ a*x + b*z\nq := a\n - b\nr := (q\n+ a)*\n2\ns := sqrt(a\n^2)").definitions
    assert dict(said) == {"q": "a - b", "r": "(q + a)* 2", "s": "sqrt(a ^2)"}


def test_definitions_are_written_in_an_order_that_lavaan_can_follow():
    model = rox.RoxModel.from_lavaan("total := c + ab\nab := a*b\nm ~ a*x\ny ~ b*m + c*x")
    assert model.to_lavaan().splitlines()[-2:] == ["ab := a*b", "total := c + ab"]
    assert rox.RoxModel.from_json(model.to_json()) == model


def test_loops_are_feedback():
    model = rox.RoxModel.from_lavaan("a ~ b + x; b ~ a + z")
    assert model.feedback
    assert "a ~ b + x" in model.to_lavaan()


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("", "holds no statement"),
        ("# only a comment", "holds no statement"),
        ("f =~ x1 +", "'f =~ x1 \\+' breaks off"),
        ("f x1 x2", "'f x1 x2' cannot be read: it holds none of the operators"),
        ("f =~ x1 x2", "'f =~ x1 x2'.*expected at 'x1 x2'"),
        ("f =~ x1 + x2 +\ny ~ f", r"'f =~ x1 \+ x2 \+' breaks off"),
        ("y ~ a*x\nq := (a\nz ~ x", r"'q := \(a' breaks off"),
        ("y ~ 2*a*x", r"'y ~ 2\*a\*x'.*one modifier at a time; write 2\*x \+ a\*x"),
        ("y ~ a*b*x", r"one modifier at a time; write a\*x \+ b\*x"),
        ("y ~ a*x + b*x", "'x' is labelled 'a' and 'b' at once"),
        ("y ~ 2*x + 3*x", "'x' is fixed to 2.0 and 3.0 at once"),
        ("y ~ NA*x + 2*x", r"'x' is fixed \(2\) and freed \(NA\) at once"),
        ("f =~ 0.7*x1 + NA*x1 + x2", r"'x1' is fixed \(0.7\) and freed"),
        ("y ~ x*2", "a name was expected at '2': a modifier stands before its variable"),
        ("y ~ 1/2*x", r"'y ~ 1/2\*x'.*expected at"),
        ("y ~ `x`", "'y ~ `x`'.*expected at"),
        ("f =~ x1 + + x2", "expected at '\\+ x2'"),
        ("f =~ 2x1", "expected at '2x1'"),
        ("f =~ x1 - x2", "expected at 'x1 - x2'"),
        ("y ~ x:z", "expected at 'x:z'"),
        ("1f =~ x1", "'1f' is no name"),
        ("f + =~ x1", "'' is no name"),
        ("y ~ 1", "intercept formulas"),
        ("y ~ 0*1 + x", "intercept formulas"),
        ("x1 | t1", "operator '\\|' is not read"),
        ("f <~ x1 + x2", "operator '<~' is not read"),
        ("y ~ a*x; a == 1", "'a == 1'.*one label for both"),
        ("y ~ a*x; a > 0", "operator '>' is not read"),
        ("f =~ x1 + c(1, 1)*x2", r"modifier 'c\(1, 1\)' is not read"),
        ('f =~ x1 + equal("f=~x1")*x2', "modifier 'equal.*is not read"),
        ("level: 1\nf =~ x1", "'level: 1'.*several levels or groups"),
        ("y ~ a*x; q := a; q := 2*a", "'q' is defined twice"),
        ("y ~ a*x; q := b", "definition 'q' = 'b' uses 'b'"),
        ("y ~ a*x; q := a +* 2", "definition 'q'.* cannot be read"),
        ("f =~ x1 + x2; g =~ f + x3", "'g' is measured by the latent 'f': second-order"),
        ("f =~ x1 + x2 + x3; x1 ~ z", "'x1' measures a construct and also stands in a '~'"),
        ("f =~ x1 + x2; g =~ x2 + x3", "Item 'x2' is used by the constructs 'f' and 'g'"),
        ("y ~ x; y ~ x", "edge 'x -> y' is given more than once"),
        ("y ~ y", "lets a construct cause itself"),
        (5, "5 is no lavaan text"),
    ],
)
def test_what_cannot_be_read_is_named(text, culprit):
    with pytest.raises(rox.SpecError, match=culprit):
        rox.RoxModel.from_lavaan(text)


def test_wrong_factors_are_named():
    with pytest.raises(rox.SpecError, match=r"factors= names 'visul', which is no construct. Did you mean 'visual'"):
        rox.RoxModel.from_lavaan(HOLZINGER, factors={"visul": "pride"})
    with pytest.raises(rox.SpecError, match=r"factors= was \['visual'\]"):
        rox.RoxModel.from_lavaan(HOLZINGER, factors=["visual"])
    with pytest.raises(rox.SpecError, match="'visual' has the factor 'prid'"):
        rox.RoxModel.from_lavaan(HOLZINGER, factors={"visual": "prid"})


def construct(name, items, **rest):
    return rox.Construct(name=name, factor="context", source="unit", items=items, **rest)


def written(*constructs, **rest):
    return rox.RoxModel(name="m", constructs=constructs, **rest).to_lavaan().splitlines()


def test_what_sem_would_decide_is_said():
    f, x, y, z = construct("f", ["f1", "f2"]), *(construct(n, [n]) for n in "xyz")
    assert written(f, x, y, z, edges="f + x -> y; f + x -> z") == [
        "f =~ f1 + f2",
        "y ~ f + x",
        "z ~ f + x",
        "x ~~ x",
        "f ~~ x",
        "y ~~ 0*z",
    ]
    assert written(x, y, z, edges="x -> y; x -> z", exogenous="fixed", terminal_covariances=True) == ["y ~ x", "z ~ x"]


def test_loadings_and_residuals_are_written():
    items = [rox.Item(name="f1", loading="l"), rox.Item(name="f2", start=0.5), rox.Item(name="f3", loading=1e16)]
    assert written(construct("f", items)) == ["f =~ NA*f1 + l*f1 + start(0.5)*f2 + 1e16*f3"]
    assert written(construct("f", ["f1", "f2"], residuals="zero"))[1:] == ["f1 ~~ 0*f1", "f2 ~~ 0*f2"]
    assert written(construct("f", ["f1", "f2"], residuals="equal"))[1:] == [
        "f1 ~~ residual_f*f1",
        "f2 ~~ residual_f*f2",
    ]
    assert written(construct("f", ["f1"])) == ["f =~ f1"]
    assert written(construct("f", ["f1"], reliability=0.8))[1].startswith("# reliability 0.8")


def test_lagged_edges_are_left_out():
    lagged = rox.Edge(cause="y", effect="x", lag=1, fixed=0.2)
    lines = written(construct("x", ["x"]), construct("y", ["y"]), edges=["x -> y", lagged])
    assert lines == ["y ~ x", "x ~~ x"]


@pytest.mark.parametrize("name", ["word of mouth", "1st", "a-b", "if", "NA", "_x", ".1"])
def test_a_name_that_lavaan_cannot_have_is_named(name):
    edge = rox.Edge(cause="x", effect="y", label=name)
    labelled = rox.RoxModel(name="m", constructs=[construct("x", ["x"]), construct("y", ["y"])], edges=[edge])
    named = rox.RoxModel(name="m", constructs=[construct(name, ["x1"])])
    for model in (named, labelled):
        with pytest.raises(rox.SpecError, match=f"'{name}' cannot be a name in lavaan"):
            model.to_lavaan()


def test_one_name_for_a_latent_and_its_item_is_refused():
    with pytest.raises(rox.SpecError, match="'sat' has its item's name, and a reliability"):
        written(construct("sat", ["sat"], reliability=0.8))


def test_given_variables_that_do_not_covary_are_named_once():
    apart = rox.Covariance(left="x", right="z", fixed=0)
    constructs = [construct(name, [name]) for name in "xzy"]
    lines = written(*constructs, edges="x + z -> y", covariances=[apart], exogenous="fixed")
    assert lines == ["y ~ x + z", "x ~~ x"]
    back = rox.RoxModel.from_lavaan("\n".join(lines))
    row = plan(back).row("covariance:z~~x" if back.names.index("z") < back.names.index("x") else "covariance:x~~z")
    assert (row.free, row.value) == (0, 0.0)


def test_equal_residuals_come_back_as_they_were_written():
    """Their label is lavaan's way to say it, not the model's: groups must not share it."""
    model = rox.RoxModel(name="lavaan", constructs=[construct("f", ["f1", "f2", "f3"], residuals="equal")])
    back = rox.RoxModel.from_lavaan(model.to_lavaan())
    assert back.find("f").residuals == "equal"
    assert not back.covariances
    assert back.to_lavaan() == model.to_lavaan()
    for kept in ("\nq := residual_f*2", "\nf1 ~~ residual_f*f2"):
        other = rox.RoxModel.from_lavaan(model.to_lavaan() + kept)
        assert other.find("f").residuals is None
        assert plan(other).n_free == plan(model).n_free


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "+".join(f"a{k}" for k in range(300)) + "~" + "+".join(f"b{k}" for k in range(300)),
            "makes 90,000 parameters",
        ),
        ("\n".join(f"x{k} ~~ x{k}" for k in range(400)), "400 exogenous variables, which makes 79,800 covariances"),
        ("A =~ x + " + "1" * 26_000 + "@", "cannot be read"),
    ],
)
def test_a_text_that_multiplies_is_refused(text, says):
    with pytest.raises(rox.SpecError, match=says):
        rox.RoxModel.from_lavaan(text)


def test_given_variables_are_not_paired_one_by_one():
    model = rox.RoxModel.from_lavaan("y ~ " + " + ".join(f"b{k}" for k in range(600)))
    assert len(model.names) == 601
    assert model.covariances == ()

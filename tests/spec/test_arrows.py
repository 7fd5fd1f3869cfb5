"""Arrow text: what is read, and at which character it is refused."""

import pytest

from roxmodel.errors import SpecError
from roxmodel.spec.constructs import arrow_text, read_arrows


def pairs(text):
    return [f"{arrow.left}{arrow.kind}{arrow.right}" for arrow in read_arrows(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a -> b", ["a->b"]),
        ("a->b", ["a->b"]),
        ("a<->b", ["a<->b"]),
        ("a + b -> c", ["a->c", "b->c"]),
        ("a -> b + c", ["a->b", "a->c"]),
        ("a + b -> c + d", ["a->c", "a->d", "b->c", "b->d"]),
        ("a -> b -> c <-> d", ["a->b", "b->c", "c<->d"]),
        ("a -> b; c -> d\ne <-> f;", ["a->b", "c->d", "e<->f"]),
        ("Führung.1 -> Stolz_2", ["Führung.1->Stolz_2"]),
        ("'word of mouth' -> \"it's\"", ["word of mouth->it's"]),
        (r"'it\'s' -> 'a\\b'", ["it's->a\\b"]),
        ("'a -> b' -> c", ["a -> b->c"]),
    ],
)
def test_what_is_read(text, expected):
    assert pairs(text) == expected


@pytest.mark.parametrize(
    ("text", "character", "got"),
    [
        ("", 1, "the end"),
        ("a", 2, "the end"),
        ("a ->", 5, "the end"),
        ("a ->\nb -> c", 5, r"'\\n'"),
        ("-> b", 1, "'-'"),
        ("a -> -> b", 6, "'-'"),
        ("a + -> b", 5, "'-'"),
        ("a - b", 3, "'-'"),
        ("a => b", 3, "'='"),
        ("a <- b", 3, "'<'"),
        ("a -> b c", 8, "'c'"),
        ("a, b -> c", 2, "','"),
        ("a -> 'b", 6, '"\'"'),
        ("a -> ''", 6, '"\'"'),
        ("a -> 1st", 6, "'1'"),
        ("good -> fine; a b -> c", 17, "'b'"),
        ("word-of-mouth -> c", 5, "'-'"),
    ],
)
def test_the_wrong_character_is_named(text, character, got):
    with pytest.raises(SpecError, match=rf"at character {character} \({got}\)") as caught:
        read_arrows(text)
    assert repr(text) in str(caught.value)


def test_what_is_no_text_is_refused():
    with pytest.raises(SpecError, match="5 is no arrow text"):
        read_arrows(5)


@pytest.mark.parametrize(
    "name",
    ["it's", 'say "hi"', 'it\'s "so"', "back\\slash", "ends\\", "\\n", "new\nline", "a -> b", "1st", "a+b", "ünï", ";"],
)
def test_a_weird_name_is_written_so_that_it_is_read_back(name):
    for text in (arrow_text(name, "b"), arrow_text(name, "b", "<->")):
        (arrow,) = read_arrows(text)
        assert (arrow.left, arrow.right) == (name, "b")


def test_names_that_multiply_are_refused_before_they_do():
    text = "+".join(["a"] * 300) + "->" + "+".join(["b"] * 300)
    with pytest.raises(SpecError, match=r"makes 90,000 arrows\. Allowed: up to 50,000\."):
        read_arrows(text)
    assert len(read_arrows("a + b -> c -> d")) == 3

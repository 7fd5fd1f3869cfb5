"""Prose is for readers: no code splits or searches a sentence, and none outside of `estimate` asks for the method.

What code has to know stands beside the words as data: `Parameter.given`, `Verdict.faults`, `Fit.traits`, codes of
reasons. A change of wording changes no behaviour, and a new method needs no new branch.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "roxmodel"
PROSE = frozenset({
    "errors", "finding", "hint", "message", "note", "notes", "problem", "reason", "reasons", "remedy", "sentence",
    "summary", "text", "title", "verdict", "warning", "why", "words"
})  # fmt: skip
TAKE_APART = frozenset({
    "endswith", "find", "index", "partition", "removeprefix", "removesuffix", "rfind", "rindex", "rpartition",
    "rsplit", "split", "splitlines", "startswith"
})  # fmt: skip
CODES = frozenset({"verdict"})  # of these the values are codes, written out in a Literal
READ = frozenset({"text", "title"})  # what a user wrote, not what we say
ASKED = frozenset({"method", "estimator"})
ALLOWED = {
    ("document.py", "self.errors.partition(_JOINED)"),  # one field has held two since schema 1: its only codec
    ("frozen.py", "why.endswith(('.', '?'))"),  # a full stop set where pydantic sets none
}


def attribute(node: ast.AST, *, variables: bool = False) -> str:
    """Name of the attribute (or the variable) that an expression takes, through indices; empty if it takes none."""
    while isinstance(node, ast.Subscript):
        node = node.value
    if variables and isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def taken_apart(tree: ast.AST) -> Iterator[ast.AST]:
    """Sentences split or searched, by a method of text or by a pattern."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        searched = [node.func.value] if node.func.attr in TAKE_APART else []
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "re":
            searched = node.args[1:]
        if any(attribute(one, variables=True) in PROSE - READ for one in searched):
            yield node


def compared(tree: ast.AST) -> Iterator[ast.AST]:
    """Sentences compared with a text, or searched for one by `in`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        for left, how, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            names = {attribute(left), attribute(right)} & (PROSE - CODES - READ)
            within = isinstance(how, ast.In | ast.NotIn) and attribute(right) in PROSE - READ
            texts = [one for one in (left, right) if isinstance(one, ast.Constant | ast.JoinedStr | ast.Name)]
            same = isinstance(how, ast.Eq | ast.NotEq) and names and texts
            if within or same:
                yield node


def method_asked(tree: ast.AST) -> Iterator[ast.AST]:
    """Comparisons with a method or an estimator; two fits may be compared with each other."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Match) and attribute(node.subject) in ASKED:
            yield node
        if not isinstance(node, ast.Compare):
            continue
        parts = [attribute(one) for one in (node.left, *node.comparators)]
        if set(parts) & ASKED and len(set(parts)) > 1:
            yield node


def places(rule, files) -> list[str]:
    found = [
        (file.relative_to(SOURCE).as_posix(), node.lineno, ast.unparse(node))
        for file in files
        for node in rule(ast.parse(file.read_text()))
    ]
    return [f"{name}:{line}: {code}" for name, line, code in found if (name, code) not in ALLOWED]


@pytest.mark.parametrize("rule", [taken_apart, compared])
def test_no_code_reads_a_sentence(rule):
    assert places(rule, sorted(SOURCE.rglob("*.py"))) == []


@pytest.mark.slow
def test_nobody_outside_of_estimate_asks_for_the_method():
    files = [file for file in sorted(SOURCE.rglob("*.py")) if file.relative_to(SOURCE).parts[0] != "estimate"]
    assert places(method_asked, files) == []


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (taken_apart, 'verdict.reason.split("; ")'),
        (taken_apart, 'plan.reasons[0].partition(":")'),
        (taken_apart, 're.search("bound", fault.words)'),
        (compared, 'row.note == "given by the data"'),
        (compared, '"Heywood" in verdict.reason'),
        (compared, "row.note != GIVEN"),
        (method_asked, 'fit.method == "path"'),
        (method_asked, "fit.estimator in ORDINAL"),
    ],
)
def test_the_rules_find_what_they_forbid(rule, code):
    assert list(rule(ast.parse(code)))


@pytest.mark.parametrize(
    ("rule", "code"),
    [(compared, "doubt.verdict == 'note'"), (method_asked, "one.method != other.method"), (compared, "row.note")],
)
def test_the_rules_leave_codes_alone(rule, code):
    assert not list(rule(ast.parse(code)))

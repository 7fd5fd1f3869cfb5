"""Defined parameters: arithmetic over labels, for example ``"a * b + c"``."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NoReturn

import numpy as np

from roxmodel.errors import SpecError, did_you_mean
from roxmodel.types import FloatArray

__all__ = ["check_definitions", "evaluate", "in_order", "names_in"]

_FUNCTIONS: Final[dict[str, Callable[[FloatArray], FloatArray]]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
}
# Python reads a.b as an attribute; a letter that looks like a dot stands in for it while parsing.
_DEEPEST: Final = 100
_DOT: Final = "\ua78f"
_LABEL: Final = re.compile(r"(?<![\w.])[^\W\d][\w.]*")
_OPERATORS: Final[dict[type[ast.operator], Callable[[FloatArray, FloatArray], FloatArray]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}


def names_in(name: str, expression: str) -> list[str]:
    """Names of the labels that a definition uses, checked to be plain arithmetic.

    Parameters
    ----------
    name
        Name of the definition, for messages.
    expression
        Sums, products, powers (``**`` or ``^``), brackets and ``exp log sqrt abs`` of labels and numbers.

    Raises
    ------
    SpecError
        If it is anything else.

    Examples
    --------
    >>> names_in("indirect", "a * b")
    ['a', 'b']
    """
    found: list[str] = []
    _check(name, expression, _parse(name, expression), found)
    return list(dict.fromkeys(found))


def evaluate(definitions: Mapping[str, str], labels: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Evaluate definitions; one may use another, whichever stands first.

    Parameters
    ----------
    definitions
        Name to expression.
    labels
        Label to values, every array of one common shape (for example one value a draw).

    Returns
    -------
    dict
        Name to values of the same shape, in the order given.

    Raises
    ------
    SpecError
        If definitions use each other in a circle.

    Examples
    --------
    >>> evaluate({"twice": "2 * ab", "ab": "a * b"}, {"a": np.array([2.0]), "b": np.array([3.0])})["twice"]
    array([12.])
    """
    values = dict(labels)
    shape = np.broadcast_shapes(*(value.shape for value in labels.values()))
    for name in in_order(definitions):
        with np.errstate(all="ignore"):
            value = _value(_parse(name, definitions[name]), values)
        values[name] = np.broadcast_to(value, shape).copy()
    return {name: values[name] for name in definitions}


def in_order(definitions: Mapping[str, str]) -> tuple[str, ...]:
    """Names of definitions, each after those it uses, else in the order given.

    Raises
    ------
    SpecError
        If definitions use each other in a circle, which is named.

    Examples
    --------
    >>> in_order({"total": "c + ab", "ab": "a * b"})
    ('ab', 'total')
    """
    uses = {
        name: [used for used in names_in(name, expression) if used in definitions]
        for name, expression in definitions.items()
    }
    found: dict[str, None] = {}
    for first in uses:
        path = [first]
        while path:
            ahead = next((used for used in uses[path[-1]] if used not in found), None)
            if ahead is None:
                found[path.pop()] = None
            elif ahead in path:
                _refuse_circle([*path[path.index(ahead) :], ahead], definitions)
            else:
                path.append(ahead)
    return tuple(found)


def _refuse_circle(circle: list[str], definitions: Mapping[str, str]) -> NoReturn:
    name = circle[0]
    if len(circle) == 2:
        problem = f"The definition {name!r} = {definitions[name]!r} uses itself."
    else:
        problem = f"The definitions use each other in a circle: {' uses '.join(map(repr, circle))}."
    raise SpecError(problem, hint="Define it by labels of parameters.")


def check_definitions(definitions: Mapping[str, str], labels: Iterable[str]) -> None:
    """Refuse a definition that uses what is neither a label nor another definition, and a circle of definitions.

    Raises
    ------
    SpecError
        Naming the definition and the unknown label.
    """
    known = list(dict.fromkeys([*labels, *definitions]))
    for name, expression in definitions.items():
        for used in names_in(name, expression):
            if used not in known:
                raise SpecError(
                    f"The definition {name!r} = {expression!r} uses {used!r}, which labels no parameter.",
                    hint=did_you_mean(used, [one for one in known if one != name]),
                )
    in_order(definitions)


def _parse(name: str, expression: str) -> ast.expr:
    """Parse arithmetic with Python's parser; labels keep their spelling, dots and Greek letters included."""
    blanks = len(expression) - len(expression.lstrip())
    text = re.sub(r"\s", " ", expression[blanks:])
    source = _LABEL.sub(lambda match: match[0].replace(".", _DOT), text).replace("^", "**")
    try:
        tree = ast.parse(source, mode="eval").body
        _refuse_deep(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = [position for position, sign in enumerate(text) for _ in range(1 + (sign == "^"))]
        if isinstance(error, RecursionError | MemoryError):
            raise SpecError(
                f"The definition {name!r} = {expression!r} is too long or nested too deeply.",
                allowed=f"{_DEEPEST} brackets within each other",
            ) from None
        offset = (getattr(error, "offset", None) or 1) - 1
        where = blanks + 1 + (at[offset] if 0 <= offset < len(at) else len(text))
        raise SpecError(
            f"The definition {name!r} = {expression!r} cannot be read at character {where}.",
            hint="Write arithmetic over labels, for example 'a * b'.",
        ) from None
    encoded = source.encode()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = encoded[node.col_offset : node.end_col_offset].decode().replace(_DOT, ".")
    return tree


def _refuse_deep(tree: ast.expr) -> None:
    """Refuse what the recursion below could not follow; a sum or product counts as one step, however long."""
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise RecursionError
        parts = [part for node in level for part in (_chain(node) if isinstance(node, ast.BinOp) else [node])]
        level = [child for part in parts for child in ast.iter_child_nodes(part) if isinstance(child, ast.expr)]


def _chain(node: ast.expr) -> list[ast.expr]:
    """Operands of ``a + b - c``, which Python nests to the left, from left to right."""
    operands = []
    while isinstance(node, ast.BinOp):
        operands.append(node.right)
        node = node.left
    return [node, *reversed(operands)]


def _signs(node: ast.expr) -> list[ast.operator]:
    """Operators between the operands of `_chain`."""
    signs = []
    while isinstance(node, ast.BinOp):
        signs.append(node.op)
        node = node.left
    return signs[::-1]


def _check(name: str, expression: str, node: ast.expr, found: list[str]) -> None:
    match node:
        case ast.BinOp() if all(type(op) in _OPERATORS for op in _signs(node)):
            for operand in _chain(node):
                _check(name, expression, operand, found)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(name, expression, operand, found)
        case ast.Call(func=ast.Name(id=function), args=[argument], keywords=[]) if function in _FUNCTIONS:
            _check(name, expression, argument, found)
        case ast.Name(id=label):
            found.append(label)
        case ast.Constant(value=float() | int() as number) if not isinstance(number, bool) and abs(number) < 1e300:
            return
        case _:
            raise SpecError(
                f"The definition {name!r} = {expression!r} holds {_shown(node)!r}, which is not read.",
                allowed="labels, numbers, + - * / ** and exp log sqrt abs",
            )


def _value(node: ast.expr, values: Mapping[str, FloatArray]) -> FloatArray:
    match node:
        case ast.BinOp():
            first, *others = [_value(operand, values) for operand in _chain(node)]
            for op, other in zip(_signs(node), others, strict=True):
                first = _OPERATORS[type(op)](first, other)
            return first
        case ast.UnaryOp(op=op, operand=operand):
            inner = _value(operand, values)
            return -inner if isinstance(op, ast.USub) else inner
        case ast.Call(func=ast.Name(id=function), args=[argument]):
            return _FUNCTIONS[function](_value(argument, values))
        case ast.Name(id=label):
            return values[label]
        case ast.Constant(value=float() | int() as number):
            return np.asarray(float(number))
    raise SpecError(f"The expression {_shown(node)!r} is not read.")


def _shown(node: ast.expr) -> str:
    return ast.unparse(node).replace(_DOT, ".")

"""Defined parameters: arithmetic over labels, for example ``"a * b + c"``."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NoReturn, TypeAlias

import numpy as np

from roxmodel.errors import SpecError, did_you_mean
from roxmodel.types import FloatArray

__all__ = ["check_definitions", "evaluate", "in_order", "names_in"]

_Values: TypeAlias = Mapping[str, FloatArray]

_FUNCTIONS: Final[dict[str, Callable[[FloatArray], FloatArray]]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
}
_OPERATORS: Final[dict[type[ast.operator], Callable[[FloatArray, FloatArray], FloatArray]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
_DEEPEST: Final = 100
# Python reads a.b as an attribute; a letter that looks like a dot stands in for it while parsing.
_DOT: Final = "\ua78f"
_LABEL: Final = re.compile(r"(?<![\w.])[^\W\d][\w.]*")


def names_in(name: str, expression: str) -> list[str]:
    """Names of the labels that a definition of some name uses.

    Read are sums, products, powers (``**`` or ``^``), brackets and ``exp log sqrt abs`` of labels and numbers.
    """
    return list(dict.fromkeys(_Arithmetic(name, expression).labels))


def evaluate(definitions: Mapping[str, str], labels: _Values) -> dict[str, FloatArray]:
    """Values of the definitions, in the order given; one may use another, whichever stands first.

    Every array has one common shape, for example one value a draw.

    >>> evaluate({"twice": "2 * ab", "ab": "a * b"}, {"a": np.array([2.0]), "b": np.array([3.0])})["twice"]
    array([12.])
    """
    values = dict(labels)
    shape = np.broadcast_shapes(*(value.shape for value in labels.values()))
    for name in in_order(definitions):
        with np.errstate(all="ignore"):
            value = _Arithmetic(name, definitions[name]).value(values)
        values[name] = np.broadcast_to(value, shape).copy()
    return {name: values[name] for name in definitions}


def in_order(definitions: Mapping[str, str]) -> tuple[str, ...]:
    """Names of definitions, each after those it uses, else in the order given; a circle is refused by name."""
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
    """Refuse a definition that uses what is neither a label nor another definition, and a circle of definitions."""
    known = list(dict.fromkeys([*labels, *definitions]))
    for name, expression in definitions.items():
        for used in names_in(name, expression):
            if used not in known:
                raise SpecError(
                    f"The definition {name!r} = {expression!r} uses {used!r}, which labels no parameter.",
                    hint=did_you_mean(used, [one for one in known if one != name]),
                )
    in_order(definitions)


class _Arithmetic:
    """A definition read: the labels it uses, in the order of use, and its value given theirs."""

    def __init__(self, name: str, expression: str) -> None:
        self._said = f"The definition {name!r} = {expression!r}"
        self.labels: list[str] = []
        self.value = self._read(self._parsed(expression))

    def _parsed(self, expression: str) -> ast.expr:
        """Parse with Python's parser; labels keep their spelling, dots and Greek letters included."""
        blanks = len(expression) - len(expression.lstrip())
        text = re.sub(r"\s", " ", expression[blanks:])
        source = _LABEL.sub(lambda match: match[0].replace(".", _DOT), text).replace("^", "**")
        try:
            tree = ast.parse(source, mode="eval").body
            _refuse_deep(tree)
        except (RecursionError, MemoryError):
            raise SpecError(
                f"{self._said} is too long or nested too deeply.", allowed=f"{_DEEPEST} brackets within each other"
            ) from None
        except (SyntaxError, ValueError) as error:
            at = [position for position, sign in enumerate(text) for _ in range(1 + (sign == "^"))]
            offset = (getattr(error, "offset", None) or 1) - 1
            where = blanks + 1 + (at[offset] if 0 <= offset < len(at) else len(text))
            raise SpecError(
                f"{self._said} cannot be read at character {where}.",
                hint="Write arithmetic over labels, for example 'a * b'.",
            ) from None
        encoded = source.encode()
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = encoded[node.col_offset : node.end_col_offset].decode().replace(_DOT, ".")
        return tree

    def _read(self, node: ast.expr) -> Callable[[_Values], FloatArray]:
        match node:
            case ast.BinOp() if all(type(sign) in _OPERATORS for sign in _chain(node)[1]):
                operands, signs = _chain(node)
                return _chained([*map(self._read, operands)], [_OPERATORS[type(sign)] for sign in signs])
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                inner = self._read(operand)
                return (lambda values: -inner(values)) if isinstance(sign, ast.USub) else inner
            case ast.Call(func=ast.Name(id=function), args=[argument], keywords=[]) if function in _FUNCTIONS:
                inner, applied = self._read(argument), _FUNCTIONS[function]
                return lambda values: applied(inner(values))
            case ast.Name(id=label):
                self.labels.append(label)
                return lambda values: values[label]
            case ast.Constant(value=float() | int() as number) if not isinstance(number, bool) and abs(number) < 1e300:
                constant = np.asarray(float(number))
                return lambda _: constant
        raise SpecError(
            f"{self._said} holds {ast.unparse(node).replace(_DOT, '.')!r}, which is not read.",
            allowed="labels, numbers, + - * / ** and exp log sqrt abs",
        )


def _chain(node: ast.expr) -> tuple[list[ast.expr], list[ast.operator]]:
    """Operands of ``a + b - c``, which Python nests to the left, from left to right, and the signs between them."""
    operands, signs = [], []
    while isinstance(node, ast.BinOp):
        operands.append(node.right)
        signs.append(node.op)
        node = node.left
    return [node, *reversed(operands)], signs[::-1]


def _chained(
    parts: list[Callable[[_Values], FloatArray]], signs: list[Callable[[FloatArray, FloatArray], FloatArray]]
) -> Callable[[_Values], FloatArray]:
    def value(values: _Values) -> FloatArray:
        result, *others = [part(values) for part in parts]
        for sign, other in zip(signs, others, strict=True):
            result = sign(result, other)
        return result

    return value


def _refuse_deep(tree: ast.expr) -> None:
    """Refuse what recursion could not follow; a sum or product counts as one step, however long."""
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise RecursionError
        parts = [part for node in level for part in _chain(node)[0]]
        level = [child for part in parts for child in ast.iter_child_nodes(part) if isinstance(child, ast.expr)]

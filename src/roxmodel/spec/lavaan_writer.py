"""A model written in lavaan's syntax, so that its ``sem()`` estimates the same parameters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from roxmodel.errors import SpecError
from roxmodel.spec.causal import CausalModel
from roxmodel.spec.constructs import Construct, Covariance, Edge
from roxmodel.spec.definitions import in_order
from roxmodel.spec.lavaan import NAME, equal_label
from roxmodel.spec.questionnaire import Item

__all__ = ["write_lavaan"]

# Words that R keeps for itself.
_RESERVED: Final = frozenset(
    {"if", "else", "repeat", "while", "function", "for", "next", "break", "in"}
    | {"TRUE", "FALSE", "NULL", "Inf", "NaN", "NA", "NA_integer_", "NA_real_", "NA_character_"}
)


def write_lavaan(model: CausalModel) -> str:
    """Write a model for lavaan's ``sem()``; see `RoxModel.to_lavaan`.

    Lagged edges are left out, as they are out of the covariance structure; scales, sources and reversals are
    not lavaan's. Where this model and the defaults of ``sem()`` differ, the text says so explicitly.
    """
    _check_names(model)
    lines = [line for construct in model.constructs for line in _measurement_lines(model, construct)]
    for effect in model.endogenous:
        terms = [_written(e.cause, e) for e in model.edges if e.effect == effect and e.lag == 0]
        lines.append(f"{effect} ~ {' + '.join(terms)}")
    exogenous = _Exogenous(model)
    lines += [
        f"{pair.left} ~~ {_written(pair.right, pair)}" for pair in model.covariances if not exogenous.zero_anyway(pair)
    ]
    lines += exogenous.lines()
    if not model.terminal_covariances:
        lines += _terminal_lines(model)
    lines += [f"{name} := {model.definitions[name]}" for name in in_order(model.definitions)]
    return "\n".join(lines) + "\n"


def _check_names(model: CausalModel) -> None:
    labels = [part.label for part in (*model.edges, *model.covariances) if part.label is not None]
    labels += [item.loading for item in model.items if isinstance(item.loading, str)]
    for name in (*model.names, *(item.name for item in model.items), *labels, *model.definitions):
        if not NAME.fullmatch(name) or name in _RESERVED:
            raise SpecError(
                f"{name!r} cannot be a name in lavaan.",
                allowed="letters, digits, '.' and '_', a letter first, and no word of the R language",
            )


def _manifest(construct: Construct) -> bool:
    """Whether lavaan sees an observed variable, not a latent one with a single indicator."""
    return construct.observed and construct.item_names[0] == construct.name


def _measurement_lines(model: CausalModel, construct: Construct) -> Iterator[str]:
    if _manifest(construct):
        return
    latent, first = construct.name, construct.items[0]
    if first.name == latent:
        raise SpecError(
            f"The construct {latent!r} has its item's name, and a reliability: lavaan needs two names.",
            hint="Rename the construct.",
        )
    terms = [_loading(item, position) for position, item in enumerate(construct.items)]
    yield f"{latent} =~ {' + '.join(terms)}"
    stated = {pair.left for pair in model.covariances if pair.left == pair.right}
    free = [name for name in construct.item_names if name not in stated]
    if len(construct.items) == 1:
        if not construct.observed and free:
            yield f"# reliability {construct.reliability}: {first.name} ~~ (1 - reliability) * its variance"
    elif construct.residuals == "zero":
        yield from (f"{item} ~~ 0*{item}" for item in free)
    elif construct.residuals == "equal":
        yield from (f"{item} ~~ {equal_label(latent)}*{item}" for item in free)


def _loading(item: Item, position: int) -> str:
    modifiers = [f"start({_number(item.start)})"] if item.start is not None else []
    if isinstance(item.loading, float):
        modifiers = [_number(item.loading)]
    elif position == 0 and item.marks:
        modifiers = []
    elif position == 0:
        modifiers += ["NA"]
    if isinstance(item.loading, str):
        modifiers.append(item.loading)
    return _modified(item.name, modifiers)


def _written(name: str, part: Edge | Covariance) -> str:
    modifiers = [] if part.label is None else [part.label]
    if part.fixed is not None:
        return _modified(name, [_number(part.fixed), *modifiers])
    if part.start is not None:
        return _modified(name, [f"start({_number(part.start)})", *modifiers])
    return _modified(name, modifiers)


def _modified(name: str, modifiers: list[str]) -> str:
    """Write a variable once for each of its modifiers, as lavaan reads several."""
    return " + ".join(f"{modifier}*{name}" for modifier in modifiers) or name


def _number(value: float) -> str:
    return repr(float(value)).replace("e+", "e")


def _terminal_lines(model: CausalModel) -> Iterator[str]:
    """Fix the covariances of terminal constructs that ``sem()`` would free."""
    stated = {frozenset((pair.left, pair.right)) for pair in model.covariances}
    caused = {edge.cause for edge in model.edges if edge.lag == 0}
    terminal = [name for name in model.endogenous if name not in caused]
    for left, right in combinations(terminal, 2):
        if frozenset((left, right)) not in stated:
            yield f"{left} ~~ 0*{right}"


class _Exogenous:
    """What has to be said of exogenous constructs.

    lavaan takes the moments of an observed exogenous variable as given until a ``~~`` names it; from then on
    all its covariances are zero but those that are stated. `random` are the ones that have to be named.
    """

    def __init__(self, model: CausalModel) -> None:
        self.names = model.exogenous_names
        self.observed = {name for name in self.names if _manifest(model.find(name))}
        self.stated = {frozenset((pair.left, pair.right)): pair for pair in model.covariances}
        causes = {edge.cause for edge in model.edges if edge.lag == 0}
        given = self.observed & causes if model.exogenous == "fixed" else set()
        self.random = {name for name in self.observed if name not in given or self._is_named(name)}
        for left, right in combinations(sorted(given), 2):
            if self._is_zero(left, right) and not {left, right} & self.random:
                self.random.add(left)
        while more := {name for name in self.observed - self.random if not self._apart(name)}:
            self.random |= more

    def _is_zero(self, left: str, right: str) -> bool:
        pair = self.stated.get(frozenset((left, right)))
        return pair is not None and pair.fixed == 0.0 and pair.label is None

    def _apart(self, name: str) -> bool:
        return all(self._is_zero(name, other) for other in self.random)

    def _is_named(self, name: str) -> bool:
        """Whether something is said of the construct that is not a zero, or it covaries with a latent one."""
        partners = {end for ends in self.stated if name in ends for end in ends - {name}}
        exogenous = set(self.names)
        others = partners | (exogenous - self.observed)
        zeros = all(end in exogenous and self._is_zero(name, end) for end in others)
        return frozenset((name,)) in self.stated or not zeros

    def zero_anyway(self, pair: Covariance) -> bool:
        """Whether lavaan leaves this covariance at zero, so that naming it would only make it random."""
        ends = {pair.left, pair.right}
        exogenous = len(ends) == 2 and ends <= set(self.names)
        both_given = ends <= self.observed - self.random
        return exogenous and bool(ends & self.observed) and not both_given and self._is_zero(*ends)

    def lines(self) -> Iterator[str]:
        """Free what the model frees and lavaan would not."""
        for name in self.names:
            if name in self.random and frozenset((name,)) not in self.stated:
                yield f"{name} ~~ {name}"
        for left, right in combinations(self.names, 2):
            if {left, right} & self.random and frozenset((left, right)) not in self.stated:
                yield f"{left} ~~ {right}"

"""What every method shares: its options, the replicates of its bootstrap, sentences of its small print.

One frozen record a method, checked where it is made of the keywords of `fit`: an option stands there under its name as
a keyword of `roxmodel.fit`, which says what it is. Replicates are refitted in batches side by side, failures counted.
"""

from __future__ import annotations

import operator
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

from roxmodel.errors import EstimationError, RoxError, did_you_mean
from roxmodel.implied.identification import FEWEST
from roxmodel.implied.matrices import one_blas_thread
from roxmodel.moments.single import Moments
from roxmodel.result.draws import Draws, Resampled, replicate_block
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable, units_kept
from roxmodel.types import BoolArray, FloatArray, IntArray, Scaling, StandardErrors

__all__ = [
    "BESIDE", "EQUAL_KINDS", "HELD_EQUAL", "Bootstrap", "Estimator", "HeldEqual", "Information", "LinkedOptions",
    "PathOptions", "SemOptions", "WithinLevel", "assumed_notes", "bootstrap_words", "causal_notes", "cluster_notes",
    "hidden_notes", "keywords_of", "kinds_of", "never_met_notes", "replicate_notes", "sign_notes", "unit_notes",
]  # fmt: skip


Estimator: TypeAlias = Literal["ML", "MLR", "MLM", "DWLS", "WLSMV"]
Missing: TypeAlias = Literal["listwise", "fiml"]
HeldEqual: TypeAlias = Literal["configural", "metric", "scalar"]
Information: TypeAlias = Literal["expected", "observed"]
WithinLevel: TypeAlias = Literal["pooled", "saturated", "model"]
EQUAL_KINDS: Final = ("loadings", "intercepts", "residuals", "edges")
HELD_EQUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "configural": (),
    "metric": ("loadings",),
    "scalar": ("loadings", "intercepts"),
}


_MOST_REPLICATES: Final = 1_000_000
_USUAL_REPLICATES: Final = 2_000
_LENT: Final = {"lent": True}  # understood, but an option of another method


@dataclass(frozen=True, slots=True)
class PathOptions:
    """Options of method "path"."""

    se: StandardErrors = "robust"
    bootstrap: int = 0
    cluster: str | None = None
    seed: int | None = None
    progress: bool | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], data: object) -> PathOptions:
        """From the keywords, which say how errors are found."""
        errors = _errors(given, data)
        usual = "bootstrap" if errors["bootstrap"] else "standard" if isinstance(data, Moments) else "robust"
        return cls(**{**given, **errors, "se": given["se"] or usual})


@dataclass(frozen=True, slots=True)
class SemOptions:
    """Options of method "sem"; `equal` holds what `invariance` asks for too."""

    estimator: Estimator = "ML"
    missing: Missing = "listwise"
    se: StandardErrors = "standard"
    bootstrap: int = 0
    group: str | None = None
    cluster: str | None = None
    seed: int | None = None
    progress: bool | None = None
    weight: str | None = None
    frequency: str | None = None
    invariance: HeldEqual = "configural"
    equal: tuple[str, ...] = ()
    scaling: Scaling = "marker"
    information: Information | None = None
    ordered: Sequence[str] | bool | None = None
    means: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any], data: object) -> SemOptions:
        """From the keywords, which must not contradict each other."""
        asked = cls(**{**given, **_errors(given, data)})
        _one_of("estimator", asked.estimator, get_args(Estimator))
        _one_of("missing", asked.missing, get_args(Missing))
        _one_of("invariance", asked.invariance, get_args(HeldEqual))
        _one_of("scaling", asked.scaling, get_args(Scaling))
        if asked.information is not None:
            _one_of("information", asked.information, get_args(Information))
        for kind in asked.equal:
            _one_of("equal", kind, EQUAL_KINDS)
        equal = tuple(dict.fromkeys((*HELD_EQUAL[asked.invariance], *asked.equal)))
        _check_columns(asked, equal)
        _check_estimator(asked)
        usual: StandardErrors = "standard" if asked.estimator == "ML" else "robust"
        return replace(asked, se=given["se"] or usual, equal=equal)


@dataclass(frozen=True, slots=True)
class LinkedOptions:
    """Options of method "linked"."""

    estimator: Literal["ML", "MLR"] = field(default="ML", metadata=_LENT)
    missing: Literal["listwise"] = field(default="listwise", metadata=_LENT)
    se: StandardErrors = "standard"
    bootstrap: int = 0
    cluster: str | None = None
    within: WithinLevel = "pooled"
    seed: int | None = None
    progress: bool | None = None
    weight: None = field(default=None, metadata=_LENT)
    frequency: None = field(default=None, metadata=_LENT)
    scaling: Scaling = "marker"
    information: Information | None = None

    @property
    def observed(self) -> bool:
        """Whether errors rest on the observed information."""
        return self.information != "expected"

    @classmethod
    def of(cls, given: Mapping[str, Any], _data: object) -> LinkedOptions:
        """From the keywords, which must not contradict each other."""
        asked = cls(**given)
        _check_linked(asked)
        _one_of("scaling", asked.scaling, get_args(Scaling))
        robust = asked.estimator == "MLR"
        if robust and asked.se == "standard":
            raise RoxError("estimator='MLR' and se='standard' contradict each other.", hint="Leave one of them out.")
        errors = _errors(given, None)
        usual: StandardErrors = "bootstrap" if errors["bootstrap"] else "robust" if robust else "standard"
        return replace(asked, **errors, se=given["se"] or usual)


AnyOptions: TypeAlias = PathOptions | SemOptions | LinkedOptions


def keywords_of(options: type[AnyOptions], *, lent: bool = True) -> dict[str, object]:
    """Keywords that a method understands, with what leaves them out; with or without those of other methods."""
    return {one.name: one.default for one in fields(options) if lent or not one.metadata}


def _errors(given: Mapping[str, Any], data: object) -> dict[str, Any]:
    """Number of replicates and seed, checked against each other and against `se`."""
    se, asked = given["se"], given["bootstrap"]
    if se not in (None, *get_args(StandardErrors)):
        raise RoxError(f"se= was {se!r}.", allowed="'standard', 'robust' or 'bootstrap'")
    replicates = _whole("bootstrap", asked, "a whole number of replicates, 0 for none")
    seed = None
    if given["seed"] is not None:
        seed = _whole("seed", given["seed"], "None or a whole number of at least 0")
    if isinstance(data, Moments) and (se in {"robust", "bootstrap"} or replicates):
        raise RoxError("A printed matrix has no rows, so only classical errors exist.", hint="Leave se= out.")
    if replicates and se not in {None, "bootstrap"}:
        raise RoxError(f"bootstrap={asked} and se={se!r} contradict each other.", hint="Say se='bootstrap'.")
    if replicates > _MOST_REPLICATES:
        raise RoxError(
            f"bootstrap={replicates:,} replicates are more than any error needs.",
            allowed=f"at most {_MOST_REPLICATES:,}, better 2,000",
        )
    if replicates == 1:
        raise RoxError("bootstrap=1 gives no standard error.", allowed="at least 2 replicates, better 2,000")
    return {"bootstrap": replicates or (_USUAL_REPLICATES if se == "bootstrap" else 0), "seed": seed}


def _whole(name: str, given: object, allowed: str) -> int:
    try:
        value = operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        value = -1
    if value < 0 or isinstance(given, bool):
        raise RoxError(f"{name}= was {given!r}.", allowed=allowed)
    return value


def kinds_of(equal: object) -> tuple[str, ...]:
    """Kinds of parameters from one name, a sequence of names, or nothing."""
    if equal is None or isinstance(equal, str):
        return () if not equal else (equal,)
    if not isinstance(equal, Iterable):
        raise RoxError(f"equal= was {equal!r}.", allowed="names such as 'loadings', 'edges'")
    return tuple(equal)


def _one_of(name: str, given: object, allowed: Sequence[str]) -> None:
    if given not in allowed:
        raise RoxError(f"{name}= was {given!r}.", hint=did_you_mean(str(given), allowed))


def _check_columns(asked: SemOptions, equal: Sequence[str]) -> None:
    for name in ("group", "cluster", "weight", "frequency"):
        given: object = getattr(asked, name)
        if not (given is None or isinstance(given, str)):
            raise RoxError(f"{name}= was {given!r}.", allowed="the name of a column, or None")
    if not (asked.ordered is None or isinstance(asked.ordered, bool | Iterable)):
        raise RoxError(f"ordered= was {asked.ordered!r}.", allowed="names of items, True for all, or None")
    if equal and asked.group is None:
        raise RoxError(f"{', '.join(equal)} were to be equal over groups, but there is no group.", hint="Say group=.")
    if asked.weight is not None and asked.frequency is not None:
        raise RoxError(
            f"weight={asked.weight!r} and frequency={asked.frequency!r} were both given.", hint="Give one of them."
        )


def _check_estimator(asked: SemOptions) -> None:
    ordinal = asked.estimator in {"DWLS", "WLSMV"}
    if asked.missing == "fiml" and (ordinal or asked.estimator == "MLM"):
        raise RoxError(
            f"missing='fiml' and estimator={asked.estimator!r} contradict each other: it needs complete answers.",
            hint="Use estimator='MLR' with missing='fiml'"
            + (" and without ordered=" if asked.ordered is not None else "")
            + ", or missing='listwise'.",
        )
    if asked.ordered is not None and not ordinal:
        raise RoxError(
            f"ordered={asked.ordered!r} is an option of estimator='DWLS', but estimator={asked.estimator!r} was asked "
            "for.",
            hint="Say estimator='DWLS', or leave ordered= out.",
        )
    if asked.estimator == "MLM" and (asked.weight is not None or asked.cluster is not None):
        raise RoxError("estimator='MLM' knows no weights and no clusters.", hint="Use estimator='MLR'.")
    if asked.information == "observed" and (ordinal or asked.estimator == "MLM"):
        raise RoxError(
            f"estimator={asked.estimator!r} rests on the expected information.", hint="Leave information= out."
        )


def _check_linked(asked: LinkedOptions) -> None:
    """What it understands of other methods' options, and what belongs elsewhere."""
    if asked.estimator not in ("ML", "MLR"):
        raise RoxError(
            f"estimator={asked.estimator!r} is not an option of method='linked'.",
            allowed="'ML' or 'MLR' (sandwich by unit)",
        )
    if asked.missing not in get_args(Missing):
        raise RoxError(f"missing={asked.missing!r} is not an option of method='linked'.", hint="Leave missing= out.")
    if asked.missing != "listwise":
        raise RoxError(
            "missing='fiml' is an option of method='sem'; method='linked' uses all answers anyway.",
            hint="Say within='saturated' for the likelihood of all answers, which assumes missing at random.",
        )
    if asked.information not in (None, *get_args(Information)):
        raise RoxError(f"information= was {asked.information!r}.", allowed="'expected', 'observed' or None")
    for name in ("weight", "frequency"):
        if getattr(asked, name) is not None:
            raise RoxError(f"{name}= belongs to the Study, which counts the answers.", hint=f"rox.Study(..., {name}=).")


_MOST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What is drawn with replacement, and how it is refitted."""

    # from (batch, n) counts of the rows, and how many of the batch are asked for (the others may stay NaN), to
    # (batch, n_free) parameters; a row of NaN where a replicate cannot be estimated
    refit: Callable[[FloatArray, int], FloatArray]
    codes: FloatArray  # (n,) cluster of each row, 0…G-1, drawn together; each row its own where none was asked for
    batch: int  # replicates refitted together
    hint: str  # what to do where half of the replicates fail
    lower: FloatArray | None = None  # (n_free,) bounds of the parameters, if there are any
    places: IntArray | None = None  # where the rows used stand among all rows of the frame; None where all were used
    rows: int = 0  # how many those are
    alone: bool = False  # whether batches come one after the other

    def draws(self, options: PathOptions | SemOptions | LinkedOptions) -> Draws:
        """Refit every replicate.

        A replicate depends on the seed and its number alone: batches are whole, whatever the number of replicates and
        of cores. One that fails is left out and counted, one that stops at a bound is kept and counted.
        """
        count = options.bootstrap
        entropy = secrets.randbits(63) if options.seed is None else options.seed

        def run(start: int) -> FloatArray:
            counts = replicate_block(entropy, start, start + self.batch, self.codes)
            return self.refit(counts, min(self.batch, count - start))

        starts = range(0, count, self.batch)
        found = np.concatenate(list(_watched(self._run(run, starts), len(starts), options.progress)))[:count]
        good = np.isfinite(found).all(axis=1)
        failed = int((~good).sum())
        if failed >= count / 2:
            raise EstimationError(f"{failed} of {count} bootstrap replicates could not be estimated.", hint=self.hint)
        kept = found[good]
        bounded = 0 if self.lower is None else int((kept <= self.lower).any(axis=1).sum())
        told = Resampled(entropy, self.codes, np.flatnonzero(good), self.places, self.rows)
        return Draws("bootstrap", kept, failed, bounded, told=told)

    def _run(self, run: Callable[[int], FloatArray], starts: range) -> Iterator[FloatArray]:
        if self.alone:
            yield from map(run, starts)
            return
        with one_blas_thread(), ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, _MOST_WORKERS)) as pool:
            yield from pool.map(run, starts)


def _watched(batches: Iterator[FloatArray], count: int, progress: bool | None) -> Iterator[FloatArray]:
    from tqdm.auto import tqdm

    disable = None if progress is None else not progress
    yield from tqdm(batches, total=count, desc="bootstrap", unit="batch", disable=disable, leave=False)


BESIDE = " The errors of all else do not take them as known to be 0: they are widened by what hangs on it."
_ROUGH = 30  # clusters from which errors are good
_CAUSAL = (
    "Causal reading assumes that the arrows point the right way and that no unmeasured cause acts on both ends "
    "of an edge, beyond the context constructs in the graph; robustness_value says how strong one would have to be."
)


def causal_notes(model: RoxModel) -> list[str]:
    """What a causal reading assumes, if there are edges."""
    return [_CAUSAL] if model.edges else []


def bootstrap_words(draws: Draws, whom: str) -> str:
    """How errors from replicates were computed."""
    failed = f", {draws.failed} failed and left out" if draws.failed else ""
    return f"bootstrap by {whom}, {len(draws.values)} replicates{failed}, percentile intervals"


def cluster_notes(clusters: IntArray | None) -> list[str]:
    """On how few clusters (codes from 0) the errors rest."""
    count = 0 if clusters is None else int(clusters.max()) + 1
    if not 0 < count < _ROUGH:
        return []
    return [f"Only {count} clusters: errors that rest on so few are rough, and as a rule too small."]


def hidden_notes(names: Sequence[str], hidden: BoolArray, min_group: int) -> list[str]:
    """Of how many units something is hidden, and what that means for answers about units; `hidden` is (units, k)."""
    count = int(hidden.any(axis=1).sum())
    if not count:
        return []
    where = ", ".join(f"{name} {n}" for name, n in zip(names, hidden.sum(axis=0), strict=True) if n)
    note = (
        f"Hidden in {count} of {len(hidden)} units ({where}): fewer than {min_group} people answered there, or the "
        "unit would give such a one away. The estimates use these answers, but no level of such a unit is shown, and "
        "nothing that is asked about units knows it: it is taken to stand at the mean of the others (min_group=)."
    )
    return [note]


def assumed_notes(table: ParameterTable) -> list[str]:
    """Edges whose value the model states."""
    rows = [row for row in table.of("edge") if not row.free and row.value is not None]
    found = dict.fromkeys(f"{row.left} -> {row.right} = {row.value:g}" for row in rows)
    return [f"Assumed, not estimated: {', '.join(found)}."] if found else []


def never_met_notes(items: Sequence[str], together: Sequence[FloatArray], who: str) -> list[str]:
    """Pairs of items that were never seen together, though others join them: what that means for the numbers.

    `together` is (p, p) of each group: how often a pair was seen; `who` never saw both, with a verb ("units know").
    """
    pairs = np.argwhere(np.tril(np.logical_or.reduce([own < FEWEST for own in together])))
    if not len(pairs):
        return []
    named = [f"{items[b]} and {items[a]}" for a, b in pairs]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    pair = "pair" if len(named) == 1 else "pairs"
    note = (
        f"No two {who} both items of {len(named)} {pair} ({', '.join(named[:3])}{more}): what joins them is the "
        "model's word, by the items seen with both. Tests and indices are of what was seen."
    )
    return [note]


def sign_notes(model: RoxModel, table: ParameterTable, theta: FloatArray) -> list[str]:
    """Edges of another sign than expected."""
    notes = []
    expected = {(edge.cause, edge.effect): edge.expected for edge in model.edges if edge.expected and not edge.lag}
    for row in table.of("edge"):
        sign = expected.get((row.left, row.right))
        if sign is None or not row.free or row.lag:
            continue
        value = theta[row.free - 1]
        if (value > 0) != (sign == "positive"):
            edge = f"{row.left} -> {row.right}"
            notes.append(f"{edge} was expected {sign} but is {value:.3g}: check the items' direction.")
    return notes


def replicate_notes(found: Draws | None) -> list[str]:
    """Replicates of a latent fit that failed, or stopped at a bound."""
    if found is None or not (found.failed or found.bounded):
        return []
    whole = len(found.values) + found.failed
    left = f"Of {whole} bootstrap replicates {found.failed} did not converge and are left out"
    return [f"{left}; {found.bounded} stopped at a bound (a variance of 0) and are kept."]


def unit_notes(model: RoxModel, table: ParameterTable, scaling: Scaling) -> list[str]:
    """Constructs that a scaling leaves in another unit, and stated variances that equal loadings set free."""
    notes = []
    kept = units_kept(model) if scaling == "standardized" else {}
    if kept:
        why = ", ".join(f"{name} ({reason})" for name, reason in kept.items())
        notes.append(
            f"scaling='standardized' gives no variance of 1 to {why}: these keep the unit that the model says."
        )
    stated = {pair.left: pair.fixed for pair in model.covariances if pair.left == pair.right and pair.fixed is not None}
    freed = dict.fromkeys(row.left for row in table.of("variance") if row.free and row.left in stated)
    if freed:
        words = ", ".join(f"{name} ({stated[name]:g})" for name in freed)
        notes.append(
            f"With equal loadings the variance that gives a construct its unit is fixed in the first group only, and "
            f"free in the others: {words}. Fixed in every group (as lavaan keeps it) it would be held equal as well."
        )
    return notes

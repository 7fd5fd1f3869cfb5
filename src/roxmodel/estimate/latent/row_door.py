"""From what was asked to method "sem": options checked, solved, tabulated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from roxmodel.errors import RoxError, did_you_mean
from roxmodel.estimate.latent.planned_table import EQUAL_KINDS
from roxmodel.estimate.latent.row_options import Estimator, Information, Invariance, Options
from roxmodel.estimate.latent.row_solve import solve_sem
from roxmodel.estimate.latent.row_tabulate import fit_of
from roxmodel.result.fit import Fit
from roxmodel.spec.graph import RoxModel
from roxmodel.types import Scaling, StandardErrors

__all__ = ["Asked", "fit_sem"]

_INVARIANCE: dict[str, tuple[str, ...]] = {
    "configural": (),
    "metric": ("loadings",),
    "scalar": ("loadings", "intercepts"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Options as the user gave them; `roxmodel.fit` says what each is."""

    estimator: Estimator
    missing: Literal["listwise", "fiml"]
    se: StandardErrors | None
    replicates: int
    group: str | None
    invariance: Invariance
    equal: Sequence[str]
    cluster: str | None
    weight: str | None
    frequency: str | None
    information: Information | None
    scaling: Scaling
    ordered: Sequence[str] | bool | None
    means: bool
    seed: int | None
    progress: bool | None


def fit_sem(model: RoxModel, data: object, asked: Asked) -> Fit:
    """Check the options, estimate, and make the fit."""
    options = _options(asked)
    return fit_of(model, solve_sem(model, data, options), options)


def _options(asked: Asked) -> Options:
    _one_of("estimator", asked.estimator, get_args(Estimator))
    _one_of("missing", asked.missing, ("listwise", "fiml"))
    _one_of("invariance", asked.invariance, get_args(Invariance))
    _one_of("scaling", asked.scaling, get_args(Scaling))
    if asked.information is not None:
        _one_of("information", asked.information, get_args(Information))
    for kind in asked.equal:
        _one_of("equal", kind, EQUAL_KINDS)
    _check_columns(asked)
    equal = tuple(dict.fromkeys((*_INVARIANCE[asked.invariance], *asked.equal)))
    if equal and asked.group is None:
        raise RoxError(f"{', '.join(equal)} were to be equal over groups, but there is no group.", hint="Say group=.")
    if asked.weight is not None and asked.frequency is not None:
        raise RoxError(
            f"weight={asked.weight!r} and frequency={asked.frequency!r} were both given.", hint="Give one of them."
        )
    _check_estimator(asked)
    robust = asked.estimator != "ML"
    return Options(
        estimator=asked.estimator,
        missing=asked.missing,
        se=asked.se or ("robust" if robust else "standard"),
        replicates=asked.replicates,
        group=asked.group,
        equal=equal,
        cluster=asked.cluster,
        weight=asked.weight,
        frequency=asked.frequency,
        information=asked.information,
        scaling=asked.scaling,
        ordered=asked.ordered,
        means=asked.means,
        seed=asked.seed,
        progress=asked.progress,
    )


def _one_of(name: str, given: object, allowed: Sequence[str]) -> None:
    if given not in allowed:
        raise RoxError(f"{name}= was {given!r}.", hint=did_you_mean(str(given), allowed))


def _check_columns(asked: Asked) -> None:
    for name in ("group", "cluster", "weight", "frequency"):
        given: object = getattr(asked, name)
        if not (given is None or isinstance(given, str)):
            raise RoxError(f"{name}= was {given!r}.", allowed="the name of a column, or None")
    if not (asked.ordered is None or isinstance(asked.ordered, bool | Iterable)):
        raise RoxError(f"ordered= was {asked.ordered!r}.", allowed="names of items, True for all, or None")


def _check_estimator(asked: Asked) -> None:
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

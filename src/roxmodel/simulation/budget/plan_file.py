"""A plan as a file, tied to the model it was made with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.document import named_file, read_document, read_text, write_document, write_text
from roxmodel.errors import DocumentError, RoxError, SimulationError
from roxmodel.frozen import FrozenMapping
from roxmodel.result.fit import Fit
from roxmodel.saving import AnyPath
from roxmodel.simulation.check import LONGEST
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.money.prices import Finance
from roxmodel.spec.graph import RoxModel

if TYPE_CHECKING:
    from roxmodel.simulation.budget.plan import Plan

__all__ = ["SavedPlan", "load_plan", "model_fingerprint", "save_plan"]


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan as it was written.

    Attributes
    ----------
    interventions
        The chosen actions at the chosen doses and first waves: what `simulate` takes.
    horizon
        Waves it was made for.
    finance
        Prices, rate, timing and currency it was made with.
    promised
        mean, low, high of the npv it promised.
    spent
        Money it spends in all waves, not discounted.
    n_units
        Units the money was counted over.
    """

    interventions: tuple[Intervention, ...]
    horizon: int
    finance: Finance
    promised: Mapping[str, float]
    spent: float
    n_units: int | None


def model_fingerprint(model: RoxModel) -> str:
    """Fingerprint of a model: equal models have equal ones, whatever they were fitted to."""
    return hashlib.sha256(model.to_json().encode()).hexdigest()


def save_plan(plan: Plan, path: AnyPath) -> Path:
    """See `Plan.save`."""
    asked = plan.question.asked
    finance = asked.finance
    content: dict[str, Any] = {
        "model": plan.question.fit.model.name,
        "fingerprint": model_fingerprint(plan.question.fit.model),
        "interventions": [one.model_dump(mode="json", exclude_defaults=True) for one in plan.interventions],
        "horizon": asked.horizon,
        "finance": None if finance is None else finance.model_dump(mode="json"),
        "promised": {name: float(value) for name, value in plan.promised.items()},
        "spent": plan.spent,
        "n_units": plan.question.units,
    }
    return write_text(path, write_document("plan", content))


def load_plan(path: AnyPath, fit: Fit) -> SavedPlan:
    """Read a plan that `Plan.save` wrote, beside a fit of the model it was made with.

    The fit may be newer than the plan: ``simulate(fit, plan.interventions, ...)`` says what it would promise today.

    Raises
    ------
    DocumentError
        If the file cannot be read, is truncated, altered, or of another kind.
    SimulationError
        If the plan was made with another model than the fit's.

    Examples
    --------
    >>> import tempfile
    >>> import roxmodel as rox
    >>> world = rox.datasets.make_world(60, seed=1)
    >>> fit = rox.fit(world.model, world.study(), method="path")
    >>> coaching = rox.Intervention(name="coaching", shift={"pride": 0.3}, cost=200_000.0)
    >>> plan = rox.optimize(fit, [coaching], budget=500_000, seed=1, value={"revenue": 1_000.0})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = rox.load_plan(plan.save(Path(folder) / "plan.json"), fit)
    >>> again.interventions[0].name, again.spent
    ('coaching', 200000.0)
    """
    if not isinstance(fit, Fit):
        raise SimulationError(f"fit= was a {type(fit).__name__}.", allowed="a rox.Fit")
    text = read_text(path)
    with named_file(path):
        content = read_document(text, "plan")
    if content.get("fingerprint") != model_fingerprint(fit.model):
        raise SimulationError(
            f"The plan {str(path)!r} was made with another model ({content.get('model')!r}) than this fit's "
            f"({fit.model.name!r}): their fingerprints differ.",
            hint="Load it beside a fit of the model it was made with, or make the plan anew.",
        )
    try:
        found = SavedPlan(
            interventions=tuple(Intervention(**one) for one in content["interventions"]),
            horizon=int(content["horizon"]),
            finance=Finance(**content["finance"]),
            promised=FrozenMapping({name: float(content["promised"][name]) for name in ("mean", "low", "high")}),
            spent=float(content["spent"]),
            n_units=content["n_units"],
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        why = f" ({error})" if isinstance(error, RoxError) else ""
        raise DocumentError(f"The plan {str(path)!r} does not hold what a plan holds{why}.") from None
    names = [one.name for one in found.interventions]
    waves = found.horizon == content["horizon"] and 1 <= found.horizon <= LONGEST
    units = found.n_units is None or (isinstance(found.n_units, int) and 1 <= found.n_units <= 2**53)
    amounts = np.isfinite([found.spent, *found.promised.values()]).all() and found.spent >= 0
    if not (waves and units and amounts and len({*names}) == len(names)):
        raise DocumentError(f"The plan {str(path)!r} does not hold what a plan holds.", hint="Save it again.")
    return found

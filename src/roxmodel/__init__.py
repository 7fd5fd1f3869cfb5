"""Return on experience, measured.

A **RoxModel** says what causes what, and which questions measure it. A **Study** links what employees said,
what customers said and what the unit's books say, and condenses them to **moments**. `fit` turns model and
moments into a **Fit**, whose heart is one **parameter table**. `simulate` asks the fitted graph *what if* and
`rox` turns the answer into money. A **model document** (JSON) carries it all into other programs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # what a type checker sees; a test holds it against the table
    from roxmodel import datasets as datasets
    from roxmodel.deliver.scoring import ScoringEngine as ScoringEngine
    from roxmodel.errors import (
        DataError as DataError, DocumentError as DocumentError, EstimationError as EstimationError,
        RoxError as RoxError, RoxWarning as RoxWarning, SimulationError as SimulationError, SpecError as SpecError,
    )  # fmt: skip
    from roxmodel.estimate.methods import fit as fit
    from roxmodel.estimate.invariance import invariance as invariance
    from roxmodel.moments.linked import LinkedMoments as LinkedMoments
    from roxmodel.moments.single import Moments as Moments
    from roxmodel.result.comparison import compare as compare
    from roxmodel.result.fit import Fit as Fit, load as load
    from roxmodel.simulation.counterfactual import counterfactual as counterfactual
    from roxmodel.simulation.forecast import forecast as forecast
    from roxmodel.simulation.intervention import Intervention as Intervention
    from roxmodel.simulation.budget.optimize import optimize as optimize
    from roxmodel.simulation.budget.plan import load_plan as load_plan
    from roxmodel.simulation.money.finance import Finance as Finance
    from roxmodel.simulation.priorities import where_to_act as where_to_act
    from roxmodel.simulation.intervention import Above as Above, Below as Below, Highest as Highest, Lowest as Lowest
    from roxmodel.simulation.run import simulate as simulate
    from roxmodel.simulation.money.values import (
        LifetimeValue as LifetimeValue, LogValue as LogValue, NormalValue as NormalValue,
        TriangularValue as TriangularValue, UniformValue as UniformValue, UnitValue as UnitValue,
    )  # fmt: skip
    from roxmodel.spec.graph import five_factor as five_factor
    from roxmodel.spec.graph import Construct as Construct, Covariance as Covariance, Edge as Edge, RoxModel as RoxModel
    from roxmodel.spec.questionnaire import (
        Amount as Amount, Binary as Binary, Count as Count, Item as Item, Likert as Likert, NPS as NPS,
        Percent as Percent,
    )  # fmt: skip
    from roxmodel.survey.aggregated import Aggregated as Aggregated
    from roxmodel.survey.study import Study as Study

# The public face: defining module -> names. Nothing below is imported before it is asked for.
_FACE = {
    "roxmodel.deliver.scoring": "ScoringEngine",
    "roxmodel.errors": "DataError DocumentError EstimationError RoxError RoxWarning SimulationError SpecError",
    "roxmodel.estimate.methods": "fit",
    "roxmodel.estimate.invariance": "invariance",
    "roxmodel.moments.linked": "LinkedMoments",
    "roxmodel.moments.single": "Moments",
    "roxmodel.result.comparison": "compare",
    "roxmodel.result.fit": "Fit load",
    "roxmodel.simulation.budget.optimize": "optimize",
    "roxmodel.simulation.budget.plan": "load_plan",
    "roxmodel.simulation.counterfactual": "counterfactual",
    "roxmodel.simulation.forecast": "forecast",
    "roxmodel.simulation.intervention": "Above Below Highest Intervention Lowest",
    "roxmodel.simulation.money.finance": "Finance",
    "roxmodel.simulation.money.values": "LifetimeValue LogValue NormalValue TriangularValue UniformValue UnitValue",
    "roxmodel.simulation.priorities": "where_to_act",
    "roxmodel.simulation.run": "simulate",
    "roxmodel.spec.graph": "Construct Covariance Edge RoxModel five_factor",
    "roxmodel.spec.questionnaire": "Amount Binary Count Item Likert NPS Percent",
    "roxmodel.survey.aggregated": "Aggregated",
    "roxmodel.survey.study": "Study",
}
_PUBLIC = dict(sorted((name, module) for module, names in _FACE.items() for name in names.split()))

__all__ = ["__version__", "datasets", *_PUBLIC]  # noqa: PLE0604 - the names are the table's


def __getattr__(name: str) -> object:
    if name == "datasets":
        return import_module("roxmodel.datasets")
    module = _PUBLIC.get(name)
    if module is None:
        from roxmodel.errors import did_you_mean

        raise AttributeError(f"roxmodel has no name {name!r}. {did_you_mean(name, __all__)}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

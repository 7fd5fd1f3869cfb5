"""The plan that users hold: what was chosen, what it promises, what else could have been; as a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.document import DoubtRecord, named_file, read_document, read_text, write_document, write_text
from roxmodel.doubts import Doubt, doubt_lines, doubt_tail
from roxmodel.errors import DocumentError, RoxError, SimulationError, did_you_mean
from roxmodel.frozen import FrozenMapping
from roxmodel.numerals import money_text
from roxmodel.result.fit import Fit
from roxmodel.result.persistence import saved_doubts
from roxmodel.saving import AnyPath
from roxmodel.simulation.budget.choice import Aim, Search, binding, choose, conflicts, left_out
from roxmodel.simulation.budget.plan_story import plan_story
from roxmodel.simulation.budget.problem import Problem, violations
from roxmodel.simulation.budget.solver import Choice
from roxmodel.simulation.budget.worth import Option, Promised, ShrunkenEdge, plain_npv, promise_of
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.money.finance import Finance
from roxmodel.simulation.money.returns import cvar
from roxmodel.simulation.overturned import Overturned, overturned_by
from roxmodel.simulation.pictures import plan_figure
from roxmodel.simulation.question import LONGEST, Question, is_number, require_whole
from roxmodel.simulation.run import Run, simulate
from roxmodel.spec.graph import RoxModel
from roxmodel.story import Spoken, Story
from roxmodel.types import FloatArray, read_only

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Plan", "SavedPlan", "load_plan"]

_BUDGETS = 20
_COLUMNS = ("budget", "spent", "npv", "npv_low", "npv_high", "prob_positive", "n_actions", "chosen", "marginal")


@read_only
@dataclass(frozen=True, eq=False, repr=False)
class Plan(Spoken):
    """What a budget should buy, made by `optimize`; it never changes.

    `search`: what was asked, what every way to do every action is worth, and how plans are compared. `candidates`,
    `problem`: the actions to choose from, and the conditions. `choice`: the options taken, and whether they are proven
    to be the best. `draws`: (draws,) npv of the plan, simulated as a whole. `own`: names of the user's own plan, or
    None. `notes`: what was assumed, and what a reader must know. `doubts`: those of the fit that touch an edge which
    the candidates use; empty unless ``doubtful=True``, because `optimize` refuses them.
    """

    search: Search
    candidates: tuple[Intervention, ...]
    problem: Problem
    choice: Choice
    draws: FloatArray
    own: tuple[str, ...] | None
    notes: tuple[str, ...]
    doubts: tuple[Doubt, ...] = ()

    @property
    def question(self) -> Question:
        """What was asked."""
        return self.search.worth.question

    @property
    def options(self) -> tuple[Option, ...]:
        """Every way to do every action."""
        return self.search.options

    @property
    def worth(self) -> Promised:
        """What each option is worth by itself."""
        return self.search.worth

    @property
    def aim(self) -> Aim:
        """Objective, and the share of the worst draws that ``"cvar"`` looks at."""
        return self.search.aim

    @cached_property
    def beside(self) -> Problem:
        """The problem with each option worth what it adds beside the plan's other actions."""
        return self.search.beside(self.problem, self.choice.options)

    @property
    def chosen(self) -> list[str]:
        """Names of the chosen actions, in the order of the candidates."""
        return [self.candidates[self.options[place].candidate].name for place in self.choice.options]

    @property
    def interventions(self) -> tuple[Intervention, ...]:
        """The chosen actions at the chosen doses and first waves: what `simulate` takes."""
        return tuple(self.options[place].intervention for place in self.choice.options)

    @property
    def spent(self) -> float:
        """Money the plan spends in all waves, not discounted."""
        return float(self.problem.cost[self.choice.options].sum())

    @cached_property
    def plain(self) -> FloatArray:
        """(draws,) npv of the plan with the draws of the fit, before anything was shrunk: what `simulate` gives."""
        if self.worth.shrunken is None or not len(self.choice.options):
            return self.draws
        places = self.choice.options.tolist()
        return promise_of(self.options, replace(self.worth, question=self.worth.asked), places)

    @cached_property
    def overturned(self) -> Overturned:
        """How much one unmeasured cause must explain to bring the promise to 0; see `roxmodel.Fit.sensitivity`."""
        cost = float(self.worth.worth.cost[self.choice.options].sum())
        actions = [self.options[place].action for place in self.choice.options]
        return overturned_by(self.question, actions, self.draws + cost, cost)

    @cached_property
    def promised(self) -> pd.Series[float]:
        """The plan's npv: mean, low, high (95 % of the draws), simulated as a whole; and prob_nothing.

        prob_nothing is the probability, after the data, that the plan's benefit is 0 or below: the share of the draws
        of the posterior, with ``shrink=False`` of those of the fit; 1 for a plan that does nothing.
        """
        import pandas as pd

        spent = self.worth.worth.cost[self.choice.options].sum()
        nothing = float((self.draws + spent <= 0).mean())
        return pd.Series({**_promise(self.draws), "prob_nothing": nothing}, name="npv")

    def table(self) -> pd.DataFrame:
        """Every candidate.

        Returns
        -------
        DataFrame
            intervention (input order), chosen, dose, start (as chosen, else the way that is worth most), cost (not
            discounted), npv, npv_low, npv_high (by itself, as shrunken), npv_plain (before shrinking: what `simulate`
            gives with the same draws), stability (share of the draws in which it would be chosen), why (it was left
            out).
        """
        import pandas as pd

        why = self.left_out()
        taken = {self.options[place].candidate: place for place in self.choice.options.tolist()}
        stable, numbers = self.stability(), range(len(self.candidates))
        best = [max(np.flatnonzero(self.problem.action == i), key=self.problem.mean.item) for i in numbers]
        places = [int(taken.get(i, best[i])) for i in numbers]
        low, high = np.quantile(self.worth.draws[:, places], [0.025, 0.975], axis=0)
        columns = {
            "intervention": [one.name for one in self.candidates],
            "chosen": [i in taken for i in numbers],
            "dose": [self.options[place].intervention.dose for place in places],
            "start": [self.options[place].intervention.start for place in places],
            "cost": self.problem.cost[places].sum(axis=1),
            "npv": self.worth.mean[places],
            "npv_low": low,
            "npv_high": high,
            "npv_plain": plain_npv(self.options, self.worth, places),
            "stability": stable.to_numpy(),
            "why": list(why),
        }
        return pd.DataFrame(columns)

    def stability(self, draws: int = 200) -> pd.Series[float]:
        """Share of the draws in which each candidate would be chosen if that draw were the truth.

        Parameters
        ----------
        draws
            How many of the draws are looked at, the first ones.
        """
        import pandas as pd

        require_whole("draws", draws, "a whole number of at least 1")
        count = min(int(draws), len(self.worth.draws))
        found = np.zeros(len(self.candidates))
        for draw in self._chosen_by_draw(count):
            found[self.problem.action[draw]] += 1.0
        return pd.Series(found / count, index=[one.name for one in self.candidates], name="stability")

    def _chosen_by_draw(self, count: int) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
        known = self.__dict__.setdefault("_by_draw", {})
        if count not in known:
            known[count] = [
                choose(replace(self.beside, mean=np.array(self.beside.draws[draw])), "mean").options
                for draw in range(count)
            ]
        return list(known[count])

    def shrinkage(self) -> pd.DataFrame:
        """How far the edges were shrunk before choosing.

        Returns
        -------
        DataFrame
            cause, effect, estimate, se, shrunken, shrunken_se, in units of the effect per unit of the cause; empty with
            ``shrink=False``. See the page "Spending a budget" for the prior.
        """
        import pandas as pd

        rows = () if self.worth.shrunken is None else self.worth.shrunken.edges
        return pd.DataFrame(list(rows), columns=list(ShrunkenEdge._fields))

    def frontier(self, budgets: Sequence[float] | None = None) -> pd.DataFrame:
        """What other budgets would bring, at their best.

        Parameters
        ----------
        budgets
            Amounts over all waves; None = 20 from the least that can be spent to the most that pays. Limits by wave
            stay as they are.

        Returns
        -------
        DataFrame
            budget, spent, npv, npv_low, npv_high, prob_positive, n_actions, chosen (text), marginal (npv gained over
            the row before for each unit of money spent more). A budget for which no plan keeps all conditions has NaN.
        """
        import pandas as pd

        rows, before = [], (0.0, 0.0)
        for budget in _amounts(self, budgets):
            problem = replace(self.problem, budget=budget)
            if conflicts(problem):
                rows.append((budget, *[np.nan] * 5, 0, "", np.nan))
                continue
            places = self.search.best(problem)[0].options
            draws = promise_of(self.options, self.worth, places.tolist())
            spent, promise = float(problem.cost[places].sum()), _promise(draws)
            more = spent - before[0]
            marginal = (promise["mean"] - before[1]) / more if more > 0 else np.nan
            before = (spent, promise["mean"])
            names = ", ".join(self.candidates[self.options[place].candidate].name for place in places)
            chance = float((draws > 0).mean())
            rows.append((budget, spent, *promise.values(), chance, len(places), names, marginal))
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    def evaluate(self, plan: Iterable[str] | Mapping[str, Any]) -> pd.Series[Any]:
        """Judge a plan of your own with the same draws and the same shrinking as the plan found.

        Parameters
        ----------
        plan
            Names of candidates; or a mapping name -> first wave, or name -> (dose, first wave), where there are several
            ways to do them.

        Returns
        -------
        Series
            mean, low, high (npv, 95 %), prob_positive, cvar (mean of the worst share), spent, feasible, problems (the
            conditions it breaks, in words).
        """
        import pandas as pd

        places = self._places(plan)
        draws = promise_of(self.options, self.worth, places)
        broken = violations(self.problem, np.array(places, dtype=np.int64))
        return pd.Series(
            {
                **_promise(draws),
                "prob_positive": float((draws > 0).mean()),
                "cvar": cvar(draws, self.aim.level),
                "spent": float(self.problem.cost[list(places)].sum()),
                "feasible": not broken,
                "problems": " ".join(broken),
            },
            name="plan",
        )

    def _places(self, plan: Iterable[str] | Mapping[str, Any]) -> tuple[int, ...]:
        if isinstance(plan, str) or not isinstance(plan, Iterable):
            raise SimulationError(f"A plan was {plan!r}.", allowed="a list of names of candidates, or a mapping")
        names = [one.name for one in self.candidates]
        given = plan.items() if isinstance(plan, Mapping) else ((name, None) for name in plan)
        wanted = {name if isinstance(name, str) else repr(name): way for name, way in given}
        found = []
        for name, way in wanted.items():
            if name not in names:
                raise SimulationError(
                    f"The plan names {name!r}, which is no candidate.", hint=did_you_mean(name, names)
                )
            found.append(_way(self.options, names.index(name), way, self.problem.mean))
        return tuple(sorted(found))

    def binding(self) -> tuple[str, ...]:
        """Conditions without which more could be gained, and how much."""
        return tuple(binding(self.beside, self.choice.options))

    def left_out(self) -> tuple[str, ...]:
        """Why each candidate was left out, in their order; "" for those chosen."""
        why = left_out(self.beside, self.choice.options)
        return tuple("" if reason is None else reason.words for reason in why)

    def run(self) -> Run:
        """Simulate the plan: every construct over time and the ROX statement (values not shrunken)."""
        asked = self.question.asked
        if not self.interventions:
            raise SimulationError("The plan does nothing, so there is nothing to simulate.")
        return simulate(
            self.question.fit,
            [one.replace(must=False) for one in self.interventions],
            horizon=asked.horizon,
            draws=asked.draws,
            seed=asked.seed,
            finance=asked.finance,
            n_units=asked.n_units,
            unconverged=asked.unconverged,
            doubtful=True,  # the plan has said it
        )

    def _story(self) -> Story:
        return plan_story(self)

    def __repr__(self) -> str:
        actions, doubts = f"{len(self.choice.options)} of {len(self.candidates)}", doubt_tail(self.doubts, "plan")
        return f"<Plan of {actions} actions, {self.spent:,.0f} spent{doubts}>"

    def plot(self, kind: str = "plan") -> Figure:
        """Draw the plan.

        Parameters
        ----------
        kind
            ``"plan"``: actions over the waves, with what they cost and bring. ``"frontier"``: npv against budget.
            ``"chance"``: the npv's distribution over the draws.

        Raises
        ------
        SimulationError
            For another kind.
        """
        return plan_figure(self, kind)

    def save(self, path: AnyPath) -> Path:
        """Write the plan as JSON: its actions, what was asked and promised, and the fingerprint of the model.

        `roxmodel.load_plan` reads it back beside a fit of the same model. The file is written whole or not at all;
        what is kept of a file that stands there says `roxmodel.saving.write_whole`.

        Raises
        ------
        DocumentError
            If the file cannot be written.
        """
        asked, model = self.question.asked, self.question.fit.model
        content: dict[str, Any] = {
            "model": model.name,
            "fingerprint": _fingerprint(model),
            "interventions": [one.model_dump(mode="json", exclude_defaults=True) for one in self.interventions],
            "horizon": asked.horizon,
            "finance": None if asked.finance is None else asked.finance.model_dump(mode="json"),
            "promised": _promise(self.draws),
            "spent": self.spent,
            "n_units": self.question.units,
        }
        if self.doubts:
            named = saved_doubts(self.question.fit, self.doubts)
            content["doubts"] = [one.model_dump(mode="json") for one in named]
        return write_text(path, write_document("plan", content))


def _promise(draws: FloatArray) -> dict[str, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"mean": float(draws.mean()), "low": float(low), "high": float(high)}


def _way(options: Sequence[Option], number: int, way: Any, mean: FloatArray) -> int:
    """The option of an action that a user means; the one that is worth most where nothing more was said."""
    ways = [i for i, option in enumerate(options) if option.candidate == number]
    name = options[ways[0]].intervention.name
    if way is None:
        return max(ways, key=lambda i: float(mean[i]))
    dose, start = way if isinstance(way, tuple | list) and len(way) == 2 else (None, way)
    for i in ways:
        one = options[i].intervention
        if one.start == start and (dose is None or one.dose == dose):
            return i
    known = ", ".join(f"dose {options[i].intervention.dose:g} from wave {options[i].intervention.start}" for i in ways)
    raise SimulationError(f"The plan does {name!r} as {way!r}, which is no way to do it.", allowed=known)


def _amounts(plan: Plan, budgets: object) -> list[float]:
    """The budgets asked for, or a range from nothing to all that pays."""
    if budgets is not None:
        if isinstance(budgets, str) or not isinstance(budgets, Iterable):
            raise SimulationError(f"budgets= was {budgets!r}.", allowed="a list of amounts of money")
        found = list(budgets)
        for amount in found:
            if not is_number(amount) or not amount >= 0:
                raise SimulationError(f"A budget of {amount!r} was asked for.", allowed="amounts of money, 0 or more")
        return sorted(float(amount) for amount in found)
    free = plan.search.best(replace(plan.problem, budget=np.inf))[0].options
    most = float(plan.problem.cost[free].sum())
    if np.isfinite(plan.problem.budget):
        most = max(most, plan.problem.budget)
    return [most * step / (_BUDGETS - 1) for step in range(_BUDGETS)] if most > 0 else [0.0]


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan as it was written.

    `interventions`: the chosen actions at the chosen doses and first waves, what `simulate` takes. `horizon`,
    `finance`: waves, prices, rate, timing and currency it was made for. `promised`: mean, low, high of the npv it
    promised. `spent`: money it spends in all waves, not discounted. `n_units`: units the money was counted over.
    `doubts`: those of the fit that it was made with, without names of units; empty = none, or an older file.
    """

    interventions: tuple[Intervention, ...]
    horizon: int
    finance: Finance
    promised: Mapping[str, float]
    spent: float
    n_units: int | None
    doubts: tuple[Doubt, ...] = ()

    def __str__(self) -> str:
        names = ", ".join(one.name for one in self.interventions) or "nothing"
        ends = ", ".join(f"{name} {money_text(value)}" for name, value in self.promised.items())
        return "\n".join([*doubt_lines(self.doubts), f"Plan: {names}; {money_text(self.spent)} spent; npv {ends}."])


def _fingerprint(model: RoxModel) -> str:
    """Fingerprint of a model: equal models have equal ones, whatever they were fitted to."""
    return hashlib.sha256(model.to_json().encode()).hexdigest()


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
    if content.get("fingerprint") != _fingerprint(fit.model):
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
            doubts=tuple(DoubtRecord(**one).doubt for one in content.get("doubts", ())),
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

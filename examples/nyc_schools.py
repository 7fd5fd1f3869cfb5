"""The whole job on real linked data: the 2011 New York school survey.

    python examples/nyc_schools.py PATH

PATH is the folder with ``teachers.csv``, ``parents.csv`` and ``outcomes.csv`` (NYC Department of Education, NYC Open
Data). Teachers are the employees, parents the customers, schools the units; the outcome is the share of pupils who
reach level 3 or 4 in mathematics. The data are real: nobody made them for this library.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import roxmodel as rox

# Which questions stand for which factor. Scores are school means from 0 to 10. The wording is not in the published
# dictionary; the blocks follow the data's README. t_q2f is left out: two thirds of the schools were not asked it.
SCALE = rox.Likert(0, 10, whole=False)
LEADERS = ["t_q1a", "t_q1b", "t_q1c", "t_q1e", "t_q1f", "t_q1g"]
BELIEF = ["t_q2a", "t_q2b", "t_q2c", "t_q2d", "t_q2e"]
COLLEAGUES = ["t_q6d", "t_q6e", "t_q6f", "t_q7a", "t_q7d", "t_q7e", "t_q8a", "t_q8b"]
PARENTS = ["p_q2a", "p_q2b", "p_q2c", "p_q2d", "p_q2e", "p_q2f", "p_q2g", "p_q3a", "p_q3b", "p_q3c"]

CHAIN = [
    "leaders -> belief",
    "leaders + belief -> colleagues",
    "colleagues -> parents",
    "colleagues + parents -> math",
]
CONTEXT = ["prior + poverty -> leaders + belief + colleagues + parents + math"]

# What one percentage point more pupils at level 3 or 4 is worth to one school in one year is not in any data. This
# is an assumption, made so that the money side can be shown; the break-even value below needs no such assumption.
WORTH_OF_A_POINT = 20_000.0
COST = 10_000_000.0


def school_model(context: bool) -> rox.RoxModel:
    """Build the graph, with or without what schools cannot choose: prior results and poverty."""

    def asked(name: str, factor: str, source: str, items: list[str]) -> rox.Construct:
        return rox.Construct(name=name, factor=factor, source=source, items=items, scale=SCALE)

    def figure(name: str, factor: str, column: str) -> rox.Construct:
        return rox.Construct(name=name, factor=factor, source="unit", items=[column], scale=rox.Percent())

    constructs = [
        asked("leaders", "influencers", "employee", LEADERS),
        asked("belief", "pride", "employee", BELIEF),  # a stand-in: there is no question on pride itself
        asked("colleagues", "behaviours", "employee", COLLEAGUES),
        asked("parents", "value_drivers", "customer", PARENTS),
        figure("math", "outcomes", "math_pct34_2011"),
    ]
    if context:
        constructs += [
            figure("prior", "context", "math_pct34_2010"),
            figure("poverty", "context", "ctl_frl_percent"),
        ]
    return rox.RoxModel(name="schools", constructs=constructs, edges=CHAIN + (CONTEXT if context else []))


def read_study(path: Path, model: rox.RoxModel) -> rox.Study:
    """Link teachers, parents and results by school; the surveys come as school means with counts."""
    frames = {n: pd.read_csv(path / f"{n}.csv", dtype={"dbn": str}) for n in ("teachers", "parents", "outcomes")}
    return rox.Study(
        model,
        employee=rox.Aggregated(frames["teachers"], n="N_t"),
        customer=rox.Aggregated(frames["parents"], n="N_p"),
        unit=frames["outcomes"],
        by="dbn",
    )


def total(fit: rox.Fit, cause: str, effect: str) -> pd.Series:
    """Total effect with its interval."""
    return fit.effects(cause, effect).iloc[-1]


def words(effect: pd.Series, unit: str) -> str:
    return f"{effect['estimate']:+.2f} {unit} (95 %: {effect['ci_low']:+.2f} to {effect['ci_high']:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="folder with teachers.csv, parents.csv and outcomes.csv")
    path = parser.parse_args().path

    naive_model, model = school_model(context=False), school_model(context=True)
    study = read_study(path, model)
    print_linkage(study)
    naive, fit = rox.fit(naive_model, study, method="path"), rox.fit(model, study, method="path")
    print("\n2. The edges, prior results and poverty held fixed\n")
    print(fit.summary())
    print_answer(naive, fit)
    print_what_if(fit)
    print_limits(fit)


def print_linkage(study: rox.Study) -> None:
    unmatched = study.unmatched()["missing_from"]
    linked = len(study.units) - int(unmatched.str.contains("employee|customer").sum())
    print(f"1. Who met whom: {linked:,} schools have answers of teachers and of parents\n")
    columns = ["construct", "source", "respondents", "units", "lost", "answers_median", "missing"]
    print(study.linkage()[columns].round(3).to_string(index=False))


def print_answer(naive: rox.Fit, fit: rox.Fit) -> None:
    before, after = total(naive, "leaders", "math"), total(fit, "leaders", "math")
    chain, last = total(fit, "leaders", "parents"), total(fit, "parents", "math")
    kept = after["estimate"] / before["estimate"]
    prior = total(fit, "prior", "math")
    print("\n3. The answer in words\n")
    print(f"- Without context, one point more on leadership goes with {words(before, 'points of math')}.")
    print(f"- With prior results and poverty in the graph it is {words(after, 'points of math')}: {kept:.0%} is left.")
    print("  Most of what looked like an effect of leadership was schools that were doing well already.")
    print(
        f"- What survives: leaders to parents, {words(chain, 'points of parents (0-10)')} for one point of leadership:"
    )
    print("  different people answered, so it is not one person's mood.")
    verdict = "does not survive (its interval includes 0)" if last["ci_low"] <= 0 <= last["ci_high"] else "survives"
    print(f"- Parents' experience to math, {words(last, 'points of math')}: {verdict}.")
    edge = fit.edges().set_index(["cause", "effect"]).loc[("colleagues", "math")]
    print(
        f"- What colleagues do to math, standardised {edge['standardized']:.2f}, is easily overturned: an unmeasured "
        f"cause explaining {edge['robustness_value']:.0%} of the rest on both sides would do."
    )
    print(
        f"- For scale: last year's results alone move this year's by {prior['standardized']:.2f} standard deviations."
    )


def print_what_if(fit: rox.Fit) -> None:
    programme = rox.Intervention(name="leadership programme", shift={"leaders": 0.5}, cost=COST, ramp=1)
    schools = int(fit.edges()["n"].min())  # money is counted in schools that have the outcome, and in no other
    run = rox.simulate(
        fit,
        [programme],
        horizon=5,
        draws=2_000,
        seed=2011,
        value={"math": WORTH_OF_A_POINT},
        discount=0.03,
        n_units=schools,
    )
    print(f"\n4. What if every school's leadership rose by half a point? ({COST:,.0f} dollars, five years)\n")
    print(run.summary())
    row = run.rox().iloc[0]
    worth = WORTH_OF_A_POINT * row["cost"] / row["benefit"]
    print(
        f"\nBreak-even: it pays if one percentage point of math is worth more than {worth:,.0f} dollars to a "
        f"school and year.\nThe {WORTH_OF_A_POINT:,.0f} dollars used above are an assumption, not a finding. The small "
        "chance of a loss counts sampling\nerror only: the step from colleagues to math is easily overturned (see 3), "
        "and with it the whole benefit."
    )


def print_limits(fit: rox.Fit) -> None:
    n = int(fit.edges()["n"].min())
    print("\n5. What these data cannot say\n")
    print("- Nothing about pride itself: no question asks it. Belief in the school's standards stands in for it.")
    print("- Nothing within schools: only school means are published, with no spread, so neither the agreement of a")
    print("  school's teachers nor the sampling error of its mean is known; means of few answers are taken as exact.")
    print(
        "- Leaders, belief and colleagues are rated by the same teachers in one sitting: part of their edges is mood."
    )
    print("- One spring, one year: arrows from teachers to results rest on the graph, not on time.")
    print(f"- Math speaks of {n:,} schools with results in 2010 and 2011; high schools have none.")
    print("- State cut scores changed in 2010, and whoever did not answer the survey is not in it.")


if __name__ == "__main__":
    main()

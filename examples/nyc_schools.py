"""The whole job on real linked data: the 2011 New York school survey.

    python examples/nyc_schools.py PATH

PATH is the folder with ``raw_survey_all.txt.zip`` and ``outcomes.csv`` (NYC Department of Education, NYC Open Data).
Teachers are the employees, parents the customers, schools the units; the outcome is the share of pupils who reach
level 3 or 4 in mathematics. The data are real: nobody made them for this library.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import roxmodel as rox

# Which questions stand for which factor. The wording is not in the published dictionary; the blocks follow the data's
# README. t_q2f is left out: two thirds of the schools were not asked it.
SCALE = rox.Likert(0, 10, whole=False)
LEADERS = ["t_q1a", "t_q1b", "t_q1c", "t_q1e", "t_q1f", "t_q1g"]
BELIEF = ["t_q2a", "t_q2b", "t_q2c", "t_q2d", "t_q2e"]
COLLEAGUES = ["t_q6d", "t_q6e", "t_q6f", "t_q7a", "t_q7d", "t_q7e", "t_q8a", "t_q8b"]
PARENTS = ["p_q2a", "p_q2b", "p_q2c", "p_q2d", "p_q2e", "p_q2f", "p_q2g", "p_q3a", "p_q3b", "p_q3c"]
TEACHERS = LEADERS + BELIEF + COLLEAGUES
ASKED = {"leaders": LEADERS, "belief": BELIEF, "colleagues": COLLEAGUES, "parents": PARENTS}

# Points of each answer. A further option of some questions, "don't know", counts as no answer. main() compares the
# means that follow with the published ones.
FOUR = (10.0, 20 / 3, 10 / 3, 0.0)
POINTS = {
    "p_q3a": (10.0, 7.5, 5.0, 2.5, 0.0),
    "p_q3b": (10.0, 7.5, 5.0, 2.5, 0.0),
    "p_q3c": (10.0, 10.0, 5.0, 5.0, 0.0),
}

CHAIN = [
    "leaders -> belief",
    "leaders + belief -> colleagues",
    "colleagues -> parents",
    "colleagues + parents -> math",
]
CONTEXT = ["prior + poverty -> leaders + belief + colleagues + parents + math"]
FIGURES = {"math": "math_pct34_2011", "prior": "math_pct34_2010", "poverty": "ctl_frl_percent"}

# What one percentage point more pupils at level 3 or 4 is worth to one school in one year is not in any data. This
# is an assumption, made so that the money side can be shown; the break-even value below needs no such assumption.
WORTH_OF_A_POINT = 20_000.0
COST = 10_000_000.0


def school_model(context: bool) -> rox.RoxModel:
    """Build the graph, with or without what schools cannot choose: prior results and poverty."""

    def asked(name: str, factor: str, source: str) -> rox.Construct:
        return rox.Construct(name=name, factor=factor, source=source, items=ASKED[name], scale=SCALE)

    def figure(name: str, factor: str) -> rox.Construct:
        return rox.Construct(name=name, factor=factor, source="unit", items=[FIGURES[name]], scale=rox.Percent())

    constructs = [
        asked("leaders", "influencers", "employee"),
        asked("belief", "pride", "employee"),  # a stand-in: there is no question on pride itself
        asked("colleagues", "behaviours", "employee"),
        asked("parents", "value_drivers", "customer"),
        figure("math", "outcomes"),
    ]
    if context:
        constructs += [figure("prior", "context"), figure("poverty", "context")]
    return rox.RoxModel(name="schools", constructs=constructs, edges=CHAIN + (CONTEXT if context else []))


def read_counts(path: Path) -> pd.DataFrame:
    """Counts of every answer by school, with results: schools that have both surveys and tested in both years."""
    file, text = path / "raw_survey_all.txt.zip", {"dbn": str, "bn": str}
    survey = pd.read_csv(file, sep="\t", encoding="windows-1252", dtype=text, low_memory=False)
    results = pd.read_csv(path / "outcomes.csv", dtype={"dbn": str})
    schools = survey.merge(results, on="dbn").dropna(subset=[*FIGURES.values(), "N_t", "N_p"])
    # where more answered than are said to have been asked, all did
    asked = {f"asked_{who}": schools[[f"nr_{who}", f"N_{who}"]].max(axis=1) for who in "tp"}
    return pd.concat([schools, pd.DataFrame(asked)], axis=1).reset_index(drop=True)


def answers(schools: pd.DataFrame, item: str) -> pd.DataFrame:
    """Mean, number and variance of the answers to one question in every school."""
    points = np.array(POINTS.get(item, FOUR))
    who, question = item.split("_")
    options = [f"{who}_N_{question}_{option}" for option in range(1, len(points) + 1)]
    counts = schools[options].to_numpy(dtype=float)
    n = counts.sum(axis=1)
    mean = counts @ points / np.where(n > 0, n, np.nan)
    scatter = (counts * (points - mean[:, None]) ** 2).sum(axis=1)
    variance = np.where(n > 1, scatter / np.maximum(n - 1, 1), np.nan)
    return pd.DataFrame({item: mean, f"{item}_n": n, f"{item}_variance": variance})


def aggregated(schools: pd.DataFrame, items: list[str]) -> rox.Aggregated:
    """One survey as roxmodel takes it where no rows are published."""
    frame = pd.concat([schools["dbn"], *[answers(schools, item) for item in items]], axis=1)
    return rox.Aggregated(
        frame, n={item: f"{item}_n" for item in items}, variance={item: f"{item}_variance" for item in items}
    )


def school_study(schools: pd.DataFrame, model: rox.RoxModel, finite: bool) -> rox.Study:
    """Link teachers, parents and results; `finite`: they stand for those who were asked, and for nobody else."""
    return rox.Study(
        model,
        employee=aggregated(schools, TEACHERS),
        customer=aggregated(schools, PARENTS),
        unit=schools[["dbn", "asked_t", "asked_p", *FIGURES.values()]],
        by="dbn",
        eligible={"employee": "asked_t", "customer": "asked_p"} if finite else None,
    )


def fitted(model: rox.RoxModel, study: rox.Study, **how: str) -> rox.Fit:
    """Estimate; what the checks doubt is printed where the fit is shown, so it is not warned of as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        return rox.fit(model, study, **how)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="folder with raw_survey_all.txt.zip and outcomes.csv")
    schools = read_counts(parser.parse_args().path)
    model, naive_model = school_model(context=True), school_model(context=False)
    now, general = school_study(schools, model, finite=True), school_study(schools, model, finite=False)
    print_linkage(schools, now)
    fit = fitted(model, now, se="robust")
    print("\n2. The edges, prior results and poverty held fixed\n")
    print(fit.summary())
    path = fitted(model, now, method="path")
    fits = {"path": path, "asked": fit, "in general": fitted(model, general, se="robust")}
    print_comparison(fits)
    print_answer(fitted(naive_model, now, method="path"), path, fit)
    print_what_if(fit)
    print_limits(fit)


def print_linkage(schools: pd.DataFrame, study: rox.Study) -> None:
    print(f"1. Who met whom: {len(schools):,} schools with teachers, parents and results of 2010 and 2011\n")
    columns = ["construct", "source", "respondents", "answers_median", "response"]
    print(study.linkage()[columns].round(2).to_string(index=False))
    apart = max((answers(schools, item)[item] - schools[item]).abs().max() for item in TEACHERS + PARENTS)
    print(f"\nMeans from the counts and published means (one decimal) are at most {apart:.2f} apart.")
    print("Reliability of one question's school mean (1 = no sampling error):\n")
    rows = [(name, *np.mean([reliability(schools, item) for item in items], axis=0)) for name, items in ASKED.items()]
    print(pd.DataFrame(rows, columns=["construct", "of those asked", "in general"]).round(2).to_string(index=False))


def reliability(schools: pd.DataFrame, item: str) -> tuple[float, float]:
    """Share of the variance of school means that is not luck of who answered: of those asked, and in general."""
    found, everybody = answers(schools, item), schools[f"asked_{item[0]}"]
    error = found[f"{item}_variance"] / found[f"{item}_n"]
    left = error * (1 - found[f"{item}_n"] / everybody)
    spread = found[item].var()
    return 1 - left.mean() / spread, 1 - error.mean() / spread


def print_comparison(fits: dict[str, rox.Fit]) -> None:
    """Put the three answers side by side in standard deviations: the points of path and linked are not the same."""
    print("\n3. Three answers side by side (standardised)\n")
    table = pd.DataFrame(
        {name: fit.edges().set_index(["cause", "effect"])["standardized"] for name, fit in fits.items()}
    )
    own = [pair for pair in table.index if pair[0] not in ("prior", "poverty")]
    table = table.loc[own]
    table.index = [" -> ".join(pair) for pair in own]
    for cause, effect in (("leaders", "parents"), ("leaders", "math")):
        table.loc[f"{cause} -> ... -> {effect}"] = [total(fit, cause, effect)["standardized"] for fit in fits.values()]
    print(table.round(3).to_string())
    print("\nThe small print of the linked fits on what they had to assume:\n")
    print(f"- path: Total effect belief -> math: {total(fits['path'], 'belief', 'math')['estimate']:.3g}.")
    for name in ("asked", "in general"):
        for note in fits[name].notes:
            if note.startswith("Total effect"):
                print(f"- {name}: {note}")
    checks = fits["in general"].checks().set_index("check")
    print(f"- in general: Admissible: {checks.loc['admissible', 'reason']}.")


def total(fit: rox.Fit, cause: str, effect: str) -> pd.Series:
    """Total effect with its interval."""
    return fit.effects(cause, effect).iloc[-1]


def words(effect: pd.Series, unit: str) -> str:
    return f"{effect['estimate']:+.2f} {unit} (95 %: {effect['ci_low']:+.2f} to {effect['ci_high']:+.2f})"


def print_answer(naive: rox.Fit, path: rox.Fit, fit: rox.Fit) -> None:
    before, held, after = (total(found, "leaders", "math") for found in (naive, path, fit))
    chain, last = total(fit, "leaders", "parents"), total(fit, "parents", "math")
    print("\n4. The answer in words\n")
    print(f"- Without context, one point more on leadership goes with {words(before, 'points of math')} (path).")
    print(f"- With prior results and poverty in the graph it is {words(held, 'points of math')} (path):")
    kept = held["estimate"] / before["estimate"]
    print(f"  {kept:.0%} is left. Most of it was schools that were doing well already.")
    print(f"- The linked method makes it {words(after, 'points of math')}.")
    print(f"- Leaders to parents: {words(chain, 'points of parents (0-10)')} for one point of leadership.")
    print("  Different people answered, so it is not one person's mood.")
    print(f"- Parents' experience to math: {words(last, 'points of math')}.")
    edges = fit.edges().set_index(["cause", "effect"])
    for cause in ("colleagues", "parents"):
        share = edges.loc[(cause, "math"), "robustness_value"]
        print(f"- {cause} -> math falls to an unmeasured cause that explains {share:.0%} of the rest on both sides.")
    prior = total(fit, "prior", "math")["standardized"]
    print(f"- For scale: last year's results alone move this year's by {prior:.2f} standard deviations.")


def print_what_if(fit: rox.Fit) -> None:
    programme = rox.Intervention(name="leadership programme", shift={"leaders": 0.5}, cost=COST, ramp=1)
    run = rox.simulate(
        fit,
        [programme],
        horizon=5,
        draws=2_000,
        seed=2011,
        value={"math": WORTH_OF_A_POINT},
        discount=0.03,
        doubtful=True,  # the arithmetic is shown all the same; what is doubted stands first in the summary
    )
    print(f"\n5. What if every school's leadership rose by half a point? ({COST:,.0f} dollars, five years)\n")
    print(run.summary())
    print(
        f"\n{len(run.doubts)} doubts stand on the way from leadership to math (above). doubtful=True goes on "
        "all the same,\nto show the arithmetic: no money should follow it before they are cleared up."
    )
    row = run.rox().iloc[0]
    worth = WORTH_OF_A_POINT * row["cost"] / row["benefit"]
    print(
        f"\nBreak-even: it pays if one percentage point of math is worth more than {worth:,.0f} dollars to a "
        f"school and year.\nThe {WORTH_OF_A_POINT:,.0f} dollars used above are an assumption, not a finding. The "
        "chance of a loss counts sampling\nerror only: the last steps to math are easily overturned (see 4), and with "
        "them the whole benefit."
    )


def print_limits(fit: rox.Fit) -> None:
    n = int(fit.edges()["n"].min())
    print("\n6. What these data cannot say\n")
    print("- Nothing about pride itself: no question asks it. Belief in the school's standards stands in for it.")
    print("- Nothing about persons: counts of each answer by school are published, but not who gave which two answers.")
    print("- Leaders, belief and colleagues are rated by the same teachers at once: part of their edges is mood.")
    print("- One spring, one year: arrows from teachers to results rest on the graph, not on time.")
    print(f"- It speaks of {n:,} schools with results in 2010 and 2011; high schools have none.")
    print("- State cut scores changed in 2010, and whoever did not answer the survey is not in it.")
    cfi, questions = fit.indices()["cfi"], len(TEACHERS + PARENTS)
    print(f"- Four constructs do not explain all that {questions} questions have in common: CFI {cfi:.2f}.")


if __name__ == "__main__":
    main()

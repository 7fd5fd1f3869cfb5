"""Small groups, real people: leadership and well-being in 99 companies of the United States Army.

    python examples/army_units.py PATH

PATH is the folder with ``bh1996.csv``: 7,382 soldiers by company (Bliese & Halverson 1996, Journal of Applied Social
Psychology 26; in the R package multilevel). The companies are large, so their means are nearly exact. That allows a
test on real data: keep five people of each company, and see which method still finds what all of them said.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import roxmodel as rox

COLUMNS = {"hours": "HRS", "leadership": "LEAD", "cohesion": "COHES", "wellbeing": "WBEING"}
FACTORS = {"hours": "context", "leadership": "influencers", "cohesion": "behaviours", "wellbeing": "pride"}
EDGES = ["hours -> leadership", "leadership + hours -> cohesion", "leadership + hours + cohesion -> wellbeing"]
ANSWERS = [("leadership", "cohesion"), ("leadership", "wellbeing"), ("hours", "wellbeing")]
PEOPLE, TIMES, SEED = 5, 50, 1996


def army_model(others: str = "employee") -> rox.RoxModel:
    """Build the graph; `others` is the source that answers on cohesion and well-being."""

    def score(name: str) -> rox.Construct:
        source = others if name in ("cohesion", "wellbeing") else "employee"
        return rox.Construct(name=name, factor=FACTORS[name], source=source, items=[COLUMNS[name]])

    return rox.RoxModel(name="army", constructs=[score(name) for name in COLUMNS], edges=EDGES)


def fitted(study: rox.Study, method: str = "linked") -> rox.Fit:
    """Estimate; what the checks doubt is printed and counted below, so it is not warned of as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        return rox.fit(study.model, study, method=method)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="folder with bh1996.csv")
    soldiers = pd.read_csv(parser.parse_args().path / "bh1996.csv")
    study = rox.Study(army_model(), employee=soldiers, by="GRP")
    fit, path = fitted(study), fitted(study, "path")
    print_groups(study)
    print_levels(fit, path)
    print_small_groups(soldiers, fit)


def print_groups(study: rox.Study) -> None:
    print("1. The companies\n")
    columns = ["construct", "respondents", "units", "answers_min", "answers_median", "icc1", "icc2"]
    print(study.linkage()[columns].round(2).to_string(index=False))


def print_levels(fit: rox.Fit, path: rox.Fit) -> None:
    """Put the edges between companies, by both methods, beside those among people of one company."""
    print("\n2. Between companies, and among people of one company\n")
    tables = {
        "linked": fit.edges(),
        "linked se": fit.edges(),
        "path": path.edges(),
        "path se": path.edges(),
        "within": fit.edges(level="within"),
    }
    columns = {
        name: table.set_index(["cause", "effect"])["se" if name.endswith("se") else "estimate"]
        for name, table in tables.items()
    }
    table = pd.DataFrame(columns)
    table.index = [" -> ".join(pair) for pair in table.index]
    print(table.round(2).to_string())
    for name, one in (("linked", fit), ("path", path)):
        print(f"\nWhat the checks doubt of the {name} fit: {len(one.doubts) or 'nothing'}")
        for doubt in one.doubts:
            print(f"- {doubt}")


def totals(fit: rox.Fit) -> pd.DataFrame:
    """Total effects asked for, with their intervals."""
    rows = [fit.effects(cause, effect).iloc[-1] for cause, effect in ANSWERS]
    return pd.DataFrame(rows, index=[f"{cause} -> {effect}" for cause, effect in ANSWERS])


def print_small_groups(soldiers: pd.DataFrame, fit: rox.Fit) -> None:
    """Estimate from five people a company, many times over."""
    full = totals(fit)["estimate"].rename("all people")
    drawn = pd.concat(small_samples(soldiers), ignore_index=True)
    drawn["held"] = drawn["ci_low"].le(drawn["effect"].map(full)) & drawn["ci_high"].ge(drawn["effect"].map(full))
    drawn["held"] = (
        drawn["held"].astype(float).where(drawn["ci_low"].notna())
    )  # the data may say nothing: then there is none
    print(f"\n3. {PEOPLE} people a company, {TIMES} times: total effects\n")
    for people, own in drawn.groupby("people", sort=False):
        print(f"{people} rate cause and effect")
        print(pd.concat([full, *columns_of(own)], axis=1).round(2).to_string())
        asked = own.assign(without=own["ci_low"].isna()).groupby("method", sort=False)
        for name, of in asked:
            print(
                f"{name}: {of['doubted'].mean():.0%} of fits doubted, {of['without'].mean():.0%} of intervals not given"
            )
        print()
    print("held: share of the 95 % intervals (where the data give one) that hold what all people said.")


def columns_of(drawn: pd.DataFrame) -> list[pd.Series]:
    """Mean and standard deviation over the samples, and how often the interval held, for each method."""
    found = []
    for method, own in drawn.groupby("method", sort=False):
        by = own.groupby("effect")
        found += [by["estimate"].mean().rename(method), by["estimate"].std().rename("sd")]
        found.append(by["held"].mean().rename("held"))
    return found


def small_samples(soldiers: pd.DataFrame) -> list[pd.DataFrame]:
    """Total effects by both methods, from samples in which the same or different people rate cause and effect."""
    rng, found = np.random.default_rng(SEED), []
    for _ in range(TIMES):
        order = soldiers.iloc[rng.permutation(len(soldiers))]
        place = order.groupby("GRP").cumcount()
        some, others = order[place < PEOPLE], order[place.between(PEOPLE, 2 * PEOPLE - 1)]
        studies = {
            "the same people": rox.Study(army_model(), employee=some, by="GRP"),
            "different people": rox.Study(army_model("others"), employee=some, sources={"others": others}, by="GRP"),
        }
        for people, study in studies.items():
            for method in ("path", "linked"):
                fit = fitted(study, method)
                found.append(
                    totals(fit)
                    .rename_axis("effect")
                    .reset_index()
                    .assign(people=people, method=method, doubted=bool(fit.doubts))
                )
    return found


if __name__ == "__main__":
    main()

"""From two surveys to money in one sitting (simulated data, so that the truth is known)."""

import roxmodel as rox

# 1. Data: employees and customers of 120 branches, different people, linked only by their branch.
world = rox.datasets.make_world(units=120, seed=7)

# 2. The model: what causes what, and which questions measure it.
SCALE = rox.Likert(1, 5)
model = rox.RoxModel(
    name="branches",
    constructs=[
        rox.Construct(
            name="influencers",
            factor="influencers",
            source="employee",
            items=["inf1", "inf2", "inf3"],
            scale=SCALE,
        ),
        rox.Construct(
            name="pride",
            factor="pride",
            source="employee",
            items=["pri1", "pri2", "pri3", "pri4"],
            scale=SCALE,
        ),
        rox.Construct(
            name="behaviours",
            factor="behaviours",
            source="employee",
            items=["beh1", "beh2", "beh3"],
            scale=SCALE,
        ),
        rox.Construct(
            name="value",
            factor="value_drivers",
            source="customer",
            items=["val1", "val2", "val3", "val4"],
            scale=SCALE,
        ),
        rox.Construct(
            name="loyalty", factor="outcomes", source="customer", items=["loy1", "loy2", "loy3"], scale=SCALE
        ),
        rox.Construct(name="revenue", factor="outcomes", source="unit", items=["revenue"]),
        rox.Construct(name="affluence", factor="context", source="unit", items=["affluence"]),
    ],
    edges=[
        "influencers -> pride",
        "influencers + pride -> behaviours",
        "behaviours -> value",
        "value -> loyalty",
        "value + loyalty -> revenue",
        "affluence -> influencers + value + revenue",
    ],
)

# 3. Link the surveys and look before estimating.
study = rox.Study(model, employee=world.employee, customer=world.customer, unit=world.unit, by="branch")
print(study.linkage()[["construct", "respondents", "units", "matched", "icc1", "icc2"]].round(2).to_string(index=False))

# 4. Estimate the edges.
fit = rox.fit(model, study)
print()
print(fit.summary())
print()
print(fit.effects("pride", "revenue").round(3).to_string(index=False))
print(f"Truth of this simulated world: {world.truth.total('pride', 'revenue'):.1f}")

# 5. Ask what an action would do, in points and in money.
coaching = rox.Intervention(name="coaching", shift={"pride": 0.4}, cost=1_200_000.0, start=1, ramp=1)
run = rox.simulate(fit, [coaching], horizon=8, draws=2_000, seed=1, value={"revenue": 1_000.0}, discount=0.02)
print()
print(run.summary())

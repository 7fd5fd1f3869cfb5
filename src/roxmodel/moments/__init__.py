"""Moments: mergeable sufficient statistics of answers, the waist of the house.

Rows enter once and are forgotten. `Moments` holds one level (people, or a printed matrix), `SourceMoments`
one survey by unit, `UnitFigures` the units' own books, `LinkedMoments` all of them. The moments of parts add
up to those of the whole, in any order; sums are taken about means, never raw (Chan, Golub & LeVeque 1983).
"""

"""Measurement invariance over groups: configural, metric, scalar fits, compared."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import numpy as np

from roxmodel.errors import RoxError, RoxWarning, did_you_mean
from roxmodel.estimate.methods import fit
from roxmodel.estimate.options import HELD_EQUAL, unit_notes
from roxmodel.frozen import FrozenMapping
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.single import Moments
from roxmodel.result.comparison import compare
from roxmodel.result.fit import Fit
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.study import Study

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Invariance", "InvarianceLevel", "invariance", "verdict_of"]

InvarianceLevel: TypeAlias = Literal["configural", "metric", "scalar", "strict"]

_EQUAL: Final[dict[str, tuple[str, ...]]] = {**HELD_EQUAL, "strict": (*HELD_EQUAL["scalar"], "residuals")}
_WHAT: Final = {"metric": "loadings", "scalar": "intercepts", "strict": "residual variances"}
_MEANING: Final = {
    "metric": "edges may be compared between groups",
    "scalar": "means of the constructs may be compared too",
    "strict": "means of the items may be compared too",
}
# Chen (2007): falls of CFI, rises of RMSEA and SRMR that speak against invariance; (more than 300 rows, fewer).
_CFI: Final = (0.010, 0.005)
_RMSEA: Final = (0.015, 0.010)
_SRMR: Final = {"metric": (0.030, 0.025), "scalar": (0.010, 0.005), "strict": (0.010, 0.005)}
_SMALL = 300
_ALPHA = 0.05  # of the chi-square differences of all steps together: the indices judge only what is more than chance


@dataclass(frozen=True, eq=False)
class Invariance:
    """Whether a questionnaire means the same in every group; made by `roxmodel.invariance`.

    Attributes
    ----------
    group
        Column whose values are the groups.
    fits
        The fits by level, the least restricted first.

    """

    group: str
    fits: Mapping[str, Fit]

    def table(self) -> pd.DataFrame:
        """The levels side by side.

        Returns
        -------
        DataFrame
            level, then as `roxmodel.compare` (df, chisq, aic, bic, chisq_diff, df_diff, pvalue, scaling_diff), cfi,
            rmsea, srmr (corrected for answers that are not normal where the fits are), cfi_diff, rmsea_diff,
            srmr_diff (this level less the one before), verdict (``holds``, ``doubtful`` or ``fails``; empty in the
            first row), note.

        References
        ----------
        Chen (2007), doi 10.1080/10705510701301834.
        """
        found = compare(**self.fits).rename(columns={"fit": "level"})
        note = found.pop("note")
        for index in ("cfi", "rmsea", "srmr"):
            values = [self.fits[level].index_values for level in found["level"]]
            robust = [own.get(f"{index}_robust", np.nan) for own in values]
            found[index] = [float(own[index] if np.isnan(r) else r) for own, r in zip(values, robust, strict=True)]
        for index in ("cfi", "rmsea", "srmr"):
            found[f"{index}_diff"] = found[index].diff()
        alpha = _ALPHA / (len(self.fits) - 1)
        found["verdict"] = ["", *(verdict_of(row, self._n, alpha) for row in found.iloc[1:].to_dict("records"))]
        found["note"] = [" ".join(filter(None, pair)) for pair in zip(note, self._units_told(), strict=True)]
        return found

    def _units_told(self) -> list[str]:
        """Level by level, what its equal loadings do to variances that the model fixes, where they first do it."""
        told = [" ".join(unit_notes(fit.model, fit.table, "marker")) for fit in self.fits.values()]
        return ["" if words in told[:place] else words for place, words in enumerate(told)]

    @property
    def _n(self) -> int:
        return next(iter(self.fits.values())).population.n

    @property
    def verdict(self) -> str:
        """What may be compared between the groups, in words."""
        first, *steps = self.table().to_dict("records")
        numbers = f"CFI {first['cfi']:.3f}, RMSEA {first['rmsea']:.3f}, SRMR {first['srmr']:.3f}"
        lines = [f"{first['level'].capitalize()}: {numbers}; all further levels rest on this fit."]
        open_door = True
        for row in steps:
            lines.append(_sentence(row, self._n, open_door))
            open_door = open_door and row["verdict"] == "holds"
        return "\n".join([*lines, *self._rule(steps)])

    def _rule(self, steps: Sequence[Mapping[Any, Any]]) -> list[str]:
        """By what was judged, and what so few rows cannot show."""
        size = 0 if self._n > _SMALL else 1
        limits = f"CFI {_CFI[size]:.3f}, RMSEA {_RMSEA[size]:.3f}, SRMR " + ", ".join(
            f"{_SRMR[level][size]:.3f} ({level})" for level in (row["level"] for row in steps)
        )
        over = f", which is {_ALPHA} over {len(steps)} steps" if len(steps) > 1 else ""
        alpha = f"p < {_ALPHA / len(steps):.3g}{over}"
        words = [f"Rule: an alarm takes a significant chi-square difference ({alpha}) and an index beyond {limits}."]
        if any(np.isnan(row["pvalue"]) for row in steps):
            words.append("Where there is no test the indices alone judge, which raises false alarms in small samples.")
        if self._n <= _SMALL:
            words.append(f"{self._n} rows miss many differences: what holds is not contradicted rather than shown.")
        return [" ".join(words)]

    def __repr__(self) -> str:
        verdicts = ", ".join(f"{r['level']} {r['verdict']}" for r in self.table().iloc[1:].to_dict("records"))
        return f"<Invariance over {self.group!r}: {verdicts}>"

    def __str__(self) -> str:
        return self.verdict


def _beyond(row: Mapping[Any, Any], n: int) -> list[str]:
    """Indices that speak against this level."""
    size = 0 if n > _SMALL else 1
    worse = {
        "CFI": -row["cfi_diff"] >= _CFI[size],
        "RMSEA": row["rmsea_diff"] >= _RMSEA[size],
        "SRMR": row["srmr_diff"] >= _SRMR[row["level"]][size],
    }
    return [name for name, beyond in worse.items() if beyond]


def verdict_of(row: Mapping[Any, Any], n: int, alpha: float = _ALPHA) -> str:
    """Judge one level by the chi-square difference to the level before, and by how its indices differ.

    The indices scatter so much in small samples that the limits alone would raise an alarm over groups that answer
    alike in every third to second case at 80 rows a group (`benchmarks/invariance_alarms.py`); in large ones the test
    sees differences that do not matter. So an alarm takes both.

    `row` holds level, cfi_diff, rmsea_diff, srmr_diff, and pvalue of the difference (NaN or absent: no test, the
    indices alone judge); `n` is the rows of all groups, `alpha` the level of the test: `Invariance` divides .05 by the
    number of steps, so that it is that of all together. ``holds`` where the test finds no difference (p >= alpha) or no
    index is beyond its limit; else ``fails`` where CFI and another index are beyond, ``doubtful`` where only some are.
    Chen (2007), doi 10.1080/10705510701301834; Cheung & Rensvold (2002), doi 10.1207/S15328007SEM0902_5.

    >>> worse = {"level": "metric", "cfi_diff": -0.012, "rmsea_diff": 0.016, "srmr_diff": 0.0}
    >>> verdict_of({**worse, "pvalue": 0.01}, n=500), verdict_of({**worse, "pvalue": 0.2}, n=500)
    ('fails', 'holds')
    """
    beyond = _beyond(row, n)
    if not beyond or row.get("pvalue", np.nan) >= alpha:
        return "holds"
    return "fails" if "CFI" in beyond and len(beyond) > 1 else "doubtful"


def _sentence(row: Mapping[Any, Any], n: int, open_door: bool) -> str:
    level, what, beyond = row["level"], _WHAT[row["level"]], _beyond(row, n)
    test = (
        "no test" if np.isnan(row["pvalue"]) else f"p = {row['pvalue']:.3f}" if row["pvalue"] >= 0.001 else "p < .001"
    )
    numbers = (
        f"CFI {row['cfi_diff']:+.3f}, RMSEA {row['rmsea_diff']:+.3f}, SRMR {row['srmr_diff']:+.3f}, chi-square "
        f"difference {row['chisq_diff']:.2f} on {row['df_diff']:.0f} df, {test}"
    )
    holds = f"equal {what} cost little ({numbers})"
    if beyond:
        one = len(beyond) == 1
        holds = f"equal {what} are not contradicted: {' and '.join(beyond)} {'moves' if one else 'move'} beyond the "
        holds += f"limit{'' if one else 's'}, but by no more than chance in {n} rows ({numbers})"
    outcome = {
        "holds": holds + (f": {_MEANING[level]}." if open_door else "."),
        "doubtful": f"equal {what} are doubtful: {' and '.join(beyond)} alone "
        f"{'is' if len(beyond) == 1 else 'are'} beyond the limit ({numbers}).",
        "fails": f"equal {what} do not hold ({numbers}); modification_indices() of this fit says which.",
    }
    return f"{level.capitalize()}: {outcome[row['verdict']]}"


def invariance(
    model: RoxModel,
    data: object,
    *,
    group: str,
    levels: Sequence[InvarianceLevel] = ("configural", "metric", "scalar"),
    **options: Any,
) -> Invariance:
    """Fit a model with more and more held equal over groups, and say what may be compared between them.

    Parameters
    ----------
    model
        The model; its structural part stays free in every group.
    data
        A frame with all items of a person in one row.
    group
        Column whose values are the groups.
    levels
        ``"configural"`` (nothing is equal), ``"metric"`` (loadings), ``"scalar"`` (intercepts too; latent means are
        free in all groups but the first), ``"strict"`` (residual variances too).
    **options
        Of `roxmodel.fit`: estimator, missing, cluster, weight, ...

    Returns
    -------
    Invariance
        With the fits, their table, and the verdict in words. A level holds unless the chi-square difference to the
        level before is significant (.05 over all steps) and an index moves beyond the limits of Chen (2007): it fails
        where CFI falls by .010 and RMSEA rises by .015 or SRMR by .030 (.010 from scalar on); with 300 rows or fewer
        .005, .010, .025 (.005). Where only some of the indices say so it is doubtful. Without the test these limits
        raise false alarms in every third to second small sample. Few rows miss much: there "holds" means not
        contradicted.

    Raises
    ------
    RoxError
        For an unknown level or option, and as `roxmodel.fit` does.

    References
    ----------
    Chen (2007), doi 10.1080/10705510701301834.

    Examples
    --------
    >>> import numpy as np
    >>> import roxmodel as rox
    >>> rng = np.random.default_rng(1)
    >>> common = rng.normal(size=(600, 1))
    >>> answers = 4 + common * [1.0, 0.9, 0.8, 1.1] + 0.6 * rng.normal(size=(600, 4))
    >>> rows = {f"p{i}": column for i, column in enumerate(answers.T)} | {"region": ["north", "south"] * 300}
    >>> model = rox.RoxModel.from_lavaan("pride =~ p0 + p1 + p2 + p3")
    >>> rox.invariance(model, rows, group="region")
    <Invariance over 'region': metric holds, scalar holds>
    """
    for level in levels:
        if level not in _EQUAL:
            raise RoxError(f"levels= names {level!r}.", hint=did_you_mean(str(level), get_args(InvarianceLevel)))
    for name in ("method", "equal", "invariance", "group"):
        if name in options:
            raise RoxError(f"{name}= is not an option here: the levels say what is equal.", hint=f"Leave {name}= out.")
    if isinstance(data, Study | LinkedMoments | Moments):
        raise RoxError(
            f"rox.invariance compares the answers of groups of people, and was given {type(data).__name__}.",
            hint="Give the frame of one survey, all items of a person in one row.",
        )
    if len(set(levels)) < 2:
        raise RoxError(f"levels= was {tuple(levels)!r}.", allowed="at least two levels")
    ordered = [level for level in _EQUAL if level in levels]
    fits: dict[str, Fit] = {}
    for step in ordered:
        with warnings.catch_warnings():
            if fits:  # the first fit has said what is doubtful in these data
                warnings.simplefilter("ignore", RoxWarning)
            fits[step] = fit(model, data, method="sem", group=group, equal=_EQUAL[step], **options)
    return Invariance(group, FrozenMapping(fits))

"""The fit: an immutable answer whose heart is one parameter table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from roxmodel.errors import RoxError
from roxmodel.plots.draw import draw_diagram
from roxmodel.plots.text import to_dot, to_mermaid
from roxmodel.result.fitted import Fitted
from roxmodel.result.persistence import load_fitted, save_fit
from roxmodel.result.summary import fit_html, fit_summary
from roxmodel.result.tables import edge_table, effect_table, fit_diagram, parameter_frame
from roxmodel.types import Interval, Level

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from roxmodel.result.factor_scores import ScoreMethod

__all__ = ["Fit", "load"]


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Fitted):
    """What was estimated, by which method, from how many, and how sure it is.

    Made by `roxmodel.fit`, read back by `roxmodel.load`; never changed.

    Attributes
    ----------
    model
        The model that was estimated.
    method, level
        ``path`` (later ``sem``, ``linked``); ``between`` units, or ``single`` for respondents and matrices.
    se, errors
        Kind of standard errors asked for, and how they are computed, in words.
    table, estimates
        The parameter table and its numbers, row by row.
    vcov
        (n_free, n_free) covariance of the free parameters.
    equations, measures, population
        How each effect was estimated, how scores are formed, whom the numbers speak of.
    verdicts
        ``converged``, ``identified``, ``admissible``, each with its reason.
    notes
        The small print, in sentences.
    index_values
        Fit indices by name.
    resampling
        Replicates of the bootstrap, or None.

    Examples
    --------
    >>> import roxmodel as rox
    >>> world = rox.datasets.make_world(60, seed=1)
    >>> fit = rox.fit(world.model, world.study(), method="path")
    >>> fit
    <Fit of 'branches' by method 'path', 60 units>
    >>> fit.converged, fit.identified, fit.admissible, len(fit.edges())
    (True, True, True, 10)
    """

    def edges(self, level: Level | None = None) -> pd.DataFrame:
        """Every edge with its uncertainty.

        Returns
        -------
        DataFrame
            cause, effect, estimate (units of the effect per unit of the cause), se, z (estimate / se), p, ci_low,
            ci_high (95 %), standardized (by model-implied standard deviations), level, n (rows of this equation),
            n_units, method, then df (of the t distribution, infinite = normal), family, robustness_value (share
            of residual variance that an unmeasured cause must explain on both sides to bring the edge to zero),
            status.

        Raises
        ------
        RoxError
            If another level than the fit's is asked for.
        """
        if level is not None and level != self.level:
            raise RoxError(f"This fit has no edges at level {level!r}.", allowed=repr(self.level))
        return edge_table(self)

    def parameters(self) -> pd.DataFrame:
        """The whole parameter table.

        Returns
        -------
        DataFrame
            id, kind, left, right, group, free, estimate, se, z, p, ci_low, ci_high, standardized, label, note.
        """
        return parameter_frame(self)

    def effects(self, cause: str, effect: str, interval: Interval | None = None) -> pd.DataFrame:
        """Direct, indirect and total effects of one construct on another.

        Parameters
        ----------
        cause, effect
            Names of constructs.
        interval
            ``"delta"`` (default for standard and robust errors) or ``"draws"`` (default, and percentile, for the
            bootstrap and wherever an equation is curved).

        Returns
        -------
        DataFrame
            kind (direct, indirect, total), path (``"a -> x -> b"`` or ``"all"``), estimate (units of the effect
            per unit of the cause), se, ci_low, ci_high, p, standardized.

        Raises
        ------
        RoxError
            For unknown names, or ``interval="delta"`` where an equation is curved.

        References
        ----------
        Bollen (1987), doi 10.2307/271028.
        """
        return effect_table(self, cause, effect, interval)

    def modification_indices(self, least: float = 0.0) -> pd.DataFrame:
        """M."""
        from roxmodel.result.modification import modification_indices

        return modification_indices(self, least)

    def factor_scores(self, data: object, method: ScoreMethod = "regression", group: str | None = None) -> pd.DataFrame:
        """F."""
        from roxmodel.result.factor_scores import factor_scores

        return factor_scores(self, data, method, group)

    def summary(self) -> str:
        """The fit in plain words."""
        return fit_summary(self)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return fit_html(self)

    def plot(self) -> Figure:
        """Draw the graph with its estimates: width by strength, the interval on each edge."""
        return draw_diagram(fit_diagram(self))

    def to_dot(self) -> str:
        """Write the graph with its estimates in Graphviz's DOT language."""
        return to_dot(fit_diagram(self))

    def to_mermaid(self) -> str:
        """Write the graph with its estimates as a Mermaid flowchart."""
        return to_mermaid(fit_diagram(self))

    def save(self, path: str | Path) -> Path:
        """Write the fit as a model document (JSON): model, parameters, covariances; no unit and no respondent.

        Raises
        ------
        DocumentError
            If the file cannot be written.
        """
        return save_fit(self, path)


def load(path: str | Path) -> Fit:
    """Read a fit from the document that `Fit.save` wrote.

    Raises
    ------
    DocumentError
        If it cannot be read, is truncated, altered, of another kind or of a newer schema.

    Examples
    --------
    >>> import tempfile
    >>> import roxmodel as rox
    >>> world = rox.datasets.make_world(60, seed=1)
    >>> fit = rox.fit(world.model, world.study(), method="path")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = rox.load(fit.save(Path(folder) / "branches.rox.json"))
    >>> bool((again.theta == fit.theta).all())
    True
    """
    found = load_fitted(path)
    return Fit(**{field.name: getattr(found, field.name) for field in fields(Fitted)})

"""The fit: an immutable answer whose heart is one parameter table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from roxmodel.errors import RoxError
from roxmodel.plots.diagram import to_dot, to_mermaid
from roxmodel.plots.draw import draw_diagram
from roxmodel.result.derived import standardized_table
from roxmodel.result.fit_story import fit_story
from roxmodel.result.fitted import Fitted
from roxmodel.result.groups import group_fields
from roxmodel.result.persistence import load_fitted, save_fit
from roxmodel.result.tables import edge_table, effect_table, fit_diagram, parameter_frame, within_table
from roxmodel.saving import AnyPath
from roxmodel.story import Spoken, Story
from roxmodel.survey.composites import MIN_GROUP
from roxmodel.types import Interval, Level, read_only

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from roxmodel.result.latent import ScoreMethod
    from roxmodel.result.misfit import ResidualKind
    from roxmodel.result.sensitivity import Sensitivity

__all__ = ["Fit", "load"]


@read_only
@dataclass(frozen=True, eq=False, repr=False)
class Fit(Fitted, Spoken):
    """What was estimated, by which method, from how many, and how sure it is.

    Made by `roxmodel.fit`, read back by `roxmodel.load`; never changed.

    Attributes
    ----------
    model
        The model that was estimated.
    method, level
        ``path``, ``sem`` or ``linked``; ``between`` units, or ``single`` for respondents and matrices.
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
    within_edges, predicted
        Of method "linked": edges among the answers of one unit, and predicted levels of the units (`unit_scores`).
    doubts
        What makes the numbers doubtful (`roxmodel.doubts.Doubt`): those of the study, and the fit's own; empty =
        nothing was seen. A saved document holds them without names of units.

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
            status; in a fit of several groups also group (and n is that of the group); doubt (names of the checks that
            doubt the edge, empty = none, see `checks`).

        Parameters
        ----------
        level
            None: the fit's own. ``"within"`` (method "linked"): edges among the answers of people of one unit, for
            edges with both ends in one survey; another question, never mixed with the effects between units.

        Raises
        ------
        RoxError
            If the fit has no edges at that level.
        """
        if level == "within" and self.traits.levels == "predicted":
            return within_table(self)
        if level is not None and level != self.level:
            allowed = "'between' or 'within'" if self.traits.levels == "predicted" else repr(self.level)
            raise RoxError(f"This fit has no edges at level {level!r}.", allowed=allowed)
        return edge_table(self)

    def unit_scores(self) -> pd.DataFrame:
        """Level of every construct in every unit, predicted from all that is known of the unit (method "linked").

        Best linear unbiased predictions: a noisy mean of few answers is drawn towards what the rest of the unit and the
        graph let expect, so that differences between units come out smaller than those of the raw means.

        Returns
        -------
        DataFrame
            One row a unit: its key; each construct in points of its first item; ``<construct>_se`` (the parameters
            taken as known); ``predicted``: constructs of which nothing was observed in the unit; ``hidden``: constructs
            left out (NaN) because fewer than the study's `min_group` people answered there, or because the unit would
            give such a one away.

        Raises
        ------
        EstimationError
            If the fit is by another method, or was loaded from a document, which holds no unit.

        References
        ----------
        Henderson (1975), doi 10.2307/2529430.
        """
        from roxmodel.result.levels import unit_score_table

        return unit_score_table(self)

    def parameters(self, interval: Literal["percentile", "bca"] | None = None) -> pd.DataFrame:
        """The whole parameter table.

        Parameters
        ----------
        interval
            ``"percentile"`` or ``"bca"`` (bias-corrected and accelerated, of the free parameters; Efron 1987, doi
            10.1080/01621459.1987.10478410) of a bootstrap; None = percentile of a bootstrap, else by standard errors.

        Returns
        -------
        DataFrame
            id, kind, left, right, group, free, estimate, se, z, p, ci_low, ci_high, standardized, label, note. In a
            fit of several groups ids end in ``@group``; equal numbers in `free` are parameters held equal.
        """
        return parameter_frame(self, interval)

    def effects(self, cause: str, effect: str, interval: Interval | None = None) -> pd.DataFrame:
        """Direct, indirect and total effects of one construct on another.

        Parameters
        ----------
        cause, effect
            Names of constructs.
        interval
            ``"delta"`` (default for standard and robust errors), ``"draws"`` (default, and percentile, for the
            bootstrap, wherever an equation is curved, and for products of several edges by method "linked", whose
            distribution is skewed with few units: there intervals by delta end below the truth too often), or
            ``"bca"`` (bias-corrected and accelerated; needs a bootstrap by method "sem").

        Returns
        -------
        DataFrame
            kind (direct, indirect, total), path (``"a -> x -> b"`` or ``"all"``), estimate (units of the effect
            per unit of the cause), se, ci_low, ci_high, p, standardized; in a fit of several groups also group.

        Raises
        ------
        RoxError
            For unknown names, or ``interval="delta"`` where an equation is curved.

        References
        ----------
        Bollen (1987), doi 10.2307/271028.
        """
        return effect_table(self, cause, effect, interval)

    def sensitivity(self, cause: str, effect: str, benchmark: str | None = None) -> Sensitivity:
        """How strong one unmeasured cause must be to overturn an effect: each edge on its paths, and the total.

        No data show whether there is such a cause. Of an edge: the share of what is left of its cause and of its
        effect that it must explain. Of the total: the equal share of what their causes leave of every construct on the
        paths, with the signs that lower the effect most. Along one chain of edges that is never more than the weakest
        edge takes, and as a rule less, because one cause acts on all of them at once.

        Parameters
        ----------
        cause, effect
            Names of constructs.
        benchmark
            A measured construct that is on no path and no effect of the cause, such as a context: how strong is it?

        Returns
        -------
        DataFrame
            cause, effect, kind (``edge`` for each on the paths, ``total``), estimate, robustness_value (0-1),
            benchmark, times_benchmark (robustness value over the largest share that a cause as strong as the benchmark
            explains of a construct there: below 1, one that is everywhere as strong as the benchmark is where it is
            strongest overturns it), adjusted_estimate, adjusted_ci_low, adjusted_ci_high (had a cause been left out
            that is tied to each construct as the benchmark is, signs most unfavourable), bound (``estimate``: what
            brings it to 0; ``interval``: what brings the nearer end of the 95 % interval there, 0 if 0 is within),
            verdict (one sentence; it begins with ``fragile`` below 0.1 or below 1 times the benchmark). Its ``plot()``
            draws the contours of the total. NaN where an equation is no linear regression; the verdict says so.

        Raises
        ------
        RoxError
            For unknown names, no path, a benchmark on a path, several groups, or a feedback loop.

        References
        ----------
        Cinelli & Hazlett (2020), doi 10.1111/rssb.12348, for one edge; "Assumptions" among the explanations derives
        the total from it, equation by equation.

        Examples
        --------
        >>> import roxmodel as rox
        >>> world = rox.datasets.make_world(60, seed=1)
        >>> fit = rox.fit(world.model, world.study(), method="path")
        >>> found = fit.sensitivity("pride", "value")
        >>> found.query("bound == 'estimate'")[["cause", "effect", "kind", "robustness_value"]].round(2)
                cause      effect   kind  robustness_value
        0       pride  behaviours   edge              0.45
        2  behaviours       value   edge              0.37
        4       pride       value  total              0.29
        """
        from roxmodel.result.sensitivity import sensitivity_table

        return sensitivity_table(self, cause, effect, benchmark)

    def standardized(self) -> pd.DataFrame:
        """Standardised parameters with errors of their own (a p of the raw parameter says nothing of them).

        Returns
        -------
        DataFrame
            id, kind, left, right, group, estimate, se, z, p, ci_low, ci_high: everything in model-implied standard
            deviations; by the delta method, or from the replicates of a bootstrap.

        Raises
        ------
        EstimationError
            If the fit has no latent model.
        """
        return standardized_table(self)

    def group(self, name: str) -> Fit:
        """One group of a fit of several, as a fit of its own.

        Its rows are numbered anew and named as in a fit without groups; estimates, errors and draws are those of the
        whole fit. Fit indices belong to all groups together and are NaN here. A fit without groups is its own.

        Parameters
        ----------
        name
            Of the group.

        Raises
        ------
        RoxError
            If there is no such group, with the likely one.
        """
        return Fit(**group_fields(self, name))

    def edge_differences(self) -> pd.DataFrame:
        """Compare every edge between the groups, pair by pair.

        Returns
        -------
        DataFrame
            cause, effect, group, other_group, estimate, other_estimate, difference (the group's less the other's), se
            (delta method with the covariance of both; for the bootstrap that of the replicates), z, p, p_holm
            (adjusted for the number of differences), ci_low, ci_high (95 %), same_units: whether all loadings of both
            constructs are equal by design; if not, a difference may be one of units. An edge that was held equal has
            the difference 0 and no test.

        Raises
        ------
        RoxError
            If the fit has no groups.

        References
        ----------
        Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.
        """
        from roxmodel.result.groups import edge_differences

        return edge_differences(self)

    def factor_scores(self, data: object, method: ScoreMethod = "regression", group: str | None = None) -> pd.DataFrame:
        """Scores of the latent constructs for people, with standard errors; answers may be missing.

        Parameters
        ----------
        data
            A frame, or a mapping of answers (one person; items may be left out) or of columns. Answers are as in the
            fit's data: reversed items are turned, labels read. Answers outside an item's scale are refused.
        method
            ``"regression"``: the mean of the construct given the answers (Thurstone 1935), shrunken towards the
            group's mean, which it is for somebody without any answer. ``"bartlett"``: unbiased, from the answers alone
            (Bartlett 1937); NaN for a construct that the person's answers do not tell.
        group
            Column with the groups, if the fit has groups.

        Returns
        -------
        DataFrame
            One row for each of the input, in its order: each construct, in its own units around its mean in the
            first group (0 without modelled means; a one-item construct stands at its answer), then
            ``<construct>_se``. Standard errors take the parameters as known.

        Raises
        ------
        EstimationError
            If the fit has no latent constructs, ordinal items, or comes from a matrix without means.
        DataError
            For a missing column, an answer that cannot be read, or an unknown group.

        References
        ----------
        Thurstone (1935), The vectors of mind; Bartlett (1937), doi 10.1111/j.2044-8295.1937.tb00863.x.
        """
        from roxmodel.result.latent import factor_scores

        return factor_scores(self, data, method, group)

    def residuals(self, kind: ResidualKind = "correlation", group: str | None = None) -> pd.DataFrame:
        """What the model leaves of the items' covariances: sample less implied.

        Parameters
        ----------
        kind
            ``"raw"``: covariances. ``"correlation"``: the sample's correlations less the implied ones (beyond ±.1 a
            pair deserves a look). ``"standardized"``: covariances over the standard error of their residual, with
            normal answers (NaN where the model leaves nothing to chance).
        group
            One group; None = all of them, stacked (index: group, item).

        Returns
        -------
        DataFrame
            (p, p), items by items. With missing answers the sample's moments are the maximum-likelihood ones. Of
            ordinal items those of the normal variables behind them, what covariates bring included.

        Raises
        ------
        EstimationError
            If the fit has no latent constructs.

        References
        ----------
        Bollen (1989), Structural equations with latent variables, ch. 7.
        """
        from roxmodel.result.misfit import residual_frame

        return residual_frame(self, kind, group)

    def modification_indices(self, least: float = 0.0) -> pd.DataFrame:
        """What chi-square would fall by if one more parameter were free, and what that parameter would be.

        They say where the model fits badly, not what is true: a change of the model needs a reason of its own and
        other data to be tested on.

        Parameters
        ----------
        least
            Smallest index shown; 3.84 is the 5 % point of one test.

        Returns
        -------
        DataFrame
            kind, left, right, group, mi, p, epc (expected change of the parameter), epc_standardized, status, p_holm (p
            adjusted for the number of candidates of its kind); the largest first, among equal ones arrows. status:
            ``absent`` (loadings, covariances of items, covariances and edges of constructs that are not in the model;
            no edge that closes an undeclared loop), ``fixed`` (to a number), ``equal`` (held equal to others: what
            setting it free in this place alone would bring). What the data could not tell from the parameters in the
            model is left out. They are score tests by the likelihood of the fit: for units (method "linked") and
            answers with holes they are found with the fit and kept in memory, with more than 40 items those of
            constructs only.

        Raises
        ------
        EstimationError
            If the fit has no latent constructs or ordinal items; for units and answers with holes also if it was
            loaded from a document, is one group of a fit, or was not settled.

        References
        ----------
        Sörbom (1989), doi 10.1007/BF02294623; Holm (1979), A simple sequentially rejective multiple test procedure,
        Scandinavian Journal of Statistics 6.

        Examples
        --------
        >>> import roxmodel as rox
        >>> world = rox.datasets.make_world(60, seed=1)
        >>> table = rox.fit(world.model, world.study()).modification_indices(least=3.84)
        >>> table.columns.tolist()[:5], bool(table["mi"].is_monotonic_decreasing)
        (['kind', 'left', 'right', 'group', 'mi'], True)
        """
        from roxmodel.result.misfit import modification_indices

        return modification_indices(self, least)

    def r2(self) -> pd.DataFrame:
        """Share of variance explained.

        Returns
        -------
        DataFrame
            kind (``item``: by its constructs; ``construct``: by its causes), name, r2, and, in a fit of several
            groups, group. Items measured without error are left out.

        Raises
        ------
        EstimationError
            If the fit has no latent constructs.
        """
        from roxmodel.result.misfit import explained

        return explained(self)

    def _story(self) -> Story:
        return fit_story(self)

    def plot(self) -> Figure:
        """Draw the graph with its estimates: width by strength, the interval on each edge.

        Raises
        ------
        EstimationError
            If the fit has several groups: draw `Fit.group`.
        """
        return draw_diagram(fit_diagram(self))

    def to_dot(self) -> str:
        """Write the graph with its estimates in Graphviz's DOT language."""
        return to_dot(fit_diagram(self))

    def to_mermaid(self) -> str:
        """Write the graph with its estimates as a Mermaid flowchart."""
        return to_mermaid(fit_diagram(self))

    def save(self, path: AnyPath, min_group: int = MIN_GROUP) -> Path:
        """Write the fit as a model document (JSON): model, parameters, covariances; no unit and no respondent.

        The file is written whole or not at all; what is kept of a file that stands there says
        `roxmodel.saving.write_whole`. Estimates are exact, so that two documents from data that differ by one person
        can be differenced: what changed is that person's doing. Publish one document a wave, and round the tables you
        hand on ("Privacy" among the explanations says what is promised).

        Parameters
        ----------
        min_group
            Fewest people that a group in the document may have: the means and intercepts of a group of one are the
            person's answers.

        Raises
        ------
        DocumentError
            If the file cannot be written, or the fit, or one of its groups, rests on fewer people than that.
        """
        return save_fit(self, path, min_group)


def load(path: AnyPath) -> Fit:
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

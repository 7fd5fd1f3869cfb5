"""The model that users build: the causal record with its parameter table, its lavaan text and its picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from roxmodel.plots.draw import draw_diagram
from roxmodel.plots.text import to_dot, to_mermaid
from roxmodel.spec.causal import CausalModel
from roxmodel.spec.constructs import Construct, Covariance, Edge
from roxmodel.spec.diagram import model_diagram, model_html
from roxmodel.spec.lavaan import read_lavaan
from roxmodel.spec.lavaan_writer import write_lavaan
from roxmodel.spec.parameters import plan

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Construct", "Covariance", "Edge", "RoxModel"]


class RoxModel(CausalModel):
    """What causes what, and which questions measure it.

    Parameters
    ----------
    name
        Name of the model.
    constructs
        The constructs; those without edges are allowed (a measurement model is a model).
    edges
        Arrow text such as ``"influencers + pride -> behaviours"`` or ``"value <-> loyalty"``, `Edge`,
        `Covariance`; one or a list of them.
    covariances
        Unmeasured common causes; ``<->`` in `edges` ends up here.
    feedback
        Whether loops without a lag are declared.
    definitions
        Defined parameters: name to arithmetic over labels and other definitions, in any order.
    terminal_covariances
        Whether disturbances of constructs that cause nothing covary freely (as lavaan's ``sem()`` has it).
    exogenous
        Whether the (co)variances of observed exogenous constructs are parameters (``"free"``) or given by the data
        (``"fixed"``). With ordinal items (``estimator="DWLS"``) the others are conditioned on what is given, as in
        lavaan: a 0/1 stays a 0/1; with ``"free"`` it is taken as cut from a normal variable.

    Raises
    ------
    SpecError
        For unknown names (with the likely one), an item used twice, a construct nobody measures, a loop
        without a lag (named), arrow text that cannot be read (with the character).

    Examples
    --------
    >>> model = RoxModel(
    ...     name="two",
    ...     constructs=[
    ...         Construct(name="pride", factor="pride", source="employee", items=["pri1", "pri2"]),
    ...         Construct(name="loyalty", factor="outcomes", source="customer", items=["loy1"]),
    ...     ],
    ...     edges=["pride -> loyalty"],
    ... )
    >>> model.causes("loyalty")
    ('pride',)
    """

    def parameters(self) -> pd.DataFrame:
        """Plan the parameters of the latent-variable model: one row each (see `roxmodel.spec.parameters`)."""
        return plan(self).frame()

    def to_lavaan(self) -> str:
        """Write the model in lavaan's syntax for ``sem()``.

        Raises
        ------
        SpecError
            If a name cannot be a lavaan name.
        """
        return write_lavaan(self)

    @classmethod
    def from_lavaan(
        cls,
        text: str,
        factors: Mapping[str, str] | None = None,
        source: str = "customer",
        name: str = "lavaan",
    ) -> Self:
        """Read lavaan syntax (``=~ ~ ~~ :=`` with fixed values, labels, ``NA`` and ``start()``).

        Parameters
        ----------
        text
            The model. Statements end with their line or a semicolon and go on where an operator stands at either end;
            ``#`` and ``!`` begin a comment; definitions may stand in any order.
        factors
            Construct to factor; the rest become ``context``.
        source
            Who answered all of it.
        name
            Name of the model.

        Raises
        ------
        SpecError
            Naming the statement that cannot be read, or that says two things of one parameter.
        """
        return cls(**read_lavaan(text, factors or {}, source, name))

    def to_dot(self) -> str:
        """Write the graph in Graphviz's DOT language."""
        return to_dot(model_diagram(self))

    def to_mermaid(self) -> str:
        """Write the graph as a Mermaid flowchart."""
        return to_mermaid(model_diagram(self))

    def plot(self) -> Figure:
        """Draw the graph: five columns by factor, context below."""
        return draw_diagram(model_diagram(self))

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return model_html(self)

    def __repr__(self) -> str:
        factors = ", ".join(f"{c.name} ({c.factor}, {c.source}, {len(c.items)})" for c in self.constructs)
        return f"<RoxModel {self.name!r}: {len(self.edges)} edges between {factors}>"

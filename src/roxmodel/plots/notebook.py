"""A figure that shows itself in a notebook. Imports matplotlib: import it from `figure` only."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure

__all__ = ["NotebookFigure"]


class NotebookFigure(Figure):
    """A matplotlib figure outside pyplot's global state that notebooks display all the same.

    IPython shows a plain `Figure` only after pyplot registered its formatter. This one brings its own PNG,
    so it displays as the last value of a cell with or without pyplot, and never twice.
    """

    def _repr_png_(self) -> bytes:
        with BytesIO() as stream:
            self.savefig(stream, format="png", facecolor="white")
            return stream.getvalue()

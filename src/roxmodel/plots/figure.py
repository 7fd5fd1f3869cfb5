"""Make an empty figure, measure text for it, write it to a file. The only door to matplotlib."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from roxmodel.errors import RoxError, listed
from roxmodel.plots.geometry import Measure
from roxmodel.saving import AnyPath, as_path, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure_svg", "font_measure", "new_figure", "require_matplotlib", "save_figure"]

_DPI: Final = 100
_RASTER_DPI: Final = 200
# No date in the file and a fixed salt for its ids: the same figure gives the same bytes.
_UNDATED: Final[dict[str, dict[str, Any]]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}


def require_matplotlib() -> None:
    """Say what to install if matplotlib is missing; the rest of the library does without it.

    Raises
    ------
    RoxError
        If matplotlib cannot be imported.

    Examples
    --------
    >>> require_matplotlib()
    """
    try:
        import matplotlib as _  # noqa: F401
    except ImportError as error:
        raise RoxError(
            "Drawing needs matplotlib, which is not installed.",
            hint='Install it with: pip install "roxmodel[plot]".',
        ) from error


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure outside pyplot's global state; notebooks display it all the same.

    Parameters
    ----------
    width, height
        Inches.

    Returns
    -------
    matplotlib.figure.Figure
        With an Agg canvas, so that nothing needs a screen or leaks into pyplot.

    Raises
    ------
    RoxError
        If matplotlib is not installed.

    Examples
    --------
    >>> new_figure(4.0, 3.0).get_size_inches().tolist()
    [4.0, 3.0]
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from roxmodel.plots.notebook import NotebookFigure

    figure = NotebookFigure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def font_measure() -> Measure:
    """Return the function that measures text in matplotlib's current font.

    Examples
    --------
    >>> measure = font_measure()
    >>> measure("wide", 9.0, False) < measure("wider", 9.0, False) < measure("wider", 9.0, True)
    True
    """
    from functools import cache

    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    @cache
    def measure(text: str, size: float, bold: bool) -> float:
        font = FontProperties(size=size, weight="bold" if bold else "normal")
        # Raster fonts round every letter to pixels; 4 % covers that.
        return 1.04 * float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72

    return measure


def figure_svg(figure: Figure) -> bytes:
    """Write a figure as SVG, the same bytes for the same figure.

    Examples
    --------
    >>> figure_svg(new_figure(2.0, 1.0)).startswith(b"<?xml")
    True
    """
    from io import BytesIO

    from matplotlib import rc_context, rcParams

    stream = BytesIO()
    with rc_context({"svg.hashsalt": rcParams["svg.hashsalt"] or "roxmodel"}):
        figure.savefig(stream, format="svg", metadata=_UNDATED["svg"])
    return stream.getvalue()


def save_figure(figure: Figure, path: AnyPath) -> Path:
    """Write a figure to a file; the suffix says the format.

    Parameters
    ----------
    figure
        What a drawing function of this library returned (any matplotlib figure will do).
    path
        Ends in ``.svg``, ``.png`` or ``.pdf``; its folder exists. Written whole or not at all, as
        `roxmodel.saving.write_whole` does it.

    Returns
    -------
    pathlib.Path
        The file written. The same figure gives the same bytes: no date, and a fixed ``svg.hashsalt`` unless
        the caller set one (``figure.savefig`` leaves both to the caller).

    Raises
    ------
    RoxError
        If the suffix is another, the folder is missing or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(new_figure(2.0, 1.0), Path(folder) / "empty.svg").name
    'empty.svg'
    """
    require_matplotlib()
    from matplotlib import rc_context, rcParams

    target = as_path(path, RoxError)
    kind = target.suffix.lower().removeprefix(".")
    if kind not in _UNDATED:
        raise RoxError(f"Cannot save a figure as {target.name!r}.", allowed=listed(f".{k}" for k in _UNDATED))
    dpi = _RASTER_DPI if kind == "png" else figure.dpi
    drawn = BytesIO()
    with rc_context({"svg.hashsalt": rcParams["svg.hashsalt"] or "roxmodel"}):
        figure.savefig(drawn, format=kind, dpi=dpi, metadata=_UNDATED[kind])
    return write_whole(path, drawn.getvalue(), RoxError)

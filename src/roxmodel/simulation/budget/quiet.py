"""Nothing but the library's own words: what compiled code writes to the terminal by itself is kept from it."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import IO

__all__ = ["without_lines"]

_LOCK = Lock()
_OUT = 1  # standard output, to compiled code


class _Aside:
    """Where standard output goes while anyone wants it quiet: one file, however many ask at once."""

    users = 0
    before = -1
    file: IO[bytes] | None = None


@contextmanager
def without_lines(start: bytes) -> Iterator[None]:
    """Keep lines that begin so from standard output; everything else arrives, at the end.

    HiGHS has a line for its developers that no option turns off
    (https://github.com/ERGO-Code/HiGHS/issues/2783). Output of other threads is held back in the meantime, not lost.
    Where the stream cannot be turned aside (there is none), nothing is done.

    Parameters
    ----------
    start
        First bytes of the lines.

    Examples
    --------
    >>> with without_lines(b"HighsMipSolverData"):
    ...     one = 1
    """
    _turn_aside()
    try:
        yield
    finally:
        _turn_back(start)


def _turn_aside() -> None:
    with _LOCK:
        _Aside.users += 1
        if _Aside.users > 1:
            return
        with suppress(OSError):
            before = os.dup(_OUT)
            try:
                file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever turns back
            except OSError:
                os.close(before)
                raise
            os.dup2(file.fileno(), _OUT)
            _Aside.before, _Aside.file = before, file


def _turn_back(start: bytes) -> None:
    with _LOCK:
        _Aside.users -= 1
        if _Aside.users or _Aside.file is None:
            return
        with suppress(OSError, AttributeError):  # what the C library still holds belongs into the file
            ctypes.CDLL(None if os.name == "posix" else "ucrtbase").fflush(None)
        os.dup2(_Aside.before, _OUT)
        os.close(_Aside.before)
        _Aside.file.seek(0)
        held = [line for line in _Aside.file.read().splitlines(keepends=True) if not line.startswith(start)]
        _Aside.file.close()
        _Aside.file = None
        if held:
            os.write(_OUT, b"".join(held))

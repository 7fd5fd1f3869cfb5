"""Write a file whole or not at all: the one way in which anything of this library reaches a disk."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from roxmodel.errors import DocumentError, RoxError

__all__ = ["AnyPath", "as_path", "write_whole"]

AnyPath: TypeAlias = str | PathLike[str]

_MARK: Final = ".draft"
# Windows refuses to replace a file for the moment in which another process replaces or reads it.
_PATIENCE: Final = (0.01, 0.05, 0.25, 1.0) if os.name == "nt" else ()


def as_path(path: AnyPath, error: type[RoxError] = DocumentError) -> Path:
    """Take a path as it may be given: text, or anything with ``__fspath__``; else raise an `error`."""
    try:
        return Path(path)
    except TypeError:
        raise error(
            f"{path!r} is no path but of type {type(path).__name__!r}.", allowed="text or a pathlib.Path"
        ) from None


def write_whole(path: AnyPath, content: bytes, error: type[RoxError] = DocumentError) -> Path:
    """Write a file so that at every moment the old one or the new one stands there whole.

    The content goes to a temporary file of a random name in the same folder, to the disk, then takes the place of the
    old file; an exception, an interrupt included, removes it, a killed process may leave it behind (``.roxmodel-…``).
    Of several savers the last one stays, whole. What prevents it is raised as `error`, naming the path.

    - A new file has the umask's mode, an existing one keeps its own; owner, group, access-control lists and extended
      attributes are kept where this process may set them; a group that cannot be kept gets no more than everybody.
    - A file that this process may not write is left alone, although its folder would let it be replaced.
    - A symbolic link is followed, to a target that need not exist; of several hard links only this name is replaced.
    - What is no file (``/dev/stdout``, a pipe, a terminal), and the file that standard output goes to, is written to.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder) / "note.txt", b"whole").read_bytes()
    b'whole'
    """
    target = as_path(path, error)
    if not target.name or os.fspath(path).endswith((os.sep, os.altsep or os.sep)):
        raise error(f"{str(path)!r} cannot be written: it is a directory.", hint="Give a file name.")
    try:
        old = _found(target)
        if old is not None and stat.S_ISDIR(old.st_mode):
            raise error(f"{str(path)!r} cannot be written: it is a directory.", hint="Give a file name.")
        stream = None if old is None else _standard_output(old)
        if old is not None and (stream is not None or not stat.S_ISREG(old.st_mode)):
            with target.open("wb") if stream is None else os.fdopen(os.dup(stream), "wb") as out:
                out.write(content)
        else:
            _replace(Path(os.path.realpath(target)), old, content)
    except (OSError, ValueError) as why:
        if isinstance(why, RoxError):
            raise
        raise error(f"{str(path)!r} cannot be written: {_reason(target, why)}.") from None
    return target


def _found(target: Path) -> os.stat_result | None:
    """What stands at the end of all links; None where nothing does."""
    try:
        return target.stat()
    except FileNotFoundError:
        return None


def _reason(target: Path, why: Exception) -> str:
    if isinstance(why, FileNotFoundError):
        folder = Path(os.path.realpath(target)).parent
        if not folder.exists():
            return f"there is no folder {str(folder if target.is_symlink() else target.parent)!r}"
    said = getattr(why, "strerror", None) or str(why)
    if isinstance(why, PermissionError) and why.filename2 is None and str(why.filename or "").endswith(_MARK):
        return f"its folder takes no new file ({said}), which a safe replacement needs"
    return said


# Streams: written to, never replaced.


def _standard_output(old: os.stat_result) -> int | None:
    """The standard stream, if any, that goes to this very file."""
    for stream in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(stream), old):
                return stream
    return None


# Files: replaced.


def _replace(real: Path, old: os.stat_result | None, content: bytes) -> None:
    if old is not None and not os.access(real, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(real))
    with _draft(real.parent, 0o666 if old is None else 0o600) as (draft, out):
        if old is not None:
            _keep_access(out.fileno(), draft, real, old)
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
        out.close()
        _put(draft, real)
    _sync_folder(real.parent)


@contextmanager
def _draft(folder: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file that nobody else has; it is gone again unless it was moved away."""
    draft = folder / f".roxmodel-{secrets.token_hex(8)}{_MARK}"
    try:
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as out:
            yield draft, out
    except BaseException as why:
        taken = isinstance(why, FileExistsError) and why.filename2 is None  # 1 in 2 ** 64
        if not taken:
            with suppress(OSError):
                draft.unlink()
        raise


def _keep_access(handle: int, draft: Path, real: Path, old: os.stat_result) -> None:
    """Give the draft the access rights of the file it replaces, never wider ones."""
    mode = old.st_mode & 0o777
    if hasattr(os, "fchown"):
        for owner, group in ((old.st_uid, -1), (-1, old.st_gid)):
            with suppress(OSError):
                os.fchown(handle, owner, group)
        if os.fstat(handle).st_gid != old.st_gid:
            mode = mode & ~0o070 | (mode & 0o007) << 3
    with suppress(OSError):
        draft.chmod(mode)
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in os.listxattr(real):
                with suppress(OSError):
                    os.setxattr(handle, name, os.getxattr(real, name))


def _put(draft: Path, real: Path) -> None:
    for wait in _PATIENCE:
        try:
            draft.replace(real)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    draft.replace(real)


def _sync_folder(folder: Path) -> None:
    """Let the new name reach the disk too, where a folder can be opened (not on Windows)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

"""One writer for all files: whole or not at all, nothing beside it touched, one sentence where it cannot be done."""

import errno
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from roxmodel import saving
from roxmodel.errors import DataError, DocumentError
from roxmodel.saving import write_whole

posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and pipes of POSIX")
OLD, NEW = b"old " * 1_000, b"new " * 2_000


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def never(*given, **options):
    return False


def alone(path):
    return [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "fit.json").write_bytes(OLD)
    return tmp_path / "fit.json"


class Likened:
    """Something with a path that is no `Path`."""

    def __init__(self, inner):
        self.inner = inner

    def __fspath__(self):
        return self.inner


def test_bytes_are_written_as_they_are(tmp_path):
    for made in (str, Path, Likened):
        given = made(str(tmp_path / "fit.json"))
        assert write_whole(given, b"a\r\nb\n\xff") == tmp_path / "fit.json"
        assert (tmp_path / "fit.json").read_bytes() == b"a\r\nb\n\xff"
    assert alone(tmp_path / "fit.json")


def test_a_name_as_long_as_names_may_be(tmp_path):
    assert write_whole(tmp_path / ("x" * 250 + ".json"), NEW).read_bytes() == NEW


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_new_files(tmp_path, mask):
    before = os.umask(mask)
    try:
        assert mode(write_whole(tmp_path / "fit.json", NEW)) == 0o666 & ~mask
    finally:
        os.umask(before)


@posix
@pytest.mark.parametrize("kept", [0o600, 0o640, 0o664, 0o666, 0o604, 0o777])
def test_an_existing_file_keeps_its_mode(path, kept):
    path.chmod(kept)
    write_whole(path, NEW)
    assert (mode(path), path.read_bytes()) == (kept, NEW)


@posix
def test_the_content_is_never_more_open_than_the_file_was(path, monkeypatch):
    path.chmod(0o600)
    seen = []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append(os.fstat(handle).st_mode & 0o777))
    write_whole(path, NEW)
    assert seen[0] == 0o600


@posix
def test_where_the_group_cannot_be_kept_it_gets_no_more_than_everybody(path, monkeypatch):
    path.chmod(0o664)
    found = os.stat

    class Other:
        st_mode, st_uid, st_gid = found(path).st_mode, found(path).st_uid, found(path).st_gid + 1

    def refuse(*given):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    with saving._draft(path.parent, 0o600) as (draft, out):
        saving._keep_access(out.fileno(), draft, path, Other)
        assert mode(draft) == 0o644


@posix
def test_extended_attributes_are_kept_where_there_are_any(path):
    if not hasattr(os, "setxattr"):
        pytest.skip("no extended attributes on this system")
    try:
        os.setxattr(path, "user.note", b"ours")
    except OSError:
        pytest.skip("no extended attributes on this disk")
    write_whole(path, NEW)
    assert os.getxattr(path, "user.note") == b"ours"


@posix
def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "fit.json"
    target.write_bytes(OLD)
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    second.symlink_to(Path("real") / "fit.json")
    first.symlink_to("second.json")
    assert write_whole(first, NEW) == first
    assert first.is_symlink()
    assert second.is_symlink()
    assert not target.is_symlink()
    assert target.read_bytes() == NEW
    assert alone(target)


@posix
def test_a_link_that_leads_to_nothing_makes_its_target(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "fit.json"
    link.symlink_to(tmp_path / "real" / "new.json")
    write_whole(link, NEW)
    assert link.is_symlink()
    assert (tmp_path / "real" / "new.json").read_bytes() == NEW


@posix
def test_links_that_lead_nowhere_are_refused(tmp_path):
    (tmp_path / "nowhere.json").symlink_to(tmp_path / "missing" / "fit.json")
    (tmp_path / "round.json").symlink_to(tmp_path / "round.json")
    (tmp_path / "folder.json").symlink_to(tmp_path)
    for name, why in (
        ("nowhere", "there is no folder '.*missing'"),
        ("round", "links"),
        ("folder", "it is a directory"),
    ):
        with pytest.raises(DocumentError, match=rf"{name}\.json' cannot be written: .*{why}"):
            write_whole(tmp_path / f"{name}.json", NEW)
        assert (tmp_path / f"{name}.json").is_symlink()
    assert len(list(tmp_path.iterdir())) == 3


@posix
def test_a_hard_linked_file_is_replaced_under_its_name_only(path):
    other = path.with_name("other.json")
    other.hardlink_to(path)
    write_whole(path, NEW)
    assert (path.read_bytes(), other.read_bytes()) == (NEW, OLD)


@pytest.mark.parametrize("beside", ["fit.json.part", "fit.json.tmp", ".fit.json", "fit.json~", ".roxmodel-8.draft"])
def test_neighbours_are_untouched(path, beside):
    path.with_name(beside).write_bytes(b"mine")
    write_whole(path, NEW)
    assert path.with_name(beside).read_bytes() == b"mine"
    assert len(list(path.parent.iterdir())) == 2


def test_a_name_that_is_taken_is_left_alone(path, monkeypatch):
    monkeypatch.setattr(saving.secrets, "token_hex", "{}".format)
    path.with_name(".roxmodel-8.draft").write_bytes(b"mine")
    with pytest.raises(DocumentError, match="cannot be written: File exists"):
        write_whole(path, NEW)
    assert path.with_name(".roxmodel-8.draft").read_bytes() == b"mine"
    assert path.read_bytes() == OLD


@pytest.mark.parametrize(
    ("raised", "seen", "why"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DocumentError, "No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DocumentError, "Disk quota exceeded"),
        (OSError(errno.EIO, "Input/output error"), DocumentError, "Input/output error"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (MemoryError(), MemoryError, None),
        (SystemExit(3), SystemExit, "3"),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "replace", "chmod", "open"])
def test_on_every_exception_the_old_file_stands_alone(path, monkeypatch, raised, seen, why, step):
    def fail(*given, **options):
        raise raised

    if step == "chmod" and isinstance(raised, OSError):
        return  # a disk that has no modes
    monkeypatch.setattr(*{"chmod": (Path, "chmod"), "replace": (Path, "replace")}.get(step, (os, step)), fail)
    with pytest.raises(seen, match=why):
        write_whole(path, NEW)
    monkeypatch.undo()
    assert path.read_bytes() == OLD
    assert alone(path)


def test_an_interrupt_between_two_steps_leaves_nothing(path, monkeypatch):
    """Wherever a traced line of the writer is interrupted, one whole file stands alone."""
    home, seen = saving.__file__, set()

    def runs(stop):
        count = 0

        def tracer(frame, event, argument):
            nonlocal count
            if frame.f_code.co_filename != home:
                return None
            if event == "line":
                count += 1
                if count == stop:
                    raise KeyboardInterrupt
            return tracer

        sys.settrace(tracer)
        try:
            write_whole(path, NEW)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    before = sys.gettrace()
    stop = 1
    while runs(stop):
        seen.add(path.read_bytes())
        assert path.read_bytes() in {OLD, NEW}
        left = [one for one in path.parent.iterdir() if one != path]
        assert not left, (stop, left)
        path.write_bytes(OLD)
        stop += 1
    assert stop > 20
    assert seen == {OLD, NEW}


def test_a_full_disk_in_truth(path):
    code = (
        "import resource, signal, sys; from roxmodel.saving import write_whole; from roxmodel.errors import RoxError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "try: write_whole(sys.argv[1], b'x' * 400)\nexcept RoxError as error: print(error)"
    )
    if os.name != "posix":
        pytest.skip("limits of POSIX")
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "fit.json' cannot be written: File too large." in done.stdout
    assert path.read_bytes() == OLD
    assert alone(path)


def test_what_cannot_be_written_is_said_in_one_sentence(tmp_path, path):
    for given, why in (
        (tmp_path, "it is a directory"),
        ("", "it is a directory"),
        (".", "it is a directory"),
        (f"{tmp_path / 'new'}{os.sep}", "it is a directory"),
        (tmp_path / "missing" / "fit.json", "there is no folder '.*missing'"),
        (path / "fit.json", "Not a directory|no folder"),
        (tmp_path / ("x" * 300), "name too long|no folder"),
        ("a\x00b", "embedded null"),
    ):
        with pytest.raises(DocumentError, match=rf"cannot be written: .*({why})"):
            write_whole(given, NEW)
    for given in (None, 3, b"fit.json", ["fit.json"], path.open("rb")):
        with pytest.raises(DataError, match="is no path but of type"):
            write_whole(given, NEW, DataError)
        if hasattr(given, "close"):
            given.close()
    assert alone(path)
    assert path.read_bytes() == OLD


def test_a_file_that_may_not_be_written_is_left_alone(path, monkeypatch):
    monkeypatch.setattr(os, "access", never)
    with pytest.raises(DocumentError, match=r"fit\.json' cannot be written: Permission denied"):
        write_whole(path, NEW)
    assert path.read_bytes() == OLD


def test_a_folder_that_takes_no_file_is_named_as_the_reason(path, monkeypatch):
    opened = os.open

    def refuse(name, flags, *mode):
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied", str(name))
        return opened(name, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DocumentError, match=r"its folder takes no new file \(Permission denied\)"):
        write_whole(path, NEW)
    assert path.read_bytes() == OLD


def test_savers_of_one_path_all_succeed(path):
    contents = [bytes([65 + k]) * 200_000 for k in range(8)]
    gate = threading.Barrier(8)

    def save(content):
        gate.wait()
        for _ in range(5):
            write_whole(path, content)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, contents))
    assert path.read_bytes() in contents
    assert alone(path)


def test_a_busy_file_is_tried_again(path, monkeypatch):
    """On Windows a file cannot be replaced in the moment in which another process has it open."""
    tries, replaced = [], Path.replace

    def busy(self, target):
        tries.append(target)
        if len(tries) < 3:
            raise PermissionError(errno.EACCES, "Access is denied")
        return replaced(self, target)

    monkeypatch.setattr(saving, "_PATIENCE", (0.0, 0.0, 0.0))
    monkeypatch.setattr(Path, "replace", busy)
    write_whole(path, NEW)
    assert (len(tries), path.read_bytes()) == (3, NEW)
    assert alone(path)


@posix
def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(pipe.read_bytes)
        write_whole(pipe, NEW)
        assert got.result(10) == NEW
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert write_whole(os.devnull, NEW) == Path(os.devnull)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert alone(pipe)


@posix
@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout")
def test_standard_output_is_written_to_wherever_it_goes(tmp_path):
    code = (
        "from roxmodel.saving import write_whole\n"
        "print('first', flush=True); write_whole('/dev/stdout', b'second\\n'); print('third')"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"first\nsecond\nthird\n"
    with (tmp_path / "out.txt").open("w+b") as out:
        subprocess.run(command, stdout=out, check=True)
        out.seek(0)
        assert out.read() == b"first\nsecond\nthird\n"
    assert alone(tmp_path / "out.txt")

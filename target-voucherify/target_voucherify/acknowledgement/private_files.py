"""Files that hold people: only their owner may read them, and one run at a time uses them."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from target_voucherify.voucherify_client.errors import SettingsError
from target_voucherify.voucherify_client.timestamps import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterable

    from target_voucherify.settings import Settings

PRIVATE = 0o600
FOR_OTHERS = 0o077
MAX_HOLDER_BYTES = 200

ADVICE = {
    errno.ENOENT: "its folder must exist",
    errno.ENOTDIR: "its folder must exist",
    errno.EISDIR: "it is a folder: name a file in it",
    errno.ENOTSUP: "name a new file",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
}
"""What to do about a file that cannot be written; otherwise its permissions are to blame."""


PRIMARY_CODE = 0xFF
FOLDER_ADVICE = "its folder must exist, and this user may write there"
DATABASE_ADVICE = {
    sqlite3.SQLITE_BUSY: "another program holds it; end that program, then run again",
    sqlite3.SQLITE_LOCKED: "another program holds it; end that program, then run again",
    sqlite3.SQLITE_CORRUPT: "it is damaged; delete it, and the next run sends everything once",
    sqlite3.SQLITE_NOTADB: "it is damaged; delete it, and the next run sends everything once",
    sqlite3.SQLITE_FULL: "free some space on its disk, then run again",
    sqlite3.SQLITE_IOERR: "check the space on its disk and the disk itself, then run again",
}
"""What to do about a SQLite file that cannot be used, by primary result code."""


class Runs(NamedTuple):
    """The run that holds a lock, the last one that used the locked file, and how it left the file.

    A run that ends before it uses the file, because another one is locked, leaves the latter two.
    """

    this: str = ""
    before: str = ""
    left: str = ""


def open_private(path: str | Path, flags: int) -> int:
    """Open a file that only its owner may read, also one that exists with another mode.

    Raises:
        OSError: it cannot be opened, belongs to somebody else and is readable by others, or is a
            pipe or a device, which is left untouched.
    """
    _check_kind(Path(path))
    descriptor = os.open(path, flags | os.O_CREAT, PRIVATE)
    try:
        if os.fstat(descriptor).st_mode & 0o777 != PRIVATE:
            os.fchmod(descriptor, PRIVATE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def open_own(setting: str, path: str | Path, flags: int, begin: bytes) -> int:
    """Open a file of the target's own, which another program's file is not taken for.

    Args:
        setting: that names it.
        path: of the file; it may not exist.
        flags: for opening.
        begin: how such a file begins.

    Raises:
        SettingsError: it cannot be opened, or begins otherwise.
    """
    try:
        descriptor = open_private(path, flags)
        found = os.pread(descriptor, len(begin), 0)
    except OSError as error:
        raise file_error(setting, path, error) from None
    if not begin.startswith(found):  # a kill may have left a part of it
        os.close(descriptor)
        raise SettingsError(
            f"{setting}: {path} holds something else, which is left as it is: name a new file."
        )
    return descriptor


def storable(text: str | None) -> str | None:
    """Text without lone surrogates, which JSON has not, and NUL, which PostgreSQL has not."""
    return text and text.encode("utf-8", "replace").decode().replace("\0", "?")


def write_lines(setting: str, path: str | Path, descriptor: int, lines: list[bytes]) -> None:
    """Write lines, which are taken out of the list, each with its line feed.

    Raises:
        SettingsError: the file cannot be written.
    """
    left = memoryview(b"".join(line + b"\n" for line in lines))
    lines.clear()
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError as error:
        raise file_error(setting, path, error) from None


def _check_kind(path: Path) -> None:
    """Raise an `OSError` for a pipe or a device: opening one may block or change it."""
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(errno.ENOTSUP, "it is a pipe or a device")


def file_error(setting: str, path: str | Path, error: OSError) -> SettingsError:
    """The sentence for a file that cannot be written."""
    advice = ADVICE.get(error.errno or 0, "this user must own it and may write it")
    return SettingsError(f"{setting}: {path} cannot be written ({error.strerror}); {advice}.")


def database_error(setting: str, path: str, error: sqlite3.Error) -> SettingsError:
    """The sentence for a SQLite file that cannot be used."""
    kind = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
    return SettingsError(
        f"{setting}: {path} cannot be used ({error}): {DATABASE_ADVICE.get(kind, FOLDER_ADVICE)}."
    )


def lock_files(settings: Settings, ledgers: Iterable[str]) -> ExitStack:
    """Lock the files that a run writes until the result is closed.

    A dry run writes none and takes no lock.

    Args:
        settings: of the run.
        ledgers: the paths of the ledgers.

    Raises:
        SettingsError: another run uses one of them, its lock cannot be written, or they are one.
    """
    paths = [("ledger_path", path) for path in ledgers]
    paths += _named(settings, "refused_records_path", "results_path")
    every = [*paths, *_named(settings, "plan_path", "metrics_path")]
    names = [os.path.realpath(path) for _, path in every]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise SettingsError(
            "Two of ledger_path, refused_records_path, results_path, plan_path and metrics_path "
            f"name {repeated}: name a file for each."
        )
    with ExitStack() as locks:
        for setting, path in paths:
            if not settings.dry_run:
                locks.callback(os.close, _locked(setting, path))
        return locks.pop_all()


def _named(settings: Settings, *names: str) -> list[tuple[str, str]]:
    """The settings that name a file, with its path."""
    return [(name, path) for name in names if (path := getattr(settings, name))]


def _locked(setting: str, path: str) -> int:
    """The descriptor that holds the lock of a file: a file beside it, locked by the kernel.

    The kernel frees the lock however the process ends. Not the file itself is locked: SQLite locks
    its own, and a replay replaces the refused-records file. The lock's file stays, because two runs
    could lock two files of one name if it were deleted. It says what `Runs` holds.
    """
    try:
        _check_kind(Path(path))
        descriptor = open_private(_lock_of(path), os.O_RDWR)
    except OSError as error:
        raise file_error(setting, path, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        this = f"process {os.getpid()} since {to_iso(datetime.now(UTC))}"
        _write_runs(descriptor, _runs_in(descriptor)._replace(this=this))
    except BlockingIOError:
        holder = _runs_in(descriptor).this
        os.close(descriptor)
        raise SettingsError(
            f"{setting}: {path} is in use by another run ({holder or 'just begun'}): wait until it "
            "ends, or name another file; each pipeline needs its own."
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise file_error(setting, path, error) from None
    return descriptor


def holder_of(path: str) -> str:
    """Which run uses a file now; empty if none does. Nothing is written, and no lock is kept."""
    try:
        descriptor = os.open(_lock_of(path), os.O_RDONLY)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _runs_in(descriptor).this or "just begun"
    finally:
        os.close(descriptor)
    return ""


def runs_of(path: str) -> Runs:
    """What the lock of a file says about its runs.

    Empty texts are unknown: where there is no lock, or where a kill left half of it.
    """
    try:
        descriptor = os.open(_lock_of(path), os.O_RDONLY)
    except OSError:
        return Runs()
    try:
        return _runs_in(descriptor)
    finally:
        os.close(descriptor)


def note_use(path: str, left: str) -> None:
    """Note in the lock of a file that its run uses it, and how it leaves it: empty until then."""
    with suppress(OSError):  # a full disk: the next run distrusts the file
        descriptor = os.open(_lock_of(path), os.O_RDWR)
        try:
            runs = _runs_in(descriptor)
            _write_runs(descriptor, runs._replace(before=runs.this, left=left))
        finally:
            os.close(descriptor)


def _lock_of(path: str) -> Path:
    resolved = Path(path).resolve()
    return resolved.with_name(f"{resolved.name}.lock")


def _runs_in(descriptor: int) -> Runs:
    text = os.pread(descriptor, MAX_HOLDER_BYTES, 0).decode(errors="replace")
    return Runs(*text.split("\n")[: len(Runs._fields)])


def _write_runs(descriptor: int, runs: Runs) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, "\n".join(runs).encode(), 0)

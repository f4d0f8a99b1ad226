"""What SQLite and the operating system say, in words that tell what to do."""

import errno
import os
import sqlite3
from collections.abc import Callable, Mapping

from kvbackends.errors import ConfigurationError, KVBackendsError, StoreError, ValueTooLarge


class Busy(StoreError):
    """Another process kept the file locked for longer than `busy_timeout`; it may soon be free."""


Make = Callable[[str], KVBackendsError]

# The primary result codes are described on SQLite's page "Result and Error Codes".
_BY_CODE: Mapping[int, tuple[Make, str]] = {
    sqlite3.SQLITE_BUSY: (Busy, "is locked by another process"),
    sqlite3.SQLITE_LOCKED: (Busy, "is locked by another connection"),
    sqlite3.SQLITE_READONLY: (
        StoreError,
        "is read-only: make it and its directory writable, and the -wal, -shm and -lock beside it",
    ),
    sqlite3.SQLITE_PERM: (StoreError, "may not be accessed: look at the permissions"),
    sqlite3.SQLITE_FULL: (StoreError, "cannot grow: the disk is full; make room on it"),
    sqlite3.SQLITE_CORRUPT: (
        StoreError,
        "is damaged: restore it, or move it away together with its -wal file",
    ),
    sqlite3.SQLITE_NOTADB: (
        ConfigurationError,
        "is not a SQLite database: name another file in the URL, or move this one away",
    ),
    sqlite3.SQLITE_PROTOCOL: (
        StoreError,
        "cannot be locked (locking protocol): put it on a local disk, not on a network file system",
    ),
    sqlite3.SQLITE_TOOBIG: (ValueTooLarge, "cannot hold a value of this size"),
}

_BY_ERRNO: Mapping[int, str] = {
    errno.EMFILE: "cannot be opened: this process has too many open files; raise `ulimit -n`",
    errno.ENFILE: "cannot be opened: this host has too many open files",
    errno.ENOENT: "cannot be opened: its directory does not exist; create it",
    errno.EACCES: "cannot be opened: the file and its directory must be writable",
    errno.EPERM: "cannot be opened: the file and its directory must be writable",
    errno.EROFS: "cannot be opened: the file system is read-only",
    errno.ENOSPC: "cannot grow: the disk is full; make room on it",
    errno.EDQUOT: "cannot grow: the disk quota is used up",
    errno.EISDIR: "is a directory: name a file in the URL",
    errno.ENOTDIR: "cannot be opened: a part of its path is a file, not a directory",
    errno.ENOLCK: "cannot be locked: put it on a local disk, not on a network file system",
    errno.EOPNOTSUPP: "cannot be locked: put it on a local disk, not on a network file system",
    errno.ENOSYS: "cannot be locked: put it on a local disk, not on a network file system",
}


def translated(error: sqlite3.Error, path: str) -> Exception:
    """The error to raise for one of `sqlite3`'s; itself if it is a mistake in this program."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_CANTOPEN:
        return _cannot_open(path)
    if primary == sqlite3.SQLITE_IOERR:
        return _cannot_write(error, path)
    make, text = _BY_CODE.get(primary, (StoreError, f"failed: {error}"))
    return make(f"the SQLite file {path!r} {text}")


def from_os(error: OSError, path: str) -> KVBackendsError:
    """The error to raise for one of the operating system's."""
    text = _BY_ERRNO.get(error.errno or 0, f"failed: {error.strerror or error}")
    return StoreError(f"the SQLite file {path!r} {text}")


def _cannot_open(path: str) -> KVBackendsError:
    """SQLite does not say why a file cannot be opened; the operating system does."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
    except OSError as error:
        return from_os(error, path)
    return StoreError(
        f"the SQLite file {path!r} cannot be opened, or one of those beside it with -wal and "
        "-shm added: look at the permissions"
    )


def _cannot_write(error: sqlite3.Error, path: str) -> KVBackendsError:
    name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
    return StoreError(
        f"the SQLite file {path!r} cannot be read or written ({name}): is its disk full, over "
        "quota, failing, or a network file system?"
    )

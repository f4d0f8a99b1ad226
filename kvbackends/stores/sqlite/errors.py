"""Translates errors of SQLite and the operating system into messages that say what to do."""

import errno
import os
import sqlite3
from collections.abc import Callable, Mapping

from kvbackends.errors import ConfigurationError, KVBackendsError, StoreError, ValueTooLarge


class Busy(StoreError):
    """Another process kept the file locked, or no file descriptor is left; a retry may succeed."""


Make = Callable[[str], KVBackendsError]

_NOT_LOCAL = "put it on a local disk, not on a network file system"

# SQLite's page "Result and Error Codes" describes the primary result codes.
_BY_CODE: Mapping[int, tuple[Make, str]] = {
    sqlite3.SQLITE_BUSY: (Busy, "is locked by another process"),
    sqlite3.SQLITE_LOCKED: (Busy, "is locked by another connection"),
    sqlite3.SQLITE_READONLY: (
        StoreError,
        "is read-only: make it, its directory, and its -wal, -shm and -lock files writable",
    ),
    sqlite3.SQLITE_PERM: (StoreError, "cannot be accessed: check its permissions"),
    sqlite3.SQLITE_FULL: (StoreError, "cannot grow: the disk is full; make room on it"),
    sqlite3.SQLITE_CORRUPT: (
        StoreError,
        "is damaged: restore it, or move it away together with its -wal file",
    ),
    sqlite3.SQLITE_NOTADB: (
        ConfigurationError,
        "is not a SQLite database: name another file in the URL, or move this one away",
    ),
    sqlite3.SQLITE_PROTOCOL: (StoreError, f"cannot be locked (locking protocol): {_NOT_LOCAL}"),
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
    errno.ENOLCK: f"cannot be locked: {_NOT_LOCAL}",
    errno.EOPNOTSUPP: f"cannot be locked: {_NOT_LOCAL}",
    errno.ENOSYS: f"cannot be locked: {_NOT_LOCAL}",
}


def translated(error: sqlite3.Error, path: str) -> Exception:
    """Return the exception to raise for `error`: `error` itself if it is a bug in this program."""
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
    """Return the exception to raise for an error of the operating system."""
    text = _BY_ERRNO.get(error.errno or 0, f"failed: {error.strerror or error}")
    make = Busy if error.errno in {errno.EMFILE, errno.ENFILE} else StoreError
    return make(f"the SQLite file {path!r} {text}")


def _cannot_open(path: str) -> KVBackendsError:
    """Find the reason by opening the file again: SQLite does not say why it failed."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
    except OSError as error:
        return from_os(error, path)
    return StoreError(
        f"the SQLite file {path!r} or its -wal or -shm file cannot be opened: check the permissions"
    )


def _cannot_write(error: sqlite3.Error, path: str) -> KVBackendsError:
    name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
    return StoreError(
        f"the SQLite file {path!r} cannot be read or written ({name}): is its disk full, over "
        "quota, failing, or a network file system?"
    )

"""Finds the one folder of a database's files, and refuses a file that would have several."""

import os
import stat
from pathlib import Path

from kvbackends.errors import ConfigurationError

MOUNTS = Path("/proc/self/mountinfo")
"""The mount points of this process, see proc(5).  Only Linux has it."""


def located(path: str) -> str:
    """Return the real path of the database, without symbolic links: its files lie beside that.

    Raises `ConfigurationError` if other processes find the same file in another folder, where they
    have a log and a lock of their own: then SQLite loses confirmed results.
    """
    real = Path(os.path.realpath(path))
    try:
        found = real.stat()
    except OSError:  # no such file yet; other reasons show when it is opened
        return str(real)
    if stat.S_ISREG(found.st_mode) and str(real) in _mount_points():
        raise ConfigurationError(
            f"the SQLite file {str(real)!r} is mounted alone; its -wal, -shm and -lock files lie "
            "in another folder for each container, and confirmed results would be lost: mount the "
            f"folder of the file instead (with Docker: --volume FOLDER:{real.parent})"
        )
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise ConfigurationError(
            f"the SQLite file {str(real)!r} has {found.st_nlink} names (hard links), each with its "
            "own -wal, -shm and -lock files, and confirmed results would be lost: remove the other "
            "names; a copy or a symbolic link is fine"
        )
    return str(real)


def _mount_points() -> set[str]:
    try:
        lines = MOUNTS.read_bytes().splitlines()
    except OSError:
        return set()
    # The fifth field is the mount point; a blank in it is written as "\040".
    fields = [line.split()[4].decode("unicode_escape").encode("latin-1") for line in lines]
    return set(map(os.fsdecode, fields))

"""What the checks have written, and its removal at the end of a suite."""

import fcntl
import functools
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from kvbackends.contract import SIZE_PLACE, Feature, Part, Rank, Store
from kvbackends.contract.derived import delete_many
from kvbackends.testing.overlapped import THREADS, Overlapped, side_by_side

RUN = uuid.uuid4().hex[:12]
"""Stands in every key of this process's checks, and of their children."""
PREFIXES = (f"kvt-key-{RUN}", f"kvt-barrier-{RUN}")
WRITES = ("set", "compare_and_set", "increment", "add_member")
SOON = 0.05
"""Seconds after which the tombstone of a removed barrier expires."""
BATCH = 200
"""Keys that are removed at a time."""
LONGEST = 60.0
"""Seconds that the removal may take."""
PLAIN, BARRIER = "k", "b"


def _unnamed_file() -> int:
    descriptor, path = tempfile.mkstemp()
    Path(path).unlink()
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


_notes = _unnamed_file()
"""A descriptor that stays open for as long as the process: forked children write, too."""
_noted: set[tuple[str, str]] = set()


def new_key(kind: str = "key") -> str:
    """Return a key that no other check uses, also where checks share a server."""
    return f"kvt-{kind}-{RUN}{uuid.uuid4().hex[:20]}"


def note(name: str, kind: str = PLAIN) -> None:
    """Remember a key, or the name of a barrier, in this process and its parents."""
    if (kind, name) not in _noted:
        _noted.add((kind, name))
        os.write(_notes, json.dumps([kind, name]).encode() + b"\n")


def noted(store: Store, *also: str) -> Store:
    """Return the store, which from now on notes the keys that it writes, or gives to `also`."""
    for name in (*WRITES, *also):
        setattr(store, name, _noting(getattr(store, name), PLAIN))
    if "barrier" in store.native:  # the records of a derived one are keys
        store.barrier = _noting(store.barrier, BARRIER)  # type: ignore[method-assign]
    return store


def _noting(operation: Callable[..., Any], kind: str) -> Callable[..., Any]:
    @functools.wraps(operation)
    def noting(key: str, *args: Any, **kwargs: Any) -> Any:
        note(key, kind)
        return operation(key, *args, **kwargs)

    return noting


def now() -> int:
    """Return the place in the notes that the next one will have."""
    return os.fstat(_notes).st_size


def remove(store: Store, since: int, threads: int = THREADS) -> list[str]:
    """Remove what was noted since then, and return the names of what could not be removed."""
    names = list(_since(since))
    works = {name: partial(_end, store, name) for kind, name in names if kind == BARRIER}
    keys = dict.fromkeys(name for kind, name in names if kind == PLAIN)
    if store.features & Feature.LISTING:
        keys |= dict.fromkeys(key for prefix in PREFIXES for key in store.scan(prefix))
    every = list(keys)
    for i in range(0, len(every), BATCH):
        works[f"{every[i]} …"] = partial(_delete, store, every[i : i + BATCH])
    removing = Overlapped(works, threads)
    removing.settle(LONGEST)
    time.sleep(SOON + store.limits.ttl_step)  # until the last tombstone has expired
    store.sweep()
    return [name for name in works if not removing.passed(name)]


def _since(place: int) -> Iterator[tuple[str, str]]:
    data = os.pread(_notes, now() - place, place)
    for line in data.splitlines():
        kind, name = json.loads(line)
        yield kind, name


def _delete(store: Store, keys: list[str]) -> None:
    if "delete_batch" in store.native:
        delete_many(store, keys)
    else:
        side_by_side(store.delete, keys)


def _end(store: Store, name: str) -> None:
    """Begin an empty run in the place of what is there, and close it."""
    barrier, last = store.barrier(name, SOON), Part(SIZE_PLACE, "size", "removal")
    barrier.open(b"")
    barrier.expect(last, 0)
    barrier.close(last, None, lambda _: Rank.SUCCEEDED)

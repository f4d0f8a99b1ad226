"""Runs under valgrind: forks of a process store or read few and many results, on a replayed socket.

Prints a line for each library and step, as `benchmarks.redis.instructions` does.
"""

import sys
from collections.abc import Callable

import redis

from benchmarks.backends import new_id, open_app
from benchmarks.peers.libraries import LIBRARIES, Library
from benchmarks.redis.instructions import CONNECT, FEW, MANY, Tape, Work, in_a_fork, tapes

NAMES = [name for name in LIBRARIES if name != "taskiq-redis"]
"""taskiq's client is asynchronous; it has no socket that could be replayed."""


def stores(library: Library) -> Work:
    """Return the work of storing results."""
    return library.store, [new_id() for _ in range(MANY + 2)]


def gets(library: Library) -> Work:
    """Return the work of reading a ready result again and again."""
    ready = new_id()
    library.store(ready)
    return library.get, [ready] * (MANY + 2)


WORKS: dict[str, Callable[[Library], Work]] = {"store": stores, "get": gets}


def main(url: str) -> None:
    """Run each work of each library; all modules are imported before the first fork."""
    real = getattr(redis.Connection, CONNECT)
    setattr(redis.Connection, CONNECT, lambda self: Tape(real(self)))
    for name in NAMES:
        for work in WORKS.values():
            call, given = work(LIBRARIES[name](url))
            call(given[0])
            open_app.cache_clear()
            tapes.clear()
            library = LIBRARIES[name](url)
            print(*(f"{count}:{in_a_fork(work, library, count)}" for count in (FEW, MANY)))
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])

"""Work in many threads at once."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def together(works: Iterable[Callable[[], T]]) -> list[T]:
    """Run each in a thread of its own, begun at the same moment; their answers in order."""
    all_works = list(works)
    start = threading.Barrier(len(all_works))

    def begin(work: Callable[[], T]) -> T:
        start.wait()
        return work()

    with ThreadPoolExecutor(len(all_works)) as pool:
        return list(pool.map(begin, all_works))

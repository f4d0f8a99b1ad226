"""A store that a thread closes while others use it."""

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from kvbackends import KVBackendsError, open_store
from kvbackends.contract import Offer, Rank
from tests.stores.conftest import open_files
from tests.support.urls import with_options

USERS = 4


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize(
    ("retry", "rounds"),
    [
        ("retry=0", 10),
        pytest.param("retry=0", 200, marks=pytest.mark.slow),
        pytest.param("retry_timeout=30", 200, marks=pytest.mark.slow),
    ],
)
def test_closing_gives_other_threads_a_result_or_an_error_of_ours(any_url, retry, rounds):
    """Never a driver's; and no thread and no socket is left."""
    store = open_store(with_options(any_url, retry))
    store.ping()
    store.close()
    before = left_behind()
    wrong: list[BaseException] = []
    done = threading.Event()
    works = [using(store, number) for number in range(USERS)] + [listening(store)]
    threads = [threading.Thread(target=repeat, args=(each, store, done, wrong)) for each in works]
    for each in threads:
        each.start()
    for number in range(rounds):
        time.sleep(0.01 * (number % 5))
        store.close()
    done.set()
    for each in threads:
        each.join(60)
    store.close()
    assert wrong == []
    assert not any(each.is_alive() for each in threads)
    until = time.monotonic() + 20
    while left_behind() > before and time.monotonic() < until:
        time.sleep(0.05)
    assert left_behind() <= before


def repeat(
    work: Callable[[], Any], store: Any, done: threading.Event, wrong: list[BaseException]
) -> None:
    """Work until the test is done, and keep the errors that callers must not get."""
    while not done.is_set():
        try:
            work()
        except (KVBackendsError, *store.transient_errors):
            pass
        except BaseException as error:
            wrong.append(error)


def using(store: Any, number: int) -> Callable[[], None]:
    """Read, write, and record a part."""

    def work() -> None:
        key = f"closing-{number}-{time.monotonic_ns()}"
        store.set(key, b"v" * 2000, 60)
        assert store.get(key).value == b"v" * 2000
        store.offer(Offer(key, b"w", Rank.SUCCEEDED, 60), lambda _: Rank.UNREADY)
        assert len(store.get_batch([key, "closing"])) == 1
        store.compare_and_set(f"{key}-once", b"v", None, 60)
        store.barrier(key, 60).open(b"payload")

    return work


def listening(store: Any) -> Callable[[], None]:
    """Subscribe, and wait."""

    def work() -> None:
        with closing(store.subscribe()) as subscription:
            subscription.watch(["closing"])
            subscription.wait(0.05)

    return work


def left_behind() -> tuple[int, int]:
    """The numbers of open files and of threads."""
    gc.collect()
    return open_files(), threading.active_count()

"""Every store after a fork in C, like uWSGI's: no hook of Python's runs."""

import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import TimeoutError as WaitedTooLong

from kvbackends.testing.forks import fork_in_c
from tests.stores.conftest import begin, ended

CHILDREN, READS = 3, 30
WAIT = 30


@pytest.fixture
def fork(any_url: str) -> Callable[[], int]:
    """A fork in C; with the hooks that uWSGI can be told to run where the driver has threads."""
    return partial(fork_in_c, hooks=any_url.startswith(("mongodb:", "cassandra:")))


@pytest.fixture
def app(any_url: str) -> Iterator[Any]:
    """An app whose process has read and waited."""
    app = Celery("forked", broker="memory://", backend=f"kv+{any_url}", set_as_current=False)
    with pytest.raises(WaitedTooLong):
        app.AsyncResult(str(uuid.uuid4())).get(timeout=0.01)
    yield app
    app.backend.waiters.close()
    app.backend.store.close()
    app.close()


def test_each_process_gets_its_own_answers(app, fork):
    """Children and parent read and wait at the same time; every answer is that of its own task."""
    run = uuid.uuid4().hex
    tasks = [f"{run}-{n}" for n in range(CHILDREN + 1)]
    for n, task in enumerate(tasks):
        app.backend.store_result(task, n, "SUCCESS")

    def use(n: int) -> None:
        for _ in range(READS):
            assert app.backend.get_task_meta(tasks[n], cache=False)["result"] == n
        # The task ends while its process waits for it, and another process stores its result.
        other = threading.Thread(target=store, args=[(n + 1) % len(tasks)])
        other.start()
        assert app.AsyncResult(f"waited-{tasks[n]}").get(timeout=WAIT) == n
        other.join()

    def store(n: int) -> None:
        app.backend.store_result(f"waited-{tasks[n]}", n, "SUCCESS")

    children = [begin(lambda n=n: use(n), 2 * WAIT, fork) for n in range(CHILDREN)]
    use(CHILDREN)
    assert [ended(child) for child in children] == [0] * CHILDREN


def test_a_child_of_a_child(app, fork):
    """A fork of a child has a client of its own, too."""
    task = uuid.uuid4().hex
    app.backend.store_result(task, 1, "SUCCESS")

    def read() -> None:
        assert app.backend.get_task_meta(task, cache=False)["result"] == 1

    def fork_again() -> None:
        read()
        assert ended(begin(read, WAIT, fork)) == 0
        read()

    assert ended(begin(fork_again, WAIT, fork)) == 0
    read()

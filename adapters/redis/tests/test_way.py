"""How many files and Python calls lie between a task's end, or a result's `get`, and Redis."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from uuid import uuid4

import pytest
from celery import Celery
from celery.app.task import Context
from celery.result import AsyncResult

from kvbackends import BaseKeyValueStoreBackend

MOST_FOR_A_RESULT = 8
MOST_FOR_A_PART = 10
MOST_CALLS_OF_A_STORE = 32
MOST_CALLS_OF_A_GET = 54
"""28 of them are Celery's."""


@pytest.fixture
def backend(redis_url: str) -> Iterator[BaseKeyValueStoreBackend]:
    app = Celery(set_as_current=False)
    app.conf.update(result_backend=f"kv+{redis_url}")
    yield app.backend
    app.backend.store.close()


def files_passed(call: Callable[[], object]) -> list[str]:
    """The project's files with a function that `call` enters, in the order of the first entry."""
    passed: dict[str, None] = {}

    def trace(frame: FrameType, event: str, _: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and "tests" not in file.parts and "kvbackends" in str(file.parent):
            passed["/".join(file.parts[-3:])] = None

    sys.setprofile(trace)
    try:
        call()
    finally:
        sys.setprofile(None)
    return list(passed)


def fewest_calls(*calls: Callable[[], object]) -> list[str]:
    """Of the fewest: where a second begins, the time is formatted anew."""
    return min(map(calls_of, calls), key=len)


def calls_of(call: Callable[[], object]) -> list[str]:
    """The Python functions that `call` enters, without itself."""
    entered: list[str] = []

    def trace(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            entered.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")

    sys.setprofile(trace)
    try:
        call()
    finally:
        sys.setprofile(None)
    return entered[1:]


def request_of(chord: object = None) -> Context:
    return Context(
        id=str(uuid4()), group=str(uuid4()), group_index=0, chord=chord, errbacks=None, chain=None
    )


def store(backend: BaseKeyValueStoreBackend, request: Context) -> None:
    backend.mark_as_done(request.id, {"sum": 3}, request)


def test_a_result_passes_eight_files(backend):
    backend.store_result("first", 1, "SUCCESS")  # connects
    passed = files_passed(lambda: backend.store_result("second", {"sum": 3}, "SUCCESS"))
    assert len(passed) <= MOST_FOR_A_RESULT, "\n".join(passed)


def test_a_part_passes_ten_files(backend):
    first, request = (request_of(chord={"task": "body"}) for _ in range(2))
    for each in (first, request):
        backend.store.barrier(backend.chord_prefix + each.group, 60).open(b"")
    store(backend, first)  # loads the script
    passed = files_passed(lambda: store(backend, request))
    assert len(passed) <= MOST_FOR_A_PART, "\n".join(passed)


def test_a_store_costs_few_calls(backend):
    backend.store_result("first", 1, "SUCCESS")  # connects
    entered = fewest_calls(
        lambda: backend.store_result("second", "x", "SUCCESS"),
        lambda: backend.store_result("third", "x", "SUCCESS"),
    )
    assert len(entered) <= MOST_CALLS_OF_A_STORE, "\n".join(entered)


def test_a_get_of_a_ready_result_costs_few_calls(backend):
    backend.store_result("ready", 1, "SUCCESS")
    read = lambda: AsyncResult("ready", app=backend.app).get(timeout=10)  # noqa: E731
    assert read() == 1
    entered = calls_of(read)
    assert len(entered) <= MOST_CALLS_OF_A_GET, "\n".join(entered)

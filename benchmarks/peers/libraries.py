"""The result stores that are compared, each behind the same three steps.

Each is used as its documentation shows, with its defaults.  A library is imported when its store is
opened.
"""

import asyncio
import functools
from typing import Any, Protocol

from celery.result import AsyncResult

from benchmarks.backends import open_backend

VALUE = "x" * 150
"""The result; a record of Celery's with it has 300 bytes."""
KEPT = 3600
"""Seconds to live."""
LONGEST = 10
"""Seconds of a wait at most."""


class Library(Protocol):
    """A result store of one process."""

    def store(self, task_id: str) -> object:
        """Store `VALUE` as a worker does at the end of a task."""

    def get(self, task_id: str) -> object:
        """Return a result that is ready, and leave it there."""

    def wait(self, task_id: str) -> object:
        """Return a result that is not ready yet."""


class OfCelery:
    """A result backend of Celery: ours, or Celery's own."""

    def __init__(self, url: str) -> None:
        self._backend = open_backend(url)
        self._backend.app.conf.result_expires = KEPT

    def store(self, task_id: str) -> object:
        """As `Library`."""
        return self._backend.store_result(task_id, VALUE, "SUCCESS")

    def get(self, task_id: str) -> object:
        """As `Library`."""
        result = AsyncResult(task_id, backend=self._backend, app=self._backend.app)
        return result.get(timeout=LONGEST)

    wait = get


class Dramatiq:
    """The results middleware's backend.  Its wait blocks a connection at the server."""

    def __init__(self, url: str) -> None:
        from dramatiq import Message
        from dramatiq.results.backends import RedisBackend

        self._backend = RedisBackend(url=url)
        self._message = functools.partial(Message, "queue", "actor", (), {}, {})

    def store(self, task_id: str) -> object:
        """As `Library`."""
        return self._backend.store_result(self._message(task_id), VALUE, KEPT * 1000)

    def get(self, task_id: str) -> object:
        """As `Library`."""
        return self._backend.get_result(self._message(task_id))

    def wait(self, task_id: str) -> object:
        """As `Library`."""
        return self._backend.get_result(self._message(task_id), block=True, timeout=LONGEST * 1000)


class RQ:
    """The stream of results of a job.  Its wait blocks a connection, too."""

    def __init__(self, url: str) -> None:
        import redis
        from rq.job import Job
        from rq.results import Result

        self._job = functools.partial(Job, connection=redis.Redis.from_url(url))
        self._results: Any = Result

    def store(self, task_id: str) -> object:
        """As `Library`."""
        kind = self._results.Type.SUCCESSFUL
        return self._results.create(self._job(task_id), kind, ttl=KEPT, return_value=VALUE)

    def get(self, task_id: str) -> object:
        """As `Library`."""
        return self._results.fetch_latest(self._job(task_id)).return_value

    def wait(self, task_id: str) -> object:
        """As `Library`."""
        return self._results.fetch_latest(self._job(task_id), timeout=LONGEST).return_value


class Huey:
    """The storage whose results expire.  Its wait polls, ever more seldom."""

    def __init__(self, url: str) -> None:
        from huey import RedisExpireHuey
        from huey.api import Result, Task

        self._huey: Any = RedisExpireHuey("peers", url=url, expire_time=KEPT)
        self._result, self._task = Result, Task

    def store(self, task_id: str) -> object:
        """As `Library`."""
        return self._huey.put_result(task_id, VALUE)

    def get(self, task_id: str) -> object:
        """As `Library`."""
        return self._huey.get(task_id, peek=True)

    def wait(self, task_id: str) -> object:
        """As `Library`."""
        result = self._result(self._huey, self._task(id=task_id))
        return result.get(blocking=True, timeout=LONGEST, preserve=True)


class Taskiq:
    """The asynchronous backend; each step runs the event loop, as a synchronous caller would."""

    def __init__(self, url: str) -> None:
        from taskiq import AsyncTaskiqTask, TaskiqResult
        from taskiq_redis import RedisAsyncResultBackend

        self._loop = asyncio.new_event_loop()
        self._backend: Any = RedisAsyncResultBackend(redis_url=url, result_ex_time=KEPT)
        self._task = functools.partial(AsyncTaskiqTask, result_backend=self._backend)
        self._result = functools.partial(TaskiqResult, is_err=False, execution_time=0.1)

    def store(self, task_id: str) -> object:
        """As `Library`."""
        stored = self._backend.set_result(task_id, self._result(return_value=VALUE))
        return self._loop.run_until_complete(stored)

    def get(self, task_id: str) -> object:
        """As `Library`."""
        return self._loop.run_until_complete(self._backend.get_result(task_id)).return_value

    def wait(self, task_id: str) -> object:
        """As `Library`."""
        waited = self._task(task_id).wait_result(timeout=LONGEST)
        return self._loop.run_until_complete(waited).return_value


OURS = "kv+redis"
LIBRARIES: dict[str, Any] = {
    OURS: lambda url: OfCelery(f"kv+{url}"),
    "celery": OfCelery,
    "dramatiq": Dramatiq,
    "huey": Huey,
    "rq": RQ,
    "taskiq-redis": Taskiq,
}
"""Name -> the function that opens the store at a Redis URL."""


@functools.cache
def opened(name: str, url: str) -> Library:
    """Return this process's store of that name."""
    library: Library = LIBRARIES[name](url)
    return library

"""What a client asks of a pool's workers; its threads are green in a process that is patched so.

Each function states one claim.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord, group
from celery.exceptions import TimeoutError as ResultTimeout

import kvbackends

WAIT = 40


class Client:
    """An app, and its tasks by their short names; `folder` is its deployment's."""

    def __init__(self, app: Celery, folder: Path) -> None:
        self.app = app
        self.folder = folder

    def sig(self, name: str, *args: Any) -> Any:
        return self.app.tasks[f"e2e.{name}"].s(*args)

    def send(self, name: str, *args: Any) -> Any:
        return self.sig(name, *args).delay()


def results_come_back(client: Client) -> None:
    """Results, those of a retried task too, and a group's in order."""
    retried, numbers = client.send("retried", 5), range(20)
    results = group(client.sig("echo", n) for n in numbers)()
    assert results.get(timeout=WAIT) == list(numbers)
    assert retried.get(timeout=WAIT) == 5
    assert retried.state == "SUCCESS"


def chords_complete(client: Client) -> None:
    """Flat ones, and those whose header has a group and a chord."""
    echo = [client.sig("echo", n) for n in range(10)]
    nested = [
        chain(client.sig("echo", 1), group(client.sig("add", 1), client.sig("add", 2))),
        chord([client.sig("echo", 2), client.sig("echo", 3)], client.sig("total")),
    ]
    flat, deep = chord(echo, client.sig("body"))(), chord(nested, client.sig("body"))()
    assert flat.get(timeout=WAIT) == list(range(10))
    assert deep.get(timeout=WAIT) == [[2, 3], 5]


def failures_are_raised(client: Client) -> None:
    """Where they are waited for; and they fail their chord."""
    failing = client.send("fail")
    result = chord([client.sig("echo", 1), client.sig("fail")], client.sig("body"))()
    with suppress(ValueError):
        failing.get(timeout=WAIT)
        raise AssertionError("the failure was not raised")
    result.get(timeout=WAIT, propagate=False)
    assert result.state == "FAILURE"


def waits_do_not_block_each_other(client: Client) -> None:
    """Twenty threads wait; another one ends the wait of this one."""
    held = client.send("held", "slow", "slow")
    found: dict[int, Any] = {}

    def wait(number: int) -> None:
        found[number] = client.send("echo", number).get(timeout=WAIT)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    threading.Timer(0.1, (client.folder / "go-slow").touch).start()
    assert held.get(timeout=WAIT) == "slow"
    for thread in threads:
        thread.join()
    assert found == {number: number for number in range(20)}


def asyncio_waits(client: Client) -> None:
    """`aget`, of several results at once."""

    async def all_of_them() -> list[Any]:
        results = [client.send("echo", number) for number in range(5)]
        return await asyncio.gather(*(kvbackends.aget(each, timeout=WAIT) for each in results))

    assert asyncio.run(all_of_them()) == list(range(5))


def a_wait_ends_in_time(client: Client) -> None:
    """And its thread goes on."""
    with suppress(ResultTimeout):
        client.app.AsyncResult("nobody").get(timeout=0.1)
        raise AssertionError("the wait did not time out")


CLAIMS: tuple[Callable[[Client], None], ...] = (
    a_wait_ends_in_time,
    results_come_back,
    chords_complete,
    failures_are_raised,
    waits_do_not_block_each_other,
    asyncio_waits,
)

"""Keeps an event loop responsive while thousands of coroutines wait for results in it."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

from kvbackends.backend.pending import Meta

AT_ONCE = 50
"""Steps between two rounds of the loop: a few milliseconds, in which nothing else runs."""

Read = tuple[list[str], Any]
"""Ids, and the future that receives their final records."""


class Turns:
    """Runs the steps of one event loop a few at a time, and reads for several of them at once."""

    def __init__(self, loop: Any) -> None:
        # Weak: the loop is the key under which this object is kept.
        self._loop: Callable[[], Any] = ref(loop)
        self._steps: deque[Callable[[], object]] = deque()
        self._reads: dict[Any, list[Read]] = {}
        self._is_due = False

    def add(self, step: Callable[[], object]) -> None:
        """Run `step` in the loop soon, in order; callable from any thread."""
        self._steps.append(step)
        if self._is_due:  # `_run` takes the flag back before it looks for steps
            return
        self._is_due = True
        # The loop may be gone, or closed: its coroutines were left pending.
        with suppress(AttributeError, RuntimeError):
            self._loop().call_soon_threadsafe(self._run)

    def _run(self) -> None:
        self._is_due = False
        for _ in range(min(len(self._steps), AT_ONCE)):
            self._steps.popleft()()
        if self._steps and not self._is_due:
            self._is_due = True
            self._loop().call_soon(self._run)

    def turn(self) -> Any:
        """Return a future that is done at the caller's turn."""
        future = self._loop().create_future()
        self.add(lambda: future.cancelled() or future.set_result(None))
        return future

    async def read(self, backend: Any, ids: list[str]) -> dict[str, Meta]:
        """Return those of the records that are final, read by a thread with others of this turn."""
        future = self._loop().create_future()
        reads = self._reads.setdefault(backend, [])
        reads.append((ids, future))
        if len(reads) == 1:
            self._loop().call_soon(self._start, backend)
        found: dict[str, Meta] = await future
        return found

    def _start(self, backend: Any) -> None:
        reads = self._reads.pop(backend)
        try:
            job = self._loop().run_in_executor(None, _read, backend, [ids for ids, _ in reads])
        except RuntimeError as error:  # the program is about to end
            _tell(reads, [error] * len(reads))
        else:
            job.add_done_callback(lambda done: _tell(reads, done.result()))


def _read(backend: Any, asked: list[list[str]]) -> list[dict[str, Meta] | Exception]:
    """Read for each of `asked`; a record that cannot be read fails its own reader only."""
    try:
        found = dict(backend.get_many([each for ids in asked for each in ids], max_iterations=1))
    except Exception as error:  # noqa: BLE001 - its own reader raises it
        if len(asked) == 1:
            return [error]
        return [answer for ids in asked for answer in _read(backend, [ids])]
    return [{each: found[each] for each in ids if each in found} for ids in asked]


def _tell(reads: list[Read], answers: list[dict[str, Meta] | Exception]) -> None:
    for (_, future), answer in zip(reads, answers, strict=True):
        if future.done():  # its coroutine was cancelled
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)


_TURNS: "WeakKeyDictionary[Any, Turns]" = WeakKeyDictionary()


def turns_of(loop: Any) -> Turns:
    """Return the loop's only one."""
    turns = _TURNS.get(loop)
    if turns is None:
        turns = _TURNS[loop] = Turns(loop)
    return turns

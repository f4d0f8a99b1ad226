"""Counts the calls that reach a store for each of Celery's operations.

``python -m tests.backend.round_trips`` writes the table of ``docs/round-trips.md`` anew.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from celery import Celery, chord
from celery.app.task import Context

from tests.backend.bench import Bench
from tests.backend.stores import counted, new_url
from tests.backend.tasks import Boom, add_tasks

PAGE = Path(__file__).parents[2] / "docs" / "round-trips.md"
MANY = 2500
STORES = {"memory": "memory", "sqlite": "SQLite", "five": "five methods"}


class Bed(NamedTuple):
    """An app whose store counts."""

    app: Any
    counter: Any

    def chord(self, *header: Any) -> list[Any]:
        """Start a chord, with ids that fall on different pages; its messages."""
        named = [task.set(task_id=f"part-{place}") for place, task in enumerate(header)]
        chord(named, app=self.app)(self.app.tasks["echo"].s().set(task_id="body"))
        return [self.app.bench.take() for _ in named]

    def spent(self, work: Callable[[], object]) -> int:
        """The calls that `work` makes."""
        return int(self.counter.spent(work))

    def run(self, message: Any) -> int:
        """The calls that a worker makes for one task."""
        return self.spent(lambda: self.app.bench.run(message))

    def task(self, name: str) -> Any:
        """A task of the app."""
        return self.app.tasks[name]


Operation = Callable[[Bed], int]
OPERATIONS: dict[str, Operation] = {}


def row(title: str) -> Callable[[Operation], Operation]:
    """Declare one row of the table."""

    def declare(operation: Operation) -> Operation:
        OPERATIONS[title] = operation
        return operation

    return declare


@row("`delay()`")
def _delay(bed: Bed) -> int:
    return bed.spent(lambda: bed.task("echo").delay(1))


@row("store a final result")
def _store(bed: Bed) -> int:
    return bed.spent(lambda: bed.app.backend.mark_as_done("t", 1))


@row("store a final result, one is there")
def _replace(bed: Bed) -> int:
    bed.app.backend.mark_as_failure("t", Boom())
    return bed.spent(lambda: bed.app.backend.mark_as_done("t", 1))


@row("STARTED, then SUCCESS")
def _started(bed: Bed) -> int:
    bed.app.conf.task_track_started = bed.task("echo").track_started = True
    bed.task("echo").delay(1)
    return bed.run(bed.app.bench.take())


@row("`update_state()`")
def _update_state(bed: Bed) -> int:
    backend = bed.app.backend
    return bed.spent(lambda: backend.store_result("t", {"done": 1}, "PROGRESS"))


@row("RETRY, then SUCCESS")
def _retried(bed: Bed) -> int:
    bed.task("retried").delay(1)
    return bed.run(bed.app.bench.take()) + bed.run(bed.app.bench.take())


@row("get of a ready result")
def _get(bed: Bed) -> int:
    bed.app.backend.mark_as_done("t", 1)
    return bed.spent(lambda: bed.app.AsyncResult("t").get(timeout=1))


@row("`state` of a result")
def _state(bed: Bed) -> int:
    return bed.spent(lambda: bed.app.AsyncResult("t").state)


@row(f"get of {MANY} ready results")
def _join(bed: Bed) -> int:
    ids = [f"t{number}" for number in range(MANY)]
    for each in ids:
        bed.app.backend.mark_as_done(each, 1)
    group = bed.app.GroupResult("g", [bed.app.AsyncResult(each) for each in ids])
    return bed.spent(lambda: group.get(timeout=10))


@row("get with `timeout=0` of a chord with 100 unready parents")
def _chord_get(bed: Bed) -> int:
    header = bed.app.GroupResult("h", [bed.app.AsyncResult(str(n)) for n in range(100)])
    result = bed.app.AsyncResult("t", parent=header)

    def get() -> None:
        try:
            result.get(timeout=0)
        except result.TimeoutError:
            return

    return bed.spent(get)


@row(f"save a group of {MANY}")
def _save(bed: Bed) -> int:
    group = bed.app.GroupResult("g", [bed.app.AsyncResult(str(n)) for n in range(MANY)])
    return bed.spent(group.save)


@row("restore a group")
def _restore(bed: Bed) -> int:
    bed.app.GroupResult("g", [bed.app.AsyncResult("a")]).save()
    return bed.spent(lambda: bed.app.GroupResult.restore("g"))


@row("forget a result")
def _forget(bed: Bed) -> int:
    bed.app.backend.mark_as_done("t", 1)
    return bed.spent(lambda: bed.app.backend.forget("t"))


@row("start a chord")
def _start(bed: Bed) -> int:
    return bed.spent(lambda: bed.chord(*[bed.task("echo").s(n) for n in range(3)]))


@row("chord header task: result and part")
def _part(bed: Bed) -> int:
    bed.run((parts := bed.chord(*[bed.task("echo").s(n) for n in range(3)]))[0])
    return bed.run(parts[1])


@row("the last of 3 parts: result, part, values, body, end")
def _last(bed: Bed) -> int:
    first, second, last = bed.chord(*[bed.task("echo").s(n) for n in range(3)])
    bed.run(first)
    bed.run(second)
    return bed.run(last)


@row("header task whose result is ignored")
def _ignored(bed: Bed) -> int:
    return bed.run(bed.chord(bed.task("quiet").s(1), bed.task("echo").s(2))[0])


@row("header task that fails")
def _failing(bed: Bed) -> int:
    return bed.run(bed.chord(bed.task("fail").s(), bed.task("echo").s(2))[0])


@row("header task that is revoked")
def _revoked(bed: Bed) -> int:
    message = bed.chord(bed.task("echo").s(1), bed.task("echo").s(2))[0]
    request = Context(message.request, args=message.args, kwargs=message.kwargs)
    return bed.spent(lambda: bed.app.backend.mark_as_revoked(message.id, "revoked", request, True))


@row("header task that is retried, then succeeds")
def _retried_part(bed: Bed) -> int:
    first = bed.chord(bed.task("retried").s(1), bed.task("echo").s(2))[0]
    return bed.run(first) + bed.run(bed.app.bench.take("retried"))


@row("header task whose value cannot be encoded")
def _unencodable(bed: Bed) -> int:
    return bed.run(bed.chord(bed.task("unencodable").s(), bed.task("echo").s(2))[0])


@row("header task that adds one part")
def _adds(bed: Bed) -> int:
    return bed.run(bed.chord(bed.task("grows").s(1), bed.task("echo").s(2))[0])


@row("header task that comes again")
def _again(bed: Bed) -> int:
    first = bed.chord(bed.task("echo").s(1), bed.task("echo").s(2))[0]
    bed.run(first)
    return bed.run(first)


@row("header task that comes again after the end")
def _late(bed: Bed) -> int:
    first, second = bed.chord(bed.task("echo").s(1), bed.task("echo").s(2))
    bed.run(first)
    bed.run(second)
    return bed.run(second)


@row("last of 2 parts where the other failed: chord fails")
def _fails(bed: Bed) -> int:
    first, second = bed.chord(bed.task("fail").s(), bed.task("echo").s(2))
    bed.run(first)
    return bed.run(second)


@contextmanager
def bed(kind: str, folder: Path) -> Iterator[Bed]:
    """An app on an empty store."""
    url = new_url(kind, folder)
    counter = counted(url)
    app = Celery("round-trips", set_as_current=False, broker="memory://", backend=f"kv+{url}")
    add_tasks(app)
    app.bench = Bench(app)
    app.set_current()
    assert app.backend.store
    yield Bed(app, counter)
    app.backend.store.close()
    app.close()


def measured(title: str, kind: str, folder: Path) -> int:
    """The calls of one operation on one kind of store."""
    with bed(kind, folder) as made:
        return OPERATIONS[title](made)


def table(counts: dict[str, dict[str, int]]) -> str:
    """The page's table, from title -> kind -> calls."""
    lines = ["| operation | " + " | ".join(STORES.values()) + " |", "|---|" + "---:|" * len(STORES)]
    lines += [
        f"| {title} | " + " | ".join(str(by_kind[kind]) for kind in STORES) + " |"
        for title, by_kind in counts.items()
    ]
    return "\n".join(lines)


def committed() -> dict[str, dict[str, int]]:
    """Return the calls that the page lists, by operation and store."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines()]
    return {
        cells[0]: dict(zip(STORES, map(int, cells[1:]), strict=True))
        for cells in rows
        if cells[0] in OPERATIONS
    }


INTRODUCTION = """\
# Round trips

For everybody who estimates what results cost on a network: how many calls reach the store for one
operation of Celery's. Its cost is this number, times the network's latency. The tests count them
(`tests/backend/test_round_trips.py`) and fail when a number here is no longer true;
`python -m tests.backend.round_trips` writes this page anew.

*memory* has a ranked write and batches of its own and derives chords, *SQLite* has everything of
its own, *five methods* is an adapter with nothing but the five methods that each must write. Its
batches are single reads, several at a time. A header task's number contains the storing of its own
result; what later tasks cost (the body, an added part) is not contained.

"""


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        counts = {
            title: {kind: measured(title, kind, Path(folder)) for kind in STORES}
            for title in OPERATIONS
        }
    PAGE.write_text(f"{INTRODUCTION}{table(counts)}\n")


if __name__ == "__main__":
    main()

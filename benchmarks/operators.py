"""What operators wait for: ``python -m benchmarks.operators``, some two minutes.

200,000 results in a Redis are counted, beside a plain loop over SCAN and MGET of redis-py, and
100,000 of 1 KB are copied from it to a SQLite file.
"""

import resource
import tempfile
import time
from collections.abc import Callable

from redis import Redis

from kvbackends.admin import Admin, Wanted
from kvbackends.admin.copying import Copy
from tests.servers import SERVERS

LISTED = 200_000
COPIED = 100_000
ROUNDS = 3
_HEAD = '{"status": "SUCCESS", "result": "'
_TAIL = '", "traceback": null, "children": [], "date_done": "2026-01-01T00:00:00+00:00"}'


def fill(client: Redis, count: int, size: int) -> None:
    """Store as many records of `size` bytes in an empty database."""
    client.flushdb()
    record = _HEAD + "x" * (size - len(_HEAD) - len(_TAIL)) + _TAIL
    for start in range(0, count, 1000):
        names = (f"celery-task-meta-{n:032d}" for n in range(start, start + 1000))
        client.mset(dict.fromkeys(names, record))


def plain(client: Redis) -> int:
    """Read all results, and decode none."""
    cursor, count = 0, 0
    while True:
        cursor, names = client.scan(cursor, match="celery-task-meta-*", count=1000)
        count += len(client.mget(names)) if names else 0
        if not cursor:
            return count


def tell(what: str, call: Callable[[], object]) -> float:
    """Print and return the seconds of a call."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {wall:.1f} s, {processor:.1f} s of CPU; at most {peak:.0f} MB", flush=True)
    return wall


def main() -> None:
    """Print each time; memory is the largest of the process so far."""
    with SERVERS["redis"]() as server, tempfile.TemporaryDirectory() as folder:
        client = Redis.from_url(server.url)
        fill(client, LISTED, 300)
        admin = Admin.open(f"kv+{server.url}")
        for _ in range(ROUNDS):
            least = tell("plain loop", lambda: plain(client))
            print(f"ratio {tell('count', admin.count) / least:.2f}")
        fill(client, COPIED, 1024)
        target = Admin.open(f"kv+sqlite:///{folder}/copied.db").backend
        for what in ("copy", "copied again"):
            copy = Copy(target)
            tell(what, lambda: copy.run(f"kv+{server.url}", Wanted()))  # noqa: B023 - called now
            print(copy.done)


if __name__ == "__main__":
    main()

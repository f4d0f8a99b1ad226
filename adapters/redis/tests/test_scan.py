"""A scan yields each key once, in constant memory."""

import tracemalloc

from kvbackends_redis.operations.plain import RECENT, STEP, scanned


class Pages:
    """A server with `count` names; with each page it gives the first ones of the last once more."""

    def __init__(self, count: int) -> None:
        self._count = count

    def call(self, *command: object) -> tuple[bytes, list[bytes]]:
        start = int(str(command[1], "ascii")) if isinstance(command[1], bytes) else 0
        end = start + STEP
        names = [b"key-%032d" % n for n in (*range(max(0, start - STEP), start - STEP + 9),)]
        names = names if start else []
        names += [b"key-%032d" % n for n in range(start, end)]
        return (b"%d" % end if end < self._count else b"0"), names


def test_repeated_names_are_left_out_in_constant_memory():
    count = 10 * RECENT
    tracemalloc.start()
    try:
        total = sum(1 for _ in scanned(Pages(count), "*"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == count
    assert peak < 4 * RECENT * 100  # twice, with a set's own slots; all of the names take more


def test_a_table_that_shrinks_meanwhile(store, open_redis):
    """All but a few keys are deleted in the middle: the others are yielded once."""
    client = open_redis().client
    keys = [f"shrinks-{n}" for n in range(3000)]
    client.mset(dict.fromkeys(keys, "1"))
    found, kept = [], set(keys[:10])
    for key in store.scan("shrinks-"):
        found.append(key)
        if len(found) == 1:
            client.unlink(*keys[10:])
    assert len(found) == len(set(found))
    assert kept <= set(found)
    client.unlink(*kept)

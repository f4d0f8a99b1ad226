"""One call of each operation that needs the server."""

from collections.abc import Callable

from kvbackends.contract import Barrier, Rank, Store
from kvbackends.testing.tools import TTL, offer, part, publisher, rank_of

Call = Callable[[Store, str], object]


def _at(work: Callable[[Barrier], object]) -> Call:
    return lambda store, key: work(store.barrier(key, TTL))


CALLS: dict[str, Call] = {
    "ping": lambda s, _: s.ping(),
    "get": lambda s, k: s.get(k),
    "set": lambda s, k: s.set(k, b"v", TTL),
    "delete": lambda s, k: s.delete(k),
    "compare_and_set": lambda s, k: s.compare_and_set(k, b"v", None, TTL),
    "get_batch": lambda s, k: s.get_batch([k, f"{k}-2"]),
    "delete_batch": lambda s, k: s.delete_batch([k, f"{k}-2"]),
    "offer": lambda s, k: s.offer(offer(k, Rank.SUCCEEDED, "", TTL), rank_of),
    "touch": lambda s, k: s.touch(k, TTL),
    "increment": lambda s, k: s.increment(k, 1, TTL),
    "add_member": lambda s, k: s.add_member(k, "a", TTL),
    "open": _at(lambda b: b.open(b"")),
    "expect": _at(lambda b: b.expect(publisher(), 1)),
    "expect_more": _at(lambda b: b.expect_more(part(0), 0, "more")),
    "arrive": _at(lambda b: b.arrive(part(0), b"v")),
    "finish": _at(lambda b: b.finish(part(0), offer(b.name, Rank.FAILED), rank_of)),
    "parts": _at(lambda b: list(b.parts())),
    "renew": _at(lambda b: b.renew(part(0))),
    "close": _at(lambda b: b.close(part(0), None, rank_of)),
}
"""By the name of the operation; each takes a store and a key that is new."""

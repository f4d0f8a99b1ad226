"""The world with a real server in it: a delivery stops before each request that its adapter sends.

The whole barrier is native here, so what the world decides is what happens to single requests:
they are lost, or done and not confirmed, or done later, or done half where the server does several
things one after the other; and processes die between any two of them.
"""

import contextlib
import json
import urllib.request
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, ClassVar, TypeVar
from unittest import mock
from uuid import uuid4

from kvbackends import open_store
from kvbackends.contract import Arrival, Barrier, Outcome, Part, Store
from kvbackends.layers.layer import innermost
from kvbackends.layers.retry import Retry
from kvbackends.testing.layers import Wrapped
from tests.protocol.world import PATIENT, Delivery, Plan, Violated, World

T = TypeVar("T")
Do = Callable[[], Any]


class Gate:
    """Every request of an adapter passes here; outside of a world nothing happens to it."""

    world: ClassVar["NativeWorld | None"] = None

    @classmethod
    def passes(
        cls, error: Callable[[], Exception], do: Do, parts: int = 1, some: Any = None
    ) -> Any:
        """Call `do`, or fail as the world decides; `some(n)` does the first n steps of it."""
        if cls.world is None:
            return do()
        verdict = cls.world.stop("request")
        if verdict == "late":
            cls.world.under_way.append(partial(cls._late, do, error))
        if verdict == "half" and parts > 1:
            some(1 + cls.world.chance(parts - 1))
        if verdict in {"before", "late", "half"}:
            raise error()
        answer = do()
        if verdict == "after":
            raise error()
        return answer

    @staticmethod
    def _late(do: Do, error: Callable[[], Exception]) -> None:
        with contextlib.suppress(type(error())):
            do()


class Watching(Wrapped):
    """Reports each delivery that receives CLAIMED."""

    def __init__(self, inner: Store, world: "NativeWorld", delivery: Delivery) -> None:
        self._world = world
        self._delivery = delivery
        super().__init__(inner)

    def around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        if name != "barrier":
            return operation
        return lambda *args: self._watched(operation(*args))

    def _watched(self, barrier: Barrier) -> Barrier:
        for name, at in (("arrive", 2), ("finish", 3), ("expect", 99)):
            setattr(barrier, name, partial(self._told, getattr(barrier, name), at))
        return barrier

    def _told(self, operation: Callable[..., Arrival], at: int, *args: Any) -> Arrival:
        """`at`: the place of the argument `evict`."""
        arrival = operation(*args)
        if arrival.outcome is Outcome.CLAIMED:
            evicts = args[at] if len(args) > at else None
            self._world.claimed(self._delivery, evicts)
        return arrival


class Server:
    """One kind of store: how its requests are caught, and what it has stored."""

    def __init__(self, url: str) -> None:
        settings = {"result_backend_transport_options": {"retry": False}}
        self.stores = [innermost(open_store(url, settings)) for _ in range(2)]
        for store in self.stores:
            store.set("made", b"")

    def close(self) -> None:
        for store in self.stores:
            store.close()

    def caught(self) -> contextlib.AbstractContextManager[Any]:
        raise NotImplementedError

    def left(self, barrier: str) -> dict[str, bool]:
        """Return the stored keys of a barrier without its tombstone; True for those that expire."""
        raise NotImplementedError


class Redis(Server):
    def caught(self) -> contextlib.AbstractContextManager[Any]:
        from kvbackends_redis.connecting.connections import Connections
        from kvbackends_redis.errors import Unavailable

        lost, stack = partial(Unavailable, "lost"), contextlib.ExitStack()
        for name in ("call", "send"):
            plain = getattr(Connections, name)

            def through(self: Any, *given: Any, plain: Any = plain) -> Any:
                return Gate.passes(lost, partial(plain, self, *given))

            stack.enter_context(mock.patch.object(Connections, name, through))
        return stack

    def left(self, barrier: str) -> dict[str, bool]:
        from kvbackends_redis.operations.barriers import keys_of

        client = self.stores[0].client
        found = {key for key in keys_of(barrier) if client.exists(key)}
        if client.hget(keys_of(barrier)[0], "d") and client.hlen(keys_of(barrier)[0]) == 1:
            found.discard(keys_of(barrier)[0])
        return {key: client.pttl(key) > 0 for key in found}


class MongoDB(Server):
    def caught(self) -> contextlib.AbstractContextManager[Any]:
        from kvbackends_mongodb.client import Documents
        from pymongo.errors import AutoReconnect

        lost, stack = partial(AutoReconnect, "lost"), contextlib.ExitStack()
        first, update = Documents.first, Documents.update

        def gated_first(self: Any, *given: Any) -> Any:
            return Gate.passes(lost, partial(first, self, *given))

        def gated_update(self: Any, *statements: Any) -> Any:
            some = lambda n: update(self, *statements[:n])  # noqa: E731
            return Gate.passes(lost, partial(update, self, *statements), len(statements), some)

        stack.enter_context(mock.patch.object(Documents, "first", gated_first))
        stack.enter_context(mock.patch.object(Documents, "update", gated_update))
        for store in self.stores:
            for documents in (store._client().entries, store._client().chords):
                plain = documents.collection
                stack.callback(setattr, documents, "collection", plain)
                documents.collection = Collection(plain, lost)
        return stack

    def left(self, barrier: str) -> dict[str, bool]:
        chords = self.stores[0]._client().chords.collection.plain
        named = {"_id": {"$gte": {"b": barrier}, "$lt": {"b": f"{barrier}0"}}}
        ours = [each for each in chords.find(named) if not each.get("done")]
        return {str(each["_id"]): each["expires"].year < 9999 for each in ours}


class PostgreSQL(Server):
    def caught(self) -> contextlib.AbstractContextManager[Any]:
        from kvbackends_postgresql.connections import Connections
        from kvbackends_postgresql.errors import Unavailable

        asked, lost = Connections.ask, partial(Unavailable, "lost")

        def gated(self: Any, *given: Any) -> Any:
            return Gate.passes(lost, partial(asked, self, *given))

        stack = contextlib.ExitStack()
        stack.enter_context(mock.patch.object(Connections, "ask", gated))
        for entries in (store._entries() for store in self.stores):
            stack.callback(setattr, entries, "ask", entries.ask)
            entries.ask = entries.connections.ask
            stack.enter_context(mock.patch.object(entries.sweeper, "wrote"))
        return stack

    def left(self, barrier: str) -> dict[str, bool]:
        """The row of the tombstone names the run that it has replaced, whose parts are trash."""
        from kvbackends_postgresql.link import Statement

        entries = self.stores[0]._entries()
        names = entries.names.filled(
            "SELECT b.expires < 'infinity' FROM {barrier} b "
            "LEFT JOIN {part} p ON p.run IN (b.run, b.replaced) "
            "WHERE b.name = $1::bytea AND (NOT b.done OR p.run IS NOT NULL)"
        )
        rows = entries.connections.ask(Statement(names.encode(), b"left"), barrier.encode())
        return {f"row {n}": row[0] == b"\1" for n, row in enumerate(rows)}


class Collection:
    """The driver's collection, its requests through the gate."""

    def __init__(self, plain: Any, lost: Callable[[], Exception]) -> None:
        self.plain = plain
        self._lost = lost

    def __getattr__(self, name: str) -> Any:
        return lambda *a, **k: Gate.passes(self._lost, lambda: getattr(self.plain, name)(*a, **k))

    def find(self, *args: Any, **named: Any) -> "Found":
        return Found(Gate.passes(self._lost, lambda: list(self.plain.find(*args, **named))))

    def bulk_write(self, requests: list[Any]) -> Any:
        some = lambda n: self.plain.bulk_write(requests[:n])  # noqa: E731
        return Gate.passes(self._lost, lambda: self.plain.bulk_write(requests), len(requests), some)


class Found(list[Any]):
    def batch_size(self, _: int) -> "Found":
        return self


class Elasticsearch(Server):
    def __init__(self, url: str) -> None:
        self._base = url.rpartition("/")[0]
        self._index = f"faults-{uuid4().hex}"
        super().__init__(f"{self._base}/{self._index}")

    def caught(self) -> contextlib.AbstractContextManager[Any]:
        from kvbackends_elasticsearch.errors import Unavailable
        from kvbackends_elasticsearch.requests import Sender

        send, lost = Sender.send, partial(Unavailable, "lost")

        def gated(self: Any, method: str, target: str, body: bytes | None = None) -> Any:
            items = _operations(body) if "/_bulk" in target else []
            some = lambda n: send(self, method, target, b"".join(items[:n]))  # noqa: E731
            return Gate.passes(lost, partial(send, self, method, target, body), len(items), some)

        return mock.patch.object(Sender, "send", gated)

    def left(self, barrier: str) -> dict[str, bool]:
        base = f"http://{self._base.partition('://')[2]}/{self._index}"
        with urllib.request.urlopen(f"{base}/_refresh", b""):
            pass
        with urllib.request.urlopen(f"{base}/_search?size=5000") as answer:
            found = json.load(answer)
        hits = [h for h in found["hits"]["hits"] if h["_id"].startswith(f"{barrier}.")]
        alive = [h for h in hits if not (h["_source"].get("control") or {}).get("done")]
        return {each["_id"]: each["_source"].get("expires") is not None for each in alive}


def _operations(body: bytes | None) -> list[bytes]:
    """The operations of a bulk request, each with its lines."""
    lines = iter((body or b"").splitlines(keepends=True))
    return [line if b'"delete"' in line[:10] else line + next(lines) for line in lines]


class Cassandra(Server):
    def caught(self) -> contextlib.AbstractContextManager[Any]:
        from cassandra import OperationTimedOut, WriteTimeout, WriteType
        from cassandra.cluster import Session

        execute, kinds = Session.execute, count()

        def lost() -> Exception:
            """A timeout of a transaction is asked again by the adapter itself."""
            if next(kinds) % 2:
                return OperationTimedOut()
            return WriteTimeout("cas", write_type=WriteType.CAS)

        def gated(self: Any, *args: Any, **named: Any) -> Any:
            return Gate.passes(lost, partial(execute, self, *args, **named))

        return mock.patch.object(Session, "execute", gated)

    def left(self, barrier: str) -> dict[str, bool]:
        client = self.stores[0]._client()
        found = client.rows(
            "SELECT run, bucket, place, member, TTL(value), TTL(amount) FROM {barriers} "
            "WHERE barrier = ?",
            (barrier,),
        )
        rows = [each for each in found if each[0] is not None]
        return {str(each[:4]): any(each[4:]) or each[1] == -1 for each in rows}


class NativeWorld(World):
    """A world whose deliveries use a real server."""

    failing = frozenset({"request"})
    failures = ("before", "after", "late", "half")

    def __init__(self, server: Server, plan: Plan, pick: Callable[[int], int | None]) -> None:
        super().__init__(plan, pick)
        self.server = server
        self.store = server.stores[0]
        self.barrier, self.results = uuid4().hex, uuid4().hex
        self.holder: Delivery | None = None

    def run(self) -> World:
        Gate.world = self
        try:
            return super().run()
        finally:
            Gate.world = None

    def chance(self, among: int) -> int:
        return self.pick(among) or 0

    def claimed(self, delivery: Delivery, evicts: str | None) -> None:
        """Note that `delivery` received CLAIMED; `Violated` if another one holds the claim."""
        before, self.holder = self.holder, delivery
        if before is None or before is delivery:
            return
        mark = "P" if before.message is delivery.message else "L"
        if mark == "L" and evicts is None:
            raise Violated(f"{delivery.name} received CLAIMED while {before.name} held the claim")
        if before in self.live:
            self.excuses.add(mark)

    def _way_of(self, delivery: Delivery) -> Store:
        store = self.server.stores[self.chance(len(self.server.stores))]
        return Retry(Watching(store, self, delivery), PATIENT)

    def _claim_broken(self, old: str, new: str) -> None:
        """`claimed` does it."""

    def _is_success(self, message: Any) -> bool:
        """The world looks itself: that is no request of a delivery's."""
        delivery, self._current = self._current, None
        try:
            return super()._is_success(message)
        finally:
            self._current = delivery

    def _closed(self) -> bool:
        visitor = Part(99, "visitor", uuid4().hex)
        found = self.store.barrier(self.barrier, 1e6).arrive(visitor, None)
        return found.outcome is Outcome.CLOSED

    def _left(self) -> set[str]:
        found = self.server.left(self.barrier)
        if kept := [name for name, expires in found.items() if not expires]:
            raise Violated(f"P5 kept for ever: {kept}")
        return set(found)


SERVERS = {
    "redis": Redis,
    "mongodb": MongoDB,
    "postgresql": PostgreSQL,
    "elasticsearch": Elasticsearch,
    "cassandra": Cassandra,
}

"""Tells whether a store can be used, and how it is set up."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import msgspec

from kvbackends.backend.backend import BaseKeyValueStoreBackend
from kvbackends.backend.chords import new_delivery
from kvbackends.contract.deadline import within
from kvbackends.contract.derived import delete_many
from kvbackends.contract.records import SIZE_PLACE, Feature, Offer, Part, Rank
from kvbackends.contract.store import Store
from kvbackends.layers.layer import innermost

ASKED = 5
"""Round trips that are measured; the shortest is told."""
PROBE_TTL = 60.0
SHORTEST = 0.1
"""Seconds that the server has at least to tell of itself."""


class Check(msgspec.Struct, frozen=True):
    """One thing that was tried, or one fact.

    Attributes:
        name: What was tried.
        said: The outcome, in words.
        ok: False fails the readiness probe.
        warning: True: it works, but an operator should know.
    """

    name: str
    said: str
    ok: bool = True
    warning: bool = False


UNTRIED = Check("rights", "to write, wait, keep chords and delete: not tried (--write tries each)")


class Health(msgspec.Struct, frozen=True):
    """What was found out about a store.

    Attributes:
        url: Without secrets.
        checks: In the order in which they were tried.
    """

    url: str
    checks: list[Check]

    @property
    def ok(self) -> bool:
        """True if everything that was tried works."""
        return all(each.ok for each in self.checks)


def examine(backend: BaseKeyValueStoreBackend, seconds: float, *, write: bool) -> Health:
    """Try what a worker needs, for at most `seconds` together; writes only if `write` is true."""
    until, checks = time.monotonic() + seconds, []
    for name, probe in _probes(backend, write=write):
        left = until - time.monotonic()
        said = _tried(probe, left) if left > 0 else Check("", f"no answer in {seconds:g} s", False)
        checks.append(msgspec.structs.replace(said, name=said.name or name))
        if name == "connection" and not said.ok:
            return Health(backend.as_uri(), checks)
    told = _told(backend, max(until - time.monotonic(), SHORTEST))
    facts = [*told, *_facts(backend)] if write else [UNTRIED, *told, *_facts(backend)]
    return Health(backend.as_uri(), [*checks, *facts])


def _tried(probe: Callable[[], str | None], seconds: float) -> Check:
    try:
        return Check("", within(seconds, probe) or "works")
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is what is told
        return Check("", f"{type(error).__name__}: {error}", ok=False)


def _probes(
    backend: BaseKeyValueStoreBackend, *, write: bool
) -> Iterator[tuple[str, Callable[[], str | None]]]:
    store, key = backend.store, f"{backend.task_prefix}kvbackends-check-{os.urandom(8).hex()}"
    yield "connection", store.ping
    yield "round trip", lambda: _quickest(lambda: store.get(key))
    yield "read", lambda: _done(store.get_batch([key]))
    if Feature.LISTING in store.features:
        yield "list", lambda: _done(next(iter(store.scan(key)), None))
    if write:
        offer = Offer(key, b'{"status": "SUCCESS"}', Rank.SUCCEEDED, PROBE_TTL)
        yield "write", lambda: _done(store.offer(offer, backend.ranks.rank_of))
        yield "replace", lambda: _done(store.touch(key, PROBE_TTL))
        plain = f"{key}-plain"
        yield "compare and set", lambda: _done(store.compare_and_set(plain, b"", None, PROBE_TTL))
        yield "wait", lambda: _wait(store, key)
        yield "chord", lambda: _chord(backend, key.removeprefix(backend.task_prefix))
        yield "delete", lambda: delete_many(store, [key, plain])


def _chord(backend: BaseKeyValueStoreBackend, key: str) -> None:
    barrier = backend.store.barrier(backend.chord_prefix + key, PROBE_TTL)
    part = Part(0, key, new_delivery())
    barrier.open(b"")
    barrier.expect(Part(SIZE_PLACE, "size", new_delivery()), 1)
    barrier.arrive(part, b"")
    for _ in barrier.parts():
        pass
    barrier.close(part, None, backend.ranks.rank_of)


def _wait(store: Store, key: str) -> None:
    with closing(store.subscribe()) as subscription:
        subscription.watch([key])


def _quickest(call: Callable[[], object]) -> str:
    times = []
    for _ in range(ASKED):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return f"{min(times) * 1000:.2g} ms"


def _done(_: object) -> None:
    """The call returned."""


def _told(backend: BaseKeyValueStoreBackend, seconds: float) -> list[Check]:
    """What the server tells of itself; nothing depends on it."""
    try:
        facts = within(seconds, lambda: list(innermost(backend.store).about()))
    except Exception as error:  # noqa: BLE001 - whatever a driver raises
        return [Check("server", f"{type(error).__name__}: {error}", warning=True)]
    return [Check(name, said, warning=warning) for name, said, warning in facts]


def _facts(backend: BaseKeyValueStoreBackend) -> Iterator[Check]:
    store = backend.store
    yield Check("features", ", ".join(str(each.name) for each in store.features) or "none")
    yield Check("limits", _limits(store.limits))
    yield Check("results expire", _period(backend.times.result))
    yield Check("chords expire", _period(backend.times.chord.ttl))
    if Feature.SHARED not in store.features:
        yield Check("processes", "results stay in one process", warning=True)
    if Feature.AUTOEXPIRE not in store.features:
        yield Check("expiry", "expired records are removed by cleanup or `kvbackends sweep`")


def _limits(limits: Any) -> str:
    known = {
        "key": limits.key_bytes and f"{limits.key_bytes:,} bytes",
        "value": limits.value_bytes and f"{limits.value_bytes:,} bytes",
        "batch": f"{limits.batch_keys:,} keys",
    }
    return ", ".join(f"{name} {text}" for name, text in known.items() if text)


def _period(seconds: float | None) -> str:
    return "never" if seconds is None else f"after {seconds:,.0f} s"

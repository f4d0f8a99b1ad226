"""A model of a store for Hypothesis, which finds a short program that a store answers wrongly.

Every example has keys of its own: earlier examples stay on the server and would change its answers,
so that Hypothesis could not shrink it.
"""

import itertools
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from kvbackends.contract.records import Outcome, Part, Rank
from kvbackends.contract.store import Store
from kvbackends.testing.tools import TTL, offer, publisher, rank_of, value_of

NAMES = st.sampled_from(["a", "b", "a*", "A"])
VALUES = st.sampled_from([b"", b"\0", b"1", bytes(range(256))]) | st.binary(max_size=20)
TTLS = st.sampled_from([None, 60, 90 * 86400.0])
STORES = st.integers(0, 1)
SIZE = 3


def run(store: Store, other: Store, key: str, *, examples: int, steps: int) -> None:
    """Raise the error of the shortest program that the store answers wrongly, if one is found."""
    run_state_machine_as_test(
        _machine(store, other, key),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def _machine(store: Store, other: Store, key: str) -> type[RuleBasedStateMachine]:
    """Return a machine whose programs use both connections, and keys that begin with `key`."""
    runs = itertools.count()

    class OneStore(StoreMachine):
        stores = (store, other)

        def __init__(self) -> None:
            super().__init__()
            self.prefix = f"{key}-{next(runs)}"

    return OneStore


class StoreMachine(RuleBasedStateMachine):
    """Compares plain keys, ranked keys, numbers, members and one barrier with a model."""

    stores: tuple[Store, Store]
    prefix: str

    @initialize()
    def begin(self) -> None:
        """Begin with an empty model."""
        self.plain: dict[str, bytes] = {}
        self.stale: dict[str, Any] = {}
        self.ranked: dict[str, tuple[Rank, bytes]] = {}
        self.numbers: dict[str, int] = {}
        self.members: dict[str, set[str]] = {}
        self.parts: dict[int, bytes] = {}
        self.is_open = False
        self.is_closed = False

    def at(self, family: str, name: str) -> str:
        """Return a key of this example."""
        return f"{self.prefix}-{family}-{name}"

    @rule(s=STORES, name=NAMES, value=VALUES, ttl=TTLS)
    def set(self, s: int, name: str, value: bytes, ttl: float | None) -> None:
        """`set` stores unconditionally."""
        self.stores[s].set(self.at("plain", name), value, ttl)
        self.plain[name] = value

    @rule(s=STORES, name=NAMES)
    def get(self, s: int, name: str) -> None:
        """`get` returns the stored value; its version is kept for `update_stale`."""
        entry = self.stores[s].get(self.at("plain", name))
        assert (entry and entry.value) == self.plain.get(name)
        if entry is not None:
            self.stale[name] = entry

    @rule(s=STORES, name=NAMES)
    def delete(self, s: int, name: str) -> None:
        """`delete` removes the value."""
        self.stores[s].delete(self.at("plain", name))
        self.plain.pop(name, None)

    @rule(s=STORES, name=NAMES, value=VALUES, ttl=TTLS)
    def create(self, s: int, name: str, value: bytes, ttl: float | None) -> None:
        """`compare_and_set` with version None stores only if the key is absent."""
        stored = self.stores[s].compare_and_set(self.at("plain", name), value, None, ttl)
        assert stored is (name not in self.plain)
        self.plain.setdefault(name, value)

    @rule(s=STORES, name=NAMES, value=VALUES)
    def update(self, s: int, name: str, value: bytes) -> None:
        """`compare_and_set` with the version that was just read stores."""
        entry = self.stores[s].get(self.at("plain", name))
        if entry is not None:
            assert self.stores[1 - s].compare_and_set(self.at("plain", name), value, entry.version)
            self.plain[name] = value

    @rule(s=STORES, name=NAMES, value=VALUES)
    def update_stale(self, s: int, name: str, value: bytes) -> None:
        """`compare_and_set` with a version of other bytes than the stored ones stores nothing."""
        old = self.stale.get(name)
        if old is not None and old.value != self.plain.get(name):
            assert not self.stores[s].compare_and_set(self.at("plain", name), value, old.version)

    @rule(s=STORES, names=st.sets(NAMES))
    def get_batch(self, s: int, names: frozenset[str]) -> None:
        """`get_batch` returns the keys that exist."""
        found = self.stores[s].get_batch([self.at("plain", name) for name in names])
        expected = {self.at("plain", n): v for n, v in self.plain.items() if n in names}
        assert dict(found) == expected

    @rule(s=STORES, name=NAMES, ttl=TTLS)
    def touch(self, s: int, name: str, ttl: float | None) -> None:
        """`touch` is True if the key exists."""
        assert self.stores[s].touch(self.at("plain", name), ttl) is (name in self.plain)

    @rule(s=STORES, name=NAMES, rank=st.sampled_from(Rank), text=st.text("xyz", max_size=2))
    def offer(self, s: int, name: str, rank: Rank, text: str) -> None:
        """`offer` keeps the record with the higher rank."""
        each, old = offer(self.at("ranked", name), rank, text), self.ranked.get(name)
        fits = old is None or old[0].yields_to(rank) or old[1] == each.value
        assert self.stores[s].offer(each, rank_of) is fits
        if fits:
            self.ranked[name] = rank, each.value
        entry = self.stores[1 - s].get(each.key)
        assert entry is not None
        assert entry.value == self.ranked[name][1]

    @rule(s=STORES, name=NAMES)
    def forget(self, s: int, name: str) -> None:
        """After `delete` an offer of any rank is stored."""
        self.stores[s].delete(self.at("ranked", name))
        self.ranked.pop(name, None)

    @rule(s=STORES, name=NAMES, by=st.integers(-(2**40), 2**40))
    def increment(self, s: int, name: str, by: int) -> None:
        """`increment` adds, and returns the sum."""
        self.numbers[name] = self.numbers.get(name, 0) + by
        assert self.stores[s].increment(self.at("number", name), by, TTL) == self.numbers[name]

    @rule(s=STORES, name=NAMES, member=st.text('ab: \n"é', max_size=3))
    def add_member(self, s: int, name: str, member: str) -> None:
        """`add_member` adds, and returns all members."""
        self.members.setdefault(name, set()).add(member)
        found = self.stores[s].add_member(self.at("members", name), member, TTL)
        assert found == self.members[name]

    @rule(s=STORES)
    def open_barrier(self, s: int) -> None:
        """`open` begins a new run."""
        barrier = self.stores[s].barrier(self.at("barrier", "b"), TTL)
        barrier.open(b"payload")
        assert barrier.expect(publisher(), SIZE).outcome is Outcome.WAITING
        self.parts, self.is_open, self.is_closed = {}, True, False

    @rule(s=STORES, place=st.integers(0, SIZE - 1))
    def arrive(self, s: int, place: int) -> None:
        """A part arrives, perhaps again; the one that completes the barrier also closes it."""
        if not self.is_open:
            return
        name = self.at("barrier", "b")
        barrier = self.stores[s].barrier(name, TTL)
        part = Part(place, f"task-{place}", f"{name}-{place}-{len(self.parts)}")
        self.parts.setdefault(place, value_of(part))
        outcome = barrier.arrive(part, value_of(part)).outcome
        if self.is_closed:
            assert outcome is Outcome.CLOSED
        elif len(self.parts) < SIZE:
            assert outcome is Outcome.WAITING
        else:
            assert outcome is Outcome.CLAIMED
            other = self.stores[1 - s].barrier(name, TTL)
            found = {place: value for place, _, value in other.parts()}
            assert found == self.parts
            barrier.close(part, None, rank_of)
            self.is_closed = True

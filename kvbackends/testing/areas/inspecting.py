"""What operators see: the chords in flight, and how long keys live."""

import pytest

from kvbackends import NotSupported
from kvbackends.contract import Barrier, Fact, Feature, Store
from kvbackends.layers.layer import innermost
from kvbackends.testing.check import Area, requires
from kvbackends.testing.delayed import Waits
from kvbackends.testing.tools import (
    SHORT,
    TTL,
    UNKNOWN,
    arrive,
    begin,
    close,
    gathered,
    listed,
    part,
    value_of,
    within,
)


class Inspecting(Area):
    """Operations that show and change nothing."""

    area = "inspecting"
    rule = "inspecting"

    @requires(Feature.LISTING)
    def names_open_barriers(self, store: Store, key: str) -> None:
        """`barriers` names every open barrier with a prefix, no other one, and no plain key."""
        if "barrier" in store.native and "barriers" not in store.native:
            with pytest.raises(NotSupported, match="cannot list its chords"):
                store.barriers(key)
            return
        young = f"{key}-a-without-size"
        names = {f"{key}-a*{{b}}", f"{key}-a%7B", f"{key}-a}}", young}
        for name in (*names - {young}, f"{key}-b"):
            begin(store.barrier(name, TTL), 2)
        store.barrier(young, TTL).open(b"payload")
        store.set(f"{key}-a-plain", b"v", TTL)
        found = list(store.barriers(f"{key}-a"))
        # The names of the others are hashed, because of the store's limits.
        named = {name for name in names if listed(store, [name, f"{name}.c"], key)[1:]}
        assert len(found) == len(set(found))
        assert named <= set(found) <= names

    def tells_what_has_arrived(self, barrier: Barrier) -> None:
        """The state has the size, the identity of each arrived part, and the payload."""
        barrier.open(b"payload")
        if _is_hidden(barrier):
            return
        opened = barrier.state()
        assert opened is not None
        assert (opened.size, opened.arrived, opened.holder) == (None, frozenset(), None)
        for place in (2, 0):
            arrive(barrier, part(place))
        begin(barrier, 4)
        for place in (2, 0):
            arrive(barrier, part(place))
        state = barrier.state()
        assert state is not None
        assert (state.size, state.total, state.done) == (4, 4, 2)
        assert state.arrived == {(0, "task-0"), (2, "task-2")}
        assert (state.payload, dict(state.slots)) == (b"payload", {})

    def tells_what_was_added(self, barrier: Barrier) -> None:
        """The state has the members of each slot, and counts an added part once."""
        begin(barrier, 2)
        if _is_hidden(barrier):
            return
        barrier.expect_more(part(0), 0, "added")
        barrier.expect_more(part(0), 0, "again")
        barrier.expect_more(part(0), 1, "other")
        for member in ("added", "again"):
            arrive(barrier, part(0, member))
        state = barrier.state()
        assert state is not None
        assert sorted(map(sorted, state.slots.values())) == [["added", "again"], ["other"]]
        assert (state.total, state.done) == (4, 1)

    def tells_the_holder(self, barrier: Barrier) -> None:
        """The state of a claimed barrier names the part and the delivery that hold the claim."""
        begin(barrier, 1)
        if _is_hidden(barrier):
            return
        mine = part(0)
        arrive(barrier, mine)
        state = barrier.state()
        assert state is not None
        assert (state.holder, state.done) == (mine, 1)
        assert gathered(barrier) == {(0, "task-0"): value_of(mine)}

    def open_barriers_only(self, store: Store, barrier: Barrier) -> None:
        """A barrier that was never opened has no state, and a closed one has none."""
        if _is_hidden(barrier):
            return
        assert barrier.state() is None
        begin(barrier, 1)
        mine = part(0)
        arrive(barrier, mine)
        close(barrier, mine)
        assert barrier.state() is None

    def looking_changes_nothing(self, store: Store, barrier: Barrier) -> Waits:
        """A barrier that is looked at expires when it would have otherwise."""

        def look(ttl: float) -> bool:
            short = store.barrier(barrier.name, ttl)
            short.open(b"")
            return _is_hidden(short) or _is_hidden(barrier)

        _, ttl = within(store, look)
        yield ttl
        assert arrive(barrier, part(0)).outcome is UNKNOWN

    def expired_keys_have_no_lifetime(self, store: Store, key: str) -> Waits:
        """`lifetimes` leaves out a key that has expired, swept or not."""
        store.set(key, b"v", SHORT)
        store.set(f"{key}-there", b"v")
        yield SHORT
        if "lifetimes" in store.native:
            assert store.lifetimes([key, f"{key}-there"]) == {f"{key}-there": None}

    def tells_lifetimes(self, store: Store, key: str) -> None:
        """`lifetimes` tells the seconds that each existing key has left; None: for ever."""
        if "lifetimes" not in store.native:
            with pytest.raises(NotSupported, match="cannot tell"):
                store.lifetimes([key])
            return
        store.set(f"{key}-kept", b"v")
        store.set(f"{key}-short", b"v", TTL)
        store.set(f"{key}-long", b"v", 2 * TTL)
        left = store.lifetimes([f"{key}-{each}" for each in ("kept", "short", "long", "absent")])
        assert set(left) == {f"{key}-kept", f"{key}-short", f"{key}-long"}
        assert left[f"{key}-kept"] is None
        for each, ttl in (("short", TTL), ("long", 2 * TTL)):
            seconds = left[f"{key}-{each}"]
            assert seconds is not None
            assert ttl / 2 < seconds <= ttl + store.limits.ttl_step + 1
        store.delete(f"{key}-kept")
        assert store.lifetimes([]) == {}

    def tells_about_the_server(self, store: Store) -> None:
        """`about` yields facts in words: a name and a text on one line each."""
        for fact in innermost(store).about():
            assert isinstance(fact, Fact)
            assert fact.name
            assert fact.said
            assert "\n" not in f"{fact.name}{fact.said}"


def _is_hidden(barrier: Barrier) -> bool:
    """True if the barrier is one of the store's own that does not tell its state."""
    try:
        barrier.state()
    except NotSupported:
        return True
    return False

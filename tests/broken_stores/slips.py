"""Slips in the plain operations, in ranked writes, notifications and connections."""

import itertools
import os
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar

import msgspec

from kvbackends.contract import Entry, Feature, Limits, Offer, Rank, RankOf, StoreURL
from kvbackends.stores.memory import MemorySubscription
from tests.broken_stores.reference import FileStore, LimitedStore, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import World


@caught_by("methods.absent_key_is_none")
class AbsentIsEmpty(ReferenceStore):
    """An absent key reads as an empty value (a dictionary with a default)."""

    def get(self, key: str) -> Entry | None:
        return super().get(key) or Entry(b"", "")


@caught_by("methods.ping")
class PingIsForbidden(ReferenceStore):
    """`ping` sends a command that the server allows administrators only."""

    def ping(self) -> None:
        raise PermissionError("NOPERM: this user has no permissions to run the 'ping' command")


@caught_by("model.agrees")
class CountsUpOnly(ReferenceStore):
    """A negative number is added without its sign (an unsigned column)."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        return super().increment(key, abs(by), ttl)


@caught_by("ttl.last_write_counts")
class LongestTimeStays(ReferenceStore):
    """A write never shortens a time to live (GREATEST in an upsert)."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self.world() as world:
            row = world.row(key)
            world.put(key, value, max(self.expires(ttl), row.expires if row else 0))


@caught_by("ttl.touch")
class TouchOnlyProlongs(ReferenceStore):
    """`touch` leaves a time to live that is longer than the new one (EXPIRE … GT)."""

    def touch(self, key: str, ttl: float | None) -> bool:
        with self.world() as world:
            row = world.row(key)
            if row is not None:
                world.prolong(key, max(row.expires, self.expires(ttl)))
            return row is not None


@caught_by("counters.large")
class CountsInFloats(ReferenceStore):
    """Numbers pass through a float (JSON, Lua), and lose their last digits."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        with self.world() as world:
            row = world.row(key)
            total = int(float(row.value if row else b"0") + by)
            world.put(key, b"%d" % total, self.expires(ttl))
            return total


@caught_by("limits.are_sensible")
class LimitOfZero(ReferenceStore):
    """Zero was meant for "no limit"."""

    limits = Limits(batch_keys=0)


@caught_by("limits.largest_value")
class LimitOneTooHigh(LimitedStore):
    """The declared limit counts the header that the store adds: the last byte is cut off."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        super().set(key, value[:999], ttl)


@caught_by("limits.large_value")
class FourMegabytes(ReferenceStore):
    """A value is cut at four megabytes, and no limit is declared."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        super().set(key, value[: 4 << 20], ttl)


@caught_by("limits.largest_batch")
class FiveHundredAtATime(ReferenceStore):
    """A batch answers for its first 500 keys (the server's limit), and no limit is declared."""

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        return super().get_batch(list(keys)[:500])


@caught_by("ranks.unready_after_delete_is_the_old_version_gone")
class RemembersItsSuccesses(ReferenceStore):
    """A connection remembers the successes it has stored, and asks the server no more."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.succeeded: set[str] = set()

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        if offer.key in self.succeeded:
            return False
        if offer.rank is Rank.SUCCEEDED:
            self.succeeded.add(offer.key)
        return super().offer(offer, rank_of)


@caught_by("ranks.all_bytes")
class OffersAreText(ReferenceStore):
    """Ranked values pass through text, and bytes that are no UTF-8 are replaced."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        text = offer.value.decode(errors="replace")
        return super().offer(offer._replace(value=text.encode()), rank_of)


@caught_by("threads.first_success_stays")
class LastSuccessStays(ReferenceStore):
    """A success yields to a later one (`<=` in the condition)."""

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        if offer.rank is Rank.SUCCEEDED:
            world.put(offer.key, offer.value, self.expires(offer.ttl))
            return True
        return super().ranked(world, offer, rank_of)


@caught_by("threads.success_is_never_seen_to_go")
class WritesThenRestores(ReferenceStore):
    """An offer that is refused is written first, and what was better is put back afterwards."""

    def get(self, key: str) -> Entry | None:
        time.sleep(0.001)
        return super().get(key)

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        before = super().get(offer.key)
        if before is None or rank_of(before.value).yields_to(offer.rank):
            return super().offer(offer, rank_of)
        self.set(offer.key, offer.value)
        time.sleep(0.005)
        self.set(offer.key, before.value)
        return False


@caught_by("threads.members_are_not_lost")
class MembersInTwoSteps(ReferenceStore):
    """A set of members is read and then written, and an addition in between is lost."""

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        entry = self.get(key)
        members = {member, *(msgspec.json.decode(entry.value) if entry else ())}
        time.sleep(0.002)
        self.set(key, msgspec.json.encode(sorted(members)), ttl)
        return frozenset(members)


@caught_by("members.add_member")
class AnswersTheMember(ReferenceStore):
    """`add_member` answers what it added, not what is there."""

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        super().add_member(key, member, ttl)
        return frozenset({member})


@caught_by("waiting.an_offer_ends_a_wait")
class TellsOfCreation(ReferenceStore):
    """Only the first record of a key is notified, and never a success."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        listeners, self.space.listeners = self.space.listeners, frozenset()
        try:
            return super().offer(offer, rank_of)
        finally:
            self.space.listeners = listeners


@caught_by("waiting.another_connection_is_heard")
class HearsItself(ReferenceStore):
    """A connection is told of its own offers only."""

    def subscribe(self) -> Any:
        self.heard = super().subscribe()
        return self.heard

    def tell(self, key: str) -> None:
        if hasattr(self, "heard"):
            self.heard.tell(key)


@caught_by("waiting.odd_keys")
class ChannelNamesAreCut(ReferenceStore):
    """The name of a channel is cut at 63 letters (PostgreSQL's NOTIFY)."""

    def tell(self, key: str) -> None:
        super().tell(key[:63])


@caught_by("waiting.wake")
class WakeNamesAKey(ReferenceStore):
    """A wake is a message in the queue, and is named like a key."""

    class subscription_type(MemorySubscription):  # noqa: N801 - the name that the store asks for
        def wake(self) -> None:
            self._changed.add("wake")
            super().wake()


@caught_by("waiting.zero_looks_once")
class ZeroIsTheDefault(ReferenceStore):
    """``timeout or 1.1``: a wait of no time is a long one."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def wait(self, timeout: float) -> Collection[str] | None:
            return super().wait(timeout or 1.1)


@caught_by("waiting.other_keys_are_not_told")
class NamesEveryKey(ReferenceStore):
    """A subscription listens to the whole database, and names what nobody watches."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def tell(self, key: str) -> None:
            self._watched.add(key)
            super().tell(key)


@caught_by("listing.offered_keys_are_listed")
class ListsOneTable(ReferenceStore):
    """Ranked records have a table of their own, which `scan` does not read."""

    ranked_keys: ClassVar[set[str]] = set()

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        self.ranked_keys.add(offer.key)
        return super().ranked(world, offer, rank_of)

    def scan(self, prefix: str) -> Iterator[str]:
        return (key for key in super().scan(prefix) if key not in self.ranked_keys)


@caught_by("features.only_promises_are_declared")
class PromisesWhatFollows(ReferenceStore):
    """A feature that follows from an override is declared as a promise."""

    promises = Feature.PUSH


@caught_by("processes.fork_after_use")
class RefusesChildren(ReferenceStore):
    """The client refuses to work in another process than the one that made it."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.made_in = os.getpid()

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.refuse()
        super().set(key, value, ttl)

    def refuse(self) -> None:
        if os.getpid() != self.made_in:
            raise RuntimeError("opened before fork")


@caught_by("processes.fork_of_a_fork")
class RefusesGrandchildren(RefusesChildren):
    """A child makes a client of its own, once: its children use that one."""

    def refuse(self) -> None:
        if self.made_in not in {os.getpid(), os.getppid()}:
            raise RuntimeError("opened before fork")


@caught_by("lasting.confirmed_is_there")
class CloseDropsTheLast(ReferenceStore):
    """The last write waits in a buffer, which closing throws away."""

    last = ""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        super().set(key, value, ttl)
        self.last = key

    def close(self) -> None:
        self.delete(self.last)


@caught_by("lasting.killed_writer")
class WritesBehind(FileStore):
    """A write is confirmed from a buffer of its process, and stored with the next call."""

    pending: tuple[str, bytes, float | None] | None = None

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.pending = (key, value, ttl)

    def get(self, key: str) -> Entry | None:
        if self.pending is not None:
            super().set(*self.pending)
            self.pending = None
        return super().get(key)


@caught_by("lasting.ten_thousand_waits")
class WatchesLeak(ReferenceStore):
    """Each key that is watched opens something that unwatching does not close."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def __init__(self, space: Any) -> None:
            super().__init__(space)
            self._opened = itertools.count()
            self._files: list[int] = []

        def watch(self, keys: Collection[str]) -> None:
            super().watch(keys)
            if next(self._opened) < 20:
                self._files.append(os.open(os.devnull, os.O_RDONLY))

        def close(self) -> None:
            super().close()
            while self._files:
                os.close(self._files.pop())


@caught_by("histories.increment")
class AnswersAfterwards(ReferenceStore):
    """The sum is read after the addition, when another one may have come."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        super().increment(key, by, ttl)
        time.sleep(0.001)
        entry = self.get(key)
        return int(entry.value) if entry else 0


@caught_by("histories.offer")
class AlwaysStored(ReferenceStore):
    """An offer is answered with True, whether it was stored or not."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        super().offer(offer, rank_of)
        return True

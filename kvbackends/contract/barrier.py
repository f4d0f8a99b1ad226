"""A chord's barrier: what the store keeps of a chord between its opening and its dispatch.

`docs/protocol.md` has the rules.  A store whose server runs several steps at once implements
`Barrier`; one whose server compares and replaces single records implements the requests of
`kvbackends.contract.stepwise.StepwiseBarrier`, which has the rules; every other store gets
`kvbackends.contract.paged.PagedBarrier`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from kvbackends.contract.records import (
    Arrival,
    BarrierState,
    Offer,
    Outcome,
    Part,
    Rank,
    RankOf,
)
from kvbackends.errors import NotSupported

if TYPE_CHECKING:
    from kvbackends.contract.store import Store

PAYLOAD_TTL = 30 * 86400.0
"""Seconds that a payload is kept at least: arrivals do not renew it, and chords run for weeks."""

WAITING = Arrival(Outcome.WAITING)
CLOSED = Arrival(Outcome.CLOSED)
UNKNOWN = Arrival(Outcome.UNKNOWN)


def payload_ttl(ttl: float | None) -> float | None:
    """How long to keep the payload of a barrier that is opened with this ttl, in seconds."""
    return None if ttl is None else max(ttl, PAYLOAD_TTL)


class Barrier(ABC):
    """The barrier of one chord.  Making one does no I/O; it may serve any number of operations.

    Attributes:
        name: The barrier's key.
        ttl: Seconds that the records of its operations are kept; None: for ever.
    """

    name: str
    ttl: float | None

    @abstractmethod
    def open(self, payload: bytes) -> None:
        """Begin a new run: nothing that arrived before counts.

        `payload` is kept for the delivery that claims the barrier, for at least `PAYLOAD_TTL`.
        """

    @abstractmethod
    def expect(self, part: Part, size: int) -> Arrival:
        """Set the number of parts of the header; like any arrival, this may complete the barrier.

        `part` names the opener; its place is `SIZE_PLACE`.
        """

    @abstractmethod
    def expect_more(self, part: Part, slot: int, member: str) -> None:
        """Expect one part more, which `member` fills.

        Nothing more is expected after the claim, and of a barrier that is not open.
        Idempotent by `(part, slot)`: when the adding task runs again it names another member of
        the same slot, and any one of them fills it.
        """

    @abstractmethod
    def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
        """Record a part and claim the barrier if that completes it.

        UNKNOWN if the barrier was never opened or has expired: only `open` begins one.
        Idempotent: the first value of a part stays.  With the value None nothing is recorded.  A
        part that arrives takes over a claim of an earlier delivery of its own; any other claim is
        taken over only if its delivery is `evict`.
        """

    @abstractmethod
    def finish(
        self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
    ) -> Arrival:
        """`arrive` with the offer's bytes, and `Store.offer`, in as few requests as possible.

        A success is stored only where the answer is WAITING: `close` stores the result of the part
        that completes the barrier, after the dispatch.  A failure is stored before its part.
        """

    @abstractmethod
    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """Place, member and value of the header's parts and of one part for each slot, unordered.

        While the barrier is not complete: of every part that has arrived.
        """

    @abstractmethod
    def renew(self, part: Part) -> bool:
        """True if this delivery still holds the claim; asked just before the dispatch."""

    @abstractmethod
    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        """Write the tombstone, store `offer` (the completing result), then remove the parts.

        The tombstone is written whichever delivery holds the claim by now.  A run that no delivery
        has claimed began after the dispatched one, and is left alone.
        """

    def state(self) -> BarrierState | None:
        """The barrier as it is now; None if it is not open.  Changes nothing.

        Raises `NotSupported` where a barrier of the store's own does not override it.
        """
        raise NotSupported(f"{type(self).__name__} does not tell the state of a chord")


def _through_call(name: str) -> Callable[..., Any]:
    def operation(barrier: "CalledBarrier", *args: Any, **kwargs: Any) -> Any:
        return barrier.call(name, methodcaller(name, *args, **kwargs))

    return operation


class CalledBarrier(Barrier):
    """A barrier whose operations all go through `call`."""

    @abstractmethod
    def call(self, name: str, operation: Callable[[Barrier], Any]) -> Any:
        """Call the operation with that name, of whichever barrier it is given."""

    open = _through_call("open")
    expect = _through_call("expect")
    expect_more = _through_call("expect_more")
    arrive = _through_call("arrive")
    finish = _through_call("finish")
    parts = _through_call("parts")
    renew = _through_call("renew")
    close = _through_call("close")
    state = _through_call("state")


class FreshBarrier(CalledBarrier):
    """A barrier that makes another one for each operation, which may keep the operation's state.

    Args:
        make: Makes a barrier of a name and a ttl.
        name: The barrier's key.
        ttl: Seconds that the records of its operations are kept; None: for ever.
    """

    def __init__(
        self, make: Callable[[str, float | None], Barrier], name: str, ttl: float | None
    ) -> None:
        self.name, self.ttl = name, ttl
        self._make = make

    def call(self, name: str, operation: Callable[[Barrier], Any]) -> Any:
        """Call the operation of a new barrier."""
        return operation(self._make(self.name, self.ttl))


def finish_in_steps(
    barrier: Barrier,
    store: "Store",
    part: Part,
    offer: Offer,
    rank_of: RankOf,
    evict: str | None = None,
) -> Arrival:
    """`Barrier.finish` by `Barrier.arrive` and `Store.offer`, where there is no single step."""
    if offer.rank is not Rank.SUCCEEDED:
        store.offer(offer, rank_of)
    arrival = barrier.arrive(part, offer.value, evict)
    if offer.rank is Rank.SUCCEEDED and arrival.outcome is Outcome.WAITING:
        store.offer(offer, rank_of)
    return arrival

"""The barriers of the layers; each passes everything on to the barrier that it wraps."""

import time
from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from kvbackends.contract.barrier import Barrier, finish_in_steps, payload_ttl
from kvbackends.contract.deadline import deadline, limit
from kvbackends.contract.records import (
    Arrival,
    BarrierState,
    Offer,
    Outcome,
    Part,
    Rank,
    RankOf,
)
from kvbackends.layers.manifest import Ranking, manifest_of
from kvbackends.layers.outage import SHORTEST

if TYPE_CHECKING:
    from kvbackends.layers.chunks import Chunks
    from kvbackends.layers.retry import Retry


class WrappedBarrier(Barrier):
    """A barrier around another: values go in through `encode` and come out through `decode`.

    Args:
        inner: The barrier that everything is passed on to.
        encode: The bytes to store for a part's value or a payload.
        decode: The value for bytes that `encode` returned; None: `encode` does not change values.
        encode_offer: The offer to store for an offer.
        rank_through: The `RankOf` of encoded bytes for the one of values; None: the same.
    """

    def __init__(
        self,
        inner: Barrier,
        *,
        encode: Callable[[bytes], bytes],
        encode_offer: Callable[[Offer], Offer],
        decode: Callable[[bytes], bytes] | None = None,
        rank_through: Callable[[RankOf], RankOf] | None = None,
    ) -> None:
        self.name, self.ttl = inner.name, inner.ttl
        self.inner = inner
        self._encode = encode
        self._encode_offer = encode_offer
        self._decode = decode
        self._rank_through = rank_through

    def open(self, payload: bytes) -> None:
        """Keep the payload encoded."""
        self.inner.open(self._encode(payload))

    def expect(self, part: Part, size: int) -> Arrival:
        """Pass it on; a claim is answered with the decoded payload."""
        return self._decoded(self.inner.expect(part, size))

    def expect_more(self, part: Part, slot: int, member: str) -> None:
        """Pass it on."""
        self.inner.expect_more(part, slot, member)

    def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
        """Record the value encoded."""
        encoded = None if value is None else self._encode(value)
        return self._decoded(self.inner.arrive(part, encoded, evict))

    def finish(
        self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
    ) -> Arrival:
        """Record and store the same encoded bytes."""
        through = self._rank_through
        ranking = rank_of if through is None else through(rank_of)
        arrival = self.inner.finish(part, self._encode_offer(offer), ranking, evict)
        return self._decoded(arrival) if arrival.payload else arrival

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """The parts with their decoded values."""
        parts, decode = self.inner.parts(), self._decode
        if decode is None:
            return parts
        return ((place, member, decode(stored)) for place, member, stored in parts)

    def renew(self, part: Part) -> bool:
        """Pass it on."""
        return self.inner.renew(part)

    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        """Store the completing result encoded."""
        encoded, through = None if offer is None else self._encode_offer(offer), self._rank_through
        self.inner.close(part, encoded, rank_of if through is None else through(rank_of))

    def state(self) -> BarrierState | None:
        """The inner state with the decoded payload."""
        state, decode = self.inner.state(), self._decode
        if state is None or decode is None or not state.payload:
            return state
        return state._replace(payload=decode(state.payload))

    def _decoded(self, arrival: Arrival) -> Arrival:
        if self._decode is None or not arrival.payload:
            return arrival
        return arrival._replace(payload=self._decode(arrival.payload))


def _retried(name: str) -> Callable[..., Any]:
    def operation(barrier: "RetriedBarrier", *args: Any, **kwargs: Any) -> Any:
        # As `Retry.retried`, without its calls: it is the way of every part.
        retry, request = barrier.retry, methodcaller(name, *args, **kwargs)
        until, started = limit.get(), time.monotonic()
        deadline.set(min(until, started + max(retry.seconds, SHORTEST)))
        try:
            answer = request(barrier.make(barrier.name, barrier.ttl))
            if retry.outage.since:
                retry.outage.ends()
            return answer
        except retry.passing as error:
            attempt = lambda: request(barrier.make(barrier.name, barrier.ttl))  # noqa: E731
            return retry.again(attempt, error, name, started)
        finally:
            deadline.set(until)

    return operation


class RetriedBarrier(Barrier):
    """A barrier whose operations are retried; each attempt makes the inner barrier anew."""

    def __init__(
        self, retry: "Retry", make: Callable[..., Barrier], name: str, ttl: float | None = None
    ) -> None:
        self.name, self.ttl = name, ttl
        self.retry, self.make = retry, make

    open = _retried("open")
    expect = _retried("expect")
    expect_more = _retried("expect_more")
    arrive = _retried("arrive")
    finish = _retried("finish")
    renew = _retried("renew")
    close = _retried("close")
    state = _retried("state")

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """All parts, read here, where an error in the middle is retried."""
        read = self.retry.retried(lambda: list(self.make(self.name, self.ttl).parts()), "parts")
        return iter(read())


class ChunkedBarrier(Barrier):
    """A barrier around another; `chunks` splits and joins its large values."""

    def __init__(self, inner: Barrier, chunks: "Chunks") -> None:
        self.name, self.ttl = inner.name, inner.ttl
        self._inner = inner
        self._chunks = chunks

    def open(self, payload: bytes) -> None:
        """A large payload is a plain value too: so `close` finds its chunks."""
        if self._chunks.is_large(payload):
            payload = self._chunks.put(self._payload_key(), payload, payload_ttl(self.ttl))
        self._inner.open(payload)

    def expect(self, part: Part, size: int) -> Arrival:
        """Pass it on; a claim is answered with the joined payload."""
        return self._joined(self._inner.expect(part, size))

    def expect_more(self, part: Part, slot: int, member: str) -> None:
        """Pass it on."""
        self._inner.expect_more(part, slot, member)

    def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
        """Store the chunks, then record the manifest."""
        key = self._key(part.place, part.member)
        stored = None if value is None else self._chunks.split(key, value, self.ttl)
        arrival = self._inner.arrive(part, stored, evict)
        if arrival.outcome in (Outcome.CLOSED, Outcome.UNKNOWN):
            self._chunks.discard(key, stored)
        return self._joined(arrival)

    def finish(
        self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
    ) -> Arrival:
        """A large result and its part have chunks of their own: either may be removed first."""
        if self._chunks.is_large(offer.value):
            return finish_in_steps(self, self._chunks, part, offer, rank_of, evict)
        ranking = Ranking(rank_of)
        arrival = self._inner.finish(part, offer, ranking, evict)
        is_waiting = arrival.outcome is Outcome.WAITING
        if ranking.is_unsure and (is_waiting or offer.rank is not Rank.SUCCEEDED):
            self._chunks.offer(offer, rank_of)
        return self._joined(arrival)

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """The joined values; a part without all of its chunks has expired."""
        for place, member, stored in self._inner.parts():
            manifest, key = manifest_of(stored), self._key(place, member)
            value = stored if manifest is None else self._chunks.joined(key, manifest)
            if value is not None:
                yield place, member, value

    def renew(self, part: Part) -> bool:
        """Pass it on."""
        return self._inner.renew(part)

    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        """Read the manifests first: afterwards nothing leads to the chunks.

        Those of parts that this delivery has not claimed are left to expire.
        """
        listed = self._inner.parts()
        stored = [(self._key(place, member), value) for place, member, value in listed]
        is_mine = self._inner.renew(part)
        self._inner.close(part, None, rank_of)
        if is_mine:
            for key, value in stored:
                self._chunks.discard(key, value)
            self._chunks.delete(self._payload_key())
        if offer is not None:
            self._chunks.offer(offer, rank_of)

    def state(self) -> BarrierState | None:
        """The inner state with the joined payload."""
        state = self._inner.state()
        return state and state._replace(payload=self._joined_payload(state.payload))

    def _joined(self, arrival: Arrival) -> Arrival:
        payload = self._joined_payload(arrival.payload)
        return arrival if payload is arrival.payload else arrival._replace(payload=payload)

    def _joined_payload(self, stored: bytes) -> bytes:
        manifest = manifest_of(stored)
        if manifest is None:
            return stored
        return self._chunks.joined(self._payload_key(), manifest) or b""

    def _key(self, place: int, member: str) -> str:
        return f"{self.name}.{place}:{member}"

    def _payload_key(self) -> str:
        return f"{self.name}.about"

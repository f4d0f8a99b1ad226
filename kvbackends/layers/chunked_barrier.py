"""Barriers whose payloads and parts may be above the store's limit."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvbackends.contract.barrier import Barrier, finish_in_steps, payload_ttl
from kvbackends.contract.records import Arrival, Offer, Outcome, Part, Rank, RankOf
from kvbackends.layers.manifest import Ranking, manifest_of

if TYPE_CHECKING:
    from kvbackends.layers.chunks import Chunks


class ChunkedBarrier(Barrier):
    """A barrier around another; `chunks` splits and joins its large values."""

    def __init__(self, inner: Barrier, chunks: "Chunks") -> None:
        super().__init__(inner.name, inner.ttl)
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
        if arrival.outcome is Outcome.CLOSED:
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

    def _joined(self, arrival: Arrival) -> Arrival:
        manifest = manifest_of(arrival.payload)
        if manifest is None:
            return arrival
        payload = self._chunks.joined(self._payload_key(), manifest)
        return arrival._replace(payload=payload or b"")

    def _key(self, place: int, member: str) -> str:
        return f"{self.name}.{place}:{member}"

    def _payload_key(self) -> str:
        return f"{self.name}.about"

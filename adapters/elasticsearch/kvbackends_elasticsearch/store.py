"""The store: each operation of the contract as requests for documents.

A conditional write compares `_seq_no` and `_primary_term`, so no script is needed.
"""

import itertools
import random
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import Any, NamedTuple, Self, cast

from kvbackends.contract import (
    Barrier,
    Entry,
    Fact,
    Feature,
    FreshBarrier,
    Limits,
    Offer,
    PerProcess,
    Rank,
    RankOf,
    Recent,
    ServerAddress,
    Store,
    StoreURL,
    seconds_left,
    uninterrupted,
)
from kvbackends_elasticsearch.barriers import CONTROL, ElasticsearchBarrier, Memory
from kvbackends_elasticsearch.client import CREATE, Action, Client
from kvbackends_elasticsearch.documents import (
    LARGEST,
    LONGEST_ID,
    Document,
    Source,
    Version,
    celerys,
    encode,
    facet,
    has_facets,
)
from kvbackends_elasticsearch.errors import Unavailable
from kvbackends_elasticsearch.index import PAGE, Index
from kvbackends_elasticsearch.options import ElasticsearchOptions, index_of, nodes
from kvbackends_elasticsearch.requests import Resending, Sender

_EXPIRED = {"range": {"expires": {"lte": "now"}}}
"""A query for expired documents, by the server's clock."""
_OURS = ("key", "run")
"""Fields of which each document has one, unless Celery's own backend wrote it."""
READ_AT_ONCE = 500
"""Documents without facets that are in memory at a time."""
PATIENCE = 10.0
"""Seconds for which a thread waits for its turn at a document that other threads write."""
CONTENDED = "other threads of this process wrote the document all the time"
PAUSE = 0.05
"""Most seconds of the pause after the first race that is lost to another process, half of it after
the second, and so on: the longer a writer has lost, the sooner it tries again, so none loses long.
"""
_NO_FACETS: Mapping[str, str] = {}


class _Written(NamedTuple):
    """The version and rank of a record that this process wrote; a guess, checked when used."""

    version: Version
    rank: Rank


class ElasticsearchStore(Store):
    """A store in the documents of one index."""

    options_type = ElasticsearchOptions
    promises = Feature.DURABLE | Feature.SHARED
    limits = Limits(
        key_bytes=LONGEST_ID,
        value_bytes=LARGEST,
        key_pattern=r"(?!\.{1,2}\Z).+",  # a proxy may resolve . and .. in a path
        ttl_step=0.002,  # `expires` is in whole milliseconds, rounded up
    )
    transient_errors = (Unavailable,)

    def __init__(self, url: StoreURL, options: ElasticsearchOptions) -> None:
        configs, index = nodes(url, options), index_of(url)
        resending = Resending(options.max_retries, options.retry_on_timeout)
        self._as_text = options.save_meta_as_text

        def connected() -> Client:
            sender = Sender(configs, resending)
            shards = options.number_of_shards
            return Client(sender, Index(sender, index, shards, as_text=self._as_text))

        self._client = PerProcess(connected, close=lambda client: client.close())
        self._memory = Memory()
        self._written: Recent[_Written] = Recent()

    @classmethod
    def from_url(cls, url: StoreURL, options: ElasticsearchOptions) -> Self:
        """The store in the index that the URL's path names; by default ``celery``."""
        store = cls(url, options)
        node = nodes(url, options)[0]
        store.server = ServerAddress(node.host, node.port, node.scheme == "https")
        return store

    # -- plain and ranked keys ----------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """Cost: one request.  The version includes the expiry, which `compare_and_set` checks."""
        document = self._client().get(key)
        return None if document is None else _entry(document)

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Cost: one request, or several if the values are large."""
        found = self._client().get_many(keys)
        return {key: source.value() for key, source in found if source.is_alive()}

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Cost: one request."""
        self._client().write(key, self._body(key, value, ttl))

    def delete(self, key: str) -> None:
        """Cost: one request."""
        self._written.pop(key)
        self._client().delete(key)

    def delete_batch(self, keys: Collection[str]) -> None:
        """Cost: one request."""
        if keys:
            self._client().bulk([Action("delete", key) for key in keys])

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Cost: one request; three if `version` is None and an expired document is stored."""
        body = self._body(key, value, ttl)
        if version is None:
            return (
                self._write_if(key, body, lambda document: not document.source.is_alive())
                is not None
            )
        seq_no, term, expires = cast("tuple[int, int, float | None]", version)
        alive = Source(expires=expires).is_alive()
        return alive and self._client().write(key, body, (seq_no, term)) is not None

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """Cost: one request if the key is absent or this process wrote it, else up to three."""
        body = self._body(offer.key, offer.value, offer.ttl, offer.facets)

        def yields(document: Document) -> bool:
            value = document.source.value()
            alive = document.source.is_alive() and value != offer.value
            return not alive or rank_of(value).yields_to(offer.rank)

        known = self._written.pop(offer.key)
        guess = known.version if known and known.rank.yields_to(offer.rank) else CREATE
        version = self._write_if(offer.key, body, yields, guess)
        if version is not None and offer.rank is not Rank.SUCCEEDED:
            self._written.put(offer.key, _Written(version, offer.rank))
        return version is not None

    def barrier(self, name: str, ttl: float | None = None) -> Barrier:
        """A part is one request, and one before it where this process sees the barrier first."""
        return FreshBarrier(self._one_barrier, name, ttl)

    def _one_barrier(self, name: str, ttl: float | None) -> ElasticsearchBarrier:
        memory, as_text = self._memory, self._as_text
        return ElasticsearchBarrier(self, self._client(), memory, name, ttl, as_text=as_text)

    # -- listing, sweeping, connections -------------------------------------------------------

    def scan(self, prefix: str) -> Iterator[str]:
        """The keys with this prefix, also those that Celery's own backend stored."""
        ours = [{"prefix": {"key": prefix}}, {"bool": {"must_not": {"exists": {"field": "key"}}}}]
        listed = {"should": ours, "must_not": [_EXPIRED, {"exists": {"field": "run"}}]}
        found = self._found({**listed, "minimum_should_match": 1})
        return (key for key in found if key.startswith(prefix))

    def find(self, facets: Mapping[str, str]) -> Iterator[str]:
        """The keys with these facets, found by a search.

        What Celery's own backend stored has no facets: those documents are read, each of them.
        """
        words = [{"term": {"facets": facet(*each)}} for each in facets.items()]
        yield from self._found({"filter": words, "must_not": [_EXPIRED]})
        others = self._found({"must_not": [{"exists": {"field": each}} for each in _OURS]})
        while keys := list(itertools.islice(others, READ_AT_ONCE)):
            values = self.get_batch(keys)
            yield from (key for key, value in values.items() if has_facets(value, facets))

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        """Cost: one request; this host's clock decides."""
        found = self._client().expiries(keys) if keys else ()
        now = time.time() * 1000
        return {
            key: None if source.expires is None else (source.expires - now) / 1000
            for key, source in found
            if source.is_alive()
        }

    def barriers(self, prefix: str) -> Iterator[str]:
        """The names of barriers whose ids are not hashed, found by a search."""
        of_runs = {"filter": [{"exists": {"field": "run"}}]}
        others = [_EXPIRED, {"exists": {"field": "part"}}]
        found = self._found({**of_runs, "must_not": others})
        controls = (each.removesuffix(CONTROL) for each in found if each.endswith(CONTROL))
        return (name for name in controls if name.startswith(prefix))

    def sweep(self, limit: int = 1000) -> int:
        """Remove documents that have expired by the server's clock and do not change meanwhile."""
        index = self._client().index
        index.refresh()
        hits = index.search(_EXPIRED, size=min(limit, PAGE), seq_no_primary_term=True)
        actions = [
            Action("delete", hit.id, condition=(hit.seq_no, hit.term), routing=hit.routing)
            for hit in hits
        ]
        return sum(item.done for item in self._client().bulk(actions)) if actions else 0

    def about(self) -> Iterator[Fact]:
        """The server's version."""
        return self._client().index.about()

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        self._client.close()

    # -- helpers ------------------------------------------------------------------------------

    def _body(
        self, key: str, value: bytes, ttl: float | None, facets: Mapping[str, str] = _NO_FACETS
    ) -> bytes:
        return encode(value, ttl, as_text=self._as_text, **celerys(key, facets))

    def _write_if(
        self,
        key: str,
        body: bytes,
        may_replace: Callable[[Document], bool],
        guess: Version = CREATE,
    ) -> Version | None:
        """Store if the document has the version `guess`, else if the stored one may be replaced.

        Returns the new version, or None if it may not be replaced.
        """
        client = self._client()
        # A guess of the thread that wrote last would succeed again and again, before all others.
        version = None if client.turns(key).taken else client.write(key, body, guess)
        return self._contend(key, body, may_replace) if version is None else version

    @uninterrupted  # else an exception could keep the turn for ever
    def _contend(
        self, key: str, body: bytes, may_replace: Callable[[Document], bool]
    ) -> Version | None:
        """Read and write until no other write has come in between."""
        client, races = self._client(), 0
        with client.turns(key).one(seconds_left(PATIENCE), CONTENDED):
            while True:
                if races:
                    time.sleep(random.uniform(0, PAUSE / races))
                races += 1
                document = client.get(key)
                if document is not None and not may_replace(document):
                    return None
                condition = CREATE if document is None else document.version
                if (version := client.write(key, body, condition)) is not None:
                    return version

    def _found(self, query: Mapping[str, Any]) -> Iterator[str]:
        index = self._client().index
        index.refresh()
        return (hit.id for hit in index.search_all({"bool": query}))


def _entry(document: Document) -> Entry | None:
    source, version = document
    return Entry(source.value(), (*version, source.expires)) if source.is_alive() else None

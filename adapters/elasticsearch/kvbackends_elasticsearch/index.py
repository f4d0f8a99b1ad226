"""The index: how it is created, and how it is searched."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import msgspec

from kvbackends import ConfigurationError, StoreError
from kvbackends.contract import Fact
from kvbackends_elasticsearch.documents import CELERYS_FIELDS, FIELDS
from kvbackends_elasticsearch.errors import Unavailable, error_type
from kvbackends_elasticsearch.requests import Sender

PAGE = 5000
"""Most documents that one search returns."""
_KEEP_ALIVE = "1m"
_UNTOLD = {403, 405}
"""Statuses of a server that does not tell its version: to this account, or to nobody."""
_CREATED = {"resource_already_exists_exception", "index_already_exists_exception"}
"""Another process has just created the index."""


class Hit(msgspec.Struct):
    """A document that a search found."""

    id: str = msgspec.field(name="_id", default="")
    seq_no: int = msgspec.field(name="_seq_no", default=-1)
    term: int = msgspec.field(name="_primary_term", default=0)
    routing: str | None = msgspec.field(name="_routing", default=None)
    sort: list[Any] = []


class _Hits(msgspec.Struct):
    hits: list[Hit] = []


class _Found(msgspec.Struct):
    hits: _Hits
    scroll: str = msgspec.field(name="_scroll_id", default="")


class _Shards(msgspec.Struct):
    failed: int = 0


class _Refreshed(msgspec.Struct):
    shards: _Shards = msgspec.field(name="_shards", default_factory=_Shards)


class _Properties(msgspec.Struct):
    properties: dict[str, dict[str, Any]] = {}


class _Index(msgspec.Struct):
    mappings: _Properties


_decode_about = msgspec.json.Decoder(dict[str, Any]).decode
_decode_found = msgspec.json.Decoder(_Found).decode
_decode_indices = msgspec.json.Decoder(dict[str, _Index]).decode
_decode_refreshed = msgspec.json.Decoder(_Refreshed).decode


class Index:
    """One index, or the indices behind an alias."""

    def __init__(self, sender: Sender, name: str, shards: int, *, as_text: bool) -> None:
        self._sender = sender
        self._name = name
        self._shards = shards
        self._result = "text" if as_text else "object"
        self._creating = threading.RLock()  # a signal's handler may write, too
        self._exists = False
        self.path = f"/{quote(name, safe='')}"

    # -- creation -----------------------------------------------------------------------------

    def make(self) -> None:
        """Create the index, or add the missing fields; only the first call sends requests.

        Raises `ConfigurationError` if the index has a field of another type.
        """
        if not self._exists:
            with self._creating:
                self._create()
                self._exists = True

    def _create(self) -> None:
        answer = self._sender.read("GET", f"{self.path}/_mapping")
        if answer.status == 404:
            created = self._sender.send("PUT", self.path, self._definition())
            if created.status != 400 or error_type(created.data) not in _CREATED:
                created.accepted()
                return
            answer = self._sender.read("GET", f"{self.path}/_mapping")
        for each in answer.decoded(_decode_indices).values():
            self._complete(each.mappings.properties)

    def _definition(self) -> bytes:
        """The settings and the mapping of a new index, with a replica if there is a second node."""
        settings = {"number_of_shards": self._shards, "auto_expand_replicas": "0-1"}
        mapping = {"dynamic": False, "properties": {**CELERYS_FIELDS, **FIELDS}}
        return msgspec.json.encode({"settings": settings, "mappings": mapping})

    def _complete(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        """Add the missing fields to an index that another program has created."""
        self._check(found)
        missing = {name: each for name, each in FIELDS.items() if name not in found}
        if missing:
            body = msgspec.json.encode({"properties": missing})
            self._sender.send("PUT", f"{self.path}/_mapping", body).accepted()

    def _check(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        for name, each in FIELDS.items():
            kind = found.get(name, each).get("type", "object")
            if kind != each["type"]:
                raise ConfigurationError(
                    f"the index {self._name!r} has a field {name!r} of type {kind} instead of "
                    f"{each['type']}: name another index in the URL"
                )
        result = found.get("result", {"enabled": False})
        kind = result.get("type", "object")
        if result.get("enabled", True) and kind != self._result:
            raise ConfigurationError(
                f"the index {self._name!r} stores `result` as {kind}: set "
                f"elasticsearch_save_meta_as_text to {kind == 'text'}, or name another index"
            )

    def about(self) -> Iterator[Fact]:
        """The server's version, unless it is not told here.  Cost: one request."""
        answer = self._sender.read("GET", "/")
        told = {} if answer.status in _UNTOLD else answer.decoded(_decode_about)
        version = told.get("version", {})
        name = str(version.get("distribution", "elasticsearch")).capitalize()
        yield Fact("server", f"{name} {version.get('number', '?')}, index {self._name!r}")

    # -- searches -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Make searches find all writes confirmed before this call."""
        answer = self._sender.send("POST", f"{self.path}/_refresh")
        if answer.status == 404:
            return
        done = answer.decoded(_decode_refreshed)
        if done.shards.failed:
            raise Unavailable(
                f"Elasticsearch could not refresh all copies of the index {self._name!r}; check "
                "the health of the index"
            )

    def search(
        self, query: Mapping[str, Any], *, routing: str | None = None, **more: Any
    ) -> list[Hit]:
        """One page of hits.  Raises if a shard does not answer, rather than return fewer hits."""
        given = f"&routing={quote(routing, safe='')}" if routing else ""
        body = {"query": query, "_source": False, "size": PAGE, "track_total_hits": False, **more}
        target = f"{self.path}/_search?allow_partial_search_results=false{given}"
        answer = self._sender.read("POST", target, body)
        if answer.status == 404:
            return []
        return answer.decoded(_decode_found).hits.hits

    def search_all(self, query: Mapping[str, Any]) -> Iterator[Hit]:
        """All hits at one point in time, read in pages, by a scroll, which OpenSearch has, too."""
        body = {"query": query, "_source": False, "size": PAGE, "sort": ["_doc"]}
        target = f"{self.path}/_search?scroll={_KEEP_ALIVE}&allow_partial_search_results=false"
        answer = self._sender.read("POST", target, body)
        if answer.status == 404:
            return
        found = answer.decoded(_decode_found)
        try:
            while found.hits.hits:
                yield from found.hits.hits
                more = {"scroll": _KEEP_ALIVE, "scroll_id": found.scroll}
                answer = self._sender.send("POST", "/_search/scroll", msgspec.json.encode(more))
                found = answer.decoded(_decode_found)
        finally:
            self._close(found.scroll)

    def _close(self, scroll: str) -> None:
        body = msgspec.json.encode({"scroll_id": [scroll]})
        with suppress(StoreError):  # the server closes it after `_KEEP_ALIVE`
            self._sender.send("DELETE", "/_search/scroll", body)

"""Requests for documents of one index: single ones, bulk requests and batches of reads."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from kvbackends_elasticsearch.documents import Document, Source, Version
from kvbackends_elasticsearch.errors import Cause, Unavailable, refused_item
from kvbackends_elasticsearch.index import Index
from kvbackends_elasticsearch.requests import Sender
from kvbackends_elasticsearch.turns import Turns

CREATE: Version = (-1, 0)
"""The condition that a document does not exist, in place of a version."""


class _Found(msgspec.Struct):
    id: str = msgspec.field(name="_id", default="")
    seq_no: int = msgspec.field(name="_seq_no", default=-1)
    term: int = msgspec.field(name="_primary_term", default=0)
    source: Source | None = msgspec.field(name="_source", default=None)
    error: Cause | None = None

    def document(self) -> Document | None:
        if self.error and self.error.type != "index_not_found_exception":
            raise Unavailable(
                f"Elasticsearch could not read a document ({self.error.type}); check the health of "
                "the index"
            )
        return None if self.source is None else Document(self.source, (self.seq_no, self.term))


class _FoundMany(msgspec.Struct):
    docs: list[_Found] = []


class Item(msgspec.Struct):
    """The answer to one operation of a bulk request."""

    status: int
    seq_no: int = msgspec.field(name="_seq_no", default=-1)
    term: int = msgspec.field(name="_primary_term", default=0)
    count: int = msgspec.field(name="_version", default=0)
    """The document's ``_version``: how often it was written since it was created."""
    got: _Found | None = msgspec.field(name="get", default=None)
    error: Cause | None = None

    @property
    def done(self) -> bool:
        """False if the condition did not hold, or the document is absent."""
        return self.status < 400

    @property
    def version(self) -> Version:
        """The document's version after the operation."""
        return self.seq_no, self.term

    def document(self) -> Document | None:
        """The document that an operation made by `reading` returned, or None."""
        return None if self.got is None else self.got.document()


class _Items(msgspec.Struct):
    items: list[dict[str, Item]]


_decode_found = msgspec.json.Decoder(_Found).decode
_decode_many = msgspec.json.Decoder(_FoundMany).decode
_decode_items = msgspec.json.Decoder(_Items).decode


class Action(NamedTuple):
    """One operation of a bulk request."""

    kind: str
    id: str
    body: bytes | None = None
    condition: Version | None = None
    routing: str | None = None

    def lines(self) -> Iterator[bytes]:
        """The operation's lines in the body of the request."""
        header: dict[str, object] = {"_id": self.id}
        if self.condition:
            header["if_seq_no"], header["if_primary_term"] = self.condition
        if self.routing:
            header["routing"] = self.routing
        yield msgspec.json.encode({self.kind: header})
        if self.body is not None:
            yield self.body


def reading(id: str) -> Action:  # noqa: A002 - what the server calls it
    """Read a document on the primary shard, by an update that changes nothing."""
    return Action("update", id, b'{"doc":{},"_source":true}')


def writing(id: str, body: bytes, condition: Version | None) -> Action:  # noqa: A002
    """Store a document if `condition`, a version or `CREATE`, holds."""
    if condition is CREATE:
        return Action("create", id, body)
    return Action("index", id, body, condition)


CONTENDED = 64
"""Documents that threads of one process can contend for without waiting for each other."""
ENTRY_BYTES = 40
"""Smallest size of a document's entry in the answer to ``_mget``, beside its id and the index."""


class Client:
    """Reads and writes documents by id.  Every read sees all writes confirmed before it."""

    def __init__(self, sender: Sender, index: Index) -> None:
        self._sender = sender
        self._batches = BatchSize()
        self._turns = [Turns(1) for _ in range(CONTENDED)]
        self.index = index
        self.close = sender.close

    def turns(self, id: str) -> Turns:  # noqa: A002
        """Turns at reading and writing a document that other threads write, too.

        Without turns most of 16 threads lost most races between their read and their write.
        """
        return self._turns[hash(id) % CONTENDED]

    def get(self, id: str, routing: str | None = None) -> Document | None:  # noqa: A002
        """The document, expired or not; None if it is absent."""
        given = f"?routing={quote(routing, safe='')}" if routing else ""
        answer = self._sender.read("GET", f"{self._address('_doc', id)}{given}")
        return None if answer.is_absent else answer.decoded(_decode_found).document()

    def write(
        self,
        id: str,  # noqa: A002
        body: bytes,
        condition: Version | None = None,
    ) -> Version | None:
        """Store a document; returns its version, or None if `condition` does not hold.

        The condition is a version, or `CREATE`.  Creates the index if it does not exist.
        """
        target = self._address("_create" if condition is CREATE else "_doc", id)
        if condition and condition is not CREATE:
            target += f"?if_seq_no={condition[0]}&if_primary_term={condition[1]}"
        self.index.make()
        answer = self._sender.send("PUT", target, body)
        if answer.status == 409:
            return None
        found = answer.decoded(_decode_found)
        return found.seq_no, found.term

    def delete(self, id: str) -> None:  # noqa: A002
        """Remove a document; an absent one is fine."""
        answer = self._sender.send("DELETE", self._address("_doc", id))
        if not answer.is_absent:
            answer.accepted()

    def bulk(self, actions: Sequence[Action], routing: str | None = None) -> list[Item]:
        """Run the operations; returns one item for each.

        Operations with the same routing run one after the other.  Raises if one of them fails for
        another reason than its condition, or an absent document.
        """
        self.index.make()
        given = f"?routing={quote(routing, safe='')}" if routing else ""
        body = b"\n".join(line for each in actions for line in each.lines()) + b"\n"
        answer = self._sender.send("POST", f"{self.index.path}/_bulk{given}", body)
        decoded = answer.decoded(_decode_items).items
        items = [item for each in decoded for item in each.values()]
        for item in items:
            if not item.done and item.status not in {404, 409}:
                raise refused_item(item.status, item.error or Cause(), answer.url)
        return items

    def get_many(
        self, ids: Collection[str], routing: str | None = None
    ) -> Iterator[tuple[str, Source]]:
        """The id and source of each document that exists, in batches that fit their sizes."""
        given = f"&routing={quote(routing, safe='')}" if routing else ""
        target = f"{self.index.path}/_mget?_source_includes=result,binary,expires{given}"
        rest = iter(ids)
        while batch := list(itertools.islice(rest, self._batches.size)):
            answer = self._sender.read("POST", target, {"ids": batch})
            docs = [] if answer.is_absent else answer.decoded(_decode_many).docs
            found = [each.document() for each in docs]
            names = sum(len(each) + len(self.index.path) + ENTRY_BYTES for each in batch)
            self._batches.adjust(len(docs) - found.count(None), len(answer.data) - names)
            yield from ((one.id, it.source) for one, it in zip(docs, found, strict=True) if it)

    def expiries(self, ids: Collection[str]) -> Iterator[tuple[str, Source]]:
        """The id, and the source without its value, of each document that exists."""
        target = f"{self.index.path}/_mget?_source_includes=expires"
        answer = self._sender.read("POST", target, {"ids": list(ids)})
        for each in [] if answer.is_absent else answer.decoded(_decode_many).docs:
            if (document := each.document()) is not None:
                yield each.id, document.source

    def _address(self, api: str, id: str) -> str:  # noqa: A002
        return f"{self.index.path}/{api}/{quote(id, safe='')}"


class BatchSize:
    """The number of documents to request together, adjusted to the sizes seen so far.

    The server builds its answer in memory: a hundred documents of 1 MB crashed a server with a heap
    of 256 MB.  Therefore a process begins with small batches.
    """

    FIRST = 32
    MOST = 1000
    ANSWER = 16_000_000
    """The size in bytes that an answer should have."""

    def __init__(self) -> None:
        self.size = self.FIRST

    def adjust(self, found: int, size: int) -> None:
        """Adjust to an answer with `found` documents of `size` bytes together."""
        fitting = self.ANSWER * found // max(size, 1) if found else self.size * 4
        self.size = max(1, min(fitting, self.MOST))

"""The ranked write: one script where the server can read the rank, two where it asks for it."""

import hashlib
import re
import uuid
from collections.abc import Callable

from kvbackends import Offer, RankOf
from kvbackends_redis import scripts
from kvbackends_redis.connections import Connections, checked
from kvbackends_redis.errors import UnknownScript
from kvbackends_redis.scripts import milliseconds

Seen = tuple[str, int]
"""The SHA-1 of a stored record that the client has ranked, and its rank."""

INLINE = 16_384
"""Bytes.  A larger value does not go through Lua, which copies it twice: see `_commit`."""

STAGED_FOR = 60_000
"""Milliseconds that a value waits for its commit, which is sent together with it."""

_STAGED = ".kvbackends-staged-"
_IS_STAGED = re.compile(rf"{re.escape(_STAGED)}[0-9a-f]{{32}}\Z".encode())


def is_staged(key: bytes) -> bool:
    """True for the keys under which large values are put first."""
    return _IS_STAGED.search(key) is not None


def offer(connections: Connections, offer: Offer, rank_of: RankOf) -> bool:
    """Store a ranked record, and tell who listens: one round trip."""
    step = _store if len(offer.value) <= INLINE else _commit
    return ranked(lambda seen: step(connections, offer, seen), rank_of) == 1


def ranked(attempt: Callable[[Seen], object], rank_of: RankOf) -> object:
    """What a script answers that may ask for the rank of what is stored.

    It asks with the record itself, having changed nothing, and is called again with its digest.
    """
    answer = attempt(("", 0))
    while isinstance(answer, bytes):
        digest = hashlib.sha1(answer, usedforsecurity=False).hexdigest()
        answer = attempt((digest, rank_of(answer).value))
    return answer


def _store(connections: Connections, offer: Offer, seen: Seen) -> object:
    result = offer.value, offer.rank.value, milliseconds(offer.ttl)
    return connections.run(scripts.OFFER, (offer.key,), *result, *seen)


def _commit(connections: Connections, offer: Offer, seen: Seen) -> object:
    """The value crosses the wire once, and is renamed when the rank allows it."""
    # It begins like the key, so that whom an ACL allows the one is allowed the other.
    staged = f"{offer.key}{_STAGED}{uuid.uuid4().hex}"
    script = scripts.COMMIT
    rest = 2, offer.key, staged, offer.rank.value, milliseconds(offer.ttl), *seen
    put, answer = connections.send(
        ("SET", staged, offer.value, "PX", STAGED_FOR), ("EVALSHA", script.digest, *rest)
    )
    checked([put])
    try:
        return checked([answer])[0]
    except UnknownScript:
        return connections.call("EVAL", script.text, *rest)

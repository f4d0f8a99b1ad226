"""The ranked write: one script where the server can read the rank, two where it asks for it."""

import hashlib
import re
import uuid

from redis.exceptions import AskError, NoScriptError

from kvbackends.contract import Offer, Rank, RankOf
from kvbackends_redis.connecting.connections import Connections, checked
from kvbackends_redis.errors import UnknownScript, translated
from kvbackends_redis.operations import scripts
from kvbackends_redis.operations.scripts import milliseconds

Seen = tuple[()] | tuple[str, str]
"""The SHA-1 of a stored record that the client has ranked, and its rank; empty before that."""

UNSEEN: Seen = ()

DIGITS = "0123"
"""Ranks as the scripts take them."""

SUCCEEDED = DIGITS[Rank.SUCCEEDED]
"""The rank that need not be told: each argument costs the server as much as it costs us."""

OVER_NOTHING = "0"
"""A rank to which no record yields."""

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
    is_small = len(offer.value) <= INLINE or not _has_room(offer.key)
    if offer.advisory and is_small:
        return _advise(connections, offer, rank_of)
    step = _store if is_small else _commit
    answer = step(connections, offer, UNSEEN)
    while type(answer) is bytes:
        answer = step(connections, offer, seen(answer, rank_of))
    return answer == 1


def seen(record: bytes, rank_of: RankOf) -> Seen:
    """What the client tells the script of the record that it was asked about."""
    return hashlib.sha1(record, usedforsecurity=False).hexdigest(), DIGITS[rank_of(record)]


def _store(connections: Connections, offer: Offer, seen: Seen) -> object:
    key, value, rank, ttl, *_ = offer
    digit = DIGITS[rank]
    more = () if digit == SUCCEEDED and not seen else (digit, *seen)
    return connections.run(scripts.OFFER, (key,), value, milliseconds(ttl), *more)


def _advise(connections: Connections, offer: Offer, rank_of: RankOf) -> bool:
    """Send the record without waiting; what the script could not do is done when it has answered.

    By then a newer record may be there, which must not be replaced by this one.
    """
    key, value, rank, ttl, *_ = offer
    script, lifetime = connections.spelled(scripts.OFFER), milliseconds(ttl)

    def settle(answer: object) -> None:
        if type(answer) is bytes:  # stored only if that is still what is there
            _store(connections, offer, seen(answer, rank_of))
        elif isinstance(answer, NoScriptError | AskError):  # MOVED, too
            connections.call("EVAL", script.text, "1", key, value, lifetime, OVER_NOTHING)
        elif isinstance(answer, Exception):
            raise translated(answer)

    connections.post(settle, "EVALSHA", script.digest, "1", key, value, lifetime, DIGITS[rank])
    return True


def _commit(connections: Connections, offer: Offer, seen: Seen) -> object:
    """The value crosses the wire once, and is renamed when the rank allows it."""
    staged = f"{_beside(offer.key)}{_STAGED}{uuid.uuid4().hex}"
    script = connections.spelled(scripts.COMMIT)
    rest = 2, offer.key, staged, DIGITS[offer.rank], milliseconds(offer.ttl), *seen
    put, answer = connections.send(
        ("SET", staged, offer.value, "PX", STAGED_FOR), ("EVALSHA", script.digest, *rest)
    )
    checked([put])
    try:
        return checked([answer])[0]
    except UnknownScript:
        return connections.call("EVAL", script.text, *rest)


def marker_beside(key: str) -> str | None:
    """A key in the slot of `key` that no listing shows; None where there is no room for it."""
    return f"{_beside(key)}{_STAGED}{'0' * 32}" if _has_room(key) else None


def _beside(key: str) -> str:
    """What begins like the key, for whom an ACL allows the one and the other, and has its slot."""
    return key if "{" in key else f"{key}.{{{key}}}"


def _has_room(key: str) -> bool:
    """Whether there can be such a key: not where a brace stands alone, or nothing in a pair."""
    if "{" not in key:
        return key != "" and "}" not in key
    return key.find("}", key.find("{")) > key.find("{") + 1

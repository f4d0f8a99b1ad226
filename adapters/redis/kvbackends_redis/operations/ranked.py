"""The ranked write: a script compares the ranks and stores.

The script reads the rank from the head of the stored record.  If the head does not show it
(compressed or encrypted records), the client ranks the returned record and runs the script again.
"""

import hashlib
import re
import uuid
from collections.abc import Callable
from typing import Any

from redis.exceptions import AskError, NoScriptError

from kvbackends.contract import Offer, Rank, RankOf
from kvbackends_redis.connecting.connections import Connections, checked
from kvbackends_redis.errors import UnknownScript, translated
from kvbackends_redis.operations import scripts
from kvbackends_redis.operations.scripts import milliseconds

Seen = tuple[()] | tuple[str, str]
"""SHA-1 and rank of the stored record, once the client has ranked it; empty before."""

UNSEEN: Seen = ()

DIGITS = "0123"
"""Ranks as arguments of the scripts."""

SUCCEEDED = DIGITS[Rank.SUCCEEDED]
"""The scripts' default rank: leaving the argument out saves time on both sides."""

OVER_NOTHING = "0"
"""A rank that replaces no record."""

INLINE = 16_384
"""Maximum bytes of a value passed to Lua, which copies it twice; see `_commit`."""

STAGED_FOR = 60_000
"""Time to live, in milliseconds, of a value whose commit is sent together with it."""

_STAGED = ".kvbackends-staged-"
_IS_STAGED = re.compile(rf"{re.escape(_STAGED)}[0-9a-f]{{32}}\Z".encode())


def is_staged(key: bytes) -> bool:
    """True for the temporary key of a large value."""
    return _IS_STAGED.search(key) is not None


class RankedKeys:
    """The ranked write as an operation of the store."""

    _connections: Callable[[], Any]

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """True if stored.  Cost: one script; a second if only the client can rank what is there.

        An advisory offer returns when it is sent; its answer is read with a later command's.
        """
        connections: Connections = self._connections()
        is_small = len(offer.value) <= INLINE or not _can_be_beside(offer.key)
        if offer.advisory and is_small:
            return _advise(connections, offer, rank_of)
        step = _store if is_small else _commit
        answer = step(connections, offer, UNSEEN)
        while type(answer) is bytes:
            answer = step(connections, offer, seen(answer, rank_of))
        return answer == 1


def seen(record: bytes, rank_of: RankOf) -> Seen:
    """Digest and rank of a record that the script could not rank."""
    return hashlib.sha1(record, usedforsecurity=False).hexdigest(), DIGITS[rank_of(record)]


def _store(connections: Connections, offer: Offer, seen: Seen) -> object:
    key, value, rank, ttl, *_ = offer
    digit = DIGITS[rank]
    more = () if digit == SUCCEEDED and not seen else (digit, *seen)
    return connections.run(scripts.OFFER, (key,), value, milliseconds(ttl), *more)


def _advise(connections: Connections, offer: Offer, rank_of: RankOf) -> bool:
    """Send the record without waiting for the answer.

    If the script could not store it, it is offered again when the answer is read, unless a newer
    record has been stored by then.
    """
    key, value, rank, ttl, *_ = offer
    script, lifetime = connections.spelled(scripts.OFFER), milliseconds(ttl)

    def settle(answer: object) -> None:
        if type(answer) is bytes:  # stored only if the record is still the same
            _store(connections, offer, seen(answer, rank_of))
        elif isinstance(answer, NoScriptError | AskError):  # MOVED, too
            connections.call("EVAL", script.text, "1", key, value, lifetime, OVER_NOTHING)
        elif isinstance(answer, Exception):
            raise translated(answer)

    connections.post(settle, "EVALSHA", script.digest, "1", key, value, lifetime, DIGITS[rank])
    return True


def _commit(connections: Connections, offer: Offer, seen: Seen) -> object:
    """Send a large value once, to a temporary key; the script renames it if the ranks allow."""
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
    """A key in the slot of `key` that `scan` hides; None if there cannot be one."""
    return f"{_beside(key)}{_STAGED}{'0' * 32}" if _can_be_beside(key) else None


def _beside(key: str) -> str:
    """A prefix that an ACL allows wherever it allows the key, in the key's slot."""
    return key if "{" in key else f"{key}.{{{key}}}"


def _can_be_beside(key: str) -> bool:
    """False where no other key has the same slot: the braces are unpaired or empty."""
    if "{" not in key:
        return key != "" and "}" not in key
    return key.find("}", key.find("{")) > key.find("{") + 1

"""The rank of a record, from its state or its first bytes, and its facets."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from celery import states

from kvbackends.contract.process import Recent
from kvbackends.contract.records import Rank

RANKS: Mapping[str, Rank] = {
    states.SUCCESS: Rank.SUCCEEDED,
    states.FAILURE: Rank.FAILED,
    states.REVOKED: Rank.FAILED,
}
"""Of the final states; every other state is unready."""

HEAD = 64
"""Bytes that tell the state: Celery's records begin with it in JSON, pickle and msgpack."""

FINAL_JSON = tuple(b'{"status": "%s"' % state.encode() for state in RANKS)
"""How nearly every final record begins."""

SUCCESS_JSON = b'{"status": "SUCCESS"'
"""How nearly every record of a success begins."""

_STATE = re.compile(
    rb"""
      \{"status":\ ?"(?P<json>[^"\\]+)"                             # JSON
    | \x80.{0,14}?(?:X\x06\0\0\0|\x8c\x06)status(?:q.|\x94)         # pickle, protocols 2 to 5
      (?:X(?P<pickle2>.)\0\0\0|\x8c(?P<pickle4>.))
    | [\x80-\x8f\xde].{0,2}?\xa6status(?P<msgpack>[\xa0-\xbf])      # msgpack
    """,
    re.DOTALL | re.VERBOSE,
)

Decode = Callable[[bytes], Mapping[str, Any]]


def rank_of_state(state: str) -> Rank:
    """How final a state is; custom states are not."""
    return RANKS.get(state, Rank.UNREADY)


def state_in_head(payload: bytes) -> str | None:
    """The state of an encoded record, read from its first bytes; None if it is not there."""
    head = payload[:HEAD]
    match = _STATE.match(head)
    if match is None:
        return None
    if match["json"]:
        return match["json"].decode()
    length = match["pickle2"] or match["pickle4"] or bytes([match["msgpack"][0] & 0x1F])
    text = head[match.end() : match.end() + length[0]]
    return text.decode(errors="replace") if len(text) == length[0] else None


def is_settled(told: bytes) -> bool:
    """True if a notification's value is a plain success, which nothing replaces.

    A value that a layer has changed (compressed, in chunks) does not begin like this.
    """
    return told.startswith(SUCCESS_JSON)


class Ranks:
    """Ranks stored bytes; `decode` is called only where the head has no state (gzip, YAML)."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._decoded: Recent[str] = Recent(1000)
        """The states of records by their digests, "" if unreadable: each is decoded once."""

    def rank_of(self, payload: bytes) -> Rank:
        """The rank; a record that cannot be decoded yields to everything."""
        state = self._state(payload)
        return Rank.UNREADY if state is None else rank_of_state(state)

    def is_final(self, payload: bytes) -> bool:
        """True if the record ends a wait; so does an unreadable one: its reader gets the error."""
        if payload.startswith(FINAL_JSON):
            return True
        state = self._state(payload)
        return state is None or rank_of_state(state) is not Rank.UNREADY

    def _state(self, payload: bytes) -> str | None:
        try:
            return state_in_head(payload) or self._decoded_state(payload) or None
        except Exception:  # noqa: BLE001 - whatever a head or a value of another type raises
            return None

    def _decoded_state(self, payload: bytes) -> str:
        name = hashlib.sha1(payload, usedforsecurity=False).hexdigest()
        known = self._decoded.get(name)
        if known is None:
            try:
                state = self._decode(payload)["status"]
                known = state if isinstance(state, str) else ""
            except Exception:  # noqa: BLE001 - whatever a serializer raises for bytes it does not understand
                known = ""
            self._decoded.put(name, known)
        return known


def facets(meta: Mapping[str, Any], request: Any) -> dict[str, str]:
    """The properties by which `Store.find` finds a result."""
    found = {
        "state": meta["status"],
        "task": getattr(request, "task", None),
        "worker": getattr(request, "hostname", None),
        "done": meta.get("date_done"),
    }
    return {name: str(value) for name, value in found.items() if value}

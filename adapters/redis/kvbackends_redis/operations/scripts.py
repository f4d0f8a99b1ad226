"""The Lua scripts: steps that the server runs atomically."""

import functools
import hashlib
from importlib.resources import files
from typing import NamedTuple


class Script(NamedTuple):
    """A Lua script and its SHA-1, by which the server knows it."""

    text: str
    digest: str


@functools.lru_cache(64)
def sharded(script: Script) -> Script:
    """The script with sharded channels (SPUBLISH) in place of global ones."""
    text = script.text.replace("'PUBLISH'", "'SPUBLISH'").replace("'NUMSUB'", "'SHARDNUMSUB'")
    return _of(text)


def _script(*names: str) -> Script:
    folder = files(__package__) / "lua"
    text = "\n".join((folder / f"{name}.lua").read_text() for name in names)
    return _of(text)


def _of(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


OFFER = _script("first", "ranked", "offer")
COMMIT = _script("ranked", "commit")
SWAP = _script("swap")
ADD = _script("add")
KEEP = _script("keep")
OPEN = _script("barrier", "open")
EXPECT = _script("barrier", "expect")
EXPECT_MORE = _script("barrier", "expect_more")
ARRIVE = _script("part", "barrier", "arrive")
CLAIM = _script("barrier", "claim")
FINISH = _script("part", "ranked", "barrier", "finish")
CLOSE = _script("ranked", "barrier", "close")

_FOREVER = 10**15


@functools.lru_cache(64)
def milliseconds(ttl: float | None) -> str:
    """A ttl in milliseconds, rounded up so that no key expires early; '' for None."""
    return "" if ttl is None else str(min(-int(-ttl * 1000 // 1), _FOREVER))

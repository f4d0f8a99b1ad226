"""What an operator should know of a server."""

import re
import time
from collections.abc import Iterator
from typing import Any

from kvbackends.contract import Fact
from kvbackends_redis.errors import Refused

_LINE = re.compile(r"^(\w+):(.*?)\r?$", re.MULTILINE)
SAFE = ("noeviction", "volatile-ttl")
"""Policies of eviction that remove nothing before its time, or what expires next."""

NEARLY = 0.9
"""The share of maxmemory above which an operator is warned."""


def about(connections: Any) -> Iterator[Fact]:
    """What `INFO` and `TIME` tell, as far as the user may ask."""
    try:
        info = dict(_LINE.findall(connections.call("INFO").decode(errors="replace")))
        began = time.time()
        seconds, micro = map(int, connections.call("TIME"))
    except Refused:
        return
    name = info.get("server_name", "redis").capitalize()
    version = info.get(f"{name.lower()}_version") or info.get("redis_version", "?")
    yield Fact("server", f"{name} {version}, {info.get('role', '?')}")
    policy = info.get("maxmemory_policy", "?")
    evicts = info.get("maxmemory", "0") != "0" and policy not in SAFE
    yield Fact("eviction", policy + " may remove results and chords" * evicts, evicts)
    used, most = (int(info.get(name, 0)) for name in ("used_memory", "maxmemory"))
    if most:
        yield Fact("memory", f"{used / 1e6:,.1f} of {most / 1e6:,.1f} MB", used > NEARLY * most)
    is_kept = info.get("aof_enabled") == "1"
    kept = (
        "append-only file" if is_kept else "snapshots, or none: a restart loses the latest results"
    )
    yield Fact("persistence", kept, not is_kept)
    late = time.time() - began
    yield Fact("clock", f"{seconds + micro / 1e6 - began - late / 2:+.3f} s from here")

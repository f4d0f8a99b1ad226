"""The stores that the backend is tested on, and layers that single tests put around them."""

import importlib.util
import itertools
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated

from kvbackends import register
from kvbackends.contract import (
    Adapter,
    Entry,
    Feature,
    Layering,
    Limits,
    Options,
    StoreURL,
    hookimpl,
    option,
)
from kvbackends.layers.only_five import OnlyFive
from kvbackends.stores import memory
from tests.support.layers import Counting

LARGEST = 8000
"""Bytes that the small store takes."""

_numbers = itertools.count()
_layers: dict[str, list[Layering]] = {}


class SmallStore(memory.MemoryStore):
    """Refuses what is above `LARGEST` bytes."""

    limits = Limits(value_bytes=LARGEST)


class KeptStore(memory.MemoryStore):
    """Says that it expires by itself and that it is durable."""

    promises = Feature.AUTOEXPIRE | Feature.DURABLE


class SecretiveOptions(Options, frozen=True, kw_only=True):
    """Secrets under names that tell, and under one that does not."""

    collection: Annotated[str, option("Not secret.")] = ""
    word: Annotated[str, option("A secret.", secret=True)] = ""
    password: Annotated[str, option("A secret.", secret=True)] = ""
    api_token: Annotated[str, option("A secret.")] = ""
    proxy_secret: Annotated[str, option("A secret.")] = ""


class SecretiveStore(memory.MemoryStore):
    """Has secret options."""

    options_type = SecretiveOptions


class AwayStore(memory.MemoryStore):
    """Cannot be reached."""

    transient_errors = (ConnectionError,)

    def get(self, key: str) -> Entry | None:
        raise ConnectionError

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        raise ConnectionError


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    yield Adapter(schemes=("away",), store=AwayStore, summary="away", example="away://")
    yield Adapter(schemes=("small",), store=SmallStore, summary="small values", example="small://")
    yield Adapter(
        schemes=("secretive",), store=SecretiveStore, summary="secrets", example="secretive://"
    )
    yield Adapter(schemes=("kept",), store=KeptStore, summary="durable", example="kept://")


@hookimpl
def kvbackends_layers(url: StoreURL) -> Iterable[Layering]:
    return _layers.get(url.raw.reveal(), [])


class _Plugin:
    kvbackends_adapters = staticmethod(kvbackends_adapters)
    kvbackends_layers = staticmethod(kvbackends_layers)


register(_Plugin)
register(memory)

KINDS = ["memory", "five"]
if importlib.util.find_spec("kvbackends.stores.sqlite"):
    register(importlib.import_module("kvbackends.stores.sqlite"))
    KINDS.append("sqlite")


def new_url(kind: str, folder: Path, query: str = "") -> str:
    """A URL, without ``kv+``, whose store is empty.  "five" is masked down to the five methods."""
    number = next(_numbers)
    if kind == "sqlite":
        return f"sqlite:///{folder}/results-{number}.db{query}"
    scheme = "memory" if kind == "five" else kind
    url = f"{scheme}://backend-{number}{query}"
    if kind == "five":
        wrap(url, OnlyFive)
    return url


def wrap(url: str, *layers: Layering) -> None:
    """Put layers around every store opened by exactly this URL, inside those it already has."""
    _layers.setdefault(url, []).extend(layers)


def counted(url: str) -> Counting:
    """Count the calls that reach the store behind this URL; it must be opened once only."""
    counter: list[Counting] = []

    def layer(store):
        counter.append(Counting(store))
        return counter[0]

    wrap(url, layer)
    return _Late(counter)


class _Late:
    """The counting layer, as soon as there is one."""

    def __init__(self, made: list[Counting]) -> None:
        self._made = made

    def __getattr__(self, name: str):
        return getattr(self._made[0], name)

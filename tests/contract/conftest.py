"""The stores that every check of the contract runs on: native, masked, and with five methods."""

import importlib
import importlib.util
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvbackends import Store, open_store, register
from kvbackends.layers.guard import Guard
from kvbackends.layers.only_five import OnlyFive
from kvbackends.layers.retry import Retry
from kvbackends.options import CoreOptions
from tests.support.dict_store import DictStore

Opener = Callable[[], Store]
"""Opens the same keys once more, as another process would."""

_names = itertools.count()


def _memory(folder: Path) -> Opener:
    url = f"memory://contract-{next(_names)}"
    return lambda: open_store(url)


def _sqlite(folder: Path) -> Opener:
    return lambda: open_store(f"sqlite:///{folder}/results.db")


def _five_methods(folder: Path) -> Opener:
    shared = DictStore()
    return lambda: Retry(Guard(shared), CoreOptions())


def _masked(opener: Callable[[Path], Opener]) -> Callable[[Path], Opener]:
    return lambda folder: _only_five(opener(folder))


def _only_five(opener: Opener) -> Opener:
    return lambda: OnlyFive(opener())


STORES = {
    "memory": _memory,
    "memory-masked": _masked(_memory),
    "five-methods": _five_methods,
}
for _name in ("memory", "sqlite"):
    if importlib.util.find_spec(f"kvbackends.stores.{_name}"):
        register(importlib.import_module(f"kvbackends.stores.{_name}"))
if importlib.util.find_spec("kvbackends.stores.sqlite"):
    STORES |= {"sqlite": _sqlite, "sqlite-masked": _masked(_sqlite)}


@pytest.fixture(params=STORES)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    return STORES[request.param](tmp_path)


@pytest.fixture
def store(opener: Opener) -> Iterator[Store]:
    opened = opener()
    yield opened
    opened.close()


@pytest.fixture
def key() -> str:
    """A key that no other test uses, also where tests share a server."""
    return f"contract-key-{next(_names)}"


@pytest.fixture
def barrier() -> str:
    return f"contract-barrier-{next(_names)}"

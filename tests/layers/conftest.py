"""The stores behind layers that every check of the contract runs on."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvbackends import Store
from tests.layers.stores import STORES, Opener

_names = itertools.count()


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
    return f"layers-key-{next(_names)}"


@pytest.fixture
def barrier() -> str:
    return f"layers-barrier-{next(_names)}"

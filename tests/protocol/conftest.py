"""The time, chance and threads of the tested modules come from the world."""

from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from kvbackends.contract import store
from kvbackends.layers import retry
from kvbackends.protocol import chord
from tests.protocol.world import CLOCK


@pytest.fixture(autouse=True)
def _worldly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chord, "time", CLOCK)
    monkeypatch.setattr(retry, "time", CLOCK)
    monkeypatch.setattr(retry, "random", SimpleNamespace(uniform=lambda _, longest: longest))
    monkeypatch.setattr(store, "concurrently", _one_by_one)


def _one_by_one(call, keys: Iterable[str]) -> list:
    return [call(key) for key in keys]

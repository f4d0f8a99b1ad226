"""What arrives while the values of a claimed barrier are read, over five methods."""

import pytest

from kvbackends.contract import Outcome, pages
from tests.support.chords import part, publisher
from tests.support.dict_store import DictStore


def test_a_stray_between_look_and_list(monkeypatch: pytest.MonkeyPatch):
    """A second run of an adder adds a part and it arrives, after the claim and before the list."""
    monkeypatch.setattr(pages, "PAGES", 1)
    store, members = DictStore(), pages.members
    store.open_barrier("b", b"", 60)
    store.expect(publisher("b"), 1, 60)
    assert store.arrive(part("b", 0), b"value", 60).outcome is Outcome.CLAIMED

    def after_a_stray(*given):
        monkeypatch.setattr(pages, "members", members)
        store.expect_more(part("b", 0), 0, "late", 60)
        assert store.arrive(part("b", 0, "late"), b"late", 60).outcome is Outcome.HELD
        return members(*given)

    monkeypatch.setattr(pages, "members", after_a_stray)
    assert [value for _, _, value in store.parts("b")] == [b"value"]

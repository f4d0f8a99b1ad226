"""Parts that arrive while the values of a claimed barrier are read, over five methods."""

import pytest

from kvbackends.contract import Outcome, paged
from tests.support.chords import part, publisher
from tests.support.dict_store import DictStore


def test_a_stray_between_snapshot_and_list(monkeypatch: pytest.MonkeyPatch):
    """A second run of an adder adds a part and it arrives, after the claim and before the list."""
    monkeypatch.setattr(paged, "PAGES", 1)
    store, listed = DictStore(), paged.PagedBarrier.listed
    barrier = store.barrier("b", 60)
    barrier.open(b"")
    barrier.expect(publisher(), 1)
    assert barrier.arrive(part(0), b"value").outcome is Outcome.CLAIMED

    def after_a_stray(*given):
        monkeypatch.setattr(paged.PagedBarrier, "listed", listed)
        barrier.expect_more(part(0), 0, "late")
        assert barrier.arrive(part(0, "late"), b"late").outcome is Outcome.HELD
        return listed(*given)

    monkeypatch.setattr(paged.PagedBarrier, "listed", after_a_stray)
    assert [value for _, _, value in barrier.parts()] == [b"value"]

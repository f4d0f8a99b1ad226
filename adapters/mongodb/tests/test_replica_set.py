"""Three members: what a primary that is deposed had alone is never returned, nor relied upon.

The secondaries are kept from replicating, so that the primary takes what nobody else will have;
then it stands still, and one of the others takes its place. It rolls back what it had alone.
"""

import contextlib
from uuid import uuid4

import pytest
from kvbackends_mongodb.client import Unavailable

from kvbackends import open_store
from kvbackends.contract import Outcome, Rank
from kvbackends.layers.layer import innermost
from kvbackends.testing.tools import offer, part, publisher, rank_of
from tests.servers import MongoDBSet, mongodb_set
from tests.servers.process import eventually

# A write that is not confirmed within so many milliseconds fails: nothing confirms it here.
IMPATIENT = "&wTimeoutMS=1000"
READING = {"majority": "", "local": "&readConcernLevel=local"}
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def group():
    with mongodb_set("--setParameter", "enableTestCommands=1") as started:
        yield started


@pytest.fixture
def opened(group: MongoDBSet):
    """A function that opens the adapter's own store, which repeats nothing."""
    with contextlib.ExitStack() as stack:

        def one(query=""):
            store = open_store(group.url + query)
            stack.callback(store.close)
            return innermost(store)

        yield one


class Isolated:
    """The primary serves its clients, and none of the others gets what they write."""

    def __init__(self, group: MongoDBSet) -> None:
        group.settle()
        self.group, self.primary = group, group.primary_of()
        self._others = [each for each in group.nodes if each is not self.primary]

    def __enter__(self):
        self._replicate("alwaysOn")
        return self

    def depose(self) -> None:
        """Make another one the primary, and wait until the set is whole again."""
        self.primary.pause()
        self._replicate("off")
        assert eventually(self._has_another, 60)
        self.primary.resume()
        self.group.settle()

    def __exit__(self, *_: object) -> None:
        self.primary.resume()
        self._replicate("off")

    def _replicate(self, stopped: str) -> None:
        for each in self._others:
            each.run("configureFailPoint", "stopReplProducer", mode=stopped)

    def _has_another(self) -> bool:
        with contextlib.suppress(LookupError, OSError):
            return self.group.primary_of() is not self.primary
        return False


@pytest.mark.parametrize("level", ["majority", pytest.param("local", marks=pytest.mark.slow)])
def test_a_result_that_is_read_is_not_rolled_back(group, opened, level):
    """By default; a reader that asks for `local` is told what nobody has in the end."""
    key, writer, reader = uuid4().hex, opened(IMPATIENT), opened(READING[level])
    reader.get("anything")  # it makes its indexes, while that can be confirmed
    with Isolated(group) as isolated:
        with pytest.raises(Unavailable):
            writer.offer(offer(key, Rank.SUCCEEDED, ttl=600), rank_of)
        seen = [reader.get(key), reader.get_batch([key]).get(key)]
        isolated.depose()
    assert [each is None for each in seen] == [level == "majority"] * 2
    assert reader.get(key) is None


def test_a_confirmed_result_outlives_its_primary(group, opened):
    """What a majority has confirmed is there after the primary has been deposed."""
    key, store = uuid4().hex, opened()
    assert store.offer(offer(key, Rank.SUCCEEDED, ttl=600), rank_of)
    with Isolated(group) as isolated:
        isolated.depose()
    assert store.get(key) is not None


def test_a_claim_is_renewed_only_where_a_majority_confirms_it(group, opened):
    """A primary that has been deposed may not know yet that another delivery has the claim."""
    last, store, name = part(0), opened(IMPATIENT), uuid4().hex
    barrier = store.barrier(name, 600)
    barrier.open(b"payload")
    barrier.expect(publisher(), 1)
    assert barrier.arrive(last, b"value").outcome is Outcome.CLAIMED
    with Isolated(group) as isolated:
        with pytest.raises(Unavailable):
            barrier.renew(last)
        isolated.depose()
    assert barrier.renew(last)

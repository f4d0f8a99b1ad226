"""The chord, call by call: the code of `derived` and `protocol` in every order of events.

What the worlds below promise is written in `docs/protocol.md`: never early, never lost, never a
missing or a different value, a second publish only after (C), (P) or (L), and nothing left behind.
"""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from kvbackends.contract import paged
from tests.protocol.world import Plan, World, by_bytes, explore

DECISIONS = 400
"""More than most histories need; afterwards each moves in turn and nothing disturbs."""

by_chance = settings(
    max_examples=400,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

plans = st.builds(
    Plan,
    parts=st.integers(1, 3),
    workers=st.integers(2, 4),
    crashes=st.integers(0, 2),
    faults=st.integers(0, 2),
    duplicates=st.integers(0, 2),
    soft_limits=st.integers(0, 1),
    adds=st.integers(0, 2),
    fails=st.booleans(),
    client_holds=st.booleans(),
    shared_ack=st.booleans(),
    trusts_success=st.booleans(),
)
histories = st.binary(min_size=DECISIONS, max_size=DECISIONS)


@pytest.fixture(params=[1, 256], ids=["one page", "many pages"])
def _pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paged, "PAGES", request.param)


def seeded(count: int, seed: int = 0) -> Iterator[bytes]:
    """Histories by chance, the same in each run."""
    chance = random.Random(seed)
    for _ in range(count):
        yield chance.randbytes(DECISIONS)


@pytest.mark.usefixtures("_pages")
class TestProperties:
    @by_chance
    @given(plan=plans, decisions=histories)
    def test_any_world(self, plan: Plan, decisions: bytes):
        """Whatever may happen in any mixture, every property holds at every step and in the end."""
        world = World(plan, by_bytes(decisions)).run()
        event(f"publishes: {len(world.published)}, after {sorted(world.excuses)}")

    @pytest.mark.parametrize(
        "plan",
        [
            Plan(parts=3, workers=4),
            Plan(duplicates=3),
            Plan(crashes=3),
            Plan(crashes=2, duplicates=1, shared_ack=False),
            Plan(crashes=2, trusts_success=False),
            Plan(faults=3),
            Plan(faults=1, crashes=1, duplicates=1),
            Plan(soft_limits=3, duplicates=1),
            Plan(adds=2, duplicates=2),
            Plan(adds=1, crashes=2),
            Plan(parts=1, duplicates=2, crashes=1),
            Plan(fails=True, crashes=1, duplicates=1),
        ],
        ids=str,
    )
    def test_worlds(self, plan: Plan):
        """Two hundred histories of each kind hold."""
        violated = explore(plan, list(seeded(200)))
        if violated is not None:
            raise violated

    def test_without_disturbance_one_publish(self):
        """Without duplicates and faults the body is published once, unless a lease ends."""
        for decisions in seeded(200):
            world = World(Plan(parts=3, workers=4, adds=1), by_bytes(decisions)).run()
            assert len(world.published) == 1 or world.excuses == {"L"}


@pytest.mark.parametrize(
    ("excuse", "plan"),
    [("C", Plan(crashes=1)), ("P", Plan(parts=1, duplicates=1)), ("L", Plan(workers=4))],
)
def test_second_publish_happens(monkeypatch: pytest.MonkeyPatch, excuse: str, plan: Plan):
    """The excuses are real: after each of (C), (P) and (L) alone a second publish is seen."""
    monkeypatch.setattr(paged, "PAGES", 1)
    for decisions in seeded(4_000, seed=1):
        world = World(plan, by_bytes(decisions)).run()
        if len(world.published) > 1 and world.excuses == {excuse}:
            return
    raise AssertionError(f"never after {excuse}")

"""A short run of the model; the full run, ``python -m tests.model.chord_model``, takes minutes."""

import pytest

from tests.model.chord_model import MUTANTS, WORLDS, Rules, check

STATES = 30_000
WHOLE = {"3 parts"}
"""Worlds that are small enough to be explored completely."""

CAUGHT_BY = {
    "no claim": "P4 second publish",
    "claim written with set": "P4 second publish",
    "losers acknowledge at once": "P3 never published",
    "no lease": "P3 never published",
    "acknowledge before the dispatch": "P3 never published",
    "result stored before the arrival": "P3 never published",
    "set_chord_size does not check": "P3 never published",
    "set_chord_size checks, then writes": "P3 never published",
    "size and claim read before": "P3 never published",
    "count deliveries": "P1 published early",
    "last write of a part wins": "P2 two runs may publish different values",
    "bulk read not verified (expiry)": "P2 published without a part's value",
    "discard, then tombstone": "P5 no tombstone",
    "no tombstone": "P5 no tombstone",
    "no discard": "P5 garbage without any fault",
    "late arrivals do not discard": "P5 garbage without any fault",
    "an arrival begins": "P3 never published",
    "add_to_chord after": "P1 published early",
}


@pytest.mark.parametrize("name", WORLDS)
def test_the_rules_hold(name: str):
    """Each property holds in every explored world."""
    limit = 3_000_000 if name in WHOLE else STATES
    states, _, violations, _, _, cut = check(Rules(), WORLDS[name], limit=limit)
    assert violations == {}
    assert cut is (name not in WHOLE)
    assert states >= STATES


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_each_rule_is_needed(name: str):
    """If one rule is broken, the property that it serves is violated."""
    rule, world = next((rule, world) for title, rule, world in MUTANTS if title.startswith(name))
    violations = check(Rules(**rule), world, stop=True, limit=150_000)[2]
    assert [title.startswith(CAUGHT_BY[name]) for title in violations] == [True]

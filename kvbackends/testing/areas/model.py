"""Random programs against a model."""

from kvbackends.contract import Store
from kvbackends.testing.check import Area, thorough
from kvbackends.testing.tools import latency

SECONDS = 5.0
"""Seconds that the programs may take on a slow store."""
CALLS = 2
"""Store calls in a step of a program, about."""


class Model(Area):
    """A sequence of operations answers as a dictionary would."""

    area = "model"
    rule = "the-five-methods"
    alone = True

    def agrees(self, store: Store, other: Store, key: str) -> None:
        """A few short programs, alternating between two connections."""
        _check(store, other, key, examples=10, steps=15)

    @thorough
    def agrees_always(self, store: Store, other: Store, key: str) -> None:
        """Many long programs; fewer where calls are slow."""
        affordable = int(SECONDS / (40 * CALLS * latency(store)))
        _check(store, other, key, examples=max(8, min(60, affordable)), steps=40)


def _check(store: Store, other: Store, key: str, *, examples: int, steps: int) -> None:
    # Hypothesis takes a second to import, in each process of a run that may not need it.
    from kvbackends.testing.stateful import run

    run(store, other, key, examples=examples, steps=steps)

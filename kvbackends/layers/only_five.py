"""Masking: a store with its overrides taken away."""

from kvbackends.contract.records import Feature
from kvbackends.layers.layer import Layer


class OnlyFive(Layer):
    """Hands through the five methods and nothing else, so that the derived operations run.

    Beside a native store on the same server it needs keys of its own: on one key all offers are
    native or all are derived.
    """

    @property
    def native(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    @property
    def features(self) -> Feature:
        """The declared features; none follows from overrides."""
        return self.promises

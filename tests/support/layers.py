"""Layers that count calls to a store and that make them fail: those of the conformance suite."""

from kvbackends.testing.layers import Broken, Counting, Wrapped
from kvbackends.testing.layers import Faults as Faulty

__all__ = ["Broken", "Counting", "Faulty", "Wrapped"]

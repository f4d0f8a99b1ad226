"""Parts, publishers and ranked values, as the checks of the conformance suite name them."""

from kvbackends.testing.tools import delivery, offer, part, publisher, rank_of

__all__ = ["delivery", "offer", "part", "publisher", "rank_of"]

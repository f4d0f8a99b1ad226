"""Stores with one realistic defect each, and the check of the suite that has to catch it.

A defect is broken out of a correct store (`reference`) in a subclass of a few lines.
"""

from kvbackends import register
from tests.broken_stores import (
    arrivals,
    batches,
    claims,
    closing,
    connections,
    counting,
    declared,
    expiring,
    fresh,
    inspecting,
    interrupted,
    lasting,
    listing,
    names,
    networked,
    plain,
    ranked,
    registry,
    sharing,
    similar,
    slips,
    subscriptions,
    times,
    versions,
    waking,
    writes,
)
from tests.broken_stores.registry import BROKEN, CORRECT, Broken, url

__all__ = [
    "BROKEN",
    "CORRECT",
    "Broken",
    "arrivals",
    "batches",
    "claims",
    "closing",
    "connections",
    "counting",
    "declared",
    "expiring",
    "fresh",
    "inspecting",
    "interrupted",
    "lasting",
    "listing",
    "names",
    "networked",
    "plain",
    "ranked",
    "registry",
    "sharing",
    "similar",
    "slips",
    "subscriptions",
    "times",
    "url",
    "versions",
    "waking",
    "writes",
]

register(registry)

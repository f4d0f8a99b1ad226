"""What an adapter's author needs; `docs/write-an-adapter.md` is the guide."""

from kvbackends.contract.options import Options, option
from kvbackends.contract.plugin import Adapter, Layering, hookimpl
from kvbackends.contract.process import Doorbell, PerProcess, Recent
from kvbackends.contract.records import (
    SIZE_PLACE,
    Arrival,
    Entry,
    Feature,
    Limits,
    Offer,
    Outcome,
    Part,
    Rank,
    RankOf,
    Subscription,
)
from kvbackends.contract.store import Store
from kvbackends.contract.url import Host, Secret, StoreURL

__all__ = [
    "SIZE_PLACE",
    "Adapter",
    "Arrival",
    "Doorbell",
    "Entry",
    "Feature",
    "Host",
    "Layering",
    "Limits",
    "Offer",
    "Options",
    "Outcome",
    "Part",
    "PerProcess",
    "Rank",
    "RankOf",
    "Recent",
    "Secret",
    "Store",
    "StoreURL",
    "Subscription",
    "hookimpl",
    "option",
]

"""The interfaces and helpers for adapters; `docs/write-an-adapter.md` is the guide."""

from kvbackends.contract.barrier import (
    CLOSED,
    PAYLOAD_TTL,
    UNKNOWN,
    WAITING,
    Barrier,
    CalledBarrier,
    FreshBarrier,
    finish_in_steps,
    payload_ttl,
)
from kvbackends.contract.control import Claim, Control, Listed
from kvbackends.contract.deadline import BoundedSocket, deadline, seconds_left, within
from kvbackends.contract.options import Options, check_files, fill, option
from kvbackends.contract.plugin import Adapter, Layering, hookimpl
from kvbackends.contract.pool import Pool
from kvbackends.contract.process import PerProcess, Recent, delays_forks
from kvbackends.contract.records import (
    SIZE_PLACE,
    Arrival,
    BarrierState,
    Entry,
    Fact,
    Feature,
    Limits,
    Offer,
    Outcome,
    Part,
    Rank,
    RankOf,
    ServerAddress,
    Subscription,
)
from kvbackends.contract.signals import uninterrupted
from kvbackends.contract.stepwise import (
    INCOMPLETE,
    NO_RECORD,
    Snapshot,
    StepwiseBarrier,
    Visit,
)
from kvbackends.contract.store import Store
from kvbackends.contract.url import Host, Secret, StoreURL
from kvbackends.contract.waking import Doorbell, Polling

__all__ = [
    "CLOSED",
    "INCOMPLETE",
    "NO_RECORD",
    "PAYLOAD_TTL",
    "SIZE_PLACE",
    "UNKNOWN",
    "WAITING",
    "Adapter",
    "Arrival",
    "Barrier",
    "BarrierState",
    "BoundedSocket",
    "CalledBarrier",
    "Claim",
    "Control",
    "Doorbell",
    "Entry",
    "Fact",
    "Feature",
    "FreshBarrier",
    "Host",
    "Layering",
    "Limits",
    "Listed",
    "Offer",
    "Options",
    "Outcome",
    "Part",
    "PerProcess",
    "Polling",
    "Pool",
    "Rank",
    "RankOf",
    "Recent",
    "Secret",
    "ServerAddress",
    "Snapshot",
    "StepwiseBarrier",
    "Store",
    "StoreURL",
    "Subscription",
    "Visit",
    "check_files",
    "deadline",
    "delays_forks",
    "fill",
    "finish_in_steps",
    "hookimpl",
    "option",
    "payload_ttl",
    "seconds_left",
    "uninterrupted",
    "within",
]

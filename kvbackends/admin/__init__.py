"""What operators see and do, on every store that lists: results, chords, and the store's health.

The command line stands on this and on nothing else.
"""

from kvbackends.admin.admin import Admin
from kvbackends.admin.health import Check, Health
from kvbackends.admin.records import (
    ChordInfo,
    Ended,
    Holder,
    MissingPart,
    Node,
    Page,
    ResultDetail,
    ResultInfo,
    Wanted,
)

__all__ = [
    "Admin",
    "Check",
    "ChordInfo",
    "Ended",
    "Health",
    "Holder",
    "MissingPart",
    "Node",
    "Page",
    "ResultDetail",
    "ResultInfo",
    "Wanted",
]

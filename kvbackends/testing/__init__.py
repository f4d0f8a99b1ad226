"""The conformance suite: proves a store in three lines, or without a file.

Subclass `StoreSuite`; or ``pytest --pyargs kvbackends.testing --store-url URL``; or `run`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvbackends.testing.layers import Broken, Counting, Faults, Latency, Recording
    from kvbackends.testing.registry import Check, checks, lacking, requires
    from kvbackends.testing.running import Report, Result, run
    from kvbackends.testing.suite import Deviation, StoreSuite, suite_for

__all__ = [
    "Broken",
    "Check",
    "Counting",
    "Deviation",
    "Faults",
    "Latency",
    "Recording",
    "Report",
    "Result",
    "StoreSuite",
    "checks",
    "lacking",
    "requires",
    "run",
    "suite_for",
]

_HOMES = {
    **dict.fromkeys(("Check", "checks", "lacking", "requires"), "registry"),
    **dict.fromkeys(("Broken", "Counting", "Faults", "Latency", "Recording"), "layers"),
    **dict.fromkeys(("Report", "Result", "run"), "running"),
    **dict.fromkeys(("Deviation", "StoreSuite", "suite_for"), "suite"),
}


def __getattr__(name: str) -> Any:
    # Late: pytest loads the plugin beside this module wherever the package is installed.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

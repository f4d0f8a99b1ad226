"""The conformance suite: three lines, or one command, prove that a store keeps the contract.

Subclass `StoreSuite`; or run ``kvbackends conformance URL``; or call `run`.
"""

import importlib as _importlib
import sys as _sys
import typing as _typing

from kvbackends.testing.check import Check as Check
from kvbackends.testing.check import checks as checks
from kvbackends.testing.check import lacking as lacking
from kvbackends.testing.check import requires as requires
from kvbackends.testing.deviations import Deviation as Deviation
from kvbackends.testing.layers import Broken as Broken
from kvbackends.testing.layers import Counting as Counting
from kvbackends.testing.layers import Faults as Faults
from kvbackends.testing.layers import Latency as Latency
from kvbackends.testing.layers import Recording as Recording
from kvbackends.testing.running import Report as Report
from kvbackends.testing.running import Result as Result
from kvbackends.testing.running import run as run

if _typing.TYPE_CHECKING:
    from kvbackends.testing.suite import StoreSuite as StoreSuite
    from kvbackends.testing.suite import suite_for as suite_for

_OF_THE_SUITE = ("StoreSuite", "suite_for")
_REWRITTEN = (f"{__name__}.areas", f"{__name__}.tools")

if "pytest" in _sys.modules:
    # Here, because pytest rewrites the assertions of modules only while they are imported.
    _sys.modules["pytest"].register_assert_rewrite(*_REWRITTEN)


def __dir__() -> list[str]:
    return [*globals(), *_OF_THE_SUITE]


def __getattr__(name: str) -> _typing.Any:
    # The suite imports pytest and Hypothesis, which the command and Celery's workers do without.
    if name in _OF_THE_SUITE:
        return getattr(_importlib.import_module(f"{__name__}.suite"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

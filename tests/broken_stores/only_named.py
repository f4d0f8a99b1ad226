"""A pytest plugin: of each broken store's suite only the check that has to catch it is collected.

And of the correct stores' suites only what catches a store that was broken out of them.
"""

from collections import defaultdict
from typing import Any

import pytest

from kvbackends.contract import StoreURL
from kvbackends.testing.check import checks
from tests.broken_stores import BROKEN

_METHODS = {check.method: check.name for check in checks()}
_WANTED: dict[str, set[str]] = defaultdict(set)
for _broken in BROKEN:
    _WANTED[_broken.scheme].add(_broken.check)
    _WANTED[_broken.correct].add(_broken.check)


def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> list[pytest.Item] | None:
    """Leaves out a check that the store at hand is not made for."""
    url = getattr(collector.obj, "url", "")
    if name not in _METHODS or not url:
        return None
    return None if _METHODS[name] in _WANTED[StoreURL.parse(url).scheme] else []

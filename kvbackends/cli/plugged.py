"""Imports modules that register adapters which are not installed.

The suite runs in a process of its own, which imports this as a plugin of pytest: the names are
handed over in the environment.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from kvbackends import register

HANDED_OVER = "KVBACKENDS_CLI_PLUGINS"


def load(names: Sequence[str]) -> None:
    """Import them here, and have them imported where the suite runs."""
    os.environ[HANDED_OVER] = json.dumps(list(names))
    sys.path.insert(0, "")
    for name in names:
        module = import_module(name)
        if hasattr(module, "kvbackends_adapters"):
            register(module)


def pytest_configure() -> None:
    """What pytest calls, in the process of the suite."""
    load(json.loads(os.environ.get(HANDED_OVER, "[]")))

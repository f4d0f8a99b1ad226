"""The pytest plugin with the options of the suite: ``-p kvbackends.testing.plugin``.

A `StoreSuite` runs without it. The plugin adds the ``--store-*`` options, and with them a run
without a file: ``pytest -p kvbackends.testing.plugin --store-url URL --pyargs
kvbackends.testing``.
"""

from types import ModuleType

import pytest

from kvbackends import register
from kvbackends.testing import _REWRITTEN
from kvbackends.testing.check import unknown

# Again, for a process that imported the package before pytest.
pytest.register_assert_rewrite(*_REWRITTEN)

_given: list[str] = []


def urls() -> list[str]:
    """The URLs that this run was given."""
    return list(_given)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options. Their `dest` names are our own, in case another plugin uses the same."""
    group = parser.getgroup("kvbackends", "conformance of key-value stores")
    add = group.addoption
    add("--store-url", dest="kvbackends_urls", action="append", default=[], help="test this store")
    add("--store-quick", dest="kvbackends_quick", action="store_true", help="skip long checks")
    add("--store-full", dest="kvbackends_full", action="store_true", help="run them in all suites")
    add(
        "--store-check", dest="kvbackends_checks", action="append", default=[], help="check or area"
    )
    add(
        "--store-side-by-side",
        dest="kvbackends_side_by_side",
        action="store_true",
        help="run checks of a slow store in threads, several at a time",
    )
    add("--store-keep", dest="kvbackends_keep", action="store_true", help="leave the keys there")
    add("--store-longest", dest="kvbackends_longest", type=float, help="seconds limit of a check")


def pytest_configure(config: pytest.Config) -> None:
    """Keeps the URLs for `kvbackends.testing.test_store`; refuses unknown checks."""
    _given[:] = config.getoption("kvbackends_urls")
    wanted = config.getoption("kvbackends_checks")
    if wanted and (problem := unknown(wanted)):
        raise pytest.UsageError(f"--store-check: {problem}")


def pytest_plugin_registered(plugin: object) -> None:
    """Registers the adapters of a module given as ``-p MODULE`` that is not installed."""
    if isinstance(plugin, ModuleType) and hasattr(plugin, "kvbackends_adapters"):
        register(plugin)

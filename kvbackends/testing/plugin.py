"""The pytest plugin with the options of the suite: ``-p kvbackends.testing.plugin``.

A `StoreSuite` runs without it. The plugin adds the ``--store-*`` options, and with them a run
without a file: ``pytest -p kvbackends.testing.plugin --store-url URL --pyargs
kvbackends.testing``.
"""

import json
import os
from types import ModuleType

import pytest

from kvbackends import register
from kvbackends.testing.check import unknown
from kvbackends.testing.process import URLS

_given: list[str] = []


def urls() -> list[str]:
    """The URLs that this run was given."""
    return [*_given, *json.loads(os.environ.get(URLS, "[]"))]


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
    add("--store-longest", dest="kvbackends_longest", type=float, help="seconds limit of a check")
    add("--store-report", dest="kvbackends_report", type=int, help="file descriptor for results")


def pytest_configure(config: pytest.Config) -> None:
    """Keeps the URLs for `kvbackends.testing.test_store`; refuses unknown checks."""
    _given[:] = config.getoption("kvbackends_urls")
    wanted = config.getoption("kvbackends_checks")
    if wanted and (problem := unknown(wanted)):
        raise pytest.UsageError(f"--store-check: {problem}")
    report = config.getoption("kvbackends_report")
    if report is not None:
        from kvbackends.testing.reporter import Reporter

        config.pluginmanager.register(Reporter(report), "kvbackends-report")


def pytest_plugin_registered(plugin: object) -> None:
    """Registers the adapters of a module given as ``-p MODULE`` that is not installed."""
    if isinstance(plugin, ModuleType) and hasattr(plugin, "kvbackends_adapters"):
        register(plugin)

"""Opens each store before the suite runs, so that one that cannot be reached fails at once."""

import sys
from collections.abc import Sequence
from contextlib import closing
from importlib import import_module
from typing import NamedTuple

from kvbackends import ConfigurationError, open_store, register
from kvbackends.contract import Feature, Store, StoreURL
from kvbackends.plugins.registry import adapter_for
from kvbackends.testing.check import Check, unknown
from kvbackends.testing.redaction import Redactor

# About three seconds: enough for a server that is starting, and no wait for one that is not there.
_PATIENCE = {"result_backend_max_retries": 8}


class CannotRun(Exception):
    """The suite cannot run; the message has the reason."""


class Subject(NamedTuple):
    """A store that the suite tests."""

    url: str
    """The URL with its secrets; never shown."""
    shown: str
    summary: str
    features: Feature
    native: frozenset[str]
    """The derived operations that it overrides."""
    has_transient_errors: bool = False


def load_plugins(names: Sequence[str]) -> None:
    """Import modules that register adapters which are not installed."""
    try:
        for name in names:
            _load(name)
    except Exception as error:
        raise CannotRun(f"--plugin {' '.join(names)}: {_said(error)}") from error


def _load(name: str) -> None:
    # As `pytest -p` does it in the process of the suite.
    if "" not in sys.path:
        sys.path.insert(0, "")
    module = import_module(name)
    if hasattr(module, "kvbackends_adapters"):
        register(module)


def subjects(urls: Sequence[str]) -> list[Subject]:
    """Return the stores at `urls`; raises `CannotRun` if one cannot be opened or reached."""
    parsed = [_parsed(url, number) for number, url in enumerate(urls, 1)]
    shown = [str(each) for each in parsed]
    for each in shown:
        if shown.count(each) > 1:
            raise CannotRun(f"{each} is given twice")
    hide = Redactor(urls)
    return [_reached(url, each, hide) for url, each in zip(urls, parsed, strict=True)]


def _parsed(url: str, number: int) -> StoreURL:
    try:
        return StoreURL.parse(url)
    except ConfigurationError as error:
        # The URL is not shown: secrets in a URL that does not parse cannot be masked.
        raise CannotRun(f"URL {number}: {error}") from error


def _reached(url: str, parsed: StoreURL, hide: Redactor) -> Subject:
    try:
        adapter = adapter_for(parsed.scheme)
        with closing(open_store(url, _PATIENCE)) as store:
            features, native, errors = store.features, store.native, store.transient_errors
            _reach(store, parsed, hide)
    except ConfigurationError as error:
        raise CannotRun(f"{parsed}: {hide(str(error))}") from error
    return Subject(url, str(parsed), adapter.summary, features, native, bool(errors))


def _reach(store: Store, parsed: StoreURL, hide: Redactor) -> None:
    try:
        store.ping()
    except ConfigurationError:
        raise
    except Exception as error:
        raise CannotRun(f"{parsed} cannot be reached: {hide(_said(error))}") from error


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    cause = error.__cause__
    return f"{text} ({_said(cause)})" if cause is not None and str(cause) not in text else text


def chosen(every: Sequence[Check], asked: Sequence[str], *, quick: bool) -> list[Check]:
    """Return the checks and areas named in `asked`, or all.

    Raises `CannotRun` for an unknown name, or if none is left.
    """
    if problem := unknown(asked):
        raise CannotRun(f"{problem} (--list shows all)")
    found = [each for each in every if not asked or {each.name, each.area} & set(asked)]
    left = [each for each in found if each.quick or not quick]
    if not left:
        raise CannotRun("--quick leaves out every check that was asked for: they take their time")
    return left

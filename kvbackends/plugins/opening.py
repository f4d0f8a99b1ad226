"""Opens a store by its URL, behind its layers."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from kvbackends.contract.options import CoreOptions, check_known, declared, fill, misspelt
from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL
from kvbackends.errors import ConfigurationError
from kvbackends.layers.chunks import Chunks
from kvbackends.layers.guard import Guard
from kvbackends.layers.retry import Retry
from kvbackends.layers.telemetry import Telemetry
from kvbackends.plugins.catalogue import EXTRAS
from kvbackends.plugins.registry import adapter_for, layerings

logger = logging.getLogger("kvbackends")
_TRANSPORT = "result_backend_transport_options"


def open_store(url: str, settings: Mapping[str, Any] | None = None) -> Store:
    """Return the store at `url`, behind its layers: limits, chunks, plugins' layers, retries.

    The options of the URL take precedence over `settings`, which are Celery's.  Nothing is
    connected yet.  Raises `ConfigurationError` if the URL, an option or a plugin is wrong.
    """
    try:
        return _opened(url, settings)
    except ConfigurationError as error:
        failed = error
    # Raised anew: who reports an error often reports the variables of its frames, too.
    failed.__context__ = url = settings = None  # type: ignore[assignment]
    raise failed.with_traceback(None)


def parsed(url: str) -> StoreURL:
    """Return the parts of `url` with an absolute path; its adapter's secret options are masked."""
    found = StoreURL.parse(url)
    store = adapter_for(found.scheme).store
    secret = frozenset(each.name for each in declared(store.options_type) if each.secret)
    return dataclasses.replace(store.located(found), secret_options=secret)


def _opened(url: str, settings: Mapping[str, Any] | None) -> Store:
    place = parsed(url)
    store_type = adapter_for(place.scheme).store
    check_known(place.scheme, store_type.options_type, place.query)
    transport = (settings or {}).get(_TRANSPORT) or {}
    for name, meant in misspelt(store_type.options_type, transport).items():
        logger.warning("%s has %r, which is ignored; did you mean %r?", _TRANSPORT, name, meant)
    core = core_options(place, settings)
    options = fill(store_type.options_type, place.query, settings or {})
    return _layered(store_type.from_url(place, options), place, core)


def core_options(url: StoreURL, settings: Mapping[str, Any] | None = None) -> CoreOptions:
    """Return the core's own options for `url`; `settings` are Celery's."""
    settings = settings or {}
    transport = settings.get(_TRANSPORT) or {}
    transport = {**_retry_options(transport.get("retry_policy") or {}), **transport}
    return fill(CoreOptions, url.query, {**settings, _TRANSPORT: transport})


def _retry_options(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Translate Celery's `retry_policy`, without `interval_step`: the pauses here double."""
    start, longest = policy.get("interval_start"), policy.get("interval_max")
    return {
        "retry_timeout": policy.get("timeout"),
        "retry_attempts": policy.get("max_retries"),
        "retry_first_ms": start and start * 1000,
        "retry_longest_ms": longest and longest * 1000,
    }


def _layered(store: Store, url: StoreURL, core: CoreOptions) -> Store:
    store = Guard(store)
    if core.chunk and store.limits.value_bytes is not None:
        store = Chunks(store, core.largest_unpacked)
    for layering in reversed(layerings(url)):
        store = layering(store)
    if core.telemetry:
        store = Telemetry(store, url, EXTRAS.get(url.scheme, url.scheme))
    return Retry(store, core, url) if core.retry else store

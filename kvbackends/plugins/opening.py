"""Opens a store by its URL, behind its layers."""

from collections.abc import Mapping
from typing import Any

from kvbackends.contract.options import CoreOptions, check_known, fill
from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL
from kvbackends.layers.chunks import Chunks
from kvbackends.layers.guard import Guard
from kvbackends.layers.retry import Retry
from kvbackends.plugins.registry import adapter_for, layerings


def open_store(url: str, settings: Mapping[str, Any] | None = None) -> Store:
    """The store at `url`, behind its layers: limits, chunks, plugins' layers, retries.

    `settings` are Celery's settings; options come from the URL first.  Nothing is connected yet.
    Raises a `ConfigurationError` that says what is wrong with the URL, an option or a plugin.
    """
    parsed = StoreURL.parse(url)
    options_type = adapter_for(parsed.scheme).store.options_type
    check_known(parsed.scheme, options_type, parsed.query)
    core = core_options(parsed, settings)
    options = fill(options_type, parsed.query, settings or {})
    return _layered(adapter_for(parsed.scheme).store.from_url(parsed, options), parsed, core)


def core_options(url: StoreURL, settings: Mapping[str, Any] | None = None) -> CoreOptions:
    """The options of `url` that the core keeps."""
    settings = settings or {}
    transport = settings.get("result_backend_transport_options") or {}
    policy = _policy(transport.get("retry_policy") or {})
    return fill(
        CoreOptions,
        url.query,
        {**settings, "result_backend_transport_options": {**policy, **transport}},
    )


def _policy(celerys: Mapping[str, Any]) -> dict[str, Any]:
    """Celery's `retry_policy`, as our options have it.  Our steps double: there is no step."""
    start, longest = celerys.get("interval_start"), celerys.get("interval_max")
    return {
        "retry_timeout": celerys.get("timeout"),
        "retry_attempts": celerys.get("max_retries"),
        "retry_first_ms": start and start * 1000,
        "retry_longest_ms": longest and longest * 1000,
    }


def _layered(store: Store, url: StoreURL, core: CoreOptions) -> Store:
    store = Guard(store)
    if core.chunk and store.limits.value_bytes is not None:
        store = Chunks(store)
    for layering in reversed(layerings(url)):
        store = layering(store)
    return Retry(store, core, url) if core.retry else store

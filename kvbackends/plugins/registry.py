"""Finds adapters by scheme, and the layers of plugins.

An adapter is imported only when its scheme is used, so a broken plugin breaks no other scheme.
"""

import difflib
import threading
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import cast

import pluggy

from kvbackends.contract import plugin as hookspecs
from kvbackends.contract.plugin import Adapter, Layering
from kvbackends.contract.url import StoreURL
from kvbackends.errors import ConfigurationError, UnknownScheme
from kvbackends.plugins.catalogue import EXTRAS, install_line, replacement

STORES = "kvbackends.stores"
LAYERS = "kvbackends.layers"

_lock = threading.RLock()
_manager = pluggy.PluginManager("kvbackends")
_manager.add_hookspecs(hookspecs)
_serving: dict[str, tuple[Adapter, object]] = {}
"""Scheme -> its adapter and the plugin of that: a hook may make new adapters in each call."""
_layers_loaded = False


def register(plugin: object) -> None:
    """Use a plugin without an entry point: a module or an object with hook implementations."""
    with _lock:
        if _manager.is_registered(plugin):
            return
        # By default pluggy names an object after its class, and refuses a name that is in use.
        _manager.register(plugin, name=str(id(plugin)))
        try:
            adapters = _adapters_of(plugin)
        except BaseException:
            _manager.unregister(plugin)  # so that the next call tries again
            raise
        for adapter in adapters:
            _serving.update(dict.fromkeys(adapter.schemes, (adapter, plugin)))


def unregister(plugin: object) -> None:
    """Undo `register`; schemes that another plugin serves by now are kept."""
    with _lock:
        _manager.unregister(plugin)
        for scheme in [each for each, (_, origin) in _serving.items() if origin is plugin]:
            del _serving[scheme]


def adapter_for(scheme: str) -> Adapter:
    """Return the adapter of a scheme.

    Raises `UnknownScheme` if none is installed, `ConfigurationError` if it cannot be imported.
    """
    with _lock:
        if scheme not in _serving:
            for entry in entry_points(group=STORES, name=scheme):
                register(_loaded(entry, f"the adapter for {scheme}://"))
        if scheme not in _serving:
            raise UnknownScheme(_unknown(scheme))
        return _serving[scheme][0]


def plugin_of(scheme: str) -> object:
    """Return the registered plugin, a module or an object, that serves a scheme."""
    with _lock:
        adapter_for(scheme)
        return _serving[scheme][1]


def installed() -> list[str]:
    """Return the available schemes, sorted, whether their adapters are imported or not."""
    return sorted({*_serving, *(entry.name for entry in entry_points(group=STORES))})


def layerings(url: StoreURL) -> list[Layering]:
    """Return the plugins' layers for a URL, outermost first.

    Raises `ConfigurationError` if an installed layer cannot be imported.
    """
    global _layers_loaded  # noqa: PLW0603 - guarded by the lock
    with _lock:
        if not _layers_loaded:
            for entry in sorted(entry_points(group=LAYERS), key=lambda each: each.name):
                register(_loaded(entry, f"the layer {entry.name!r}"))
            _layers_loaded = True
        # pluggy calls the plugin that was registered last first.
        answers: list[Iterable[Layering]] = _manager.hook.kvbackends_layers(url=url)
        return [layering for answer in reversed(answers) for layering in answer]


def _adapters_of(plugin: object) -> list[Adapter]:
    return [
        adapter
        for implementation in _manager.hook.kvbackends_adapters.get_hookimpls()
        if implementation.plugin is plugin
        for adapter in cast("Iterable[Adapter]", implementation.function())
    ]


def _loaded(entry: EntryPoint, what: str) -> object:
    origin = f" of the distribution {entry.dist.name}" if entry.dist else ""
    try:
        return entry.load()
    except Exception as error:
        raise ConfigurationError(
            f"{what} ({entry.value}{origin}) cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _unknown(scheme: str) -> str:
    present = installed()
    message = f"no adapter for {scheme}:// is installed"
    if line := install_line(scheme):
        return f"{message}; get it with: {line}"
    if instead := replacement(scheme):
        return (
            f"{scheme}:// is a backend of Celery's own that has no adapter here; use instead: "
            f"{instead}"
        )
    near = difflib.get_close_matches(scheme, [*present, *EXTRAS], n=1)
    hint = f"; did you mean {near[0]}://?" if near else "."
    if near and near[0] not in present:
        hint += f" (get it with: {install_line(near[0])})"
    return f"{message}{hint} Installed: {', '.join(present)}"

"""Adapters by scheme, layers in order, and what is said when one is missing or broken."""

import types
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint

import pytest

from kvbackends import ConfigurationError, UnknownScheme, open_store, register, unregister
from kvbackends.contract import Adapter, hookimpl
from kvbackends.layers.guard import Guard
from kvbackends.layers.layer import Layer, innermost
from kvbackends.layers.retry import Retry
from kvbackends.plugins import registry
from kvbackends.plugins.catalogue import EXTRAS, install_line
from tests.support.dict_store import DictStore


class Plugin:
    """An adapter that is not packaged."""

    def __init__(self, *schemes: str) -> None:
        self.schemes = schemes

    @hookimpl
    def kvbackends_adapters(self) -> Iterable[Adapter]:
        yield Adapter(schemes=self.schemes, store=DictStore, summary="a test", example="test://")


@pytest.fixture
def registered() -> Iterator[list[object]]:
    """Plugins to take away after the test."""
    plugins: list[object] = []
    yield plugins
    for each in plugins:
        unregister(each)


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """What is installed beside the project's own entry points."""
    extra: list[EntryPoint] = []
    found = registry.entry_points

    def also(*, group: str, **wanted: str) -> list[EntryPoint]:
        mine = [each for each in extra if each.group == group]
        named = [each for each in mine if wanted.get("name", each.name) == each.name]
        return [*found(group=group, **wanted), *named]

    monkeypatch.setattr(registry, "entry_points", also)
    monkeypatch.setattr(registry, "_layers_loaded", False)
    return extra


class TestSchemes:
    @pytest.mark.parametrize("url", ["memory://", "kv+memory://", "MEMORY://"])
    def test_found(self, url: str):
        """A scheme is found with and without Celery's prefix, in any case."""
        assert type(innermost(open_store(url))).__name__ == "MemoryStore"

    def test_nearest_spelling(self):
        """A misspelt scheme: what was meant, and what is installed."""
        with pytest.raises(UnknownScheme, match=r"did you mean memory://.* Installed: .*memory"):
            open_store("memroy://")

    def test_nearest_is_not_installed(self, monkeypatch: pytest.MonkeyPatch):
        """A misspelt scheme of a known adapter that is not installed: how to get it."""
        monkeypatch.setattr(registry, "installed", lambda: ["memory", "sqlite"])
        with pytest.raises(UnknownScheme, match=r"mean cassandra://.*kvbackends\[cassandra\]"):
            open_store("casandra://")

    @pytest.mark.parametrize("scheme", ["mongodb+srv", "redis+cluster", "sentinel", "memcached"])
    def test_known_adapter(self, scheme: str, monkeypatch: pytest.MonkeyPatch):
        """A known scheme that is not installed: the exact line that installs it."""
        monkeypatch.setattr(registry, "entry_points", lambda **_: [])
        monkeypatch.setattr(registry, "_adapters", {})
        line = f'pip install "kvbackends[{EXTRAS[scheme]}]"'
        assert install_line(scheme) == line
        with pytest.raises(UnknownScheme) as raised:
            open_store(f"{scheme}://host")
        assert str(raised.value).endswith(line)

    def test_nothing_near(self):
        """A scheme like no other: what is installed."""
        with pytest.raises(UnknownScheme, match=r"zzzzzz:// is installed. Installed: .*memory"):
            open_store("zzzzzz://")


class TestBrokenPlugins:
    def test_names_the_import(self, entry_points: list[EntryPoint]):
        """An adapter whose import fails: which one, and which import."""
        broken = EntryPoint("broken", "no_such_driver.adapter", "kvbackends.stores")
        entry_points.append(broken)
        with pytest.raises(ConfigurationError, match="No module named 'no_such_driver'") as raised:
            open_store("broken://")
        assert "the adapter for broken:// (no_such_driver.adapter)" in str(raised.value)
        assert isinstance(raised.value.__cause__, ModuleNotFoundError)

    def test_harms_no_other(self, entry_points: list[EntryPoint]):
        """Another scheme is opened all the same, before and after, and the broken one is listed."""
        entry_points.append(EntryPoint("broken", "no_such_driver.adapter", "kvbackends.stores"))
        open_store("memory://")
        with pytest.raises(ConfigurationError):
            open_store("broken://")
        open_store("memory://")
        assert "broken" in registry.installed()

    def test_a_hook_that_fails(self):
        """A plugin whose hook raises is not half registered: each attempt says the same."""

        class Fails:
            @hookimpl
            def kvbackends_adapters(self):
                raise RuntimeError("broken hook")

        plugin = Fails()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="broken hook"):
                register(plugin)
        open_store("memory://")


class TestRegistering:
    def test_register_and_unregister(self):
        """A plugin that is not packaged serves its schemes until it is taken away."""
        plugin = Plugin("one", "two")
        register(plugin)
        register(plugin)
        assert isinstance(innermost(open_store("one://")), DictStore)
        assert isinstance(innermost(open_store("two://")), DictStore)
        unregister(plugin)
        with pytest.raises(UnknownScheme):
            open_store("one://")

    def test_a_module(self, registered: list[object]):
        """A module with hooks is a plugin."""
        module = types.ModuleType("plugin")
        module.kvbackends_adapters = hookimpl(lambda: Plugin("mod").kvbackends_adapters())
        register(module)
        registered.append(module)
        assert isinstance(innermost(open_store("mod://")), DictStore)

    def test_the_latest_serves(self, registered: list[object]):
        """Of two plugins with one scheme the latest serves it, and goes without the other."""

        class Other(DictStore):
            pass

        class Second(Plugin):
            @hookimpl
            def kvbackends_adapters(self) -> Iterable[Adapter]:
                yield Adapter(schemes=self.schemes, store=Other, summary="", example="")

        first, second = Plugin("twice"), Second("twice")
        register(first)
        register(second)
        registered.append(second)
        assert isinstance(innermost(open_store("twice://")), Other)
        unregister(first)
        assert isinstance(innermost(open_store("twice://")), Other)


class Named(Layer):
    """A layer that a test can tell from another."""

    name = ""


def layering(name: str, *, fails: bool = False) -> object:
    class LayerPlugin:
        @hookimpl
        def kvbackends_layers(self, url):
            if url.query.get("retry_timeout") == "77":
                return []
            return [wrap]

    def wrap(store):
        if fails:
            raise RuntimeError(f"{name} cannot wrap")
        layer = Named(store)
        layer.name = name
        return layer

    return LayerPlugin()


def names(store: Layer) -> list[str]:
    found = []
    while isinstance(store, Layer):
        found.append(store.name if isinstance(store, Named) else type(store).__name__)
        store = store.inner
    return found


class TestLayers:
    def test_order(self, registered: list[object]):
        """The first registered is outermost, inside the retries and outside the guard."""
        for name in ("first", "second"):
            plugin = layering(name)
            register(plugin)
            registered.append(plugin)
        assert names(open_store("memory://")) == ["Retry", "first", "second", "Guard"]

    def test_by_url(self, registered: list[object]):
        """A plugin may leave a URL alone."""
        plugin = layering("picky")
        register(plugin)
        registered.append(plugin)
        assert names(open_store("memory://?retry_timeout=77")) == ["Retry", "Guard"]

    def test_wrapping_fails(self, registered: list[object]):
        """A layer that cannot wrap is fatal: nothing is stored without it."""
        plugin = layering("broken", fails=True)
        register(plugin)
        registered.append(plugin)
        with pytest.raises(RuntimeError, match="cannot wrap"):
            open_store("memory://")

    def test_loading_fails(self, entry_points: list[EntryPoint]):
        """A layer that cannot be loaded is fatal for every store, at each attempt."""
        entry_points.append(EntryPoint("crypt", "no_such_crypt", "kvbackends.layers"))
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"the layer 'crypt' \(no_such_crypt\)"):
                open_store("memory://")

    def test_without_layers(self):
        """The plain stack: retries around the guard around the adapter."""
        store = open_store("memory://")
        assert isinstance(store, Retry)
        assert isinstance(store.inner, Guard)

"""Adapters by scheme, the order of layers, and errors for missing or broken plugins."""

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
    """Plugins that are unregistered after the test."""
    plugins: list[object] = []
    yield plugins
    for each in plugins:
        unregister(each)


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points in addition to the installed ones."""
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
    def test_a_scheme_has_any_case_and_may_have_the_prefix(self, url: str):
        """`memory`, `kv+memory` and `MEMORY` open the same store."""
        assert type(innermost(open_store(url))).__name__ == "MemoryStore"

    def test_a_misspelt_scheme_gets_a_suggestion(self):
        """The error has the nearest scheme and the installed ones."""
        with pytest.raises(UnknownScheme, match=r"did you mean memory://.* Installed: .*memory"):
            open_store("memroy://")

    def test_a_suggestion_that_is_not_installed_says_how_to_install_it(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        """The error has the line that installs the nearest scheme's adapter."""
        monkeypatch.setattr(registry, "installed", lambda: ["memory", "sqlite"])
        with pytest.raises(UnknownScheme, match=r"mean cassandra://.*kvbackends\[cassandra\]"):
            open_store("casandra://")

    @pytest.mark.parametrize("scheme", ["mongodb+srv", "redis+cluster", "sentinel", "memcached"])
    def test_a_known_scheme_says_how_to_install_its_adapter(
        self, scheme: str, monkeypatch: pytest.MonkeyPatch
    ):
        """The error ends with the line that installs the adapter."""
        monkeypatch.setattr(registry, "entry_points", lambda **_: [])
        monkeypatch.setattr(registry, "_serving", {})
        line = f'pip install "kvbackends[{EXTRAS[scheme]}]"'
        assert install_line(scheme) == line
        with pytest.raises(UnknownScheme) as raised:
            open_store(f"{scheme}://host")
        assert str(raised.value).endswith(line)

    def test_an_unknown_scheme_lists_the_installed_ones(self):
        """Without a similar scheme the error makes no suggestion."""
        with pytest.raises(UnknownScheme, match=r"zzzzzz:// is installed. Installed: .*memory"):
            open_store("zzzzzz://")


class TestBrokenPlugins:
    def test_a_failing_import_is_named(self, entry_points: list[EntryPoint]):
        """The error names the adapter and the import that failed."""
        broken = EntryPoint("broken", "no_such_driver.adapter", "kvbackends.stores")
        entry_points.append(broken)
        with pytest.raises(ConfigurationError, match="No module named 'no_such_driver'") as raised:
            open_store("broken://")
        assert "the adapter for broken:// (no_such_driver.adapter)" in str(raised.value)
        assert isinstance(raised.value.__cause__, ModuleNotFoundError)

    def test_a_broken_adapter_breaks_no_other_scheme(self, entry_points: list[EntryPoint]):
        """Other schemes open before and after it, and the broken one is listed."""
        entry_points.append(EntryPoint("broken", "no_such_driver.adapter", "kvbackends.stores"))
        open_store("memory://")
        with pytest.raises(ConfigurationError):
            open_store("broken://")
        open_store("memory://")
        assert "broken" in registry.installed()

    def test_a_failing_hook_is_not_half_registered(self):
        """Each attempt to register the plugin raises the same error."""

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
    def test_a_registered_plugin_serves_its_schemes(self):
        """It does so until it is unregistered."""
        plugin = Plugin("one", "two")
        register(plugin)
        register(plugin)
        assert isinstance(innermost(open_store("one://")), DictStore)
        assert isinstance(innermost(open_store("two://")), DictStore)
        unregister(plugin)
        with pytest.raises(UnknownScheme):
            open_store("one://")

    def test_a_module_can_be_a_plugin(self, registered: list[object]):
        """Hook implementations of a module are found."""
        module = types.ModuleType("plugin")
        module.kvbackends_adapters = hookimpl(lambda: Plugin("mod").kvbackends_adapters())
        register(module)
        registered.append(module)
        assert isinstance(innermost(open_store("mod://")), DictStore)

    def test_the_plugin_registered_last_serves_a_scheme(self, registered: list[object]):
        """Unregistering the first of two plugins leaves the second one in charge."""

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

    def test_a_hook_may_make_its_adapters_anew(self):
        """A plugin whose hook makes a new class in each call is found, and taken back."""

        class Anew(Plugin):
            @hookimpl
            def kvbackends_adapters(self) -> Iterable[Adapter]:
                made = type("Made", (DictStore,), {})
                yield Adapter(schemes=self.schemes, store=made, summary="", example="")

        plugin = Anew("anew")
        register(plugin)
        assert registry.plugin_of("anew") is plugin
        unregister(plugin)
        with pytest.raises(UnknownScheme):
            open_store("anew://")


class Named(Layer):
    """A layer with a name."""

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
    def test_the_layer_registered_first_is_outermost(self, registered: list[object]):
        """Layers of plugins are inside the retries and outside the guard."""
        for name in ("first", "second"):
            plugin = layering(name)
            register(plugin)
            registered.append(plugin)
        assert names(open_store("memory://")) == ["Retry", "first", "second", "Guard"]

    def test_a_plugin_may_add_no_layer_to_a_url(self, registered: list[object]):
        """The hook is called with the URL and may return nothing."""
        plugin = layering("picky")
        register(plugin)
        registered.append(plugin)
        assert names(open_store("memory://?retry_timeout=77")) == ["Retry", "Guard"]

    def test_a_layer_that_cannot_wrap_is_fatal(self, registered: list[object]):
        """No store is opened without the layer."""
        plugin = layering("broken", fails=True)
        register(plugin)
        registered.append(plugin)
        with pytest.raises(RuntimeError, match="cannot wrap"):
            open_store("memory://")

    def test_a_layer_that_cannot_be_loaded_is_fatal(self, entry_points: list[EntryPoint]):
        """No store is opened, at any attempt."""
        entry_points.append(EntryPoint("crypt", "no_such_crypt", "kvbackends.layers"))
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"the layer 'crypt' \(no_such_crypt\)"):
                open_store("memory://")

    def test_retries_are_around_the_guard(self):
        """Without plugins the layers are Retry, Guard and the adapter's store."""
        store = open_store("memory://")
        assert isinstance(store, Retry)
        assert isinstance(store.inner, Guard)

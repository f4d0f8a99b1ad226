"""`StoreSuite`: the suite as a test class, which an adapter's tests subclass in three lines."""

import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kvbackends import NotSupported
from kvbackends.contract import Barrier, Feature, Store, StoreURL, Subscription
from kvbackends.contract.store import ACCELERABLE
from kvbackends.testing import hooks
from kvbackends.testing.check import Check, checks, checks_by_method
from kvbackends.testing.connections import Connections
from kvbackends.testing.delayed import Delayed, is_delayed
from kvbackends.testing.deviations import Deviation, refuse_unfit
from kvbackends.testing.leftovers import new_key
from kvbackends.testing.network import Network, network, replaced
from kvbackends.testing.tools import TTL, Opener

if TYPE_CHECKING:
    from kvbackends.testing.workers import Job

NATIVE, DERIVED = "native", "derived"
LACKING = "lacking: "
"""Prefix of the reason for which a check that does not apply to the store is skipped."""

LONGEST = 60.0
"""Seconds after which a check fails; no check needs as long."""


class StoreSuite:
    """Tests that a store keeps the contract.

    A subclass names the store with `url`, or overrides the fixture `store_url`. Raises `TypeError`
    when the subclass is defined if it overrides a check or declares an unfit deviation.

    Attributes:
        url: The store's URL.
        settings: Celery's settings that the store is opened with.
        deviations: Checks that the store is known to fail.
        quick: Leave out the checks that take long, unless ``--store-full`` is given.
        keep: Leave what the checks wrote, on a server that ends with the tests: removing it takes
            time. ``--store-keep`` does the same for all suites.
        longest: Seconds after which a running check fails; ``--store-longest`` takes
            precedence.
        store_index: The position of its URL among those of ``--store-url``.
    """

    url: ClassVar[str] = ""
    settings: ClassVar[Mapping[str, object]] = {}
    deviations: ClassVar[Sequence[Deviation]] = ()
    quick: ClassVar[bool] = False
    keep: ClassVar[bool] = False
    longest: ClassVar[float] = LONGEST
    store_index: ClassVar[int] = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        overridden = sorted(vars(cls).keys() & checks_by_method().keys())
        if overridden:
            raise TypeError(
                f"{cls.__name__} overrides the checks {', '.join(overridden)}: a check is never "
                "changed; declare a Deviation"
            )
        for deviation in cls.deviations:
            refuse_unfit(cls.__name__, deviation)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Registers the hooks of the suite: no plugin and no conftest.py is needed for them."""
        manager = metafunc.config.pluginmanager
        if not manager.is_registered(hooks):
            manager.register(hooks)

    @pytest.fixture
    def store_url(self) -> str:
        """The URL of the store; override it, with any scope, where a fixture starts a server."""
        if not self.url:
            raise TypeError(
                f"{type(self).__name__} has no store: give it a `url`, or override `store_url`"
            )
        return self.url

    @pytest.fixture(params=[NATIVE, DERIVED])
    def mode(self, request: pytest.FixtureRequest) -> str:
        """Native: the store as it is. Derived: without its overrides of derived operations."""
        return str(request.param)

    @pytest.fixture(scope="class")
    @classmethod
    def _kept(cls, request: pytest.FixtureRequest) -> Iterator[Connections]:
        kept = Connections(dict(cls.settings))
        yield kept
        kept.close()
        if not (cls.keep or request.config.getoption("kvbackends_keep", False)):
            hooks.tell_left(request.config, kept.remove_all())

    @pytest.fixture
    def opener(self, _kept: Connections, store_url: str, mode: str) -> Iterator[Opener]:
        """Opens another connection to the store, as another process would; closed afterwards."""
        opened: list[Store] = []

        def opener() -> Store:
            opened.append(_kept.opened(store_url, mode == DERIVED))
            return opened[-1]

        yield opener
        for store in opened:
            store.close()

    @pytest.fixture
    def store(
        self, request: pytest.FixtureRequest, _kept: Connections, store_url: str, mode: str
    ) -> Store:
        """The store under test. All checks share its connection until one of them fails."""
        store = _kept.first(store_url, mode == DERIVED)
        hooks.set_slowness(request.config, _kept.latency)
        if mode == NATIVE and not store.native & set(ACCELERABLE):
            pytest.skip("the store overrides nothing: derived is all there is")
        return store

    @pytest.fixture
    def delayed(
        self,
        request: pytest.FixtureRequest,
        _kept: Connections,
        store: Store,
        store_url: str,
        mode: str,
    ) -> Delayed:
        """The delayed checks, which have all started."""
        items = request.session.items
        return _kept.delayed(store_url, store, lambda: _delayed_of(items, type(self), mode))

    @pytest.fixture
    def second(self, _kept: Connections, store: Store, store_url: str, mode: str) -> Store:
        """Another shared connection, for checks with too many cases to open one for each."""
        return _kept.second(store_url, mode == DERIVED)

    @pytest.fixture(autouse=True)
    def _ends(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Fails a check that exceeds its time limit."""
        seconds = hooks.longest(request.node)

        def too_long(*_: object) -> None:
            raise TimeoutError(f"the check took more than {seconds:g} seconds")

        before = signal.signal(signal.SIGALRM, too_long)
        hooks.interrupt_after(seconds)
        yield
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    @pytest.fixture(autouse=True)
    def _applies(self, request: pytest.FixtureRequest, store: Store) -> None:
        check = hooks.check_of(request.node)
        if check is not None and check.is_lacking(store.features):
            pytest.skip(f"{LACKING}{_condition(check)}")

    @pytest.fixture
    def other(self, store: Store, opener: Opener) -> Store:
        """A second, independent connection to the same store."""
        return opener()

    @pytest.fixture
    def large(self, request: pytest.FixtureRequest, store: Store, store_url: str) -> bool:
        """True if the store is tried with thousands of parts.

        It is in this process or in a file, or ``--store-full`` is given and its barrier is native.
        """
        if not store.features & Feature.SHARED or not StoreURL.parse(store_url).hosts:
            return True
        is_full = request.config.getoption("kvbackends_full", False)
        return bool(is_full) and "barrier" in store.native

    def through(self, url: str, host: str, port: int) -> str:
        """The URL with the address of a proxy in the place of its server's.

        Override it where the driver has to be told to stay with that address. Raises `NotSupported`
        with the reason, in one line, if no proxy can stand there.
        """
        return replaced(url, host, port)

    @pytest.fixture
    def network(self, store: Store, store_url: str, mode: str) -> Iterator[Network]:
        """The store's network, whose faults a proxy makes."""
        settings, derived = dict(self.settings), mode == DERIVED
        try:
            with network(store, store_url, self.through, settings, derived=derived) as made:
                yield made
        except NotSupported as error:
            pytest.skip(str(error))

    @pytest.fixture
    def key(self) -> str:
        """A key that no other test uses, also where tests share a server."""
        return new_key()

    @pytest.fixture
    def subscription(self, store: Store) -> Iterator[Subscription]:
        """A subscription of the store, closed afterwards."""
        opened = store.subscribe()
        yield opened
        opened.close()

    @pytest.fixture
    def job(
        self,
        store: Store,
        _kept: Connections,
        store_url: str,
        mode: str,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Iterator["Job"]:
        """A Celery application on the store, and a worker, which checks in a row share."""
        from kvbackends.testing.workers import Job, application

        new_folder = partial(tmp_path_factory.mktemp, "kvt-worker")
        folder = _kept.worker(store_url, mode == DERIVED, new_folder)
        with application(store_url, mode == DERIVED, dict(self.settings), folder) as app:
            yield Job(app, folder)

    @pytest.fixture
    def app(self, store: Store, store_url: str, mode: str, tmp_path: Path) -> Iterator[Any]:
        """A Celery application on the store without a worker; closed afterwards."""
        from kvbackends.testing.workers import application

        with application(store_url, mode == DERIVED, dict(self.settings), tmp_path) as app:
            yield app

    @pytest.fixture
    def barrier(self, store: Store) -> Barrier:
        """A barrier of the store that no other test uses."""
        return store.barrier(new_key("barrier"), TTL)


def _test(check: Check) -> Callable[..., None]:
    """The check as a method of `StoreSuite`."""
    if not is_delayed(check):
        return check.function

    def test(_self: StoreSuite, delayed: Delayed) -> None:
        delayed.finish(check)

    test.__name__, test.__doc__ = check.method, check.function.__doc__
    return test


def _delayed_of(items: Sequence[pytest.Item], suite: type[StoreSuite], mode: str) -> list[Check]:
    """The delayed checks among the tests that run on this suite in this mode."""
    return [
        check
        for item in items
        if isinstance(item, pytest.Function)
        and item.cls is suite
        and (check := hooks.check_of(item)) is not None
        and is_delayed(check)
        and item.callspec.params.get("mode") == mode
    ]


for _check in checks():
    setattr(StoreSuite, _check.method, _test(_check))


def suite_for(url: str, name: str = "", **attributes: object) -> type[StoreSuite]:
    """A subclass of `StoreSuite` for the store at `url`."""
    scheme = re.sub(r"\W", "", StoreURL.parse(url).scheme.title())
    return type(name or f"Test{scheme}", (StoreSuite,), {"url": url, **attributes})


def _condition(check: Check) -> str:
    needs = [f"without {flag.name}" for flag in check.requires]
    return ", ".join([*needs, *(f"with {flag.name}" for flag in check.lacking)])

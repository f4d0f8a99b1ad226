"""`StoreSuite`: three lines for who writes an adapter."""

import re
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest

from kvbackends.contract import Barrier, Feature, Store, StoreURL, Subscription
from kvbackends.contract.store import ACCELERABLE
from kvbackends.testing.connections import Connections

if TYPE_CHECKING:
    from kvbackends.testing.workers import Job

from kvbackends.testing.plugin import longest
from kvbackends.testing.registry import Check, checks
from kvbackends.testing.ripening import Orchard, ripens
from kvbackends.testing.tools import TTL, Opener

NATIVE, DERIVED = "native", "derived"
LACKING = "lacking: "
"""How the reason of a skip begins where a check is not meant for the store."""

LONGEST = 60.0
"""Seconds that no check takes."""
AGAIN = 10.0
"""Seconds after which a check that did not end, because it waits for its threads, is told again."""


class Deviation(NamedTuple):
    """A check that this store fails, why, and how: a strict expected failure.

    `check` is the check's name; with ``[native]`` or ``[derived]`` behind it, of that run only;
    with all that pytest shows in brackets, ``[native-blank]``, of that case only.
    """

    check: str
    raises: type[Exception]
    reason: str


class StoreSuite:
    """Proves a store.  Checked when the class is made: unknown checks and overrides are refused."""

    url: ClassVar[str] = ""
    settings: ClassVar[Mapping[str, object]] = {}
    deviations: ClassVar[Sequence[Deviation]] = ()
    quick: ClassVar[bool] = False
    """Leave out the checks that take their time, unless ``--store-full`` is given."""
    longest: ClassVar[float] = LONGEST
    """Seconds after which a check that does not end fails; ``--store-longest`` is stronger."""
    store_index: ClassVar[int] = 0
    """Its place among the URLs of a run without a file."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        overridden = sorted(vars(cls).keys() & BY_METHOD.keys())
        if overridden:
            raise TypeError(
                f"{cls.__name__} overrides the checks {', '.join(overridden)}: a check is never "
                "changed; declare a Deviation"
            )
        for deviation in cls.deviations:
            _refuse_unfit(cls.__name__, deviation)

    @pytest.fixture
    def store_url(self) -> str:
        """Where the store is; override it, with any scope, where a fixture starts the store."""
        if not self.url:
            raise TypeError(
                f"{type(self).__name__} has no store: give it a `url`, or override `store_url`"
            )
        return self.url

    @pytest.fixture(params=[NATIVE, DERIVED])
    def mode(self, request: pytest.FixtureRequest) -> str:
        """Native: as the store is.  Derived: with its overrides taken away."""
        return str(request.param)

    @pytest.fixture(scope="class")
    @classmethod
    def _kept(cls) -> Iterator[Connections]:
        kept = Connections(dict(cls.settings))
        yield kept
        kept.close()

    @pytest.fixture
    def opener(self, _kept: Connections, store_url: str, mode: str) -> Iterator[Opener]:
        """Opens the same store once more, as another process would; closed afterwards."""
        opened: list[Store] = []

        def opener() -> Store:
            opened.append(_kept.opened(store_url, mode == DERIVED))
            return opened[-1]

        yield opener
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, _kept: Connections, store_url: str, mode: str) -> Store:
        """The store that is proven: one connection for all checks, until one fails."""
        store = _kept.first(store_url, mode == DERIVED)
        if mode == NATIVE and not store.native & set(ACCELERABLE):
            pytest.skip("the store overrides nothing: derived is all there is")
        return store

    @pytest.fixture
    def orchard(
        self,
        request: pytest.FixtureRequest,
        _kept: Connections,
        store: Store,
        store_url: str,
        mode: str,
    ) -> Orchard:
        """The checks that wait for something to expire have begun: all that are still to be run."""
        return _kept.orchard(store_url, store, lambda: _waiting(request.session, type(self), mode))

    @pytest.fixture
    def second(self, _kept: Connections, store: Store, store_url: str, mode: str) -> Store:
        """Another connection that is kept, for checks that are too many to open one for each."""
        return _kept.second(store_url, mode == DERIVED)

    @pytest.fixture(autouse=True)
    def _ends(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """A check that hangs fails."""
        seconds = longest(request.node)

        def too_long(*_: object) -> None:
            raise TimeoutError(f"the check took more than {seconds:g} seconds")

        before = signal.signal(signal.SIGALRM, too_long)
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
        yield
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    @pytest.fixture(autouse=True)
    def _applies(self, request: pytest.FixtureRequest, store: Store) -> None:
        check = BY_METHOD.get(getattr(request.node, "originalname", ""))
        if check is not None and check.is_lacking(store.features):
            pytest.skip(f"{LACKING}{_condition(check)}")

    @pytest.fixture
    def other(self, store: Store, opener: Opener) -> Store:
        """Independent eyes: a connection of its own to the same store."""
        return opener()

    @pytest.fixture
    def embedded(self, store: Store, store_url: str) -> bool:
        """Whether the store is in this process or in a file: no network between."""
        return not store.features & Feature.SHARED or not StoreURL.parse(store_url).hosts

    @pytest.fixture
    def key(self) -> str:
        """A key that no other test uses, also where tests share a server."""
        return f"kvt-key-{uuid.uuid4().hex}"

    @pytest.fixture
    def subscription(self, store: Store) -> Iterator[Subscription]:
        """A subscription of the store's, closed afterwards."""
        opened = store.subscribe()
        yield opened
        opened.close()

    @pytest.fixture
    def job(self, store: Store, store_url: str, mode: str, tmp_path: Path) -> Iterator["Job"]:
        """A Celery application on the same store, and a worker of its own; ended afterwards."""
        from kvbackends.testing.workers import working

        folder = tmp_path / "kvt-worker"
        folder.mkdir()
        with working(store_url, mode == DERIVED, dict(self.settings), folder) as job:
            yield job

    @pytest.fixture
    def app(self, store: Store, store_url: str, mode: str, tmp_path: Path) -> Iterator[Any]:
        """A Celery application on the same store, without a worker; closed afterwards."""
        from kvbackends.testing.workers import application

        with application(store_url, mode == DERIVED, dict(self.settings), tmp_path) as app:
            yield app

    @pytest.fixture
    def barrier(self, store: Store) -> Barrier:
        """A barrier that no other test uses."""
        return store.barrier(f"kvt-barrier-{uuid.uuid4().hex}", TTL)


BY_METHOD = {check.method: check for check in checks()}
BY_NAME = {check.name: check for check in checks()}


def _test(check: Check) -> Callable[..., None]:
    """The check as a method."""
    if not ripens(check):
        return check.function

    def test(_self: StoreSuite, orchard: Orchard) -> None:
        orchard.finish(check)

    test.__name__, test.__doc__ = check.method, check.function.__doc__
    return test


def _waiting(session: pytest.Session, suite: type[StoreSuite], mode: str) -> list[Check]:
    """The checks of this run that wait, and that the store is asked for."""
    found = [
        BY_METHOD.get(getattr(item, "originalname", ""))
        for item in session.items
        if isinstance(item, pytest.Function)
        and item.cls is suite
        and item.callspec.params.get("mode") == mode
    ]
    return [check for check in found if check is not None and ripens(check)]


for _check in checks():
    setattr(StoreSuite, _check.method, _test(_check))


def suite_for(url: str, name: str = "", **attributes: object) -> type[StoreSuite]:
    """A suite for the store at `url`, without a file."""
    scheme = re.sub(r"\W", "", StoreURL.parse(url).scheme.title())
    return type(name or f"Test{scheme}", (StoreSuite,), {"url": url, **attributes})


def deviation_for(suite: type[StoreSuite], check: Check, mode: str, case: str) -> Deviation | None:
    """The deviation that was declared for this run of the check."""
    names = {check.name, f"{check.name}[{mode}]", f"{check.name}[{case}]"}
    return next((each for each in suite.deviations if each.check in names), None)


def _condition(check: Check) -> str:
    needs = [f"without {flag.name}" for flag in check.requires]
    return ", ".join([*needs, *(f"with {flag.name}" for flag in check.lacking)])


def _refuse_unfit(suite: str, deviation: Deviation) -> None:
    if re.sub(r"\[(native|derived)(-.*)?\]$", "", deviation.check) not in BY_NAME:
        raise TypeError(f"{suite} deviates from {deviation.check!r}, which is no check")
    raises: object = deviation.raises
    if not (isinstance(raises, type) and issubclass(raises, Exception)) or raises is Exception:
        raise TypeError(
            f"{suite}: the deviation from {deviation.check} names the exception that is raised, "
            f"not {raises!r}"
        )
    if not deviation.reason.strip():
        raise TypeError(f"{suite}: the deviation from {deviation.check} has no reason")

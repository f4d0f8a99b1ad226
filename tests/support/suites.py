"""Base classes for the suites of several folders; a pytest plugin."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

import pytest

from kvbackends import NotSupported
from kvbackends.testing import StoreSuite
from kvbackends.testing.hooks import check_of

Areas = Mapping[str, Collection[str]]

RACES = frozenset({"claims", "faults", "histories", "kills", "parts", "processes", "threads"})
"""The areas of the conformance suite in which calls interleave."""
COMMANDS = RACES - {"faults", "histories", "kills"} | {
    "adding",
    "closing",
    "connections",
    "counters",
    "expiring",
    "finishing",
    "keys",
    "listing",
    "members",
    "methods",
    "ranks",
    "subscriptions",
    "ttl",
    "versions",
    "waiting",
}
"""The areas that together use each command of a server."""
CONNECTIONS = frozenset({"closing", "connections", "methods", "processes", "threads", "waiting"})
"""The areas in which the way to the server matters, and who uses it."""

LONG_IN_JAVA = ("model.agrees_always", "sizes.hundreds", "limits.large_batch")
"""Checks of thousands of requests, which cost a server with Java ten seconds or more."""


def java_is_slow(stores: Iterable[str]) -> list[Any]:
    """The stores as parameters of a test; those with Java are marked slow.

    Their servers take half a minute to start: `make test` starts them for the adapters' own tests.
    """
    java = ("elasticsearch", "cassandra")
    return [pytest.param(each, marks=pytest.mark.slow) if each in java else each for each in stores]


class FiveMethods(StoreSuite):
    """For a store with the five methods and nothing else: natively there is nothing to prove."""

    quick = True
    keep = True

    @pytest.fixture(params=["derived"])
    def mode(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


class Selected(StoreSuite):
    """A suite of which `make test` runs some areas only; `make test-all` runs them all.

    Its server ends with the tests.
    """

    keep = True
    areas: ClassVar[Areas] = {}
    """The areas that `make test` runs in a mode; in a mode that is not named it runs all."""
    long: ClassVar[Collection[str]] = ()
    """Checks that take long on this server: only `make test-all` runs them."""
    left_out: ClassVar[Mapping[str, str]] = {}
    """Checks that cannot be run on this server, each with the reason."""
    fixture: ClassVar[str] = ""
    """The fixture that starts the server and gives its URL, if the suite has no `url`."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, request: pytest.FixtureRequest) -> str:
        """The URL of the class, or the fixture's."""
        return request.getfixturevalue(cls.fixture) if cls.fixture else cls.url


class OnServer(Selected):
    """For a store behind a network: all checks, natively.

    Each derived form is made of five methods. The native run proves these on the server, and the
    embedded stores prove the forms.
    """

    areas: ClassVar[Areas] = {"derived": ()}


class InBothForms(OnServer):
    """Derived, too, the checks that race: a network adds that calls of processes interleave."""

    areas: ClassVar[Areas] = {"derived": RACES}


class WithoutProxy(OnServer):
    """A server whose checks of the network have not been tried yet."""

    def through(self, url: str, host: str, port: int) -> str:
        """Raises `NotSupported`."""
        raise NotSupported("this suite has not been tried behind a proxy")


class Repeated(Selected):
    """For a store whose derived forms are proven elsewhere: behind another layer."""

    quick = True
    areas: ClassVar[Areas] = {"derived": ()}


class Again(Repeated):
    """For a store that is proven elsewhere in full: another version, or another connection."""

    areas: ClassVar[Areas] = {"native": COMMANDS, "derived": ()}


class Elsewhere(Again):
    """For a server that is proven at another address, over another kind of connection."""

    areas: ClassVar[Areas] = {"native": CONNECTIONS, "derived": ()}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Mark the checks of other areas slow, before slow tests are left out."""
    for item in items:
        check = check_of(item)
        if check is not None and issubclass(item.cls, Selected):
            areas = item.cls.areas.get(item.callspec.params["mode"], (check.area,))
            if check.area not in areas or check.name in item.cls.long:
                item.add_marker(pytest.mark.slow)
            if reason := item.cls.left_out.get(check.name):
                item.add_marker(pytest.mark.skip(reason=reason))

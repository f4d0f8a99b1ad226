"""Servers that cut an answer, say nothing, or are away."""

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial

import pytest

from kvbackends.contract import Feature, Rank, Store, StoreURL
from kvbackends.contract.deadline import within
from kvbackends.layers.retry import at_most, give
from kvbackends.testing.areas.faults import SCENARIOS
from kvbackends.testing.calls import CALLS, Call
from kvbackends.testing.check import Area
from kvbackends.testing.check import rule as by_rule
from kvbackends.testing.leftovers import new_key
from kvbackends.testing.network import BOUND, Network, error_of, shown_of
from kvbackends.testing.redaction import around, logged
from kvbackends.testing.tools import (
    CLOSED,
    TTL,
    complete,
    gathered,
    offer,
    publisher,
    rank_of,
    value_at,
)

MOST = 12
"""Requests that one call may need."""
PLACES = 2
"""Places at which the answers of each operation are cut."""
LATE = 3.0
"""Seconds that a call may take beyond its bound: one, and two for a machine that stalls."""
TRIES = 2
"""A call that is late again and again is."""
USER, PASSWORD = "kvt-user", "kvt-s3cr3t-passw0rd"


class Networks(Area):
    """The network between a store and its server may do anything."""

    area = "network"
    rule = "time"
    alone = True

    @by_rule("unknown-outcomes")
    def cut_anywhere(self, store: Store, network: Network, key: str) -> None:
        """Wherever an answer is cut, the operation is repeated, and its end is the same."""
        acting = network.opened()
        for name, scenario in SCENARIOS.items():

            def outcome(cut: int | None) -> tuple[object, object]:
                each = f"{key}-{name}-{cut}"  # noqa: B023
                scenario.prepare(store, each)  # noqa: B023
                network.proxy.cut_after(cut)
                found = scenario.act(acting, each)  # noqa: B023
                network.proxy.cut_after(None)
                return found, scenario.shows(store, each)  # noqa: B023

            before = network.proxy.answered
            expected = outcome(None)
            size = network.proxy.answered - before
            for place in _places(size):
                found = outcome(place)
                assert found == expected, f"`{name}`, cut after {place} of {size} bytes"

    def silence(self, store: Store, network: Network, key: str) -> None:
        """While the server says nothing each call keeps its time, and fails; then it works again.

        `increment` and `scan` as well.
        """
        calls = dict(CALLS)
        if store.features & Feature.LISTING:
            calls["scan"] = lambda s, k: list(s.scan(k))
        acting = network.opened()
        acting.set(key, b"before", TTL)
        late = _late(network, acting, calls)
        for _ in range(TRIES - 1):
            late = late and _late(network, acting, {name: calls[name] for name in late})
        assert late == {}, f"seconds of calls that have {BOUND:g}"
        assert value_at(acting, key) == b"before"

    @by_rule("closing")
    def close_cut_short(self, store: Store, network: Network, key: str) -> None:
        """A `Barrier.close` that is cut short stores no result, and removes no part, too early.

        The tombstone comes before both. The call is cut before each of its requests, and closing
        again does what is left.
        """
        for trips in range(MOST):
            acting = network.opened()
            result = offer(f"{key}-{trips}-r", Rank.SUCCEEDED)
            barrier, same = (each.barrier(f"{key}-{trips}", TTL) for each in (store, acting))
            last = complete(same, 3)
            network.proxy.refuse_after(trips)
            _try(partial(same.close, last, result, rank_of))
            was_cut = network.proxy.has_refused
            network.proxy.listen()
            stored, parts = store.get(result.key), gathered(barrier)
            # Last: a request that was under way may still write the tombstone.
            if barrier.arrive(publisher(), None).outcome is not CLOSED:
                assert stored is None, "the result is stored, and no tombstone"
                assert len(parts) == 3, "parts are removed, and there is no tombstone"
            barrier.close(last, result, rank_of)
            assert barrier.arrive(publisher(), None).outcome is CLOSED
            assert value_at(store, result.key) == result.value
            assert gathered(barrier) == {}
            acting.close()
            if not was_cut:
                break

    @by_rule("ping-and-close")
    def closed_port(self, network: Network) -> None:
        """Where nothing listens `ping` raises an error that names the address."""
        network.proxy.refuse()
        store = network.opened()
        error = error_of(store.ping)
        assert str(network.proxy.port) in str(error), f"{error!r} does not name the address"


def _try(call: Callable[[], object]) -> None:
    """Make a call that may fail, and is not repeated."""
    with suppress(Exception), at_most(0):  # each store has errors of its own
        within(BOUND, call)


def _places(size: int) -> list[int]:
    """Some numbers of bytes after which an answer of this size is cut: the first and the last."""
    step = max(size - 1, 1) / (PLACES - 1)
    return sorted({min(1, size), *(round(n * step) for n in range(PLACES))} - {size})


def _late(network: Network, store: Store, calls: Mapping[str, Call]) -> dict[str, float]:
    """Make the calls while the server is silent: the seconds of those that took too long."""
    network.proxy.silence()
    with ThreadPoolExecutor(len(calls)) as pool:
        running = {name: pool.submit(_took, name, store, call) for name, call in calls.items()}
        try:
            wait(running.values(), BOUND + LATE)
        finally:
            network.proxy.cut()  # ends those that know no time
            network.proxy.listen()
    took = {name: each.result() for name, each in running.items()}
    return {name: seconds for name, seconds in took.items() if seconds > BOUND + LATE}


def _took(name: str, store: Store, call: Call) -> float:
    """The seconds until the call failed; fails if it was answered within its time."""
    began = time.monotonic()
    try:
        answer = within(BOUND, call, store, new_key())
    except Exception:  # noqa: BLE001 - each store has errors of its own
        return time.monotonic() - began
    took = time.monotonic() - began
    assert took > BOUND + LATE, f"`{name}` answered {answer!r}, and the server said nothing"
    return took


class SecretsAtFaults(Area):
    """No secret is shown when something goes wrong, not to the debugger's log either."""

    area = "secrets"
    rule = "secrets"
    alone = True

    @pytest.mark.parametrize("case", ["wrong password", "closed port", "TLS failure"])
    def in_no_message(self, network: Network, case: str) -> None:
        """Neither errors, with all of their causes, nor log lines show the URL's password."""
        url = _with_password(network.url)
        if case == "TLS failure":
            url = _with_password(network.encrypted())
            if not url:
                pytest.skip("no scheme or option of this store is known to ask for TLS")
        if case == "closed port":
            network.proxy.refuse()
        with logged() as lines:
            texts = list(_texts(network, url))
        shown = "\n".join([*texts, *lines])
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        found = [around(shown, each) for each in (PASSWORD, basic) if each in shown]
        assert found == [], "a secret is shown"


def _with_password(url: str) -> str:
    if not url:
        return ""
    user = StoreURL.parse(url).username
    begin, _, rest = url.partition("://")
    authority = rest.partition("?")[0].partition("/")[0]
    address = authority.rpartition("@")[2]
    return f"{begin}://{user or USER}:{PASSWORD}@{address}{rest[len(authority) :]}"


def _texts(network: Network, url: str) -> Iterator[str]:
    """What can be seen of some calls at this URL."""
    try:
        store = network.opened(url)
    except Exception as error:  # noqa: BLE001 - it may know no passwords
        yield shown_of(error)
        return
    give(store, BOUND)
    yield f"{store!r} {store}"
    for name in ("ping", "set"):
        try:
            within(BOUND, CALLS[name], store, new_key())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            yield shown_of(error)

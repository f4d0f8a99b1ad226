"""What Celery's own backends have kept is there after the change, on real servers.

`docs/moving-in.md` says for each store what becomes of results and of chords in flight; here it is
done, with workers that run in the test itself.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from celery import Celery, _state, chord, states
from celery.exceptions import ChordError

from kvbackends.backend import foreign
from kvbackends.contract import StoreURL
from tests.backend.bench import Bench
from tests.backend.tasks import Boom, add_tasks
from tests.servers.process import eventually
from tests.support.celerys import old_cassandra
from tests.support.suites import java_is_slow

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
_numbers = itertools.count()


class Move(NamedTuple):
    """From one of Celery's own backends to a store."""

    old: str
    new: str
    settings: Mapping[str, Any] = MappingProxyType({})
    transport: Mapping[str, Any] = MappingProxyType({})
    groups: bool = True
    """Whether the old one saves groups."""


def sentinel(url: str, _: Any) -> Move:
    place = StoreURL.parse(url)
    password = place.password.reveal() if place.password else ""
    inner = {"password": place.query["sentinel_password"]}
    return Move(
        ";".join(f"sentinel://:{password}@{host}/{place.path}" for host in place.hosts),
        f"kv+{url}",
        {},
        {"master_name": place.query.get("master_name", "mymaster"), "sentinel_kwargs": inner},
    )


MOVES: dict[str, Callable[[str, Any], Move]] = {
    "redis": lambda url, _: Move(url, f"kv+{url}"),
    "redis_sentinel": sentinel,
    "memcached": lambda url, _: Move(f"cache+{url}", f"kv+{url}"),
    "mongodb": lambda url, _: Move(url, f"kv+{url}", transport={"fallback": "mongodb"}),
    "postgresql": lambda url, _: Move(
        f"db+{url.replace('://', '+psycopg://')}",
        f"kv+{url}",
        transport={"fallback": f"db+{url.replace('://', '+psycopg://')}"},
    ),
    "database": lambda _, folder: Move(
        f"db+sqlite:///{folder}/old.db",
        f"kv+sqlite:///{folder}/new.db",
        transport={"fallback": f"db+sqlite:///{folder}/old.db"},
    ),
    "file": lambda _, folder: Move(
        f"file://{folder}",
        f"kv+sqlite:///{folder}/new.db",
        transport={"fallback": f"file://{folder}"},
    ),
    "from redis": lambda url, folder: Move(
        url, f"kv+sqlite:///{folder}/new.db", transport={"fallback": url}
    ),
    "elasticsearch": lambda url, _: Move(url, f"kv+{url}", transport={"fallback": "elasticsearch"}),
    "from elasticsearch": lambda url, folder: Move(
        url, f"kv+sqlite:///{folder}/new.db", transport={"fallback": url}
    ),
    "cassandra": lambda url, _: Move(
        "cassandra://", f"kv+{url}", old_cassandra(url), {"fallback": "cassandra"}, groups=False
    ),
}


def params() -> list[Any]:
    marked = java_is_slow(["elasticsearch", "cassandra"])
    marks = {each.values[0]: each.marks for each in marked}
    return [pytest.param(name, marks=marks.get(name.removeprefix("from "), ())) for name in MOVES]


class Pair(NamedTuple):
    old: Celery
    new: Celery
    move: Move


@pytest.fixture(params=params())
def move(request, tmp_path) -> Move:
    server = request.param.removeprefix("from ")
    is_local = server in {"database", "file"}
    url = "" if is_local else request.getfixturevalue(f"{server}_url")
    return MOVES[request.param](url, tmp_path)


@pytest.fixture
def make(move) -> Iterator[Callable[..., Celery]]:
    """Makes apps, each with a worker in the test."""
    made: list[Celery] = []
    before = _state._tls.current_app, _state.default_app

    def app(url: str, **transport: Any) -> Celery:
        app = Celery(f"move-{next(_numbers)}", set_as_current=False, broker="memory://")
        app.conf.update({"result_backend": url, "result_expires": 300, **move.settings})
        app.conf.result_backend_transport_options = {**move.transport, **transport}
        app.bench = Bench(app)
        add_tasks(app)
        made.append(app)
        return app

    yield app
    for each in made:
        close(each.backend)
        each.close()
    _state._tls.current_app, _state.default_app = before


def close(backend: Any) -> None:
    if hasattr(backend, "waiters"):
        backend.waiters.close()
        backend.store.close()
        if backend.fallback is not None:
            reader = backend.fallback._reader()
            if reader._thread is not None:
                reader._thread.join(10)
            if reader._old is not None:
                foreign.close(reader._old)
        if backend.books._opened.peek() is not None:
            close(backend.books._opened().backend)
    else:
        foreign.close(backend)


@pytest.fixture
def pair(make, move) -> Pair:
    return Pair(make(move.old, fallback=None), make(move.new), move)


def test_old_results_and_groups_are_read(pair):
    """A success, a failure and a group, one by one and many at once."""
    old, new, move = pair
    ids = [f"{next(_numbers)}-{name}" for name in ("good", "bad", "absent")]
    old.backend.store_result(ids[0], {"a": ["ü", 1]}, states.SUCCESS)
    old.backend.store_result(ids[1], Boom("old"), states.FAILURE)
    # One look has 0.3 s for the old place, which a busy machine may need for its first connection.
    found = lambda: dict(new.backend.get_many(ids, max_iterations=1))  # noqa: E731
    assert eventually(lambda: sorted(found()) == sorted(ids[:2]))
    assert new.AsyncResult(ids[0]).get(timeout=10) == {"a": ["ü", 1]}
    with pytest.raises(Boom, match="old"):
        new.AsyncResult(ids[1]).get(timeout=10)
    assert new.AsyncResult(ids[2]).state == states.PENDING
    if move.groups:
        group = old.GroupResult(f"{ids[0]}-group", [old.AsyncResult(ids[0])])
        group.save()
        assert new.GroupResult.restore(group.id, app=new).get(timeout=10) == [{"a": ["ü", 1]}]


@pytest.mark.parametrize("failing", [False, True], ids=["succeeds", "fails"])
@pytest.mark.parametrize("by", ["an old client", "a changing client"])
def test_a_chord_in_flight_ends(make, move, pair, by, failing):
    """Its header's tasks have run on workers of both kinds.

    Where Celery's class counts, the last of them sends the body; elsewhere `celery.chord_unlock`
    does, on a worker of kvbackends.
    """
    old, new = pair.old, pair.new
    client = old if by == "an old client" else make(move.new, chords="celery")
    client.set_current()
    header = [client.tasks["fail" if failing else "echo"].s(number) for number in range(4)]
    result = chord(header, app=client)(client.tasks["total"].s())
    for number in range(4):
        runner = (old, new)[number % 2]
        runner.set_current()
        runner.bench.run(client.bench.take("fail" if failing else "echo"))
    new.set_current()
    for message in [each for each in client.bench.queue if each.name == "celery.chord_unlock"]:
        new.bench.run(message)
    for app in (old, new):
        if any(each.name == "total" for each in app.bench.queue):
            new.bench.run(app.bench.take("total"))
    if failing:
        with pytest.raises(ChordError):
            new.AsyncResult(result.id).get(timeout=10)
    else:
        assert new.AsyncResult(result.id).get(timeout=10) == 6

"""Every pool of Celery's on every store: its workers, and clients whose threads are green."""

import pytest

from tests.e2e import pools
from tests.e2e.deployment import finish

POOLS = {
    "solo": [],
    "threads": ["-c", "4"],
    "prefork": ["-c", "2"],
    "gevent": ["-c", "20"],
    "eventlet": ["-c", "20"],
}
STORES = ["sqlite", "redis", "memcached", "mongodb", "postgresql", "elasticsearch", "cassandra"]
GREEN = {
    "gevent": """
from gevent import monkey; monkey.patch_all()
from gevent.threadpool import ThreadPool
native = ThreadPool(1).apply
""",
    "eventlet": """
import eventlet; eventlet.monkey_patch()
from eventlet.tpool import execute as native
""",
}
CHECKS = """
from tests.e2e import diary, pools
from tests.e2e.app import app
client = pools.Client(app, diary.folder())
in_native_thread = sys.argv[1] != "cassandra"  # whose driver supports one native thread only
if in_native_thread:
    native(lambda: pools.a_wait_ends_in_time(client))  # the first wait of the process
for claim in pools.CLAIMS:
    claim(client)
if in_native_thread:
    native(app.backend.store.close)  # some drivers complain when the thread ends before
print("well")
"""


IN_BOOKS = """
from tests.e2e import diary, pools
from tests.e2e.app import app
assert app.backend.books.opens
pools.chords_complete(pools.Client(app, diary.folder()))
print("well")
"""


def cells():
    """`make test` runs each pool on Redis, and those with green threads without Java."""
    for store in STORES:
        for pool in POOLS:
            always = store == "redis" or (pool in GREEN and store in STORES[:5])
            marks = [] if always else [pytest.mark.slow]
            yield pytest.param(store, pool, id=f"{store}-{pool}", marks=marks)


@pytest.mark.parametrize(("store", "pool"), list(cells()))
def test_each_pool_works_on_each_store(request, deploy, store, pool):
    """As worker; and as client, with green threads where the pool has them."""
    url = None if store == "sqlite" else request.getfixturevalue(f"{store}_url")
    deployment = deploy("redis", url=url)
    worker = deployment.starting("-P", pool, *POOLS[pool])
    if pool in GREEN:
        client = deployment.script(GREEN[pool] + CHECKS, store, EVENTLET_THREADPOOL_SIZE="1")
        worker.ready()
        assert finish(client) == "well"
    else:
        worker.ready()
        client = pools.Client(deployment.app, deployment.folder)
        for claim in pools.CLAIMS:
            claim(client)
    worker.stop()


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
def test_chords_of_celerys_in_each_pool(redis_url, deploy, pool):
    """With `chords=celery` chords are kept in the books of Celery's own backend."""
    deployment = deploy("redis", url=f"{redis_url}?chords=celery")
    worker = deployment.starting("-P", pool, *POOLS[pool])
    if pool in GREEN:
        client = deployment.script(GREEN[pool] + IN_BOOKS)
        worker.ready()
        assert finish(client) == "well"
    else:
        worker.ready()
        pools.chords_complete(pools.Client(deployment.app, deployment.folder))
    worker.stop()

"""Pickling of backends, results and groups, which Celery sends to other processes."""

import pickle
import uuid
from typing import Any

from kvbackends.contract import Feature, Store, StoreURL
from kvbackends.contract.options import fill
from kvbackends.layers.layer import innermost
from kvbackends.testing.check import Area, requires
from kvbackends.testing.forks import in_child
from kvbackends.testing.tools import SOON


class Pickling(Area):
    """A copy, made by pickling, works as the original does."""

    area = "pickling"
    rule = "in-celery"
    alone = True

    def options(self, store: Store, store_url: str) -> None:
        """A pickled copy of the store's options and URL, with their secrets, is equal."""
        url = StoreURL.parse(store_url)
        kind = innermost(store).options_type
        given = {name: text for name, text in url.query.items() if name in kind.__struct_fields__}
        for original in (fill(kind, given, {}), url):
            assert _copy(original) == original

    def backend(self, app: Any) -> None:
        """A copy of a backend reads what the original stored, and the other way round."""
        task, other = str(uuid.uuid4()), str(uuid.uuid4())
        app.backend.store_result(task, "from the original", "SUCCESS")
        copy = _copy(app.backend)
        assert copy.get_result(task) == "from the original"
        copy.store_result(other, "from the copy", "SUCCESS")
        assert app.backend.get_result(other) == "from the copy"
        copy.store.close()

    def group(self, app: Any) -> None:
        """A group is saved, restored and pickled; its results come in the order of its tasks."""
        tasks = [str(uuid.uuid4()) for _ in range(5)]
        for number, task in enumerate(tasks):
            app.backend.store_result(task, number, "SUCCESS")
        app.GroupResult(name := str(uuid.uuid4()), [app.AsyncResult(each) for each in tasks]).save()
        restored = app.GroupResult.restore(name)
        assert [each.id for each in restored.results] == tasks
        assert _copy(restored).get(timeout=SOON) == list(range(5))

    @requires(Feature.SHARED)
    def other_process(self, app: Any) -> None:
        """A result that another process stored through a pickled backend can be read."""
        task, data = str(uuid.uuid4()), pickle.dumps(app.backend)

        def store() -> None:
            backend = pickle.loads(data)  # noqa: S301 - our own
            backend.store_result(task, [1, 2], "SUCCESS")

        assert in_child(store) == 0
        assert app.backend.get_result(task) == [1, 2]


def _copy(original: Any) -> Any:
    return pickle.loads(pickle.dumps(original))  # noqa: S301 - our own

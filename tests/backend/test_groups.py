"""Groups are saved, restored and deleted whole."""

import pytest
from celery.result import GroupResult

from kvbackends.contract import Feature
from tests.backend.stores import counted, new_url


@pytest.fixture
def nested(app):
    """A group with a group in it and a parent that is a group, too."""
    parent = app.GroupResult("p", [app.AsyncResult("p1")], parent=app.AsyncResult("first"))
    inner = app.GroupResult("i", [app.AsyncResult("b"), app.AsyncResult("c")])
    return app.GroupResult("g", [app.AsyncResult("a"), inner], parent=parent)


def test_a_nested_group_comes_back_whole(app, nested):
    nested.save()
    restored = GroupResult.restore("g", app=app)
    assert isinstance(restored, GroupResult)
    assert restored.as_tuple() == nested.as_tuple()
    assert isinstance(restored[1], GroupResult)
    assert isinstance(restored.parent, GroupResult)
    assert restored.parent.parent.id == "first"


def test_a_restored_group_is_joined(app, nested):
    nested.save()
    for task_id in ("a", "b", "c"):
        app.backend.mark_as_done(task_id, task_id)
    assert app.GroupResult.restore("g").get(timeout=1) == ["a", ["b", "c"]]


def test_a_deleted_group_is_gone(app, nested):
    nested.save()
    nested.delete()
    assert app.GroupResult.restore("g") is None
    nested.delete()


def test_a_group_of_none(app):
    app.GroupResult("empty", []).save()
    assert app.GroupResult.restore("empty").get(timeout=1) == []


def test_a_group_that_was_never_saved(app):
    assert app.GroupResult.restore("nobody") is None


@pytest.mark.parametrize("serializer", ["json", "pickle", "msgpack", "yaml"])
def test_groups_in_every_serializer(make_app, kind, serializer):
    app = make_app(kind, result_serializer=serializer, result_accept_content=[serializer])
    if serializer == "yaml":
        # YAML's safe dump writes tuples as lists: a result's tuple is read all the same.
        pass
    group = app.GroupResult("g", [app.AsyncResult("a"), app.AsyncResult("b")])
    group.save()
    assert [each.id for each in app.GroupResult.restore("g")] == ["a", "b"]


def test_a_saved_group_has_celerys_key_and_payload(app):
    app.GroupResult("g", [app.AsyncResult("a")]).save()
    assert (
        app.backend.get("celery-taskset-meta-g")
        == b'{"result": [["g", null], [[["a", null], null]]]}'
    )


def test_saving_a_group_of_any_size_is_one_call(make_app, kind, tmp_path):
    url = new_url(kind, tmp_path)
    counter = counted(url)
    app = make_app(url=url)
    group = app.GroupResult("g", [app.AsyncResult(str(n)) for n in range(2500)])
    assert Feature.NONE in app.backend.store.features
    assert counter.spent(group.save) == 1
    assert counter.spent(lambda: app.GroupResult.restore("g")) == 1
    assert counter.spent(group.delete) == 1


def test_building_a_group_of_10000_does_no_io_and_starts_no_thread(make_app, kind, tmp_path):
    import threading

    url = new_url(kind, tmp_path)
    counter = counted(url)
    app = make_app(url=url)
    before = threading.active_count()
    assert app.backend.store
    assert counter.spent(lambda: _pending_group(app)) == 0
    assert threading.active_count() == before
    assert not app.backend._pending_results.weak


def _pending_group(app):
    group = app.GroupResult("g", [app.AsyncResult(str(n)) for n in range(10_000)])
    for each in group:
        app.backend.add_pending_result(each)
    group.then(lambda _: None)
    assert len(app.backend._pending_results.weak) == 10_000

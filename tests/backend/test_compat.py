"""The undocumented names that the backend uses exist in the Celery that is installed."""

import importlib
import inspect

import pytest
from celery import Celery

NAMES = {
    "celery._state": ["get_current_task"],
    "celery.app.task": ["Context"],
    "celery.app.backends": ["by_url"],
    "celery.app.utils": ["HIDDEN_SETTINGS", "Settings"],
    "celery.app.trace": ["build_tracer"],
    "celery.app.utils:Settings": ["_to_keys"],
    "celery.backends.base": ["BaseKeyValueStoreBackend", "_nulldict"],
    "celery.backends.base:BaseKeyValueStoreBackend": [
        "_call_task_errbacks",
        "_ensure_not_eager",
        "_get_result_meta",
        "_get_task_meta_for",
        "_set_with_state",
        "_store_result",
        "chord_error_from_stack",
        "decode_result",
        "encode",
        "encode_result",
        "get_key_for_chord",
        "get_key_for_group",
        "get_key_for_task",
        "mark_as_done",
        "mark_as_revoked",
        "meta_from_decoded",
    ],
    "celery.backends.redis:RedisBackend": ["_transport_options", "ensure"],
    "celery.canvas": ["_chord", "group", "maybe_signature"],
    "celery.exceptions": [
        "BackendGetMetaError",
        "BackendStoreError",
        "ChordError",
        "ImproperlyConfigured",
        "Reject",
        "SoftTimeLimitExceeded",
        "TimeoutError",
    ],
    "celery.signals": ["celeryd_init"],
    "celery.result:AsyncResult": ["_maybe_set_cache", "maybe_throw"],
    "celery.utils.functional": ["_regen"],
    "celery.utils.time": ["maybe_iso8601", "maybe_make_aware"],
    "vine": ["promise"],
    "vine.promises:promise": ["fun", "listeners"],
    "kombu.exceptions": ["DecodeError", "EncodeError"],
    "kombu.serialization": ["dumps", "loads", "prepare_accept_content", "registry"],
    "kombu.serialization:registry": ["_decoders", "_encoders"],
    "kombu.utils.json": ["JSONEncoder", "dumps", "loads", "object_hook"],
}


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in NAMES.items() for name in names]
)
def test_a_name_that_is_used_exists(owner, name):
    module, _, cls = owner.partition(":")
    thing = importlib.import_module(module)
    assert hasattr(getattr(thing, cls) if cls else thing, name)


def test_every_name_that_compat_imports_is_in_the_list():
    """A new private name in the one place for them must be added to the list."""
    from kvbackends.backend import compat

    listed = {name for names in NAMES.values() for name in names}
    imported = {
        value.__name__
        for value in vars(compat).values()
        if isinstance(value, type) or inspect.isfunction(value)
        if value.__module__.partition(".")[0] in {"celery", "kombu"}
    } - {"BaseKeyValueStoreBackend"}
    assert imported <= listed


def test_celery_compresses_as_compat_expects():
    """Both names came with Celery 5.7."""
    from celery.backends import base

    from kvbackends.backend.compat import COMPRESSED, compress_payload

    assert (COMPRESSED is None) is not hasattr(base, "compress_payload")
    if COMPRESSED is not None:
        assert compress_payload(b"v", "gzip").startswith(COMPRESSED + b"application/x-gzip\0")


def test_celery_publishes_from_callbacks_as_compat_expects(memory_app):
    """With `_retry_publish` a message is sent by it; Celery 5.6 has none, and sends at once."""
    from kvbackends.backend.compat import publish

    sent = []
    publish(memory_app, sent.append, 1)
    assert sent == [1]


def test_a_request_made_of_a_signature_has_what_the_hooks_read(memory_app):
    from kvbackends.backend.compat import request_of_signature

    signature = (
        memory_app.tasks["add"]
        .s(1)
        .set(task_id="t", group_id="g", group_index=4, chord={"task": "x"})
    )
    request = request_of_signature(signature)
    assert (request.id, request.group, request.group_index) == ("t", "g", 4)
    assert request.chord == {"task": "x"}
    assert request.children == []


def test_the_requests_attributes_that_the_hooks_read_have_defaults():
    from kvbackends.backend.compat import Context

    request = Context()
    assert (request.id, request.chord, request.group, request.chain) == (None, None, None, None)
    assert (request.errbacks, request.delivery_info, request.group_index) == (None, None, None)
    assert not request.ignore_result


def test_pending_registry_has_its_two_parts(memory_app):
    registry = memory_app.backend._pending_results
    assert registry.weak is not None
    assert registry.concrete is not None
    assert memory_app.backend._pending_messages is not None
    assert memory_app.backend._cache is not None


def test_an_app_tells_whether_this_process_is_its_worker():
    assert Celery(set_as_current=False).use_fast_trace_task is False

"""The module that ``celery -A tests.e2e.app worker`` loads; the environment says what is in it."""

import json
import os
import time
from pathlib import Path

_shift = float(os.environ.get("KVBACKENDS_E2E_CLOCK", "0"))
if _shift:
    _real = time.time
    time.time = lambda: _real() + _shift

from celery import signals  # noqa: E402 - after the clock was set wrong

import kvbackends  # noqa: E402
from kvbackends.layers.only_five import OnlyFive  # noqa: E402
from tests.e2e import diary, small, traps  # noqa: E402
from tests.e2e.tasks import make_app  # noqa: E402

_only_five = [OnlyFive] if os.environ.get("KVBACKENDS_E2E_ONLY_FIVE") else []
kvbackends.register(traps.Layers(traps.Trapped, *_only_five))
kvbackends.register(small)
app = make_app(**json.loads(os.environ["KVBACKENDS_E2E_APP"]))


@signals.worker_ready.connect
def ready(**_):
    Path(os.environ["KVBACKENDS_E2E_READY"]).touch()


@signals.after_task_publish.connect
def published(sender=None, headers=None, **_):
    if sender in {"e2e.body", "e2e.total"}:
        diary.write("published", id=headers["id"])


@signals.task_prerun.connect
def disarm(**_):
    traps.arm(None)

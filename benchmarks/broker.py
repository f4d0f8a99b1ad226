"""Celery's filesystem broker, looked at every 2 ms, so that the broker does not hide the backend.

kombu creates a message's file and then fills it; who looks that often finds empty files and fails.
Here the file appears when it is complete.
"""

import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

URL = "benchmarks-files://"
TRANSPORT_ALIASES[URL.removesuffix("://")] = "benchmarks.broker:Transport"


class Channel(filesystem.Channel):
    """Writes a message under another name first."""

    def _put(  # type: ignore[override]  # kombu does not agree with itself
        self, queue: str, payload: Any, **_: Any
    ) -> None:
        name = f"{time.monotonic_ns() // 1_000_000}_{uuid.uuid4()}.{queue}.msg"
        path = Path(self.data_folder_out, name)
        unfinished = path.with_suffix(".new")
        unfinished.write_text(dumps(payload))
        unfinished.replace(path)


class Transport(filesystem.Transport):
    """With that channel."""

    Channel = Channel
    polling_interval = 0.002

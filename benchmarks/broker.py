"""Celery's filesystem broker, polled every 2 ms, so that its delay does not hide the backend's.

kombu creates the file of a message before it writes it.  A worker that polls so often would find
empty files and fail.  Here the file appears when it is complete.
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
    """Writes a message to a file of another name, and renames it."""

    def _put(  # type: ignore[override]  # kombu's own signatures differ
        self, queue: str, payload: Any, **_: Any
    ) -> None:
        name = f"{time.monotonic_ns() // 1_000_000}_{uuid.uuid4()}.{queue}.msg"
        path = Path(self.data_folder_out, name)
        unfinished = path.with_suffix(".new")
        unfinished.write_text(dumps(payload))
        unfinished.replace(path)


class Transport(filesystem.Transport):
    """kombu's filesystem transport with this channel."""

    Channel = Channel
    polling_interval = 0.002

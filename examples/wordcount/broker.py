"""The options that each broker needs, and a correction of kombu's filesystem broker."""

import time
import uuid
from pathlib import Path
from typing import Any

from kombu import transport
from kombu.transport import filesystem
from kombu.utils.json import dumps

POLL = 0.02
"""Seconds between two reads of an empty folder."""
VISIBILITY_TIMEOUT = 5
"""Seconds after which a message that was not acknowledged is redelivered on Redis."""


class Channel(filesystem.Channel):
    """Writes a message to a draft file and renames it, so that workers only read complete messages.

    kombu 5.7 creates the file before it serializes the message; a worker that reads the folder in
    between takes an empty file, and the message is lost.
    """

    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]
        name = f"{time.monotonic_ns()}_{uuid.uuid4()}.{queue}"
        draft = Path(self.data_folder_out, f"{name}.draft")
        draft.write_text(dumps(payload))
        draft.rename(draft.with_suffix(".msg"))


class Transport(filesystem.Transport):
    """kombu's filesystem transport with this channel."""

    Channel = Channel


transport.TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"


def redelivers(url: str) -> bool:
    """Return whether the broker redelivers the messages of a dead worker."""
    return not url.startswith("filesystem:")


def redelivery_pause(url: str) -> float:
    """Return the seconds to wait before a dead worker is replaced.

    On Redis a worker takes over unacknowledged messages when it starts, and then every 100 s.
    """
    return VISIBILITY_TIMEOUT + 1 if _is_redis(url) else 0


def _is_redis(url: str) -> bool:
    return url.startswith(("redis", "sentinel"))


def shown(connection: Any) -> str:
    """Return the broker's address without its password."""
    return connection.as_uri() if redelivers(connection.as_uri()) else "files in a folder"


def options(url: str, folder: Path) -> dict[str, Any]:
    """Return ``broker_transport_options`` for this broker, and create the folders that it needs."""
    if _is_redis(url):
        return {"visibility_timeout": VISIBILITY_TIMEOUT}
    if redelivers(url):
        return {"confirm_publish": True}  # without it, a dying process may lose a message
    messages, processed, control = (folder / name for name in ("messages", "done", "control"))
    for each in (messages, processed, control):
        each.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        # On the same file system, unlike kombu's default, /tmp.
        "processed_folder": str(processed),
        "store_processed": True,
        "control_folder": str(control),
        "polling_interval": POLL,
    }

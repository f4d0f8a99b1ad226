"""Brokers: what each needs to be told, and a mended version of the one that is only files."""

import time
import uuid
from pathlib import Path
from typing import Any

from kombu import transport
from kombu.transport import filesystem
from kombu.utils.json import dumps

POLL = 0.02
"""Seconds between two looks into an empty folder."""
VISIBILITY_TIMEOUT = 5
"""Seconds after which Redis gives a message that nobody has acknowledged to another worker."""


class Channel(filesystem.Channel):
    """A reader never sees a message that is not yet written.

    kombu 5.7 creates the file first and serializes the message then; a worker that looks in
    between takes an empty file, and the message is lost.
    """

    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]
        name = f"{time.monotonic_ns()}_{uuid.uuid4()}.{queue}"
        draft = Path(self.data_folder_out, f"{name}.draft")
        draft.write_text(dumps(payload))
        draft.rename(draft.with_suffix(".msg"))


class Transport(filesystem.Transport):
    """kombu's, with this channel."""

    Channel = Channel


transport.TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"


def redelivers(url: str) -> bool:
    """Whether the broker gives the messages of a whole dead worker to another one."""
    return not url.startswith("filesystem:")


def redelivery_pause(url: str) -> float:
    """Seconds to wait before another worker is started.

    On Redis a starting worker looks for messages that were left; the next look is 100 s later.
    """
    return VISIBILITY_TIMEOUT + 1 if _is_redis(url) else 0


def _is_redis(url: str) -> bool:
    return url.startswith(("redis", "sentinel"))


def shown(connection: Any) -> str:
    """The broker's address, without its password."""
    return connection.as_uri() if redelivers(connection.as_uri()) else "files in a folder"


def options(url: str, folder: Path) -> dict[str, Any]:
    """``broker_transport_options`` for this broker; makes the folders that it needs."""
    if _is_redis(url):
        return {"visibility_timeout": VISIBILITY_TIMEOUT}
    if redelivers(url):
        return {"confirm_publish": True}  # or a message of a dying process may be lost on its way
    messages, processed, control = (folder / name for name in ("messages", "done", "control"))
    for each in (messages, processed, control):
        each.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        # Moved within one file system, and not to /tmp, kombu's default.
        "processed_folder": str(processed),
        "store_processed": True,
        "control_folder": str(control),
        "polling_interval": POLL,
    }

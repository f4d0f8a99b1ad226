"""What happened, written by all processes of a test into its folder, and read by the test."""

import json
import os
import time
from pathlib import Path
from typing import Any

FOLDER = "KVBACKENDS_E2E_FOLDER"


def folder() -> Path:
    """Where this test's processes meet."""
    return Path(os.environ[FOLDER])


def write(event: str, **what: Any) -> None:
    """Add a line; lines of many processes do not mix."""
    line = json.dumps({"event": event, "pid": os.getpid(), **what}, default=repr) + "\n"
    with (folder() / "diary").open("ab", buffering=0) as diary:
        diary.write(line.encode())


def read(where: Path, event: str, **what: Any) -> list[dict[str, Any]]:
    """The lines of an event, oldest first; without the last one while it is being written."""
    diary = where / "diary"
    lines = diary.read_text().split("\n")[:-1] if diary.exists() else []
    wanted = {"event": event, **what}
    return [each for each in map(json.loads, lines) if wanted.items() <= each.items()]


def first(*names: str) -> bool:
    """True for the first process that asks."""
    try:
        os.close(os.open(folder() / "-".join(names), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def exists(*names: str) -> bool:
    """True after somebody was told that he is the first."""
    return (folder() / "-".join(names)).exists()


def wait_for(name: str) -> None:
    """Until the test has made the file."""
    while not (folder() / name).exists():
        time.sleep(0.01)

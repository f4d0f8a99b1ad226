"""The subscription of stores that cannot send notifications."""

from collections.abc import Collection

from kvbackends.contract.waking import Doorbell


class Polling:
    """Reports no changes: after each timeout the caller reads all its keys again."""

    def __init__(self) -> None:
        self._bell = Doorbell()

    def watch(self, keys: Collection[str]) -> None:
        """Do nothing: the caller reads its keys anyway."""

    def unwatch(self, keys: Collection[str]) -> None:
        """Do nothing."""

    def wait(self, timeout: float) -> Collection[str] | None:
        """Return None ("any key may have changed") after `timeout` seconds, () when woken."""
        return () if self._bell.wait(timeout) else None

    def wake(self) -> None:
        """End the current or next `wait`; callable from any thread."""
        self._bell.ring()

    def close(self) -> None:
        """Close the doorbell."""
        self._bell.close()

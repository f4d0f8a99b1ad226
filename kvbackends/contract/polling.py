"""The subscription of a store that cannot push: it never knows, so the owner looks at all."""

from collections.abc import Collection

from kvbackends.contract.process import Doorbell


class Polling:
    """Waits on a doorbell.  How often to look is the owner's decision, made by its timeouts."""

    def __init__(self) -> None:
        self._bell = Doorbell()

    def watch(self, keys: Collection[str]) -> None:
        """Nothing to prepare."""

    def unwatch(self, keys: Collection[str]) -> None:
        """Nothing was prepared."""

    def wait(self, timeout: float) -> Collection[str] | None:
        """None after `timeout` seconds: any key may have changed; empty when woken."""
        return () if self._bell.wait(timeout) else None

    def wake(self) -> None:
        """End a `wait` from any thread."""
        self._bell.ring()

    def close(self) -> None:
        """Free the doorbell."""
        self._bell.close()

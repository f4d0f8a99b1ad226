"""A store in memory whose notices bring values, as a server's messages do."""

from kvbackends.stores.memory import MemoryStore, MemorySubscription


class TellingSubscription(MemorySubscription):
    """Tells what is stored when it is asked."""

    def wait(self, timeout: float) -> dict[str, bytes | None]:
        return {key: self._space.rows[key].value for key in super().wait(timeout) or ()}


class TellingStore(MemoryStore):
    """In memory, with that subscription."""

    def subscribe(self) -> TellingSubscription:
        return TellingSubscription(self._space)

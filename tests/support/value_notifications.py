"""A store in memory whose notifications bring values, as those of a server do."""

from kvbackends.stores.memory import MemoryStore, MemorySubscription


class ValueSubscription(MemorySubscription):
    """Answers with the values that are stored at the time of the answer."""

    def wait(self, timeout: float) -> dict[str, bytes | None]:
        return {key: self._space.rows[key].value for key in super().wait(timeout) or ()}


class ValueNotifyingStore(MemoryStore):
    """A store in memory with that subscription."""

    def subscribe(self) -> ValueSubscription:
        return ValueSubscription(self._space)

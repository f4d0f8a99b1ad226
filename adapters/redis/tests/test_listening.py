"""A subscription over simulated listeners, without a server."""

from kvbackends_redis.listening.subscription import OneListener, PubSub


class Moving:
    """A listener whose node gives a slot away while a channel of another is confirmed."""

    def __init__(self):
        self.names, self.moves, self.expelled = set(), set(), set()

    def listen(self, names):
        self.names.update(names)

    def confirm(self):
        self.expelled, self.moves = self.moves & self.names, set()
        self.names -= self.expelled

    def take_told(self):
        return {}

    def take_expelled(self):
        expelled, self.expelled = self.expelled, set()
        return expelled

    def stay_alive(self):
        return 1.0

    def fileno(self):
        return 0

    def hear(self):
        pass

    def close(self):
        pass


def test_a_key_whose_slot_moves_during_another_watch_counts_as_changed():
    """A message may have been lost on the way, and nobody is about to read that key."""
    listener = Moving()
    subscription = PubSub(OneListener(listener))
    subscription.watch(["first"])
    listener.moves = {b"first", b"second"}
    subscription.watch(["second"])
    assert listener.names == {b"first", b"second"}
    assert subscription.wait(0) == {"first": None}
    subscription.close()

"""The statement that failed is found in pytest's text, however deep it stands."""

from kvbackends.cli.traces import Frame, where

IN_A_HELPER = """
    def all_bytes(self, store, key):
>           read = value_at(store, key)

kvbackends/testing/areas/methods.py:56:
_ _ _ _ _
    def value_at(store, key):
>       assert entry is not None, "the key is absent"
E       AssertionError: the key is absent

kvbackends/testing/tools.py:39: AssertionError
"""

IN_THE_STORE = """
>       _check(store, other, key, examples=10, steps=15)

kvbackends/testing/areas/model.py:18:
_ _ _ _ _
kvbackends/testing/stateful.py:63: in set
    self.stores[s].set(
        name, value)
             ^^^^^
kvbackends_redis/store.py:7: in set
    self._send()
>       raise OSError("x")
E       OSError: x

kvbackends_redis/wire.py:64: OSError
"""


def test_in_a_helper():
    """A helper's failed assertion is located at the check's own statement."""
    at = Frame("kvbackends/testing/areas/methods.py:56", "read = value_at(store, key)")
    assert where(IN_A_HELPER) == [at]


def test_in_the_store():
    """An error of the store is located at the check's statement and the store's."""
    at = Frame("kvbackends/testing/stateful.py:63", "self.stores[s].set(\n    name, value)")
    assert where(IN_THE_STORE) == [at, Frame("kvbackends_redis/wire.py:64", 'raise OSError("x")')]


def test_no_trace():
    """A check that ended otherwise has none."""
    assert where("Timeout") == []

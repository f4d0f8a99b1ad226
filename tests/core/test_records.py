"""Ranks, records, errors and the public surface."""

import itertools
import pickle
import subprocess
import sys
from types import ModuleType

import pytest

import kvbackends
from kvbackends import contract, errors
from kvbackends.contract import Offer, Part, Rank
from kvbackends.contract.control import Claim, Control


def test_ranks_are_an_order_with_a_top():
    """A rank yields to its equals and betters; success yields to nothing."""
    for old, new in itertools.product(Rank, Rank):
        assert old.yields_to(new) is (old <= new and old is not Rank.SUCCEEDED)


def test_every_error_has_one_base():
    """Whoever catches `KVBackendsError` catches all, and configuration apart from the store."""
    named = [each for each in vars(errors).values() if isinstance(each, type)]
    assert all(issubclass(each, kvbackends.KVBackendsError) for each in named)
    assert issubclass(kvbackends.UnknownScheme, kvbackends.ConfigurationError)
    assert not issubclass(kvbackends.ConfigurationError, kvbackends.StoreError)
    assert issubclass(kvbackends.ValueTooLarge, kvbackends.StoreError)


def test_an_application_completes_its_own_names_only():
    """The package shows what an application uses; adapters find the rest in `contract`."""
    public = {name for name in dir(kvbackends) if not name.startswith("_")}
    modules = {name for name in public if isinstance(getattr(kvbackends, name), ModuleType)}
    assert public - modules == {
        "BaseKeyValueStoreBackend", "ConfigurationError", "InvalidOption", "KVBackendsError",
        "NotSupported", "StoreError", "StoreUnavailable", "UnknownOption", "UnknownScheme",
        "ValueTooLarge", "aget", "open_backend", "open_store", "register", "unregister",
    }  # fmt: skip
    assert all(getattr(kvbackends, name).__doc__ for name in public)


@pytest.mark.parametrize("name", contract.__all__)
def test_what_adapters_import(name: str):
    """Every name of the contract is there."""
    assert getattr(contract, name) is not None


def test_unknown_name():
    """A name that is not public is an AttributeError, as in any module."""
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        kvbackends.nonsense  # noqa: B018


def test_core_imports_no_celery():
    """Opening a store imports neither Celery nor a driver."""
    code = (
        "import sys, kvbackends; kvbackends.open_store('memory://').ping();"
        "print([m for m in ('celery', 'kombu', 'redis', 'sqlite3') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_records_are_pickled():
    """Records cross processes."""
    for each in (Offer("k", b"v", Rank.FAILED, 1.0), Part(0, "m", "d")):
        assert pickle.loads(pickle.dumps(each)) == each


class TestControl:
    def test_round_trip(self):
        """The control record is the same after encoding."""
        claim = Claim(1, "m:\n", "d", 3)
        control = Control("r", 3, {"s": ["a", "b"]}, [0, 2], ["stray"], claim, done=True)
        assert Control.decode(control.encode()) == control
        assert Control.decode(None) == Control()
        assert Control().encode() == b"{}"

    def test_counts_never_shrink(self):
        """A count that is known already changes nothing, and the record stays the same object."""
        control = Control().counted(1, 3)
        assert control.counted(1, 2) is control
        assert control.counted(1, 3) is control
        assert control.counted(1, 4).pages == [0, 4]

    def test_without_size_nothing_is_full(self):
        """Parts alone never complete a barrier."""
        assert not Control().may_be_full(100)
        assert Control(size=0).may_be_full(0)
        assert Control(size=2).chosen([(0, "a")]) is None
        assert Control(size=1).chosen([(0, "a")]) == [(0, "a")]

"""Ranks, records, errors and the public names."""

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


def test_a_rank_yields_to_equal_and_better_ranks():
    """SUCCEEDED yields to no rank, the others to equal and better ranks."""
    for old, new in itertools.product(Rank, Rank):
        assert old.yields_to(new) is (old <= new and old is not Rank.SUCCEEDED)


def test_every_error_has_one_base():
    """`KVBackendsError` is the base of all errors; those of configuration and store differ."""
    named = [each for each in vars(errors).values() if isinstance(each, type)]
    assert all(issubclass(each, kvbackends.KVBackendsError) for each in named)
    assert issubclass(kvbackends.UnknownScheme, kvbackends.ConfigurationError)
    assert not issubclass(kvbackends.ConfigurationError, kvbackends.StoreError)
    assert issubclass(kvbackends.ValueTooLarge, kvbackends.StoreError)


def test_the_package_shows_only_the_names_of_applications():
    """The names for adapters are in `kvbackends.contract` only."""
    public = {name for name in dir(kvbackends) if not name.startswith("_")}
    modules = {name for name in public if isinstance(getattr(kvbackends, name), ModuleType)}
    assert public - modules == {
        "BaseKeyValueStoreBackend", "ConfigurationError", "InvalidOption", "KVBackendsError",
        "NotSupported", "StoreError", "StoreUnavailable", "UnknownOption", "UnknownScheme",
        "ValueTooLarge", "achanges", "aget", "open_backend", "open_store", "register", "unregister",
    }  # fmt: skip
    assert all(getattr(kvbackends, name).__doc__ for name in public)


@pytest.mark.parametrize("name", contract.__all__)
def test_the_contract_has_the_names_for_adapters(name: str):
    """Each name of `kvbackends.contract.__all__` exists."""
    assert getattr(contract, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    """The package raises `AttributeError` for names that it does not have."""
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        kvbackends.nonsense  # noqa: B018


def test_opening_a_store_imports_neither_celery_nor_a_driver():
    """Neither Celery nor a driver is in `sys.modules` afterwards."""
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
        """A count that is not larger returns the same object."""
        control = Control().counted(1, 3)
        assert control.counted(1, 2) is control
        assert control.counted(1, 3) is control
        assert control.counted(1, 4).pages == [0, 4]

    def test_a_barrier_without_a_size_is_never_full(self):
        """Parts do not complete a barrier whose size is unknown."""
        assert not Control().may_be_full(100)
        assert Control(size=0).may_be_full(0)
        assert Control(size=2).chosen([(0, "a")]) is None
        assert Control(size=1).chosen([(0, "a")]) == [(0, "a")]

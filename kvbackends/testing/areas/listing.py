"""Listing and sweeping."""

import pytest

from kvbackends import NotSupported
from kvbackends.contract import Feature, Rank, Store
from kvbackends.testing.check import Area, lacking, requires
from kvbackends.testing.delayed import Waits
from kvbackends.testing.tools import SHORT, listed, offer, rank_of


class Listing(Area):
    """Listing keys by prefix, and finding them by facets."""

    area = "listing"
    rule = "listing"

    @requires(Feature.LISTING)
    def lists_a_prefix(self, store: Store, key: str) -> Waits:
        """`scan` yields exactly the live keys with a prefix, which is compared literally."""
        ends = ("", "%", "_", "*", "\n", "\N{KEY}", "\U0010ffff")
        wanted = {f"{key}-a{end}" for end in ends}
        for each in (*wanted, f"{key}-b", f"{key}-A"):
            store.set(each, b"v")
        store.set(f"{key}-a-expired", b"v", SHORT)
        store.set(f"{key}-a-deleted", b"v")
        store.delete(f"{key}-a-deleted")
        yield SHORT
        assert sorted(store.scan(f"{key}-a")) == listed(store, wanted, f"{key}-a")

    @requires(Feature.LISTING)
    def wildcards_are_letters(self, store: Store, key: str) -> None:
        """Pattern characters in a prefix stand for themselves."""
        wildcards = ("%", "_", "*", "?", "[y]", ".", "\\y")
        for each in wildcards:
            store.set(f"{key}{each}x", b"v")
        store.set(f"{key}yx", b"v")
        for each in wildcards:
            prefix = f"{key}{each}"
            assert list(store.scan(prefix)) == listed(store, [f"{prefix}x"], prefix)

    @requires(Feature.LISTING)
    def offered_keys_are_listed(self, store: Store, key: str) -> None:
        """Ranked keys are listed under their names."""
        store.offer(offer(key, Rank.FAILED), rank_of)
        assert list(store.scan(key)) == listed(store, [key], key)

    @requires(Feature.FACETS)
    def finds_by_facets(self, store: Store, key: str) -> None:
        """`find` yields exactly the keys that were offered with all the requested facets."""
        here, there = {"worker": key, "state": "a"}, {"worker": key, "state": "b"}
        for i, facets in enumerate((here, there)):
            store.offer(offer(f"{key}-{i}", Rank.UNREADY)._replace(facets=facets), rank_of)
        assert sorted(store.find({"worker": key}) or ()) == listed(store, [f"{key}-0", f"{key}-1"])
        assert list(store.find(there) or ()) == listed(store, [f"{key}-1"])
        assert not list(store.find({"worker": f"{key}-other"}) or ())

    @lacking(Feature.FACETS)
    def nothing_is_found_where_it_is_lacking(self, store: Store) -> None:
        """A store without FACETS returns None from `find`, so that the caller lists and decodes."""
        assert store.find({"state": "a"}) is None

    @lacking(Feature.LISTING)
    def refused_where_it_is_lacking(self, store: Store, key: str) -> None:
        """A store without LISTING raises `NotSupported`, and never yields some of its keys."""
        with pytest.raises(NotSupported, match="cannot list"):
            list(store.scan(key))

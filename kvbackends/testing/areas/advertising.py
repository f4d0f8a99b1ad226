"""Declared features, limits and secrets."""

import dataclasses
from collections.abc import Iterator

import pytest

from kvbackends import ValueTooLarge
from kvbackends.contract import Feature, Rank, Secret, Store, StoreURL
from kvbackends.contract.deadline import within
from kvbackends.contract.options import fill
from kvbackends.contract.store import ACCELERABLE
from kvbackends.layers.guard import SHORTEST
from kvbackends.layers.layer import innermost
from kvbackends.layers.only_five import OnlyFive
from kvbackends.testing.check import Area, thorough
from kvbackends.testing.network import shown_of
from kvbackends.testing.redaction import around, logged
from kvbackends.testing.tools import TTL, offer, part, rank_of, value_at

PASSWORD = "kvt-s3cr3t-passw0rd"  # noqa: S105 - what must not show up
LONGEST = 5.0
"""Seconds that a store may take to tell its facts."""

TESTABLE = 32 << 20
"""Bytes: the largest limit that is checked."""

PIECE, BATCH = 1 << 20, 16 << 20
"""Bytes of a value, and of a batch of such values."""

SHOWN_BY = {
    "get_batch": Feature.NATIVE_JOIN,
    "offer": Feature.NATIVE_RANK,
    "barrier": Feature.NATIVE_CHORD,
    "subscribe": Feature.PUSH,
    "increment": Feature.INCREMENT,
    "scan": Feature.LISTING,
    "find": Feature.FACETS,
}


class Features(Area):
    """Declared features match what the store implements."""

    area = "features"
    rule = "features"

    def follow_from_overrides(self, store: Store) -> None:
        """Each derived flag is advertised exactly where the operation is native."""
        for name, flag in SHOWN_BY.items():
            assert bool(store.features & flag) is (name in store.native), name
        assert store.native <= set(ACCELERABLE)

    def only_promises_are_declared(self, store: Store) -> None:
        """`promises` holds only flags that cannot be derived from the class's overrides."""
        declared = Feature.AUTOEXPIRE | Feature.DURABLE | Feature.SHARED
        assert not innermost(store).promises & ~declared

    def masked(self, store: Store) -> None:
        """`OnlyFive` hides the native operations and keeps the promises, which do not change.

        Layers copy the promises when the store is opened.
        """
        masked, promised = OnlyFive(store), innermost(store).promises
        assert masked.native == frozenset()
        assert masked.features == masked.promises == store.promises
        assert promised == store.promises, "what it promises has changed since it was opened"


class Limits(Area):
    """Limits that the core enforces for the store."""

    area = "limits"
    rule = "limits"

    def are_sensible(self, store: Store) -> None:
        """Every declared limit is above zero, and a ttl's step at least zero."""
        limits = store.limits
        assert limits.key_bytes is None or limits.key_bytes >= SHORTEST, "no hashed key would fit"
        assert limits.value_bytes is None or limits.value_bytes > 0
        assert limits.batch_keys > 0
        assert limits.ttl_step >= 0

    def largest_batch(self, store: Store, key: str) -> None:
        """A batch reads and deletes as many keys as `Limits.batch_keys` declares."""
        keys = [f"{key}-{i}" for i in range(min(store.limits.batch_keys, 2_000))]
        for each in (keys[0], keys[-1]):
            store.set(each, b"v")
        assert store.get_batch(keys) == {keys[0]: b"v", keys[-1]: b"v"}
        store.delete_batch(keys)
        assert store.get_batch(keys) == {}


class LargeValues(Area):
    """Values as large as the limits allow."""

    area = "limits"
    rule = "limits"
    alone = True  # beside others they would ask too much of a small server

    def largest_value(self, store: Store, other: Store, key: str) -> None:
        """A value of the declared size is stored; one byte more is refused and changes nothing."""
        size = store.limits.value_bytes
        if size is None or size > TESTABLE:
            pytest.skip("the store declares no limit that a check could reach")
        largest = b"3" + b"x" * (size - 1)
        store.set(key, largest)
        assert value_at(other, key) == largest
        assert store.offer(offer(f"{key}-r", Rank.SUCCEEDED)._replace(value=largest), rank_of)
        barrier = store.barrier(f"{key}-b", TTL)
        barrier.open(b"")
        for write in (
            lambda: store.set(key, largest + b"x"),
            lambda: store.offer(offer(key, Rank.FAILED)._replace(value=largest + b"x"), rank_of),
            lambda: barrier.arrive(part(0), largest + b"x"),
        ):
            with pytest.raises(ValueTooLarge):
                write()
        assert value_at(other, key) == largest

    @thorough
    def large_value(self, store: Store, other: Store, key: str) -> None:
        """Without a small size limit, a value of eight megabytes is stored unchanged."""
        if (store.limits.value_bytes or TESTABLE + 1) <= TESTABLE:
            pytest.skip("the limit itself is checked")
        large = bytes(range(256)) * (8 << 12)
        store.set(key, large)
        assert value_at(other, key) == large
        store.delete(key)

    @thorough
    def large_batch(self, store: Store, key: str) -> None:
        """A batch may have 16 MiB of values, or as many as its number of keys allows."""
        size = min(store.limits.value_bytes or PIECE, PIECE)
        count = min(BATCH // size, store.limits.batch_keys)
        values = {f"{key}-{n}": bytes([n % 256]) * size for n in range(count)}
        for each, value in values.items():
            store.set(each, value, TTL)
        found = store.get_batch(list(values))
        assert found.keys() == values.keys()
        assert all(found[each] == value for each, value in values.items())
        store.delete_batch(list(values))


class Secrets(Area):
    """Passwords never appear in texts."""

    area = "secrets"
    rule = "secrets"

    def repr_shows_none(self, store: Store, store_url: str) -> None:
        """No text of a store shows its URL's password: `repr`, facts, errors and log lines.

        Errors are those at its opening, and those of a wrong password.
        """
        url = dataclasses.replace(
            StoreURL.parse(store_url),
            username="user",
            password=Secret(PASSWORD),
            raw=Secret(store_url.replace("://", f"://user:{PASSWORD}@", 1)),
        )
        with logged() as lines:
            shown = "\n".join([*_texts(type(innermost(store)), url), *lines])
        found = around(shown, PASSWORD) if PASSWORD in shown else ""
        assert found == "", "a secret is shown"

    def own_url(self, store: Store, store_url: str) -> None:
        """The password of this run's URL appears in no text of the store, nor in its facts."""
        password = StoreURL.parse(store_url).password
        if password is None:
            pytest.skip("this URL has no password")
        for each in (store, innermost(store)):
            assert password.reveal() not in f"{each!r} {each!s} {[*each.about()]}"


def _texts(kind: type[Store], url: StoreURL) -> Iterator[str]:
    """What can be seen of a store that is opened at the URL, and asked for its facts."""
    opened = None
    try:
        opened = kind.from_url(url, fill(kind.options_type, url.query, {}))
        yield f"{opened!r} {opened}"
        yield f"{within(LONGEST, lambda: [*opened.about()])}"
        within(LONGEST, opened.ping)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        yield shown_of(error)
    finally:
        if opened is not None:
            opened.close()

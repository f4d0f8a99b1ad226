"""Keys and values that do not come back as they went in."""

from kvbackends.contract import Entry
from tests.broken_stores.reference import ReferenceStore
from tests.broken_stores.registry import caught_by


class OtherKeys(ReferenceStore):
    """Correct, if `held` is."""

    def held(self, key: str) -> str:
        return key

    def get(self, key: str) -> Entry | None:
        return super().get(self.held(key))

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        super().set(self.held(key), value, ttl)

    def delete(self, key: str) -> None:
        super().delete(self.held(key))


@caught_by("methods.odd_keys")
class KeyTruncated(OtherKeys):
    """A key is cut at 250 bytes, so that two long ones become one (a VARCHAR column)."""

    def held(self, key: str) -> str:
        return key.encode()[:250].decode(errors="ignore")


@caught_by("methods.odd_keys")
class KeyStripped(OtherKeys):
    """White space at the ends of a key is lost (a CHAR column, a header's value)."""

    def held(self, key: str) -> str:
        return key.strip()


@caught_by("methods.keys_are_case_sensitive")
class CaseFolded(OtherKeys):
    """Keys that differ in case only are one key (MySQL's default collation, a file on a Mac)."""

    def held(self, key: str) -> str:
        return key.casefold()


@caught_by("methods.all_bytes")
class DecodedValues(ReferenceStore):
    """Values pass through text, and bytes that are no UTF-8 are replaced."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        super().set(key, value.decode(errors="replace").encode(), ttl)


@caught_by("methods.empty_value")
class EmptyIsAbsent(ReferenceStore):
    """``if not value`` takes an empty value for an absent one."""

    def get(self, key: str) -> Entry | None:
        entry = super().get(key)
        return entry if entry and entry.value else None


@caught_by("methods.delete")
class DeleteAbsent(ReferenceStore):
    """Deleting an absent key raises the driver's "not found" (Elasticsearch's 404)."""

    def delete(self, key: str) -> None:
        with self.world() as world:
            del world.rows[key]


@caught_by("methods.large_value")
class ValueTruncated(ReferenceStore):
    """A value is cut at 65,535 bytes without a word (a BLOB column of MySQL, not strict)."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        super().set(key, value[:65_535], ttl)


@caught_by("methods.bare_keys")
class NoEmptyKey(ReferenceStore):
    """The empty key is refused by the server (an object's id has at least one letter)."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        if not key:
            raise ValueError("an id is required")
        super().set(key, value, ttl)

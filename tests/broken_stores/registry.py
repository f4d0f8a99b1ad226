"""The list of broken stores: each names the check that has to catch it."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

from kvbackends.contract import Adapter, Store, hookimpl
from tests.broken_stores.network import NetworkStore, address
from tests.broken_stores.reference import (
    AloneStore,
    FileStore,
    LimitedStore,
    ReferenceStore,
    WireStore,
)

AnyStore = TypeVar("AnyStore", bound=type[ReferenceStore] | type[NetworkStore])

PLAINEST = "reference"
"""The scheme of the correct store that most of the others are broken out of."""
CORRECT: dict[str, type[ReferenceStore] | type[NetworkStore]] = {
    PLAINEST: ReferenceStore,
    "reference-alone": AloneStore,
    "reference-file": FileStore,
    "reference-limited": LimitedStore,
    "reference-network": NetworkStore,
    "reference-wire": WireStore,
}


class Broken(NamedTuple):
    scheme: str
    store: type[Store]
    check: str
    """The check of the suite that has to fail."""
    slow: bool = False
    """True if the check takes long: it is tried by `make test-all` only."""

    @property
    def correct(self) -> str:
        """The scheme of the store that it is a subclass of, on which the same check passes."""
        schemes = {store: scheme for scheme, store in CORRECT.items()}
        return next(schemes[base] for base in self.store.__mro__ if base in schemes)

    @property
    def defect(self) -> str:
        return " ".join((self.store.__doc__ or "").split())


BROKEN: list[Broken] = []


def caught_by(check: str, *, slow: bool = False) -> Callable[[AnyStore], AnyStore]:
    """Put a store on the list; its scheme is its name: ``LostUpdate`` is ``broken-lost-update``."""

    def listed(store: AnyStore) -> AnyStore:
        words = re.findall("[A-Z][a-z0-9]*", store.__name__)
        BROKEN.append(Broken("-".join(["broken", *words]).lower(), store, check, slow))
        return store

    return listed


def url(scheme: str, folder: Path) -> str:
    """Where a store of this scheme keeps its keys: in a file in the folder, or under its name."""
    if issubclass(_stores().get(scheme, Store), NetworkStore):
        return f"{scheme}://{address()}/{scheme}"
    return f"{scheme}://{folder}/{scheme}"


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """The correct stores and the broken ones."""
    for scheme, store in _stores().items():
        yield Adapter(
            schemes=(scheme,), store=store, summary="for tests", example=f"{scheme}:///tmp/x"
        )


def _stores() -> dict[str, type[Store]]:
    return {**CORRECT, **{each.scheme: each.store for each in BROKEN}}

"""Chords in Celery's own books: those that clients and workers without kvbackends begin and end.

While a fleet changes over, header tasks of such chords run on workers of kvbackends, too.  Their
parts are returned to the books in which the chord was begun, through Celery's own class.
"""

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from kvbackends.backend.celerys import Celerys
from kvbackends.backend.chords import announced
from kvbackends.backend.delays import HEADER
from kvbackends.backend.expired import Expired
from kvbackends.backend.sending import Sending
from kvbackends.contract.process import PerProcess
from kvbackends.contract.store import Store
from kvbackends.errors import InvalidOption, StoreUnavailable
from kvbackends.layers.codec import Codec
from kvbackends.layers.layer import outside_in


class _Opened(NamedTuple):
    backend: Any
    one_at_a_time: AbstractContextManager[Any]


class Books:
    """The books of chords that Celery's own backend keeps.

    Args:
        backend: The backend that fails bodies and stores results.
        place: Where the books are; None: there are none beside the store.
        where: The store's address, for messages.
        opens: Whether this backend begins its own chords there, too (``chords=celery``).

    Raises `InvalidOption` if `opens` cannot be.
    """

    def __init__(self, backend: Any, place: Celerys | None, where: str, *, opens: bool) -> None:
        self._backend = backend
        self._place: Any = place
        self.opens = opens
        self.lacking = _lacking(place, backend.store, where)
        """Why parts cannot be returned; empty if they can."""
        if opens and self.lacking:
            raise InvalidOption(f"option 'chords': celery cannot be, because {self.lacking}")
        self._opened = PerProcess(self._open)
        self._sending = Sending()
        self._expired = Expired(backend, str(place))

    def _open(self) -> _Opened:
        celerys = self._place.open()
        # Our error path tells the chord around a failed one, too; Celery's leaves it waiting.
        celerys.chord_error_from_stack = self._backend.chord_error_from_stack
        counts = getattr(celerys, "implements_incr", False)  # with a client for one thread
        return _Opened(celerys, threading.RLock() if counts else nullcontext())

    # -- beginning ------------------------------------------------------------------------------

    def begin(self, header: tuple[Any, ...], body: Any, options: dict[str, Any]) -> None:
        """Begin a chord, before any header task is sent, as Celery's own class does."""
        headers = body.options.get("headers")
        if headers and HEADER in headers:  # of a run of ours, or of the chord around it
            body.options["headers"] = {k: v for k, v in headers.items() if k != HEADER}
        celerys, alone = self._opened()
        with alone:
            celerys.apply_chord(header, body, **options)
        self._sending.begin(header[0], body)

    def expect(self, group_id: str, size: int) -> bool:
        """Set the size of a header; False if this thread has not begun the chord here."""
        if self._sending.end(group_id) is None:
            return False
        celerys, alone = self._opened()
        with alone:
            celerys.set_chord_size(group_id, size)
        return True

    # -- header tasks ---------------------------------------------------------------------------

    def has(self, request: Any) -> bool:
        """True if the request's chord was begun by Celery's own backend, and these are its books.

        Only the message is read.
        """
        return not self.lacking and announced(request.chord) is None

    def expect_more(self, group_id: str, result: Any) -> None:
        """Expect one part more; called by a header task before it returns."""
        celerys, alone = self._opened()
        with alone:
            celerys.add_to_chord(group_id, result)

    def part_returns(self, request: Any, state: str, result: Any) -> None:
        """Return a part.  Nothing happens where ``celery.chord_unlock`` reads the results instead.

        A part that returns twice counts once where it does so with Celery's own backend.  Raises
        `StoreUnavailable`.
        """
        celerys, alone = self._opened()
        call, errors = celerys.on_chord_part_return, getattr(celerys, "connection_errors", ())
        try:
            with alone:
                if errors:
                    celerys.ensure(call, (request, state, result))
                    self._expired.note(celerys, request)
                else:
                    call(request, state, result)
        except errors as error:
            raise StoreUnavailable(
                f"a part could not be returned to the chord in Celery's books at {self._place}: "
                f"{self._place.redacted(str(error))}"
            ) from error


def _lacking(place: Celerys | None, store: Store, where: str) -> str:
    if place is None:
        return (
            f"Celery has no backend of its own that keeps chords at {where}: name the backend of "
            "the older workers in the option `fallback`"
        )
    for each in outside_in(store):
        if isinstance(each, Codec):
            return f"Celery's books would have the values that {type(each).__name__} encodes"
    return ""

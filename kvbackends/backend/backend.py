"""The backend that Celery opens for ``result_backend = "kv+…"``."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from celery.exceptions import ImproperlyConfigured

from kvbackends.backend import hidden
from kvbackends.backend.books import Books
from kvbackends.backend.celerys import named, with_chords
from kvbackends.backend.chords import Chords
from kvbackends.backend.compat import bare_name, when_working
from kvbackends.backend.ends import Ends
from kvbackends.backend.fallback import Fallback
from kvbackends.backend.places import Place
from kvbackends.backend.ranks import Ranks
from kvbackends.backend.recovery import chord_to_recover
from kvbackends.backend.results import text
from kvbackends.backend.times import Times
from kvbackends.backend.waits import Waits
from kvbackends.contract.derived import get_many
from kvbackends.contract.records import Feature
from kvbackends.errors import ConfigurationError
from kvbackends.layers.layer import innermost
from kvbackends.layers.retry import at_most, give
from kvbackends.layers.telemetry import telemetry_of
from kvbackends.plugins.opening import core_options, open_store, parsed

SWEEP_BATCH = 1000


class BaseKeyValueStoreBackend(Ends, Waits):
    """Celery's key-value backend over any `Store`, with every feature on every store."""

    supports_native_join = True
    supports_result_compression = True
    supports_failure_expires = True
    # Celery would rebind `apply_chord` to its counter chord; `incr` works all the same.
    implements_incr = False
    is_async = True

    def __init__(self, app: Any, url: str, expires: Any = None, **kwargs: Any) -> None:
        self.store = open_store(url, app.conf)
        self.telemetry = telemetry_of(self.store)
        place = parsed(url)
        features = self.store.features
        self.supports_autoexpire = Feature.AUTOEXPIRE in features
        self.persistent = Feature.DURABLE in features
        self.has_facets = Feature.FACETS in features
        super().__init__(app, expires=expires, url=url, **kwargs)
        self.thread_safe = True
        self.task_prefix = text(self.task_keyprefix)
        self.chord_prefix = text(self.chord_keyprefix)
        self.extended = bool(app.conf.result_extended)
        self._redacted = str(place)
        self._options = core_options(place, app.conf)
        self.largest = self._options.largest_unpacked
        self.times = Times(app.conf, self.expires, self._options.claim_lease)
        give(self.store, min(self._options.client_retry_timeout, self._options.retry_timeout))
        when_working(app, self._works)
        self.ranks = Ranks(self.decode)
        self.chords = Chords(self)
        url_of_old = hidden.whole(app, self._options.fallback or "")
        old = named(app, url_of_old, place) if url_of_old else None
        self.fallback = Fallback(app, old) if old else None
        self.books = Books(
            self,
            old or with_chords(app, place),
            self._redacted,
            opens=self._options.chords == "celery",
        )
        self._prepare_waits()
        hidden.hide(app, place, url)
        hidden.warn_of_shown(app, place)
        hidden.hide_fallback(app, url_of_old)
        self.place = Place(app, self.store, place)

    # -- Celery's key-value methods -------------------------------------------------------------

    def get(self, key: str | bytes) -> bytes | None:
        """The stored bytes, or None."""
        entry = self.store.get(text(key))
        return None if entry is None else entry.value

    def mget(self, keys: Iterable[str | bytes]) -> list[bytes | None]:
        """The stored bytes of each key, in the order of the keys; None for an absent one."""
        names = [text(key) for key in keys]
        found = dict(get_many(self.store, names))
        return [found.get(name) for name in names]

    def set(self, key: str | bytes, value: str | bytes) -> None:
        """Store for as long as results live."""
        self._set_with_state(key, value, "")

    def delete(self, key: str | bytes) -> None:
        """Remove; an absent key is fine."""
        self.store.delete(text(key))

    def incr(self, key: str | bytes) -> int:
        """Add one to the number at `key`."""
        return self.store.increment(text(key), 1, self.times.result)

    def expire(self, key: str | bytes, value: float | None) -> bool:
        """Let `key` live for `value` seconds from now; 0 or None: for ever."""
        return self.store.touch(text(key), value or None)

    def _set_with_state(self, key: str | bytes, value: str | bytes, state: str) -> None:
        data = value.encode() if isinstance(value, str) else bytes(value)
        self.store.set(text(key), data, self.times.of_state(state))

    def task_result_exists(self, task_id: str) -> bool:
        """True if a record of the task is stored, in whatever state."""
        return self.get(self.key_of(task_id)) is not None

    # -- what stands around it ------------------------------------------------------------------

    @property
    def client(self) -> Any:
        """The driver's client where the adapter has one, else the adapter's store."""
        store = innermost(self.store)
        return getattr(store, "client", store)

    def as_uri(self, include_password: bool = False) -> str:
        """The URL as in the settings; passwords, tokens and keys are hidden unless asked for."""
        return f"kv+{self.url if include_password else self._redacted}"

    def on_task_call(self, producer: Any, task_id: str) -> Mapping[str, Any]:
        """Celery's hook before it sends a task whose result it wants."""
        self.place.calls(task_id)
        return {}

    def cleanup(self) -> None:
        """Celery's daily cleanup: remove expired keys; or recover the chord of the message."""
        if group_id := chord_to_recover():
            self.chords.recover(group_id)
            return
        while self.store.sweep(SWEEP_BATCH) >= SWEEP_BATCH:
            pass

    def _ensure_retryable(
        self,
        func: Callable[..., Any],
        *args: Any,
        fallback_exc: Any = None,
        fallback_msg: Any = None,
        max_retries: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call `func`: the retries are the retry layer's; Celery only bounds them here."""
        if max_retries is None:
            return func(*args, **kwargs)
        with at_most(max_retries):
            return func(*args, **kwargs)

    def _works(self, **_: Any) -> None:
        """A worker has longer: what it gives up is lost."""
        give(self.store, self._options.retry_timeout)

    def __reduce__(
        self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        own = {"url": self.url, "expires": self.expires, "serializer": self.serializer}
        return super().__reduce__(args, {**own, **(kwargs or {})})


def open_backend(
    app: Any = None, url: str | None = None, **kwargs: Any
) -> BaseKeyValueStoreBackend:
    """The result backend of Celery's entry point ``kv``; `url` comes without ``kv+``.

    A wrong URL, option or plugin is Celery's `ImproperlyConfigured`, which says what to do.
    """
    url = url or bare_name(app)
    if "://" not in url:
        raise ImproperlyConfigured(
            "result_backend must name a store, for example "
            '"kv+sqlite:////var/lib/app/results.db" or "kv+redis://host:6379/0"'
        )
    try:
        return BaseKeyValueStoreBackend(app, url=hidden.whole(app, url), **kwargs)
    except ConfigurationError as error:
        message = str(error)
    url = None  # an error is often reported with the variables of its frames
    raise ImproperlyConfigured(message)

"""Every exception of kvbackends.  No message holds a password, token or key."""


class KVBackendsError(Exception):
    """Base of all."""


class ConfigurationError(KVBackendsError):
    """The URL, an option or a setting is wrong; retrying cannot help."""


class UnknownScheme(ConfigurationError):
    """No adapter for the scheme.  Says what is near, what is installed, or what to install."""


class UnknownOption(ConfigurationError):
    """An option that the adapter does not know.  Names it and the valid ones."""


class InvalidOption(ConfigurationError):
    """A known option with a wrong value.  Names the option and what was expected."""


class StoreError(KVBackendsError):
    """The store could not do it."""


class StoreUnavailable(StoreError):
    """The time for retries is spent; ``__cause__`` is the driver's last error."""


class ValueTooLarge(StoreError):
    """Above ``Limits.value_bytes``; raised before anything is sent, never retried."""


class NotSupported(StoreError):
    """An operation that cannot be derived (listing) and that this store lacks."""

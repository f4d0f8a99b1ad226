"""The exceptions of kvbackends.  No message contains a password, token or key."""


class KVBackendsError(Exception):
    """Base class of all exceptions of kvbackends."""


class ConfigurationError(KVBackendsError):
    """The URL, an option, a setting or a plugin is wrong; a retry cannot help."""


class UnknownScheme(ConfigurationError):
    """No adapter for the scheme is installed.  The message says how to install or spell it."""


class UnknownOption(ConfigurationError):
    """The adapter has no such option.  The message lists the valid ones."""


class InvalidOption(ConfigurationError):
    """An option has a wrong value.  The message names the option and what it expects."""


class StoreError(KVBackendsError):
    """A store cannot carry out an operation."""


class StoreUnavailable(StoreError):
    """The retries of an operation are used up; ``__cause__`` is the driver's last error."""


class UnknownHost(StoreUnavailable):
    """The store's host name does not exist; it was looked up again for a second."""


class ValueTooLarge(StoreError):
    """A value is larger than ``Limits.value_bytes``.  Raised before it is sent; not retried."""


class NotSupported(StoreError):
    """The store lacks an operation that cannot be derived from others, such as listing."""


class BrokerUnavailable(KVBackendsError):
    """The broker of the application does not answer; the message says what was sent."""

"""What an ``elasticsearch://`` URL says: hosts, index, credentials, TLS and times."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from elastic_transport import NodeConfig
from elastic_transport.client_utils import basic_auth_to_header

from kvbackends import ConfigurationError
from kvbackends.contract import Host, Options, Secret, StoreURL, option

INDEX = "celery"
PORT = 9200
"""As in Celery's own backend."""

_POSITIVE = msgspec.Meta(gt=0)
_NOT_NEGATIVE = msgspec.Meta(ge=0)


class ElasticsearchOptions(Options, frozen=True, kw_only=True):
    """Options of an ``elasticsearch://`` URL."""

    timeout: Annotated[
        float,
        _POSITIVE,
        option(
            "Seconds to connect, and seconds to wait for an answer.",
            setting="elasticsearch_timeout",
        ),
    ] = 10.0
    max_retries: Annotated[
        int,
        _NOT_NEGATIVE,
        option(
            "How often a read that failed is sent again at once, to the next host. Writes are "
            "never sent again by the client: the retry options of every URL decide that.",
            setting="elasticsearch_max_retries",
        ),
    ] = 0
    retry_on_timeout: Annotated[
        bool,
        option(
            "Send a read again also after a timeout, within max_retries.",
            setting="elasticsearch_retry_on_timeout",
        ),
    ] = False
    save_meta_as_text: Annotated[
        bool,
        option(
            "Store a result as text; 0: as an object with fields, as Celery's setting asks for.",
            setting="elasticsearch_save_meta_as_text",
        ),
    ] = True
    connections_per_node: Annotated[
        int, _POSITIVE, option("Most connections of a process to each host.")
    ] = 10
    number_of_shards: Annotated[
        int, _POSITIVE, option("Primary shards of the index, where this store makes it.")
    ] = 1
    use_ssl: Annotated[bool, option("Use TLS, as the scheme elasticsearch+https does.")] = False
    verify_certs: Annotated[bool, option("Verify the certificates of the hosts.")] = True
    ca_certs: Annotated[
        str | None, option("File of the certificate authorities that are trusted.")
    ] = None
    ssl_assert_fingerprint: Annotated[
        str | None,
        option("SHA-256 fingerprint of a certificate, which is trusted instead of an authority."),
    ] = None
    client_cert: Annotated[str | None, option("File of the client's own certificate.")] = None
    client_key: Annotated[str | None, option("File of that certificate's private key.")] = None
    api_key: Annotated[str | None, option("API key, encoded or as id:key.", secret=True)] = None
    bearer_auth: Annotated[
        str | None, option("Token of a service account or an identity provider.", secret=True)
    ] = None


def index_of(url: StoreURL) -> str:
    """The first part of the path; what follows was a document type once, and is ignored."""
    return url.path.strip("/").partition("/")[0] or INDEX


def nodes(url: StoreURL, options: ElasticsearchOptions) -> list[NodeConfig]:
    """One configuration for each host.  `ConfigurationError` for what contradicts itself."""
    tls = options.use_ssl or url.scheme.endswith("https")
    common: dict[str, Any] = {
        "scheme": "https" if tls else "http",
        "headers": _headers(url, options),
        "connections_per_node": options.connections_per_node,
        "request_timeout": options.timeout,
        **_tls(options, tls=tls),
    }
    return [
        NodeConfig(host=host.name, port=host.port or PORT, **common)
        for host in url.hosts or (Host("localhost"),)
    ]


def _tls(options: ElasticsearchOptions, *, tls: bool) -> dict[str, Any]:
    files = {
        name: given
        for name in ("ca_certs", "client_cert", "client_key", "ssl_assert_fingerprint")
        if (given := getattr(options, name)) is not None
    }
    if files and not tls:
        raise ConfigurationError(
            f"{', '.join(files)}: these are for TLS; write elasticsearch+https:// or add use_ssl=1"
        )
    return {**files, "verify_certs": options.verify_certs, "ssl_show_warn": False} if tls else {}


def _headers(url: StoreURL, options: ElasticsearchOptions) -> dict[str, str]:
    """Plain JSON is understood by every version of the server; no client's own media type is."""
    json = "application/json"
    headers = {"accept": json, "content-type": json, "user-agent": "kvbackends-elasticsearch"}
    credentials = list(_credentials(url, options))
    if len(credentials) > 1:
        raise ConfigurationError("give one of user and password, api_key and bearer_auth")
    return headers | ({"authorization": credentials[0]} if credentials else {})


def _credentials(url: StoreURL, options: ElasticsearchOptions) -> Iterator[str]:
    if url.username:
        password = (url.password or Secret()).reveal()
        yield basic_auth_to_header((url.username, password))
    if options.api_key:
        key = options.api_key
        yield f"ApiKey {b64encode(key.encode()).decode() if ':' in key else key}"
    if options.bearer_auth:
        yield f"Bearer {options.bearer_auth}"

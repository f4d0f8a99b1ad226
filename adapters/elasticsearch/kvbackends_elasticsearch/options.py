"""The options of the URLs, and the transport's arguments that they become."""

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from elastic_transport import NodeConfig
from elastic_transport.client_utils import basic_auth_to_header, parse_cloud_id

from kvbackends import ConfigurationError, InvalidOption
from kvbackends.contract import Host, Options, Secret, StoreURL, check_files, option

INDEX = "celery"
PORT = 9200
"""The default port and index, as in Celery's own backend."""

LONGEST_NAME = 255
_INDEX_NAME = re.compile(r"(?![-_+]|[.]{1,2}\Z)[^\\/*?\"<>|,#:\s]+")

_POSITIVE = msgspec.Meta(gt=0)
_NOT_NEGATIVE = msgspec.Meta(ge=0)


class ElasticsearchOptions(Options, frozen=True, kw_only=True):
    """Options of an ``elasticsearch://`` URL."""

    timeout: Annotated[
        float,
        _POSITIVE,
        option(
            "Seconds to wait for a connection, and for an answer.",
            setting="elasticsearch_timeout",
        ),
    ] = 10.0
    max_retries: Annotated[
        int,
        _NOT_NEGATIVE,
        option(
            "How often a failed read is sent at once to the next host. Writes are repeated only "
            "by the retry layer; see the options of every URL.",
            setting="elasticsearch_max_retries",
        ),
    ] = 0
    retry_on_timeout: Annotated[
        bool,
        option(
            "Apply max_retries also to reads that timed out.",
            setting="elasticsearch_retry_on_timeout",
        ),
    ] = False
    save_meta_as_text: Annotated[
        bool,
        option(
            "Store the result as text; with 0 as an object with fields, as Celery's setting does.",
            setting="elasticsearch_save_meta_as_text",
        ),
    ] = True
    connections_per_node: Annotated[
        int, _POSITIVE, option("Most connections of a process to each host.")
    ] = 10
    number_of_shards: Annotated[
        int, _POSITIVE, option("Primary shards of an index that the adapter creates.")
    ] = 1
    path_prefix: Annotated[
        str, option("Path before every request's own, for a server behind a proxy.")
    ] = ""
    http_compress: Annotated[bool, option("Compress requests and answers.")] = False
    cloud_id: Annotated[
        str | None, option("Cloud ID of an Elastic deployment, instead of hosts in the URL.")
    ] = None
    use_ssl: Annotated[bool, option("Use TLS, as with elasticsearch+https.")] = False
    verify_certs: Annotated[bool, option("Verify the hosts' certificates.")] = True
    ca_certs: Annotated[str | None, option("File of the certificate authorities to trust.")] = None
    ssl_assert_fingerprint: Annotated[
        str | None,
        option("SHA-256 fingerprint of a certificate to trust, instead of an authority."),
    ] = None
    client_cert: Annotated[str | None, option("File of the client's certificate.")] = None
    client_key: Annotated[str | None, option("File of the client's private key.")] = None
    api_key: Annotated[str | None, option("API key, encoded or as id:key.", secret=True)] = None
    bearer_token: Annotated[
        str | None, option("Token of a service account or an identity provider.", secret=True)
    ] = None
    bearer_auth: Annotated[
        str | None,
        option(
            "The driver's name of bearer_token, which `celery report` does not mask.", secret=True
        ),
    ] = None


def index_of(url: StoreURL) -> str:
    """The first part of the path; the second, a document type in Celery's URLs, is ignored.

    Raises `ConfigurationError` for a name that is no index's (the server's page "Create index"), or
    stands for several: the server would take that one for all that match.
    """
    name = url.path.strip("/").partition("/")[0] or INDEX
    if name != name.lower() or not _INDEX_NAME.fullmatch(name) or len(name.encode()) > LONGEST_NAME:
        raise ConfigurationError(
            f"the URL's path names the index {name!r}, but the name of one index is in lower case,"
            f' has at most {LONGEST_NAME} bytes and none of \\ / * ? " < > | , # : or blanks, and '
            "does not begin with - _ or +"
        )
    return name


def nodes(url: StoreURL, options: ElasticsearchOptions) -> list[NodeConfig]:
    """One configuration for each host.  Raises `ConfigurationError` for contradicting options."""
    tls = options.use_ssl or url.scheme.endswith("https") or options.cloud_id is not None
    common: dict[str, Any] = {
        "scheme": "https" if tls else "http",
        "headers": _headers(url, options),
        "connections_per_node": options.connections_per_node,
        "request_timeout": options.timeout,
        "path_prefix": options.path_prefix,
        "http_compress": options.http_compress,
        **_tls(options, tls=tls),
    }
    return [
        NodeConfig(host=host.name, port=host.port or PORT, **common)
        for host in _hosts(url, options)
    ]


def _hosts(url: StoreURL, options: ElasticsearchOptions) -> tuple[Host, ...]:
    if options.cloud_id is None:
        return url.hosts or (Host("localhost"),)
    if url.hosts:
        raise ConfigurationError(
            "give either hosts or cloud_id: this URL has both; write "
            "elasticsearch:///index?cloud_id=…"
        )
    try:
        address = parse_cloud_id(options.cloud_id).es_address
    except ValueError:
        address = None
    if address is None:
        raise InvalidOption("option 'cloud_id': copy it from the page of the deployment, name:text")
    return (Host(*address),)


def _tls(options: ElasticsearchOptions, *, tls: bool) -> dict[str, Any]:
    files = {
        name: given
        for name in ("ca_certs", "client_cert", "client_key", "ssl_assert_fingerprint")
        if (given := getattr(options, name)) is not None
    }
    if files and not tls:
        raise ConfigurationError(
            f"{', '.join(files)} only work with TLS; write elasticsearch+https:// or add use_ssl=1"
        )
    check_files({name: path for name, path in files.items() if "fingerprint" not in name})
    return {**files, "verify_certs": options.verify_certs, "ssl_show_warn": False} if tls else {}


def _headers(url: StoreURL, options: ElasticsearchOptions) -> dict[str, str]:
    """The headers of all requests.  Every version of the server accepts plain JSON."""
    json = "application/json"
    headers = {"accept": json, "content-type": json, "user-agent": "kvbackends-elasticsearch"}
    credentials = list(_credentials(url, options))
    if len(credentials) > 1:
        raise ConfigurationError(
            "give only one of user and password, api_key, and bearer_token: this URL has several"
        )
    return headers | ({"authorization": credentials[0]} if credentials else {})


def _credentials(url: StoreURL, options: ElasticsearchOptions) -> Iterator[str]:
    if url.username:
        password = (url.password or Secret()).reveal()
        yield basic_auth_to_header((url.username, password))
    if options.api_key:
        key = options.api_key
        yield f"ApiKey {b64encode(key.encode()).decode() if ':' in key else key}"
    for token in (options.bearer_token, options.bearer_auth):
        if token:
            yield f"Bearer {token}"

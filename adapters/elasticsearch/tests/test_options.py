"""URLs and Celery's settings, and the requests and errors that follow from them."""

import base64
import contextlib
import hashlib
import socket
import ssl

import pytest
from elastic_transport import NodeConfig
from kvbackends_elasticsearch import ElasticsearchOptions, kvbackends_adapters
from kvbackends_elasticsearch.errors import TimedOut, Unavailable
from kvbackends_elasticsearch.options import index_of, nodes

from kvbackends import ConfigurationError, StoreError, ValueTooLarge, open_store
from kvbackends.contract import StoreURL
from kvbackends.contract.options import fill
from tests.servers.process import eventually
from tests.support.liar import Liar
from tests.support.stalls import takes_less, took
from tests.support.threads import together


def configured(text, **settings) -> list[NodeConfig]:
    url = StoreURL.parse(text)
    return nodes(url, fill(ElasticsearchOptions, url.query, settings))


def test_celerys_own_url_names_host_index_and_a_document_type():
    url = StoreURL.parse("kv+elasticsearch://user:pw@search.example/results/backend")
    assert index_of(url) == "results"
    [node] = nodes(url, ElasticsearchOptions())
    assert (node.scheme, node.host, node.port) == ("http", "search.example", 9200)


@pytest.mark.parametrize(
    "name", ["Results", "res*", "a,b", "_all", "-a", "+a", "..", "a%20b", "<a-{now}>", "x" * 256]
)
def test_a_name_that_is_not_one_index_is_refused(name):
    """Capitals end as "not found", and a wildcard puts our mapping into every index that fits."""
    with pytest.raises(ConfigurationError, match="lower case"):
        open_store(f"elasticsearch://host/{name}", {})


def test_the_default_index_is_celerys():
    assert index_of(StoreURL.parse("elasticsearch://host")) == "celery"


def test_every_host_of_the_url_is_used():
    found = configured("elasticsearch://a:1,b,c:3/results")
    assert [(node.host, node.port) for node in found] == [("a", 1), ("b", 9200), ("c", 3)]


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("elasticsearch://a", "http"),
        ("elasticsearch+http://a", "http"),
        ("elasticsearch+https://a", "https"),
        ("elasticsearch://a?use_ssl=1", "https"),
        ("opensearch://a", "http"),
        ("opensearch+https://a", "https"),
    ],
)
def test_the_scheme_or_an_option_asks_for_tls(text, scheme):
    assert [node.scheme for node in configured(text)] == [scheme]


def test_tls_verifies_unless_told_otherwise(certificate):
    file = certificate[0]
    assert configured("elasticsearch+https://a")[0].verify_certs
    assert not configured("elasticsearch+https://a?verify_certs=0")[0].verify_certs
    pinned = configured(f"elasticsearch+https://a?ssl_assert_fingerprint=ab12&ca_certs={file}")
    assert (pinned[0].ssl_assert_fingerprint, pinned[0].ca_certs) == ("ab12", str(file))


def test_a_file_that_is_missing_is_told_at_once():
    """The driver would take it for a server that is away."""
    with pytest.raises(ConfigurationError, match=r"ca_certs.*'/no/such'"):
        configured("elasticsearch+https://a?ca_certs=/no/such")


def test_tls_options_without_tls_are_refused():
    with pytest.raises(ConfigurationError, match=r"ca_certs.*elasticsearch\+https"):
        configured("elasticsearch://a?ca_certs=/ca.pem")


def test_opensearch_is_a_scheme_of_its_own():
    assert {"opensearch", "opensearch+https"} < set(next(iter(kvbackends_adapters())).schemes)


def test_a_proxys_prefix_and_compression(recorder, open_one):
    """Every request begins with the prefix; what is sent and received may be compressed."""
    recorder.status = 404
    open_one(f"elasticsearch://{recorder.host}/x?path_prefix=search&http_compress=1").get("key")
    [(_, path, headers)] = recorder.asked
    assert path == "/search/x/_doc/key"
    assert headers["accept-encoding"] == "gzip"


def test_a_cloud_id_stands_for_the_host():
    """Always with TLS; beside hosts, or if it is none, it is refused."""
    cloud_id = "mine:" + base64.b64encode(b"eu.example:9243$cluster$kibana").decode()
    [node] = configured(f"elasticsearch:///results?cloud_id={cloud_id}")
    assert (node.scheme, node.host, node.port) == ("https", "cluster.eu.example", 9243)
    with pytest.raises(ConfigurationError, match="either hosts or cloud_id"):
        configured(f"elasticsearch://host?cloud_id={cloud_id}")
    for broken in ("mine", "mine:%25", "mine:" + base64.b64encode(b"eu.example").decode()):
        with pytest.raises(ConfigurationError, match="option 'cloud_id'"):
            configured(f"elasticsearch:///results?cloud_id={broken}")


def test_two_kinds_of_credentials_are_refused():
    with pytest.raises(ConfigurationError, match="give only one of") as raised:
        configured("elasticsearch://user:hidden@a?api_key=hidden")
    assert "hidden" not in str(raised.value)


def test_celerys_settings_are_read():
    settings = {
        "elasticsearch_timeout": 3,
        "elasticsearch_max_retries": 2,
        "elasticsearch_retry_on_timeout": True,
        "elasticsearch_save_meta_as_text": False,
    }
    options = fill(ElasticsearchOptions, {}, settings)
    assert (options.timeout, options.max_retries) == (3.0, 2)
    assert options.retry_on_timeout
    assert not options.save_meta_as_text
    assert configured("elasticsearch://a", **settings)[0].request_timeout == 3.0


ENCODED = base64.b64encode(b"id:secret").decode()


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("elasticsearch://us%2Fer:p%40ss@{}", f"Basic {base64.b64encode(b'us/er:p@ss').decode()}"),
        ("elasticsearch://{}?api_key=id:secret", f"ApiKey {ENCODED}"),
        (f"elasticsearch://{{}}?api_key={ENCODED.rstrip('=')}", f"ApiKey {ENCODED.rstrip('=')}"),
        ("elasticsearch://{}?bearer_token=secret", "Bearer secret"),
        ("elasticsearch://{}?bearer_auth=secret", "Bearer secret"),
    ],
)
def test_requests_carry_the_credentials(recorder, open_one, url, header):
    store = open_one(url.format(recorder.host))
    store.get("key")
    [(method, path, headers)] = recorder.asked
    assert (method, path) == ("GET", "/celery/_doc/key")
    assert headers["authorization"] == header
    assert headers["accept"] == "application/json"
    assert "secret" not in repr(store) + repr(vars(store))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_and_unavailable_servers_are_transient(recorder, open_one, status):
    recorder.status = status
    store = open_one(f"elasticsearch://{recorder.host}")
    for call in (lambda: store.get("k"), lambda: store.set("k", b"v"), lambda: store.delete("k")):
        with pytest.raises(Unavailable, match=str(status)):
            call()


@pytest.mark.parametrize("body", [b"", b'{"_sour', b"SSH-2.0"])
def test_an_answer_that_is_cut_is_transient(recorder, open_one, body):
    recorder.body = body
    store = open_one(f"elasticsearch://{recorder.host}")
    for call in (lambda: store.get("k"), lambda: store.get_batch(["k"])):
        with pytest.raises(Unavailable, match=f"{recorder.host} is cut or not JSON"):
            call()


def test_connections_that_a_firewall_forgot_cost_one_timeout(recorder, open_one):
    """The idle ones are closed when the first one fails."""
    recorder.body = b'{"_source": {"result": {}}}'
    with contextlib.closing(Liar(int(recorder.host.rpartition(":")[2]))) as liar:
        store = open_one(f"elasticsearch://127.0.0.1:{liar.port}?timeout=1", {})
        liar.delay = 0.1
        together([lambda: store.get("k")] * 8)
        liar.forget()
        assert took(lambda: store.get("k")) < 3
        assert eventually(lambda: liar.open_forgotten() == 0)


def test_an_answer_of_another_shape_is_not_retried(recorder, open_one):
    recorder.body = b'{"_source": 5}'
    with pytest.raises(StoreError, match=f"{recorder.host}: unexpected answer"):
        open_one(f"elasticsearch://{recorder.host}", {}).get("k")


@pytest.mark.parametrize("status", [400, 401, 403, 405, 413])
def test_refused_requests_are_not_retried(recorder, open_one, status):
    recorder.status = status
    recorder.body = b'{"error":{"type":"kind","reason":"quotes a secret"},"status":0}'
    store = open_one(f"elasticsearch://{recorder.host}", {})
    with pytest.raises(StoreError, match=f"{status} .kind") as raised:
        store.get("key")
    assert not isinstance(raised.value, Unavailable)
    assert isinstance(raised.value, ValueTooLarge) == (status == 413)
    assert "secret" not in str(raised.value)
    assert len(recorder.asked) == 1


@pytest.mark.parametrize(
    ("operation", "limit", "fits"),
    [(44_000_056, 53_687_091, False), (40_000_000, 53_687_091, True)],
)
def test_a_document_that_never_fits_into_the_heap_is_not_transient(
    recorder, open_one, operation, limit, fits
):
    """Server 9.2 answers this for a document of 11 MB with a heap of 512 MB."""
    recorder.status = 429
    recorder.body = (
        b'{"error":{"type":"es_rejected_execution_exception","reason":"rejected execution of '
        b"primary operation [coordinating_and_primary_bytes=11000294, replica_bytes=0, "
        b"all_bytes=11000294, primary_operation_bytes=%d, max_primary_bytes=%d]"
        b'"},"status":429}' % (operation, limit)
    )
    store = open_one(f"elasticsearch://{recorder.host}")
    with pytest.raises(Unavailable if fits else ValueTooLarge):
        store.get("key")


def test_max_retries_sends_a_failed_read_to_the_next_host(recorder, open_one):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = gone.getsockname()[1]
    url = f"elasticsearch://127.0.0.1:{dead},{recorder.host}?max_retries=1"
    for _ in range(4):  # the first host is chosen at random
        assert open_one(url).get("key") is None


def test_a_silent_server_fails_within_the_timeout(open_one):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = open_one(f"elasticsearch://127.0.0.1:{silent.getsockname()[1]}?timeout=0.3")

        def write():
            with pytest.raises(TimedOut):
                store.set("key", b"v")

        assert takes_less(2, write)
        assert took(write) >= 0.3


def test_a_refused_connection_is_transient(open_one):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(Unavailable, match="cannot be reached"):
        open_one(f"elasticsearch://127.0.0.1:{port}").ping()


def test_a_certificate_is_trusted_by_its_authority_or_its_fingerprint(
    tls_recorder, certificate, open_one
):
    file = certificate[0]
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read_text())).hexdigest()
    for option in (f"ca_certs={file}", f"ssl_assert_fingerprint={fingerprint}", "verify_certs=0"):
        store = open_one(f"elasticsearch+https://{tls_recorder.host}?{option}")
        assert store.get("key") is None
    assert len(tls_recorder.asked) == 3


@pytest.mark.parametrize("option", ["", f"?ssl_assert_fingerprint={'ab' * 32}"])
def test_an_untrusted_certificate_is_not_transient(tls_recorder, open_one, option):
    store = open_one(f"elasticsearch+https://{tls_recorder.host}{option}", {})
    with pytest.raises(ConfigurationError, match="not trusted"):
        store.get("key")
    assert tls_recorder.asked == []


@pytest.mark.parametrize("status", [403, 429])
def test_a_block_of_the_index_is_reported_as_one(recorder, open_one, status):
    """Not as missing privileges."""
    recorder.status, recorder.body = status, b'{"error": {"type": "cluster_block_exception"}}'
    with pytest.raises(StoreError, match="index has a block") as raised:
        open_one(f"elasticsearch://{recorder.host}/x").delete("key")
    assert "privileges" not in str(raised.value)


def test_an_index_that_cannot_be_created_is_an_error(recorder, open_one):
    """Only one answer with 400 says that another process has created it."""
    error = b'{"error": {"type": "illegal_argument_exception"}}'
    recorder.script = lambda method, _: (404, b"{}") if method == "GET" else (400, error)
    with pytest.raises(StoreError, match=r"400.*illegal_argument"):
        open_one(f"elasticsearch://{recorder.host}/x").set("key", b"")
    assert [method for method, *_ in recorder.asked] == ["GET", "PUT"]


def test_a_listing_scrolls_because_opensearch_has_no_pit(recorder, open_one):
    """One request a page, and one that ends the scroll."""
    pages = {
        "/x/_search": b'{"_scroll_id": "s1", "hits": {"hits": [{"_id": "k1"}, {"_id": "k2"}]}}',
        "/_search/scroll": b'{"_scroll_id": "s2", "hits": {"hits": []}}',
    }
    recorder.script = lambda _, path: (200, pages.get(path.partition("?")[0], b"{}"))
    assert list(open_one(f"elasticsearch://{recorder.host}/x").scan("k")) == ["k1", "k2"]
    asked = [(method, path.partition("?")[0]) for method, path, _ in recorder.asked]
    assert asked == [
        ("POST", "/x/_refresh"),
        ("POST", "/x/_search"),
        ("POST", "/_search/scroll"),
        ("DELETE", "/_search/scroll"),
    ]

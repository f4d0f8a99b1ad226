"""The shared conformance suite on a real Elasticsearch of the installed client's version."""

from importlib.metadata import version

import pytest

from tests.support.suites import LONG_IN_JAVA, Again, OnServer, WithoutProxy

IS_MAIN = version("elastic-transport").startswith("8.")
"""True with the client that `make test` tries in full."""


class TestElasticsearch(OnServer if IS_MAIN else Again):
    """Server 8.19 with the transport library of client 8, server 9.2 with that of client 9."""

    fixture = "matching_url"
    long = ("network.cut_anywhere", *LONG_IN_JAVA)


@pytest.mark.slow
class TestOpenSearch(WithoutProxy):
    """Server 2.19."""

    fixture = "opensearch_url"

"""What `kvbackends check` tells of a server's memory."""

import pytest
from kvbackends_redis.about import about


class Connections:
    """Answers INFO with the memory that is used, of 100 MB, and TIME."""

    def __init__(self, used):
        self.used = used

    def call(self, command):
        info = f"used_memory:{self.used}\r\nmaxmemory:100000000\r\n"
        return info.encode() if command == "INFO" else [b"1", b"0"]


@pytest.mark.parametrize(("used", "warned"), [(50_000_000, False), (95_000_000, True)])
def test_a_server_that_is_nearly_full_is_noted(used, warned):
    facts = {fact.name: fact for fact in about(Connections(used))}
    assert facts["memory"].said == f"{used / 1e6:.1f} of 100.0 MB"
    assert facts["memory"].warning is warned

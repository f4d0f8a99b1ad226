"""Compressed records are unpacked up to a limit, by whatever method of kombu's."""

import importlib
import sys
from types import SimpleNamespace

import pytest
from kombu.exceptions import DecodeError

from kvbackends.backend import unpacking
from kvbackends.backend.compat import COMPRESSED
from kvbackends.backend.unpacking import RecordTooLarge, unpacked

pytestmark = pytest.mark.skipif(COMPRESSED is None, reason="Celery before 5.7 compresses nothing")
STEP = unpacking.BROTLI_STEP


class Stretching:
    """Stands in for Brotli's decompressor: each byte becomes a thousand, and 0 ends the record."""

    steps = 0

    def process(self, data):
        type(self).steps += 1
        self.ended = b"\0" in data
        return b"".join(b"%c" % each * 1000 for each in data if each)

    def is_finished(self):
        return self.ended


@pytest.fixture(params=["brotli", "brotlicffi"])
def brotli(request, monkeypatch):
    monkeypatch.setitem(sys.modules, "brotli", None)
    library = SimpleNamespace(Decompressor=Stretching)
    monkeypatch.setitem(sys.modules, request.param, library)
    monkeypatch.setattr(Stretching, "steps", 0)


def record(body):
    return COMPRESSED + b"application/x-brotli\0" + body


@pytest.mark.usefixtures("brotli")
class TestBrotli:
    def test_a_record_is_unpacked(self):
        assert unpacked(record(b"ab" * STEP + b"\0"), 1 << 20) == (b"a" * 1000 + b"b" * 1000) * STEP

    def test_a_bomb_is_refused_after_the_step_that_is_too_much(self):
        """It takes no more memory than that."""
        with pytest.raises(RecordTooLarge, match="more than 100000 once it is unpacked"):
            unpacked(record(b"a" * 100 * STEP), 100_000)
        assert Stretching.steps == 2

    def test_a_cut_record_is_refused(self):
        with pytest.raises(DecodeError, match="cut"):
            unpacked(record(b"a"), 100_000)


def test_the_library_itself_unpacks_as_kombu_packs():
    """Where it is installed; the tests above stand in for it elsewhere."""
    brotli = pytest.importorskip("brotli")
    text = b"text" * 100_000
    assert unpacked(record(brotli.compress(text)), len(text)) == text
    with pytest.raises(RecordTooLarge):
        unpacked(record(brotli.compress(text)), len(text) - 1)
    assert importlib.import_module("kombu.compression").get_decoder("brotli")

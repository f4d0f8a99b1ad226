"""SQLite: URLs and options, and the errors for files that cannot be used."""

import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvbackends import ConfigurationError, InvalidOption, StoreError, ValueTooLarge, open_store
from kvbackends.contract import Feature, Rank
from kvbackends.layers.layer import innermost
from kvbackends.stores.sqlite import SQLiteOptions, SQLiteStore, schema
from kvbackends.stores.sqlite.errors import Busy, translated
from tests.stores.conftest import Opener, begin, ended, open_files
from tests.support.chords import offer, rank_of

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")


class TestURL:
    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://results.db"])
    def test_a_url_must_name_a_file(self, url: str):
        """The error for a URL without a path, or with two slashes, shows a correct one."""
        with pytest.raises(ConfigurationError, match=r"sqlite:///results\.db"):
            open_store(url)

    def test_a_database_in_memory_is_refused(self):
        """``:memory:`` would be another database for each connection; the error names memory://."""
        with pytest.raises(ConfigurationError, match="memory://"):
            open_store("sqlite:///:memory:")

    def test_paths_are_relative_or_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """Three slashes: relative to the directory at the time of opening; four: absolute."""
        monkeypatch.chdir(tmp_path)
        relative = open_store("sqlite:///a%20b.db")
        monkeypatch.chdir("/")
        relative.set("k", b"v")
        absolute = open_store(f"sqlite:///{tmp_path}/a%20b.db")
        assert absolute.get("k").value == b"v"
        assert (tmp_path / "a b.db").exists()
        relative.close()
        absolute.close()

    def test_opening_a_store_touches_no_file(self, path: Path):
        """The file is created by the first operation."""
        open_store(f"sqlite:///{path}")
        assert not path.exists()

    def test_wrong_options_are_refused(self, path: Path):
        """The errors name the valid values."""
        with pytest.raises(InvalidOption, match="FULL"):
            open_store(f"sqlite:///{path}?synchronous=off")
        with pytest.raises(InvalidOption, match="busy_timeout"):
            open_store(f"sqlite:///{path}?busy_timeout=0")

    @pytest.mark.parametrize(("text", "level"), [("FULL", 2), ("normal", 1), ("NORMAL", 1)])
    def test_synchronous_reaches_the_connection(self, path: Path, text: str, level: int):
        """The value in the URL is set on each connection."""
        opened = open_store(f"sqlite:///{path}?synchronous={text}")
        store = innermost(opened)
        assert store._database().rows("PRAGMA synchronous", ()) == [(level,)]
        opened.close()

    def test_the_store_advertises_its_features(self, store: SQLiteStore):
        """All features but AUTOEXPIRE and FACETS."""
        assert store.features == ~(Feature.AUTOEXPIRE | Feature.FACETS)


class TestUnusable:
    def test_a_file_that_is_no_database_is_kept(self, path: Path, store: SQLiteStore):
        """Other files are refused and not changed."""
        path.write_bytes(b"not a database, but long enough to be one " * 100)
        before = path.read_bytes()
        with pytest.raises(ConfigurationError, match=r"results\.db.*not a SQLite database"):
            store.get("k")
        assert path.read_bytes() == before

    def test_a_database_of_another_program_is_kept(self, path: Path, store: SQLiteStore):
        """A database with other tables is refused and not changed."""
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE celery_taskmeta (id)")
        connection.close()
        before = path.read_bytes()
        with pytest.raises(ConfigurationError, match=r"results\.db.*another program"):
            store.set("k", b"v")
        assert path.read_bytes() == before

    def test_a_file_of_a_newer_version_is_refused(self, path: Path, store: SQLiteStore):
        """The error says to upgrade."""
        store.close()
        store.ping()
        store.close()
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
        connection.close()
        with pytest.raises(ConfigurationError, match=r"results\.db.*upgrade kvbackends"):
            store.get("k")

    def test_an_empty_file_becomes_a_database(self, path: Path, store: SQLiteStore):
        """An empty file, as from `touch` or NamedTemporaryFile, gets the tables."""
        path.touch()
        store.set("k", b"v")
        assert store.get("k").value == b"v"

    def test_a_missing_directory_is_not_created(self, tmp_path: Path):
        """The path may be misspelt, so the error names it."""
        opened = open_store(f"sqlite:///{tmp_path}/none/results.db")
        with pytest.raises(StoreError, match=r"none/results\.db.*directory does not exist"):
            opened.get("k")

    def test_a_path_that_is_a_directory_is_refused(self, tmp_path: Path):
        """The error says that it is a directory."""
        opened = open_store(f"sqlite:///{tmp_path}")
        with pytest.raises(StoreError, match="is a directory"):
            opened.get("k")

    def test_a_read_only_directory_is_named(self, readable: Path):
        """The error names the directory, on the first use and on later ones."""

        def work() -> None:
            os.seteuid(65534)
            for name in ("new.db", "old.db"):
                store = SQLiteStore(str(readable / name), SQLiteOptions())
                with pytest.raises(StoreError, match=f"{name}.*writable"):
                    store.set("k", b"v")

        old = SQLiteStore(str(readable / "old.db"), SQLiteOptions())
        old.set("k", b"v")
        old.close()
        assert ended(begin(work)) == 0

    @pytest.fixture
    def readable(self) -> Iterator[Path]:
        if os.geteuid() != 0:
            pytest.skip("needs root, to become another user")
        folder = Path(tempfile.mkdtemp())
        folder.chmod(0o755)
        yield folder
        shutil.rmtree(folder)

    def test_too_many_open_files_are_named(self, path: Path, store: SQLiteStore):
        """The error names `ulimit -n`, and the next call works when files are closed."""

        def work() -> None:
            highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
            while os.open(os.devnull, os.O_RDONLY) < highest:
                pass  # the limit is on numbers, so no lower number may be free
            used, outcomes = open_files(), []
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            for more in range(1, 6):
                resource.setrlimit(resource.RLIMIT_NOFILE, (used + more, hard))
                outcomes.append(_text_of_error(lambda: store.set("k", b"v")))
                store.close()
            assert all("ulimit -n" in text for text in outcomes if text)
            assert outcomes[0]
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            store.set("k", b"v")

        store.ping()
        store.close()
        assert ended(begin(work)) == 0

    @needs_root
    def test_a_full_disk_is_named(self, tmp_path: Path):
        """A write fails with a clear error, reads work, and so do writes once there is space."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", tmp_path], check=True)
        store = SQLiteStore(str(tmp_path / "results.db"), SQLiteOptions())
        try:
            store.set("small", b"v")
            with pytest.raises(StoreError, match=r"results\.db.*(full|disk)"):
                deque(store.set(f"k{i}", os.urandom(20_000)) for i in range(100))
            assert store.get("small").value == b"v"
            subprocess.run(["mount", "-o", "remount,size=4m", tmp_path], check=True)
            store.set("small", b"w")
            assert store.get("small").value == b"w"
        finally:
            store.close()
            subprocess.run(["umount", tmp_path], check=True)

    def test_a_file_system_without_write_ahead_logging_is_refused(self):
        """Opening fails, as on a network file system, and the error names the path."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        with pytest.raises(StoreError, match=r"/net/results\.db.*local disk"):
            schema.prepare(connection, "/net/results.db")
        connection.close()

    @pytest.mark.parametrize(
        ("code", "kind", "text"),
        [
            (sqlite3.SQLITE_PROTOCOL, StoreError, "network file system"),
            (sqlite3.SQLITE_IOERR_WRITE, StoreError, "disk full"),
            (sqlite3.SQLITE_FULL, StoreError, "disk is full"),
            (sqlite3.SQLITE_CORRUPT, StoreError, "damaged"),
            (sqlite3.SQLITE_BUSY_SNAPSHOT, Busy, "locked"),
            (sqlite3.SQLITE_TOOBIG, ValueTooLarge, "size"),
        ],
    )
    def test_errors_name_the_path_and_the_remedy(self, code: int, kind: type[Exception], text: str):
        """Each error names the file and what to do; only locks are transient."""
        error = sqlite3.OperationalError("…")
        error.sqlite_errorcode = code
        made = translated(error, "/some/results.db")
        assert isinstance(made, kind)
        assert "/some/results.db" in str(made)
        assert text in str(made)
        assert isinstance(made, SQLiteStore.transient_errors) == (kind is Busy)


def _text_of_error(work: Callable[[], object]) -> str:
    try:
        work()
    except StoreError as error:
        return str(error)
    return ""


def test_a_file_that_was_deleted_while_open(path: Path, open_sqlite: Opener):
    """The next store creates it again."""
    first = open_sqlite()
    first.offer(offer("k", Rank.SUCCEEDED), rank_of)
    for suffix in ("", "-wal", "-shm", "-lock"):
        Path(f"{path}{suffix}").unlink()
    first.close()
    second = open_sqlite()
    assert second.get("k") is None
    second.set("k", b"v")
    assert second.get("k").value == b"v"

"""SQLite: one file under several names, and files that move."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kvbackends import ConfigurationError
from kvbackends.contract import Rank
from kvbackends.stores.sqlite import SQLiteOptions, SQLiteStore, location
from tests.support.chords import offer, rank_of

MAY_MOUNT = subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0
IN_A_CONTAINER = """
import sys
from kvbackends.stores.sqlite import SQLiteOptions, SQLiteStore
SQLiteStore(sys.argv[1], SQLiteOptions()).set("k", b"from the container")
"""


def opened(path: Path) -> SQLiteStore:
    return SQLiteStore(str(path), SQLiteOptions())


class TestMountedAlone:
    def test_a_file_that_is_a_mount_point_is_refused(self, path, store, monkeypatch, tmp_path):
        """The error says what to mount instead; the same file is fine where it is none."""
        store.set("k", b"v")
        store.close()
        mounts = tmp_path / "mountinfo"
        mounts.write_text(f"36 35 98:0 /x {path} rw - ext4 /dev/root rw\n")
        monkeypatch.setattr(location, "MOUNTS", mounts)
        with pytest.raises(ConfigurationError, match=f"mounted alone.*:{tmp_path}"):
            store.get("k")
        mounts.write_text(f"36 35 98:0 /x {tmp_path} rw - ext4 /dev/root rw\n")
        assert store.get("k").value == b"v"

    def test_blanks_in_the_name(self, tmp_path, monkeypatch):
        """The kernel escapes them."""
        path, mounts = tmp_path / "a b.db", tmp_path / "mountinfo"
        path.touch()
        mounts.write_text(f"36 35 98:0 /x {tmp_path}/a\\040b.db rw - ext4 /dev/root rw\n")
        monkeypatch.setattr(location, "MOUNTS", mounts)
        with pytest.raises(ConfigurationError, match="mounted alone"):
            opened(path).ping()

    @pytest.mark.skipif(not MAY_MOUNT, reason="may not mount")
    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_in_a_real_container(self, path, store, tmp_path, what):
        """The file alone is refused, its folder is not."""
        store.set("k", b"v")
        inside = tmp_path / "inside"
        inside.mkdir()
        source, target = (path, inside / path.name) if what == "file" else (tmp_path, inside)
        if what == "file":
            target.touch()
        mount = f"mount --make-rprivate / && mount --bind {source} {target}"
        run = [sys.executable, "-c", IN_A_CONTAINER, str(inside / path.name)]
        ended = subprocess.run(
            ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", *run],
            capture_output=True,
            text=True,
        )
        assert ("is mounted alone" in ended.stderr) == (what == "file"), ended.stderr
        assert (store.get("k").value == b"v") == (what == "file")


def test_hard_links_are_refused(path: Path, store: SQLiteStore, tmp_path: Path):
    """Each name would have a log of its own."""
    store.set("k", b"v")
    store.close()
    (tmp_path / "other.db").hardlink_to(path)
    with pytest.raises(ConfigurationError, match="2 names"):
        store.get("k")
    (tmp_path / "other.db").unlink()
    assert store.get("k").value == b"v"


def test_a_symbolic_link_is_the_real_file(path: Path, store: SQLiteStore, tmp_path: Path):
    """Lock and notifications are those of the real file, whether or not it exists before."""
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    linked = opened(link)
    subscription = linked.subscribe()
    subscription.watch(["task"])
    store.offer(offer("task", Rank.SUCCEEDED), rank_of)
    assert subscription.wait(10) == {"task"}
    linked.set("k", b"v")
    assert list(link.parent.iterdir()) == [link]
    subscription.close()
    linked.close()


def test_files_that_move_are_not_refused(tmp_path: Path):
    """Several users, restarts, a renamed folder, a copy that is put back: all of them are fine."""
    folder = tmp_path / "before"
    folder.mkdir()
    first = opened(folder / "r.db")
    first.set("k", b"1")
    first.close()
    shutil.copy(folder / "r.db", tmp_path / "copy.db")
    renamed = folder.rename(tmp_path / "after")
    for n in range(2):
        stores = [opened(renamed / "r.db") for _ in range(2)]
        assert [each.get("k").value for each in stores] == [b"%d" % (n + 1)] * 2
        stores[0].set("k", b"2")
        for each in stores:
            each.close()
    shutil.copy(tmp_path / "copy.db", renamed / "r.db")
    restored = opened(renamed / "r.db")
    assert restored.get("k").value == b"1"
    restored.close()

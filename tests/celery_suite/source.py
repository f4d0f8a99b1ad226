"""Where the suite comes from: the folder `t/` of Celery's source distribution."""

import hashlib
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "celery-suite"
SHA256 = {"5.7.0": "6a5dfcf6662287204f009a02002b9e66c83d4105e47ebabdc7079108772fc6f0"}


def unpack(folder: Path) -> Path:
    """Unpack the suite that belongs to the running Celery into `folder`, and say where it stands.

    Celery's `pyproject.toml` comes along for its pytest settings; the package `celery` does not,
    so what is tested is the one that is installed.
    """
    release = f"celery-{version('celery')}"
    with tarfile.open(_archive(version("celery"))) as archive:
        wanted = (f"{release}/t/", f"{release}/pyproject.toml")
        members = [member for member in archive if member.name.startswith(wanted)]
        archive.extractall(folder, members, filter="data")
    return folder / release


def _archive(release: str) -> Path:
    """The source distribution, from the cache or else from PyPI; its hash is checked either way."""
    if release not in SHA256:
        raise SystemExit(f"no suite is known for Celery {release}; known: {', '.join(SHA256)}")
    path = CACHE / f"celery-{release}.tar.gz"
    if not path.exists():
        _download(release)
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[release]:
        raise SystemExit(f"{path} is not the file that was expected; remove it and run again")
    return path


def _download(release: str) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = CACHE / "celery.txt"
    wanted.write_text(f"celery=={release} --hash=sha256:{SHA256[release]}\n")
    where = ["--requirement", str(wanted), "--require-hashes", "--dest", str(CACHE)]
    how = ["--quiet", "--no-deps", "--no-binary", "celery"]
    subprocess.run([sys.executable, "-m", "pip", "download", *how, *where], check=True)

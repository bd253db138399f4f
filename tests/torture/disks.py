"""Full and read-only disks: small mounted ones, or limits where mounting is not possible."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PAGE = 4096


@contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    """Yield a folder on a full disk; skip the test where none can be made."""
    with _mounted(folder, f"size={_PAGE}") as disk:
        (disk / "filler").write_bytes(bytes(_PAGE))
        yield disk


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Yield a folder that is read-only even for root."""
    with _mounted(folder, f"ro,size={_PAGE}") as disk:
        yield disk


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[Path]:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.name != "posix" or not mount or not umount:
        pytest.skip("no disks to mount on this system")
    folder.mkdir(parents=True)
    words = [mount, "-t", "tmpfs", "-o", options, "none", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a disk")
    try:
        yield folder
    finally:
        subprocess.run([umount, "-l", str(folder)], check=True)

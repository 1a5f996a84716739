"""Installs the JavaScript packages that tests run, exact versions by their hashes, into a cache beside our wheels'."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "node"
LIMIT = 240


def installed() -> Path:
    """A folder with the packages and our scripts; skips where node or npm is absent or nothing can be fetched."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            pytest.skip(f"{command}: not installed")
    lock = (FOLDER / "package-lock.json").read_bytes()
    user = Path(pwd.getpwuid(os.getuid()).pw_dir)  # the tests' own home is a new one each time
    folder = user / ".cache" / "arriero" / "npm" / hashlib.sha256(lock).hexdigest()[:16]
    if not folder.exists():
        _install(folder)
    for script in FOLDER.glob("*.mjs"):
        shutil.copy(script, folder / script.name)
    return folder


def _install(folder: Path) -> None:
    """Fill `folder`, which appears whole or not at all: other runs may do the same now."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        work = Path(temporary) / "new"
        work.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(FOLDER / name, work / name)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", f"{temporary}/cache"]
        environment = {**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir}
        done = subprocess.run(
            command, cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT
        )
        if done.returncode != 0:
            pytest.skip(f"npm: cannot install: {done.stderr.strip()[-300:]}")
        with contextlib.suppress(OSError):  # somebody else was first
            work.rename(folder)


def run(folder: Path, script: str, *arguments: str) -> str:
    """What a script printed; an AssertionError with its errors if it failed as a whole."""
    done = subprocess.run(
        ["node", script, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

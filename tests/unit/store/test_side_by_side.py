"""Arriero and an Ollama on one store, arriero killed at random: what is listed at the end is whole for both."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from arriero.store.durable import locked
from arriero.store.folder import ModelFolder
from arriero.store.names import parse_name
from arriero.store.ollama_store import StoredModel
from arriero.store.verify import verify
from tests.unit.store.models import HOUR, add, age
from tests.unit.store.ollama_rules import Rules

ROOT = Path(__file__).parents[3]
SHARED = json.dumps([f"shared {number}" for number in range(30)])  # so many that some are named by one model only


def start(module: str, root: Path, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.unit.store.{module}", str(root), str(seed), SHARED],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=30)
    return out


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_an_ollama_works_on_the_same_store(tmp_path: Path) -> None:
    root, dice = tmp_path / "models", random.Random(5)
    until = time.monotonic() + float(os.environ.get("ARRIERO_SOAK_SECONDS", "12"))
    did: Counter[str] = Counter()
    while time.monotonic() < until:
        theirs, ours = (start(one, root, dice.randrange(10**6)) for one in ("ollama_rules", "arriero_churn"))
        assert ours.stdout is not None
        ours.stdout.readline()  # it has begun
        time.sleep(0.2 + dice.random())
        ours.kill()
        did.update(line.split(":")[0] for line in end(ours).splitlines())
        did["killed"] += 1
        did.update(json.loads(end(theirs)))
        assert theirs.returncode == 0
        with locked(root):
            ModelFolder(root).recover()  # as whoever writes next does first
        check(root)  # often: what is put again later heals
    assert min(did[what] for what in ("wrote", "removed", "killed", "pulled", "deleted", "pruned")) > 0, did
    check(root)


def check(root: Path) -> None:
    """Every model is whole for both, both list the same, and there is no stranger in Ollama's folders."""
    rules, folder = Rules(root), ModelFolder(root)
    stored, broken = folder.manifests.read_all()
    assert not broken
    assert sorted(f"{one.name.model}/{one.name.tag}" for one in stored) == rules.names()
    assert [name for name in rules.names() if not rules.whole(name)] == []
    assert [StoredModel(folder, one).missing() for one in stored if StoredModel(folder, one).missing()] == []
    assert {one.verdict for one in verify(folder)} <= {"ok"}
    strangers = [
        path.name
        for path in (root / "blobs").iterdir()
        if not re.fullmatch(r"sha256-[0-9a-f]{64}(-partial)?", path.name)
    ]
    assert strangers == []


def test_ollamas_prune_spares_what_arriero_works_on(tmp_path: Path) -> None:
    folder, rules = ModelFolder(tmp_path), Rules(tmp_path)
    rules.pull("theirs/latest", [b"w", b"{}"])
    add(folder, "ours", model=b"w", system=b"s")
    age(folder, 2 * HOUR)
    digest, _ = folder.blobs.put(b"uploaded, not yet named")
    partial = folder.blobs.partial(f"sha256:{'0' * 64}")
    partial.write_bytes(b"half")
    os.utime(partial, (1, 1))
    rules.prune()
    check(tmp_path)
    assert folder.blobs.has(digest)
    assert partial.exists()
    assert rules.names() == ["ours/latest", "theirs/latest"]


def test_each_deletes_what_the_other_wrote(tmp_path: Path) -> None:
    folder, rules = ModelFolder(tmp_path), Rules(tmp_path)
    rules.pull("theirs/latest", [b"shared", b"1"])
    add(folder, "ours", model=b"shared", system=b"2")
    age(folder, 2 * HOUR)
    assert folder.delete(parse_name("theirs"))
    check(tmp_path)
    assert rules.delete("ours/latest")
    check(tmp_path)
    assert list((tmp_path / "blobs").iterdir()) == []
    assert list((tmp_path / "manifests").iterdir()) == []

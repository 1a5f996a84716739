"""The folder of models as a server finds and leaves it: Ollama's, one that cannot be written, one left half made."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import ollama

from tests.e2e.serving import serve


def test_a_killed_server_lists_nothing_half_made(tmp_path: Path) -> None:
    models = tmp_path / "models"
    with serve(tmp_path, environment={"OLLAMA_MODELS": str(models)}) as running:
        body = {"model": "half", "from": "demo"}
        with httpx.stream("POST", f"{running.url}/api/create", json=body, trust_env=False) as reply:
            next(reply.iter_lines())
            running.process.kill()
            running.process.wait()
    assert not [path for path in models.rglob("*") if path.parent.name == "manifests"]
    blobs = list((models / "blobs").iterdir()) if (models / "blobs").exists() else []
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name.removeprefix("sha256-") for path in blobs)


def test_what_is_ollamas_own_stays_untouched(tmp_path: Path) -> None:
    """Without OLLAMA_MODELS a model goes to ~/.ollama/models, and nothing else there changes."""
    theirs = {"id_ed25519": b"key", "history": b"lines", "config.json": b"{}"}
    (tmp_path / ".ollama").mkdir()
    for name, content in theirs.items():
        (tmp_path / ".ollama" / name).write_bytes(content)
    with serve(tmp_path) as running:
        client = ollama.Client(host=running.url, trust_env=False)
        assert client.list().models
        assert sorted(path.name for path in (tmp_path / ".ollama").iterdir()) == sorted(theirs)
        client.create("mine", from_="demo")
    assert (tmp_path / ".ollama/models/manifests/registry.ollama.ai/library/mine/latest").is_file()
    assert sorted(path.name for path in (tmp_path / ".ollama").iterdir()) == sorted([*theirs, "models"])
    assert all((tmp_path / ".ollama" / name).read_bytes() == content for name, content in theirs.items())


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    blocked = tmp_path / "not a folder"
    blocked.write_text("")
    with serve(tmp_path, environment={"OLLAMA_MODELS": str(blocked)}) as running:
        client = ollama.Client(host=running.url, trust_env=False)
        first, *_, last = client.create("mine", from_="demo", stream=True)
        assert first.status == f"{blocked} cannot be written: writing to {tmp_path / 'arriero' / 'models'}"
        assert last.status == "success"
        assert "mine:latest" in [model.model for model in client.list().models]
        assert "cannot be written" in running.log.read_text()
        client.delete("mine")
        assert "mine:latest" not in [model.model for model in client.list().models]

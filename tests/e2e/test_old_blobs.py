"""A models folder of an old Ollama, whose blobs are named `sha256:HEX`, served by a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.raw import send_raw
from tests.e2e.serving import Server, clean_environment, serve

ASK = {"model": "old", "prompt": "Hello!", "stream": False, "options": {"num_predict": 1, "num_thread": 1}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("an old Ollama") / "models"


@pytest.fixture(scope="module")
def old(models: Path) -> Iterator[Server]:
    """A server that found the model `old` with blobs that had their old names already."""
    with serve(models.parent / "before", environment={"OLLAMA_MODELS": str(models)}) as server:
        server.post("/api/create", {"model": "old", "from": "demo", "system": "Be brief.", "stream": False})
    for path in (models / "blobs").iterdir():
        path.rename(path.with_name(path.name.replace("-", ":")))
        os.utime(path.with_name(path.name.replace("-", ":")), (time.time() - 9000,) * 2)
    with serve(models.parent / "now", environment={"OLLAMA_MODELS": str(models)}) as server:
        yield server


def names(models: Path) -> set[str]:
    return {path.name for path in (models / "blobs").iterdir()}


def test_they_are_listed_shown_served_and_not_renamed(old: Server, models: Path) -> None:
    before = names(models)
    assert len(before) >= 3
    assert all(name.startswith("sha256:") for name in before)
    listed = json.loads(old.get("/api/tags"))["models"]
    assert "old:latest" in [one["name"] for one in listed]
    assert json.loads(old.post("/api/show", {"model": "old"}))["system"] == "Be brief."
    assert json.loads(old.post("/api/generate", ASK))["done"]
    for name in before:
        assert send_raw(old, f"/api/blobs/{name}", method="HEAD").status == 200
    assert names(models) == before


def test_they_verify(old: Server, models: Path) -> None:
    environment = clean_environment(models.parent, {"OLLAMA_HOST": old.url, "OLLAMA_MODELS": str(models)})
    command = [sys.executable, "-m", "arriero", "verify", "old"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_new_models_share_them(old: Server, models: Path) -> None:
    before = names(models)
    old.post("/api/copy", {"source": "old", "destination": "copy"})
    old.post("/api/create", {"model": "derived", "from": "old", "system": "Be long.", "stream": False})
    assert before < names(models)
    assert json.loads(old.post("/api/generate", {**ASK, "model": "derived"}))["done"]
    for name in ("copy", "derived"):
        assert send_raw(old, "/api/delete", {"model": name}, method="DELETE").status == 200
    assert before <= names(models)  # `old` names them


def test_an_ollama_renames_them_meanwhile_and_a_model_can_be_removed(old: Server, models: Path) -> None:
    for path in (models / "blobs").iterdir():
        path.rename(path.with_name(path.name.replace(":", "-")))
    assert json.loads(old.post("/api/generate", ASK))["done"]
    for path in (models / "blobs").iterdir():  # and back again, all of them over an hour old
        os.utime(path, (time.time() - 9000,) * 2)
        path.rename(path.with_name(path.name.replace("-", ":")))
    assert send_raw(old, "/api/delete", {"model": "old"}, method="DELETE").status == 200
    assert not any("old" in one["name"] for one in json.loads(old.get("/api/tags"))["models"])
    kept = sum((models / "blobs" / name).stat().st_size for name in names(models))
    assert kept < 1 << 20  # the weights are gone; what `derived` alone had waits for `prune`

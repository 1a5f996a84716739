"""Draft models: their layer, what the config says of them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from arriero.core.errors import InvalidOption, InvalidRequest
from arriero.core.library import CreateRequest, Progress
from arriero.store.catalog import Catalog
from arriero.store.create import create
from arriero.store.draft import Tools
from arriero.store.folder import ModelFolder
from arriero.store.names import parse_name
from arriero.store.ollama_store import StoredModel
from tests.unit.store.test_gguf import write


def ignore(progress: Progress) -> None:
    """Nobody watches."""


def stored(folder: ModelFolder, name: str) -> StoredModel:
    found = folder.manifests.find(parse_name(name))
    assert found is not None
    return StoredModel(folder, found)


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "models")


@pytest.fixture
def request_of(folder: ModelFolder, tmp_path: Path) -> CreateRequest:
    """A model with a draft model and a system prompt."""
    big, _ = folder.blobs.put(write(tmp_path / "big.gguf").read_bytes())
    small, _ = folder.blobs.put(write(tmp_path / "small.gguf", tokens=200).read_bytes())
    return CreateRequest(model="x", files={"big.gguf": big}, draft_files={"small.gguf": small}, system="S")


def kinds(folder: ModelFolder, name: str) -> list[str]:
    return [layer.kind for layer in stored(folder, name).stored.manifest.layers]


def test_it_is_a_layer_of_its_own_that_the_config_names(folder: ModelFolder, request_of: CreateRequest) -> None:
    create(folder, request_of, None, ignore)
    assert kinds(folder, "x") == ["model", "draft", "system"]
    config = stored(folder, "x").stored.manifest.config
    assert config is not None
    raw = folder.blobs.path(config.digest).read_bytes()
    assert raw.endswith(
        b',"draft":{"model_format":"gguf","architecture":"llama"},"architecture":"amd64","os":"linux"}\n'
    )
    spec = Catalog({}, (), [folder]).find("x")
    assert spec.draft == str(folder.blobs.path(request_of.draft_files["small.gguf"]))
    assert spec.path == str(folder.blobs.path((request_of.files or {})["big.gguf"]))


def test_it_stays_with_what_is_made_of_the_model_until_another_is_given(
    folder: ModelFolder, request_of: CreateRequest
) -> None:
    create(folder, request_of, None, ignore)
    create(folder, CreateRequest(model="y", base="x", system="T"), stored(folder, "x"), ignore)
    assert kinds(folder, "y") == ["model", "draft", "system"]
    config = stored(folder, "y").stored.manifest.config
    assert config is not None
    assert json.loads(folder.blobs.path(config.digest).read_bytes())["draft"]["architecture"] == "llama"
    other = CreateRequest(model="z", base="x", draft_files=request_of.files or {})
    create(folder, other, stored(folder, "x"), ignore)
    assert kinds(folder, "z") == ["model", "system", "draft"]
    assert Catalog({}, (), [folder]).find("z").draft == Catalog({}, (), [folder]).find("x").path


def test_it_is_quantized_alone(folder: ModelFolder, request_of: CreateRequest) -> None:
    asked: list[tuple[str, int]] = []

    def quantize(source: Path, target: Path, number: int, watch: object) -> None:
        asked.append((source.name, number))
        target.write_bytes(source.read_bytes() + b"\0" * 32)

    tools = Tools(quantize=quantize)
    with pytest.raises(InvalidRequest, match=r"^draft quantization requires an unquantized draft model, got Q8_0$"):
        create(folder, msgspec.structs.replace(request_of, draft_quantize="q4_0"), None, ignore, tools=tools)
    create(folder, msgspec.structs.replace(request_of, draft_quantize="q8_0"), None, ignore, tools=tools)
    assert asked == []  # it has that type already
    with pytest.raises(InvalidOption, match="unsupported quantization type"):
        create(folder, msgspec.structs.replace(request_of, draft_quantize="q9"), None, ignore, tools=tools)


def test_what_is_no_draft_model(folder: ModelFolder, request_of: CreateRequest) -> None:
    digest, _ = folder.blobs.put(b"hello, world")
    both = {"a.gguf": request_of.draft_files["small.gguf"], "b.gguf": (request_of.files or {})["big.gguf"]}
    for files, text in (
        ({"x.gguf": digest}, "supplied file was not in GGUF format"),
        ({"../x.gguf": digest}, "file path must be relative"),
        (both, "the files hold the weights of more than one model"),
    ):
        with pytest.raises(InvalidRequest, match=text):
            create(folder, msgspec.structs.replace(request_of, draft_files=files), None, ignore)
    assert folder.manifests.read_all() == ([], [])


def test_weights_that_bring_a_chat_template_are_said_to_be_used_by_it(
    folder: ModelFolder, request_of: CreateRequest
) -> None:
    told: list[str] = []

    def report(progress: Progress) -> None:
        told.append(progress.status)

    create(folder, request_of, None, report)
    assert told[-3:] == ["using autodetected template tokenizer.chat_template", "writing manifest", "success"]
    for other in (
        msgspec.structs.replace(request_of, template="{{ .Prompt }}"),
        CreateRequest(model="y", base="x"),
    ):
        told.clear()
        create(folder, other, stored(folder, "x") if other.base else None, report)
        assert not any("autodetected" in status for status in told)

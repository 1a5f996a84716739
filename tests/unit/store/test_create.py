"""Layers, config and manifest of created models, and what cannot be made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest

from arriero.core.errors import BlobNotFound, Cancelled, InvalidRequest, ModelLoadError, NotImplementedYet
from arriero.core.library import CreateRequest, Progress
from arriero.core.request import Message, ToolCall
from arriero.store.catalog import Catalog
from arriero.store.create import copy, create
from arriero.store.folder import ModelFolder
from arriero.store.names import parse_name
from arriero.store.ollama_store import StoredModel
from arriero.store.verify import verify
from tests.unit.store.models import add, listing
from tests.unit.store.test_gguf import write


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "models")


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.gguf")


def ignore(progress: Progress) -> None:
    """Nobody watches."""


def stored(folder: ModelFolder, name: str) -> StoredModel:
    found = folder.manifests.find(parse_name(name))
    assert found is not None
    return StoredModel(folder, found)


def layers(folder: ModelFolder, name: str) -> list[tuple[str, bytes]]:
    return [
        (layer.kind, b"" if layer.kind == "model" else folder.blobs.path(layer.digest).read_bytes())
        for layer in stored(folder, name).stored.manifest.layers
    ]


FULL = CreateRequest(
    model="mine",
    base="Tiny",
    template="{{ .Prompt }}",
    system="<Be> kind & brief.",
    licenses=("MIT", "Other"),
    parameters={"temperature": 0.5, "num_ctx": 4096.0, "stop": ["<|im_end|>"]},
    messages=(Message(role="user", content="hi"), Message(role="assistant", content="<ho>")),
)


def test_layers_are_ollamas(folder: ModelFolder, gguf: Path) -> None:
    reports: list[Progress] = []
    create(folder, FULL, gguf, reports.append)
    assert layers(folder, "mine") == [
        ("model", b""),
        ("template", b"{{ .Prompt }}"),
        ("system", b"<Be> kind & brief."),
        ("license", b"MIT"),
        ("license", b"Other"),
        ("params", b'{"num_ctx":4096,"stop":["\\u003c|im_end|\\u003e"],"temperature":0.5}\n'),
        (
            "messages",
            b'[{"role":"user","content":"hi"},{"role":"assistant","content":"\\u003cho\\u003e"}]\n',
        ),
    ]
    manifest = stored(folder, "mine").stored.manifest
    assert manifest.layers[0].from_ == "Tiny:latest"
    assert manifest.config is not None
    config = json.loads(folder.blobs.path(manifest.config.digest).read_bytes())
    assert config == {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama"],
        "model_type": "77K",
        "file_type": "Q8_0",
        "architecture": "amd64",
        "os": "linux",
    }
    statuses = [report.status for report in reports]
    weights = f"sha256:{hashlib.sha256(gguf.read_bytes()).hexdigest()}"
    assert f"creating new layer {weights}" in statuses
    assert statuses[-2:] == ["writing manifest", "success"]
    assert {one.verdict for one in verify(folder)} == {"ok"}


CALLED = Message(
    role="assistant",
    thinking="Look.",
    tool_calls=(
        ToolCall(name="weather", arguments={"city": "Oslo", "at": 5}, id="call_1"),
        ToolCall(name="add", arguments={}),
    ),
)
TOLD = Message(role="tool", content="12 C", tool_name="weather", tool_call_id="call_1")


def test_turns_are_kept_whole_as_ollama_writes_them(folder: ModelFolder, gguf: Path) -> None:
    create(folder, msgspec.structs.replace(FULL, messages=(CALLED, TOLD)), gguf, ignore)
    assert dict(layers(folder, "mine"))["messages"] == (
        b'[{"role":"assistant","content":"","thinking":"Look.","tool_calls":['
        b'{"id":"call_1","function":{"index":0,"name":"weather","arguments":{"city":"Oslo","at":5}}},'
        b'{"function":{"index":1,"name":"add","arguments":{}}}]},'
        b'{"role":"tool","content":"12 C","tool_name":"weather","tool_call_id":"call_1"}]\n'
    )
    assert Catalog({}, (), [folder]).find("mine").messages == (CALLED, TOLD)


def test_turns_with_images_are_not_served_without_them(folder: ModelFolder, gguf: Path) -> None:
    create(folder, FULL, gguf, ignore)
    for layer in stored(folder, "mine").stored.manifest.layers:
        if layer.kind == "messages":
            folder.blobs.path(layer.digest).write_bytes(b'[{"role":"user","content":"See?","images":["aGk="]}]')
    with pytest.raises(ModelLoadError, match=r"^the messages of model mine:latest have images"):
        Catalog({}, (), [folder]).find("mine")


def test_info_overrides_the_config(folder: ModelFolder, gguf: Path) -> None:
    info = {"model_family": "qwen3", "quantization_level": "Q3", "parameter_size": "9B", "base_name": "b"}
    request = msgspec.structs.replace(FULL, parser="p", info={**info, "context_length": 7, "capabilities": ["tools"]})
    create(folder, request, gguf, ignore)
    again = CreateRequest(model="again", base="mine", info={"capabilities": ["vision"]})
    create(folder, again, stored(folder, "mine"), ignore)
    found = []
    for name in ("mine", "again"):
        config = stored(folder, name).stored.manifest.config
        assert config is not None
        found.append(folder.blobs.path(config.digest).read_bytes())
    first, second = found
    assert first == (
        b'{"model_format":"gguf","model_family":"qwen3","model_families":["qwen3","llama"],"model_type":"9B",'
        b'"file_type":"Q3","parser":"p","capabilities":["tools"],"context_length":7,"base_name":"b",'
        b'"architecture":"amd64","os":"linux"}\n'
    )
    assert second == (
        b'{"model_format":"gguf","model_family":"llama","model_families":["llama"],"model_type":"77K",'
        b'"file_type":"Q8_0","parser":"p","capabilities":["tools","vision"],"architecture":"amd64","os":"linux"}\n'
    )


def test_a_created_model_is_described_with_its_parts(folder: ModelFolder, gguf: Path) -> None:
    create(folder, FULL, gguf, ignore)
    spec = Catalog({}, (), [folder]).find("MINE")
    assert spec.name == "mine:latest"
    assert (spec.system, spec.go_template, spec.license) == (FULL.system, FULL.template, "MIT\nOther")
    assert spec.options == {"num_ctx": 4096, "stop": ["<|im_end|>"], "temperature": 0.5}
    assert spec.messages == FULL.messages
    assert spec.details.parent_model == "Tiny:latest"
    assert spec.size == stored(folder, "mine").stored.manifest.size


def test_what_is_not_named_stays_the_bases(folder: ModelFolder, gguf: Path) -> None:
    create(folder, FULL, gguf, ignore)
    reports: list[Progress] = []
    changed = CreateRequest(model="next", base="mine", system="New.", parameters={"temperature": 1}, licenses=("X",))
    create(folder, changed, stored(folder, "mine"), reports.append)
    found = dict(layers(folder, "next"))
    assert [kind for kind, _ in layers(folder, "next")].count("system") == 1
    assert found["system"] == b"New."
    assert json.loads(found["params"]) == {"num_ctx": 4096, "stop": ["<|im_end|>"], "temperature": 1}
    assert found["template"] == b"{{ .Prompt }}"
    assert [text for kind, text in layers(folder, "next") if kind == "license"] == [b"MIT", b"Other", b"X"]
    weights = stored(folder, "next").stored.manifest.layers[0]
    assert weights.from_ == "mine:latest"
    assert f"using existing layer {weights.digest}" in [report.status for report in reports]


def test_a_base_of_another_folder_is_copied_and_checked(folder: ModelFolder, gguf: Path, tmp_path: Path) -> None:
    create(folder, FULL, gguf, ignore)
    other = ModelFolder(tmp_path / "other")
    create(other, CreateRequest(model="x", base="mine"), stored(folder, "mine"), ignore)
    copy(other, stored(folder, "mine"), "y", "mine")
    assert {one.verdict for one in verify(other)} == {"ok"}
    assert other.manifests.find(parse_name("y")) is not None
    weights = stored(folder, "mine").weights
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(InvalidRequest, match="digest mismatch"):
        copy(ModelFolder(tmp_path / "third"), stored(folder, "mine"), "y", "mine")


def test_a_copy_has_the_same_manifest(folder: ModelFolder, gguf: Path) -> None:
    create(folder, FULL, gguf, ignore)
    copy(folder, stored(folder, "mine"), "user/second:v1", "mine")
    assert stored(folder, "user/second:v1").digest == stored(folder, "mine").digest
    copy(folder, gguf, "third", "tiny")
    assert layers(folder, "third") == [("model", b"")]
    assert gguf.exists()


def test_uploaded_files_become_layers(folder: ModelFolder, gguf: Path) -> None:
    digest, _ = folder.blobs.put(gguf.read_bytes())
    create(folder, CreateRequest(model="x", files={"tiny.gguf": digest}), None, ignore)
    [layer] = stored(folder, "x").stored.manifest.layers
    assert (layer.kind, layer.digest, layer.from_) == ("model", digest, "")


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({}, "no files provided to convert"),
        ({"../x.gguf": "gguf"}, "file path must be relative"),
        ({"/x.gguf": "gguf"}, "file path must be relative"),
        ({"a/../../x.gguf": "gguf"}, "file path must be relative"),
        ({"x.gguf": "text"}, "supplied file was not in GGUF format"),
        ({"x": "text"}, "unknown type"),
        ({"x.gguf": "sha256:../../etc/passwd"}, "invalid digest format"),
        ({"x.gguf": "torn"}, "x.gguf: "),
    ],
)
def test_files_that_make_no_model(files: dict[str, str], text: str, folder: ModelFolder, gguf: Path) -> None:
    content = {"gguf": gguf.read_bytes(), "text": b"hello, world", "torn": gguf.read_bytes()[:100]}
    digests = {name: folder.blobs.put(data)[0] for name, data in content.items()}
    before = listing(folder.root)
    request = CreateRequest(model="x", files={name: digests.get(key, key) for name, key in files.items()})
    with pytest.raises(InvalidRequest) as raised:
        create(folder, request, None, ignore)
    assert raised.value.message.startswith(text)
    assert listing(folder.root) == before


def test_what_is_not_there_yet_says_so(folder: ModelFolder, gguf: Path) -> None:
    digest, _ = folder.blobs.put(gguf.read_bytes())
    with pytest.raises(NotImplementedYet, match="cannot be converted here"):
        create(folder, CreateRequest(model="x", files={"model.safetensors": digest}), None, ignore)
    other, _ = folder.blobs.put(write(gguf.with_name("b.gguf"), tokens=301).read_bytes())
    with pytest.raises(InvalidRequest, match="the weights of more than one model"):
        create(folder, CreateRequest(model="x", files={"a.gguf": digest, "b.gguf": other}), None, ignore)
    with pytest.raises(BlobNotFound, match=f'^blob "sha256:{"0" * 64}" not found$'):
        create(folder, CreateRequest(model="x", files={"a.gguf": f"sha256:{'0' * 64}"}), None, ignore)
    with pytest.raises(InvalidRequest, match="neither 'from' or 'files' was specified"):
        create(folder, CreateRequest(model="x"), None, ignore)


def test_giving_up_lists_nothing(folder: ModelFolder, gguf: Path) -> None:
    def report(progress: Progress) -> None:
        if progress.status == "writing manifest":
            raise Cancelled("gone")

    with pytest.raises(Cancelled):
        create(folder, FULL, gguf, report)
    assert folder.manifests.read_all() == ([], [])
    assert not list((folder.root / ".arriero" / "tmp").iterdir())


def test_adapters_and_projectors_are_known(folder: ModelFolder, gguf: Path) -> None:
    add(folder, "seeing", model=gguf.read_bytes(), projector=b"p", adapter=b"a")
    spec = Catalog({}, (), [folder]).find("seeing")
    assert [Path(path).read_bytes() for path in (*spec.projectors, *spec.adapters)] == [b"p", b"a"]

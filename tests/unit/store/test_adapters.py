"""Adapters of created models: GGUFs as they are, one at most, and only for the model that they were made for."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from arriero.core.errors import BlobNotFound, InvalidRequest, NotImplementedYet
from arriero.core.library import CreateRequest, Progress
from arriero.store.catalog import Catalog
from arriero.store.create import create
from arriero.store.folder import ModelFolder
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf
from tests.unit.store.models import listing

SHAPE = Shape(layers=1)


def write_adapter(
    path: Path,
    *,
    arch: str = "llama",
    kind: str = "lora",
    name: str = "blk.0.attn_q.weight",
    rows: int = 64,
    width: int = 64,
    seed: int = 3,
) -> Path:
    """A LoRA adapter of rank 2 for one tensor."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", kind)
    writer.add_float32("adapter.lora.alpha", 4.0)
    random = np.random.default_rng(seed)
    writer.add_tensor(f"{name}.lora_a", random.normal(0, 0.3, (2, width)).astype(np.float32))
    writer.add_tensor(f"{name}.lora_b", random.normal(0, 0.3, (rows, 2)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def ignore(progress: Progress) -> None:
    """Nobody watches."""


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "models")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "base.gguf", SHAPE)


def put(folder: ModelFolder, path: Path) -> str:
    return folder.blobs.put(path.read_bytes())[0]


def test_a_model_with_an_adapter(folder: ModelFolder, base: Path, tmp_path: Path) -> None:
    digest = put(folder, write_adapter(tmp_path / "a.gguf"))
    create(folder, CreateRequest(model="tuned", base="base", adapters={"a.gguf": digest}), base, ignore)
    spec = Catalog({}, (), [folder]).find("tuned")
    assert [Path(path) for path in spec.adapters] == [folder.blobs.path(digest)]
    assert Path(spec.path).read_bytes() == base.read_bytes()
    files = {"base.gguf": put(folder, base), "a.gguf": digest}
    create(folder, CreateRequest(model="both", files=files), None, ignore)
    assert Catalog({}, (), [folder]).find("both").adapters == spec.adapters


def test_what_is_no_adapter_for_this_model(folder: ModelFolder, base: Path, tmp_path: Path) -> None:
    made = {
        "good": put(folder, write_adapter(tmp_path / "a.gguf")),
        "qwen": put(folder, write_adapter(tmp_path / "b.gguf", arch="qwen2")),
        "kind": put(folder, write_adapter(tmp_path / "c.gguf", kind="ia3")),
        "far": put(folder, write_adapter(tmp_path / "d.gguf", name="blk.9.attn_q.weight")),
        "rows": put(folder, write_adapter(tmp_path / "e.gguf", rows=32)),
        "model": put(folder, base),
        "text": folder.blobs.put(b"hello, world")[0],
    }
    before = listing(folder.root)

    def refused(adapters: dict[str, str]) -> str:
        with pytest.raises(InvalidRequest) as raised:
            create(folder, CreateRequest(model="x", base="base", adapters=adapters), base, ignore)
        assert not [name for name in listing(folder.root) - before if name.startswith("manifests")]
        return raised.value.message

    assert refused({"a.gguf": made["good"], "b.gguf": made["good"]}) == "only one adapter is currently supported"
    assert refused({"a.gguf": made["qwen"]}) == (
        "the adapter is for models of the architecture qwen2, this one is llama"
    )
    assert refused({"a.gguf": made["kind"]}) == "adapters of type ia3 are not supported, only LoRA"
    assert refused({"a.gguf": made["far"]}) == (
        "the base model has nothing for the adapter's blk.9.attn_q.weight; is it for another one?"
    )
    assert refused({"a.gguf": made["rows"]}) == (
        "the adapter's blk.0.attn_q.weight is of another shape than the base model's"
    )
    assert refused({"a.gguf": made["model"]}) == "a.gguf is a GGUF, but no LoRA adapter"
    assert refused({"a.gguf": made["text"]}) == "supplied file was not in GGUF format"
    assert refused({"../a.gguf": made["good"]}) == "file path must be relative"
    with pytest.raises(BlobNotFound):
        create(folder, CreateRequest(model="x", base="base", adapters={"a": f"sha256:{'0' * 64}"}), base, ignore)
    with pytest.raises(InvalidRequest, match=r"^none of the files holds a model's weights$"):
        create(folder, CreateRequest(model="x", files={"a.gguf": made["good"]}), None, ignore)
    with pytest.raises(NotImplementedYet):
        create(folder, CreateRequest(model="x", base="base", adapters={"a.safetensors": made["text"]}), base, ignore)

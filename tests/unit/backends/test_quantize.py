"""Quantizing in a process of its own: every type, refusals, giving up, and models made with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from arriero.backends.quantize import quantize
from arriero.core.errors import Cancelled, InvalidOption, InvalidRequest, StoreError
from arriero.core.library import CreateRequest, Progress
from arriero.service.library import Library
from arriero.store.catalog import Catalog
from arriero.store.describe import FILE_TYPES, quantization
from arriero.store.gguf import read_header
from arriero.store.ollama_store import StoredModel
from arriero.store.places import Stores
from arriero.store.quantization import NEED_MATRIX, quantization_type
from arriero.store.verify import verify
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf
from tests.unit.store.models import listing

WIDE = Shape(embd=256, ff=256, layers=1, heads=4, heads_kv=2, head_dim=64, quant="F16")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("weights") / "f16.gguf", WIDE)


def nothing() -> None:
    """Nobody waits."""


@pytest.mark.parametrize("name", sorted(set(FILE_TYPES.values()) - NEED_MATRIX))
def test_every_type(name: str, weights: Path, tmp_path: Path) -> None:
    known, number = quantization_type(name.lower())
    quantize(weights, tmp_path / "out.gguf", number, nothing)
    assert quantization(read_header(tmp_path / "out.gguf")) == known == name


def test_names() -> None:
    assert quantization_type("q4_k") == ("Q4_K_M", 15)
    with pytest.raises(InvalidRequest, match="IQ2_XS needs an importance matrix"):
        quantization_type("iq2_xs")
    with pytest.raises(InvalidOption) as raised:
        quantization_type("q9")
    assert raised.value.message == (
        "unsupported quantization type Q9 - supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0"
    )


def test_what_llama_cpp_refuses_it_says(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="imatrix"):
        quantize(weights, tmp_path / "out.gguf", 19, nothing)
    (tmp_path / "torn.gguf").write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(StoreError, match=r"^cannot quantize torn\.gguf: "):
        quantize(tmp_path / "torn.gguf", tmp_path / "out.gguf", 2, nothing)


def test_giving_up_ends_the_process(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arriero.backends.program.TICK_S", 0.001)
    seen: list[psutil.Process] = []

    def give_up() -> None:
        seen.extend(psutil.Process().children())
        raise Cancelled("gone")

    with pytest.raises(Cancelled):
        quantize(weights, tmp_path / "out.gguf", 2, give_up)
    assert seen
    until = time.monotonic() + 10
    while any(one.is_running() and "quantize" in " ".join(one.cmdline()) for one in seen):
        assert time.monotonic() < until
        time.sleep(0.01)


async def made(library: Library, **fields: Any) -> list[Progress]:
    return [one async for one in library.create(CreateRequest(**fields))]


async def test_models_are_quantized(weights: Path, tmp_path: Path) -> None:
    async def unload(name: str) -> None:
        """Nothing is loaded."""

    stores = Stores(tmp_path / "models")
    catalog = Catalog({"big": weights}, (), stores.folders)
    library = Library(catalog, stores, unload)
    statuses = [one.status for one in await made(library, model="small", base="big", quantize="q4_K_M", system="Hi.")]
    assert statuses[0] == "quantizing F16 model to Q4_K_M"
    assert statuses[-1] == "success"
    spec = catalog.find("small")
    assert (spec.details.quantization, spec.details.parent_model, spec.system) == ("Q4_K_M", "big:latest", "Hi.")
    assert Path(spec.path).stat().st_size < weights.stat().st_size / 2
    assert len([name for name in listing(tmp_path / "models") if name.startswith("blobs/")]) == 3  # no copy of F16
    await made(library, model="copy", base="big")
    await made(library, model="other", base="copy", quantize="q8_0")
    assert catalog.find("other").details.quantization == "Q8_0"
    _, entry = catalog.locate("other")
    assert isinstance(entry, StoredModel)
    config = stores.folders[0].manifests.find(entry.name)
    assert config is not None
    assert config.manifest.config is not None
    assert b'"file_type":"Q8_0"' in stores.folders[0].blobs.path(config.manifest.config.digest).read_bytes()
    same = [one.status for one in await made(library, model="same", base="copy", quantize="f16")]
    assert not [status for status in same if status.startswith("quantizing")]
    with pytest.raises(InvalidOption, match=r"^quantization is only supported for F16, BF16 and F32 models$"):
        await made(library, model="again", base="other", quantize="q4_0")
    assert {one.verdict for one in verify(stores.folders[0])} == {"ok"}
    assert not list((tmp_path / "models" / ".arriero" / "tmp").iterdir())

"""Conversion in a process of its own: progress, reasons, giving up, and models made with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from arriero.backends.convert import convert
from arriero.core.errors import Cancelled, InvalidRequest, StoreError
from arriero.core.library import Conversion, CreateRequest, Progress
from arriero.service.library import Library
from arriero.store.catalog import Catalog
from arriero.store.describe import quantization
from arriero.store.folder import ModelFolder
from arriero.store.gguf import read_header
from arriero.store.places import Stores
from arriero.store.verify import verify
from tests.unit.convert.decoders import FAMILIES
from tests.unit.convert.folders import files_in
from tests.unit.store.models import listing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FAMILIES["qwen2"](tmp_path / "weights")
    return tmp_path / "weights"


def conversion(folder: Path, target: Path) -> Conversion:
    return Conversion(files={name: str(path) for name, path in files_in(folder).items()}, target=str(target))


def test_progress_and_reasons(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert convert(conversion(folder, tmp_path / "out.gguf"), lambda done, total: seen.append((done, total))) == []
    assert seen[-1][0] == seen[-1][1] > 0
    assert seen == sorted(seen)
    (folder / "config.json").unlink()
    with pytest.raises(InvalidRequest, match=r"^config\.json is missing$"):
        convert(conversion(folder, tmp_path / "out.gguf"), lambda done, total: None)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("config.json", '{"architectures": ["Qwen2ForCausalLM"], "num_hidden_layers": 3}', "hidden_size is missing"),
        ("tokenizer.json", '{"model": {"vocab": {"a": 0}, "merges": [1]}, "added_tokens": 7}', "do not fit together"),
        (
            "tokenizer.json",
            '{"model": {"byte_fallback": true, "vocab": {"a": 0}, "merges": ["a b c"]}}',
            "'a b c' is no merge of two tokens",
        ),
        ("tokenizer.json", '{"model": {"vocab": {"a": -1}, "merges": ["a a"]}}', "a token with the id -1"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": {"content": "x"}}}', "has no id or content"),
        ("special_tokens_map.json", "[]", "holds no JSON object"),
        ("tokenizer.json", "{" * 100_000, "is not JSON"),
    ],
)
def test_files_that_hold_odd_things(name: str, text: str, reason: str, folder: Path, tmp_path: Path) -> None:
    """They are the files' fault, never a failure of the server."""
    (folder / name).write_text(text)
    with pytest.raises(InvalidRequest) as raised:
        convert(conversion(folder, tmp_path / "out.gguf"), lambda done, total: None)
    assert reason in raised.value.message
    assert not (tmp_path / "out.gguf").exists()


def test_a_target_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        convert(conversion(folder, tmp_path / "nowhere" / "out.gguf"), lambda done, total: None)


def test_giving_up_ends_the_process(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arriero.backends.program.TICK_S", 0.001)
    seen: list[psutil.Process] = []

    def give_up(done: int, total: int) -> None:
        seen.extend(child for child in psutil.Process().children() if "arriero.convert" in child.cmdline())
        if seen:
            raise Cancelled("gone")

    with pytest.raises(Cancelled):
        convert(conversion(folder, tmp_path / "out.gguf"), give_up)
    assert seen
    until = time.monotonic() + 10
    while any(one.is_running() for one in seen):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def models(tmp_path: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "models")


@pytest.fixture
def library(models: ModelFolder) -> Library:
    stores = Stores(models.root)

    async def unload(name: str) -> None:
        """Nothing is loaded."""

    return Library(Catalog({}, (), [models]), stores, unload)


def uploaded(models: ModelFolder, folder: Path) -> dict[str, str]:
    return {name: models.blobs.put(path.read_bytes())[0] for name, path in files_in(folder).items()}


async def made(library: Library, **fields: Any) -> list[Progress]:
    return [one async for one in library.create(CreateRequest(**fields))]


async def test_models_are_converted(library: Library, models: ModelFolder, folder: Path) -> None:
    files = uploaded(models, folder)
    reports = await made(library, model="own", files=files, system="Be kind.")
    statuses = [one.status for one in reports]
    assert statuses[0] == "converting model"
    assert statuses[-2:] == ["writing manifest", "success"]
    assert any(one.completed == one.total > 0 for one in reports if one.status == "converting model")
    spec = Catalog({}, (), [models]).find("own")
    assert quantization(read_header(Path(spec.path))) == "F16"
    await made(library, model="small", files=files, quantize="q8_0")
    small = Catalog({}, (), [models]).find("small")
    assert quantization(read_header(Path(small.path))) == "Q8_0"
    assert {one.verdict for one in verify(models)} == {"ok"}
    assert not list((models.root / ".arriero" / "tmp").iterdir())


async def test_what_makes_no_model_leaves_nothing(library: Library, models: ModelFolder, folder: Path) -> None:
    files = uploaded(models, folder)
    before = listing(models.root)
    without = {name: digest for name, digest in files.items() if name != "tokenizer.json"}
    with pytest.raises(InvalidRequest, match=r"^tokenizer\.json and tokenizer\.model are missing$"):
        await made(library, model="own", files=without)
    with pytest.raises(InvalidRequest, match="file path must be relative"):
        await made(library, model="own", files=files | {"../x.json": files["config.json"]})
    pickled = {"pytorch_model.bin": files["config.json"], "config.json": files["config.json"]}
    with pytest.raises(InvalidRequest, match=r"^pytorch_model\.bin is a PyTorch file"):
        await made(library, model="own", files=pickled)
    assert listing(models.root) == before
    assert not list((models.root / ".arriero" / "tmp").iterdir())

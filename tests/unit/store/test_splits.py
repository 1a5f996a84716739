"""GGUFs in several parts: found, described, merged, and refused where a part is missing or not of the model."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import pytest

from arriero.core.errors import InvalidRequest, ModelLoadError
from arriero.core.library import CreateRequest, Progress
from arriero.store.catalog import Catalog
from arriero.store.create import copy, create
from arriero.store.describe import shown
from arriero.store.folder import ModelFolder
from arriero.store.gguf import read_header
from arriero.store.in_place import HuggingFaceCache, LmStudioFolder
from arriero.store.names import name_from_file
from arriero.store.splits import is_later_part, parts_of, read_whole, stem_of
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf
from tests.unit.store.models import listing

SHAPE = Shape(layers=3)


def split(whole: Path, stem: str, tensors: int, *, first_empty: bool = False) -> list[Path]:
    """Write the GGUF in parts of that many tensors, as llama.cpp's tool does; return them."""
    reader = gguf.GGUFReader(whole)
    arch = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(
        whole.with_name(f"{stem}.gguf"), arch, split_max_tensors=tensors, small_first_shard=first_empty
    )
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(whole.parent.glob(f"{stem}-*.gguf"))


def ignore(progress: Progress) -> None:
    """Nobody watches."""


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return write_gguf(tmp_path / "files" / "whole.gguf", SHAPE)


@pytest.fixture
def parts(whole: Path) -> list[Path]:
    return split(whole, "big", 12)


def data(path: Path) -> dict[str, bytes]:
    return {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(path).tensors}


def test_names(parts: list[Path]) -> None:
    assert [path.name for path in parts] == [f"big-0000{at}-of-00003.gguf" for at in (1, 2, 3)]
    assert parts_of(parts[0]) == parts
    assert parts_of(Path("x.gguf")) == [Path("x.gguf")]
    assert [is_later_part(path) for path in parts] == [False, True, True]
    assert stem_of(parts[1].stem) == "big"
    assert name_from_file(parts[0].stem) == "big"


def test_they_are_described_as_one(whole: Path, parts: list[Path]) -> None:
    folder = whole.parent
    catalog = Catalog({}, [folder])
    assert sorted(spec.name for spec in catalog.models()) == ["big:latest", "demo:latest", "whole:latest"]
    one, other = catalog.find("big"), catalog.find("whole")
    assert one.path == str(parts[0])
    assert one.size == sum(path.stat().st_size for path in parts)
    assert (one.details, one.capabilities) == (other.details, other.capabilities)
    tensors = {tensor["name"] for tensor in shown(one, verbose=False).tensors}
    assert tensors == {tensor["name"] for tensor in shown(other, verbose=False).tensors}
    before = one.digest
    parts[2].unlink()
    with pytest.raises(ModelLoadError, match="big-00003-of-00003"):
        Catalog({}, [folder]).find("big")
    with pytest.raises(ModelLoadError, match="must be named NAME-00001-of-00003"):
        read_whole(shutil.copy(parts[0], folder / "renamed.gguf"))
    assert before != other.digest


def test_in_other_programs_folders(parts: list[Path], tmp_path: Path) -> None:
    repo = tmp_path / "lm" / "ana" / "big"
    repo.mkdir(parents=True)
    blobs = tmp_path / "hub" / "models--ana--big"
    (blobs / "snapshots" / "abcdef0").mkdir(parents=True)
    (blobs / "blobs").mkdir()
    for path in parts:
        name = path.name.replace("big", "big-Q4_K_M")
        shutil.copy(path, repo / name)
        (blobs / "blobs" / str(path.stat().st_ino)).write_bytes(path.read_bytes())
        (blobs / "snapshots" / "abcdef0" / name).symlink_to(blobs / "blobs" / str(path.stat().st_ino))
    catalog = Catalog({}, others=[HuggingFaceCache(tmp_path / "hub"), LmStudioFolder(tmp_path / "lm")])
    assert {spec.name for spec in catalog.models()} == {"hf.co/ana/big:Q4_K_M", "ana/big:Q4_K_M", "demo:latest"}
    linked = catalog.find("hf.co/ana/big")
    assert linked.path.endswith("big-Q4_K_M-00001-of-00003.gguf")  # its links have the names that parts need
    assert linked.details.parameter_count == read_header(tmp_path / "files" / "whole.gguf").parameter_count


@pytest.mark.parametrize("first_empty", [False, True])
def test_they_are_merged(first_empty: bool, whole: Path, tmp_path: Path) -> None:
    parts = split(whole, "parts", 7, first_empty=first_empty)
    models = ModelFolder(tmp_path / "models")
    files = {f"any{9 - at}.gguf": models.blobs.put(path.read_bytes())[0] for at, path in enumerate(parts)}
    reports: list[Progress] = []
    create(models, CreateRequest(model="one", files=files), None, reports.append)
    assert "merging GGUF files" in [report.status for report in reports]
    merged = Path(Catalog({}, (), [models]).find("one").path)
    assert data(merged) == data(whole)
    ours, theirs = read_header(merged), read_header(whole)
    assert ours.values == theirs.values
    assert [tensor.name for tensor in ours.tensors] == [tensor.name for tensor in theirs.tensors]
    create(models, CreateRequest(model="two", base="parts"), parts[0], ignore)
    copy(models, parts[0], "three", "parts")
    blobs = [name for name in listing(models.root) if name.startswith("blobs/")]
    assert len(blobs) == len(parts) + 2  # what was uploaded, one merged, one config


def test_what_makes_no_model(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    models = ModelFolder(tmp_path / "models")
    digests = [models.blobs.put(path.read_bytes())[0] for path in parts]
    other = [models.blobs.put(path.read_bytes())[0] for path in split(whole, "other", 9)]
    before = listing(models.root)

    def refused(*found: str) -> str:
        files = {f"{at}.gguf": digest for at, digest in enumerate(found)}
        with pytest.raises(InvalidRequest) as raised:
            create(models, CreateRequest(model="x", files=files), None, ignore)
        assert set(listing(models.root)) == set(before)
        return raised.value.message

    assert refused(*digests[:2]) == "the model has 3 parts, and 2 are there"
    assert refused(*digests[1:]).endswith("is not part 1 of 3 of this model")
    assert refused(digests[0], digests[1], digests[1]).endswith("is not part 3 of 3 of this model")
    assert refused(digests[0], digests[1], other[3]).endswith("of this model")
    several = [whole, write_gguf(tmp_path / "b.gguf", Shape(layers=1))]
    digests = [models.blobs.put(path.read_bytes())[0] for path in several]
    before = listing(models.root)
    assert refused(*digests) == "the files hold the weights of more than one model"

"""Safetensors: shards, types of numbers, and files that are broken or mean harm."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.convert.model import convert
from arriero.convert.source import Source
from arriero.convert.weights import Weights
from arriero.core.errors import InvalidRequest
from tests.unit.convert.decoders import FAMILIES
from tests.unit.convert.folders import Array, files_in, write_json, write_weights

INDEX = "model.safetensors.index.json"


def store(path: Path, tensors: dict[str, tuple[str, list[int], bytes]], *, cut: int = 0) -> None:
    """Write a safetensors file by hand: types that numpy lacks, and lies."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    raw = json.dumps(header).encode()
    data = len(raw).to_bytes(8, "little") + raw + body
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data[: len(data) - cut])


def bf16(values: Array) -> bytes:
    return bytes((values.astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes())


def refused(folder: Path) -> str:
    """The reason, and nothing was written."""
    with pytest.raises(InvalidRequest) as raised:
        convert(files_in(folder), folder.parent / "out.gguf", lambda done, total: None)
    assert not (folder.parent / "out.gguf").exists()
    return raised.value.message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FAMILIES["qwen3"](tmp_path / "model")
    return tmp_path / "model"


def sharded(folder: Path) -> dict[str, str]:
    """Put the tensors into two files with an index, and return its map."""
    tensors = {tensor.name: tensor.floats() for tensor in Weights(Source(files_in(folder)))}
    names = sorted(tensors)
    places = {name: f"model-0000{1 + at % 2}-of-00002.safetensors" for at, name in enumerate(names)}
    for file in set(places.values()):
        write_weights(folder, {name: tensors[name] for name in names if places[name] == file}, file)
    (folder / "model.safetensors").unlink()
    write_json(folder, INDEX, {"metadata": {}, "weight_map": places})
    return places


def test_shards(folder: Path) -> None:
    def tensors(target: Path) -> dict[str, bytes]:
        convert(files_in(folder), target, lambda done, total: None)
        return {tensor.name: tensor.data.tobytes() for tensor in GGUFReader(target).tensors}

    whole = tensors(folder.parent / "whole.gguf")
    sharded(folder)
    assert tensors(folder.parent / "shards.gguf") == whole
    (folder / INDEX).unlink()  # nobody needs it where the files are all there
    assert tensors(folder.parent / "again.gguf") == whole


def test_indexes_that_lead_elsewhere(folder: Path) -> None:
    places = sharded(folder)
    name = next(iter(places))
    for file in ("../model.safetensors", "/etc/passwd", "a/../../b.safetensors", "", "a\\b"):
        write_json(folder, INDEX, {"weight_map": places | {name: file}})
        assert refused(folder) == f"{INDEX} names a file outside the model's folder: {file!r}"
    write_json(folder, INDEX, {"weight_map": places | {name: "model-00003-of-00003.safetensors"}})
    assert refused(folder) == "model-00003-of-00003.safetensors is missing"
    write_json(folder, INDEX, {"weight_map": places | {"model.more.weight": places[name]}})
    assert refused(folder) == f"{INDEX} says that {places[name]} holds tensor model.more.weight, which is not there"
    write_json(folder, INDEX, {"weight_map": [1]})
    assert refused(folder) == f"{INDEX} has no weight_map"
    write_json(folder, INDEX, {"weight_map": places})
    write_weights(folder, {name: np.zeros((2, 2), np.float32)}, "model-00002-of-00002.safetensors")
    assert (
        refused(folder)
        == f"tensor {name} is in model-00001-of-00002.safetensors and in model-00002-of-00002.safetensors"
    )


def test_truncated_and_lying_files(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    for size in (0, 7, 8, 100):
        path.write_bytes(data[:size])
        assert refused(folder).startswith("model.safetensors is not a safetensors file")
    path.write_bytes(data[:-1])
    assert refused(folder).startswith("model.safetensors is truncated: tensor ")
    path.write_bytes(b"\xff" * 8 + data[8:])
    assert "its header has 18446744073709551615 bytes" in refused(folder)
    for entry, text in (
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "takes 4 bytes, which is not its shape's size"),
        ({"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}, "has an impossible shape or place"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}, "takes -8 bytes, which is not its shape's size"),
        ({"dtype": "F32", "shape": [2] * 9, "data_offsets": [0, 8]}, "has an impossible shape or place"),
        ({"dtype": "F32", "shape": "x"}, "is not described as safetensors demands"),
        ([], "is not described as safetensors demands"),
    ):
        raw = json.dumps({"x": entry}).encode()
        path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(8))
        assert refused(folder) == f"model.safetensors: tensor x {text}"


def test_tensors_that_do_not_fit_the_configuration(folder: Path) -> None:
    tensors = {tensor.name: tensor.floats() for tensor in Weights(Source(files_in(folder)))}
    one = "model.layers.1.mlp.up_proj.weight"
    write_weights(folder, {name: values for name, values in tensors.items() if name != one})
    assert refused(folder) == "the weights have nothing for blk.1.ffn_up.weight"
    write_weights(folder, tensors | {one: tensors[one].T})
    assert refused(folder) == "blk.1.ffn_up.weight has the shape [64, 96], where config.json makes it [96, 64]"
    write_weights(folder, tensors | {"model.layers.0.mystery.weight": tensors[one]})
    assert refused(folder) == "tensor model.layers.0.mystery.weight has no place in this architecture"
    write_weights(folder, tensors | {"model.layers.7.mlp.up_proj.weight": tensors[one]})
    assert refused(folder) == "tensor model.layers.7.mlp.up_proj.weight has no place in this architecture"
    store(folder / "extra.safetensors", {"model.layers.0.x": ("F8_E4M3", [4], b"1234")})
    write_weights(folder, {name: values for name, values in tensors.items() if name != "model.norm.weight"})
    store(folder / "extra.safetensors", {"model.norm.weight": ("F8_E4M3", [64], bytes(64))})
    assert refused(folder) == "tensor model.norm.weight is of type F8_E4M3; F32, F16 and BF16 can be converted"
    (folder / "extra.safetensors").unlink()
    write_weights(folder, tensors)
    config = json.loads((folder / "config.json").read_text())
    write_json(folder, "config.json", config | {"tie_word_embeddings": False})
    assert refused(folder) == "tensor lm_head.weight is missing, and the embedding is not tied to it"
    write_json(folder, "config.json", config | {"quantization_config": {"quant_method": "gptq"}})
    assert refused(folder) == "the weights are quantized already; give the original ones (F32, F16 or BF16)"
    (folder / "config.json").write_text("[1]")
    assert refused(folder) == "config.json holds no JSON object"
    (folder / "config.json").write_text("{")
    assert refused(folder).startswith("config.json is not JSON: ")
    (folder / "config.json").unlink()
    assert refused(folder) == "config.json is missing"


@pytest.mark.parametrize(
    ("kind", "scale", "written"),
    [("BF16", 1.0, "BF16"), ("F16", 1.0, "F16"), ("F32", 1.0, "F16"), ("F32", 1e6, "F32"), ("F64", 1.0, "F16")],
)
def test_types_of_numbers(kind: str, scale: float, written: str, folder: Path) -> None:
    """BF16 stays, F32 becomes F16 unless a value does not fit; vectors are always F32. No value changes."""
    dtypes = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
    tensors = {}
    for tensor in Weights(Source(files_in(folder))):
        values = (np.round(tensor.floats() * 64) / 64 * scale).astype(np.float32)
        raw = bf16(values) if kind == "BF16" else values.astype(dtypes[kind]).tobytes()
        tensors[tensor.name] = (kind, list(tensor.shape), raw)
    (folder / "model.safetensors").unlink()
    store(folder / "model.safetensors", tensors)
    convert(files_in(folder), folder.parent / "out.gguf", lambda done, total: None)
    read = {tensor.name: tensor for tensor in GGUFReader(folder.parent / "out.gguf").tensors}
    up = read["blk.0.ffn_up.weight"]
    assert up.tensor_type.name == written
    assert read["blk.0.attn_q_norm.weight"].tensor_type.name == "F32"
    expected = Weights(Source(files_in(folder)))["model.layers.0.mlp.up_proj.weight"].floats()
    raw = up.data.view(np.uint16).astype(np.uint32) << 16 if written == "BF16" else up.data
    got = raw.view(np.float32) if written == "BF16" else raw.astype(np.float32)
    assert np.array_equal(got.reshape(expected.shape), expected)


@given(st.binary(max_size=200), st.integers(0, 300))
@settings(max_examples=200, deadline=None)
def test_noise_is_no_model(noise: bytes, length: int) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(length.to_bytes(8, "little") + noise)
        file.flush()
        try:
            names = [tensor.name for tensor in Weights(Source({"model.safetensors": Path(file.name)}))]
        except InvalidRequest:
            return  # with a reason, whatever the bytes
    assert set(names) == set(json.loads(noise[:length])) - {"__metadata__"}


def test_an_embedding_of_more_rows_than_tokens_can_be_is_refused(folder: Path) -> None:
    """Its bytes say nothing where a dimension is 0: filling the vocabulary up to its rows took all memory."""
    weights = {
        tensor.name: (tensor.kind, list(tensor.shape), bytes(tensor.raw().tobytes()))
        for tensor in Weights(Source(files_in(folder)))
    }
    store(folder / "model.safetensors", weights | {"model.embed_tokens.weight": ("F32", [2**40, 0], b"")})
    assert "1099511627776" in refused(folder)

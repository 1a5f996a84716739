"""The header reader against files made by the gguf package, and against hostile ones."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.errors import ModelLoadError
from arriero.store import gguf
from arriero.store.gguf import read_header


def write(path: Path, *, tokens: int = 300) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(256)
    writer.add_head_count(4)
    writer.add_head_count_kv([2, 1])
    writer.add_block_count(2)
    writer.add_file_type(7)
    writer.add_token_list([f"t{i}" for i in range(tokens)])
    writer.add_chat_template("{{ messages }}")
    writer.add_tensor("token_embd.weight", np.zeros((tokens, 256), dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.ones(256, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_reads_what_the_reference_writer_wrote(tmp_path: Path) -> None:
    header = read_header(write(tmp_path / "a.gguf"))
    assert header.architecture == "llama"
    assert header.arch("context_length") == 2048
    assert header.arch("attention.head_count_kv") == 2  # a value a layer: the largest
    assert header.arch("no_such_key", 7) == 7
    assert header.values["tokenizer.chat_template"] == "{{ messages }}"
    assert header.values["tokenizer.ggml.tokens"] == []  # too long to keep
    assert header.array_lengths["tokenizer.ggml.tokens"] == 300
    assert header.parameter_count == 300 * 256 + 256
    assert [(t.name, t.type, t.shape, t.size) for t in header.tensors] == [
        ("token_embd.weight", "F32", (256, 300), 300 * 256 * 4),
        ("output_norm.weight", "F32", (256,), 256 * 4),
    ]


def test_keeps_long_arrays_on_demand(tmp_path: Path) -> None:
    header = read_header(write(tmp_path / "a.gguf"), keep_arrays=10**6)
    assert header.values["tokenizer.ggml.tokens"][:2] == ["t0", "t1"]


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.gguf", tokens=8).read_bytes()
    path = tmp_path / "cut.gguf"
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelLoadError, match=r"cut\.gguf"):
            read_header(path)


def test_missing_file_and_directory_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="No such file"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(ModelLoadError, match="directory"):
        read_header(tmp_path)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (struct.pack("<IQQ", 3, 2**60, 0), "tensors"),
        (struct.pack("<IQQ", 3, 0, 2**60), "keys"),
        (struct.pack("<IQQQ", 3, 0, 1, 2**62), "string of"),
        (struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 77), "value of type 77"),
        (struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 9, 1), "array of type 9"),
        (struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 8, 2**60), "ends inside"),
        (struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 4, 2**60), "ends inside"),
        (struct.pack("<IQQQ1sI", 3, 1, 0, 1, b"t", 9), "9 dimensions"),
        (struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (struct.pack("<IQQ", 3, 0, 2) + 2 * struct.pack("<Q1sIB", 1, b"k", 0, 7), "key 'k' twice"),
        (struct.pack("<IQQ", 3, 2, 0) + 2 * struct.pack("<Q1sIQIQ", 1, b"t", 1, 1, 0, 0), "the same name"),
        (
            struct.pack("<IQQ", 3, 2, 0)
            + b"".join(struct.pack("<Q1sIQIQ", 1, name, 1, 2**62, 77, 0) for name in (b"t", b"u")),
            "impossible shapes",
        ),
    ],
)
def test_hostile_counts_and_types_are_refused(tmp_path: Path, body: bytes, why: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + body + bytes(64))
    with pytest.raises(ModelLoadError, match=why):
        read_header(path)


def test_headers_longer_than_one_read_are_read_whole_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.gguf")
    whole = read_header(path)
    monkeypatch.setattr(gguf, "_FIRST_READ", 32)
    assert read_header(path) == whole
    monkeypatch.setattr(gguf, "MAX_HEADER", 1000)
    with pytest.raises(ModelLoadError, match="more than 1000 bytes"):
        read_header(path)


def test_a_pipe_is_no_model_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(ModelLoadError, match="not a GGUF"):
        read_header(tmp_path / "pipe.gguf")


@settings(max_examples=300, deadline=None)
@given(position=st.integers(4, 700), value=st.binary(min_size=1, max_size=8))
def test_flipped_bytes_never_crash(tmp_path_factory: pytest.TempPathFactory, position: int, value: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    original = folder / "fuzz-source.gguf"
    if not original.exists():
        write(original, tokens=8)
    raw = bytearray(original.read_bytes())
    raw[position : position + len(value)] = value
    path = folder / "fuzz.gguf"
    path.write_bytes(raw)
    try:
        header = read_header(path)
    except ModelLoadError:
        return
    assert header.file_size == len(raw)

"""A bounded reader of GGUF headers: keys, values and tensor descriptions, never tensor data.

Hostile input: every count, length and offset is checked against the file before it is used. The header is read, not
mapped: a file that shrinks meanwhile, or a disk that fails, is an error and not the end of the process. Format: the
GGUF specification in ggml's docs/gguf.md (versions 2 and 3, little endian).
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arriero.core.errors import ModelLoadError

MAGIC = b"GGUF"
MAX_KEYS = 65_536
MAX_TENSORS = 262_144
MAX_KEY_LENGTH = 65_535
MAX_STRING = 64 * 1024 * 1024
MAX_DIMS = 4
MAX_HEADER = 256 * 1024 * 1024
"""Bytes; the largest known vocabularies make headers of some 20 MB."""
_FIRST_READ = 1024 * 1024

_SCALARS: dict[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_STRING, _ARRAY = 8, 9
_BIG_ENDIAN = (2 << 24, 3 << 24)
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")

# type id: (name, elements a block, bytes a block); ggml.h's enum ggml_type and its traits
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor as the header describes it; `shape` in ggml's order, `offset` from the start of the data."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    size: int | None  # bytes; None for a type this table does not know
    type_id: int = 0  # in ggml.h's enum ggml_type

    @property
    def elements(self) -> int:
        """Number of elements."""
        count = 1
        for dim in self.shape:
            count *= dim
        return count


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says before its tensors' data. `digest` is SHA-256 of the header's bytes.

    `places` tells where each key's entry begins and ends in the file.
    """

    version: int
    values: dict[str, Any]
    array_lengths: dict[str, int]
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    file_size: int
    digest: str
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """The value of general.architecture, or an empty string."""
        return str(self.values.get("general.architecture", ""))

    @property
    def parameter_count(self) -> int:
        """Elements of all tensors."""
        return sum(tensor.elements for tensor in self.tensors)

    def arch(self, key: str, default: int = 0) -> int:
        """The integer `<architecture>.<key>`; of a list (one value a layer) the largest."""
        value = self.values.get(f"{self.architecture}.{key}", default)
        if isinstance(value, list):
            value = max((v for v in value if isinstance(v, int)), default=default)
        return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else default

    def text(self, key: str) -> str:
        """The string at `key`; empty where there is none, or something else."""
        value = self.values.get(key)
        return value if isinstance(value, str) else ""


class _More(Exception):
    """The header goes on behind what has been read of the file."""


class _Reader:
    def __init__(self, path: Path, data: bytes, size: int, keep_arrays: int) -> None:
        self.path, self.data, self.size, self.keep_arrays = path, data, size, keep_arrays
        self.at, self.end = 0, len(data)
        self.array_lengths: dict[str, int] = {}

    def fail(self, why: str) -> ModelLoadError:
        return ModelLoadError(f"{self.path.name} is not a usable GGUF file: {why}", path=str(self.path))

    def need(self, count: int) -> None:
        if count > self.end - self.at:
            raise self.beyond(self.at, count)

    def beyond(self, at: int, count: int) -> Exception:
        """What to raise where `count` bytes from `at` are not among those that were read."""
        return self.fail(f"it ends inside its header (at byte {at})") if count > self.size - at else _More()

    def scalar(self, kind: struct.Struct) -> Any:
        self.need(kind.size)
        (value,) = kind.unpack_from(self.data, self.at)
        self.at += kind.size
        return value

    def string(self, limit: int) -> str:
        length = self.scalar(_U64)
        if length > limit:
            raise self.fail(f"a string of {length} bytes at byte {self.at}")
        self.need(length)
        raw = self.data[self.at : self.at + length]
        self.at += length
        return raw.decode("utf-8", "replace")

    def skip_strings(self, count: int) -> None:
        data, at, end, unpack = self.data, self.at, self.end, _U64.unpack_from
        for _ in range(count):
            if end - at < 8:
                raise self.beyond(at, 8)
            length = unpack(data, at)[0]
            at += 8
            if length > end - at:
                raise self.beyond(at, length)
            at += length
        self.at = at

    def array(self, key: str) -> list[Any]:
        kind, count = self.scalar(_U32), self.scalar(_U64)
        self.array_lengths[key] = count
        if kind == _STRING:
            self.need(count * 8)
            if count > self.keep_arrays:
                self.skip_strings(count)
                return []
            return [self.string(MAX_STRING) for _ in range(count)]
        scalar = _SCALARS.get(kind)
        if scalar is None:
            raise self.fail(f"an array of type {kind} in {key!r}")
        self.need(count * scalar.size)
        start, self.at = self.at, self.at + count * scalar.size
        if count > self.keep_arrays:
            return []
        return [value for (value,) in scalar.iter_unpack(self.data[start : self.at])]

    def value(self, key: str) -> Any:
        kind = self.scalar(_U32)
        if kind == _STRING:
            return self.string(MAX_STRING)
        if kind == _ARRAY:
            return self.array(key)
        scalar = _SCALARS.get(kind)
        if scalar is None:
            raise self.fail(f"a value of type {kind} in {key!r}")
        return self.scalar(scalar)

    def tensor(self) -> TensorInfo:
        name, dims = self.string(MAX_KEY_LENGTH), self.scalar(_U32)
        if dims > MAX_DIMS:
            raise self.fail(f"tensor {name!r} has {dims} dimensions")
        shape = tuple(self.scalar(_U64) for _ in range(dims))
        kind, offset = self.scalar(_U32), self.scalar(_U64)
        known = TENSOR_TYPES.get(kind)
        elements = 1
        for dim in shape:
            elements *= dim
        if elements >= 2**63:
            raise self.fail(f"tensor {name!r} has an impossible shape")
        size = None if known is None else elements // known[1] * known[2]
        return TensorInfo(name, known[0] if known else f"type {kind}", shape, offset, size, kind)


def read_header(path: str | os.PathLike[str], keep_arrays: int = 64) -> GgufHeader:
    """Read the header of the GGUF file at `path`; arrays longer than `keep_arrays` become [].

    Raises ModelLoadError when it is missing, not GGUF, truncated (tensor data included) or out of bounds.
    """
    where = Path(path)
    try:
        if stat.S_ISFIFO(where.stat().st_mode):  # opening one waits for whoever writes it
            raise ModelLoadError(f"{where.name} is not a GGUF file", path=str(where))
        with where.open("rb") as file:
            size, data = os.fstat(file.fileno()).st_size, b""
            while True:
                more = file.read(min(max(3 * len(data), _FIRST_READ), MAX_HEADER - len(data)))
                data += more
                if size < 24 or not data.startswith(MAGIC):
                    raise ModelLoadError(f"{where.name} is not a GGUF file", path=str(where))
                reader = _Reader(where, data, size, keep_arrays)
                try:
                    return _parse(reader)
                except _More:
                    if len(data) >= MAX_HEADER:
                        raise reader.fail(f"its header has more than {MAX_HEADER} bytes") from None
                    if not more:
                        raise reader.fail("it became shorter while it was read") from None
    except OSError as error:
        raise ModelLoadError(f"cannot read {where}: {error.strerror or error}", path=str(where)) from error


def _parse(reader: _Reader) -> GgufHeader:
    reader.at, size = len(MAGIC), reader.size
    version = reader.scalar(_U32)
    if version in _BIG_ENDIAN:
        raise reader.fail("it is for big-endian machines")
    if version not in (2, 3):
        raise reader.fail(f"version {version} (2 and 3 are known)")
    n_tensors, n_keys = reader.scalar(_U64), reader.scalar(_U64)
    if n_keys > MAX_KEYS or n_tensors > MAX_TENSORS:
        raise reader.fail(f"{n_keys} keys and {n_tensors} tensors")
    values: dict[str, Any] = {}
    places: dict[str, tuple[int, int]] = {}
    for _ in range(n_keys):
        begin, key = reader.at, reader.string(MAX_KEY_LENGTH)
        if key in values:
            raise reader.fail(f"it has the key {key!r} twice")
        values[key] = reader.value(key)
        places[key] = (begin, reader.at)
    tensors = tuple(reader.tensor() for _ in range(n_tensors))
    if sum(tensor.elements for tensor in tensors) >= 2**63:
        raise reader.fail("its tensors have impossible shapes")
    if len({tensor.name for tensor in tensors}) != n_tensors:
        raise reader.fail("two of its tensors have the same name")
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
        raise reader.fail(f"alignment {alignment!r}")
    start = (reader.at + alignment - 1) // alignment * alignment
    for tensor in tensors:
        if start + tensor.offset + (tensor.size or 0) > size:
            raise reader.fail(f"it is truncated: tensor {tensor.name!r} ends beyond the file's {size} bytes")
    digest = hashlib.sha256(memoryview(reader.data)[: reader.at]).hexdigest()
    return GgufHeader(version, values, reader.array_lengths, tensors, start, size, digest, places)

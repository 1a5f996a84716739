"""Tensors of safetensors files, read where they lie. Every count and offset is checked before it is used.

Format: eight bytes little endian with the header's length, the header in JSON, the data
(https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from arriero.convert.source import Source
from arriero.core.errors import InvalidRequest

MAX_HEADER = 100 << 20  # as the safetensors library has it
MAX_DIMS = 4
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_FLOATS: dict[str, Any] = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file: `shape` as PyTorch has it, rows first."""

    name: str
    kind: str
    shape: tuple[int, ...]
    _data: memoryview

    def after(self, rows: int) -> Tensor:
        """The tensor without its first rows."""
        if not self.shape or self.shape[0] <= rows:
            raise InvalidRequest(f"tensor {self.name} has no more than {rows} rows")
        first = rows * len(self._data) // self.shape[0]
        return Tensor(self.name, self.kind, (self.shape[0] - rows, *self.shape[1:]), self._data[first:])

    def raw(self) -> NDArray[Any]:
        """The bytes as they lie in the file, BF16 as 16 bit integers; no copy."""
        dtype = "<u2" if self.kind == "BF16" else _FLOATS.get(self.kind)
        if dtype is None:
            raise InvalidRequest(f"tensor {self.name} is of type {self.kind}; F32, F16 and BF16 can be converted")
        return np.frombuffer(self._data, dtype=dtype).reshape(self.shape)

    def floats(self) -> Floats:
        """The values, a copy."""
        raw = self.raw()
        if self.kind == "BF16":
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32)


class Weights:
    """All tensors of a model by name, from one file or from the shards that an index lists."""

    def __init__(self, source: Source, index: str = "model.safetensors.index.json") -> None:
        """InvalidRequest for what is missing, truncated, twice there or leads elsewhere."""
        self._tensors: dict[str, Tensor] = {}
        wanted: dict[str, str] = {}
        if index in source:
            listed = source.object(index).get("weight_map")
            if not isinstance(listed, dict) or not all(isinstance(file, str) for file in listed.values()):
                raise InvalidRequest(f"{index} has no weight_map")
            wanted = {name: source.beside(index, file) for name, file in listed.items()}
        files = sorted(set(wanted.values())) or list(source.names(".safetensors"))
        if not files:
            raise InvalidRequest("there is no safetensors file")
        held: dict[str, str] = {}
        for file in files:
            for tensor in _read(source, file):
                if tensor.name in self._tensors:
                    raise InvalidRequest(f"tensor {tensor.name} is in {held[tensor.name]} and in {file}")
                self._tensors[tensor.name], held[tensor.name] = tensor, file
        for name, file in wanted.items():
            if held.get(name) != file:
                raise InvalidRequest(f"{index} says that {file} holds tensor {name}, which is not there")

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._tensors.values())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise InvalidRequest(f"tensor {name} is missing")
        return self._tensors[name]


def _read(source: Source, file: str) -> Iterator[Tensor]:
    with source.path(file).open("rb") as opened:
        size = opened.seek(0, 2)
        if size < 8:
            raise InvalidRequest(f"{file} is not a safetensors file")
        data = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    length = int.from_bytes(data[:8], "little")
    if length > min(MAX_HEADER, size - 8):
        raise InvalidRequest(f"{file} is not a safetensors file, or it is truncated: its header has {length} bytes")
    try:
        header = msgspec.json.decode(data[8 : 8 + length], type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise InvalidRequest(f"{file} is not a safetensors file: its header is no JSON object") from None
    body = data[8 + length :]
    header.pop("__metadata__", None)
    for name, entry in header.items():
        yield _tensor(file, name, entry, body)


def _tensor(file: str, name: str, entry: Any, body: memoryview) -> Tensor:
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise InvalidRequest(f"{file}: tensor {name} is not described as safetensors demands") from None
    numbers = (*shape, begin, end)
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers) or len(shape) > MAX_DIMS:
        raise InvalidRequest(f"{file}: tensor {name} has an impossible shape or place")
    if end > len(body):
        raise InvalidRequest(f"{file} is truncated: tensor {name} ends at byte {end} of {len(body)}")
    item = _SIZES.get(kind) if isinstance(kind, str) else None
    if end < begin or (item is not None and end - begin != math.prod(shape) * item):
        raise InvalidRequest(f"{file}: tensor {name} takes {end - begin} bytes, which is not its shape's size")
    return Tensor(name, str(kind), shape, body[begin:end])

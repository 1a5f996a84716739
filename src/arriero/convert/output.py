"""Output: the GGUF that is being made. Tensors are announced first and then written one by one, so memory stays small.

Knows no architecture. The file begins to exist when everything has been announced.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from arriero.convert.weights import Floats, Tensor

Kind = gguf.GGMLQuantizationType
F16_MAX = 65504.0
Change = Callable[[Floats], Floats]
"""Returns a tensor's values as llama.cpp wants them; the shape stays, unless another one is announced."""


@dataclass(frozen=True, slots=True)
class _Planned:
    name: str
    kind: Any
    load: Callable[[], NDArray[Any]]
    size: int


class Output:
    """Keys and tensors of a GGUF. `keys` is gguf's writer, for its many add_… methods."""

    def __init__(self, target: Path, architecture: str) -> None:
        self.keys: Any = gguf.GGUFWriter(target, architecture)
        self._target = target
        self.shapes: dict[str, tuple[int, ...]] = {}  # of the tensors announced so far
        self.notes: set[str] = set()  # what whoever asked for the file should know about it
        self._planned: list[_Planned] = []
        self._bytes: dict[Any, int] = {}

    def tensor(self, name: str, source: Tensor, change: Change | None = None, *, exact: bool = False) -> None:
        """Announce a tensor: vectors and `exact` ones in F32, BF16 as it is, others in F16 where their values fit."""
        source.raw()  # its type is one that can be read, or nothing is written
        kind = _kind(source, exact)
        if change is None and source.kind == kind.name:
            self._plan(name, source.shape, kind, source.raw)
        else:
            self._plan(name, source.shape, kind, lambda: _encode((change or _same)(source.floats()), kind))

    def array(self, name: str, values: Floats) -> None:
        """Announce a tensor that was computed, in F32."""
        self._plan(name, values.shape, Kind.F32, lambda: values)

    def write(self, watch: Callable[[int, int], None]) -> None:
        """Write the file; `watch` gets the bytes done and all of them."""
        main = max(self._bytes, key=lambda kind: self._bytes[kind], default=Kind.F32)
        types = {Kind.BF16: gguf.LlamaFileType.MOSTLY_BF16, Kind.F16: gguf.LlamaFileType.MOSTLY_F16}
        self.keys.add_file_type(types.get(main, gguf.LlamaFileType.ALL_F32))
        total, done = sum(planned.size for planned in self._planned), 0
        self.keys.write_header_to_file()
        self.keys.write_kv_data_to_file()
        self.keys.write_ti_data_to_file()
        for planned in self._planned:
            self.keys.write_tensor_data(np.ascontiguousarray(planned.load()))
            done += planned.size
            watch(done, total)
        self.keys.close()

    def _plan(self, name: str, shape: tuple[int, ...], kind: Any, load: Callable[[], NDArray[Any]]) -> None:
        size = math.prod(shape) * (4 if kind == Kind.F32 else 2)
        self.keys.add_tensor_info(name, shape, np.dtype(np.float32 if kind == Kind.F32 else np.uint16), size, kind)
        self._planned.append(_Planned(name, kind, load, size))
        self.shapes[name] = shape
        if len(shape) > 1:
            self._bytes[kind] = self._bytes.get(kind, 0) + size


def _same(values: Floats) -> Floats:
    return values


def _kind(source: Tensor, exact: bool) -> Any:
    if exact or len(source.shape) < 2:
        return Kind.F32
    if source.kind in ("BF16", "F16"):
        return Kind[source.kind]
    raw = source.raw()
    fits = not raw.size or max(float(raw.max()), -float(raw.min())) <= F16_MAX
    return Kind.F16 if fits else Kind.F32


def _encode(values: Floats, kind: Any) -> NDArray[Any]:
    if kind == Kind.F32:
        return values
    if kind == Kind.F16:
        return values.astype(np.float16)
    bits = values.view(np.uint32)  # to the nearest, ties to even
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)

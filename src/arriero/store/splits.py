"""GGUFs that are split into several files, NAME-00001-of-00003.gguf: found, described and merged into one.

The first part has all keys; every part has the tensors that it describes. llama.cpp loads the others by their names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from arriero.core.errors import ModelLoadError
from arriero.store.gguf import MAGIC, GgufHeader, read_header

COUNT, NUMBER, TENSORS = "split.count", "split.no", "split.tensors.count"
MAX_PARTS = 10_000
_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\Z")
_CHUNK = 1 << 20


def stem_of(stem: str) -> str:
    """A file's name without its ending and without the part's number, if it has one."""
    match = _NAME.fullmatch(stem)
    return match["stem"] if match else stem


def is_later_part(path: Path) -> bool:
    """Whether the file is named as a part that is not the first: it is no model by itself."""
    match = _NAME.fullmatch(path.stem)
    return match is not None and int(match["number"]) != 1


def parts_of(path: Path) -> list[Path]:
    """All parts of the GGUF whose first one lies at `path`; the file alone if it is not named as a part."""
    match = _NAME.fullmatch(path.stem)
    if match is None or not 1 < int(match["count"]) <= MAX_PARTS:
        return [path]
    count = int(match["count"])
    return [path.with_name(f"{match['stem']}-{at:05d}-of-{count:05d}{path.suffix}") for at in range(1, count + 1)]


def read_whole(file: str | os.PathLike[str], keep_arrays: int = 64) -> GgufHeader:
    """The header of the GGUF at `file` with the tensors and sizes of all its parts.

    ModelLoadError if one is missing or broken. Offsets of tensors are those in their own files.
    """
    path = Path(file)
    first = read_header(path, keep_arrays)
    if not is_split(first):
        return first
    paths = parts_of(path)
    if len(paths) != first.values[COUNT]:
        raise ModelLoadError(
            f"{path.name} is one of {first.values[COUNT]} parts of a model; they must be named NAME-00001-of-"
            f"{first.values[COUNT]:05d}.gguf and so on, and the first one be given",
            path=str(path),
        )
    headers = [first, *(read_header(part) for part in paths[1:])]
    check(dict(zip([part.name for part in paths], headers, strict=True)))
    return dataclasses.replace(
        first,
        tensors=tuple(tensor for header in headers for tensor in header.tensors),
        file_size=sum(header.file_size for header in headers),
        digest=hashlib.sha256("".join(header.digest for header in headers).encode()).hexdigest(),
    )


def is_split(header: GgufHeader) -> bool:
    """Whether the file is one part of several."""
    count = header.values.get(COUNT)
    return isinstance(count, int) and count > 1


def check(headers: dict[str, GgufHeader]) -> None:
    """ModelLoadError unless these files, by name and in order, are all parts of one model."""
    first = next(iter(headers.values()))
    count = first.values.get(COUNT)
    for number, (name, header) in enumerate(headers.items()):
        if header.values.get(NUMBER) != number or header.values.get(COUNT) != count:
            raise ModelLoadError(f"{name} is not part {number + 1} of {count} of this model")
    if len(headers) != count:
        raise ModelLoadError(f"the model has {count} parts, and {len(headers)} are there")
    names = [tensor.name for header in headers.values() for tensor in header.tensors]
    if len(set(names)) != len(names):
        raise ModelLoadError("two parts of the model have a tensor of the same name")
    total = first.values.get(TENSORS)
    if total is not None and total != len(names):
        raise ModelLoadError(f"the model has {total} tensors, and its parts hold {len(names)}")


def merge(paths: Sequence[Path], write: Callable[[bytes], None]) -> None:
    """Write the parts, first to last, as one GGUF: the first one's keys, the data of all in their order.

    Reads everything: not for an event loop. The parts have been checked.
    """
    headers = [read_header(path) for path in paths]
    first = headers[0]
    alignment = int(first.values.get("general.alignment", 32))
    with paths[0].open("rb") as file:
        start = file.read(first.data_offset)
    kept = [start[begin:end] for key, (begin, end) in first.places.items() if not key.startswith("split.")]
    starts: list[int] = []  # of each part's data in the merged data
    at = 0
    for header in headers:
        starts.append(at)
        at = _aligned(at + header.file_size - header.data_offset, alignment)
    tensors = [
        (tensor, base + tensor.offset)
        for header, base in zip(headers, starts, strict=True)
        for tensor in header.tensors
    ]
    head = bytearray(MAGIC + struct.pack("<IQQ", first.version, len(tensors), len(kept)) + b"".join(kept))
    for tensor, offset in tensors:
        name = tensor.name.encode()
        head += struct.pack("<Q", len(name)) + name + struct.pack("<I", len(tensor.shape))
        head += struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, tensor.type_id, offset)
    write(bytes(head) + bytes(_aligned(len(head), alignment) - len(head)))
    for header, path in zip(headers, paths, strict=True):
        size = header.file_size - header.data_offset
        with path.open("rb") as file:
            file.seek(header.data_offset)
            for done in range(0, size, _CHUNK):
                write(file.read(min(_CHUNK, size - done)))
        if path != paths[-1]:
            write(bytes(_aligned(size, alignment) - size))


def _aligned(size: int, alignment: int) -> int:
    return (size + alignment - 1) // alignment * alignment

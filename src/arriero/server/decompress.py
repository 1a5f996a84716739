"""Compressed request bodies, unpacked up to a limit: gzip, deflate and zstd."""

from __future__ import annotations

import importlib
import io
import zlib
from typing import Any

_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_MOST_WINDOW = 128 * 1024 * 1024  # bytes that a zstd body may have its reader keep
_READERS = ("compression.zstd", "zstandard")


class TooLargeUnpacked(Exception):
    """The body is larger than the limit."""


def unpack(body: bytes, encoding: str, limit: int) -> bytes | None:
    """Return the body as it was before it was compressed; None for an encoding that is not known here.

    TooLargeUnpacked beyond `limit` bytes, of which no more are ever made; ValueError for what is broken.
    """
    if encoding in _WINDOW:
        return _inflated(body, _WINDOW[encoding], limit)
    return _zstd(body, limit) if encoding == "zstd" else None


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    inflating = zlib.decompressobj(window)
    try:
        found = inflating.decompress(body, limit + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(found) > limit:
        raise TooLargeUnpacked
    if not inflating.eof or inflating.unused_data:
        raise ValueError("it does not end where it should")
    return found


def _zstd(body: bytes, limit: int) -> bytes | None:
    """The standard library has it from Python 3.14 on, before that the package zstandard; None where it was removed."""
    for name in _READERS:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        try:
            found = _read_zstd(module, body, limit)
        except module.ZstdError as error:
            raise ValueError(str(error)) from None
        if len(found) > limit:
            raise TooLargeUnpacked
        return found
    return None


def _read_zstd(module: Any, body: bytes, limit: int) -> bytes:
    if hasattr(module, "ZstdFile"):
        reader = module.ZstdDecompressor()
        found: bytes = reader.decompress(body, limit + 1)
        if len(found) <= limit and (not reader.eof or reader.unused_data):
            raise ValueError("it does not end where it should")
        return found
    decompressor = module.ZstdDecompressor(max_window_size=_MOST_WINDOW)
    with decompressor.stream_reader(io.BytesIO(body), read_across_frames=False) as stream:
        found = stream.read(limit + 1)
    if len(found) <= limit:
        _check_end(module, body, len(found))
    return found


def _check_end(module: Any, body: bytes, size: int) -> None:
    """ValueError where a frame says that it holds more: the package reads what was cut off without a word."""
    said = module.frame_content_size(body)
    if size == 0 or said not in (-1, size):
        raise ValueError("it does not end where it should")

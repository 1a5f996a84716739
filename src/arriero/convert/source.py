"""Source: the files of a model as somebody gave them, by relative name. Knows no format but JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from arriero.core.errors import InvalidRequest

MAX_TEXT = 256 << 20
"""Bytes of a configuration or vocabulary file; the largest known tokenizer.json has 34 MB."""


class Source:
    """Files by relative name; nothing else is opened, whatever the files say."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def names(self, ending: str) -> Iterator[str]:
        """The files whose name ends so, in order."""
        return (name for name in sorted(self._files) if name.endswith(ending))

    def path(self, name: str) -> Path:
        """Where the file lies; InvalidRequest if it was not given."""
        if name not in self._files:
            raise InvalidRequest(f"{name} is missing")
        return self._files[name]

    def bytes(self, name: str) -> bytes:
        """The content of a small file."""
        path = self.path(name)
        if path.stat().st_size > MAX_TEXT:
            raise InvalidRequest(f"{name} is larger than {MAX_TEXT >> 20} MiB")
        return path.read_bytes()

    def text(self, name: str) -> str:
        """A UTF-8 file's text."""
        try:
            return self.bytes(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from None

    def object(self, name: str) -> dict[str, Any]:
        """The JSON object in a file."""
        found: dict[str, Any] = self._json(name, dict[str, Any], "object")
        return found

    def list(self, name: str) -> list[dict[str, Any]]:
        """The JSON list of objects in a file."""
        found: list[dict[str, Any]] = self._json(name, list[dict[str, Any]], "list of objects")
        return found

    def optional(self, name: str) -> dict[str, Any]:
        """The JSON object in a file, {} if it was not given."""
        return self.object(name) if name in self else {}

    def beside(self, name: str, other: str) -> str:
        """The name of `other`, as a file beside `name` says it; InvalidRequest if it leads out of their folder."""
        parts = other.split("/")
        if not other or other.startswith("/") or "\\" in other or "\0" in other or any(p in ("", "..") for p in parts):
            raise InvalidRequest(f"{name} names a file outside the model's folder: {other!r}")
        return str(PurePosixPath(name).parent / other)

    def _json(self, name: str, kind: Any, called: str) -> Any:
        try:
            return msgspec.json.decode(self.bytes(name), type=kind)
        except msgspec.ValidationError:
            raise InvalidRequest(f"{name} holds no JSON {called}") from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{name} is not JSON: {error}") from None

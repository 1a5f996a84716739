"""Uploads for batches: what their forms may have."""

from __future__ import annotations

import msgspec
import pytest

from arriero.core.batches import StoredFile
from arriero.core.errors import InvalidRequest
from arriero.protocols.openai.batches import LONGEST_PAGE, encode_page, file_object, read_upload

FILE = {"file": ("in.jsonl", b"{}"), "purpose": (None, b"batch")}


def test_an_upload() -> None:
    assert read_upload(dict(FILE)) == (b"{}", "in.jsonl")


@pytest.mark.parametrize(
    ("parts", "param", "words"),
    [
        ({"expires_after[seconds]": (None, b"3600")}, "expires_after", "until they are deleted"),
        ({"purpos": (None, b"batch")}, "purpos", "purpose"),
        ({"purpose": (None, b"assistants")}, "purpose", "must be batch"),
        ({"file": (None, b"text")}, "file", "must be a file"),
    ],
)
def test_what_an_upload_may_have(parts: dict[str, tuple[str | None, bytes]], param: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        read_upload(FILE | parts)
    assert caught.value.details["param"] == param


def test_how_much_is_listed_unless_asked() -> None:
    files = [StoredFile(id=f"file-{n}", filename="x", purpose="batch", size=0, created_at=0) for n in range(30)]
    pages = [msgspec.json.decode(encode_page(files, file_object, {}, *usual)) for usual in ((), (LONGEST_PAGE,))]
    assert [(len(page["data"]), page["has_more"]) for page in pages] == [(20, True), (30, False)]

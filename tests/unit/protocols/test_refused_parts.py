"""What parts that are no text are told, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.protocols.refused_parts import INVALID, URLS, refused_part

SEES_NOT = "this model cannot see images: send text"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("data:image/png;base64,aGk=", SEES_NOT),
        ("data:;base64,aGk=", SEES_NOT),
        ("https://example.org/a.png", URLS),
        ("HTTP://example.org/a.png", URLS),
        ("data:image/bmp;base64,aGk=", INVALID),
        ("data:image/png;base64,aGk", INVALID),
        ("data:image/png;base64,@@@@", INVALID),
        ("data:image/png;base64,é===", INVALID),
        ("data:image/png;base64,", INVALID),
        ("aGk=", INVALID),
        (None, INVALID),
        (5, INVALID),
        ({}, INVALID),
    ],
)
def test_images(url: Any, text: str) -> None:
    for part in ({"image_url": url}, {"image_url": {"url": url}}):
        for kind in ("image_url", "input_image"):
            error = refused_part(part, kind, "messages[0].content[0].type")
            assert (error.message, error.details) == (text, {"param": "messages[0].content[0].type"})


def test_other_parts_are_named() -> None:
    for kind, word in (("input_audio", "hear"), ("file", "file inputs"), ("input_file", "file inputs"), ("x", "'x'")):
        assert word in refused_part({}, kind, "at").message
    assert len(refused_part({}, "x" * 10_000, "at").message) < 200

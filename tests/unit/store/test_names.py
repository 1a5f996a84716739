"""Names as Ollama parses them."""

from __future__ import annotations

import pytest

from arriero.core.errors import InvalidRequest
from arriero.store.names import name_from_file, parse_name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("demo", "demo:latest"),
        ("llama3:8b", "llama3:8b"),
        ("me/mine", "me/mine:latest"),
        ("registry.ollama.ai/library/x:y", "x:y"),
        ("hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M"),
        ("https://example.com:5000/a/b:c", "example.com:5000/a/b:c"),
    ],
)
def test_display_drops_defaults(text: str, shown: str) -> None:
    assert str(parse_name(text)) == shown


def test_lookup_ignores_case() -> None:
    assert parse_name("DEMO:Latest").key == parse_name("demo").key


@pytest.mark.parametrize("text", ["", "a b", "../x", "/etc/passwd", "a/../b", "-x", "x:", "x:a/b:c d", "a" * 81, ".x"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid model name"):
        parse_name(text)


def test_files_give_names() -> None:
    assert name_from_file("Qwen2.5 0.5B (q8)") == "Qwen2.5-0.5B--q8-"
    parse_name(name_from_file("éa"))

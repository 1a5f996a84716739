"""OLLAMA_HOST is read as Ollama reads it."""

from __future__ import annotations

import pytest

from arriero.client.address import from_environment, key_from_environment, parse
from arriero.core.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("example.org", "http://example.org:11434"),
        ("example.org:1234", "http://example.org:1234"),
        (":1234", "http://127.0.0.1:1234"),
        ("http://example.org", "http://example.org:80"),
        ("https://example.org", "https://example.org:443"),
        ("https://example.org:8443/a/b/", "https://example.org:8443/a/b"),
        ("example.org/a", "http://example.org:11434/a"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:99", "http://[::1]:99"),
        ("::1", "http://[::1]:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::]:80", "http://[::1]:80"),
        (' "example.org:1" ', "http://example.org:1"),
    ],
)
def test_parse(text: str, url: str) -> None:
    assert parse(text).url == url


@pytest.mark.parametrize("text", ["ftp://example.org", "example.org:notaport", "example.org:99999"])
def test_what_is_no_address_is_an_error(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("", True),
        ("0.0.0.0", True),
        ("[::]:1", True),
        ("localhost:1", True),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_loopback(text: str, loopback: bool) -> None:
    assert parse(text).loopback is loopback


def test_environment() -> None:
    assert from_environment({"OLLAMA_HOST": "h:1"}).url == "http://h:1"
    assert from_environment({}).url == "http://127.0.0.1:11434"
    assert key_from_environment({"ARRIERO_API_KEY": "a,b", "OLLAMA_API_KEY": "o"}) == "a"
    assert key_from_environment({"OLLAMA_API_KEY": "o"}) == "o"
    assert key_from_environment({"OLLAMA_API_KEY": "o\n"}) == "o"  # as read from a file
    assert key_from_environment({}) is None

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.errors import InvalidRequest
from arriero.server.multipart import read_form

TYPE = "multipart/form-data; boundary=xyz"


def form(*parts: tuple[str, bytes]) -> bytes:
    whole = b"".join(b"--xyz\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n" for head, content in parts)
    return whole + b"--xyz--\r\n"


def test_values_and_files() -> None:
    body = form(
        ('Content-Disposition: form-data; name="purpose"', b"batch"),
        ('content-disposition: form-data; name="file"; filename="a \\"b\\".txt"\r\nContent-Type: x', b"\r\n--xy\x00"),
    )
    assert read_form(TYPE, body) == {"purpose": (None, b"batch"), "file": ('a "b".txt', b"\r\n--xy\x00")}
    quoted = 'multipart/form-data; charset=utf-8; boundary="xyz"'
    assert read_form(quoted, form(('Content-Disposition: form-data; name="a"', b""))) == {"a": (None, b"")}


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ("name=file; filename=a.txt; filename*=utf-8''a.txt", "a.txt"),
        ('Name=file;FileName="a b.txt"', "a b.txt"),
        ("name=\"file\"; filename*=utf-8''%C3%BC.txt", "ü.txt"),
        ('name="file"; filename=""', ""),
        ('name="file"; note="; filename=x"', None),
    ],
)
def test_other_clients_spellings(head: str, name: str | None) -> None:
    """.NET does not quote plain words, aiohttp writes names in two ways."""
    assert read_form(TYPE, form((f"Content-Disposition: form-data; {head}", b"x"))) == {"file": (name, b"x")}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("", b""),
        ("multipart/form-data", form()),
        (TYPE, b""),
        (TYPE, b"noise" + form()),
        (TYPE, form(("Content-Disposition: form-data; name=", b""))),
        (TYPE, form(("X: y", b""))),
        (TYPE, b"--xyz\r\nnothing\r\n--xyz--"),
        (TYPE, form(('Content-Disposition: form-data; name="a"', b"x"))[:-8]),
        (TYPE, form(*[(f'Content-Disposition: form-data; name="{index}"', b"") for index in range(17)])),
        (TYPE, form((f'Content-Disposition: form-data; name="{"a" * 5000}"', b""))),
    ],
)
def test_what_is_no_form(kind: str, body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_form(kind, body)


def test_a_short_mark_that_is_there_very_often_costs_no_more_than_the_body() -> None:
    body = b"\r\n--a" * 200_000
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match="at most 16"):
            read_form("multipart/form-data; boundary=a", body)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(body)
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from([TYPE, "multipart/form-data; boundary=\xff"]) | st.text(max_size=30), body=st.binary())
def test_any_bytes(kind: str, body: bytes) -> None:
    for content in (body, b"--xyz\r\n" + body + b"\r\n--xyz--"):
        try:
            read_form(kind, content)
        except InvalidRequest:
            continue

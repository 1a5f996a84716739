from __future__ import annotations

import msgspec
import pytest

from arriero.service.batch_lines import MOST_PROBLEMS, read_lines

URL = "/v1/embeddings"


def row(name: str, **other: object) -> bytes:
    return msgspec.json.encode({"custom_id": name, "method": "POST", "url": URL, "body": {}} | other)


def test_lines() -> None:
    data = b"\n".join([row("a"), row("b"), row("c"), b"", b" "])
    assert [line.custom_id for line in read_lines(data, URL)[0]] == ["a", "b", "c"]
    assert read_lines(b"\xef\xbb\xbf" + data, URL) == read_lines(data, URL)
    for empty in (None, b"", b"\n \n"):
        assert len(read_lines(empty, URL)[1]) == 1


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (b"{", "invalid_json_line"),
        (row("b", other=1), "invalid_json_line"),
        (row("b", method="GET"), "invalid_method"),
        (row("b", url="/v1/responses"), "mismatched_endpoint"),
        (row("a"), "duplicate_custom_id"),
        (row("b", body={"stream": True}), "invalid_request"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(second: bytes, code: str) -> None:
    problems = read_lines(row("a") + b"\n" + second, URL)[1]
    assert [(one.code, one.line) for one in problems] == [(code, 2)]


def test_not_all_of_very_many_problems_are_kept() -> None:
    assert len(read_lines(b"{\n" * (MOST_PROBLEMS + 1), URL)[1]) == MOST_PROBLEMS

from __future__ import annotations

import pytest

from arriero.protocols.anthropic.client_headers import without_headers

HEADER = "x-anthropic-billing-header: cc_version=2.1.100.7b4; cc_entrypoint=cli; cch=eb6c6;"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (HEADER, ""),
        (f"{HEADER}\n", ""),
        (f"{HEADER}\nYou are an agent.\n", "You are an agent.\n"),
        (f"{HEADER}\n{HEADER}\nYou are.", "You are."),
        (f"  {HEADER.upper()}\n\nYou are.", "\nYou are."),
        ("", ""),
        ("You are an agent.\n", "You are an agent.\n"),
        (f"The log says:\n{HEADER}\n", f"The log says:\n{HEADER}\n"),
        (f"'{HEADER}'", f"'{HEADER}'"),
        ("x-other-header: 1\nYou are.", "x-other-header: 1\nYou are."),
    ],
)
def test_only_header_lines_at_the_top_go(text: str, left: str) -> None:
    assert without_headers(text) == left

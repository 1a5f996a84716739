"""Who a client says that it asks for."""

from __future__ import annotations

import pytest

from arriero.protocols.end_user import end_user


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"user": "ann", "messages": []}', "ann"),
        (b'{"metadata": {"user_id": "bob"}}', "bob"),
        (b'{"user": "ann", "metadata": {"user_id": "bob"}}', "ann"),
        (b'{"user": null, "metadata": null}', ""),
        (b'{"user": 7, "metadata": {"user_id": ["x"]}}', ""),
        (b"{}", ""),
        (b"[]", ""),
        (b"no JSON", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_the_name_of_either_api_is_found(body: bytes, name: str) -> None:
    assert end_user(body) == name

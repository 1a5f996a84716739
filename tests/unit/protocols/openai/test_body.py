"""Fields of a wrong type, by their place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arriero.core.errors import InvalidRequest
from arriero.protocols.openai.body import convert


class _Turn(msgspec.Struct):
    role: str


class _Body(msgspec.Struct, kw_only=True):
    n: int = 1
    turns: list[_Turn] = []


@pytest.mark.parametrize(
    ("fields", "param", "text"),
    [
        ({"n": "x"}, "n", "invalid type for 'n': Expected `int`, got `str`"),
        ({"turns": [{"role": 1}]}, "turns[0].role", "invalid type for 'turns[0].role': Expected `str`, got `int`"),
    ],
)
def test_the_place_is_the_param(fields: dict[str, Any], param: str, text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        convert(fields, _Body)
    assert (refused.value.message, refused.value.details["param"]) == (text, param)


def test_an_error_of_the_whole_has_no_param() -> None:
    with pytest.raises(InvalidRequest, match="missing required field") as refused:
        convert({}, _Turn)
    assert refused.value.details.get("param") is None


def test_what_fits_is_converted() -> None:
    assert convert({"n": 2, "turns": [{"role": "user"}]}, _Body) == _Body(n=2, turns=[_Turn(role="user")])

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arriero.core.errors import InvalidRequest
from arriero.core.model import ModelDetails, ModelSpec
from arriero.protocols.anthropic.models import encode_model, encode_models


def spec(name: str, context: int = 2048) -> ModelSpec:
    details = ModelDetails(context_length=context)
    return ModelSpec(name=name, path="", digest="", size=1, modified_at=1790000000.5, details=details)


MODELS = [spec(name) for name in "abcde"]


def page(**query: str) -> tuple[list[str], bool]:
    found: Any = msgspec.json.decode(encode_models(MODELS, query))
    names = [model["id"] for model in found["data"]]
    assert (found["first_id"], found["last_id"]) == ((names[0], names[-1]) if names else (None, None))
    return names, found["has_more"]


def test_a_model() -> None:
    assert msgspec.json.decode(encode_model(spec("demo:latest"))) == {
        "type": "model",
        "id": "demo:latest",
        "display_name": "demo:latest",
        "created_at": "2026-09-21T14:13:20.5Z",
        "lifecycle": "active",
        "max_input_tokens": 2048,
        "max_tokens": 2048,
    }
    assert msgspec.json.decode(encode_model(spec("x", 0)))["max_tokens"] is None


def test_pages() -> None:
    assert page() == (["a", "b", "c", "d", "e"], False)
    assert page(limit="2") == (["a", "b"], True)
    assert page(limit="2", after_id="b") == (["c", "d"], True)
    assert page(limit="2", after_id="c") == (["d", "e"], False)
    assert page(after_id="e") == ([], False)
    assert page(limit="2", before_id="e") == (["c", "d"], True)
    assert page(limit="2", before_id="c") == (["a", "b"], False)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "many"},
        {"limit": "²"},
        {"limit": "9" * 5000},
        {"limit": "000000001" + "0" * 5000},
        {"after_id": "x"},
        {"before_id": "x"},
        {"after_id": "a", "before_id": "c"},
    ],
)
def test_queries_that_make_no_sense(query: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        page(**query)

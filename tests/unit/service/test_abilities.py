"""What a model cannot do is refused before anything is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.core.errors import UnsupportedFeature
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, ToolSpec
from arriero.service.generate import check_abilities

ASK = GenerateRequest(model="x", prompt="hi")


def spec(**fields: Any) -> ModelSpec:
    return ModelSpec(name="x:latest", path="/x", digest="d", size=1, modified_at=0.0, **fields)


@pytest.mark.parametrize(
    ("model", "request_", "text"),
    [
        (spec(capabilities=("embedding",)), ASK, '"x" does not support generate'),
        (
            spec(),
            GenerateRequest(model="x", messages=(), tools=(ToolSpec(name="f"),)),
            "registry.ollama.ai/library/x:latest does not support tools",
        ),
        (spec(), GenerateRequest(model="x", prompt="hi", think=True), '"x" does not support thinking'),
    ],
)
def test_refusals(model: ModelSpec, request_: GenerateRequest, text: str) -> None:
    with pytest.raises(UnsupportedFeature) as raised:
        check_abilities(model, request_)
    assert raised.value.message == text


def test_what_it_can_do_passes() -> None:
    check_abilities(spec(), ASK)

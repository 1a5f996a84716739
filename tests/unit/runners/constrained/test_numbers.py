from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from arriero.core.constraint import AnswerPlan, Constraint
from arriero.runners.constrained.compiler import MaskCompiler
from arriero.runners.constrained.numbers import HUGE, holdable
from arriero.runners.fake_model import ByteTokenizer

COMPILER = MaskCompiler(ByteTokenizer())

ODD = 2**53 + 1  # between two doubles


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"minimum": -(2**63), "maximum": 2**63 - 1}, {"minimum": -HUGE, "maximum": HUGE}),
        (
            {"exclusiveMinimum": -1e308, "exclusiveMaximum": 1e308},
            {"exclusiveMinimum": -HUGE, "exclusiveMaximum": HUGE},
        ),
        ({"minimum": ODD, "maximum": ODD + 5}, {"minimum": ODD + 1, "maximum": ODD + 5}),
        ({"minimum": -ODD, "maximum": -ODD}, {"minimum": -ODD + 1, "maximum": -ODD - 1}),
        ({"minimum": 0.5, "maximum": 3, "exclusiveMinimum": True}, None),
        ({"const": 2**60, "enum": [True, "a", 1e-7, {"k": [3]}]}, None),
    ],
)
def test_bounds_are_at_most_tighter(schema: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert holdable(schema) == (schema if expected is None else expected)


@pytest.mark.parametrize("value", [185.24604523681586, -990676.4108337087, 8.544489347392266e-16, 0.1, -2.5e-300, 7e17])
def test_constants_of_seventeen_digits_are_exact(value: float) -> None:
    """llguidance reads the text of some floats one unit off; what it writes is what was asked for."""
    schemas: list[dict[str, Any]] = [{"const": value}, {"enum": ["a", value]}, {"const": [{"k": value}]}]
    for schema in schemas:
        constraint = Constraint(kind="json_schema", schema=schema)
        wanted = schema.get("const", value)
        mask = COMPILER.compile(AnswerPlan(constraint=constraint))
        assert mask is not None
        tokens: list[int] = []
        while True:
            logits = np.zeros(ByteTokenizer.n_vocab, np.float32)
            mask.apply(logits, tokens, 0)
            free = [int(one) for one in np.flatnonzero(logits > -np.inf) if one > 32]
            token = next((one for one in free if one != ord('"')), ord('"'))  # the number of the enum
            over = mask.ends(tokens, 0, token)
            tokens.append(token)
            if over:
                break
        assert json.loads(bytes(tokens)) == wanted


@pytest.mark.parametrize(
    "schema",
    [
        {"minimum": 2**62},
        {"exclusiveMinimum": 1e22},
        {"maximum": -(2**63)},
        {"const": -(2**63)},
        {"const": -1e19},
        {"const": {"k": [ODD]}},
        {"enum": [1, 2**63 - 1]},
    ],
)
def test_what_would_be_rounded_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly"):
        holdable(schema)

from __future__ import annotations

from typing import Any

import pytest

from arriero.runners.constrained.numbers import HUGE, holdable

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

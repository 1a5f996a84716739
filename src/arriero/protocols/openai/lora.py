"""llama-server's `lora` field: how strongly each of the model's own LoRA adapters counts in one request."""

from __future__ import annotations

import math
from typing import Any

from arriero.core.errors import InvalidRequest
from arriero.core.model import ModelSpec

MOST = 10
"""An adapter is made to count once or so; what counts a thousand times overflows what keys are kept in (float16)."""


def read_lora(value: Any, spec: ModelSpec) -> tuple[float, ...] | None:
    """Return a scale for each adapter of `spec`; None where nothing is said, and each counts as it was made.

    `value` is a list of {"id": place among the adapters, "scale": number}; an adapter that it leaves out counts for
    nothing, as there. InvalidRequest names what is wrong.
    """
    if value is None:
        return None
    if not isinstance(value, list):
        raise InvalidRequest("'lora' must be a list", param="lora")
    scales = [0.0] * len(spec.adapters)
    for index, one in enumerate(value):
        at = f"lora[{index}]"
        if not isinstance(one, dict) or one.keys() != {"id", "scale"}:
            raise InvalidRequest(f"'{at}' must have id and scale, and nothing else", param=at)
        number, scale = one["id"], one["scale"]
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(scales):
            has = f"adapters 0 to {len(scales) - 1}" if scales else "no adapters"
            raise InvalidRequest(f"'{at}.id': model {spec.name} has {has}", param=f"{at}.id")
        if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not math.isfinite(scale):
            raise InvalidRequest(f"'{at}.scale' must be a finite number", param=f"{at}.scale")
        if abs(scale) > MOST:
            raise InvalidRequest(f"'{at}.scale' must be between -{MOST} and {MOST}", param=f"{at}.scale")
        scales[number] = float(scale)
    return tuple(scales)

"""Anthropic's list of models: one model, and pages of many.

Source: https://docs.anthropic.com/en/api/models-list and the official SDK's types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from arriero.core.model import ModelSpec
from arriero.protocols.anthropic.pages import page_of
from arriero.protocols.wire_time import epoch_ns, rfc3339

_encode = msgspec.json.Encoder().encode


def encode_model(spec: ModelSpec) -> bytes:
    """Return /v1/models/{id}'s JSON."""
    return _encode(_model(spec))


def encode_models(models: Sequence[ModelSpec], query: Mapping[str, str]) -> bytes:
    """Return a page of /v1/models, in the given order. InvalidRequest as `page_of`."""
    return _encode(page_of([_model(spec) for spec in models], query))


def _model(spec: ModelSpec) -> dict[str, Any]:
    """One model. The limits are those of the file; memory may make the context of a loaded model smaller."""
    context = spec.details.context_length or None
    return {
        "type": "model",
        "id": spec.name,
        "display_name": spec.name,
        "created_at": rfc3339(epoch_ns(spec.modified_at)),
        "lifecycle": "active",
        "max_input_tokens": context,
        "max_tokens": context,
    }

"""Anthropic's list of models: one model, and pages of many with their cursors.

Source: https://docs.anthropic.com/en/api/models-list and the official SDK's types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from arriero.core.model import ModelSpec
from arriero.protocols.anthropic.fields import bad
from arriero.protocols.wire_time import epoch_ns, rfc3339

_LIMIT, _MOST = 20, 1000
_encode = msgspec.json.Encoder().encode


def encode_model(spec: ModelSpec) -> bytes:
    """Return /v1/models/{id}'s JSON."""
    return _encode(_model(spec))


def encode_models(models: Sequence[ModelSpec], query: Mapping[str, str]) -> bytes:
    """Return a page of /v1/models: `limit` models behind `after_id` or before `before_id`, in the given order.

    InvalidRequest for a limit that is none, for both cursors at once, and for a cursor that names no model.
    """
    limit = query.get("limit", str(_LIMIT))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _MOST):
        raise bad("limit", f"must be between 1 and {_MOST}")
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise bad("before_id", "cannot be combined with after_id")
    names = [spec.name for spec in models]
    cursor = after or before
    if cursor and cursor not in names:
        raise bad("after_id" if after else "before_id", "there is no such model")
    size = int(limit)
    if before:
        rest = list(models[: names.index(before)])
        page, more = rest[-size:], len(rest) > size
    else:
        rest = list(models[names.index(after) + 1 :] if after else models)
        page, more = rest[:size], len(rest) > size
    data = [_model(spec) for spec in page]
    first, last = (page[0].name, page[-1].name) if page else (None, None)
    return _encode({"data": data, "has_more": more, "first_id": first, "last_id": last})


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

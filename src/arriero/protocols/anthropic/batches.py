"""Anthropic's batches of messages: the body that makes one, batches and their results as JSON.

Source: https://docs.anthropic.com/en/api/creating-message-batches and the official SDK's types.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from arriero.core.batches import Batch, MessageResult
from arriero.protocols.anthropic.fields import bad
from arriero.protocols.anthropic.pages import page_of
from arriero.protocols.body import read_fields
from arriero.protocols.unknown import unknown_fields
from arriero.protocols.wire_time import epoch_ns, rfc3339

JSONL = "application/x-jsonl"
DAY = 24 * 60 * 60
_PREFIX, _STORED = "msgbatch_", "batch-"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_encode = msgspec.json.Encoder().encode


def decode_batch(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Return name and fields of each request in a /v1/messages/batches body. InvalidRequest names the place.

    What is wrong in the fields themselves is said by the request's own result, as Anthropic does it.
    """
    fields = read_fields(body)
    unknown_fields(fields, ("requests", "betas"))
    requests = fields.get("requests")
    if not isinstance(requests, list) or not requests:
        raise bad("requests", "must be a list of requests")
    found: dict[str, dict[str, Any]] = {}
    for index, one in enumerate(requests):
        at = f"requests.{index}"
        if not isinstance(one, dict) or one.keys() != {"custom_id", "params"}:
            raise bad(at, "must have custom_id and params, and nothing else")
        name, params = one["custom_id"], one["params"]
        if not isinstance(name, str) or not _NAME.match(name):
            raise bad(f"{at}.custom_id", "must be 1 to 64 letters, digits, - and _")
        if name in found:
            raise bad(f"{at}.custom_id", f"{name} names another request, too")
        if not isinstance(params, dict):
            raise bad(f"{at}.params", "must be an object")
        if params.get("stream"):
            raise bad(f"{at}.params.stream", "a batch cannot stream")
        found[name] = params
    return list(found.items())


def stored_id(wire_id: str) -> str:
    """The store's id of a batch; for what is no id, one that nobody has and that says so where it is not found."""
    if wire_id.startswith(_PREFIX):
        return _STORED + wire_id.removeprefix(_PREFIX)
    return f"{wire_id[:32]} (ids begin with {_PREFIX})"


def encode_batch(batch: Batch, base_url: str) -> bytes:
    """Return a batch's JSON. `base_url` is how the client reaches this server, with a slash at its end."""
    return _encode(_batch(batch, base_url))


def encode_batches(batches: Sequence[Batch], query: Mapping[str, str], base_url: str) -> bytes:
    """Return a page of batches, the newest first. InvalidRequest as `page_of`."""
    return _encode(page_of([_batch(batch, base_url) for batch in batches], query))


def encode_deleted(wire_id: str) -> bytes:
    """Return the reply to a DELETE."""
    return _encode({"id": wire_id, "type": "message_batch_deleted"})


def encode_results(results: Iterable[MessageResult]) -> Iterator[bytes]:
    """Yield the lines of a batch's results."""
    for one in results:
        if one.status is None:
            result: dict[str, Any] = {"type": "canceled"}
        elif one.succeeded:
            result = {"type": "succeeded", "message": one.body}
        else:
            result = {"type": "errored", "error": one.body}
        yield _encode({"custom_id": one.custom_id, "result": result}) + b"\n"


def _batch(batch: Batch, base_url: str) -> dict[str, Any]:
    wire_id = _PREFIX + batch.id.removeprefix(_STORED)
    times = batch.times
    left = max(0, batch.total - batch.completed - batch.failed)
    ended_at = times.get(f"{batch.status}_at") if batch.ended else None
    status = "ended" if batch.ended else "canceling" if batch.status == "cancelling" else "in_progress"
    return {
        "id": wire_id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": {
            "processing": 0 if batch.ended else left,
            "succeeded": batch.completed,
            "errored": batch.failed,
            "canceled": left if batch.ended else 0,
            "expired": 0,
        },
        "created_at": _time(batch.created_at),
        "expires_at": _time(batch.created_at + DAY),
        "ended_at": _time(ended_at),
        "cancel_initiated_at": _time(times.get("cancelling_at")),
        "archived_at": None,
        "results_url": f"{base_url}v1/messages/batches/{wire_id}/results" if batch.ended else None,
    }


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else rfc3339(epoch_ns(seconds))

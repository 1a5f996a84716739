"""OpenAI's files and batches: request bodies to plain values, stored ones to JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from arriero.core.batches import Batch, StoredFile
from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.protocols.body import read_fields
from arriero.protocols.metadata import read_metadata
from arriero.protocols.nearest import did_you_mean
from arriero.protocols.unknown import check_query, unknown_fields

WINDOW, DAY = "24h", 24 * 60 * 60
BATCH_FIELDS = ("completion_window", "endpoint", "input_file_id", "metadata", "output_expires_after")
UPLOAD_FIELDS = ("file", "purpose")
_PAGE, LONGEST_PAGE = 20, 10_000
"""What a list tells at once: of batches, unless asked; of anything at most, and of files unless asked."""
_T = TypeVar("_T", StoredFile, Batch)
_encode = msgspec.json.Encoder().encode


class NewBatch(NamedTuple):
    """What a batch is asked to be."""

    endpoint: str
    input_file: str
    metadata: dict[str, str] | None


def decode_batch(body: bytes) -> NewBatch:
    """Decode a /v1/batches body. InvalidRequest and its kin name the field."""
    fields = read_fields(body)
    unknown_fields(fields, BATCH_FIELDS)
    if "output_expires_after" in fields:
        text = "'output_expires_after' is not supported: files stay until they are deleted"
        raise UnsupportedFeature(text, param="output_expires_after")
    for name in ("endpoint", "input_file_id"):
        if not isinstance(fields.get(name), str):
            raise InvalidRequest(f"'{name}' must be a text", param=name)
    if fields.get("completion_window") != WINDOW:
        raise InvalidRequest(f"'completion_window' must be {WINDOW}", param="completion_window")
    metadata = read_metadata(fields["metadata"]) if "metadata" in fields else None
    return NewBatch(fields["endpoint"], fields["input_file_id"], metadata)


def read_upload(parts: dict[str, tuple[str | None, bytes]]) -> tuple[bytes, str]:
    """Return content and name of the file in the parts of a form, None as the name of what is no file."""
    for name in parts:
        field = name.partition("[")[0][:64]  # the package sends an object as expires_after[seconds]
        if field == "expires_after":
            raise UnsupportedFeature(f"'{field}' is not supported: files stay until they are deleted", param=field)
        if field not in UPLOAD_FIELDS:
            raise InvalidRequest(f"unknown field '{field}'{did_you_mean(field, UPLOAD_FIELDS)}", param=field)
    filename, data = parts.get("file", (None, b""))
    if filename is None:
        raise InvalidRequest("'file' must be a file", param="file")
    if parts.get("purpose", (None, b""))[1] != b"batch":
        raise UnsupportedFeature("'purpose' must be batch: nothing else here works on files", param="purpose")
    return data, filename


def file_object(file: StoredFile) -> dict[str, Any]:
    """Return a file as the API has it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }


def batch_object(batch: Batch) -> dict[str, Any]:
    """Return a batch as the API has it."""
    problems = [msgspec.structs.asdict(problem) for problem in batch.problems]
    moments = ("in_progress", "finalizing", "completed", "failed", "cancelling", "cancelled")
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": {"object": "list", "data": problems} if problems else None,
        "input_file_id": batch.input_file,
        "completion_window": WINDOW,
        "status": batch.status,
        "output_file_id": batch.output_file if batch.ended else None,
        "error_file_id": batch.error_file if batch.ended else None,
        "created_at": batch.created_at,
        "expires_at": batch.created_at + DAY,
        "expired_at": None,
        **{f"{moment}_at": batch.times.get(f"{moment}_at") for moment in moments},
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "metadata": batch.metadata,
    }


def encode(value: dict[str, Any]) -> bytes:
    """Return JSON."""
    return _encode(value)


def encode_page(
    found: Sequence[_T], wire: Callable[[_T], dict[str, Any]], query: dict[str, str], usual: int = _PAGE
) -> bytes:
    """Return the page of `found`, the newest first, that `limit` (else `usual`), `order` and `after` ask for."""
    check_query(query, ("limit", "order", "after", "purpose"))
    limit, order, after = query.get("limit", str(usual)), query.get("order", "desc"), query.get("after")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 6 and 1 <= int(limit) <= LONGEST_PAGE):
        raise InvalidRequest(f"'limit' must be between 1 and {LONGEST_PAGE}", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequest("'order' must be asc or desc", param="order")
    items = list(found) if order == "desc" else list(found)[::-1]
    if after is not None:
        place = next((index for index, item in enumerate(items) if item.id == after), None)
        if place is None:
            raise InvalidRequest("'after' names nothing in the list", param="after")
        items = items[place + 1 :]
    page = [wire(item) for item in items[: int(limit)]]
    ends = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    more = len(items) > len(page)
    return _encode({"object": "list", "data": page, "first_id": ends[0], "last_id": ends[1], "has_more": more})


def encode_deleted(file_id: str) -> bytes:
    """Return the reply to DELETE /v1/files/{id}."""
    return _encode({"id": file_id, "object": "file", "deleted": True})

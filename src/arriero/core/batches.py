"""Files that clients upload, and batches of requests made of them. Times in seconds since the epoch."""

from __future__ import annotations

from typing import Any

import msgspec

MESSAGES = "/v1/messages"
"""The endpoint of batches that are Anthropic's: they have lists, ids and results of their own."""
HIDDEN = "messages"
"""The purpose of files that nobody uploaded and nobody lists: what those batches ask and tell."""


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was uploaded or that a batch wrote.

    `size` in bytes; `purpose` batch, batch_output, or messages for those of Anthropic's batches, which nobody lists.
    """

    id: str
    filename: str
    purpose: str
    size: int
    created_at: int


class BatchProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why an input file cannot be worked on; `line` counts from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch and how far it is.

    `status`: validating, in_progress, finalizing, completed; failed (the input is wrong); cancelling, cancelled.
    `times` says when it came to each: `in_progress_at`, `completed_at`, ….
    """

    id: str
    endpoint: str
    input_file: str
    created_at: int
    status: str = "validating"
    times: dict[str, int] = {}
    metadata: dict[str, str] | None = None
    problems: tuple[BatchProblem, ...] = ()
    total: int = 0
    completed: int = 0
    failed: int = 0
    output_file: str | None = None
    error_file: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in ("completed", "failed", "cancelled")

    @property
    def messages(self) -> bool:
        """Whether it is one of Anthropic's."""
        return self.endpoint == MESSAGES


class MessageResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request of an Anthropic batch: HTTP status and JSON body, None where it was cancelled."""

    custom_id: str
    status: int | None = None
    body: Any = None

    @property
    def succeeded(self) -> bool:
        """Whether `body` is a message."""
        return self.status is not None and self.status < 400

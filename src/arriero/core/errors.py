"""The one error tree. Codes are stable and cross the worker's socket; statuses live in server/errors.py.

ArrieroError                internal           a bug, or nothing better is known
├─ InvalidRequest           invalid_request    the request cannot be understood or honoured
│  ├─ InvalidOption         invalid_option     an option of the wrong type
│  ├─ ContextLengthExceeded context_length_exceeded
│  ├─ DigestMismatch        digest_mismatch    the bytes are not those that the digest names
│  ├─ UnsupportedFeature    unsupported        understood, but this model or version cannot do it
│  ├─ TemplateError         template_error     the chat template failed or took too long
│  └─ PreviousResponseNotFound previous_response_not_found  the response to go on from is not kept (any more)
├─ NotImplementedYet        not_implemented    a known field or route that arriero does not have yet
├─ ModelNotFound            model_not_found
├─ StoredNotFound           stored_not_found   no uploaded file, batch, conversation or item of that id is here
├─ ResponseNotFound         response_not_found no response of that id is kept
├─ BlobNotFound             blob_not_found     no blob of that digest is in the store
├─ StoreError               store_failed       the store cannot be read or written: full disk, no rights, wrong bytes
├─ RegistryError            registry_failed    a registry or download server refuses, breaks off or cannot be reached
├─ ModelLoadError           model_load_failed  corrupt file, out of memory, wrong CPU
│  └─ LoadTimedOut          load_timed_out     loading showed no progress for too long
├─ Unauthorized             unauthorized
├─ Overloaded               overloaded         the queue is full; retry_after says when to come back
├─ DeadlineExceeded         deadline_exceeded
├─ Cancelled                cancelled          the client went away
└─ WorkerDied               worker_died        the model's process ended while it was needed
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

LONGEST = 2_000  # characters of what a template says: its own words, or a value that it fails at


class ErrorInfo(msgspec.Struct, frozen=True):
    """An error as data: what crosses the worker's socket and what encoders put on the wire."""

    code: str
    message: str
    details: dict[str, Any] = {}


class ArrieroError(Exception):
    """Base of all errors that arriero raises on purpose."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: Any) -> None:
        # Half a UTF-16 pair, from an escape in somebody's template, fits no wire.
        told = message if message.isascii() else message.encode("utf-8", "replace").decode()
        super().__init__(told)
        self.message = told
        self.details: dict[str, Any] = details

    def info(self) -> ErrorInfo:
        """Return the error as data."""
        return ErrorInfo(self.code, self.message, self.details)


class InvalidRequest(ArrieroError):
    """The request cannot be understood or honoured; `details` may name the `param`."""

    code = "invalid_request"


class InvalidOption(InvalidRequest):
    """An option has the wrong type (Ollama's own text says which type it must have)."""

    code = "invalid_option"


class ContextLengthExceeded(InvalidRequest):
    """The prompt does not fit; details: `prompt_tokens` and `context_length`."""

    code = "context_length_exceeded"


class DigestMismatch(InvalidRequest):
    """The bytes are not those that the digest names; details: `expected`, `got`."""

    code = "digest_mismatch"


class UnsupportedFeature(InvalidRequest):
    """The model cannot do what was asked (tools, thinking, images, …)."""

    code = "unsupported"


class TemplateError(InvalidRequest):
    """The chat template could not be compiled, failed on these messages, or took too long."""

    code = "template_error"

    def __init__(self, message: str, **details: Any) -> None:
        kept = message if len(message) <= LONGEST else f"{message[: LONGEST - 1]}…"
        super().__init__(kept, **details)


class PreviousResponseNotFound(InvalidRequest):
    """The response that a request goes on from, or one before it, is not kept (any more)."""

    code = "previous_response_not_found"


class NotImplementedYet(ArrieroError):
    """A known feature that this version does not have."""

    code = "not_implemented"


class ModelNotFound(ArrieroError):
    """No model of that name is known; details: `model`."""

    code = "model_not_found"


class StoredNotFound(ArrieroError):
    """No uploaded file, batch, conversation or item of that id is here."""

    code = "stored_not_found"


class ResponseNotFound(ArrieroError):
    """No response of that id is kept."""

    code = "response_not_found"


class BlobNotFound(ArrieroError):
    """No blob of that digest is in the store; details: `digest`."""

    code = "blob_not_found"


class StoreError(ArrieroError):
    """The store cannot be read or written."""

    code = "store_failed"


class RegistryError(ArrieroError):
    """A registry or download server refuses, breaks off or cannot be reached; the text is Ollama's where it has one."""

    code = "registry_failed"


class ModelLoadError(ArrieroError):
    """The model file cannot be loaded."""

    code = "model_load_failed"


class LoadTimedOut(ModelLoadError):
    """Loading showed no progress for longer than OLLAMA_LOAD_TIMEOUT."""

    code = "load_timed_out"


class Unauthorized(ArrieroError):
    """No key, or a wrong one."""

    code = "unauthorized"


class Overloaded(ArrieroError):
    """The queue is full; details: `retry_after` in seconds."""

    code = "overloaded"


class DeadlineExceeded(ArrieroError):
    """The request's deadline passed before its answer began."""

    code = "deadline_exceeded"


class Cancelled(ArrieroError):
    """The client went away."""

    code = "cancelled"


class WorkerDied(ArrieroError):
    """The model's worker process ended while a request needed it."""

    code = "worker_died"


def _tree(root: type[ArrieroError]) -> dict[str, type[ArrieroError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def from_info(info: ErrorInfo) -> ArrieroError:
    """Rebuild the exception that `info` describes; an unknown code becomes the base class."""
    return _tree(ArrieroError).get(info.code, ArrieroError)(info.message, **info.details)

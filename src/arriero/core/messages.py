"""What the server and a worker say to each other: length-prefixed msgpack frames, grouped by receiver.

A frame is a 4-byte big-endian length and a msgpack array of messages. `id` is the server's number for a request.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.errors import ErrorInfo
from arriero.core.events import TextDelta, Usage
from arriero.core.model import ModelSpec
from arriero.core.ranking import Ranked, RankRequest
from arriero.core.request import GenerateRequest, LoadOptions

MAX_FRAME = 256 * 1024 * 1024


class _Command(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True, omit_defaults=True):
    """A message to a worker."""


class Load(_Command, frozen=True, kw_only=True):
    """The first message: which model, how, and the runner's own options (plain names and values)."""

    spec: ModelSpec
    load: LoadOptions = LoadOptions()
    options: dict[str, Any] = {}


class Prepare(_Command, frozen=True, kw_only=True):
    """Import what a model of this runner will need; which one, a Load says later. Answered by Prepared."""

    runner: str


class Attach(_Command, frozen=True, kw_only=True):
    """Answer as the model `spec`, too, under the name `face`: the weights are the same.

    Answered by Attached (or RequestFailed).
    """

    id: int
    face: str
    spec: ModelSpec


class Detach(_Command, frozen=True, kw_only=True):
    """Forget the attached `face`, and the adapters that only it has: nobody asks for it unless it is attached again.

    There is no answer.
    """

    face: str


class Generate(_Command, frozen=True, kw_only=True):
    """Start a generation as the model `face`; "": the one that was loaded."""

    id: int
    request: GenerateRequest
    face: str = ""


class Abort(_Command, frozen=True, kw_only=True):
    """Forget a generation; no event about it follows but those already under way."""

    id: int


class Tokenize(_Command, frozen=True, kw_only=True):
    """Answered by Tokens (or RequestFailed); special tokens in the text are recognised."""

    id: int
    text: str


class Detokenize(_Command, frozen=True, kw_only=True):
    """Answered by Text (or RequestFailed)."""

    id: int
    tokens: tuple[int, ...]


class Render(_Command, frozen=True, kw_only=True):
    """Render a request's prompt without generating; answered by Text (or RequestFailed)."""

    id: int
    request: GenerateRequest
    face: str = ""


class Embed(_Command, frozen=True, kw_only=True):
    """Compute vectors; answered by Vectors (or RequestFailed)."""

    id: int
    request: EmbedRequest


class Prompt(_Command, frozen=True, kw_only=True):
    """Make a request's prompt without generating, however long it is; answered by Tokens (or RequestFailed)."""

    id: int
    request: GenerateRequest
    face: str = ""


class Rank(_Command, frozen=True, kw_only=True):
    """Score pairs of texts; answered by Scores (or RequestFailed)."""

    id: int
    request: RankRequest


class Shutdown(_Command, frozen=True, kw_only=True):
    """End the process."""


Command = (
    Load
    | Prepare
    | Attach
    | Detach
    | Generate
    | Abort
    | Tokenize
    | Detokenize
    | Render
    | Prompt
    | Embed
    | Rank
    | Shutdown
)


class _Report(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True, omit_defaults=True):
    """A message to the server."""


class LoadProgress(_Report, frozen=True, kw_only=True):
    """How much of the weights has been read, 0 to 1; the first one says that the worker has begun."""

    fraction: float


class Prepared(_Report, frozen=True, kw_only=True):
    """Answer to Prepare."""


class Ready(_Report, frozen=True, kw_only=True):
    """The model is loaded. Memory in bytes; `capabilities` as Ollama names them."""

    context_length: int
    max_sequences: int
    layout: str = ""
    memory: dict[str, int] = {}
    layers_total: int = 0
    layers_gpu: int = 0
    load_ns: int = 0
    capabilities: tuple[str, ...] = ()
    kv_cache_type: str = ""


class Attached(_Report, frozen=True, kw_only=True):
    """Answer to Attach; `size` in bytes of what it added to the worker's memory."""

    id: int
    size: int = 0


class LoadFailed(_Report, frozen=True, kw_only=True):
    """The model cannot be loaded; the worker ends after this."""

    error: ErrorInfo


class RequestAccepted(_Report, frozen=True, kw_only=True):
    """The prompt fits and is queued: behind `ahead` others, its turn comes in `queue_seconds` (None: not known)."""

    id: int
    prompt_tokens: int
    cached_tokens: int = 0
    common_tokens: int | None = None
    dropped_messages: int = 0
    opens_thinking: bool = False
    ahead: int = 0
    queue_seconds: float | None = 0.0


class RequestDelta(_Report, frozen=True, kw_only=True):
    """Text of one request."""

    id: int
    delta: TextDelta


class RequestFinished(_Report, frozen=True, kw_only=True):
    """The last word on a request that ended well."""

    id: int
    reason: str
    usage: Usage
    stop_sequence: str | None = None
    context: tuple[int, ...] = ()


class RequestFailed(_Report, frozen=True, kw_only=True):
    """The last word on a request that ended badly."""

    id: int
    error: ErrorInfo
    usage: Usage = Usage()


class Tokens(_Report, frozen=True, kw_only=True):
    """Answer to Tokenize and Prompt."""

    id: int
    tokens: tuple[int, ...]


class Text(_Report, frozen=True, kw_only=True):
    """Answer to Detokenize and Render."""

    id: int
    text: str


class Vectors(_Report, frozen=True, kw_only=True):
    """Answer to Embed."""

    id: int
    embedded: Embedded


class Scores(_Report, frozen=True, kw_only=True):
    """Answer to Rank."""

    id: int
    ranked: Ranked


class Stats(_Report, frozen=True, kw_only=True):
    """Counters since the start (they only grow) and gauges now; sent after a step, at most some times a second.

    Where several models share the worker, what is counted of requests is told by model, too.
    """

    counters: dict[str, int]
    gauges: dict[str, float] = {}
    counters_by_model: dict[str, dict[str, int]] = {}
    gauges_by_model: dict[str, dict[str, float]] = {}


Report = (
    LoadProgress
    | Prepared
    | Ready
    | Attached
    | LoadFailed
    | RequestAccepted
    | RequestDelta
    | RequestFinished
    | RequestFailed
    | Tokens
    | Text
    | Vectors
    | Scores
    | Stats
)

_encoder = msgspec.msgpack.Encoder()
_commands = msgspec.msgpack.Decoder(list[Command])
_reports = msgspec.msgpack.Decoder(list[Report])
_header = struct.Struct(">I")
HEADER_SIZE = _header.size


def encode_frame(messages: list[Any]) -> bytes:
    """Return one frame holding `messages`."""
    body = _encoder.encode(messages)
    return _header.pack(len(body)) + body


def frame_length(header: bytes) -> int:
    """Return the body length that `header` announces; ValueError over MAX_FRAME."""
    (length,) = _header.unpack(header)
    if length > MAX_FRAME:
        raise ValueError(f"frame of {length} bytes, at most {MAX_FRAME} allowed")
    return int(length)


def decode_commands(body: bytes) -> list[Command]:
    """Decode a frame's body in the worker; msgspec.ValidationError if it is not one."""
    return _commands.decode(body)


def decode_reports(body: bytes) -> list[Report]:
    """Decode a frame's body in the server; msgspec.ValidationError if it is not one."""
    return _reports.decode(body)

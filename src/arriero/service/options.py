"""How the service behaves. config/ makes one of flags, environment and file; the variables are named here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arriero.store.registry.options import RegistryOptions
from arriero.text.tool_calls.repair import MODES

TOOL_REPAIR = MODES
PREFIX_BYTES = 10 << 30


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """All of it is optional. Times in seconds.

    keep_alive: how long an unused model stays loaded; negative for ever (OLLAMA_KEEP_ALIVE).
    load_timeout: how long loading may show no progress; None for ever (OLLAMA_LOAD_TIMEOUT).
    max_queue: requests that may wait at once beside the running ones; more are refused (OLLAMA_MAX_QUEUE).
    max_loaded_models: models in memory at once (OLLAMA_MAX_LOADED_MODELS).
    context_length: the context where a request names none; None lets the runner choose (OLLAMA_CONTEXT_LENGTH).
    worker: the runner's and engine's own settings, passed to every worker.
    spare_worker: whether a worker without a model is kept ready for the next one (ARRIERO_SPARE_WORKER).
    go_template: whether models with a TEMPLATE of their own use it; None chooses as Ollama does (OLLAMA_GO_TEMPLATE).
    registry: how models are pulled and pushed.
    tool_repair: what is done with broken tool calls: off, warn, retry or reject.
    tool_dedupe: whether a call that an answer has made already is left out.
    responses: the file that keeps responses of OpenAI's Responses API; None keeps none (ARRIERO_STORE_RESPONSES).
    batches: the folder of uploaded files and batches; None refuses them (ARRIERO_STORE_BATCHES).
    prefixes: the folder where workers may keep prefixes; None where there is none.
    prefix_bytes: bytes of all files there, 0 to keep none (ARRIERO_DISK_CACHE).
    max_responses: how many of them are kept; the least recently used go first.
    max_responses_bytes: bytes that they may have in all.
    """

    keep_alive: float = 300.0
    load_timeout: float | None = 300.0
    max_queue: int = 512
    max_loaded_models: int = 3
    context_length: int | None = None
    worker: Mapping[str, Any] = field(default_factory=dict)
    spare_worker: bool = False
    go_template: bool | None = None
    registry: RegistryOptions = field(default_factory=RegistryOptions)
    tool_repair: str = "warn"
    tool_dedupe: bool = True
    responses: Path | None = None
    batches: Path | None = None
    prefixes: Path | None = None
    prefix_bytes: int = PREFIX_BYTES
    max_responses: int = 10_000
    max_responses_bytes: int = 256 * 1024 * 1024

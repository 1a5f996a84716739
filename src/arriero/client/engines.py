"""Engine and AsyncEngine: the same calls as the clients', on a worker process of one's own. No HTTP, no port."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arriero.client.async_calls import AsyncCalls
from arriero.client.calls import Calls
from arriero.client.worker_speaker import WorkerSpeaker, name_of


class AsyncEngine(AsyncCalls):
    """Runs the GGUF file at `path`. The model is loaded by the first call and stays until `close`.

    The environment sets the same things as for a server (OLLAMA_CONTEXT_LENGTH, ARRIERO_DETERMINISTIC, …); `worker`
    overrides them with the runner's and engine's own settings, by their plain names.
    """

    def __init__(self, path: str | os.PathLike[str], *, worker: Mapping[str, Any] | None = None) -> None:
        file = Path(path).expanduser().absolute()
        super().__init__(WorkerSpeaker(file, dict(worker or {})), name_of(file))


class Engine(Calls):
    """AsyncEngine's calls for code that is not async; the arguments are the same."""

    def __init__(self, path: str | os.PathLike[str], *, worker: Mapping[str, Any] | None = None) -> None:
        super().__init__(AsyncEngine(path, worker=worker))

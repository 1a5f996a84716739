"""What is asked of, and told by, whoever measures how well a model foretells a text."""

from __future__ import annotations

import msgspec


class PerplexityJob(msgspec.Struct, frozen=True, kw_only=True):
    """A GGUF at `path`, and the `text`, in windows of `context` tokens; `windows` 0: all of them.

    `threads` None: the runner's own choice.
    """

    path: str
    text: str
    adapters: tuple[str, ...] = ()
    context: int = 512
    windows: int = 0
    kv_cache_type: str = "f16"
    threads: int | None = None


class PerplexityReport(msgspec.Struct, frozen=True, kw_only=True):
    """`perplexity` of the `tokens` scored so far, and its standard error; how many windows of how many are done.

    `context`: tokens of a window, fewer than asked for where the text has no more.
    """

    perplexity: float
    error: float
    tokens: int
    windows: int
    of_windows: int
    context: int
    flash_attention: bool = False

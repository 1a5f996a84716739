"""A model without weights: bytes for tokens, and an answer that repeats the prompt. For tests and work on surfaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from arriero.core.constraint import TokenMask
from arriero.core.embedding import LoadedEmbedder
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions, SamplingParams
from arriero.core.runner import RunnerInfo
from arriero.core.tokenizer import LoadedModel
from arriero.runners.constrained.compiler import MaskCompiler
from arriero.runners.fake import FakeRunner
from arriero.runners.fake_answers import GreedySampler, echo
from arriero.runners.fake_embedder import FakeEmbedder
from arriero.runners.sampler import NumpyScorer

END = 256
N_VOCAB = 257


class ByteTokenizer:
    """A byte is a token; 256 ends an answer. Implements core.tokenizer.Tokenizer."""

    eog_ids = frozenset({END})
    bos_text = ""
    eos_text = ""
    n_vocab = N_VOCAB

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """The UTF-8 bytes of `text`; there are no special tokens to add or to read."""
        return list(text.encode("utf-8", "replace"))

    def count(self, text: str, *, add_special: bool, parse_special: bool) -> int:
        """The number of them."""
        return len(text.encode("utf-8", "replace"))

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The byte; nothing for the end, which no text stands for."""
        return bytes([token]) if token < END else b""


def open_model(
    spec: ModelSpec, load: LoadOptions, options: Mapping[str, Any], progress: Callable[[float], None]
) -> LoadedModel | LoadedEmbedder:
    """Return the fake at once. `num_ctx` and the setting `max_sequences` count, and `step_seconds` slows it down."""
    context = load.num_ctx or 2048
    if "embedding" in spec.capabilities:
        progress(1.0)
        return LoadedEmbedder(FakeEmbedder(max_tokens=context, step_seconds=_step_seconds(options)), ByteTokenizer())
    slots = int(options.get("max_sequences", 8))
    info = RunnerInfo(
        n_vocab=N_VOCAB,
        max_sequences=slots,
        max_sequence_tokens=context,
        max_batch_tokens=512,
        active_blocks=slots * -(-context // 16),
        parked_blocks=1024,
        layout="fake",
    )
    runner = FakeRunner(info, script=echo(END), step_seconds=_step_seconds(options))
    progress(1.0)
    tokenizer = ByteTokenizer()

    def make_sampler(params: SamplingParams, mask: TokenMask | None = None) -> GreedySampler:
        return GreedySampler(mask)

    return LoadedModel(runner, tokenizer, make_sampler, spec.chat_template, MaskCompiler(tokenizer), NumpyScorer)


def _step_seconds(options: Mapping[str, Any]) -> float:
    return float(options.get("step_seconds", 0.0))

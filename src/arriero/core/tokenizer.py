"""The contracts of text ↔ token ids on a loaded model, and of a loaded model as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from arriero.core.constraint import MaskMaker, TokenMask
from arriero.core.request import SamplingParams
from arriero.core.runner import Drafter, Runner, Sampler, Scorer


class Tokenizer(Protocol):
    """A model's vocabulary. Safe to call while the runner executes in another thread."""

    @property
    def eog_ids(self) -> frozenset[int]:
        """Tokens that end a generation."""

    @property
    def bos_text(self) -> str:
        """The text of the beginning-of-sequence token, empty where there is none."""

    @property
    def eos_text(self) -> str:
        """The text of the end-of-sequence token, empty where there is none."""

    @property
    def n_vocab(self) -> int:
        """Number of tokens."""

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of `text`; `add_special` adds BOS/EOS as the model wants, `parse_special` reads them in `text`."""

    def count(self, text: str, *, add_special: bool, parse_special: bool) -> int:
        """How many tokens `encode` would give; a long text's ids take the interpreter's time, their number does not."""

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes that `token` stands for; for control tokens their text where `special`, else none."""


class Tokenized(NamedTuple):
    """A prompt's token ids, and how many tokens the model's context holds, the answer included."""

    tokens: list[int]
    context_length: int


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What a worker needs of a model: kernels, vocabulary, samplers, its own chat template, and who makes masks.

    `make_scorer` gets how many alternatives to report of each token; None: the runner cannot score prompts.
    `add_adapter` loads a LoRA adapter's file, once, so that batches may name it, and returns its bytes (0 if it was
    there); for the runner's thread. `drop_adapter` frees one that no batch will name any more, for the same thread.
    """

    runner: Runner
    tokenizer: Tokenizer
    make_sampler: Callable[[SamplingParams, TokenMask | None], Sampler]
    chat_template: str | None
    masks: MaskMaker
    make_scorer: Callable[[int], Scorer] | None = None
    add_adapter: Callable[[str], int] | None = None
    drafter: Drafter | None = None
    drop_adapter: Callable[[str], None] | None = None

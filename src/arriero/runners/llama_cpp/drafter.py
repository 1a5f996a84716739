"""LlamaCppDrafter: a smaller model that guesses what a larger one will say. It draws greedily and judges nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from arriero.core.errors import ModelLoadError
from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.bindings import lib
from arriero.runners.llama_cpp.context import Context, DecodeError
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.plan import Plan


class LlamaCppDrafter:
    """Implements core.runner.Drafter: a context of its own, in which each text has a slot that is cut and continued."""

    def __init__(self, model: Model, target: Model, plan: Plan) -> None:
        """`plan` is its own (draft_plan.py). It owns `model`. ModelLoadError if it cannot guess for `target`."""
        check_drafts_for(model, target)
        self._model = model
        self._longest = plan.num_ctx
        self._context = Context(model, plan)
        self._batch = TokenBatch(plan.num_batch)
        self._free = list(range(plan.max_sequences))
        self._slots: OrderedDict[int, int] = OrderedDict()  # by text, the least recently used first
        self._held: dict[int, list[int]] = {}  # by slot: the tokens whose K and V are there

    @property
    def max_texts(self) -> int:
        """See core.runner.Drafter."""
        return len(self._slots) + len(self._free)

    def propose(self, texts: Mapping[int, Sequence[int]], count: int) -> dict[int, list[int]]:
        """See core.runner.Drafter. What fails empties the context: the next call begins anew."""
        try:
            return self._propose(texts, count)
        except DecodeError:
            for slot in range(self.max_texts):
                self._context.clear(slot)
            self._free, self._held = list(range(self.max_texts)), {}
            self._slots.clear()
            return {}

    def _propose(self, texts: Mapping[int, Sequence[int]], count: int) -> dict[int, list[int]]:
        guesses: dict[int, list[int]] = {}
        room = self._batch.capacity
        self._batch.clear()
        for number, tokens in texts.items():
            slot = self._slot(number)
            start = self._cut(slot, tokens)
            end = min(len(tokens), start + room, self._longest)
            if end > start:
                self._batch.add(slot, tokens, start, end, output=end == len(tokens))
                self._held[slot] += tokens[start:end]
                room -= end - start
                if end == len(tokens):
                    guesses[number] = []
        rows = self._decode()
        while True:
            for number, logits in zip(guesses, rows, strict=True):
                guesses[number].append(int(logits.argmax()))
            count -= 1
            if count <= 0 or not guesses or any(len(self._held[self._slots[n]]) >= self._longest for n in guesses):
                return guesses
            self._batch.clear()
            for number, found in guesses.items():
                held = self._held[self._slots[number]]
                held.append(found[-1])
                self._batch.add(self._slots[number], held, len(held) - 1, len(held), output=True)
            rows = self._decode()

    def _decode(self) -> npt.NDArray[np.float32]:
        return self._context.decode(self._batch) if self._batch.size else np.empty((0, 0), np.float32)

    def _slot(self, number: int) -> int:
        slot = self._slots.get(number)
        if slot is None:
            slot = self._free.pop() if self._free else self._slots.popitem(last=False)[1]
            self._context.clear(slot)
            self._slots[number], self._held[slot] = slot, []
        self._slots.move_to_end(number)
        return slot

    def _cut(self, slot: int, tokens: Sequence[int]) -> int:
        """Keep of a slot what its text begins with, but for the last token; return how much that is."""
        held = self._held[slot]
        common = min(len(held), len(tokens) - 1)
        if held[:common] != tokens[:common]:
            common = next(index for index in range(common) if held[index] != tokens[index])
        if common < len(held):
            self._context.cut(slot, common)
            del held[common:]
        return common

    def close(self) -> None:
        """Free context and weights."""
        self._context.close()
        self._model.close()


def check_drafts_for(draft: Model, target: Model) -> None:
    """ModelLoadError unless both have the same tokens, and what the draft model computed can be taken back."""
    if draft.recurrent:
        raise ModelLoadError("a recurrent model cannot be a draft model: its wrong guesses cannot be taken back")
    if draft.vocab.n_vocab != target.vocab.n_vocab:
        raise ModelLoadError(
            f"the draft model has {draft.vocab.n_vocab} tokens, the model {target.vocab.n_vocab}: "
            "only one with the same vocabulary can guess for it"
        )
    mine, other = lib.llama_model_get_vocab(draft.handle), lib.llama_model_get_vocab(target.handle)
    for token in range(draft.vocab.n_vocab):
        if lib.llama_vocab_get_text(mine, token) != lib.llama_vocab_get_text(other, token):
            raise ModelLoadError(
                f"token {token} of the draft model is another one than the model's: "
                "only one with the same vocabulary can guess for it"
            )

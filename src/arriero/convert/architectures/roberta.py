"""RoBERTa and XLM-RoBERTa: BERT with another vocabulary, and with positions that begin after the padding's."""

from __future__ import annotations

from arriero.convert.architectures.bert import Bert
from arriero.convert.vocabulary import byte_level, unigram
from arriero.convert.weights import Tensor
from arriero.core.errors import InvalidRequest


class Roberta(Bert):
    """Keys and tensors of `bert`, as these models fill them."""

    @property
    def offset(self) -> int:
        """Rows of the positions that no token ever has."""
        return self.config.integer("pad_token_id", default=1) + 1

    def context(self) -> int:
        """The tokens of the longest text."""
        return super().context() - self.offset

    def vocabulary(self) -> None:
        """Write the tokenizer's keys."""
        kind = (self.source.object("tokenizer.json").get("model") or {}).get("type")
        config = {**self.config.values, "vocab_size": self.rows()}
        if kind == "Unigram":
            unigram.write(self.source, self.out, config)
        elif kind == "BPE":
            byte_level.write(self.source, self.out, config, pre="roberta-bpe")
        else:
            raise InvalidRequest(f"tokenizer.json holds a tokenizer of type {kind}; Unigram or BPE is expected")

    def rename(self, name: str) -> str | None:
        """Without the prefix and the heads that the task classes give."""
        name = name.removeprefix("roberta.")
        return None if name.startswith(("lm_head.", "classifier.")) else super().rename(name)

    def cut(self, tensor: Tensor) -> Tensor:
        """Positions without the rows that are never used."""
        return (
            tensor.after(self.offset) if self.rename(tensor.name) == "embeddings.position_embeddings.weight" else tensor
        )

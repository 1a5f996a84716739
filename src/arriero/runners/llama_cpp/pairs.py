"""A query and a document as a reranker reads them: by the model's own `rerank` template, or with its marks between.

Without a template the marks are those of the tokenizer, as the models were trained: [CLS] query [SEP] document [SEP],
and a second mark between where the vocabulary asks for one (RoBERTa). Marks that are written in a text are text.
"""

from __future__ import annotations

from typing import Any

from arriero.core.embedding import TokenPair
from arriero.runners.llama_cpp.bindings import lib
from arriero.runners.llama_cpp.vocab import Vocab

QUERY, DOCUMENT = "{query}", "{document}"


class PairEncoder:
    """Encodes pairs for one model; `handle` is its `llama_model_p`."""

    def __init__(self, handle: Any, vocab: Vocab) -> None:
        self._vocab = vocab
        raw = lib.llama_model_chat_template(handle, b"rerank")
        template = "" if raw is None else raw.decode("utf-8", "replace")
        head, query, rest = template.partition(QUERY)
        between, document, tail = rest.partition(DOCUMENT)
        self._parts = (head, between, tail) if query and document else None
        self._begin, self._end = _marks(vocab)
        handle_of_vocab = lib.llama_model_get_vocab(handle)
        separator = lib.llama_vocab_sep(handle_of_vocab)
        doubled = lib.llama_vocab_get_add_sep(handle_of_vocab) and lib.llama_vocab_get_add_eos(handle_of_vocab)
        self._between = [*self._end, separator] if doubled and separator >= 0 else self._end

    def __call__(self, query: str, document: str) -> TokenPair:
        """Return the parts of the pair's tokens."""
        asked, told = self._text(query), self._text(document)
        if self._parts is None:
            return TokenPair([*self._begin, *asked, *self._between], told, self._end)
        head, between, tail = (self._template(part) for part in self._parts)
        return TokenPair([*head, *asked, *between], told, tail)

    def _text(self, text: str) -> list[int]:
        return self._vocab.encode(text, add_special=False, parse_special=False)

    def _template(self, text: str) -> list[int]:
        return self._vocab.encode(text, add_special=False, parse_special=True)


def _marks(vocab: Vocab) -> tuple[list[int], list[int]]:
    """Return the tokens that the tokenizer puts before and behind a text."""
    probe = vocab.encode("a", add_special=False, parse_special=False)
    marked = vocab.encode("a", add_special=True, parse_special=False)
    for at in range(len(marked) - len(probe) + 1):
        if marked[at : at + len(probe)] == probe:
            return marked[:at], marked[at + len(probe) :]
    return [], []

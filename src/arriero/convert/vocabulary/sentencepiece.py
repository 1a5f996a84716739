"""SentencePiece's BPE, the tokenizer of Llama 2, Mistral, Gemma and Phi-3: llama.cpp's `llama` vocabulary.

Read from tokenizer.model (protocol buffers; fields of sentencepiece_model.proto), else from a tokenizer.json that was
made of one: there the order of merges stands for the scores.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

from arriero.convert.output import Output
from arriero.convert.source import Source
from arriero.convert.vocabulary import special
from arriero.convert.vocabulary.byte_level import merges
from arriero.convert.vocabulary.tokens import Tokens, Type, size_of
from arriero.core.errors import InvalidRequest

FILE = "tokenizer.model"
_BPE = 2
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_SPACE = "▁"
_ADDED_SCORE = -1000.0


def write(source: Source, out: Output, config: dict[str, Any]) -> None:
    """Write the vocabulary and its special tokens."""
    tokens, prefix = _from_model(source.bytes(FILE)) if FILE in source else _from_json(source.object("tokenizer.json"))
    for at, (text, control) in special.added_tokens(source).items():
        if at < len(tokens.texts) and tokens.types[at] in (Type.UNKNOWN, Type.BYTE):
            continue
        shown = text if control else text.replace(_SPACE, " ")
        tokens.put(at, shown, Type.CONTROL if control else Type.USER_DEFINED, _ADDED_SCORE)
    size_of(config, tokens)
    tokens.write(out, "llama", "default", scores=True)
    out.keys.add_add_space_prefix(prefix)
    special.write(source, out, config, tokens)


def _from_json(tokenizer: dict[str, Any]) -> tuple[Tokens, bool]:
    model = tokenizer["model"]
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(merges(model)):
        ranks.setdefault(pair.replace(" ", ""), rank)
    tokens = Tokens()
    for text, at in model["vocab"].items():
        kind = Type.BYTE if _BYTE.fullmatch(text) else Type.UNKNOWN if text == model.get("unk_token") else Type.NORMAL
        tokens.put(at, text, kind, -float(ranks.get(text, len(ranks))))
    return tokens, adds_prefix(tokenizer)


def adds_prefix(tokenizer: dict[str, Any]) -> bool:
    """Whether a space is put before a text: by a normalizer of old, by a pre-tokenizer of today."""
    normalizer = tokenizer.get("normalizer") or {}
    steps = normalizer.get("normalizers") or [normalizer]
    cuts = tokenizer.get("pre_tokenizer") or {}
    metaspaces = [step for step in cuts.get("pretokenizers") or [cuts] if step.get("type") == "Metaspace"]
    for metaspace in metaspaces:
        return bool(
            metaspace.get("prepend_scheme", "always" if metaspace.get("add_prefix_space", True) else "")
            in (
                "always",
                "first",
            )
        )
    return any(isinstance(step, dict) and step.get("type") == "Prepend" for step in steps)


def _from_model(data: bytes) -> tuple[Tokens, bool]:
    tokens, prefix, kind = Tokens(), True, 1
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            piece = dict(_fields(value))
            text, score, type_ = piece.get(1, b""), piece.get(2, b"\0\0\0\0"), piece.get(3, 1)
            if not isinstance(text, bytes) or not isinstance(score, bytes) or not isinstance(type_, int):
                raise InvalidRequest(f"{FILE} is not a SentencePiece model")
            # The numbers of its types are those of GGUF.
            tokens.put(len(tokens.texts), text, type_, struct.unpack("<f", score)[0])
        elif number == 2 and isinstance(value, bytes):
            found = dict(_fields(value)).get(3, 1)
            if not isinstance(found, int):
                raise InvalidRequest(f"{FILE} is not a SentencePiece model")
            kind = found
        elif number == 3 and isinstance(value, bytes):
            prefix = bool(dict(_fields(value)).get(3, 1))
    if not tokens.texts:
        raise InvalidRequest(f"{FILE} is not a SentencePiece model")
    if kind != _BPE:
        raise InvalidRequest(f"{FILE} is of SentencePiece's type {kind}; only BPE (2) can be converted")
    return tokens, prefix


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of a message's fields; fixed-width values as their bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while at < len(data) and shift < 64:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise InvalidRequest(f"{FILE} is not a SentencePiece model, or it is truncated")

    while at < len(data):
        tag = varint()
        width = {1: 8, 5: 4}.get(tag & 7)
        if tag & 7 == 0:
            yield tag >> 3, varint()
            continue
        if width is None and tag & 7 != 2:
            raise InvalidRequest(f"{FILE} is not a SentencePiece model")
        size = varint() if width is None else width
        if size > len(data) - at:
            raise InvalidRequest(f"{FILE} is not a SentencePiece model, or it is truncated")
        yield tag >> 3, data[at : at + size]
        at += size

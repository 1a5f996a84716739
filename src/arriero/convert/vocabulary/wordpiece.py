"""WordPiece, the tokenizer of BERT: tokenizer.json or vocab.txt becomes llama.cpp's `bert` vocabulary."""

from __future__ import annotations

from typing import Any

from arriero.convert.output import Output
from arriero.convert.source import Source
from arriero.convert.vocabulary.special import added_tokens
from arriero.convert.vocabulary.tokens import Tokens, Type, size_of, token_text
from arriero.core.errors import InvalidRequest

SPECIAL = {"cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "pad": "[PAD]", "mask": "[MASK]"}
_WORD_BEGIN = "▁"


def write(source: Source, out: Output, config: dict[str, Any]) -> None:
    """Write the vocabulary and how its text is normalised."""
    stated = source.optional("tokenizer_config.json")
    texts = source.optional("special_tokens_map.json") | stated
    special = {kind: token_text(texts.get(f"{kind}_token")) or text for kind, text in SPECIAL.items()}
    normalizer: dict[str, Any] = {}
    if "tokenizer.json" in source:
        vocab, controls, normalizer = _from_json(source)
    elif "vocab.txt" in source:
        lines = source.text("vocab.txt").split("\n")
        vocab, controls = {line: at for at, line in enumerate(lines) if line or at < len(lines) - 1}, set()
    else:
        raise InvalidRequest("tokenizer.json and vocab.txt are missing")
    controls |= {text for text in special.values() if text in vocab}
    tokens = Tokens()
    for text, at in vocab.items():
        if text in controls:
            tokens.put(at, text, Type.CONTROL)
        else:  # llama.cpp marks the pieces that begin a word instead of those that continue one
            tokens.put(at, text[2:] if text.startswith("##") else _WORD_BEGIN + text)
    size_of(config, tokens)
    tokens.write(out, "bert", "default")
    for kind, text in special.items():
        if text in vocab and kind != "cls":  # GGUF knows it as the token that begins a text
            getattr(out.keys, f"add_{kind}_token_id")(vocab[text])
    for needed, role in (("cls", "bos"), ("sep", "eos")):
        if special[needed] not in vocab:
            raise InvalidRequest(f"the tokenizer has no {special[needed]} token")
        getattr(out.keys, f"add_{role}_token_id")(vocab[special[needed]])
    lower = normalizer.get("lowercase", stated.get("do_lower_case", True))
    strip = normalizer.get("strip_accents", stated.get("strip_accents"))
    out.keys.add_bool("tokenizer.ggml.normalizer.lowercase", bool(lower))
    out.keys.add_bool("tokenizer.ggml.normalizer.strip_accents", bool(lower if strip is None else strip))


def _from_json(source: Source) -> tuple[dict[str, int], set[str], dict[str, Any]]:
    tokenizer = source.object("tokenizer.json")
    model = tokenizer.get("model") or {}
    if model.get("type", "WordPiece") != "WordPiece" or not isinstance(model.get("vocab"), dict):
        raise InvalidRequest(f"tokenizer.json holds a {model.get('type')} tokenizer, where WordPiece is expected")
    if model.get("continuing_subword_prefix", "##") != "##":
        raise InvalidRequest("tokenizer.json: llama.cpp knows no other continuing_subword_prefix than ##")
    normalizer = tokenizer.get("normalizer") or {}
    if normalizer.get("type", "BertNormalizer") != "BertNormalizer":
        raise InvalidRequest(f"tokenizer.json: a normalizer of type {normalizer['type']} cannot be converted")
    vocab: dict[str, int] = dict(model["vocab"])
    controls = set()
    for at, (text, control) in added_tokens(source).items():
        vocab[text] = at
        if control:
            controls.add(text)
    return vocab, controls, normalizer

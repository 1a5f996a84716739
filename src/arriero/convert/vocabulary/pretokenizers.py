"""Names that llama.cpp has for the way a byte-level BPE cuts text before it merges.

Recognised by the patterns in tokenizer.json; they are those that llama.cpp's src/llama-vocab.cpp implements.
"""

from __future__ import annotations

from typing import Any

from arriero.core.errors import InvalidRequest

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_LEAD = r"[^\r\n\p{L}\p{N}]?"
_SLASH_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_DIGITS = "digits"

_TEKKEN = rf"{_LEAD}{_UPPER}*{_LOWER}+|{_LEAD}{_UPPER}+{_LOWER}*|\p{{N}}" + _SLASH_TAIL
_GPT4O = rf"{_LEAD}{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_LEAD}{_UPPER}+{_LOWER}*{_CONTRACTIONS}?|\p{{N}}{{1,3}}"
_QWEN35 = r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_DEEPSEEK = (
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)

_NAMES: dict[tuple[str, ...], str] = {
    (_CONTRACTIONS + "|" + _LEAD + r"\p{L}+|\p{N}{1,3}" + _TAIL,): "llama-bpe",
    (_CONTRACTIONS + "|" + _LEAD + r"\p{L}+|\p{N}" + _TAIL,): "qwen2",
    (_CONTRACTIONS + _QWEN35,): "qwen35",
    (_TEKKEN,): "tekken",
    (_GPT4O + _SLASH_TAIL,): "gpt-4o",
    (_GPT2,): "gpt-2",
    (_DIGITS, _GPT2): "smollm",
    ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"): "deepseek-coder",
    (r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK): "deepseek-v3",
}


def name_of(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name; InvalidRequest with the patterns if it has none."""
    patterns = tuple(_patterns(tokenizer.get("pre_tokenizer")))
    if patterns not in _NAMES:
        raise InvalidRequest(f"tokenizer.json cuts text in a way that llama.cpp does not know: {list(patterns)}")
    name = _NAMES[patterns]
    if name == "llama-bpe" and not (tokenizer.get("model") or {}).get("ignore_merges"):
        return "dbrx"  # the same cuts; a word that is a token is still made by merges
    return name


def _patterns(step: Any) -> list[str]:
    """The patterns in their order; a byte-level step with its own pattern is GPT-2's."""
    if not isinstance(step, dict):
        return []
    kind = step.get("type")
    if kind == "Sequence":
        return [pattern for inner in step.get("pretokenizers") or [] for pattern in _patterns(inner)]
    if kind == "ByteLevel":
        if step.get("add_prefix_space"):
            return ["ByteLevel with add_prefix_space"]
        return [_GPT2] if step.get("use_regex", True) else []
    if kind == "Digits" and step.get("individual_digits"):
        return [_DIGITS]
    if kind == "Split":
        pattern = step.get("pattern")
        found = pattern.get("Regex", pattern.get("String")) if isinstance(pattern, dict) else None
        if isinstance(found, str) and (step.get("behavior") == "Isolated" or (step.get("invert") and found)):
            return [found]
    return [str(kind)]

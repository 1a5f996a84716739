"""The byte-level BPE: merges join letters with letters only (and JSON punctuation with itself).

Words therefore have the same tokens wherever they stand, which is what lets a small model copy them.
`python -m training.tokenizer` rebuilds tokenizer.json from the training text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from training.shape import CONTROL_TOKENS, TEXT_TOKENS, Shape

PATH = Path(__file__).with_name("tokenizer.json")
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PUNCTUATION = (('"', ":"), ('"', ","), ("{", '"'))


def byte_letters() -> list[str]:
    """GPT-2's printable stand-in for each byte, in byte order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(spare)) for b in range(256)]


def learn(words: Counter[str], count: int) -> list[tuple[str, str]]:
    """The most frequent merges inside words of ASCII letters."""
    split = {word: list(word) for word in words}
    pairs: Counter[tuple[str, str]] = Counter()
    homes: dict[tuple[str, str], set[str]] = {}

    def tally(word: str, sign: int) -> None:
        for pair in zip(split[word], split[word][1:], strict=False):
            pairs[pair] += sign * words[word]
            homes.setdefault(pair, set()).add(word)

    for word in words:
        tally(word, 1)
    merges: list[tuple[str, str]] = []
    while len(merges) < count and pairs:
        left, right = best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        for word in homes.pop(best):
            tally(word, -1)
            split[word] = joined(split[word], left, right)
            tally(word, 1)
        del pairs[best]
    return merges


def joined(parts: list[str], left: str, right: str) -> list[str]:
    """Parts with each neighbouring left, right made one."""
    out: list[str] = []
    for part in parts:
        if out and out[-1] == left and part == right:
            out[-1] = left + right
        else:
            out.append(part)
    return out


def build(words: Counter[str], size: int) -> Tokenizer:
    """A tokenizer of exactly `size` ids: specials, bytes, merges, then unused fill."""
    vocab = {token: i for i, token in enumerate((*CONTROL_TOKENS, *TEXT_TOKENS))}
    for letter in byte_letters():
        vocab[letter] = len(vocab)
    merges = [*PUNCTUATION, *learn(words, size - len(vocab) - len(PUNCTUATION))]
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    unused = [f"<|unused_{i}|>" for i in range(size - len(vocab))]
    for token in unused:
        vocab[token] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*CONTROL_TOKENS, *unused])
    tokenizer.add_tokens(list(TEXT_TOKENS))
    return tokenizer


@cache
def load() -> Tokenizer:
    """The committed tokenizer."""
    return Tokenizer.from_file(str(PATH))


def merges_of(tokenizer: Tokenizer) -> list[str]:
    """Merges as GGUF wants them: two pieces with a space between."""
    raw = json.loads(tokenizer.to_str())["model"]["merges"]
    return [" ".join(pair) if isinstance(pair, list) else pair for pair in raw]


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each run of ASCII letters occurs, flattened by a power so that rare words get merges too."""
    counts: Counter[str] = Counter()
    for text in texts:
        word = ""
        for letter in text + " ":
            if letter.isascii() and letter.isalpha():
                word += letter
            elif word:
                counts[word] += 1
                word = ""
    return Counter({word: round(10 * count**0.8) for word, count in counts.items()})


def main() -> None:
    """Learn merges from the training text and write tokenizer.json."""
    from training.data.mix import sample_text

    build(count_words(sample_text(seed=1)), Shape().vocab).save(str(PATH))


if __name__ == "__main__":
    main()

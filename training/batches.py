"""Dialogues to padded batches: targets only where the assistant speaks, rows of like length together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from training.chat import Dialogue, render
from training.data.mix import COPYING, MIX, stream
from training.shape import IM_END, IM_START, PAD
from training.tokenizer import load

Batch = tuple[Tensor, Tensor]
Row = tuple[list[int], list[int]]
LONGEST = 1400
IGNORE = -100


class Encoder:
    """Text to ids and targets."""

    def __init__(self) -> None:
        self.tokenizer = load()
        ids = {token: self.tokenizer.token_to_id(token) for token in (PAD, IM_START, IM_END)}
        self.pad, self.start, self.end = ids[PAD], ids[IM_START], ids[IM_END]
        self.opening = self.tokenizer.encode("assistant\n").ids

    def encode(self, dialogue: Dialogue) -> tuple[list[int], list[int]]:
        """Ids, and for each the next id where the assistant is to say it."""
        ids = self.tokenizer.encode(render(dialogue.messages, dialogue.tools)).ids
        while ids and ids[-1] != self.end:
            ids.pop()
        targets = [IGNORE] * len(ids)
        width = len(self.opening)
        speaking = False
        for i, token in enumerate(ids):
            if token == self.start:
                speaking = ids[i + 1 : i + 1 + width] == self.opening
                first = i + width
            if speaking and i >= first and i + 1 < len(ids):
                targets[i] = ids[i + 1]
            if token == self.end:
                speaking = False
                targets[i] = IGNORE
        return ids, targets


def padded(rows: list[Row], pad: int) -> Batch:
    """Rows as one rectangle whose width is a multiple of 16."""
    width = -(-max(len(ids) for ids, _ in rows) // 16) * 16
    ids = torch.tensor([r[0] + [pad] * (width - len(r[0])) for r in rows])
    targets = torch.tensor([r[1] + [IGNORE] * (width - len(r[1])) for r in rows])
    return ids, targets


def steps(seed: int, tokens: int, micro: int, copying: float) -> Iterator[list[Batch]]:
    """Endless steps of about `tokens` tokens in micro batches of about `micro`; a share of pure copying."""
    rng = random.Random(seed)
    encoder = Encoder()
    plain, mix = stream(rng, COPYING), stream(rng, MIX)
    pool: list[Batch] = []
    while True:
        step: list[Batch] = []
        while sum(ids.numel() for ids, _ in step) < tokens - micro // 2:
            if not pool:
                pool = micro_batches(encoder, lambda: next(plain if rng.random() < copying else mix), tokens * 6, micro)
                rng.shuffle(pool)
            step.append(pool.pop())
        yield step


def micro_batches(encoder: Encoder, draw: Callable[[], Dialogue], tokens: int, micro: int) -> list[Batch]:
    """About `tokens` tokens of dialogues, grouped by length so that little is padding."""
    rows: list[Row] = []
    total = 0
    while total < tokens:
        row = encoder.encode(draw())
        if len(row[0]) <= LONGEST:
            rows.append(row)
            total += len(row[0])
    rows.sort(key=lambda r: len(r[0]))
    batches: list[Batch] = []
    group: list[Row] = []
    for row in rows:
        if group and (len(group) + 1) * len(row[0]) > micro:
            batches.append(padded(group, encoder.pad))
            group = []
        group.append(row)
    batches.append(padded(group, encoder.pad))
    return batches


__all__ = ["Batch", "Encoder", "steps"]

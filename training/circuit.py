"""Fresh weights with a copying circuit laid in, so that training starts where copying already half works.

Layer 0 tells each place which tokens stood one and two places before; layer 1 looks for the place whose two
predecessors are the present two tokens, and hands on the token found there. Learning this circuit from
noise takes more than a million tokens; everything stays trainable.

Width, by slot: 0 is the same for every token, 1-127 hold the token, 128-191 the one before, 192-255 the one
before that.
"""

from __future__ import annotations

import torch

from training.model import Block, Llama

SPREAD = 1.0
CONSTANT = 4 * SPREAD
LOGITS = 0.04
"""The last norm's scale. The embedding is also the output matrix: large in the stream, so that a step of Muon
(0.02 in every direction) does not drown it, and scaled down only here."""
TOKEN, BEFORE, EARLIER = 1, 128, 192
HALF = 64
SHARP_PAIRS = 8
SLOW_FROM = 17
"""Pairs from here on turn so slowly that distance hardly disturbs a match of tokens."""
NOISE = 0.2


@torch.no_grad()
def lay_in(model: Llama) -> None:
    """Rewrite the embedding and the first two layers."""
    embedding = model.token_embd.weight
    embedding.zero_()
    embedding[:, 0] = CONSTANT
    embedding[:, TOKEN:BEFORE].normal_(std=SPREAD)
    model.output_norm.weight.fill_(LOGITS)
    first, second = model.blk[0], model.blk[1]
    assert isinstance(first, Block)
    assert isinstance(second, Block)
    for block in (first, second):
        for weight in (block.attn_q.weight, block.attn_k.weight, block.attn_v.weight):
            weight.mul_(NOISE)
    look_back(model, first)
    look_up(model, second)


def look_back(model: Llama, block: Block) -> None:
    """Heads 0 and 1 attend one and two places back and write what they see to slots of their own."""
    size = model.shape.head_size
    strength = 1.45
    key, value = block.attn_k.weight[:size], block.attn_v.weight[:size]
    key.zero_()
    key[0 : 2 * SHARP_PAIRS : 2, 0] = strength
    value.zero_()
    for slot in range(HALF):
        value[slot, TOKEN + slot] = 1
    for head, (distance, target) in enumerate(((1, BEFORE), (2, EARLIER))):
        query = block.attn_q.weight[head * size : (head + 1) * size]
        query.zero_()
        turn = model.turn[distance, 0, :SHARP_PAIRS].conj()
        query[0 : 2 * SHARP_PAIRS : 2, 0] = strength * turn.real
        query[1 : 2 * SHARP_PAIRS : 2, 0] = strength * turn.imag
        for slot in range(HALF):
            block.attn_output.weight[target + slot, head * size + slot] = 1.05 * SPREAD


def look_up(model: Llama, block: Block, strength: float = 2.4, gain: float = 7.5) -> None:
    """Heads 0 and 2 match (this token, the one before) with (one before, two before) and hand on the token."""
    size = model.shape.head_size
    slow = 2 * SLOW_FROM
    for group, head in ((0, 0), (1, 2)):
        query = block.attn_q.weight[head * size : (head + 1) * size]
        key = block.attn_k.weight[group * size : (group + 1) * size]
        value = block.attn_v.weight[group * size : (group + 1) * size]
        for weight in (query, key, value):
            weight.zero_()
        for i in range(16):
            slot = group * 32 + i
            query[slow + i, TOKEN + slot] = strength
            key[slow + i, BEFORE + slot] = strength
        for i in range(14):
            slot = group * 32 + 16 + i
            query[slow + 16 + i, BEFORE + slot] = strength
            key[slow + 16 + i, EARLIER + slot] = strength
        for i in range(HALF - group):
            slot = TOKEN + group * HALF + i
            value[i, slot] = 1
            block.attn_output.weight[slot, head * size + i] = gain

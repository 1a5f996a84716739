"""The llama architecture in plain torch, with rotary pairs interleaved as llama.cpp's "llama" expects."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.shape import Shape


def rotary_table(shape: Shape) -> Tensor:
    """The turn of each pair at each position, complex [context, 1, head_size / 2]."""
    half = torch.arange(0, shape.head_size, 2, dtype=torch.float32) / shape.head_size
    angles = torch.outer(torch.arange(shape.context, dtype=torch.float32), shape.rope_theta**-half)
    return torch.polar(torch.ones_like(angles), angles)[:, None]


class Rotate(torch.autograd.Function):
    """Turns neighbouring pairs by their position's angle; the gradient turns back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, turn: Tensor) -> Tensor:
        """x [batch, time, heads, head_size]; turn complex [time, 1, head_size / 2]."""
        ctx.save_for_backward(turn)
        return turned(x, turn)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """The gradient for x."""
        (turn,) = ctx.saved_tensors
        return turned(grads[0], turn.conj()), None


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Pairs of x as complex numbers, times `turn`."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)


class RootMeanSquare(torch.autograd.Function):
    """RMS norm with few passes over memory: twice as fast on a CPU as the composed one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """x scaled to unit mean square, times the weight."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = torch.rsqrt(length.square_().div_(x.shape[-1]).add_(eps)).to(x.dtype)
        unit = x * scale
        ctx.save_for_backward(unit, scale, weight)
        return unit * weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients for x and the weight."""
        unit, scale, weight = ctx.saved_tensors
        along = grads[0] * weight
        mean = (along * unit).sum(-1, keepdim=True) / unit.shape[-1]
        return (along - unit * mean).mul_(scale), (grads[0] * unit).flatten(0, -2).sum(0), None


class Norm(nn.Module):
    """RMS norm with a learned scale."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Scale x to unit mean square."""
        out: Tensor = RootMeanSquare.apply(x, self.weight, self.eps)
        return out


class Block(nn.Module):
    """One layer: grouped-query attention, then a gated feed-forward."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        s = self.shape = shape
        self.attn_norm = Norm(s.width, s.norm_eps)
        self.attn_q = nn.Linear(s.width, s.heads * s.head_size, bias=False)
        self.attn_k = nn.Linear(s.width, s.kv_heads * s.head_size, bias=False)
        self.attn_v = nn.Linear(s.width, s.kv_heads * s.head_size, bias=False)
        self.attn_output = nn.Linear(s.heads * s.head_size, s.width, bias=False)
        self.ffn_norm = Norm(s.width, s.norm_eps)
        self.ffn_gate = nn.Linear(s.width, s.ff, bias=False)
        self.ffn_up = nn.Linear(s.width, s.ff, bias=False)
        self.ffn_down = nn.Linear(s.ff, s.width, bias=False)

    def forward(self, x: Tensor, turn: Tensor, mask: Tensor) -> Tensor:
        """x [batch, time, width] to the same shape."""
        s = self.shape
        h = self.attn_norm(x)
        qk = torch.cat((self.attn_q(h), self.attn_k(h)), -1).unflatten(-1, (-1, s.head_size))
        qk = Rotate.apply(qk, turn).transpose(1, 2)
        v = self.attn_v(h).unflatten(-1, (s.kv_heads, s.head_size)).transpose(1, 2)
        groups = s.heads // s.kv_heads
        k, v = qk[:, s.heads :].repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        scores = torch.add(mask, qk[:, : s.heads] @ k.transpose(-1, -2), alpha=s.head_size**-0.5)
        mixed = torch.softmax(scores, -1) @ v
        x = x + self.attn_output(mixed.transpose(1, 2).flatten(-2))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Llama(nn.Module):
    """Embedding, layers, final norm; the output matrix is the embedding."""

    turn: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape.width, shape.norm_eps)
        self.turn = rotary_table(shape)
        self.reset()

    def reset(self) -> None:
        """Small random weights; the matrices that write into the stream start at zero."""
        nn.init.normal_(self.token_embd.weight, std=0.02)
        for name, weight in self.named_parameters():
            if name.endswith(("attn_output.weight", "ffn_down.weight")):
                nn.init.zeros_(weight)
            elif weight.ndim == 2 and "token_embd" not in name:
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5)

    def hidden(self, ids: Tensor) -> Tensor:
        """Ids [batch, time] to the final normed stream."""
        time = ids.shape[1]
        x = self.token_embd(ids)
        mask = torch.full((time, time), float("-inf"), dtype=x.dtype).triu_(1)
        for block in self.blk:
            x = block(x, self.turn[:time], mask)
        out: Tensor = self.output_norm(x)
        return out

    def forward(self, ids: Tensor) -> Tensor:
        """Logits [batch, time, vocab]."""
        return F.linear(self.hidden(ids), self.token_embd.weight)

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Summed cross entropy where targets are not -100; logits only for those places."""
        hidden = self.hidden(ids).flatten(0, 1)
        flat = targets.flatten()
        kept = (flat != -100).nonzero().squeeze(1)
        logits = F.linear(hidden[kept], self.token_embd.weight)
        return F.cross_entropy(logits.float(), flat[kept], reduction="sum")

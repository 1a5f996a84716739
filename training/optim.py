"""Muon for the hidden matrices, AdamW for embedding and norms, over float32 masters of bfloat16 weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def orthogonalized(grad: Tensor, steps: int = 5) -> Tensor:
    """The nearest half-orthogonal matrix, by Newton-Schulz in bfloat16."""
    x = grad.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.T if tall else x).float()


FLOOR = 0.3
"""Added to Adam's root, as a share of its mean over the matrix: rows of rare tokens, whose gradients are tiny but
steady, would otherwise drift as fast as those of common ones, and a copied rare word would no longer be itself."""


class Optimizer:
    """Steps a model whose weights may be bfloat16; masters and moments are float32."""

    def __init__(self, model: nn.Module, muon_lr: float, adam_lr: float, decay: float = 0.01) -> None:
        self.muon_lr, self.adam_lr, self.decay = muon_lr, adam_lr, decay
        self.named = dict(model.named_parameters())
        self.master = {n: p.detach().float().clone() for n, p in self.named.items()}
        self.momentum = {n: torch.zeros_like(m) for n, m in self.master.items()}
        self.second = {n: torch.zeros_like(m) for n, m in self.master.items() if not self.is_hidden(n)}
        self.count = 0

    def is_hidden(self, name: str) -> bool:
        """Whether Muon steps this weight."""
        return self.master[name].ndim == 2 and "token_embd" not in name

    @torch.no_grad()
    def update(self, name: str, grad: Tensor, scale: float) -> None:
        """Step one weight at `scale` of the full rate."""
        master = self.master[name]
        if self.is_hidden(name):
            self.muon(name, grad, master, scale)
        else:
            self.adam(name, grad, master, scale)
        self.named[name].copy_(master)

    def muon(self, name: str, grad: Tensor, master: Tensor, scale: float) -> None:
        """Nesterov momentum, orthogonalized."""
        momentum = self.momentum[name].mul_(0.95).add_(grad)
        update = orthogonalized(grad.add(momentum, alpha=0.95))
        rate = self.muon_lr * scale
        master.mul_(1 - rate * self.decay)
        master.add_(update, alpha=-rate * max(1.0, master.shape[0] / master.shape[1]) ** 0.5)

    def adam(self, name: str, grad: Tensor, master: Tensor, scale: float) -> None:
        """Adam with bias correction."""
        first = self.momentum[name].lerp_(grad, 0.1)
        second = self.second[name].lerp_(grad.square(), 0.02)
        hat = first / (1 - 0.9**self.count)
        root = (second / (1 - 0.98**self.count)).sqrt_()
        root.add_(FLOOR * root.square().mean().sqrt() + 1e-8)
        master.addcdiv_(hat, root, value=-self.adam_rate(name) * scale)

    def adam_rate(self, name: str) -> float:
        """Adam's rate by the size of what it steps: embedding about 1, norms 1, the last norm 0.04."""
        if "token_embd" in name:
            return self.adam_lr
        return self.adam_lr / (40 if name.startswith("output_norm") else 6)

    def state(self) -> dict[str, object]:
        """What a checkpoint keeps."""
        return {
            "master": self.master, "momentum": self.momentum, "second": self.second, "count": self.count,
        }  # fmt: skip

    @torch.no_grad()
    def load(self, state: dict[str, dict[str, Tensor]], count: int) -> None:
        """Take up a checkpoint, weights included."""
        self.master, self.momentum, self.second = state["master"], state["momentum"], state["second"]
        self.count = count
        for name, weight in self.named.items():
            weight.copy_(self.master[name])

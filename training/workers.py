"""Threads that share weights: each takes the next micro batch, so a busy core slows only its own share.

One thread of arithmetic each (no barrier inside an operation) beats two threads an operation on a shared machine.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

from training.batches import Batch
from training.model import Llama
from training.optim import Optimizer
from training.shape import Shape


class Workers:
    """Replicas over the same storage, one a thread."""

    def __init__(self, model: Llama, count: int) -> None:
        self.replicas = [replica(model) for _ in range(count)]
        self.pool = ThreadPoolExecutor(count)
        self.lock = threading.Lock()

    def gradients(self, batches: list[Batch]) -> tuple[float, int]:
        """Accumulate gradients of all batches; the summed loss and the number of targets."""
        left = sorted(batches, key=lambda b: b[0].numel())

        def work(model: Llama) -> float:
            total = 0.0
            while True:
                with self.lock:
                    if not left:
                        return total
                    ids, targets = left.pop()
                loss = model.loss(ids, targets)
                loss.backward()
                total += float(loss.detach())

        return sum(self.pool.map(work, self.replicas)), sum(int((t != -100).sum()) for _, t in batches)

    def step(self, optimizer: Optimizer, scale: float, targets: int) -> None:
        """Sum the replicas' gradients and step every weight."""
        optimizer.count += 1
        grads: dict[str, list[torch.Tensor]] = {}
        for model in self.replicas:
            for name, weight in model.named_parameters():
                if weight.grad is not None:
                    grads.setdefault(name, []).append(weight.grad)
                    weight.grad = None

        def update(name: str) -> None:
            summed = sum(g.float() for g in grads[name])
            assert isinstance(summed, torch.Tensor)
            optimizer.update(name, summed / max(targets, 1), scale)

        list(self.pool.map(update, grads))


def replica(model: Llama) -> Llama:
    """A model with gradients of its own over the same weights."""
    twin = Llama(Shape())
    twin.turn = model.turn
    for name, weight in model.named_parameters():
        owner = twin.get_submodule(name.rpartition(".")[0])
        owner.register_parameter(name.rpartition(".")[2], torch.nn.Parameter(weight.detach()))
    return twin

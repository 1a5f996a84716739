"""The trainer: a copying stage, then the mix, on a clock; checkpoints carry everything but the data's seed.

python -m training.train --out build/demo --minutes 90
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"
import time
from pathlib import Path

import torch

from training.batches import steps
from training.circuit import lay_in
from training.model import Llama
from training.optim import Optimizer
from training.shape import Shape
from training.workers import Workers


def rate(progress: float) -> float:
    """Warm up over the first fiftieth, hold, then fall linearly from 30 % on."""
    if progress < 0.02:
        return max(progress / 0.02, 0.05)
    return 1.0 if progress < 0.3 else max((1 - progress) / 0.7, 0.02)


def copying_share(progress: float, first: float) -> float:
    """All copying at first, then a little of it."""
    return 1.0 if progress < first else 0.08


def main() -> None:
    """Train until the clock runs out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--step-tokens", type=int, default=3000)
    parser.add_argument("--micro-tokens", type=int, default=1536)
    parser.add_argument("--copying", type=float, default=0.1, help="share of the time given to copying alone")
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--start", type=float, default=0.0, help="progress to start at, for resumed runs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    model = Llama(Shape())
    lay_in(model)
    model = model.to(torch.bfloat16)
    optimizer = Optimizer(model, args.muon_lr, args.adam_lr)
    workers = Workers(model, args.threads)
    seen = 0
    if args.resume:
        saved = torch.load(args.resume, weights_only=True)
        optimizer.load(saved["optimizer"], saved["optimizer"]["count"])
        seen = saved["seen"]
    began = saved_at = time.monotonic()
    seconds = args.minutes * 60
    number, data, share = 0, None, -1.0
    while True:
        progress = args.start + (1 - args.start) * (time.monotonic() - began) / seconds
        if progress >= 1:
            break
        if (wanted := copying_share(progress, args.copying)) != share or data is None:
            share = wanted
            data = steps(args.seed * 1000 + number, args.step_tokens, args.micro_tokens, share)
        batches = next(data)
        total, spoken = workers.gradients(batches)
        seen += sum(ids.numel() for ids, _ in batches)
        workers.step(optimizer, rate(progress), spoken)
        number += 1
        if number % 5 == 0:
            speed = (time.monotonic() - began) / number
            print(f"{number} {progress:.3f} loss {total / spoken:.4f} seen {seen} s/step {speed:.2f}", flush=True)
        if time.monotonic() - saved_at > 240:
            save(args.out, optimizer, seen)
            saved_at = time.monotonic()
    save(args.out, optimizer, seen)


def save(out: Path, optimizer: Optimizer, seen: int) -> None:
    """Write the checkpoint in one move."""
    part = out / "checkpoint.part"
    torch.save({"optimizer": optimizer.state(), "seen": seen}, part)
    part.replace(out / "checkpoint.pt")


if __name__ == "__main__":
    main()

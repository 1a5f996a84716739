"""Size: how long prompts and answers of the cases are. The proportions of a case are the same in every size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Lengths of answers in tokens, of prompts in words or, where it says so, tokens."""

    name: str
    limit_s: float
    """A measurement that takes longer has failed."""
    single_output: int
    sweep_output: int
    sweep_requests: int
    """Requests of each client."""
    shared_output: int
    arriving_tokens: int
    """The long prompt that arrives while a stream runs."""
    system_tokens: int
    turn_tokens: int
    turn_output: int
    turns: int
    edited_words: int
    edited_texts: int
    """Copied one after the other."""
    queued_tokens: int
    """Each of the 20 prompts that are queued."""
    own_words: int = 24
    shared_words: int = 600
    queued: int = 20


FULL = Size(
    name="full",
    limit_s=1800.0,
    single_output=256,
    sweep_output=64,
    sweep_requests=2,
    shared_output=64,
    arriving_tokens=4000,
    system_tokens=1500,
    turn_tokens=450,
    turn_output=50,
    turns=5,
    edited_words=30,
    edited_texts=4,
    queued_tokens=1000,
)

QUICK = Size(
    name="quick",
    limit_s=150.0,
    single_output=96,
    sweep_output=32,
    sweep_requests=2,
    shared_output=32,
    arriving_tokens=4000,
    system_tokens=256,
    turn_tokens=92,
    turn_output=12,
    turns=4,
    edited_words=30,
    edited_texts=4,
    queued_tokens=250,
)

TINY = Size(
    name="tiny",
    limit_s=100.0,
    single_output=8,
    sweep_output=4,
    sweep_requests=1,
    shared_output=4,
    arriving_tokens=400,
    system_tokens=96,
    turn_tokens=24,
    turn_output=4,
    turns=2,
    edited_words=8,
    edited_texts=1,
    queued_tokens=48,
    shared_words=60,
    own_words=8,
)

SIZES = {size.name: size for size in (QUICK, FULL, TINY)}

"""What may go wrong in the fake runner: by order (Faults), or because a batch breaks the contract."""

from __future__ import annotations

from dataclasses import dataclass


class ContractViolationError(RuntimeError):
    """A batch that no runner has to understand: a bug in the engine."""


@dataclass(slots=True)
class Faults:
    """What goes wrong next; each is used up once it happened."""

    raising: Exception | None = None
    raise_after_operations: bool = False  # parks, frees, restores and drops were done when it raises
    error: str | None = None
    parks: int = 0  # how many of the next parks fail
    restores: int = 0
    spills: int = 0
    evict: bool = False  # a spilled state goes

"""A sign of life on the terminal while a model loads or reads; nothing where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

T = TypeVar("T")


def spinner() -> AbstractContextManager[object]:
    """Turn while the block runs."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status("")


def until_first(items: Iterable[T]) -> Iterator[T]:
    """Yield the items; a spinner turns until the first is there."""
    left = iter(items)
    with spinner():
        first = next(left, None)
    if first is not None:
        yield first
        yield from left

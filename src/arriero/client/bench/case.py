"""Case: one question to a server, and what a measurement of it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from arriero.client.bench.asking import Asker
from arriero.client.bench.sizes import Size
from arriero.client.bench.words import Words

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a measurement."""

    name: str
    unit: str
    better: Better


@dataclass(frozen=True, slots=True)
class Hooks:
    """What of a server is not in its API: how to end and start it, and what it weighs. None: cannot be done here."""

    unload: Callable[[], Awaitable[None]] | None = None
    """Make it forget the model, so that the next request finds it cold."""
    load: Callable[[], Awaitable[None]] | None = None
    """Make it able to take a request again; timed, as a part of the cold start."""
    memory: Callable[[], int] | None = None
    """Bytes of its processes, shared pages by their share (PSS)."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One measurement: whom to ask, how much, with which words. `words_a_token` turns tokens into words."""

    asker: Asker
    size: Size
    words: Words
    words_a_token: float = 1.0
    hooks: Hooks = field(default_factory=Hooks)

    def prompt(self, label: str, tokens: int) -> str:
        """A text of about `tokens` tokens."""
        return self.words.text(label, max(1, round(tokens * self.words_a_token)))


Measure = Callable[[Bench], Awaitable[Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Case:
    """`measure` asks, and gives the metrics' values; the first metric is what the case is about."""

    name: str
    title: str
    metrics: tuple[Metric, ...]
    measure: Measure
    needs: Literal["", "cold", "memory"] = ""
    """What of Hooks it cannot do without."""


class Unmeasured(Exception):
    """The measurement could not be made; the text says why."""

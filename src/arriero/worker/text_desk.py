"""TextDesk: has long texts tokenized in threads of its own, so that nobody waits for another's. Knows no request.

What stands before the tokens (rendering, within a timer's limit) and behind them stays on the main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

LONG = 32_768
"""Characters from which a text is tokenized in a thread: some milliseconds' worth. Shorter ones take less at once."""
HUGE = 1_048_576
"""Characters from which it is tokenized in a thread that only such texts wait for: seconds' worth of ten million."""


class Encoding(NamedTuple):
    """Something to tokenize: how many characters that are, and what does it, in any thread."""

    chars: int
    make: Callable[[], Any]


T = TypeVar("T")

Steps = Generator[Encoding, Any, T]
"""Work that is done on the main thread but for what it yields; each yield gives what was made, or raises what that
raised."""


class TextDesk:
    """Does steps for the main thread; `resume` has something done on it, from any thread, in the order of the calls."""

    def __init__(self, resume: Callable[[Callable[[], None]], None]) -> None:
        self._resume = resume
        self._long = ThreadPoolExecutor(1, thread_name_prefix="long-texts")
        self._huge = ThreadPoolExecutor(1, thread_name_prefix="huge-texts")

    def run(self, steps: Steps[None], wanted: Callable[[], bool] = lambda: True) -> None:
        """Do `steps`, at once as far as no text is long. From the main thread.

        `wanted` is asked before and after a long text, in any thread: once it says no, the rest is left undone.
        """
        self._go_on(steps, wanted, lambda: next(steps))

    def _go_on(self, steps: Steps[None], wanted: Callable[[], bool], move: Callable[[], Encoding]) -> None:
        try:
            asked = move()
            while asked.chars < LONG:
                try:
                    made = asked.make()
                except Exception as error:
                    asked = steps.throw(error)
                else:
                    asked = steps.send(made)
        except StopIteration:
            return
        threads = self._long if asked.chars < HUGE else self._huge
        threads.submit(self._make, asked, steps, wanted)

    def _make(self, asked: Encoding, steps: Steps[None], wanted: Callable[[], bool]) -> None:
        if not wanted():
            return
        move: Callable[[], Encoding]
        try:
            made = asked.make()
        except Exception as error:  # whose it is, the main thread says, as if it had made this itself
            failure = error
            move = lambda: steps.throw(failure)  # noqa: E731
        else:
            move = lambda: steps.send(made)  # noqa: E731
        del asked  # a text of megabytes
        self._resume(lambda: self._go_on(steps, wanted, move) if wanted() else None)

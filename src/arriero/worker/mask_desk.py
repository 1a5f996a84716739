"""MaskDesk: compiles masks in threads of its own. A request waits there, and nobody else waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from arriero.core.constraint import AnswerPlan, MaskMaker, TokenMask
from arriero.core.errors import ArrieroError, ErrorInfo

THREADS = 2  # a grammar that takes seconds leaves one for the others
STACK = 512 * 2**20
"""Bytes of such a thread's stack. Rules that lead to rules are followed by recursion, and a stack that overflows ends
the process; what is not used takes no memory."""


class MaskDesk:
    """Takes plans from the main thread; what became of one is told in the desk's own threads."""

    def __init__(self, masks: MaskMaker) -> None:
        self._masks = masks
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="masks")

    def submit(
        self, plan: AnswerPlan, done: Callable[[TokenMask | None], None], failed: Callable[[ErrorInfo], None]
    ) -> None:
        """Compile `plan`; then call `done` with the mask, or `failed` with what is wrong with it."""
        usual = threading.stack_size(STACK)  # of the thread that submitting may start
        try:
            self._threads.submit(self._compile, plan, done, failed)
        finally:
            threading.stack_size(usual)

    def _compile(
        self, plan: AnswerPlan, done: Callable[[TokenMask | None], None], failed: Callable[[ErrorInfo], None]
    ) -> None:
        try:
            done(self._masks.compile(plan))
        except ArrieroError as error:
            failed(error.info())
        except Exception as error:  # nothing above it would see this, and the request would wait for ever
            failed(ErrorInfo("internal", f"the mask cannot be made: {type(error).__name__}: {error}"))

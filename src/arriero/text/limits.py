"""How much work a chat template may do: steps, time, and the sizes of what it makes. It knows no Jinja syntax.

A template comes with a model file, so it is somebody else's program. Steps and time are counted where the sandbox's
hooks call `step`, which holds in every thread; one long call into C is kept short by the size checks; and
`time_limit` adds a timer signal where the caller is the main thread.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

from jinja2.exceptions import SecurityError

MAX_STEPS = 1_000_000
MAX_CHARS = 32 * 1024 * 1024  # of any string that a template makes
MAX_MADE = 256 * 1024 * 1024  # of all strings of one rendering together: a template may keep each that it made
MAX_ITEMS = 1_000_000  # of any list, nested ones included
MAX_WIDTH = 10_000  # of padding, indentation and precision
MAX_BITS = 4_096  # of any integer
_ITEM = 8  # characters that an item of a list counts for
_SLACK_S = 0.05  # how much later the hooks look at the clock where a timer rings: one TimeUp must not follow another


class LimitExceeded(SecurityError):
    """A template did more work, or made a larger value, than any honest one does."""


class TimeUp(BaseException):
    """The deadline passed. Not an Exception, so that nothing inside Jinja takes it for a missing attribute."""


class Meter:
    """What one rendering has left: steps, characters, and time by the monotonic clock."""

    def __init__(self, deadline_s: float) -> None:
        self._steps = MAX_STEPS
        self._chars = MAX_MADE
        self._ends = time.monotonic() + deadline_s

    def step(self) -> None:
        """Count one step; LimitExceeded or TimeUp when there is none left."""
        self._steps -= 1
        if self._steps < 0:
            raise LimitExceeded(f"more than {MAX_STEPS} steps")
        if not self._steps & 31 and time.monotonic() > self._ends:  # looking costs more than counting
            raise TimeUp

    def made(self, chars: int) -> None:
        """Count characters; LimitExceeded when there are none left."""
        self._chars -= chars
        if self._chars < 0:
            raise LimitExceeded(f"texts of more than {MAX_MADE} characters together")


_meter: ContextVar[Meter | None] = ContextVar("_meter", default=None)


def step() -> None:
    """Count a step of the rendering under way in this context, if one is."""
    meter = _meter.get()
    if meter is not None:
        meter.step()


def made(value: Any) -> None:
    """Count what a text or list takes towards what the rendering under way may make, whether it keeps it or not."""
    meter = _meter.get()
    if meter is not None and isinstance(value, (str, list, tuple)):
        meter.made(len(value) if isinstance(value, str) else _ITEM * len(value))


@contextmanager
def time_limit(deadline_s: float) -> Iterator[None]:
    """Bound what runs inside to `deadline_s` seconds; TimeUp is raised when they are over.

    In the main thread a timer signal (ITIMER_REAL) interrupts also between hooks; the handler and timer that were
    set before are put back. In other threads Python delivers no signals, and the hooks alone watch the clock.
    """
    has_timer = threading.current_thread() is threading.main_thread()
    token = _meter.set(Meter(deadline_s + (_SLACK_S if has_timer else 0.0)))
    try:
        if not has_timer:
            yield
            return
        armed = True

        def expire(signum: int, frame: FrameType | None) -> None:
            if armed:
                raise TimeUp

        before = signal.signal(signal.SIGALRM, expire)
        started = time.monotonic()
        rest, interval = signal.setitimer(signal.ITIMER_REAL, deadline_s)
        try:
            yield
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if rest:  # somebody else's timer was running: it must still ring
                left = max(rest - (time.monotonic() - started), 0.001)
                signal.setitimer(signal.ITIMER_REAL, left, interval)
    finally:
        _meter.reset(token)


def bounded(chars: int) -> None:
    """Refuse a text of that many characters."""
    if chars > MAX_CHARS:
        raise LimitExceeded(f"a text of more than {MAX_CHARS} characters")


_SEVERAL: tuple[Any, ...] = (
    *(list, tuple, dict, set, frozenset),
    *(type({}.values()), type({}.keys()), type({}.items())),
)


def weigh(value: Any) -> int:
    """Return about how many characters a value prints as, a line's breaks and quotes aside.

    It refuses more than MAX_ITEMS items or MAX_CHARS characters: a list that holds itself twice, or a long text many
    times, is small in memory only.
    """
    if isinstance(value, str):
        bounded(len(value))
        return len(value)
    items, chars = MAX_ITEMS, 0
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            chars += len(item)
            bounded(chars)
        elif isinstance(item, int):
            if item.bit_length() > MAX_BITS:
                raise LimitExceeded("a number of more than a thousand digits")
        elif isinstance(item, _SEVERAL):
            items -= len(item) + 1
            if items < 0:
                raise LimitExceeded(f"a value of more than {MAX_ITEMS} items")
            stack.extend(item)
            if isinstance(item, dict):
                stack.extend(item.values())
    return chars + _ITEM * (MAX_ITEMS - items)


def weigh_compared(value: Any) -> None:
    """Weigh what C code would compare item by item, deaf to every signal; two texts are compared fast."""
    if isinstance(value, _SEVERAL):
        weigh(value)


def check_format(template: str, *values: Any) -> None:
    """Refuse widths and repetitions that would make a short format string print a huge text."""
    width = run = 0
    for char in template:
        run = run + 1 if char.isdigit() else 0
        width = max(width, run)
    if width > 4:
        raise LimitExceeded("a format width of more than four digits")
    padding = 10**width if width else 0
    if "*" in template or "{:{" in template.replace(" ", ""):
        padding = MAX_WIDTH
        for value in values:
            if isinstance(value, int) and abs(value) > MAX_WIDTH:
                raise LimitExceeded(f"a format width over {MAX_WIDTH}")
    longest = max(map(weigh, values), default=0)
    fields = max(template.count("%"), template.count("{"))
    bounded(len(template) + fields * (longest + padding))


def check_replace(text: str, old: Any, new: Any, *_: Any) -> None:
    """Refuse a replacement that would make too long a text."""
    if isinstance(old, str) and isinstance(new, str):
        bounded(len(text) + text.count(old) * len(new))


def check_width(text: str, width: Any = 0, *_: Any) -> None:
    """For methods that add at most `width` characters a line or tab."""
    if isinstance(width, str):
        width = len(width)
    if isinstance(width, int) and not isinstance(width, bool):
        if abs(width) > MAX_WIDTH:
            raise LimitExceeded(f"a width over {MAX_WIDTH}")
        bounded(len(text) + (text.count("\n") + text.count("\t") + 1) * abs(width))


def check_join(glue: str, items: Any, *_: Any) -> None:
    """Refuse a join that would make too long a text."""
    if isinstance(items, (list, tuple)):
        bounded(weigh(items) + len(glue) * len(items))


def check_translate(text: str, table: Any) -> None:
    """Refuse a translation that would make too long a text."""
    values = table.values() if isinstance(table, dict) else table if isinstance(table, (list, tuple)) else ()
    longest = max((len(value) for value in values if isinstance(value, str)), default=1)
    bounded(len(text) * max(longest, 1))


# By the name of a text's method: what to look at before it is called with these arguments.
METHOD_CHECKS: dict[str, Callable[..., None]] = {
    "center": check_width,
    "ljust": check_width,
    "rjust": check_width,
    "zfill": check_width,
    "expandtabs": check_width,
    "replace": check_replace,
    "join": check_join,
    "translate": check_translate,
    "format": check_format,
    "format_map": lambda template, values: check_format(template, *values.values()),
}

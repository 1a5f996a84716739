"""Wall-clock times as they go over the wire."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(epoch_ns: int) -> str:
    """Return a UTC time with up to nine digits of a second, trailing zeros cut, as Go prints it."""
    seconds, fraction = divmod(epoch_ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def epoch_ns(seconds: float) -> int:
    """Return seconds since the epoch as nanoseconds, to the microsecond: a double holds no more."""
    return round(seconds * 1e6) * 1000

"""Borderless tables, sizes and times, as Ollama prints them. Pure: `now` is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.cells import cell_len

GAP = 4
_UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3))


def table(rows: Iterable[Sequence[str]], indent: int = 0) -> str:
    """Return rows in columns as wide as their widest cell, four spaces apart; a line each."""
    lines = list(rows)
    columns = max((len(line) for line in lines), default=0)
    widths = [max(cell_len(line[column]) for line in lines if column < len(line)) for column in range(columns)]
    return "".join(
        " " * indent
        + "".join(cell + " " * (width - cell_len(cell) + GAP) for cell, width in zip(line, widths, strict=False))
        + "\n"
        for line in lines
    )


def human_size(size: int) -> str:
    """Return a size in decimal units: two digits at least, `4.7 GB`, `42 MB`."""
    for unit, scale in _UNITS:
        if size >= scale:
            value = size / scale
            return f"{int(value)} {unit}" if value >= 10 or value == int(value) else f"{value:.1f} {unit}"
    return f"{size} B"


def human_time(moment: datetime | None, now: datetime, unknown: str = "") -> str:
    """Return how long ago `moment` was or how far ahead it is: `2 days ago`, `4 minutes from now`, `Forever`."""
    if moment is None or moment.year < 1900:
        return unknown
    seconds = (now - moment).total_seconds()
    if seconds < -20 * 365 * 86400:
        return "Forever"
    return f"{_duration(-seconds)} from now" if seconds < 0 else f"{_duration(seconds)} ago"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = whole // 60
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = round(seconds / 3600)
    if hours == 1:
        return "About an hour"
    for unit, size, most in (("hours", 1, 48), ("days", 24, 24 * 14), ("weeks", 168, 24 * 60), ("months", 720, 17520)):
        if hours < most:
            return f"{hours // size} {unit}"
    return f"{hours // 8760} years"


def processor(size: int, size_vram: int) -> str:
    """Return where a loaded model lies: `100% GPU`, `100% CPU`, `48%/52% CPU/GPU`."""
    if size_vram <= 0:
        return "100% CPU"
    if size_vram >= size:
        return "100% GPU"
    on_cpu = round((size - size_vram) / size * 100)
    return f"{on_cpu}%/{100 - on_cpu}% CPU/GPU"

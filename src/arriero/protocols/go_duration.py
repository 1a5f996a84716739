"""Go's duration strings ("5m", "1h30m", "-1.5s"), as Ollama's keep_alive and environment have them.

Source: the documentation of Go's time.ParseDuration.
"""

from __future__ import annotations

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([^0-9.]*)")
LONGEST = (2**63 - 1) / 1e9
"""The longest duration in seconds, 292 years: Go counts nanoseconds in 64 bits."""


def parse_duration(text: str) -> float:
    """Return the seconds that `text` stands for; ValueError with Go's text if it is no duration."""
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    total, position = 0.0, 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            break
        unit = part.group(2)
        if not unit:
            raise ValueError(f"time: missing unit in duration {quoted}")
        if unit not in _UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration {quoted}')
        total += float(part.group(1)) * _UNITS[unit]
        position = part.end()
    if not rest or position < len(rest) or total > LONGEST:
        raise ValueError(f"time: invalid duration {quoted}")
    return sign * total

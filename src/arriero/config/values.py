"""What one variable says: switches, numbers, sizes, durations. Whose text cannot be read is named in a ConfigError."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from arriero.core.errors import InvalidRequest
from arriero.protocols.go_duration import LONGEST, parse_duration
from arriero.protocols.nearest import did_you_mean

OWN = "ARRIERO_"
ON = ("1", "t", "true", "y", "yes", "on")
OFF = ("0", "f", "false", "n", "no", "off")
ELSEWHERE = ("BACKEND", "STRICT", "TEST_DATA", "SOAK_SECONDS", "FUZZ_EXAMPLES", "COMPLETE")
"""Read by `make`, the tests and shells."""


class ConfigError(Exception):
    """The configuration cannot be used; the text says what to change."""


class Asked(Mapping[str, str]):
    """An environment that knows which of its variables somebody read."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._read: set[str] = {OWN + name for name in ELSEWHERE}

    def __getitem__(self, name: str) -> str:
        self._read.add(name)
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)

    def unread(self) -> tuple[str, ...]:
        """A line for each variable of arriero's that nobody read: a slip of the pen, or another version's."""
        names = sorted(name for name in self._environ if name.startswith(OWN) and name not in self._read)
        known = [name for name in self._read if name.startswith(OWN)]
        return tuple(f"{name}: arriero has no such variable{did_you_mean(name, known)}" for name in names)


def truthy(environ: Mapping[str, str], name: str) -> bool:
    """A switch as Ollama reads it: off where nothing is set; what cannot be parsed counts as on."""
    text = environ.get(name, "").strip().strip("\"'").lower()
    return bool(text) and text not in OFF


def switch(environ: Mapping[str, str], name: str, default: bool = False) -> bool:
    """A switch of arriero's own: ConfigError for what is neither on nor off."""
    text = environ.get(name, "").strip().strip("\"'").lower()
    if text and text not in (*ON, *OFF):
        raise ConfigError(f"{name}={text!r} must be 1 or 0")
    return text in ON if text else default


def choice_or_auto(environ: Mapping[str, str], name: str) -> bool | None:
    """A switch whose default is chosen elsewhere: None for `auto` and where nothing is set."""
    if environ.get(name, "").strip().strip("\"'").lower() in ("", "auto"):
        return None
    return switch(environ, name) if name.startswith(OWN) else truthy(environ, name)


def number(environ: Mapping[str, str], name: str, default: int, least: int = 0) -> int:
    """An integer, `default` where nothing is set; ConfigError for one below `least`."""
    text = environ.get(name, "").strip().strip("\"'")
    if not text:
        return default
    if not re.fullmatch(r"-?[0-9]+", text) or int(text) < least:
        raise ConfigError(f"{name}={text!r} must be an integer of at least {least}")
    return int(text)


def size(environ: Mapping[str, str], name: str) -> int | None:
    """Bytes: an integer, or one with K, M, G or T, each 1024 of the one before; None where nothing is set."""
    text = environ.get(name, "").strip().strip("\"'")
    if not text:
        return None
    found = re.fullmatch(r"([0-9]+)\s*([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if found is None:
        raise ConfigError(f'{name}={text!r} must be a number of bytes such as "512M" or "2GiB"')
    return int(found[1]) << 10 * " KMGT".index(found[2].upper() or " ")


def duration(environ: Mapping[str, str], name: str, default: float) -> float:
    """Seconds: a number, or one as Go writes durations (`5m`); `default` where nothing is set."""
    text = environ.get(name, "").strip().strip("\"'")
    if not text:
        return default
    if re.fullmatch(r"-?[0-9]+", text):
        return min(float(text), LONGEST)
    try:
        return parse_duration(text)
    except (ValueError, InvalidRequest) as error:
        raise ConfigError(f'{name}={text!r} must be a duration such as "5m" or a number of seconds') from error

"""What a server counts of itself, where it says so: the samples of arriero's /metrics, summed by name."""

from __future__ import annotations

import asyncio
import re

from arriero.client.address import parse
from arriero.client.bench.target import Target
from arriero.client.http import Http

SETTLED_S = 0.05  # by then a server has counted what it has just sent


async def counted(target: Target, *names: str) -> tuple[int, ...] | None:
    """The sums of these samples over all their labels, 0 for what is not there; None where the server tells nothing."""
    if target.kind != "arriero":
        return None
    await asyncio.sleep(SETTLED_S)
    http = Http(parse(target.url), api_key=target.api_key, timeout=30)
    try:
        text = (await http.json("GET", "/metrics")).decode()
    finally:
        await http.close()
    return tuple(int(sum(float(value) for value in _sample(name).findall(text))) for name in names)


def _sample(name: str) -> re.Pattern[str]:
    return re.compile(rf"^{name}(?:{{.*}})? (\S+)$", re.MULTILINE)

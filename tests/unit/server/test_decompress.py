"""Compressed bodies are read as what they were, or refused; none is ever unpacked beyond the limit."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable

import pytest
import zstandard

from arriero.server.decompress import TooLargeUnpacked, unpack
from tests.unit.server.conftest import in_process

BODY = b'{"model":"demo","prompt":"hi"}'
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("encoding", PACKERS)
async def test_over_a_route(encoding: str) -> None:
    async with in_process() as (running, http):
        packed = PACKERS[encoding](BODY)
        headers = {"Content-Encoding": encoding}
        assert (await http.post("/v1/completions", content=packed, headers=headers)).status_code == 200
        assert running.service.requests[-1].prompt == "hi"
        for wrong in (packed[:-5], b"", BODY):
            reply = await http.post("/v1/completions", content=wrong, headers=headers)
            assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")
        bomb = PACKERS[encoding](bytes(64 * 1024 * 1024 + 1))
        assert (await http.post("/v1/completions", content=bomb, headers=headers)).status_code == 413


@pytest.mark.parametrize("encoding", PACKERS)
def test_the_limit(encoding: str) -> None:
    packed = PACKERS[encoding](b"a" * 1000)
    assert unpack(packed, encoding, 1000) == b"a" * 1000
    with pytest.raises(TooLargeUnpacked):
        unpack(packed, encoding, 999)


def test_a_broken_installation_says_what_it_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert unpack(zstandard.compress(BODY), "zstd", 100) is None
    assert unpack(BODY, "br", 100) is None

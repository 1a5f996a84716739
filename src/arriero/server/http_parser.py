"""httptools' parser, deaf to offers of another protocol (RFC 9110, 7.8: a server may ignore them).

Java's HTTP client offers HTTP/2 with its first request (`Upgrade: h2c`), WebSocket clients theirs. The parser takes
what comes behind such a head for the other protocol: the request's own body, and all later requests, would be lost.
"""

from __future__ import annotations

from array import array
from typing import Protocol

import httptools

_FRAMING = (b"content-length", b"transfer-encoding")


class Reader(Protocol):
    """Whom a parser tells what it reads."""

    headers: list[tuple[bytes, bytes]]

    def read_on(self) -> None:
        """What is told from now on is not of a new request: first the head of the last one again, then its body."""


class DeafParser(httptools.HttpRequestParser):
    """Reads on behind an offer, once `reader` was asked to."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader)
        self._reader = reader

    def feed_data(self, data: bytes | bytearray | memoryview[int] | array[int]) -> None:
        """Parse; HttpParserError, and HttpParserUpgrade for CONNECT alone."""
        while True:
            try:
                super().feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self.get_method() == b"CONNECT":
                    raise
                # The head again without the offer: how long the body is, and nothing else.
                framing = [name + b": " + value for name, value in self._reader.headers if name in _FRAMING]
                data = b"\r\n".join([b"POST / HTTP/1.1", *framing, b"", bytes(data)[offer.args[0] :]])
                self._reader.read_on()
            else:
                return

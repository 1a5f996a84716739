"""What uvicorn's httptools protocol lacks: a bound for a request's head, and answers that HTTP/1.0 can read.

It takes header lines without end, before any key is checked, and sends chunks to clients that know none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

MAX_HEAD = 64 * 1024
"""Bytes of request line and headers together; one read's worth more may pass."""


class UntilClose(RequestResponseCycle):
    """An answer to HTTP/1.0: what has no length is sent as it is and ends with the connection."""

    _unsized = False

    async def send(self, message: ASGISendEvent) -> None:
        """As uvicorn's; its count of what is still to be sent follows what comes."""
        if message["type"] == "http.response.start":
            self._unsized = not any(name.lower() == b"content-length" for name, _ in message.get("headers", []))
            self.chunked_encoding = False if self._unsized else None
        elif message["type"] == "http.response.body" and self._unsized:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose head does not end in time; its cycles for HTTP/1.0 are `UntilClose`."""

    _in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Feed the parser; answer 400 when a head has become too large."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response("Request head too large.")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        super().on_headers_complete()
        if self.cycle is not None and self.scope["http_version"] == "1.0":
            self.cycle.__class__ = UntilClose  # its task has not begun: uvicorn makes it, and has no say in its kind

"""What uvicorn's httptools protocol lacks: a bound for a request's head. Its cycles are ours, too.

uvicorn takes header lines without end, before any key is checked.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from arriero.server.http_answer import Answer, UntilClose

MAX_HEAD = 64 * 1024
"""Bytes of request line and headers together; one read's worth more may pass."""


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose head does not end in time; its cycles are `Answer`, for HTTP/1.0 `UntilClose`."""

    _in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Feed the parser; answer 400 when a head has become too large."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response("Request head too large.")

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for it, uvicorn answers None
        """Keep the connection for what is still to be answered: of pipelined requests the last one is abandoned."""
        return isinstance(self.cycle, Answer) and self.cycle.end_of_input()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:  # its task has not begun: uvicorn makes it, and has no say in its kind
            self.cycle.__class__ = UntilClose if self.scope["http_version"] == "1.0" else Answer

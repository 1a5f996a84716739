"""What uvicorn's httptools protocol lacks: bounds for a request's head. Its parser and its cycles are ours, too.

uvicorn takes header lines without end, before any key is checked, and waits for them for ever. A server that ends would
wait for bodies that stopped half way.
"""

from __future__ import annotations

import asyncio
import contextlib

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from arriero.server.http_answer import Answer, UntilClose
from arriero.server.http_parser import DeafParser

MAX_HEAD = 64 * 1024
"""Bytes of request line and headers together; one read's worth more may pass."""

LAST_BODY = 1.0
"""Seconds within which a body must be whole when the server ends: nobody computes for its request yet."""


BODY_STALL = 300.0
"""Seconds without a byte of a body that is waited for, after which it will not come."""


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose head does not end in time, or whose body stops half way.

    A head has the time for which an idle connection is kept (`timeout_keep_alive`). Its cycles are `Answer`, for
    HTTP/1.0 `UntilClose`.
    """

    _reads_on = False
    _in_head = False
    _head_bytes = 0
    _head_due: asyncio.TimerHandle | None = None
    _body_due: asyncio.TimerHandle | None = None
    _heard_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a head."""
        super().connection_made(transport)
        self.parser = DeafParser(self)
        with contextlib.suppress(AttributeError):  # before httptools 0.6.3
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._end_wait()
        if self._body_due is not None:
            self._body_due.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; answer 400 when a head has become too large."""
        super().data_received(data)
        self._heard_at = self.loop.time()
        if self._body_due is None and self._is_busy() and self.cycle.more_body:
            self._body_due = self.loop.call_later(BODY_STALL, self._look_at_body)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response("Request head too large.")
        if self._head_due is None and (self._in_head or not self._is_busy()):
            self._expect_head()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for it, uvicorn answers None
        """Keep the connection for what is still to be answered: of pipelined requests the last one is abandoned."""
        return isinstance(self.cycle, Answer) and self.cycle.end_of_input()

    def shutdown(self) -> None:
        """The server ends: answer what was asked, as uvicorn does, but soon wait no more for what is being asked."""
        super().shutdown()
        if self._is_busy() and self.cycle.more_body:
            self.loop.call_later(LAST_BODY, self._end_body)

    def on_message_begin(self) -> None:
        """A head begins."""
        if not self._reads_on:
            self._in_head, self._head_bytes = True, 0
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Some of what is asked for."""
        if not self._reads_on:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head."""
        if not self._reads_on:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._reads_on:
            self._reads_on = False
            return
        self._in_head = False
        self._end_wait()
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:  # its task has not begun: uvicorn makes it, and has no say in its kind
            self.cycle.__class__ = UntilClose if self.scope["http_version"] == "1.0" else Answer

    def read_on(self) -> None:
        """What is told now is of the request whose head came last: the head again, then its body."""
        self._reads_on, self.cycle.more_body = True, True

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _look_at_body(self) -> None:
        self._body_due = None
        if not (self._is_busy() and self.cycle.more_body):
            return
        left = self._heard_at + BODY_STALL - self.loop.time()
        if left <= 0 and not self.flow.read_paused:
            self._end_body()
        else:  # who stopped reading it is the application, where its buffer is full
            self._body_due = self.loop.call_later(left if left > 0 else BODY_STALL, self._look_at_body)

    def _end_body(self) -> None:
        if self._is_busy() and self.cycle.more_body and not self.transport.is_closing():
            self.transport.close()

    def _expect_head(self) -> None:
        self._head_due = self.loop.call_later(self.timeout_keep_alive, self._head_is_late)

    def _end_wait(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _head_is_late(self) -> None:
        self._head_due = None
        if self._is_busy():
            self._expect_head()  # what is being answered comes before it
        elif not self.transport.is_closing():
            self.transport.close()

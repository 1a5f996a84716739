"""What uvicorn's cycles of httptools lack: answers to clients that send no more, and ones that HTTP/1.0 can read.

Who has shut down its writing side counts as gone, as with Go's server: what watches its client (all that computes) ends
with `http.disconnect`. But the connection stays for what is answered all the same: an error that says so, or a list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent


class Answer(RequestResponseCycle):
    """An answer to one request."""

    _sends_no_more = False
    _was_read = False

    def end_of_input(self) -> bool:
        """The client has shut down its writing side; return whether the connection is still of use."""
        if self.more_body or self.response_complete:
            return False
        self._sends_no_more, self.keep_alive = True, False
        self.message_event.set()
        return True

    async def receive(self) -> ASGIReceiveEvent:
        """As uvicorn's; behind the body of a client that sends no more, `http.disconnect`."""
        if not self._has_left():
            message = await super().receive()
            if not self._has_left():
                self._was_read = message["type"] == "http.request" and not message["more_body"]
                return message
        if self.response_started and not self.response_complete and not self.disconnected:
            self.disconnected = True  # a stream that breaks off has no end of its own
            self.transport.close()
        return {"type": "http.disconnect"}

    def _has_left(self) -> bool:
        return self._sends_no_more and self._was_read


class UntilClose(Answer):
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

"""Requests as bytes on a socket: held back to the last byte, cut off in the middle, or not HTTP at all."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from tests.e2e.serving import Server

RECEIVE = 65536


class RawReply:
    """A reply as it came: status, headers in lower case, body without chunked framing."""

    def __init__(self, raw: bytes) -> None:
        head, _, body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        pairs = (line.partition(":") for line in lines[1:])
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self.body = _unchunked(body) if self.headers.get("transfer-encoding") == "chunked" else body

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ollama_error(reply: RawReply) -> tuple[int, str]:
    """Status and text of an error in Ollama's form; the body holds nothing else."""
    assert list(reply.json) == ["error"]
    return reply.status, reply.json["error"]


def _unchunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(parts)


class RawRequest:
    """One request on a connection of its own; `body` is sent as it is, or as JSON."""

    def __init__(
        self,
        server: Server,
        path: str,
        body: bytes | dict[str, Any] = b"",
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        own = {"Host": f"127.0.0.1:{server.port}", "Content-Length": str(len(raw)), "Connection": "close"}
        fields = {**own, **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._bytes = f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + raw
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=110)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.first_byte = 0.0

    def send(self) -> None:
        """Send all of it."""
        self.socket.sendall(self._bytes)

    def send_all_but_the_last(self) -> None:
        """Send all but the last byte: the server waits for it."""
        self.socket.sendall(self._bytes[:-1])

    def send_the_last(self) -> None:
        """Send the last byte."""
        self.socket.sendall(self._bytes[-1:])

    def send_no_more(self) -> None:
        """Shut down the writing side, and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def wait_for_answer(self) -> None:
        """Wait until the answer has begun; `first_byte` is when that was seen (monotonic)."""
        self.socket.recv(1, socket.MSG_PEEK)
        self.first_byte = time.monotonic()

    def wait_for(self, text: bytes) -> bytes:
        """Read until `text` has come; what was read."""
        read = b""
        while text not in read:
            part = self.socket.recv(RECEIVE)
            assert part, f"the answer ended without {text!r}: {read[-400:]!r}"
            read += part
        return read

    def read(self) -> bytes:
        """Read the whole reply and close."""
        parts = []
        while part := self.socket.recv(RECEIVE):
            parts.append(part)
        self.socket.close()
        return b"".join(parts)

    def close(self) -> None:
        """Go away."""
        self.socket.close()


def send_raw(
    server: Server,
    path: str,
    body: bytes | dict[str, Any] = b"",
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> RawReply:
    """Send a request and read its reply."""
    request = RawRequest(server, path, body, method=method, headers=headers)
    request.send()
    return RawReply(request.read())

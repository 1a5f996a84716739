"""The worker's end of the socket: whole frames in and out, blocking. Knows no message's meaning."""

from __future__ import annotations

import socket
from typing import Any

from arriero.core.messages import HEADER_SIZE, Command, decode_commands, encode_frame, frame_length


class Connection:
    """Reads in one thread, writes in one (another) thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def receive(self) -> list[Command] | None:
        """The next frame's commands; None when the server has gone."""
        header = self._exactly(HEADER_SIZE)
        body = self._exactly(frame_length(header)) if header is not None else None
        return decode_commands(body) if body is not None else None

    def send(self, reports: list[Any]) -> bool:
        """Send reports in one frame; False when the server has gone."""
        try:
            self._sock.sendall(encode_frame(reports))
        except OSError:
            return False
        return True

    def _exactly(self, count: int) -> bytes | None:
        parts: list[bytes] = []
        while count:
            try:
                part = self._sock.recv(min(count, 1 << 20))
            except OSError:
                return None
            if not part:
                return None
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

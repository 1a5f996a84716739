"""A TCP relay before a registry that lets so many bytes through to clients and then holds them back."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Gate:
    """Relays connections to `target` (`host:port`). `host` is where it listens, `passed` what clients got."""

    def __init__(self, target: str) -> None:
        name, _, port = target.rpartition(":")
        self._target = (name, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._changed = threading.Condition()
        self._allowed = 0
        self._open = True
        self._epoch = 0
        self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._open = False
            self._changed.notify_all()
        self._listener.close()

    def cut(self) -> None:
        """Close all connections, and let nothing through until `allow`."""
        with self._changed:
            self._allowed = 0
            self._epoch += 1
            self._changed.notify_all()

    def allow(self, count: int) -> None:
        """Let `count` more bytes through, to all clients together."""
        with self._changed:
            self._allowed += count
            self._changed.notify_all()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                upstream = socket.create_connection(self._target)
                threading.Thread(target=self._up, args=(client, upstream), daemon=True).start()
                threading.Thread(target=self._down, args=(upstream, client), daemon=True).start()

    def _up(self, client: socket.socket, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                upstream.sendall(data)
        with contextlib.suppress(OSError):
            upstream.shutdown(socket.SHUT_WR)

    def _down(self, upstream: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, upstream:
            epoch = self._epoch
            while True:
                room = self._room(epoch)
                data = upstream.recv(min(room, 65536)) if room else b""
                if not data:
                    return
                client.sendall(data)
                with self._changed:
                    self._allowed -= len(data)
                    self.passed += len(data)

    def _room(self, epoch: int) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._allowed > 0 or not self._open or self._epoch != epoch)
            return self._allowed if self._open and self._epoch == epoch else 0

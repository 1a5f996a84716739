"""Inbox: a server's commands in their order, but for those that cannot wait. Knows no message's meaning."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

from arriero.core.messages import Command
from arriero.worker.connection import Connection


class Inbox:
    """Reads in a thread of its own, so that what a long command delays can be told from what it must not.

    Iterating gives the commands one after another until the server has gone, and raises what reading raises. `urgent`
    sees each of them first, on the reading thread; what it takes (True) is not given again.
    """

    def __init__(self, connection: Connection, urgent: Callable[[Command], bool]) -> None:
        self._connection = connection
        self._urgent = urgent
        self._commands: queue.SimpleQueue[Command | Exception | None] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[Command]:
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while (command := self._commands.get()) is not None:
            if isinstance(command, Exception):
                raise command
            yield command

    def _read(self) -> None:
        try:
            while (commands := self._connection.receive()) is not None:
                for command in commands:
                    if not self._urgent(command):
                        self._commands.put(command)
            self._commands.put(None)
        except Exception as error:
            self._commands.put(error)

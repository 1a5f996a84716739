"""Inbox: a server's commands in their order, but for those that cannot wait. Knows no message's meaning."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from arriero.core.messages import Command
from arriero.worker.connection import Connection


class Rest(NamedTuple):
    """What is left to do of a command whose long part was done in another thread."""

    go_on: Callable[[], None]


class Inbox:
    """Reads in a thread of its own, so that what a long command delays can be told from what it must not.

    Iterating gives the commands one after another until the server has gone, and raises what reading raises. `urgent`
    sees each of them first, on the reading thread; what it takes (True) is not given again. What `resume` is called
    with is given among them.
    """

    def __init__(self, connection: Connection, urgent: Callable[[Command], bool]) -> None:
        self._connection = connection
        self._urgent = urgent
        self._commands: queue.SimpleQueue[Command | Rest | Exception | None] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[Command | Rest]:
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while (command := self._commands.get()) is not None:
            if isinstance(command, Exception):
                raise command
            yield command

    def resume(self, go_on: Callable[[], None]) -> None:
        """Give the rest of a command behind the commands that are here. From any thread."""
        self._commands.put(Rest(go_on))

    def _read(self) -> None:
        try:
            while (commands := self._connection.receive()) is not None:
                for command in commands:
                    if not self._urgent(command):
                        self._commands.put(command)
            self._commands.put(None)
        except Exception as error:
            self._commands.put(error)

"""A worker that follows a script instead of a model: run as a process, it speaks the real frames.

Prompts say what happens: "poison" kills the process, "half poison" after a first piece of text, "half once" does so in
the first process only, "hold" is accepted and never answered by the first process, "mute" never at all, anything else
is answered with its own words. It notes what it was given in a file, one JSON a line.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from arriero.core import messages as wire
from arriero.core.errors import ErrorInfo
from arriero.core.events import TextDelta, Usage
from arriero.worker.connection import Connection

OVERLAP_SECONDS = 0.05  # how long a retried request stays open for another one to overlap with it


class ScriptedWorker:
    """One process; `generation` counts the processes that have written to the same notes."""

    def __init__(self, sock: socket.socket, notes: Path) -> None:
        self._sock, self._connection, self._notes = sock, Connection(sock), notes
        self._generation = 1 + sum('"start"' in line for line in notes.read_text().splitlines())
        self._note(event="start", pid=os.getpid())

    def serve(self) -> None:
        """Answer until the server goes or says Shutdown."""
        while (commands := self._connection.receive()) is not None:
            for command in commands:
                match command:
                    case wire.Prepare(runner=runner):
                        self._note(event="prepare", runner=runner)
                        self._send(wire.Prepared())
                    case wire.Load():
                        self._load(command)
                    case wire.Attach(id=number, face=face):
                        self._note(event="attach", face=face, adapters=command.spec.adapters)
                        if "fatal once" in command.spec.adapters and self._generation == 2:
                            os.kill(os.getpid(), signal.SIGKILL)
                        broken = "broken" in command.spec.adapters
                        error = wire.RequestFailed(id=number, error=ErrorInfo("model_load_failed", "no such adapter"))
                        self._send(error if broken else wire.Attached(id=number, size=7))
                    case wire.Detach(face=face):
                        self._note(event="detach", face=face)
                    case wire.Generate():
                        self._generate(command.id, command.request.prompt or "", command.face)
                    case wire.Abort(id=number):
                        self._note(event="abort", id=number)
                    case wire.Tokenize(id=number, text=text):
                        self._send(wire.Tokens(id=number, tokens=tuple(text.encode())))
                    case wire.Detokenize(id=number):
                        self._send(wire.RequestFailed(id=number, error=ErrorInfo("invalid_request", "no such token")))
                    case wire.Shutdown():
                        self._note(event="shutdown")
                        return

    def _load(self, command: wire.Load) -> None:
        mode = command.options.get("mode")
        if mode == "is stuck once" and self._generation == 1:
            return
        self._send(wire.LoadProgress(fraction=0.0))
        if mode == "corrupt":
            self._send(wire.LoadFailed(error=ErrorInfo("model_load_failed", "the file is corrupt")))
            return
        if mode == "dies":
            os.kill(os.getpid(), signal.SIGILL)
        if mode == "stalls":
            return
        if mode == "says much":
            os.write(2, b"x" * 300_000)
        self._send(wire.Ready(context_length=64, max_sequences=4))
        if mode == "dies at once":
            os.kill(os.getpid(), signal.SIGKILL)

    def _generate(self, number: int, prompt: str, face: str) -> None:
        self._note(event="generate", id=number, prompt=prompt, face=face)
        self._send(wire.RequestAccepted(id=number, prompt_tokens=len(prompt)))
        if prompt == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        if prompt == "half poison" or (prompt == "half once" and self._generation == 1):
            self._send(wire.RequestDelta(id=number, delta=TextDelta(text="half")))
            os.kill(os.getpid(), signal.SIGKILL)
        if prompt == "mute" or (prompt == "hold" and self._generation == 1):
            return
        if self._generation > 1 and select.select([self._sock], [], [], OVERLAP_SECONDS)[0]:
            self._note(event="overlap", id=number)
        self._send(wire.RequestDelta(id=number, delta=TextDelta(text=f"answer to {prompt}")))
        self._send(wire.RequestFinished(id=number, reason="stop", usage=Usage(completion_tokens=1)))

    def _send(self, report: Any) -> None:
        self._connection.send([report])

    def _note(self, **what: object) -> None:
        with self._notes.open("a") as file:
            file.write(json.dumps({"generation": self._generation, **what}) + "\n")


if __name__ == "__main__":
    ScriptedWorker(socket.socket(fileno=int(sys.argv[1])), Path(os.environ["SCRIPTED_NOTES"])).serve()

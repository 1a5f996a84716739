"""The chat in the terminal: reads lines, keeps the conversation, prints answers. Commands are in slash.py."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from arriero.cli.conversation import Conversation
from arriero.cli.failures import told
from arriero.cli.printing import figures
from arriero.cli.settings import Settings
from arriero.cli.slash import Left, obey, tell_earlier
from arriero.cli.waiting import spinner, until_first
from arriero.client import ArrieroError, Client, Message
from arriero.config import home_folder, truthy

QUOTES = '"""'
SYSTEM = re.compile(r'/set\s+system\s+(?=""")')
Ask = Callable[[str], str]


class Chat:
    """One conversation. `ask` gives a line for a prompt text; EOFError leaves, KeyboardInterrupt drops the line."""

    def __init__(self, client: Client, settings: Settings, ask: Ask, out: TextIO) -> None:
        self._state = Conversation(client, settings)
        self._ask = ask
        self._out = out

    def loop(self) -> None:
        """Answer until the user leaves."""
        while True:
            try:
                text, command = self._read()
            except EOFError:
                self._out.write("\n")
                return
            except KeyboardInterrupt:
                self._out.write("\nUse Ctrl + d or /bye to exit.\n")
                continue
            if command:
                try:
                    obey(text, self._state, self._out)
                except Left:
                    return
                except KeyboardInterrupt:  # ends the command, as it ends an answer
                    self._out.write("\n")
                except Exception as error:
                    self._explain(error)
            elif text.strip():
                self.answer(text)

    def answer(self, text: str) -> None:
        """Send one turn and print the answer; Ctrl-C stops the answer and keeps what came."""
        state, settings = self._state, self._state.settings
        turns = [*state.messages, Message(role="user", content=text)]
        printer = settings.printer(self._out)
        stream = state.client.stream(turns, **settings.call())
        try:
            with stream:
                for chunk in until_first(stream):
                    printer.thinking(chunk.thinking)
                    printer.text(chunk.text)
        except KeyboardInterrupt:
            pass
        except ArrieroError as error:
            printer.end()
            self._explain(error)
            return
        printer.end()
        self._out.write("\n")
        answer = stream.answer
        if settings.verbose and answer.finish_reason:  # of an answer that was stopped nothing is known
            self._out.write(figures(answer.usage))
        turns.append(Message(role="assistant", content=answer.text, thinking=answer.thinking or None))
        state.messages = turns

    def _read(self) -> tuple[str, bool]:
        """One input, a line or all between triple quotes, and whether it is a command: what is quoted is none.

        `/set system` may have its text between triple quotes, too, which then stay.
        """
        line = self._ask(">>> ")
        told = SYSTEM.match(line)
        start = line[told.end() :] if told else line.lstrip()
        if not start.startswith(QUOTES):
            return line, line.startswith("/")
        lines = [start.removeprefix(QUOTES)]
        while not lines[-1].rstrip().endswith(QUOTES):
            lines.append(self._ask("... "))
        lines[-1] = lines[-1].rstrip().removesuffix(QUOTES)
        text = "\n".join(lines).strip("\n")
        return (f"{told.group()}{QUOTES}{text}{QUOTES}", True) if told else (text, False)

    def _explain(self, error: Exception) -> None:
        message = told(error)
        if message is None:
            raise error
        self._out.write(f"Error: {message}\n")
        self._out.flush()


def chat(client: Client, settings: Settings) -> None:
    """Load the model, then chat in the terminal; lines typed are remembered under ARRIERO_HOME."""
    with spinner():  # an unknown model is told at once, and the first answer does not wait for the loading
        client.generate("", model=settings.model, keep_alive=settings.keep_alive)
    tell_earlier(Conversation(client, settings), sys.stdout)
    Chat(client, settings, _terminal(settings), sys.stdout).loop()


def history_file() -> Path:
    """Return the file of typed lines, made readable for its user alone. Never Ollama's."""
    home = home_folder(os.environ)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home / "history"
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path


def _terminal(settings: Settings) -> Ask:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.formatted_text import HTML
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    editor = os.environ.get("OLLAMA_EDITOR", "")
    if editor:
        os.environ["VISUAL"] = editor  # which prompt_toolkit reads first
    keys = KeyBindings()

    @keys.add("c-g")
    def write_elsewhere(event: KeyPressEvent) -> None:
        event.current_buffer.open_in_editor()

    class Lines(FileHistory):
        """Typed lines, in memory and in the file, as long as `/set nohistory` does not say otherwise."""

        def append_string(self, string: str) -> None:
            if settings.keep_lines:
                super().append_string(string)

    history: History = InMemoryHistory()
    if not truthy(os.environ, "OLLAMA_NOHISTORY"):
        try:
            history = Lines(str(history_file()))
        except OSError as error:
            sys.stderr.write(f"Typed lines are not kept: {error.filename}: {error.strerror}\n")
    session: PromptSession[str] = PromptSession(history=history, reserve_space_for_menu=0, key_bindings=keys)
    hint = HTML("<ansibrightblack>Send a message (/? for help)</ansibrightblack>")

    def ask(prompt: str) -> str:
        return session.prompt(prompt, placeholder=hint if prompt == ">>> " else "")

    return ask

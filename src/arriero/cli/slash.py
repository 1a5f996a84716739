"""The commands of a chat: `/set`, `/show`, `/load`, `/save`, `/list`, `/clear`, `/bye`, `/?`."""

from __future__ import annotations

import asyncio
import shlex
from typing import Any, TextIO

from arriero.cli.conversation import Conversation
from arriero.cli.failures import CommandFailed
from arriero.cli.settings import read_format, read_parameter, read_think
from arriero.cli.show import PARTS, sections
from arriero.cli.tables import human_size, table
from arriero.client.address import key_from_environment
from arriero.client.library import AsyncLibrary

HELP = """\
Available Commands:
  /set            Set session variables
  /show           Show model information
  /load MODEL     Load a model or a saved session
  /save MODEL     Make a model of this session
  /list           List the models there are
  /clear          Clear session context
  /bye, /exit     Exit
  /?, /help       Help for a command
  /? shortcuts    Help for keyboard shortcuts

Use \"\"\" to begin and end a multi-line message.
"""
HELP_SET = """\
Available Commands:
  /set parameter NAME VALUE   Set a parameter
  /set system TEXT            Set the system prompt
  /set history                Keep typed lines
  /set nohistory              Do not keep typed lines
  /set wordwrap               Break lines between words
  /set nowordwrap             Do not break lines
  /set format json            Answer in JSON
  /set noformat               Answer in any form
  /set verbose                Print times and rates
  /set quiet                  Do not
  /set think [LEVEL]          Think first
  /set nothink                Do not think
"""
HELP_SHOW = """\
Available Commands:
  /show info          What is known of the model
  /show license       Its license
  /show modelfile     Its Modelfile
  /show parameters    Its parameters and those set here
  /show system        The system prompt
  /show template      The chat template
"""
HELP_SHORTCUTS = """\
Available keyboard shortcuts:
  Ctrl + a    Move to the beginning of the line
  Ctrl + e    Move to the end of the line
  Alt + b     Move back one word
  Alt + f     Move forward one word
  Ctrl + k    Delete to the end of the line
  Ctrl + u    Delete to the beginning of the line
  Ctrl + w    Delete the word before the cursor
  Ctrl + l    Clear the screen
  Ctrl + g    Write in an editor (OLLAMA_EDITOR, VISUAL, EDITOR)
  Ctrl + c    Stop the answer
  Ctrl + d    Exit
"""
HELPS = {"": HELP, "set": HELP_SET, "show": HELP_SHOW, "shortcuts": HELP_SHORTCUTS}


class Left(Exception):
    """The user wants to leave."""


def obey(line: str, chat: Conversation, out: TextIO) -> None:
    """Carry out one command line. Left when it ends the chat; CommandFailed when it cannot be done."""
    command, *words = line.split()
    if command in ("/bye", "/exit"):
        raise Left
    if command in ("/?", "/help"):
        topic = words[0].lstrip("/") if words else ""
        out.write(HELPS.get(topic, HELP))
    elif command == "/clear":
        chat.messages = []
        out.write("Cleared session context\n")
    elif command == "/list":
        models = [(model.name, human_size(model.size)) for model in chat.client.models()]
        out.write(table([("NAME", "SIZE"), *models]))
    elif command == "/load":
        _load(words, chat, out)
    elif command == "/save":
        _save(words, chat, out)
    elif command == "/set":
        _set(line, words, chat, out)
    elif command == "/show":
        _show(words, chat, out)
    else:
        out.write(f"Unknown command '{command}'. Type /? for help\n")


def _load(words: list[str], chat: Conversation, out: TextIO) -> None:
    if len(words) != 1:
        raise CommandFailed("/load needs the name of a model")
    chat.client.generate("", model=words[0], keep_alive=chat.settings.keep_alive)  # also says whether there is one
    chat.settings.model = words[0]
    chat.messages = []  # the model has its own; after a /save these would be said twice
    out.write(f"Loaded model '{words[0]}'\n")
    tell_earlier(chat, out)


def tell_earlier(chat: Conversation, out: TextIO) -> None:
    """Print what the model's own MESSAGEs say: the conversation that goes on here."""
    for turn in chat.client.show(chat.settings.model).messages:
        if turn.role == "user":
            out.write(f">>> {turn.content}\n")
        elif turn.role == "assistant":
            out.write(f"{turn.content}\n\n")


def _save(words: list[str], chat: Conversation, out: TextIO) -> None:
    """Make a model of the one that is asked, with what was set here and what was said."""
    if len(words) != 1:
        raise CommandFailed("/save needs a name for the model")
    settings = chat.settings
    body: dict[str, Any] = {"model": words[0], "from": settings.model, "parameters": settings.options}
    if settings.system is not None:
        body["system"] = settings.system
    if chat.messages:  # else the model's own stay, with what /api/show does not tell of them
        turns = [*chat.client.show(settings.model).messages, *chat.messages]
        body["messages"] = [
            {"role": turn.role, "content": turn.content} | ({"thinking": turn.thinking} if turn.thinking else {})
            for turn in turns
        ]

    async def make() -> None:
        async with AsyncLibrary(chat.client.address, api_key=key_from_environment()) as library:
            async for _ in library.progress("/api/create", body):
                pass

    asyncio.run(make())
    out.write(f"Created new model '{words[0]}'\n")


def _set(line: str, words: list[str], chat: Conversation, out: TextIO) -> None:
    settings = chat.settings
    what, *values = words or [""]
    if what == "parameter" and values:
        try:
            values = shlex.split(line.split(None, 2)[2])  # stop strings may be quoted
        except ValueError as error:
            raise CommandFailed(str(error)) from None
        settings.options[values[0]] = read_parameter(values[0], values[1:])
        out.write(f"Set parameter '{values[0]}' to '{', '.join(values[1:])}'\n")
    elif what == "system" and values:
        settings.system = _unquoted(line.split(None, 2)[2].strip())
        out.write("Set system message.\n")
    elif what in ("history", "nohistory"):
        settings.keep_lines = what == "history"
    elif what in ("wordwrap", "nowordwrap"):
        settings.word_wrap = what == "wordwrap"
        out.write(f"Set '{what}' mode.\n")
    elif what == "format" and values:
        settings.format = read_format(values[0])
        out.write(f"Set format to '{values[0]}' mode.\n")
    elif what == "noformat":
        settings.format = None
        out.write("Disabled format.\n")
    elif what in ("verbose", "quiet"):
        settings.verbose = what == "verbose"
        out.write(f"Set '{what}' mode.\n")
    elif what in ("think", "nothink"):
        settings.think = False if what == "nothink" else read_think(values[0] if values else "true")
        out.write(f"Set '{what}' mode.\n")
    else:
        out.write(HELP_SET)


def _unquoted(text: str) -> str:
    """The text without the quotes around all of it, three or one on each side; those inside stay."""
    for quotes in ('"""', '"'):
        if len(text) >= 2 * len(quotes) and text.startswith(quotes) and text.endswith(quotes):
            return text[len(quotes) : -len(quotes)]
    return text


def _show(words: list[str], chat: Conversation, out: TextIO) -> None:
    what = words[0] if words else ""
    if what != "info" and what not in PARTS:
        out.write(HELP_SHOW)
        return
    shown = chat.client.show(chat.settings.model)
    if what == "info":
        out.write(sections(shown))
        return
    text = getattr(shown, what)
    if what == "system" and chat.settings.system is not None:
        text = chat.settings.system
    if what == "parameters" and chat.settings.options:
        options = chat.settings.options.items()
        here = [(name, str(one)) for name, value in options for one in (value if isinstance(value, list) else [value])]
        text = f"{text}\nSet here:\n{table(here)}".lstrip()
    out.write(
        (text.rstrip() or f"No {what} {'were' if what.endswith('s') else 'was'} specified for this model.") + "\n"
    )

"""`arriero run`: ask a model once, or chat with it."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from arriero.cli.completion import models as models_to_complete

if TYPE_CHECKING:
    from arriero.cli.settings import Settings
    from arriero.client import Client


def run(
    model: Annotated[str, typer.Argument(help="The model's name.", autocompletion=models_to_complete)],
    prompt: Annotated[list[str] | None, typer.Argument(help="The question; without one, a chat begins.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print times and rates after each answer.")] = False,
    keepalive: Annotated[
        str | None, typer.Option("--keepalive", metavar="DURATION", help="How long the model stays loaded (5m).")
    ] = None,
    nowordwrap: Annotated[bool, typer.Option("--nowordwrap", help="Do not break lines between words.")] = False,
    format: Annotated[str | None, typer.Option("--format", help="The answer's format: json.")] = None,  # noqa: A002
    think: Annotated[
        str | None, typer.Option("--think", metavar="[LEVEL]", help="Think first: true, false, low, medium, high, max.")
    ] = None,
    hidethinking: Annotated[bool, typer.Option("--hidethinking", help="Do not print the thinking.")] = False,
    system: Annotated[str | None, typer.Option("--system", help="The system prompt.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Pull over plain HTTP, if pulled.")] = False,
    truncate: Annotated[
        str | None, typer.Option("--truncate", metavar="[BOOL]", help="Embedding models: cut a text that is too long.")
    ] = None,
    dimensions: Annotated[
        int | None, typer.Option("--dimensions", help="Embedding models: print the first so many numbers.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as a JSON object.")] = False,
) -> None:
    """Answer PROMPT, after what is piped in; without either, chat in the terminal. Pulls a model that is not there.

    Of an embedding model it prints the text's vector.
    """
    from arriero.cli.server import connected
    from arriero.cli.settings import Settings, read_think
    from arriero.cli.transfer import pull_absent
    from arriero.cli.vectors import embeds, needs_text, print_vector, read_truncate
    from arriero.core.errors import InvalidRequest, ModelNotFound

    settings = Settings(
        model=model,
        system=system,
        format=format,
        think=None if think is None else read_think(think),
        keep_alive=keepalive,
        verbose=verbose,
        word_wrap=not nowordwrap,
        hide_thinking=hidethinking,
    )
    cut = read_truncate(truncate)
    question = _question(model, prompt or [])
    with connected() as client:

        def answer() -> None:
            try:
                _once(client, settings, question, as_json=as_json)
            except InvalidRequest:  # then nothing was printed
                if not embeds(client, model):
                    raise
                print_vector(client, model, question, truncate=cut, dimensions=dimensions, keep_alive=keepalive)

        if question or prompt:  # `arriero run MODEL ""` only loads the model
            try:
                answer()
            except ModelNotFound:
                if not pull_absent(client, model, insecure=insecure):
                    raise
                answer()
        else:
            from arriero.cli.chat import chat

            try:
                for_vectors = embeds(client, model)
            except ModelNotFound:
                pull_absent(client, model, insecure=insecure)
                for_vectors = embeds(client, model)
            if for_vectors:
                raise needs_text(model)
            chat(client, settings)


def _question(model: str, prompt: list[str]) -> str:
    """The prompt behind what is piped in; empty to chat in the terminal, or where `prompt` is an empty text."""
    from arriero.cli.failures import CommandFailed

    question = _readable(" ".join(prompt))
    terminal = sys.stdin.isatty()
    piped = "" if terminal else _piped()
    if piped.strip():
        question = f"{piped.rstrip()}\n\n{question}" if question else piped.rstrip()
    if not question and not terminal and not prompt:
        raise CommandFailed(f'nothing was asked. Give a prompt: arriero run {model} "Hello"')
    return question


def _piped() -> str:
    """All that is piped in."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    return _readable(sys.stdin.read())


def _readable(text: str) -> str:
    """The text with replacement characters for bytes that mean nothing in it, as Go sends them."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _once(client: Client, settings: Settings, question: str, *, as_json: bool) -> None:
    from arriero.cli.printing import figures
    from arriero.cli.waiting import until_first

    if as_json:
        import msgspec

        print(msgspec.json.encode(client.generate(question, **settings.call())).decode())
        return
    printer = settings.printer(sys.stdout)
    try:
        with client.stream(question, **settings.call()) as stream:
            for chunk in until_first(stream):
                printer.thinking(chunk.thinking)
                printer.text(chunk.text)
    finally:
        printer.end()  # an error, too, begins on a line of its own
    if settings.verbose:
        sys.stderr.write(figures(stream.answer.usage))

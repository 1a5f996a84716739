"""The table of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from arriero.cli import (
    bench,
    completion,
    cp,
    create,
    perplexity,
    prune,
    ps,
    pull,
    push,
    rm,
    run,
    serve,
    show,
    stop,
    verify,
)
from arriero.cli import eval as eval_command
from arriero.cli import list as list_command
from arriero.cli.version import version_text

app = typer.Typer(
    name="arriero",
    help="Serves language models on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(version_text())
        raise typer.Exit


@app.callback()
def arriero(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-v",
            callback=_version,
            is_eager=True,
            help="Print the server's version, and this command's if it differs.",
        ),
    ] = False,
) -> None:
    """Serves language models on your own machine."""


app.command("serve", help="Start a server.")(serve.serve)
app.command("start", hidden=True)(serve.serve)
app.command("run", help="Ask a model, or chat with it.")(run.run)
app.command("list", help="List the models there are.")(list_command.list_models)
app.command("ls", hidden=True)(list_command.list_models)
app.command("show", help="Show what is known of a model.")(show.show)
app.command("ps", help="List the models that are loaded.")(ps.ps)
app.command("stop", help="Unload a model.")(stop.stop)
app.command("pull", help="Fetch a model.")(pull.pull)
app.command("push", help="Send a model to a registry.")(push.push)
app.command("create", help="Make a model from a Modelfile.")(create.create)
app.command("cp", help="Give a model a second name.")(cp.cp)
app.command("rm", help="Remove models.")(rm.rm)
app.command("prune", help="Remove what arriero wrote and no model needs.")(prune.prune)
app.command("completion", help="Print what completes command lines in a shell.")(completion.completion)
app.add_typer(eval_command.app, name="eval")
app.command("perplexity", help="Tell how well a model foretells a text.")(perplexity.perplexity)
app.command("bench", help="Measure servers side by side.")(bench.bench)
app.command("verify", help="Hash the models' files again.")(verify.verify)

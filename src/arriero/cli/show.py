"""`arriero show`: what is known of a model, in Ollama's sections."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from arriero.client import ShownModel

PARTS = ("license", "modelfile", "parameters", "template", "system")


def show(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    license: Annotated[bool, typer.Option("--license", help="Print only the license.")] = False,  # noqa: A002
    modelfile: Annotated[bool, typer.Option("--modelfile", help="Print only the Modelfile.")] = False,
    parameters: Annotated[bool, typer.Option("--parameters", help="Print only the parameters.")] = False,
    template: Annotated[bool, typer.Option("--template", help="Print only the chat template.")] = False,
    system: Annotated[bool, typer.Option("--system", help="Print only the system prompt.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Print the model's sections, or one part of it alone."""
    from arriero.cli.failures import CommandFailed
    from arriero.cli.server import connected

    flags = (license, modelfile, parameters, template, system)
    wanted = [part for part, given in zip(PARTS, flags, strict=True) if given]
    if len(wanted) > 1:
        raise CommandFailed(f"only one of --{', --'.join(PARTS)} can be given")
    with connected() as client:
        shown = client.show(model)
    if as_json:
        import msgspec

        print(msgspec.json.encode(shown).decode())
    elif wanted:
        print(getattr(shown, wanted[0]))
    else:
        sys.stdout.write(sections(shown))


def sections(shown: ShownModel) -> str:
    """Return the sections Model, Capabilities, Parameters, System and License; those without content left out."""
    from arriero.cli.tables import table

    info = shown.model_info
    architecture = str(info.get("general.architecture", shown.details.family))
    model = {
        "architecture": architecture,
        "parameters": shown.details.parameter_size,
        "context length": info.get(f"{architecture}.context_length", shown.details.context_length),
        "embedding length": info.get(f"{architecture}.embedding_length", shown.details.embedding_length),
        "quantization": shown.details.quantization_level,
    }
    told: list[tuple[str, list[tuple[str, ...]]]] = [
        ("Model", [(name, str(value)) for name, value in model.items() if value]),
        ("Capabilities", [(name,) for name in shown.capabilities]),
        ("Parameters", [_parameter(line) for line in shown.parameters.splitlines() if line.strip()]),
        ("System", _lines(shown.system)),
        ("License", _lines(shown.license)),
    ]
    return "\n".join(f"  {title}\n{table(rows, indent=4)}" for title, rows in told if rows) + "\n"


def _parameter(line: str) -> tuple[str, ...]:
    name, _, value = line.strip().partition(" ")
    return name, value.strip()


def _lines(text: str) -> list[tuple[str, ...]]:
    """The first lines of a text: the whole of it has a flag of its own."""
    lines = textwrap.dedent(text).strip().splitlines()
    shown = lines[:2] + ["..."] * (len(lines) > 2)
    return [(line,) for line in shown]

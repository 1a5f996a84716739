"""`arriero show`: what is known of a model, in Ollama's sections."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arriero.cli.completion import models as models_to_complete

if TYPE_CHECKING:
    from arriero.client import Client, ShownModel

PARTS = ("license", "modelfile", "parameters", "template", "system")


def show(
    model: Annotated[str, typer.Argument(help="The model's name.", autocompletion=models_to_complete)],
    license: Annotated[bool, typer.Option("--license", help="Print only the license.")] = False,  # noqa: A002
    modelfile: Annotated[bool, typer.Option("--modelfile", help="Print only the Modelfile.")] = False,
    parameters: Annotated[bool, typer.Option("--parameters", help="Print only the parameters.")] = False,
    template: Annotated[bool, typer.Option("--template", help="Print only the chat template.")] = False,
    system: Annotated[bool, typer.Option("--system", help="Print only the system prompt.")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="Print what loading it would take of memory.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print the file's keys and tensors, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Print the model's sections, or one part of it alone."""
    import msgspec

    from arriero.cli.failures import CommandFailed
    from arriero.cli.server import connected
    from arriero.client import ShownModel

    flags = (license, modelfile, parameters, template, system, memory)
    wanted = [part for part, given in zip((*PARTS, "memory"), flags, strict=True) if given]
    if len(wanted) > 1:
        raise CommandFailed(f"only one of --{', --'.join(PARTS)}, --memory can be given")
    with connected() as client:
        if memory:
            plan = _asked(client, model, memory=True).get("memory")
            if plan is None:
                raise CommandFailed("the server tells no memory plan: it is no arriero, or an older one")
            sys.stdout.write(msgspec.json.encode(plan).decode() + "\n" if as_json else memory_section(plan))
            return
        shown = msgspec.convert(_asked(client, model, verbose=True), ShownModel) if verbose else client.show(model)
    if as_json:
        print(msgspec.json.encode(shown).decode())
    elif wanted:
        print(getattr(shown, wanted[0]))
    else:
        sys.stdout.write(sections(shown, verbose=verbose))


def _asked(client: Client, model: str, *, verbose: bool = False, memory: bool = False) -> dict[str, Any]:
    """/api/show as it came, with what the client's own `show` does not ask for."""
    import asyncio

    from arriero.client.address import key_from_environment
    from arriero.client.library import AsyncLibrary

    async def work() -> dict[str, Any]:
        async with AsyncLibrary(client.address, api_key=key_from_environment()) as library:
            return await library.shown(model, verbose=verbose, memory=memory)

    return asyncio.run(work())


def memory_section(plan: dict[str, Any]) -> str:
    """Return the plan as a table: what loading takes, what for, and what is free now."""
    from arriero.cli.tables import human_size, table

    length, sequences, cells = plan["context_length"], plan["max_sequences"], plan["cells"]
    shared = f"{cells} tokens, shared by up to {sequences} requests of at most {length} each"
    each = f"{cells} tokens: {sequences} requests of {length} each"
    kept = f", in {plan['kv_cache_type']}" if plan.get("kv_cache_type") else ""
    rows = [
        ("weights", human_size(plan["weights"]), ""),
        ("context", human_size(plan["kv"]), (shared if plan["layout"] == "unified" else each) + kept if cells else ""),
        ("computing", human_size(plan["compute"]), ""),
        ("draft model", human_size(plan.get("draft", 0)), "weights and context"),
        ("kept prompts", human_size(plan["cached_prefixes"]), "at most; in memory of the host"),
        ("together", human_size(plan["total"]), ""),
        ("free now", human_size(plan["free_memory"]), plan.get("bound", "")),
    ]
    told = [row for row in rows if row[1] != "0 B"]
    text = f"  Memory\n{table([(name, size, note) for name, size, note in told], indent=4)}"
    return f"{text}\n  It does not fit: {plan['problem']}\n" if plan["problem"] else f"{text}\n"


def sections(shown: ShownModel, *, verbose: bool = False) -> str:
    """Return the sections Model, Draft model, Capabilities, Parameters, Metadata and Tensors (if `verbose`), System,
    License. Those without content are left out.
    """
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
        ("Draft model", [(name, value) for name, value in _drafting(shown).items() if value]),
        ("Capabilities", [(name,) for name in shown.capabilities]),
        ("Parameters", [_parameter(line) for line in shown.parameters.splitlines() if line.strip()]),
        ("Metadata", [(name, _value(value)) for name, value in sorted(info.items())] if verbose else []),
        ("Tensors", [_tensor(tensor) for tensor in shown.tensors] if verbose else []),
        ("System", _lines(shown.system)),
        ("License", _lines(shown.license)),
    ]
    return "\n".join(f"  {title}\n{table(rows, indent=4)}" for title, rows in told if rows) + "\n"


def _drafting(shown: ShownModel) -> dict[str, str]:
    draft = shown.draft
    if draft is None:
        return {}
    return {
        "architecture": draft.family,
        "parameters": draft.parameter_size,
        "quantization": draft.quantization_level,
    }


def _parameter(line: str) -> tuple[str, ...]:
    name, _, value = line.strip().partition(" ")
    return name, value.strip()


def _value(value: Any) -> str:
    """A key's value; of a long list its beginning."""
    if isinstance(value, list):
        return f"[{', '.join(str(one) for one in value[:3])}{', ...' if len(value) > 3 else ''}]"
    return " ".join(str(value).split())[:100]


def _tensor(tensor: dict[str, Any]) -> tuple[str, ...]:
    return str(tensor.get("name")), str(tensor.get("type")), str(tensor.get("shape"))


def _lines(text: str) -> list[tuple[str, ...]]:
    """The first lines of a text: the whole of it has a flag of its own."""
    lines = textwrap.dedent(text).strip().splitlines()
    shown = lines[:2] + ["..."] * (len(lines) > 2)
    return [(line,) for line in shown]

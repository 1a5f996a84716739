"""Completion for shells: the script that a shell reads, and the names of models that it offers."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

COMPLETE_VARIABLE = "_ARRIERO_COMPLETE"
ASK_LIMIT = 2.0  # seconds: who presses Tab does not wait for a server that is busy
# Typer's own script for bash stumbles over the colons of model names, at which bash ends a word.
BASH = """\
_arriero_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" current head
    local -a words
    read -ra words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]}-1]}"
    local IFS=$'\\n'
    COMPREPLY=($(COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) \\
        _ARRIERO_COMPLETE=complete_bash "$1" 2>/dev/null))
    if [[ "$current" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
        head="${current%"${current##*:}"}"
        COMPREPLY=("${COMPREPLY[@]#"$head"}")
    fi
}
complete -o default -F _arriero_completion arriero"""
SHELLS = ("bash", "zsh", "fish")


def completion(shell: Annotated[str, typer.Argument(help=f"{', '.join(SHELLS)}.")]) -> None:
    """Print the script that completes commands, options and model names: eval "$(arriero completion bash)"."""
    from typer._completion_shared import get_completion_script

    from arriero.cli.failures import CommandFailed

    if shell not in SHELLS:
        raise CommandFailed(f"there is no completion for {shell!r}, only for {', '.join(SHELLS)}")
    known = get_completion_script(prog_name="arriero", complete_var=COMPLETE_VARIABLE, shell=shell)
    sys.stdout.write(f"{BASH if shell == 'bash' else known}\n")


def models(incomplete: str) -> list[str]:
    """The server's models whose names begin so; none where no server answers at once. `:latest` is left out."""
    found = [name.removesuffix(":latest") if ":" not in incomplete else name for name in _names()]
    return sorted(name for name in found if name.lower().startswith(incomplete.lower()))


def _names() -> list[str]:
    import http.client
    import json

    from arriero.client.address import from_environment, key_from_environment

    address = from_environment()
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    key = key_from_environment()
    try:
        connection = kind(address.host, address.port, timeout=ASK_LIMIT)
        connection.request("GET", f"{address.path}/api/tags", headers={"Authorization": f"Bearer {key}"} if key else {})
        listed = json.loads(connection.getresponse().read()).get("models") or []
        return [str(model["name"]) for model in listed]
    except (OSError, ValueError, LookupError, AttributeError, TypeError, http.client.HTTPException):
        return []

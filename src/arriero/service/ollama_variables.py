"""Ollama's variables that arriero cannot honour: what it says of those that are set. Pure; the environment is given."""

from __future__ import annotations

from collections.abc import Mapping

NOT_HONOURED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "OLLAMA_GPU_OVERHEAD": (("0",), "no memory of a GPU is held back; ARRIERO_MEMORY bounds what a model takes"),
    "OLLAMA_LLM_LIBRARY": (("auto",), "the backend is chosen when llama.cpp is compiled, by ARRIERO_BACKEND"),
    "OLLAMA_VULKAN": (("1", "true"), "the backend is chosen when llama.cpp is compiled, by ARRIERO_BACKEND"),
    "OLLAMA_IGPU_ENABLE": (("auto",), "which GPUs are used is said by CUDA_VISIBLE_DEVICES and its like"),
    "OLLAMA_DEBUG_LOG_REQUESTS": (("0", "false"), "no request is written to a disk"),
}
"""Name: the values that ask for nothing, and what is so instead."""
RUNNER_ARGUMENTS = "LLAMA_ARG_"


def unhonoured(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return a line for each variable that is set, asks for something, and has no effect here."""
    lines = []
    for name, (harmless, instead) in NOT_HONOURED.items():
        value = environ.get(name, "").strip().strip("\"'")
        if value and value.lower() not in harmless:
            lines.append(f"{name}={value} has no effect: {instead}")
    arguments = sorted(name for name in environ if name.startswith(RUNNER_ARGUMENTS))
    if arguments:
        lines.append(f"{', '.join(arguments)}: no effect, there is no llama-server that would read them")
    return tuple(lines)

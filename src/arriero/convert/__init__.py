"""Weights in other formats become GGUF: `python -m arriero.convert`, a process of its own that the server starts."""

"""What went wrong, in one line that says what to do next."""

from __future__ import annotations

from arriero.core.errors import ArrieroError, ModelNotFound, Unauthorized

PLAIN_HTTP = "insecure protocol http"  # the server's words, which are Ollama's


class CommandFailed(Exception):
    """A command cannot do its work; the text is all there is to say."""


def told(error: Exception) -> str | None:
    """Return the line for an error that users can do something about; None for a bug."""
    if isinstance(error, CommandFailed):
        return str(error)
    if isinstance(error, ModelNotFound):
        return f"{error.message}. `arriero list` names the models there are, `arriero pull` fetches one"
    if isinstance(error, Unauthorized):
        return f"{error.message}. Set ARRIERO_API_KEY to the server's key"
    if isinstance(error, ArrieroError):
        return f"{error.message}. --insecure allows it" if error.message.endswith(PLAIN_HTTP) else error.message
    if isinstance(error, OSError) and error.strerror:  # a file that cannot be read, a full disk
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    usage = getattr(error, "format_message", None)  # the option parser's errors; their class moved with typer
    if usage is not None:
        text = str(usage()).rstrip(".")
        return f"{text}{'' if text.endswith('?') else '.'} `arriero --help` tells how it is used"
    return None

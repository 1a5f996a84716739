"""The command `arriero`. What a command needs it imports when it runs, so that this stays quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from arriero.cli.version import version_text


def main() -> None:
    """Run the command line of this process and exit."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the shell, `>&-`: nothing is read, what is said goes nowhere
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return the exit status. Errors are one line, `Error: …`, on stderr, and status 1."""
    if list(arguments) in (["--version"], ["-v"]):  # spare it everything else
        print(version_text())
        return 0
    from arriero.cli.commands import app
    from arriero.cli.completion import COMPLETE_VARIABLE
    from arriero.cli.failures import told

    if COMPLETE_VARIABLE in os.environ:  # a shell asks what may follow
        from typer._completion_classes import completion_init

        completion_init()

    try:
        status = _carry_out(app, _spelled_out(arguments))
        sys.stdout.flush()  # what is still kept must not fail while the interpreter ends
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has gone: `arriero list | head -1`
        _write_nowhere()
        return 0
    except Exception as error:
        message = told(error)
        if message is None:
            raise
        try:
            sys.stdout.flush()
        except OSError:  # the disk is full; the interpreter would try again while it ends
            _write_nowhere()
        print(f"Error: {message}", file=sys.stderr)
        return 1
    return status if isinstance(status, int) else 0


def _carry_out(app: Callable[..., object], arguments: Sequence[str]) -> object:
    try:
        return app(args=arguments, prog_name="arriero", standalone_mode=False)
    except Exception as error:
        if type(error).__name__ != "NoArgsIsHelpError":  # its module moved with typer
            raise
        print(error.format_message())  # type: ignore[attr-defined]
        return 0
    except SystemExit as error:  # what the option parser makes of a broken pipe
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from None
        raise


def _write_nowhere() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _spelled_out(arguments: Sequence[str]) -> list[str]:
    """Give these options their value where they stand alone, as Ollama allows: no option parser has optional values."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [
        f"{argument}=true" if argument in ("--think", "--truncate") and place < end else argument
        for place, argument in enumerate(arguments)
    ]

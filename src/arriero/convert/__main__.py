"""The program: a job in JSON as the first line of standard input, reports in JSON on standard output, a line each.

Exit status 0; 2 with a reason on standard error when the files are at fault; 1 for everything else. It ends when its
standard input closes: whoever started it has gone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from arriero.core import lifeline
from arriero.core.errors import InvalidRequest
from arriero.core.library import Conversion, Watch


def _say(report: dict[str, int | str]) -> None:
    print(msgspec.json.encode(report).decode(), flush=True)


def _convert(job: Conversion, watch: Watch) -> list[str]:
    files, target = {name: Path(path) for name, path in job.files.items()}, Path(job.target)
    if job.kind == "adapter" and job.base is not None:
        from arriero.convert.adapter import convert_adapter

        convert_adapter(files, job.base, target, watch)
        return []
    from arriero.convert.model import convert

    return convert(files, target, watch)


def main() -> int:
    """Do the job; blocks."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Conversion)
    lifeline.hold()

    def watch(completed: int, total: int) -> None:
        _say({"completed": completed, "total": total})

    try:
        for note in _convert(job, watch):
            _say({"note": note})
    except InvalidRequest as error:
        print(error.message, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"cannot write the converted model: {error.strerror or error}", file=sys.stderr)
        return 1
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # Configurations may hold anything anywhere; what nobody expected there is still the files' fault.
        print(f"the files do not fit together ({type(error).__name__}: {error})", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    status = 1
    try:
        status = main()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    lifeline.leave(status)

"""A program that quantizes one GGUF file: `python -m arriero.runners.llama_cpp.quantize SOURCE TARGET FTYPE`.

FTYPE is a number of llama.h's enum llama_ftype. Exit status 0, or 1 and a reason on stderr. It ends when its standard
input closes: whoever started it has gone.
"""

from __future__ import annotations

import ctypes
import math
import sys

from arriero.core import allowance, lifeline


def main(arguments: list[str]) -> int:
    """Quantize; blocks."""
    from arriero.runners.llama_cpp.bindings import lib, log_tail

    source, target, ftype = arguments
    lifeline.hold()
    parameters = lib.llama_model_quantize_default_params()
    parameters.ftype = int(ftype)
    parameters.nthread = max(1, math.floor(allowance.cpus()))
    log_tail.clear()
    if lib.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters)) != 0:
        print(log_tail.errors() or "llama.cpp gave no reason", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    lifeline.leave(main(sys.argv[1:]))

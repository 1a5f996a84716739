"""The one door to llama-cpp-python: its low-level module, with llama.cpp's log in our hands.

Knows nothing of models or batches. Importing this module loads the shared library.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import logging
import re
import sys
from collections import deque
from types import ModuleType
from typing import Any

from arriero.core.errors import ModelLoadError

PINNED_VERSION = "0.3.36"
"""The C ABI changes from release to release: structs are passed by value, a wrong layout is memory corruption."""

_PACKAGE = "llama_cpp"
# The fields by which this release's structs differ from its neighbours'.
_MARKS = {"llama_model_params": "load_mode", "llama_context_params": "n_outputs_max"}
_WARNING, _ERROR, _CONTINUES = 3, 4, 5  # ggml_log_level in ggml.h

log = logging.getLogger("arriero.llama_cpp")


def _import_low_level() -> Any:
    """Import `llama_cpp.llama_cpp` under a bare parent: its `__init__` pulls in half a second of unused Python."""
    if _PACKAGE not in sys.modules:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or spec.submodule_search_locations is None:
            raise ModelLoadError("llama-cpp-python is not installed: GGUF models cannot run")
        parent = ModuleType(_PACKAGE)
        parent.__path__ = list(spec.submodule_search_locations)
        parent.__spec__ = spec
        sys.modules[_PACKAGE] = parent
    try:
        return importlib.import_module(f"{_PACKAGE}.llama_cpp")
    except (OSError, RuntimeError) as error:
        raise ModelLoadError(f"llama.cpp's library does not load: {error}") from error


def check_release(module: Any) -> None:
    """Raise ModelLoadError unless `module` is of the release whose structs we know."""
    found = importlib.metadata.version("llama-cpp-python")
    if found != PINNED_VERSION:
        raise ModelLoadError(f"llama-cpp-python {PINNED_VERSION} is needed, {found} is installed")
    for struct, mark in _MARKS.items():
        fields = {field[0] for field in getattr(module, struct)._fields_}
        if mark not in fields:
            raise ModelLoadError(f"llama-cpp-python's {struct} has no {mark}: not the release it says it is")


class LogTail:
    """What llama.cpp said lately: why a call failed, and what a load found out that no function tells."""

    _OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers")
    _BUFFER = re.compile(r"(model|KV|RS|compute|output) buffer size =\s*([\d.]+) MiB")
    _EMPTY = re.compile(r"^(error loading model: )?(llama_model_loader: )?failed to load model\b")

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=2000)
        self._level = 0
        self._open = False  # the last line has not ended yet

    def write(self, level: int, text: str) -> None:
        """Take a piece of the log; llama.cpp may send a line in several."""
        if self._open and self._lines:
            text = self._lines.pop()[1] + text
        if level != _CONTINUES:
            self._level = level
        self._lines.append((self._level, text))
        self._open = not text.endswith("\n")

    def clear(self) -> None:
        """Forget what was said before the call that comes."""
        self._lines.clear()
        self._open = False

    def errors(self) -> str:
        """Return the reasons given since `clear`, without functions' names and file paths; "" if there are none."""
        said = [text.strip().split(": ", 1)[-1] for level, text in self._lines if level == _ERROR]
        reasons = [line.removeprefix("error loading model: ") for line in said if not self._EMPTY.match(line)]
        return "; ".join(dict.fromkeys(reasons))

    def offloaded(self) -> tuple[int, int]:
        """Return the layers that went to a GPU and all layers, since `clear`; (0, 0) if nothing was said."""
        for _, text in self._lines:
            found = self._OFFLOADED.search(text)
            if found:
                return int(found[1]), int(found[2])
        return 0, 0

    def buffers(self) -> dict[str, int]:
        """Return the bytes of the buffers that were reported since `clear`, by kind, over all devices."""
        sizes: dict[str, int] = {}
        for _, text in self._lines:
            found = self._BUFFER.search(text)
            if found:
                sizes[found[1]] = sizes.get(found[1], 0) + int(float(found[2]) * (1 << 20))
        return sizes


lib: Any = _import_low_level()
check_release(lib)
log_tail = LogTail()


def _on_log(level: int, text: bytes, _user_data: Any) -> None:
    line = text.decode("utf-8", "replace")
    log_tail.write(level, line)
    log.debug("%s", line.rstrip())  # what matters of it travels in our own errors


_callback = lib.llama_log_callback(_on_log)  # kept: C holds a bare pointer to it
lib.llama_log_set(_callback, ctypes.c_void_p(0))
lib.llama_backend_init()


def compiled_with_amx() -> bool:
    """Whether this build uses AMX tiles for quantized weights.

    GCC 12's `_tile_loadconfig` reads 8 of the 64 bytes it should, so that such a build dies on the first prompt; a
    plain build is safe everywhere, so weights are not handed to AMX unless that is asked for.
    """
    return b"AMX_INT8 = 1" in lib.llama_print_system_info()

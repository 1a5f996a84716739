"""How transfers behave; field docs become configuration."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path

from arriero.core.version import __version__

MEGABYTE = 1000 * 1000
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def user_agent(ollama_version: str) -> str:
    """What we call ourselves: registry.ollama.ai refuses (412) those whose `ollama/VERSION` is too old for a model."""
    machine = _ARCHITECTURES.get(platform.machine(), platform.machine())
    return f"ollama/{ollama_version} ({machine} {sys.platform}) arriero/{__version__}"


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """All of it is optional. Sizes in bytes, times in seconds; the defaults are Ollama's.

    agent: the User-Agent of every request.
    private: hosts (`name`, `name:port`, an address or a network such as 10.0.0.0/8) that may be spoken to although
        their addresses are not public; `*` for all (ARRIERO_PRIVATE_REGISTRIES).
    hf_token: sent to hf.co and huggingface.co over https alone (HF_TOKEN).
    hf_token_file: read for each transfer where hf_token is not set (HF_TOKEN_PATH, HF_HOME).
    key: the key that signs Ollama's token challenges, only ever read; None for no signing.
    parts: a blob is cut into so many parts of part_min to part_max each, and so many are fetched at once.
    stall: how long a connection may bring no byte; the part is then asked for again, which is no lost try.
    tries: how often a part is asked for; the waits in between begin with `backoff` and double.
    """

    agent: str = f"arriero/{__version__}"
    private: tuple[str, ...] = ()
    hf_token: str = field(default="", repr=False)
    hf_token_file: Path | None = None
    key: Path | None = None
    parts: int = 16
    part_min: int = 100 * MEGABYTE
    part_max: int = 1000 * MEGABYTE
    stall: float = 30.0
    max_stalls: int = 20
    tries: int = 6
    backoff: float = 1.0
    save_every: float = 0.1

    def part_size(self, total: int) -> int:
        """How large the parts of a blob of `total` bytes are."""
        return min(max(total // self.parts, self.part_min), self.part_max)

    def token_for_hf(self) -> str:
        """The Hugging Face token, empty if there is none."""
        if self.hf_token or self.hf_token_file is None:
            return self.hf_token
        try:
            return self.hf_token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""

"""How a benchmark tells its result: JSON in the last line of what it prints, and in a file where one is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def tell(result: Mapping[str, object], output: Path | None) -> None:
    """Write `result` to `output`, readable, if given; print it in one line."""
    if output is not None:
        output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))

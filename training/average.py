"""The mean of several checkpoints' weights, of one run at different times: better than each (see README.md).

python -m training.average OUT.pt FIRST.pt SECOND.pt …   (the optimizer's state is that of the last)
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def main(out: Path, checkpoints: list[Path]) -> None:
    """Write the mean; what is no weight comes from the last checkpoint."""
    loaded = [torch.load(path, weights_only=True) for path in checkpoints]
    last = loaded[-1]
    for name in last["optimizer"]["master"]:
        weights = [one["optimizer"]["master"][name].float() for one in loaded]
        last["optimizer"]["master"][name] = torch.stack(weights).mean(0)
    torch.save(last, out)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])

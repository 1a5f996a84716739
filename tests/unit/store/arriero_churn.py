"""A program that makes, copies, replaces and removes models with arriero's store as fast as it can, until it is killed.

Prints a line for each thing done. Run with the folder, a seed, and contents that others use, too.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

from arriero.core.errors import ArrieroError
from arriero.store.folder import ModelFolder
from arriero.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, encode_manifest
from arriero.store.names import parse_name
from arriero.store.prune import prune


def main() -> None:
    """Go on for ever."""
    folder, dice = ModelFolder(Path(sys.argv[1])), random.Random(int(sys.argv[2]))
    shared = json.loads(sys.argv[3])
    # What only arriero writes may be made old, so that removing deletes blobs, too.
    own = [f"own {number}" for number in range(4)]
    while True:
        name = parse_name(f"model{dice.randrange(6)}:ours")
        try:
            chance = dice.random()
            if chance < 0.5:
                config, *layers = (_layer(folder, text) for text in (*dice.sample(shared, 2), *dice.sample(own, 2)))
                folder.write(name, encode_manifest(config, layers))
                print("wrote", flush=True)
            elif chance < 0.9:
                for text in own:
                    _make_old(folder, text)
                if folder.delete(name):
                    print("removed", flush=True)
            else:
                prune(folder)
                print("pruned", flush=True)
        except ArrieroError as error:
            print(f"refused: {error}", flush=True)  # nothing is listed then


def _layer(folder: ModelFolder, text: str) -> Layer:
    digest, _ = folder.blobs.put(text.encode())
    kind = LAYER_TYPE + "model" if text.startswith("own") else CONFIG_TYPE
    return Layer(media_type=kind, digest=digest, size=len(text))


def _make_old(folder: ModelFolder, text: str) -> None:
    digest, _ = folder.blobs.put(text.encode())
    os.utime(folder.blobs.path(digest), (1, 1))


if __name__ == "__main__":
    main()

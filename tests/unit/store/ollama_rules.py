"""A stand-in for a running Ollama on the same store: its rules for pull, delete and prune, and nothing kinder.

As Ollama 0.33 does it: blobs that exist are skipped unverified; others appear as `-partial` and are renamed; a
manifest is written in place, not renamed; deleting a model deletes at once every blob that no manifest names, whatever
its age, and empty folders; pruning deletes what is over an hour old and unnamed, unless a manifest is corrupt.
Run as a program it does all of that at random until its standard input closes, then prints what it did.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import random
import select
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

HOUR = 3600.0


class Rules:
    """Ollama on the models folder `root`."""

    def __init__(self, root: Path) -> None:
        self.blobs, self.manifests = root / "blobs", root / "manifests"

    def pull(self, name: str, contents: list[bytes], pause: float = 0.0) -> None:
        """Bring a model whose layers have these contents; the last is its config."""
        layers = []
        for content in contents:
            digest = hashlib.sha256(content).hexdigest()
            path = self.blobs / f"sha256-{digest}"
            if not path.exists():
                self.blobs.mkdir(parents=True, exist_ok=True)
                partial = self.blobs / f"sha256-{digest}-partial"
                partial.write_bytes(content)
                partial.rename(path)
            layers.append({"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"})
            time.sleep(pause)
        path = self._path(name)
        text = json.dumps({"schemaVersion": 2, "config": layers[-1], "layers": layers[:-1]})
        for _ in range(3):  # the folder may be pruned between
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("w") as file:
                    file.write(text[:20])
                    file.flush()
                    file.write(text[20:])
                return
            except FileNotFoundError:
                continue

    def delete(self, name: str) -> bool:
        """Delete a model and the blobs that no other one names."""
        path = self._path(name)
        try:
            manifest = json.loads(path.read_bytes())
            path.unlink()
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        self._drop_empty()
        for digest in _digests(manifest):
            named = self._named()
            if named is not None and digest not in named:
                (self.blobs / digest).unlink(missing_ok=True)
        return True

    def prune(self) -> None:
        """What happens when Ollama starts."""
        named = self._named()
        if named is None:
            return
        for path in list(self.blobs.iterdir()) if self.blobs.is_dir() else []:
            try:
                if path.name not in named and time.time() - path.stat().st_mtime > HOUR:
                    path.unlink()
            except FileNotFoundError:
                continue
        self._drop_empty()

    def names(self) -> list[str]:
        """The models there are."""
        return sorted("/".join(path.relative_to(self.manifests).parts[2:]) for path in self._files())

    def whole(self, name: str) -> bool:
        """Whether the model's blobs are all there, with the right bytes."""
        try:
            digests = _digests(json.loads(self._path(name).read_bytes()))
            return all(hashlib.sha256((self.blobs / one).read_bytes()).hexdigest() == one[7:] for one in digests)
        except (OSError, json.JSONDecodeError):
            return False

    def _path(self, name: str) -> Path:
        return self.manifests / "registry.ollama.ai" / "library" / name

    def _files(self) -> list[Path]:
        # Folders that vanish meanwhile are passed over, as in Go's filepath.Glob; pathlib's fails there.
        found = glob.glob("*/*/*/*", root_dir=self.manifests, include_hidden=True)
        return [path for path in (self.manifests / name for name in found) if path.is_file()]

    def _named(self) -> set[str] | None:
        named: set[str] = set()
        for path in self._files():
            try:
                named.update(_digests(json.loads(path.read_bytes())))
            except FileNotFoundError:
                continue
            except json.JSONDecodeError:
                return None
        return named

    def _drop_empty(self) -> None:
        for folder, _, _ in os.walk(self.manifests, topdown=False):
            if Path(folder) != self.manifests:
                try:
                    Path(folder).rmdir()
                except OSError:
                    continue


def _digests(manifest: dict[str, Any]) -> list[str]:
    layers = [*manifest.get("layers", ()), manifest["config"]]
    return [str(layer["digest"]).replace(":", "-") for layer in layers]


def main() -> None:
    """Pull, delete and prune until standard input closes."""
    rules, dice, did = Rules(Path(sys.argv[1])), random.Random(int(sys.argv[2])), Counter[str]()
    contents = json.loads(sys.argv[3])
    while not select.select([sys.stdin], [], [], dice.random() * 0.004)[0]:
        name = f"model{dice.randrange(6)}/theirs" if dice.random() < 0.6 else f"model{dice.randrange(6)}/ours"
        if dice.random() < 0.5:
            rules.pull(name.replace("ours", "theirs"), [one.encode() for one in dice.sample(contents, 3)])
            did["pulled"] += 1
        elif dice.random() < 0.9:
            did["deleted"] += rules.delete(name)
        else:
            rules.prune()
            did["pruned"] += 1
    print(json.dumps(did))


if __name__ == "__main__":
    main()

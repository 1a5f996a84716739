"""Make `.venv`, or see in a moment that it is right: packages from the lock file, llama.cpp compiled here, arriero.

Run by the Python that preflight.sh chose, from the root of the checkout: python -m scripts.setup_venv [--dev].
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from scripts import backend, compilers, llama_wheel, stamp, wheel_key

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK, LOCK_DEV = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"


class SetupFailed(Exception):
    """A step did not succeed; the message is for the user."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare `.venv`; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.setup_venv", description=__doc__)
    parser.add_argument("--dev", action="store_true", help="install what tests and checks need, too")
    parser.add_argument("--rebuild", action="store_true", help="compile llama.cpp again, even if it is cached")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background would ignore it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    root = os.open(ROOT, os.O_RDONLY)  # one setup of a checkout at a time; a lock on the folder writes nothing
    with contextlib.suppress(OSError):
        fcntl.flock(root, fcntl.LOCK_EX)
    try:
        _prepare(options.dev, options.rebuild)
    except (SetupFailed, llama_wheel.BuildFailed, backend.UnknownBackend) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; run make again to go on.", file=sys.stderr)
        return 130
    return 0


def _prepare(dev: bool, rebuild: bool) -> None:
    env = os.environ
    kind = backend.decide(env, backend.look(env))
    chosen = compilers.choose(env)
    settings = (*llama_wheel.settings(kind), *compilers.workarounds(chosen.cc))
    recipe = wheel_key.recipe(_llama_version(), kind, env, chosen, settings)
    cache = wheel_key.cache_folder(env)
    found = stamp.read(VENV)
    wanted = stamp.current(ROOT, recipe.key, dev or bool(found and found.dev), _what_is_installed())
    plan = stamp.plan(VENV, wanted)
    if rebuild:
        shutil.rmtree(cache / recipe.key, ignore_errors=True)
    elif plan is stamp.Plan.READY:
        return
    if plan is stamp.Plan.REMAKE:
        _make_venv()
    stamp.erase(VENV)
    python = VENV / "bin" / "python"
    print("Installing the packages of the lock file", flush=True)
    # llama.cpp comes after everything that can fail quickly.
    _pip("install", "--no-deps", *_packages(LOCK), *(_packages(LOCK_DEV) if wanted.dev else ()))
    if plan is stamp.Plan.REMAKE or rebuild or found is None or found.wheel != wanted.wheel:
        wheel = llama_wheel.obtain(python, recipe, kind, chosen, env, cache)
        _pip("install", "--no-deps", "--force-reinstall", "--no-index", str(wheel))
    _pip("install", "--no-deps", "--editable", str(ROOT))
    _run(python, "-m", "compileall", "-q", str(ROOT / "src"))
    stamp.write(VENV, wanted)
    print("Ready: .venv", flush=True)


def _what_is_installed() -> str:
    """The lock files and what pyproject.toml says about the package; settings of tools install nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return LOCK.read_text() + LOCK_DEV.read_text() + json.dumps([project["project"], project["build-system"]])


def _make_venv() -> None:
    if VENV.is_symlink():
        VENV.unlink()
    elif VENV.exists():
        print("Remaking .venv: it is unfinished, was moved, or belongs to another Python", flush=True)
        shutil.rmtree(VENV)
    print(f"Making .venv with Python {sys.version.split()[0]} ({sys.executable})", flush=True)
    _run(Path(sys.executable), "-m", "venv", str(VENV))


def _packages(lock: Path) -> list[str]:
    """The requirements in a lock file, but for llama.cpp, which is compiled apart."""
    lines = (line.partition("#")[0].strip() for line in lock.read_text().splitlines())
    return [line for line in lines if line and not line.startswith(f"{llama_wheel.DISTRIBUTION}==")]


def _llama_version() -> str:
    found = re.search(rf"^{llama_wheel.DISTRIBUTION}==(\S+)", LOCK.read_text(), re.MULTILINE)
    if not found:
        raise SetupFailed(f"{LOCK.name} does not name {llama_wheel.DISTRIBUTION}")
    return found[1]


def _pip(*arguments: str) -> None:
    """Run the environment's pip under the user's own index, proxy and CA settings."""
    _run(VENV / "bin" / "python", "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet", "--no-input")


def _run(python: Path, *arguments: str) -> None:
    done = subprocess.run([str(python), *arguments], stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise SetupFailed(
            f"This step failed (exit status {done.returncode}):\n  {shlex.join([str(python), *arguments])[:400]}\n"
            "Its message is above. pip's index, proxy and CA settings are the usual ones (pip config list).\n"
            "Nothing outside .venv and the wheel cache was changed; run make again once it is mended."
        )


if __name__ == "__main__":
    sys.exit(main())

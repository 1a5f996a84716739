"""The first answer: start a server of our own, stream what the built-in model says, stop it, say what to type next.

Nothing that the user runs or has set is touched: an own port, an own home, none of their Ollama or proxy settings.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

HOST = "127.0.0.1"
USUAL_PORT = 11434
QUESTION = "What is the capital of France?"
_READY_SECONDS = 120
# Loopback never goes through a proxy, whatever the environment says.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class FirstRunFailed(Exception):
    """No answer came; the message says why."""


def main() -> int:
    """Show an answer; the exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background would ignore it
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda number, _frame: sys.exit(128 + number))
    arriero = Path(sys.executable).with_name("arriero")
    port = free_port(USUAL_PORT)
    try:
        with server(arriero, port) as url:
            print(f"\n>>> {QUESTION}", flush=True)
            speed = stream(url, QUESTION)
    except FirstRunFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the server is stopped.", file=sys.stderr)
        return 130
    print(f"\n({speed}; the server is stopped)\n\nWhat to type next:\n")
    for command in next_commands(port, os.environ):
        print(f"  {command}")
    return 0


def free_port(first: int) -> int:
    """`first` if nobody has it, else the next one that is free."""
    for port in range(first, first + 200):
        if _is_free(port):
            return port
    raise SystemExit(f"No free port from {first} to {first + 199} on {HOST}.")


def _is_free(port: int) -> bool:
    with socket.socket() as asking:
        asking.settimeout(1)
        if asking.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def clean_environment(env: Mapping[str, str], home: str) -> dict[str, str]:
    """The user's environment without what would send the server elsewhere, and with a home of its own."""
    kept = {
        name: value
        for name, value in env.items()
        if not name.startswith(("OLLAMA_", "ARRIERO_")) and not name.lower().endswith("_proxy")
    }
    return {**kept, "ARRIERO_HOME": home}


@contextlib.contextmanager
def server(arriero: Path, port: int) -> Iterator[str]:
    """`arriero serve` on loopback while the block runs; its URL."""
    home = tempfile.mkdtemp(prefix="arriero-")
    log = Path(home) / "serve.log"
    why = "" if port == USUAL_PORT else f" ({USUAL_PORT} is taken)"
    print(f"Starting a server on http://{HOST}:{port}{why}", flush=True)
    with log.open("wb") as out:
        child = subprocess.Popen(
            [str(arriero), "serve", "--host", HOST, "--port", str(port)],
            env=clean_environment(os.environ, home),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_ready(child, port, log)
        yield f"http://{HOST}:{port}"
    except (OSError, ValueError) as error:
        raise FirstRunFailed(f"The server did not answer: {error}\n{_tail(log)}") from error
    finally:
        _stop(child)
        shutil.rmtree(home, ignore_errors=True)


def _await_ready(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _READY_SECONDS
    while time.monotonic() < until:
        if child.poll() is not None:
            raise FirstRunFailed(f"The server ended with status {child.returncode}:\n{_tail(log)}")
        with contextlib.suppress(OSError), _open(f"http://{HOST}:{port}/ready", timeout=5):
            return
        time.sleep(0.05)
    raise FirstRunFailed(f"The server was not ready after {_READY_SECONDS} s:\n{_tail(log)}")


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(timeout=15)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-15:]
    return "\n".join(f"  | {line}" for line in lines)


def stream(url: str, question: str) -> str:
    """Print the answer as it comes; how fast it came."""
    body = {"model": "demo", "messages": [{"role": "user", "content": question}], "options": {"temperature": 0}}
    request = urllib.request.Request(
        f"{url}/api/chat", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with _open(request, timeout=120) as answer:
            for line in answer:
                record = json.loads(line)
                if "error" in record:
                    raise FirstRunFailed(f"The model did not answer: {record['error']}")
                print(record["message"]["content"], end="", flush=True)
                if record["done"]:
                    print()
                    return speed(record)
    except urllib.error.HTTPError as error:
        raise FirstRunFailed(f"The server answered {error.code}: {error.read().decode(errors='replace')}") from error
    raise FirstRunFailed("The answer ended before it was complete.")


def speed(record: Mapping[str, int]) -> str:
    """Tokens a second, from the numbers in an answer's last record."""
    count, nanoseconds = record.get("eval_count", 0), record.get("eval_duration", 0)
    return f"{count} tokens at {count / nanoseconds * 1e9:.0f} tokens/s" if nanoseconds else f"{count} tokens"


def next_commands(port: int, env: Mapping[str, str]) -> tuple[str, str, str]:
    """What works now, as printed: from the root of the checkout, and past another server on the usual port."""
    plain = port == USUAL_PORT and not env.get("OLLAMA_HOST")
    arriero = ".venv/bin/arriero" if plain else f"OLLAMA_HOST={HOST}:{port} .venv/bin/arriero"
    return f'{arriero} run demo "Tell me a story"', f"{arriero} serve", f"{arriero} list"


if __name__ == "__main__":
    sys.exit(main())

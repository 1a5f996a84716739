"""Pull and push with real servers: docker-registry between two stores, kills, and the official client."""

from __future__ import annotations

import json
import os
import pty
import struct
import subprocess
import sys
import threading
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest

from tests.e2e.gate import Gate
from tests.e2e.serving import Server, clean_environment, serve
from tests.unit.store.registry import docker_registry

KILLS = 3
LIMIT = 60.0


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a docker-registry."""
    with docker_registry.running(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory, registry: str) -> Iterator[Server]:
    """A server whose store has the demo model, and has pushed it as library/demo."""
    home = tmp_path_factory.mktemp("owner")
    with serve(home) as server:
        client = ollama.Client(host=server.url)
        client.copy("demo", f"{registry}/library/demo")
        statuses = [report.status for report in client.push(f"{registry}/library/demo", insecure=True, stream=True)]
        assert statuses[0] == "retrieving manifest"
        assert statuses[-2:] == ["pushing manifest", "success"]
        assert any(status and status.startswith("pushing ") for status in statuses)
        yield server


def contents(home: Path) -> dict[str, bytes]:
    """Blobs by name, and the one manifest."""
    models = home / ".ollama" / "models"
    found = {path.name: path.read_bytes() for path in (models / "blobs").glob("*")}
    (manifest,) = [path for path in (models / "manifests").rglob("*") if path.is_file()]
    return found | {"manifest": manifest.read_bytes()}


def noted(home: Path) -> int:
    """Bytes that the unfinished downloads' states say have come."""
    total = 0
    for path in (home / ".ollama" / "models" / ".arriero" / "partial").glob("*.state"):
        _, _, numbers = path.read_bytes().partition(b"\n")
        total += sum(struct.unpack(f"<{len(numbers) // 8}Q", numbers[: len(numbers) // 8 * 8]))
    return total


def test_a_pull_that_is_killed_three_times(owner: Server, registry: str, tmp_path: Path) -> None:
    home = tmp_path / "puller"
    size = (Path(__file__).parents[2] / "src" / "arriero" / "demo" / "demo.gguf").stat().st_size
    step = size // (KILLS + 1)
    with Gate(registry) as gate:
        model = f"{gate.host}/library/demo"
        for kill in range(KILLS):
            with serve(home) as server:
                caller = threading.Thread(target=_pull_until_killed, args=(server.url, model))
                gate.allow(step)
                caller.start()
                # The gate closes after so many bytes; all of them but the answers' heads are noted before the kill.
                until = time.monotonic() + LIMIT
                while noted(home) < step * (kill + 1) - 20_000:
                    assert time.monotonic() < until, f"{noted(home)} of {step * (kill + 1)} bytes: {server.log}"
                    time.sleep(0.02)
                server.process.kill()
                gate.cut()
                caller.join(LIMIT)
            blobs = home / ".ollama" / "models" / "blobs"
            assert not blobs.exists() or list(blobs.iterdir()) == []
        with serve(home) as server:
            gate.allow(2 * size)
            reports = list(ollama.Client(host=server.url).pull(model, insecure=True, stream=True))
            assert reports[-1].status == "success"
            first = next(report for report in reports if report.total == size)
            assert (first.completed or 0) <= size
            assert server.post("/api/show", {"model": model})
            words = json.loads(server.post("/api/generate", {"model": model, "prompt": "Hi", "stream": False}))
            assert words["response"]
        assert gate.passed < size + 30_000  # nothing came twice
    assert contents(home) == contents(owner.log.parent)
    assert list((home / ".ollama" / "models" / ".arriero" / "partial").iterdir()) == []


def _pull_until_killed(url: str, model: str) -> None:
    try:
        for _ in ollama.Client(host=url).pull(model, insecure=True, stream=True):
            pass
    except Exception:
        return  # the server was killed
    raise AssertionError("the pull was not killed")


@pytest.fixture(scope="module")
def puller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose models come from elsewhere."""
    with serve(tmp_path_factory.mktemp("puller")) as server:
        yield server


def test_the_official_client(owner: Server, puller: Server, registry: str) -> None:
    client = ollama.Client(host=puller.url)
    assert client.pull(f"{registry}/library/demo", insecure=True).status == "success"
    assert client.push(f"{registry}/library/demo", insecure=True).status == "success"
    assert client.list().models[0].model == f"{registry}/library/demo:latest"
    with pytest.raises(ollama.ResponseError, match=r"^pull model manifest: file does not exist"):
        client.pull(f"{registry}/library/absent", insecure=True)
    with pytest.raises(ollama.ResponseError, match="pull model manifest: file does not exist"):
        list(client.pull(f"{registry}/library/absent", insecure=True, stream=True))
    with pytest.raises(ollama.ResponseError, match="not a public address"):
        client.pull(f"{registry}/library/demo")


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/pull", {}, 400, "invalid model name"),
        ("/api/pull", {"model": "a b"}, 400, "invalid model name"),
        ("/api/pull", {"model": "/etc/passwd", "stream": False}, 400, "invalid model name: the server opens no paths"),
        ("/api/pull", {"model": "http://box.example/n/m"}, 500, "insecure protocol http"),
        ("/api/push", {}, 400, "model is required"),
        ("/api/push", {"model": "a b"}, 400, "invalid model name"),
        ("/api/push", {"model": "http://box.example/n/m", "stream": False}, 500, "insecure protocol http"),
        ("/api/push", {"model": "n/absent", "stream": False}, 404, "model 'n/absent' not found"),
        ("/api/pull", {"model": 5}, 400, None),
    ],
)
def test_refusals_before_the_first_report(
    server: Server, path: str, body: dict[str, object], status: int, text: str | None
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.post(path, body)
    assert refused.value.code == status
    told = json.loads(refused.value.read())["error"]
    assert told == text or text is None


def arriero(home: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "arriero", *arguments],
        env=clean_environment(home, {"OLLAMA_HOST": url}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_command_line(owner: Server, registry: str, tmp_path: Path) -> None:
    model = f"{registry}/library/demo"
    with serve(tmp_path / "server") as server:
        ran = arriero(tmp_path, server.url, "run", model, "--insecure", "Hello")
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.strip()
        assert ran.stderr.splitlines()[0] == "pulling manifest"
        assert ran.stderr.splitlines()[-1] == "success"
        assert arriero(tmp_path, server.url, "list").stdout.splitlines()[1].startswith(f"{model}:latest ")
        pulled = arriero(tmp_path, server.url, "pull", model, "--insecure", "--json")
        reports = [json.loads(line) for line in pulled.stdout.splitlines()]
        assert (reports[0]["status"], reports[-1]["status"]) == ("pulling manifest", "success")
        assert any(report["total"] == report["completed"] > 10**6 for report in reports)
        pushed = arriero(tmp_path, server.url, "push", model, "--insecure")
        assert pushed.stderr.splitlines()[-2:] == ["pushing manifest", "success"]
        absent = arriero(tmp_path, server.url, "pull", f"{registry}/n/absent", "--insecure")
        assert (absent.returncode, absent.stderr.splitlines()[-1]) == (
            1,
            "Error: pull model manifest: file does not exist",
        )


def test_a_run_that_cannot_pull_says_why(server: Server, tmp_path: Path) -> None:
    ran = arriero(tmp_path, server.url, "run", "127.0.0.1:1/n/absent", "--insecure", "Hello")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        "Error: model '127.0.0.1:1/n/absent' not found, and it cannot be pulled: pull model manifest: cannot reach "
        "127.0.0.1: Connection refused. `arriero list` names the models there are"
    )


def test_a_file_of_this_machine(puller: Server, tmp_path: Path) -> None:
    file = tmp_path / "my demo.gguf"
    file.write_bytes((Path(__file__).parents[2] / "src" / "arriero" / "demo" / "demo.gguf").read_bytes())
    ran = arriero(tmp_path, puller.url, "pull", str(file))
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[-1] == "success"
    assert "my-demo:latest" in arriero(tmp_path, puller.url, "list").stdout
    missing = arriero(tmp_path, puller.url, "pull", (tmp_path / "absent.gguf").as_uri())
    assert missing.stderr == f"Error: there is no file {tmp_path / 'absent.gguf'}\n"


def test_progress_bars_on_a_terminal(owner: Server, registry: str, tmp_path: Path) -> None:
    with serve(tmp_path / "server") as server:
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "arriero", "pull", f"{registry}/library/demo", "--insecure"],
            env=clean_environment(tmp_path, {"OLLAMA_HOST": server.url, "TERM": "xterm", "COLUMNS": "120"}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        shown = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # the terminal's other end is closed
                break
            if not data:
                break
            shown += data
        os.close(master)
        assert process.wait(LIMIT) == 0, shown
    text = shown.decode()
    assert "pulling manifest" in text
    assert "━" in text
    assert "100%" in text
    assert "success" in text

"""How a server behaves towards its machine, its neighbours and strangers: files, keys, hosts, ports, headers."""

from __future__ import annotations

import http.server
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import arriero
from tests.e2e.raw import RawReply, send_raw
from tests.e2e.serving import Server, clean_environment, free_port, serve

HELLO = {"model": "demo", "prompt": "Hello!", "stream": False, "options": {"num_predict": 2}}
COMMAND = [sys.executable, "-m", "arriero"]


def refused(home: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a `serve` that must exit 1 without a traceback; what it said."""
    done = subprocess.run(
        [*COMMAND, "serve", *arguments],
        env=clean_environment(home, environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


# --- files ---


def ollama_folder(home: Path) -> Path:
    """A ~/.ollama as a user of Ollama has it, every file a sentinel."""
    folder = home / ".ollama"
    digest = "sha256-" + "ab" * 32
    files = {
        "id_ed25519": "a private key",
        "id_ed25519.pub": "a public key",
        "history": "what I said\n",
        "config.json": "{}",
        "server.json": "{}",
        "logs/server.log": "yesterday",
        "models/blobs/" + digest: "GGUF, but not really",
        "models/blobs/" + digest + "-partial-0": "half",
        "models/manifests/registry.ollama.ai/library/broken/latest": "{not json",
        "models/manifests/registry.ollama.ai/library/odd/latest": "{}",
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, ns=(10**18, 10**18))
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            os.utime(path, ns=(10**18, 10**18))
    os.utime(folder, ns=(10**18, 10**18))
    return folder


def listing(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, modification time and bytes of everything below `folder`, the folder included."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        content = b"" if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, content)
    return found


def test_ollamas_folder_stays_as_it_is(tmp_path: Path) -> None:
    """After serving, listing, chatting and stopping, with ARRIERO_HOME left to its default."""
    before = listing(ollama_folder(tmp_path))
    environment = {"ARRIERO_HOME": "", "XDG_DATA_HOME": "", "XDG_CACHE_HOME": ""}
    with serve(tmp_path, environment=environment) as server:
        assert "demo:latest" in server.get("/api/tags").decode()
        server.post("/api/generate", HELLO)
        at_server = clean_environment(tmp_path, {**environment, "OLLAMA_HOST": server.url})
        for arguments in (["run", "demo", "Hello!"], ["list"], ["show", "demo"], ["ps"], ["stop", "demo"]):
            done = subprocess.run(
                [*COMMAND, *arguments], env=at_server, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
            )
            assert done.returncode == 0, done.stderr
    assert listing(tmp_path / ".ollama") == before


def test_state_of_its_own_is_private_and_below_its_home(tmp_path: Path) -> None:
    home = tmp_path / "user"
    environment = {"ARRIERO_HOME": "", "XDG_DATA_HOME": "", "XDG_CACHE_HOME": ""}
    with serve(home, environment=environment) as server:
        server.post("/api/generate", HELLO)
        own = home / ".local" / "share" / "arriero"
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
    written = {path for path in home.rglob("*") if path.is_file()} - set(home.glob("serve-*.log"))
    caches = (home / ".cache", home / ".nv")
    assert [
        path for path in written if own not in path.parents and not any(one in path.parents for one in caches)
    ] == []


def test_a_home_below_ollamas_folder_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, environment={"ARRIERO_HOME": str(tmp_path / ".ollama" / "arriero")})
    assert "ARRIERO_HOME" in said
    assert not (tmp_path / ".ollama").exists()


# --- who may come in ---


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_off_loopback_it_does_not_start_without_a_key(tmp_path: Path, host: str) -> None:
    said = refused(tmp_path, "--host", host, "--port", str(free_port()))
    assert "ARRIERO_API_KEY" in said
    assert "--no-auth" in said
    by_variable = refused(tmp_path, environment={"OLLAMA_HOST": f"[{host}]" if ":" in host else host})
    assert "ARRIERO_API_KEY" in by_variable


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("keyed"), environment={"ARRIERO_API_KEY": "sesame,second"}) as server:
        yield server


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer sesame"}, 200),
        ({"Authorization": "bearer sesame"}, 200),
        ({"x-api-key": "second"}, 200),
        ({"Authorization": "Bearer sesam"}, 401),
        ({"Authorization": "Bearer sesame,second"}, 401),
        ({"Authorization": "Basic c2VzYW1l"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"x-api-key": ""}, 401),
    ],
)
@pytest.mark.parametrize(("path", "method"), [("/api/tags", "GET"), ("/v1/models", "GET"), ("/metrics", "GET")])
def test_a_key_opens(keyed: Server, path: str, method: str, headers: dict[str, str], status: int) -> None:
    reply = send_raw(keyed, path, method=method, headers=headers)
    assert reply.status == status
    if status == 401:
        assert reply.headers["www-authenticate"] == "Bearer"
        assert "error" in reply.json


def test_a_key_opens_generations_and_probes_need_none(keyed: Server) -> None:
    assert send_raw(keyed, "/api/generate", HELLO).status == 401
    assert (
        send_raw(keyed, "/v1/completions", {"model": "demo", "prompt": "x"}).json["error"]["code"] == "invalid_api_key"
    )
    assert send_raw(keyed, "/api/generate", HELLO, headers={"x-api-key": "sesame"}).status == 200
    for path in ("/", "/live", "/ready", "/health"):
        assert send_raw(keyed, path, method="GET").status == 200
    assert "sesame" not in keyed.log.read_text()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:11434", 200),
        ("[::1]:80", 200),
        ("printer.local", 200),
        ("192.168.1.5", 200),
        ("", 200),
        ("evil.example", 403),
        ("evil.example:11434", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("8.8.8.8", 403),
    ],
)
def test_a_foreign_host_is_refused(server: Server, host: str, status: int) -> None:
    """Against DNS rebinding: a page that points its own name at loopback gets nothing."""
    reply = send_raw(server, "/api/tags", method="GET", headers={"Host": host})
    assert reply.status == status
    if status == 403:
        assert reply.body == b""


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        ("https://localhost:3000", True),
        ("http://127.0.0.1:8080", True),
        ("app://obsidian", True),
        ("vscode-webview://abc", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
    ],
)
def test_origins_are_those_of_this_machine(server: Server, origin: str, allowed: bool) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    preflight = send_raw(server, "/api/chat", method="OPTIONS", headers=asked)
    reply = send_raw(server, "/api/tags", method="GET", headers={"Origin": origin})
    assert preflight.status == (204 if allowed else 403)
    assert reply.status == (200 if allowed else 403)
    assert (reply.headers.get("access-control-allow-origin") in (origin, "*")) == allowed


def test_more_origins_may_be_named(tmp_path: Path) -> None:
    with serve(tmp_path, environment={"OLLAMA_ORIGINS": "https://app.example, chrome-extension://*"}) as server:
        for origin, status in [("https://app.example", 200), ("chrome-extension://x", 200), ("https://b.example", 403)]:
            assert send_raw(server, "/api/tags", method="GET", headers={"Origin": origin}).status == status


# --- what every answer says ---


def answers(server: Server) -> Iterator[RawReply]:
    """One answer of each kind."""
    for path in ("/", "/api/tags", "/v1/models", "/metrics", "/live", "/no/such", "/api/chat", "/v1/models/none"):
        yield send_raw(server, path, method="GET")
    yield send_raw(server, "/", method="HEAD")
    yield send_raw(server, "/api/generate", HELLO)
    yield send_raw(server, "/api/generate", {**HELLO, "stream": True})
    yield send_raw(server, "/v1/completions", {"model": "demo", "prompt": "x", "stream": True})
    yield send_raw(server, "/api/generate", b"{")
    yield send_raw(server, "/api/generate", {**HELLO, "options": {"seed": "x"}})
    yield send_raw(server, "/api/chat", headers={"Content-Length": str(10**10)})
    yield send_raw(server, "/api/tags", method="GET", headers={"Host": "evil.example"})
    yield send_raw(server, "/api/tags", method="OPTIONS", headers={"Origin": "http://localhost"})
    yield send_raw(server, "/api/tags", method="GET", headers={"Origin": "https://evil.example"})


def test_every_answer_says_whose_it_is(server: Server, keyed: Server) -> None:
    statuses = set()
    for reply in [*answers(server), send_raw(keyed, "/api/tags", method="GET")]:
        assert reply.headers["server"] == f"arriero/{arriero.__version__}"
        assert reply.headers["x-request-id"]
        statuses.add(reply.status)
    assert {200, 204, 400, 401, 403, 404, 405, 413, 500} <= statuses


def test_the_root_and_the_version_are_ollamas(server: Server) -> None:
    assert send_raw(server, "/", method="GET").body == b"Ollama is running"
    version = send_raw(server, "/api/version", method="GET").json
    assert version == {"version": "0.33.0", "arriero": arriero.__version__}


def test_what_is_ignored_is_named(server: Server) -> None:
    body = {**HELLO, "no_such_field": 1, "options": {"num_predict": 1, "mirostat": 1}}
    reply = send_raw(server, "/api/generate", body)
    assert reply.status == 200
    assert {name.strip() for name in reply.headers["x-arriero-ignored"].split(",")} == {"no_such_field", "mirostat"}
    streamed = send_raw(server, "/api/generate", {**body, "stream": True})
    assert streamed.headers["x-arriero-ignored"] == reply.headers["x-arriero-ignored"]
    assert "x-arriero-ignored" not in send_raw(server, "/api/generate", HELLO).headers


def test_what_is_ignored_is_logged_once(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        for _ in range(3):
            send_raw(server, "/api/generate", {**HELLO, "an_odd_field": 1})
        assert server.log.read_text().count("an_odd_field") == 1


# --- a port that is taken ---


def test_a_port_taken_by_another_arriero(server: Server, tmp_path: Path) -> None:
    said = refused(tmp_path, "--port", str(server.port))
    assert str(server.port) in said
    assert "arriero" in said
    check_offer(said, server.port)


class _Ollama(http.server.BaseHTTPRequestHandler):
    """Answers as an Ollama would."""

    def do_GET(self) -> None:
        body = b'{"version":"0.33.0"}' if self.path == "/api/version" else b"Ollama is running"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


def test_a_port_taken_by_ollama(tmp_path: Path) -> None:
    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Ollama)
    thread = threading.Thread(target=other.serve_forever, daemon=True)
    thread.start()
    try:
        said = refused(tmp_path, environment={"OLLAMA_HOST": f"127.0.0.1:{other.server_port}"})
    finally:
        other.shutdown()
        other.server_close()
    assert "Ollama" in said
    check_offer(said, other.server_port)


def check_offer(said: str, taken: int) -> None:
    """It names the command for another port."""
    offered = re.search(r"arriero serve --port (\d+)", said)
    assert offered, said
    assert int(offered[1]) != taken


def test_ollama_host_is_honoured(tmp_path: Path) -> None:
    """The variable says where to listen; a flag says it louder."""
    elsewhere = {"OLLAMA_HOST": f"127.0.0.1:{free_port()}"}
    with serve(tmp_path, environment=elsewhere) as server:
        assert send_raw(server, "/live", method="GET").status == 200
        said = refused(tmp_path, environment={"OLLAMA_HOST": f"http://127.0.0.1:{server.port}/"})
        assert str(server.port) in said

"""Names, digests, files, headers, manifests and templates that mean harm: refused, bounded, and nothing is written."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from arriero.store.catalog import demo_path
from tests.e2e.raw import RawReply, send_raw
from tests.e2e.serving import Server, serve

SECRET = "kept outside of every models folder"
LIBRARY = Path("manifests") / "registry.ollama.ai" / "library"
GIBIBYTE = 2**30
NAMES = [
    "../x",
    "../../../../outside/x",
    "/etc/passwd",
    "a/../../x",
    "..",
    "x:../../y",
    "host/../x/y:z",
    "x\x00y",
    "x\ny",
    "..\\x",
    "C:\\x",
    "%2e%2e/x",
    "x" * 5000,
    "-rf",
    "~/x",
    "x/y/z/../../../../a",
]
DIGESTS = [
    "../../x",
    "..%2f..%2fx",
    "sha256:../../../etc/passwd",
    "sha256-" + "/" * 64,
    "sha256:" + "0" * 63 + "/",
    ".",
]


class Place:
    """A server whose models folder has a secret beside it."""

    def __init__(self, root: Path) -> None:
        self.root, self.models = root, root / "models"
        (root / "outside").mkdir()
        (root / "outside" / "secret.gguf").write_text(SECRET)
        self.server: Server

    def state(self) -> dict[str, int]:
        """Every file below the root and its size, but for the server's log and its journal of blobs."""
        files = (path for path in self.root.rglob("*") if path.is_file() and path.suffix not in (".log", ".jsonl"))
        return {str(path.relative_to(self.root)): path.stat().st_size for path in files}

    def post(self, route: str, body: dict[str, Any], method: str = "POST") -> RawReply:
        reply = send_raw(self.server, f"/api/{route}", body, method=method)
        assert SECRET.encode() not in reply.body
        assert b"root:" not in reply.body
        assert len(reply.body) < 20_000
        return reply


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("bad library"))
    environment = {"OLLAMA_MODELS": str(place.models), "OLLAMA_GO_TEMPLATE": "1"}  # no way around a bad template
    with serve(place.root, environment=environment) as server:
        place.server = server
        server.post("/api/copy", {"source": "demo", "destination": "base"})
        yield place


@pytest.fixture(autouse=True)
def _unharmed(place: Place) -> Iterator[None]:
    """Nothing was written, nothing is a bug, and the server goes on in little memory."""
    before = place.state()
    yield
    assert place.state() == before
    assert place.server.metrics()["arriero_internal_errors_total"] == 0
    assert "base:latest" in place.server.get("/api/tags").decode()
    assert psutil.Process(place.server.process.pid).memory_info().rss < GIBIBYTE


def refused(reply: RawReply, *statuses: int) -> str:
    """The error's text, whichever of its places an answer has for it."""
    lines = [json.loads(line) for line in reply.body.splitlines()]
    assert reply.status in (statuses or (400, 404)) or (reply.status == 200 and "error" in lines[-1]), lines
    return str(lines[-1]["error"])


# --- names ---


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:20]))
def test_names_that_lead_elsewhere(place: Place, name: str) -> None:
    refused(place.post("show", {"model": name}))
    refused(place.post("create", {"model": name, "from": "demo"}))
    refused(place.post("create", {"model": "new", "from": name}))
    refused(place.post("copy", {"source": "demo", "destination": name}))
    refused(place.post("copy", {"source": name, "destination": "new"}))
    refused(place.post("delete", {"model": name}, "DELETE"))
    refused(place.post("push", {"model": name}))
    refused(place.post("pull", {"model": name}))


# --- digests ---


@pytest.mark.parametrize("digest", DIGESTS)
def test_digests_that_lead_elsewhere(place: Place, digest: str) -> None:
    for method, body in (("HEAD", b""), ("POST", b"data")):
        assert send_raw(place.server, f"/api/blobs/{digest}", body, method=method).status in (400, 404, 405)
    if "%" not in digest:
        refused(place.post("create", {"model": "new", "files": {"a.gguf": digest}}))


# --- Modelfiles, as clients send them ---


@pytest.mark.parametrize("path", ["../a.gguf", "/etc/passwd", "a/../../b.gguf", "..", "../outside/secret.gguf", ""])
def test_files_that_lead_elsewhere(place: Place, path: str) -> None:
    digest = f"sha256:{hashlib.sha256(demo_path().read_bytes()).hexdigest()}"
    refused(place.post("create", {"model": "new", "files": {path: digest}}))


@pytest.mark.parametrize("path", ["../outside/secret.gguf", "./secret.gguf", "/etc/passwd", "file:///etc/passwd"])
def test_a_base_is_a_name_and_no_path_of_the_server(place: Place, path: str) -> None:
    refused(place.post("create", {"model": "new", "from": path}))
    refused(place.post("create", {"model": "new", "from": str(place.root / path)}))


# --- headers that promise more than there is ---


def header(keys: int, tensors: int, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + rest


def text(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(value) if length is None else length) + value


HEADERS = {
    "keys": header(2**63, 0),
    "tensors": header(0, 2**62),
    "a key's length": header(1, 0, text(b"k", 2**60)),
    "a text's length": header(1, 0, text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama", 2**62)),
    "an array's length": header(1, 0, text(b"a") + struct.pack("<IIQ", 9, 4, 2**61)),
    "arrays in arrays": header(1, 0, text(b"a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 2**40) * 2000),
    "empty texts": header(1, 0, text(b"a") + struct.pack("<IIQ", 9, 8, 2**40) + bytes(2**20)),
    "dimensions": header(0, 1, text(b"t") + struct.pack("<I", 2**31)),
    "a shape": header(0, 1, text(b"t") + struct.pack("<IQQIQ", 2, 2**40, 2**40, 0, 0)),
    "an offset": header(0, 1, text(b"t") + struct.pack("<IQIQ", 1, 32, 0, 2**62)),
    "an alignment": header(
        1,
        1,
        text(b"general.alignment")
        + struct.pack("<II", 4, 2**31)
        + text(b"t")
        + struct.pack("<IQIQ", 1, 32, 0, 0)
        + bytes(200),
    ),
    "many keys": header(2**20, 0, (text(b"k") + struct.pack("<IB", 0, 1)) * 100_000),
}


@pytest.mark.parametrize("what", HEADERS)
def test_headers_that_promise_too_much(place: Place, what: str) -> None:
    data = HEADERS[what]
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    blob = place.models / "blobs" / digest.replace(":", "-")
    assert send_raw(place.server, f"/api/blobs/{digest}", data).status == 201
    try:
        message = refused(place.post("create", {"model": "new", "files": {"a.gguf": digest}}), 400, 500)
        assert len(message) < 500
        assert str(place.root) not in message
    finally:
        blob.unlink()


# --- manifests ---

OUTSIDE = ["../../outside/secret.gguf", "sha256:../../outside/secret.gguf", "sha256-../../../outside", "/etc/passwd"]


@pytest.mark.parametrize("role", ["layer", "config"])
@pytest.mark.parametrize("digest", OUTSIDE)
def test_a_manifest_that_points_outside(place: Place, digest: str, role: str) -> None:
    manifest = json.loads((place.models / LIBRARY / "base" / "latest").read_bytes())
    target = manifest["layers"][0] if role == "layer" else manifest["config"]
    target["digest"] = digest
    path = place.models / LIBRARY / "crooked" / "latest"
    path.parent.mkdir()
    path.write_text(json.dumps(manifest))
    try:
        refused(place.post("show", {"model": "crooked"}), 404, 500)
        refused(place.post("generate", {"model": "crooked", "prompt": "x", "stream": False}), 404, 500)
        refused(place.post("create", {"model": "new", "from": "crooked"}), 404, 500)
        refused(place.post("copy", {"source": "crooked", "destination": "new"}), 404, 500)
        refused(place.post("push", {"model": "crooked", "stream": False}), 404, 500)
        assert "crooked" not in place.server.get("/api/tags").decode()
    finally:
        path.unlink()
        path.parent.rmdir()


def test_a_manifest_that_is_a_link(place: Place) -> None:
    path = place.models / LIBRARY / "linked" / "latest"
    path.parent.mkdir()
    path.symlink_to(place.root / "outside" / "secret.gguf")
    try:
        refused(place.post("show", {"model": "linked"}), 404, 500)
        assert "linked" not in place.server.get("/api/tags").decode()
    finally:
        path.unlink()
        path.parent.rmdir()
    assert (place.root / "outside" / "secret.gguf").read_text() == SECRET


# --- templates ---

TEMPLATES = {
    "endless": '{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}',
    "nested": "{{ range .Messages }}" * 3000 + "{{ end }}" * 3000,
    "wide": '{{ $x := "xxxxxxxxxxxxxxxx" }}' + '{{ $x = printf "%s%s" $x $x }}' * 60 + "{{ $x }}",
    "slow": "{{ range $i, $e := .Messages }}" + '{{ printf "%100000000d" 1 }}' * 100 + "{{ end }}",
}


@pytest.mark.parametrize("what", TEMPLATES)
def test_templates_that_do_not_end(place: Place, what: str) -> None:
    body = {"model": "base", "prompt": "x", "template": TEMPLATES[what], "stream": False}
    message = refused(place.post("generate", body), 400)
    assert "template" in message


def test_a_model_with_a_template_that_does_not_end(place: Place) -> None:
    template = TEMPLATES["endless"]
    made = place.post("create", {"model": "looping", "from": "base", "template": template, "stream": False})
    assert made.status == 200, made.body
    digest = hashlib.sha256(template.encode()).hexdigest()
    try:
        body = {"model": "looping", "messages": [{"role": "user", "content": "x"}], "stream": False}
        assert "template" in refused(place.post("chat", body), 400)
    finally:
        assert place.post("delete", {"model": "looping"}, "DELETE").status == 200
        _forget(place, digest)


def _forget(place: Place, digest: str) -> None:
    """What `rm` leaves for an hour: the template, and the config that named it."""
    manifest = json.loads((place.models / LIBRARY / "base" / "latest").read_bytes())
    named = {one["digest"].replace(":", "-") for one in [manifest["config"], *manifest["layers"]]}
    blobs = [path for path in (place.models / "blobs").iterdir() if path.name not in named]
    assert f"sha256-{digest}" in [path.name for path in blobs]
    for path in blobs:
        path.unlink()

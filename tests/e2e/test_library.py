"""Models made, copied and removed over a real server: by the official `ollama` package and by the command line."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest

from arriero.store.catalog import demo_path
from arriero.store.describe import human_count
from arriero.store.gguf import read_header
from tests.e2e.serving import Server, clean_environment, serve
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf

HELLO = [{"role": "user", "content": "Hello!"}]
COLD = {"temperature": 0, "num_predict": 12}
MODELFILE = '''
# A model for tests
FROM demo
SYSTEM """You are "Sam".
Answer briefly."""
PARAMETER temperature 0
PARAMETER num_predict 12
PARAMETER stop "<never> "
MESSAGE user My name is Ana.
MESSAGE assistant Hello Ana!
LICENSE MIT
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("library home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    with serve(home, environment={"OLLAMA_MODELS": str(home / "models")}) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> ollama.Client:
    return ollama.Client(host=server.url, trust_env=False)


@pytest.fixture
def arriero(server: Server, home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command line against the server, in a folder."""

    def run(*arguments: str, folder: Path = home, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        extra = {"OLLAMA_HOST": server.url, "OLLAMA_MODELS": str(home / "models")}
        return subprocess.run(
            [sys.executable, "-m", "arriero", *arguments],
            env=clean_environment(home, extra),
            cwd=folder,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def names(client: ollama.Client) -> set[str]:
    return {str(model.model) for model in client.list().models}


def blob(home: Path, digest: str) -> bytes:
    return (home / "models" / "blobs" / digest.replace(":", "-")).read_bytes()


def rendered(server: Server, model: str, messages: list[dict[str, Any]]) -> str:
    body = {"model": model, "messages": messages, "stream": False, "_debug_render_only": True}
    reply = httpx.post(f"{server.url}/api/chat", json=body, trust_env=False).json()
    return str(reply["_debug_info"]["rendered_template"])


def test_create_from_a_model(client: ollama.Client, home: Path) -> None:
    reports = list(
        client.create(
            "made",
            from_="demo",
            system="<Be> kind & brief.",
            template="{{ .System }}|{{ .Prompt }}|{{ .Response }}",
            license=["MIT", "Other"],
            parameters={"temperature": 0, "num_ctx": 512, "stop": ["<|im_end|>"]},
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
        )
    )
    assert reports[-1].status == "success"
    assert reports[-2].status == "writing manifest"
    shown = client.show("made")
    assert shown.license == "MIT\nOther"
    assert shown.parameters is not None
    assert sorted(line.split() for line in shown.parameters.splitlines()) == [
        ["num_ctx", "512"],
        ["stop", '"<|im_end|>"'],
        ["temperature", "0"],
    ]
    assert shown.details is not None
    assert shown.details.parent_model == "demo:latest"
    assert shown.modelfile is not None
    assert "TEMPLATE {{ .System }}|{{ .Prompt }}|{{ .Response }}\nSYSTEM <Be> kind & brief.\n" in shown.modelfile
    raw = (home / "models/manifests/registry.ollama.ai/library/made/latest").read_bytes()
    listed = next(model for model in client.list().models if model.model == "made:latest")
    assert listed.digest == hashlib.sha256(raw).hexdigest()
    check_bytes(raw, home, listed.size)


def check_bytes(raw: bytes, home: Path, size: Any) -> None:
    """Compare the manifest and its blobs with what the protocol demands, byte by byte."""
    weights = demo_path().read_bytes()
    contents = {
        "model": weights,
        "template": b"{{ .System }}|{{ .Prompt }}|{{ .Response }}",
        "system": b"<Be> kind & brief.",
        "license": b"MIT",
        "license ": b"Other",
        "params": b'{"num_ctx":512,"stop":["\\u003c|im_end|\\u003e"],"temperature":0}\n',
        "messages": b'[{"role":"user","content":"hi"}]\n',
    }
    layers = []
    for kind, content in contents.items():
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert blob(home, digest) == content
        layers.append(
            {"mediaType": f"application/vnd.ollama.image.{kind.strip()}", "digest": digest, "size": len(content)}
        )
    layers[0]["from"] = "demo:latest"
    found = json.loads(raw)
    config = found["config"]
    expected = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": config["digest"],
            "size": len(blob(home, config["digest"])),
        },
        "layers": layers,
    }
    assert raw == json.dumps(expected, separators=(",", ":")).encode() + b"\n"
    assert size == sum(len(content) for content in contents.values()) + config["size"]
    assert hashlib.sha256(blob(home, config["digest"])).hexdigest() == config["digest"].removeprefix("sha256:")
    document = {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama"],
        "model_type": human_count(read_header(demo_path()).parameter_count),
        "file_type": "Q8_0",
        "architecture": "amd64",
        "os": "linux",
    }
    assert blob(home, config["digest"]) == json.dumps(document, separators=(",", ":")).encode() + b"\n"


def test_create_from_an_uploaded_file(client: ollama.Client) -> None:
    digest = client.create_blob(demo_path())
    assert digest == f"sha256:{hashlib.sha256(demo_path().read_bytes()).hexdigest()}"
    assert client.create_blob(demo_path()) == digest
    assert client.create("uploaded", files={"demo.gguf": digest}).status == "success"
    theirs = client.chat("demo", HELLO, options=COLD).message.content
    assert client.chat("uploaded", HELLO, options=COLD).message.content == theirs


def test_copy_and_delete(client: ollama.Client) -> None:
    client.create("first", from_="demo", system="One.")
    assert client.copy("first", "user/second:v1").status == "success"
    assert {"first:latest", "user/second:v1"} <= names(client)
    assert client.delete("FIRST").status == "success"
    assert "first:latest" not in names(client)
    assert client.show("user/second:v1").modelfile is not None
    assert client.chat("user/second:v1", HELLO, options=COLD).message.content
    client.delete("user/second:v1")
    assert "demo:latest" in names(client)


@pytest.mark.parametrize(
    ("act", "status", "text"),
    [
        (lambda client: client.delete("nope"), 404, "model 'nope' not found"),
        (lambda client: client.delete("a b"), 400, 'name "a b" is invalid'),
        (lambda client: client.delete("demo"), 400, "'demo:latest' is built in and cannot be removed"),
        (lambda client: client.copy("nope", "x"), 404, 'model "nope" not found'),
        (lambda client: client.copy("demo", "../x"), 400, 'destination "../x" is invalid'),
        (lambda client: client.copy("", "x"), 400, 'source "" is invalid'),
        (lambda client: client.create("x"), 400, "neither 'from' or 'files' was specified"),
        (lambda client: client.create("x", files={}), 400, "no files provided to convert"),
        (lambda client: client.create("../x", from_="demo"), 400, "invalid model name"),
        (lambda client: client.create("x", from_="demo", quantize="q9"), 500, "unsupported quantization type Q9 -"),
        (lambda client: client.create("x", from_="demo", template="{{ if }}"), 400, "template error: "),
        (lambda client: client.create("x", files={"a": f"sha256:{'0' * 64}"}), 404, f'blob "sha256:{"0" * 64}" not'),
        (lambda client: client.create("x", files={"../a": "sha256:0"}), 400, "file path must be relative"),
    ],
)
def test_refusals(act: Callable[[ollama.Client], object], status: int, text: str, client: ollama.Client) -> None:
    before = names(client)
    with pytest.raises(ollama.ResponseError) as raised:
        act(client)
    assert (raised.value.status_code, raised.value.error[: len(text)]) == (status, text)
    assert names(client) == before


def test_a_modelfile_takes_effect(
    arriero: Callable[..., subprocess.CompletedProcess[str]], server: Server, client: ollama.Client, tmp_path: Path
) -> None:
    (tmp_path / "Modelfile").write_text(MODELFILE)
    ran = arriero("create", "sam", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert ran.stderr.splitlines()[0] == "gathering model components"
    assert ran.stderr.splitlines()[-1] == "success"
    own = rendered(server, "sam", HELLO)
    by_hand = [
        {"role": "system", "content": 'You are "Sam".\nAnswer briefly.'},
        {"role": "user", "content": "My name is Ana."},
        {"role": "assistant", "content": "Hello Ana!"},
        *HELLO,
    ]
    assert own == rendered(server, "demo", by_hand)
    mine = {"role": "system", "content": "Mine."}
    assert rendered(server, "sam", [mine, *HELLO]) == rendered(server, "demo", [*by_hand[1:3], mine, *HELLO])
    # The same on every route: counted in tokens, and in what is said.
    chat = client.chat("sam", HELLO)
    assert chat.eval_count is not None
    assert chat.eval_count <= 12
    assert chat.message.content == client.chat("demo", by_hand, options=COLD).message.content
    generated = client.generate("sam", "Hello!")
    assert (generated.response, generated.prompt_eval_count) == (chat.message.content, chat.prompt_eval_count)
    reply = httpx.post(
        f"{server.url}/v1/chat/completions", json={"model": "sam", "messages": HELLO}, trust_env=False
    ).json()
    assert reply["usage"]["prompt_tokens"] == chat.prompt_eval_count
    assert reply["usage"]["completion_tokens"] <= 12
    warm = client.chat("sam", HELLO, options={"num_predict": 3})
    assert warm.eval_count == 3  # the request wins


def test_whole_turns_of_a_create_request_come_first(server: Server, client: ollama.Client) -> None:
    used = {"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "What is the weather in Oslo?"},
        {"role": "assistant", "content": "", "thinking": "Look it up.", "tool_calls": [used]},
        {"role": "tool", "content": "12 degrees", "tool_name": "get_weather"},
    ]
    assert client.create("turns", from_="demo", messages=turns).status == "success"
    whole = rendered(server, "turns", HELLO)
    assert whole == rendered(server, "demo", [*turns, *HELLO])
    assert '"arguments": {"city": "Oslo"}' in whole
    seen = {"role": "user", "content": "See?", "images": ["aGk="]}
    with pytest.raises(ollama.ResponseError, match="create with images in messages is not supported") as raised:
        client.create("seen", from_="demo", messages=[seen])
    assert raised.value.status_code == 400
    client.delete("turns")


def test_show_modelfile_makes_the_same_model_again(
    arriero: Callable[..., subprocess.CompletedProcess[str]], client: ollama.Client, home: Path, tmp_path: Path
) -> None:
    write_gguf(home / "small.gguf", Shape())
    ran = arriero("create", "round", "--draft-quantize", "q8_0", "-f", "-", stdin=f"{MODELFILE}DRAFT ./small.gguf\n")
    assert ran.returncode == 0, ran.stderr
    shown = arriero("show", "round", "--modelfile").stdout
    small = re.findall(r"^DRAFT (.*)$", shown, re.MULTILINE)
    assert [read_header(path).values["general.file_type"] for path in small] == [7]
    (tmp_path / "Again").write_text(shown)
    assert arriero("create", "trip", "--file", str(tmp_path / "Again")).returncode == 0
    again = arriero("show", "trip", "--modelfile").stdout
    assert again == shown.replace("# FROM round:latest", "# FROM trip:latest")

    def layers(name: str) -> list[tuple[str, str]]:
        raw = (home / "models/manifests/registry.ollama.ai/library" / name / "latest").read_bytes()
        return sorted((layer["mediaType"], layer["digest"]) for layer in json.loads(raw)["layers"])

    assert layers("trip") == layers("round")
    assert [kind for kind, _ in layers("trip")].count("application/vnd.ollama.image.draft") == 1
    ran = arriero("create", "bad", "-f", "-", stdin="FROM ./small.gguf\nDRAFT small.gguf\n")
    assert "Error: DRAFT must not reference the same local path as FROM" in ran.stderr
    assert arriero("create", "bad", "--draft-quantize", "q8_0", "-f", "-", stdin="FROM demo\n").returncode == 1
    ran = arriero("cp", "trip", "trop")
    assert (ran.returncode, ran.stdout) == (0, "copied 'trip' to 'trop'\n")
    ran = arriero("rm", "trip", "trop", "round", "nope")
    assert ran.stdout == "deleted 'trip'\ndeleted 'trop'\ndeleted 'round'\n"
    assert ran.returncode == 1
    assert ran.stderr.startswith("Error: model 'nope' not found")
    assert not {"trip:latest", "trop:latest", "round:latest"} & names(client)


def test_a_folder_and_a_path_of_ggufs(
    arriero: Callable[..., subprocess.CompletedProcess[str]], client: ollama.Client, tmp_path: Path
) -> None:
    weights = tmp_path / "some weights.gguf"
    weights.write_bytes(demo_path().read_bytes())
    before = weights.stat()
    assert arriero("create", "folder", folder=tmp_path).returncode == 0  # FROM . where there is no Modelfile
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "Modelfile").write_text("FROM ../some weights.gguf")
    assert arriero("create", "path", "-f", "sub/Modelfile", folder=tmp_path).returncode == 0
    assert client.show("folder").details == client.show("path").details
    after = weights.stat()
    assert (after.st_mtime_ns, after.st_ino, after.st_nlink) == (before.st_mtime_ns, before.st_ino, 1)
    (tmp_path / "empty").mkdir()
    ran = arriero("create", "x", folder=tmp_path / "empty")
    assert (ran.returncode, ran.stderr) == (
        1,
        "gathering model components\nError: no Modelfile or safetensors files found\n",
    )
    (tmp_path / "empty" / "evil.gguf").symlink_to("/etc/hostname")
    ran = arriero("create", "x", folder=tmp_path / "empty")
    assert ran.stderr.splitlines()[-1].startswith("Error: insecure path: evil.gguf")
    assert arriero("create", "x", "-f", "nope").stderr == "Error: specified Modelfile wasn't found\n"
    ran = arriero("create", "x", "-f", "-", stdin="FROM demo\nFOO bar\n")
    assert ran.stderr.startswith('Error: (line 2): command must be one of "from", "license"')


def test_create_quantizes(
    arriero: Callable[..., subprocess.CompletedProcess[str]], client: ollama.Client, tmp_path: Path
) -> None:
    write_gguf(tmp_path / "wide.gguf", Shape(embd=256, ff=256, heads=4, heads_kv=2, head_dim=64, quant="F16"))
    ran = arriero("create", "narrow", "-q", "q4_K_M", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "quantizing F16 model to Q4_K_M\n" in ran.stderr
    details = client.show("narrow").details
    assert details is not None
    assert details.quantization_level == "Q4_K_M"
    assert client.generate("narrow", "Hello", options={"num_predict": 3}).eval_count == 3
    ran = arriero("create", "x", "-q", "q4_0", "-f", "-", stdin="FROM demo")
    assert ran.stderr.endswith("Error: quantization is only supported for F16, BF16 and F32 models\n")


def test_verify_and_prune(
    arriero: Callable[..., subprocess.CompletedProcess[str]], server: Server, client: ollama.Client, home: Path
) -> None:
    client.create("sound", from_="demo")
    ran = arriero("verify", "sound")
    assert ran.returncode == 0
    assert all(line.startswith("ok ") for line in ran.stdout.splitlines())
    data = b"uploaded and forgotten"
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    path = home / "models" / "blobs" / digest.replace(":", "-")
    assert httpx.post(f"{server.url}/api/blobs/{digest}", content=data, trust_env=False).status_code == 201
    assert json.loads(arriero("prune", "--json").stdout)["removed"] == []
    os.utime(path, (time.time() - 90_000,) * 2)
    assert json.loads(arriero("prune", "--dry-run", "--json").stdout)["removed"] == [digest]
    assert path.exists()
    assert f"removed {digest}" in arriero("prune").stdout
    assert not path.exists()
    broken = home / "models/manifests/registry.ollama.ai/library/broken/latest"
    broken.parent.mkdir()
    broken.write_bytes(b"{")
    try:
        ran = arriero("prune")
        assert ran.returncode == 1
        assert "does not parse" in ran.stderr
        ran = arriero("verify")
        assert ran.returncode == 1
        assert f"unreadable {broken}" in ran.stdout
        assert "broken:latest" not in names(client)
        assert broken.read_bytes() == b"{"
    finally:
        broken.unlink()

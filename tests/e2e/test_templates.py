"""Models with a Go template of their own, through the port: a models folder whose weights are the demo's."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.serving import Server, serve

MEDIA = "application/vnd.ollama.image."
CHATTY = (
    "{{ if .System }}<{{ .System }}>{{ end }}{{ if .Tools }}{{ .Tools }}{{ end }}{{ range .Messages }}"
    "[{{ .Role }} {{ .Content }}{{ if .ToolCalls }}<call>{{ end }}"
    '{{ if eq .Role "tool" }}{{ .ToolName }}{{ end }}]{{ end }}'
)
FILLING = "{{ if .Suffix }}PRE {{ .Prompt }} SUF {{ .Suffix }} MID{{ else }}{{ .Prompt }}{{ end }}"
# ChatML as the demo was trained on it, so that it answers.
CHATML = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
MODELS: dict[str, dict[str, bytes]] = {
    "chatty": {"template": CHATTY.encode(), "system": b"Be kind."},
    "filling": {"template": FILLING.encode()},
    "older": {"prompt": b"{{ .System }}|{{ .Prompt }}|{{ .Response }}|"},
    "chatml": {"template": CHATML.encode()},
    "endless": {"template": b"{{ range 999999999999 }}{{ end }}{{ .Prompt }}"},
    "broken": {"template": b"{{ if }}"},
}


def _blob(store: Path, kind: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (store / "blobs" / f"sha256-{digest}").write_bytes(content)
    return {"mediaType": MEDIA + kind, "digest": f"sha256:{digest}", "size": len(content)}


def make_store(store: Path) -> None:
    """A models folder as Ollama lays it out, one model for each of MODELS."""
    manifests = store / "manifests" / "registry.ollama.ai" / "library"
    (store / "blobs").mkdir(parents=True)
    demo = Path(str(resources.files("arriero") / "demo" / "demo.gguf"))
    digest = hashlib.sha256(demo.read_bytes()).hexdigest()
    shutil.copy(demo, store / "blobs" / f"sha256-{digest}")
    weights = {"mediaType": f"{MEDIA}model", "digest": f"sha256:{digest}", "size": demo.stat().st_size}
    config = _blob(store, "config", b'{"model_format":"gguf","model_family":"llama"}')
    config["mediaType"] = "application/vnd.docker.container.image.v1+json"
    for name, layers in MODELS.items():
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": config,
            "layers": [weights, *(_blob(store, kind, content) for kind, content in layers.items())],
        }
        (manifests / name).mkdir(parents=True)
        (manifests / name / "latest").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_store(folder)
    return folder


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {"OLLAMA_MODELS": str(store), "OLLAMA_GO_TEMPLATE": "1"}
    with serve(tmp_path_factory.mktemp("home"), environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def choosing_server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("home"), environment={"OLLAMA_MODELS": str(store)}) as running:
        yield running


def post(server: Server, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(server.url + path, json.dumps(body).encode())
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def rendered(server: Server, model: str, **body: Any) -> str:
    """The prompt that the model would see."""
    path = "/api/chat" if "messages" in body else "/api/generate"
    status, reply = post(server, path, {"model": model, "_debug_render_only": True, **body})
    assert status == 200, reply
    assert reply["model"] == model
    assert reply["done"] is False
    return str(reply["_debug_info"]["rendered_template"])


NO_INSERT = "registry.ollama.ai/library/{}:latest does not support insert"
HI = [{"role": "user", "content": "hi"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells it",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "x": 1}}},
    },
}


def test_conversations_and_prompts(server: Server) -> None:
    assert rendered(server, "chatty", messages=HI) == "<Be kind.>[system Be kind.][user hi]"
    own = [{"role": "system", "content": "S"}, *HI, *HI]
    assert rendered(server, "chatty", messages=own) == "<S>[system S][user hi\n\nhi]"
    assert rendered(server, "chatty", prompt="hi", system="S") == "<S>[system S][user hi]"
    assert rendered(server, "chatty", prompt="hi", raw=True) == "hi"
    assert rendered(server, "older", messages=[*HI, {"role": "assistant", "content": "A"}, *HI]) == "|hi|A||hi|"
    assert rendered(server, "older", prompt="hi", system="S") == "S|hi|"


def test_tools_and_their_results(server: Server) -> None:
    call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    messages = [
        *HI,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_name": "get_weather"},
    ]
    tool = (
        '{"type":"function","function":{"name":"get_weather","description":"Tells it",'
        '"parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}'
    )
    expected = f"<Be kind.>[{tool}][system Be kind.][user hi][assistant <call>][tool sunnyget_weather]"
    assert rendered(server, "chatty", messages=messages, tools=[WEATHER]) == expected


def test_suffix_and_template_of_a_request(server: Server) -> None:
    assert rendered(server, "filling", prompt="a", suffix="b") == "PRE a SUF b MID"
    assert rendered(server, "filling", prompt="a") == "a"
    assert rendered(server, "chatty", prompt="hi", template="{{ .System }}/{{ .Prompt }}") == "Be kind./hi"
    assert rendered(server, "demo", prompt="hi", template="<{{ .Prompt }}>") == "<hi>"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"model": "chatty", "prompt": "a", "suffix": "b"}, NO_INSERT.format("chatty")),
        ({"model": "demo", "prompt": "a", "suffix": "b"}, NO_INSERT.format("demo")),
        ({"model": "chatty", "prompt": "a", "think": True}, '"chatty" does not support thinking'),
        ({"model": "chatty", "prompt": "a", "template": "{{ nope }}"}, 'template: :1: function "nope" not defined'),
        ({"model": "chatty", "prompt": "a", "template": "{{ .Prompt.X }}"},
         'template: :1:10: executing "" at <.Prompt.X>: can\'t evaluate field X in type interface {}'),
        ({"model": "filling", "prompt": "a", "raw": True, "template": "x"},
         "raw mode does not support template, system, or context"),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered(server: Server, body: dict[str, Any], text: str) -> None:
    for more in ({}, {"_debug_render_only": True}):
        assert post(server, "/api/generate", {**body, **more, "stream": False}) == (400, {"error": text})


def test_an_endless_template_is_stopped_and_the_next_request_answered(server: Server) -> None:
    for _ in range(2):
        status, reply = post(server, "/api/generate", {"model": "endless", "prompt": "a", "stream": False})
        assert status == 400
        assert re.fullmatch(
            r"template: the template (was stopped: more than 1000000 steps|took longer than 2 s)", reply["error"]
        )
    assert rendered(server, "endless", prompt="a", template="{{ .Prompt }}") == "a"


def test_answers(server: Server) -> None:
    """The demo behind a Go template that says what its own Jinja says: the same answer, whole and cut by `stop`."""
    options = {"temperature": 0, "num_predict": 24}
    ask = {"messages": [{"role": "user", "content": "Hello!"}], "options": options, "stream": False}
    _, own = post(server, "/api/chat", {"model": "demo", **ask})
    status, ours = post(server, "/api/chat", {"model": "chatml", **ask})
    assert status == 200
    assert rendered(server, "chatml", messages=ask["messages"]) == rendered(server, "demo", messages=ask["messages"])
    assert ours["message"] == own["message"]
    assert ours["prompt_eval_count"] == own["prompt_eval_count"]
    status, filled = post(server, "/api/generate", {
        "model": "filling", "prompt": "a", "suffix": "b", "options": options, "stream": False,
    })  # fmt: skip
    assert (status, filled["done"]) == (200, True)


def test_show_tells_the_choice(server: Server, choosing_server: Server) -> None:
    def shown(where: Server, model: str) -> tuple[str, list[str]]:
        _, reply = post(where, "/api/show", {"model": model})
        return reply["template"], reply["capabilities"]

    assert shown(server, "chatty") == (CHATTY, ["completion", "tools"])
    assert shown(server, "filling") == (FILLING, ["completion", "insert"])
    assert shown(server, "older")[1] == ["completion"]
    # Left to choose: the demo's Jinja has tools, and chatty's template shows their results as well.
    assert shown(choosing_server, "chatty") == (CHATTY, ["completion", "tools"])
    template, capabilities = shown(choosing_server, "chatml")
    assert "{%" in template
    assert capabilities == ["completion", "tools"]
    assert rendered(choosing_server, "chatml", messages=HI) == rendered(choosing_server, "demo", messages=HI)


def test_a_template_that_is_none_leaves_the_ggufs(server: Server) -> None:
    assert rendered(server, "broken", messages=HI) == rendered(server, "demo", messages=HI)


def test_create_refuses_a_template_that_is_none(server: Server) -> None:
    body = {"model": "new", "from": "demo", "template": "{{ if }}", "stream": False}
    status, reply = post(server, "/api/create", body)
    assert (status, reply) == (400, {"error": "template error: template: :1: missing value for if"})

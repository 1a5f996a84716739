"""list, ps, show, stop: what they print, and what they ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.unit.cli.conftest import Arriero
from tests.unit.client.scripted import Reply, Scripted, document

Ollama = Callable[[dict[str, Reply]], Scripted]
DIGEST = "0123456789abcdef" * 4


def model(name: str, **fields: object) -> dict[str, object]:
    when = datetime.now(UTC) - timedelta(days=3)
    return {"name": name, "size": 4_661_224_676, "digest": DIGEST, "modified_at": when.isoformat(), **fields}


def test_list(arriero: Arriero, ollama: Ollama) -> None:
    ollama({"/api/tags": document({"models": [model("llama3:latest"), model("demo:latest", size=5_491_744)]})})
    ran = arriero("list")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (
        "NAME             ID              SIZE      MODIFIED      \n"
        "llama3:latest    0123456789ab    4.7 GB    3 days ago    \n"
        "demo:latest      0123456789ab    5.5 MB    3 days ago    \n"
    )
    assert arriero("ls", "DEM").out.splitlines()[1:] == ["demo:latest    0123456789ab    5.5 MB    3 days ago    "]
    assert [each["name"] for each in json.loads(arriero("list", "--json").out)] == ["llama3:latest", "demo:latest"]


def test_ps(arriero: Arriero, ollama: Ollama) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=4, seconds=30)).isoformat()
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    running = [
        model("a:latest", size=100, size_vram=52, expires_at=soon, context_length=4096),
        model("b:latest", size=100, expires_at="2318-01-01T00:00:00Z", context_length=2048),
        model("c:latest", size=100, expires_at=past, context_length=2048),
    ]
    ollama({"/api/ps": document({"models": running})})
    assert arriero("ps").out == (
        "NAME        ID              SIZE     PROCESSOR          CONTEXT    UNTIL                 \n"
        "a:latest    0123456789ab    100 B    48%/52% CPU/GPU    4096       4 minutes from now    \n"
        "b:latest    0123456789ab    100 B    100% CPU           2048       Forever               \n"
        "c:latest    0123456789ab    100 B    100% CPU           2048       Stopping...           \n"
    )
    assert json.loads(arriero("ps", "b", "--json").out)[0]["context_length"] == 2048
    ollama({"/api/ps": document({"models": [{**running[1], "kv_cache_type": "q8_0"}]})})
    assert [line.split()[-1] for line in arriero("ps").out.splitlines()] == ["KV", "q8_0"]
    ollama({"/api/ps": document({"models": [{**running[1], "requests_waiting": 3, "queue_seconds": 12.4}]})})
    head, row = (line.rstrip() for line in arriero("ps").out.splitlines())
    assert (head.endswith("QUEUE"), row.endswith(" 3 (about 12s)")) == (True, True)


SHOWN = {
    "modelfile": "FROM here",
    "parameters": 'stop                           "<|im_end|>"\ntemperature                    0.5',
    "template": "{{ messages }}",
    "system": "Be brief.",
    "license": "MIT\nsecond\nthird",
    "details": {"family": "llama", "parameter_size": "5.12M", "quantization_level": "Q8_0"},
    "model_info": {"general.architecture": "llama", "llama.context_length": 2048, "llama.embedding_length": 256},
    "capabilities": ["completion", "tools"],
}


def test_show(arriero: Arriero, ollama: Ollama) -> None:
    server = ollama({"/api/show": document(SHOWN)})
    ran = arriero("show", "demo")
    assert [line.rstrip() for line in ran.out.splitlines()] == [
        "  Model",
        "    architecture        llama",
        "    parameters          5.12M",
        "    context length      2048",
        "    embedding length    256",
        "    quantization        Q8_0",
        "",
        "  Capabilities",
        "    completion",
        "    tools",
        "",
        "  Parameters",
        '    stop           "<|im_end|>"',
        "    temperature    0.5",
        "",
        "  System",
        "    Be brief.",
        "",
        "  License",
        "    MIT",
        "    second",
        "    ...",
        "",
    ]
    assert server.asked[-1].body == {"model": "demo"}
    assert arriero("show", "demo", "--template").out == "{{ messages }}\n"
    assert arriero("show", "demo", "--system").out == "Be brief.\n"
    assert arriero("show", "demo", "--license").out == "MIT\nsecond\nthird\n"
    assert arriero("show", "demo", "--modelfile").out == "FROM here\n"
    assert "temperature" in arriero("show", "demo", "--parameters").out
    assert json.loads(arriero("show", "demo", "--json").out)["capabilities"] == ["completion", "tools"]
    assert arriero("show", "demo", "--system", "--license") == (
        1,
        "",
        "Error: only one of --license, --modelfile, --parameters, --template, --system, --memory can be given\n",
    )


def test_stop(arriero: Arriero, ollama: Ollama) -> None:
    server = ollama({"/api/generate": document({"done": True, "done_reason": "unload"})})
    assert arriero("stop", "demo") == (0, "", "")
    assert server.asked[-1].body == {"model": "demo", "stream": False, "prompt": "", "keep_alive": 0}


def test_stop_of_an_unknown_model(arriero: Arriero, ollama: Ollama) -> None:
    ollama({"/api/generate": document({"error": "model 'x' not found"}, 404)})
    assert arriero("stop", "x") == (1, "", 'Error: couldn\'t find model "x" to stop\n')

"""What a client can get wrong, through the port: each a clear error with the right status, and the server goes on.

After every test the server still answers, has counted no internal error, and holds nothing.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arriero.store.catalog import demo_path
from tests.e2e.raw import RawReply, send_raw
from tests.e2e.serving import Server, serve

OLLAMA = ["/api/generate", "/api/chat", "/api/show"]
OPENAI = ["/v1/chat/completions", "/v1/completions"]
PATHS = [*"{demo} ../../etc/passwd /etc/passwd file://{demo} ./demo.gguf demo\x00 .. C:\\x".split(), "a" * 5000]
TOO_LARGE = 200 * 1024 * 1024


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the demo and files that only look like models."""
    folder = tmp_path_factory.mktemp("broken models")
    demo = demo_path().read_bytes()
    files = {
        "noise": bytes(range(256)) * 64,
        "empty": b"",
        "magic": b"GGUF",
        "header": demo[:1000],
        "truncated": demo[: len(demo) // 2],
        "shortened": demo[:-4096],
        "counts": b"GGUF\x03\x00\x00\x00" + b"\xff" * 16 + demo[24:2000],
        "flipped": demo[:2000] + bytes(byte ^ 0x55 for byte in demo[2000:4000]) + demo[4000:],
    }
    places = {name: folder / f"{name}.gguf" for name in files}
    for path in places.values():
        path.write_bytes(demo)  # what is no GGUF at the start is refused there; these went bad later
    with serve(tmp_path_factory.mktemp("broken"), *(f"--model={name}={at}" for name, at in places.items())) as server:
        for name, content in files.items():
            places[name].write_bytes(content)
        server.load()
        yield server


@pytest.fixture(autouse=True)
def _unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """What every test here must leave behind."""
    name = "broken" if "broken" in request.fixturenames else "server"
    server: Server = request.getfixturevalue(name)
    yield
    body = {"model": "demo", "prompt": "Hello!", "stream": False, "options": {"num_predict": 2}}
    reply = send_raw(server, "/api/generate", body)
    assert reply.status == 200
    assert reply.json["done"]
    after = server.wait_for("arriero_requests_in_flight", "==", 0)
    server.wait_for("arriero_blocks_active", "==", 0)
    assert after["arriero_internal_errors_total"] == 0
    assert after["arriero_requests_admitted"] == after["arriero_requests_pending"] == 0


def message(reply: RawReply) -> str:
    """The error's text, in whichever API's shape; the shape must be right."""
    error = reply.json["error"]
    if isinstance(error, str):
        assert list(reply.json) == ["error"]
        return error
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    return str(error["message"])


def ask(path: str, **fields: Any) -> dict[str, Any]:
    """A good body for `path`, with `fields` over it."""
    chat = {"messages": [{"role": "user", "content": "Hello!"}]}
    shape: dict[str, Any] = chat if "chat" in path else {} if "show" in path else {"prompt": "Hello!"}
    return {"model": "demo", **shape, **fields}


@pytest.mark.parametrize("path", OLLAMA + OPENAI)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b'{"model": "demo",}',
        b"[]",
        b"null",
        b'"demo"',
        b"model=demo&prompt=x",
        b'{"model": "demo", "prompt": NaN}',
        b'{"model": "demo", "prompt": 1e999}',
        b'{"model": "d\xff\xfemo"}',
        b"\xff\xfe{\x00}\x00",
        b'{"model": "demo"} trailing',
        b'{"model": "demo", "options": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"model": "demo", "seed": 123456789012345678901234567890}',
    ],
    ids=lambda body: body[:24].decode("latin-1").strip() or "blank",
)
def test_a_body_that_is_no_json_object_is_400(server: Server, path: str, body: bytes) -> None:
    reply = send_raw(server, path, body)
    assert reply.status == 400
    assert message(reply)
    assert len(message(reply)) < 500


@pytest.mark.parametrize("path", OLLAMA + OPENAI)
@pytest.mark.parametrize("stream", [True, False])
def test_an_unknown_model_is_404(server: Server, path: str, stream: bool) -> None:
    reply = send_raw(server, path, ask(path, model="nobody/knows:this", stream=stream))
    assert reply.status == 404
    assert "nobody/knows" in message(reply)


@pytest.mark.parametrize("path", OLLAMA + OPENAI)
@pytest.mark.parametrize("name", ["", None, 7, ["demo"]])
def test_a_model_that_is_no_name_is_refused(server: Server, path: str, name: object) -> None:
    assert send_raw(server, path, ask(path, model=name)).status in (400, 404)


@pytest.mark.parametrize("path", OLLAMA + OPENAI)
@pytest.mark.parametrize(
    "name",
    [
        "{demo}",
        "../../etc/passwd",
        "/etc/passwd",
        "file://{demo}",
        "./demo.gguf",
        "demo\x00",
        "a" * 5000,
        "..",
        "C:\\x",
    ],
)
def test_a_path_is_no_model(server: Server, path: str, name: str) -> None:
    reply = send_raw(server, path, ask(path, model=name.format(demo=demo_path())))
    assert reply.status in (400, 404)
    assert "root:" not in message(reply)
    assert len(reply.body) < 12000


@pytest.mark.parametrize("api", ["ollama", "openai"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_longer_than_the_context_is_400_with_both_numbers(server: Server, api: str, stream: bool) -> None:
    prompt = "one two three " * 2000
    path = "/api/generate" if api == "ollama" else "/v1/completions"
    reply = send_raw(server, path, ask(path, prompt=prompt, stream=stream))
    assert reply.status == 400
    assert "2048" in message(reply)
    numbers = [int(word) for word in message(reply).replace(",", " ").split() if word.isdigit()]
    assert any(number > 2048 for number in numbers)


def test_a_single_message_longer_than_the_context_is_400_and_never_cut(server: Server) -> None:
    long = {"role": "user", "content": "one two three " * 2000}
    for path in ("/api/chat", "/v1/chat/completions"):
        reply = send_raw(server, path, ask(path, messages=[long], stream=False))
        assert reply.status == 400
        assert "2048" in message(reply)


def test_old_messages_are_cut_only_where_the_api_says_so_and_it_is_told(server: Server) -> None:
    turns = [{"role": "user", "content": f"{i} one two three four five" * 12} for i in range(60)]
    cut = send_raw(server, "/api/chat", ask("/api/chat", messages=turns, stream=False, options={"num_predict": 1}))
    assert cut.status == 200
    assert int(cut.headers["x-arriero-truncated"]) > 0
    assert cut.json["prompt_eval_count"] < 2048
    assert send_raw(server, "/api/chat", ask("/api/chat", messages=turns, truncate=False)).status == 400
    assert send_raw(server, "/v1/chat/completions", ask("/v1/chat", messages=turns)).status == 400


INTEGERS = ["num_ctx", "num_predict", "top_k", "seed", "repeat_last_n", "num_keep", "num_batch", "num_gpu", "main_gpu"]
FLOATS = ["temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty"]


@pytest.mark.parametrize("name", [*INTEGERS, "num_thread", *FLOATS, "stop", "use_mmap"])
@pytest.mark.parametrize("value", ["x", {}, [[]]], ids=["text", "object", "list"])
def test_an_option_of_the_wrong_type_is_an_error_that_names_it(server: Server, name: str, value: object) -> None:
    reply = send_raw(server, "/api/generate", ask("/api/generate", options={name: value}))
    kind = "integer" if name in (*INTEGERS, "num_thread") else "float32" if name in FLOATS else None
    assert reply.status == 500  # as Ollama answers it
    assert name in message(reply)
    assert kind is None or message(reply) == f'option "{name}" must be of type {kind}'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_ctx", -5),
        ("num_ctx", 10**12),
        ("temperature", -1),
        ("top_p", 1.5),
        ("min_p", -0.1),
        ("typical_p", 2),
        ("repeat_penalty", 0),
        ("repeat_last_n", -2),
        ("num_batch", 0),
        ("num_thread", -1),
        ("num_predict", -3),
        ("seed", 2**63),
    ],
)
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_an_option_out_of_range_is_400_and_names_it(server: Server, path: str, name: str, value: float) -> None:
    reply = send_raw(server, path, ask(path, options={name: value}))
    assert reply.status == 400
    assert name in message(reply)


def test_a_context_that_memory_cannot_hold_is_an_error(broken: Server) -> None:
    body = ask("/api/generate", model="demo", options={"num_ctx": 2**31 - 1}, stream=False)
    reply = send_raw(broken, "/api/generate", body)
    assert reply.status == 500
    assert "num_ctx" in message(reply)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/api/chat", {"messages": "Hello!"}),
        ("/api/chat", {"messages": [1]}),
        ("/api/chat", {"messages": [{"role": 5, "content": "x"}]}),
        ("/api/chat", {"messages": [{"role": "user", "content": {"a": 1}}]}),
        ("/api/chat", {"stream": "yes"}),
        ("/api/chat", {"keep_alive": "soon"}),
        ("/api/chat", {"tools": "all"}),
        ("/api/chat", {"think": "a lot"}),
        ("/api/generate", {"prompt": 5}),
        ("/api/generate", {"context": ["x"]}),
        ("/api/generate", {"context": [-1]}),
        ("/api/generate", {"context": [10**6]}),
        ("/api/generate", {"raw": True, "system": "x"}),
        ("/v1/chat/completions", {"messages": []}),
        ("/v1/chat/completions", {"messages": [{"content": "x"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
        ("/v1/chat/completions", {"temperature": "warm"}),
        ("/v1/chat/completions", {"max_tokens": 0}),
        ("/v1/chat/completions", {"stream": 1}),
        ("/v1/chat/completions", {"top_logprobs": 99, "logprobs": True}),
        ("/v1/chat/completions", {"no_such_field": 1}),
        ("/v1/completions", {"prompt": None}),
        ("/v1/completions", {"prompt": []}),
        ("/v1/completions", {"prompt": [1, "x"]}),
        ("/v1/completions", {"prompt": [-1]}),
        ("/v1/completions", {"prompt": [10**6]}),
        ("/v1/completions", {"prompt": ""}),
        ("/v1/completions", {"min_tokens": -1}),
        ("/v1/completions", {"min_tokens": 9, "max_tokens": 3}),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else None,
)
def test_a_field_that_makes_no_sense_is_400(server: Server, path: str, fields: dict[str, Any]) -> None:
    reply = send_raw(server, path, ask(path, **fields))
    assert reply.status == 400
    assert message(reply)


@pytest.mark.parametrize("path", OLLAMA + OPENAI)
def test_a_huge_body_is_413_before_it_is_read(server: Server, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {TOO_LARGE}\r\n\r\n"
        connection.sendall(head.encode() + b'{"model": "demo"')
        assert b" 413 " in connection.recv(4096).split(b"\r\n")[0]


def test_a_huge_chunked_body_is_413_and_not_kept(server: Server) -> None:
    piece = b"%x\r\n%s\r\n" % (2**20, b" " * 2**20)
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.setblocking(False)
        for _ in range(TOO_LARGE // 2**20):
            connection.settimeout(60)
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
            connection.settimeout(0.001)
            try:
                received += connection.recv(4096)
            except (TimeoutError, ConnectionResetError):
                continue
            break
    assert b" 413 " in received.split(b"\r\n")[0]


def test_what_is_no_http_is_not_answered_with_a_traceback(server: Server) -> None:
    for garbage in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"POST /api/chat HTTP/9.9\r\n\r\n", b"\n" * 1000):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            reply = connection.recv(65536)
        assert b"Traceback" not in reply
        assert not reply or b" 400 " in reply.split(b"\r\n")[0]


def test_a_body_that_never_comes_holds_nothing(server: Server) -> None:
    connections = []
    for _ in range(20):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        connection.sendall(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{")
        connections.append(connection)
    assert send_raw(server, "/api/tags", method="GET").status == 200
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/no/such/path", 404),
        ("GET", "/v1/models/nobody", 404),
        ("GET", "/api/chat", 405),
        ("DELETE", "/v1/completions", 405),
        ("POST", "/api/tags", 405),
    ],
)
def test_other_paths_and_verbs(server: Server, method: str, path: str, status: int) -> None:
    assert send_raw(server, path, method=method).status == status


@pytest.mark.parametrize("name", ["noise", "empty", "magic", "header", "truncated", "shortened", "counts", "flipped"])
@pytest.mark.parametrize("path", ["/api/generate", "/v1/chat/completions"])
def test_a_broken_file_is_a_clear_error(broken: Server, name: str, path: str) -> None:
    reply = send_raw(broken, path, ask(path, model=name, stream=False))
    assert reply.status == 500
    assert len(message(reply)) > 15
    assert "Traceback" not in message(reply)
    assert "/" not in message(reply).replace("and/or", "")  # no path of the server's disk


def test_broken_files_do_not_spoil_the_list(broken: Server) -> None:
    tags = send_raw(broken, "/api/tags", method="GET")
    assert tags.status == 200
    names = [model["name"] for model in tags.json["models"]]
    assert "demo:latest" in names
    assert "noise:latest" not in names
    assert send_raw(broken, "/v1/models", method="GET").status == 200
    assert send_raw(broken, "/api/show", {"model": "noise"}).status == 500


def test_a_file_that_goes_away_is_a_clear_error(tmp_path: Path) -> None:
    model = tmp_path / "gone.gguf"
    model.write_bytes(demo_path().read_bytes())
    with serve(tmp_path / "home", "--model", f"gone={model}") as own:
        assert send_raw(own, "/api/show", {"model": "gone"}).status == 200
        model.unlink()
        reply = send_raw(own, "/api/generate", ask("/api/generate", model="gone", stream=False))
        assert reply.status in (404, 500)
        assert "gone" in message(reply)
        assert send_raw(own, "/api/tags", method="GET").status == 200


PNG = "iVBORw0KGgo="
DATA = f"data:image/png;base64,{PNG}"
SOURCE = {"type": "base64", "media_type": "image/png", "data": PNG}


def _parts(**part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/api/generate", {"prompt": "x", "images": [PNG]}, "does not support vision"),
        ("/api/generate", {"prompt": "x", "images": [PNG], "raw": True}, "does not support vision"),
        ("/api/generate", {"images": [DATA]}, "illegal base64 data at input byte 4"),
        ("/api/generate", {"images": PNG}, "Expected `array"),
        ("/api/chat", {"messages": [{"role": "user", "content": "x", "images": [PNG]}]}, "does not support vision"),
        ("/api/chat", {"messages": [{"role": "tool", "content": "x", "images": [PNG]}]}, "does not support vision"),
        ("/api/chat", {"messages": [{"role": "user", "content": "x", "images": [1]}]}, "must be base64 texts"),
        ("/v1/chat/completions", _parts(type="image_url", image_url={"url": DATA}), "cannot see images"),
        ("/v1/chat/completions", _parts(type="image_url", image_url="https://x/y.png"), "image URLs are not currently"),
        ("/v1/chat/completions", _parts(type="image_url"), "invalid image input"),
        ("/v1/chat/completions", _parts(type="input_audio", input_audio={"data": PNG}), "cannot hear"),
        (
            "/v1/responses",
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": DATA}]}]},
            "see",
        ),
        ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "file inputs are not"),
        ("/v1/messages", {"max_tokens": 1, **_parts(type="image", source=SOURCE)}, "cannot see images"),
        ("/v1/messages/count_tokens", _parts(type="image", source={"type": "url", "url": "https://x"}), "cannot see"),
        ("/api/embed", {"input": [{"image": PNG}]}, "invalid input type"),
    ],
)
def test_images_are_refused_on_every_route(server: Server, path: str, body: dict[str, Any], words: str) -> None:
    reply = send_raw(server, path, {"model": "demo", **body})
    assert reply.status == 400
    assert words in reply.body.decode()

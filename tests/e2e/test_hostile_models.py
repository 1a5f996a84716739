"""Models that mean harm: templates that never end, ask for too much, or raise. An error each; the server goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.raw import RawReply, send_raw
from tests.e2e.serving import Server, serve
from tests.unit.runners.llama_cpp.tiny_gguf import TEMPLATE, write_gguf

HOSTILE = {
    "endless": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "wide": "{% for i in range(999999999) %}{% endfor %}",
    "huge": "{{ 'x' * 999999999 }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "reaches": "{{ messages.__class__.__mro__[1].__subclasses__() }}",
    "imports": "{% import 'os' as os %}{{ os.system('true') }}",
    "raises": "{{ raise_exception('no') }}",
    "broken": "{% for m in messages %}",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one model for each hostile template, and a harmless one."""
    folder = tmp_path_factory.mktemp("hostile models")
    arguments = []
    for name, template in {**HOSTILE, "harmless": TEMPLATE}.items():
        path = write_gguf(folder / f"{name}.gguf", template=template)
        arguments += ["--model", f"{name}={path}"]
    with serve(tmp_path_factory.mktemp("hostile"), *arguments) as server:
        yield server


def chat(server: Server, model: str, path: str) -> RawReply:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}], "stream": False}
    return send_raw(server, path, {**body, "options": {"num_predict": 2, "num_thread": 1}})


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_hostile_template_is_an_error(hostile: Server, name: str, path: str) -> None:
    reply = chat(hostile, name, path)
    assert reply.status == 400
    error = reply.json["error"]
    assert "template" in (error if isinstance(error, str) else error["message"])
    assert len(reply.body) < 2000
    assert hostile.metrics()["arriero_internal_errors_total"] == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_what_needs_no_template_still_works(hostile: Server, name: str) -> None:
    """But for a template that does not even compile: that is an error of loading."""
    reply = send_raw(hostile, "/v1/completions", {"model": name, "prompt": "the hello", "max_tokens": 2})
    if name == "broken":
        assert reply.status == 400
        assert "does not compile" in reply.json["error"]["message"]
    else:
        assert reply.status == 200


def test_the_others_go_on(hostile: Server) -> None:
    assert chat(hostile, "endless", "/api/chat").status == 400
    assert chat(hostile, "harmless", "/api/chat").status == 200
    assert send_raw(hostile, "/api/tags", method="GET").status == 200

"""The chat in the terminal: turns, commands, and what a key press ends."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from arriero.cli.chat import Chat, history_file
from arriero.cli.settings import Settings
from arriero.client import Client
from tests.unit.client.conftest import ServeSync
from tests.unit.client.scripted import Scripted, document, ndjson, stream

Talk = Callable[..., str]


async def _echo(request: web.Request) -> web.StreamResponse:
    """Answers with the last turn in capitals."""
    body = await request.json()
    text = body["messages"][-1]["content"].upper()
    lines = ndjson({"message": {"content": text}}, {"message": {"content": ""}, "done": True, "eval_count": 1})
    return web.Response(body=lines)


@pytest.fixture
def server(serve_sync: ServeSync) -> Scripted:
    """A server that echoes, and knows one model."""
    shown = {"template": "T", "system": "", "parameters": "stop x", "license": "MIT", "details": {"family": "llama"}}
    return serve_sync(
        {
            "/api/version": document({"version": "1"}),
            "/api/chat": _echo,
            "/api/generate": document({"done": True, "done_reason": "load"}),
            "/api/tags": document({"models": [{"name": "demo:latest", "size": 5_000_000}]}),
            "/api/show": document(shown),
        }
    )


@pytest.fixture
def talk(server: Scripted) -> Iterator[Talk]:
    """Type lines into a chat, give what it printed. An exception among the lines is raised for that line."""
    clients = []

    def typed(*lines: str | BaseException, settings: Settings | None = None) -> str:
        client = Client(server.url)
        clients.append(client)
        left: Iterator[str | BaseException] = iter(lines)

        def ask(prompt: str) -> str:
            line = next(left, EOFError())
            if isinstance(line, BaseException):
                raise line
            return line

        out = io.StringIO()
        Chat(client, settings or Settings("demo"), ask, out).loop()
        return out.getvalue()

    yield typed
    for client in clients:
        client.close()


def _turns(server: Scripted, number: int = -1) -> list[tuple[str, str]]:
    bodies = [each.body for each in server.asked if each.path == "/api/chat"]
    return [(turn["role"], turn["content"]) for turn in bodies[number]["messages"]]


def test_the_conversation_grows(server: Scripted, talk: Talk) -> None:
    assert talk("one", "two") == "ONE\n\nTWO\n\n\n"
    assert _turns(server) == [("user", "one"), ("assistant", "ONE"), ("user", "two")]


def test_clear_forgets(server: Scripted, talk: Talk) -> None:
    assert "Cleared session context" in talk("one", "/clear", "two")
    assert _turns(server) == [("user", "two")]


def test_several_lines_between_quotes(server: Scripted, talk: Talk) -> None:
    talk('"""first', "second", 'third"""', '"""all in one"""', "")
    assert _turns(server, 0) == [("user", "first\nsecond\nthird")]
    assert _turns(server)[-1] == ("user", "all in one")


def test_leaving(server: Scripted, talk: Talk) -> None:
    for command in ("/bye", "/exit"):
        assert talk(command, "not sent") == ""
    assert "Use Ctrl + d or /bye to exit." in talk(KeyboardInterrupt(), "/bye")
    assert [each for each in server.asked if each.path == "/api/chat"] == []


def test_settings_reach_the_server(server: Scripted, talk: Talk) -> None:
    out = talk(
        "/set parameter temperature 0",
        "/set parameter num_predict 7",
        '/set parameter stop "two words" END',
        "/set parameter use_mmap false",
        '/set system "Be brief."',
        "/set format json",
        "/set think high",
        "/set verbose",
        "one",
    )
    assert "Set parameter 'stop' to 'two words, END'" in out
    assert "eval count:           1 token(s)" in out
    body = server.asked[-1].body
    assert body["options"] == {"temperature": 0.0, "num_predict": 7, "stop": ["two words", "END"], "use_mmap": False}
    assert (body["format"], body["think"]) == ("json", "high")
    assert _turns(server)[0] == ("system", "Be brief.")
    talk("/set think", "/set nothink", "/set format json", "/set noformat", "/set quiet", "one")
    assert server.asked[-1].body["think"] is False
    assert "format" not in server.asked[-1].body


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "/set parameter nonsense 1",
            "Error: unknown parameter 'nonsense'. Known: draft, draft_num_predict, frequency_penalty,",
        ),
        ("/set parameter temperature hot", 'Error: option "temperature" must be of type float32'),
        ("/set parameter top_p 2", 'Error: option "top_p" must be between 0 and 1'),
        ("/set parameter seed", "Error: seed needs a value"),
        ('/set parameter stop "open', "Error: No closing quotation"),
        ("/set format xml", "Error: format must be json, not 'xml'"),
        ("/set", "/set parameter NAME VALUE"),
        ("/show", "/show template"),
        ("/nonsense", "Unknown command '/nonsense'. Type /? for help"),
        ("/?", "/bye, /exit"),
        ("/help set", "/set wordwrap"),
        ("/? shortcuts", "Ctrl + w"),
        ("/list", "demo:latest    5 MB"),
        ("/show info", "architecture    llama"),
        ("/show license", "MIT"),
        ("/show template", "T"),
        ("/show system", "No system was specified for this model."),
        ("/set nohistory", ""),
        ("/load", "Error: /load needs the name of a model"),
        ("/save", "Error: /save needs a name for the model"),
    ],
)
def test_commands_tell(talk: Talk, line: str, told: str) -> None:
    assert told in talk(line)


def test_what_is_quoted_is_no_command(server: Scripted, talk: Talk) -> None:
    talk('"""', "/etc holds what?", '"""', '"""/bye"""', "more")
    assert [text for role, text in _turns(server) if role == "user"] == ["/etc holds what?", "/bye", "more"]


@pytest.mark.parametrize(
    ("lines", "system"),
    [
        (['/set system """You are', '  brief."""'], "You are\n  brief."),
        (['/set system """One line"""'], "One line"),
        (['/set system Say "hi"'], 'Say "hi"'),
    ],
)
def test_system_prompts_in_quotes(server: Scripted, talk: Talk, lines: list[str], system: str) -> None:
    talk(*lines, "one")
    assert _turns(server) == [("system", system), ("user", "one")]


def test_an_interrupt_ends_a_command_and_not_the_chat(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("arriero.cli.chat.obey", interrupted)
    assert talk("/load big", "one") == "\nONE\n\n\n"


def test_of_a_stopped_answer_no_figures_are_told(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(chunks: Iterator[object]) -> Iterator[object]:
        yield next(chunks)
        raise KeyboardInterrupt

    monkeypatch.setattr("arriero.cli.chat.until_first", stopped)
    assert talk("/set verbose", "one") == "Set 'verbose' mode.\nONE\n\n\n"


def test_show_tells_what_was_set_here(talk: Talk) -> None:
    parameters = ("/set parameter seed 3", '/set parameter stop "a b" c')
    out = talk("/set system Be brief.", "/show system", *parameters, "/show parameters")
    assert "Be brief.\n" in out
    shown = out.partition("stop x\nSet here:\n")[2].splitlines()[:3]
    assert [line.split() for line in shown] == [["seed", "3"], ["stop", "a", "b"], ["stop", "c"]]


def test_load_changes_the_model(server: Scripted, talk: Talk) -> None:
    assert "Loaded model 'other'" in talk("zero", "/load other", "one")
    assert server.asked[-1].body["model"] == "other"
    assert _turns(server) == [("user", "one")]
    server.replies["/api/generate"] = document({"error": "model 'x' not found"}, 404)
    assert "Error: model 'x' not found" in talk("/load x", "one")
    assert server.asked[-1].body["model"] == "demo"


def test_save_makes_a_model_of_the_session(server: Scripted, talk: Talk) -> None:
    server.replies["/api/create"] = stream(b'{"status":"success"}\n')
    out = talk("/set system Be brief.", "/set parameter seed 3", "one", "/save mine")
    assert "Created new model 'mine'" in out
    assert server.asked[-1].body == {
        "model": "mine",
        "from": "demo",
        "system": "Be brief.",
        "parameters": {"seed": 3},
        "messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "ONE"}],
        "stream": True,
    }
    thought = {"content": "ONE", "thinking": "hm"}
    server.replies["/api/chat"] = stream(ndjson({"message": thought}, {"done": True}))
    talk("one", "/save mine")
    assert server.asked[-1].body["messages"][1:] == [{"role": "assistant", **thought}]
    talk("/save mine")  # nothing was said: what the model has stays
    assert "messages" not in server.asked[-1].body
    server.replies["/api/create"] = document({"error": "invalid model name"}, 400)
    assert "Error: invalid model name" in talk("/save ..")


def test_a_saved_session_goes_on(server: Scripted, talk: Talk) -> None:
    """The server says a model's MESSAGEs before each conversation: they are shown, and not sent a second time."""
    said = [{"role": "user", "content": "early"}, {"role": "assistant", "content": "EARLY"}]
    server.replies["/api/show"] = document({"messages": said})
    server.replies["/api/create"] = stream(b'{"status":"success"}\n')
    out = talk("/load mine", "late", "/save mine")
    assert ">>> early\nEARLY\n\nLATE" in out
    assert _turns(server) == [("user", "late")]
    assert [turn["content"] for turn in server.asked[-1].body["messages"]] == ["early", "EARLY", "late", "LATE"]


def test_an_error_ends_the_turn_not_the_chat(server: Scripted, talk: Talk) -> None:
    server.replies["/api/chat"] = document({"error": "no room"}, 400)
    assert talk("one") == "Error: no room\n\n"
    server.replies["/api/chat"] = _echo
    talk("one")
    assert _turns(server) == [("user", "one")]


def test_an_interrupt_stops_the_answer_and_keeps_it(
    server: Scripted, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.replies["/api/chat"] = stream(ndjson({"message": {"content": "begun"}}), endless=True)

    class Pressed:
        """Presses Ctrl-C when the first text is printed."""

        def __init__(self, settings: Settings) -> None:
            self.settings = settings

        def __call__(self, out: io.StringIO) -> Any:
            printer = original(self.settings, out)
            write = printer.text

            def text(piece: str) -> None:
                write(piece)
                server.replies["/api/chat"] = _echo
                raise KeyboardInterrupt

            if server.replies["/api/chat"] is not _echo:
                printer.text = text  # type: ignore[method-assign]
            return printer

    original = Settings.printer
    monkeypatch.setattr(Settings, "printer", lambda self, out: Pressed(self)(out))
    assert talk("one", "two") == "begun\n\nTWO\n\n\n"
    assert server.gone.is_set()
    assert _turns(server) == [("user", "one"), ("assistant", "begun"), ("user", "two")]


def test_typed_lines_are_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARRIERO_HOME", str(tmp_path / "new" / "home"))
    path = history_file()
    assert path == tmp_path / "new" / "home" / "history"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

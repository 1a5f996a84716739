"""create, cp, rm: what they ask a server and print; how progress is shown; which files a folder gives."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from arriero.cli.failures import CommandFailed
from arriero.cli.model_files import NO_FILES, digest_of, expand, files_of
from arriero.cli.progress import ProgressDisplay
from arriero.core.library import Progress
from tests.unit.cli.conftest import Arriero
from tests.unit.client.scripted import Reply, Scripted, document, stream

Ollama = Callable[[dict[str, Reply]], Scripted]


class Terminal(io.StringIO):
    """Output that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_cp_and_rm_with_an_ollama(arriero: Arriero, ollama: Ollama) -> None:
    ollama({"/api/copy": document({}), "/api/delete": document({})})
    assert arriero("cp", "a", "b") == (0, "copied 'a' to 'b'\n", "")
    assert arriero("rm", "a", "b") == (0, "deleted 'a'\ndeleted 'b'\n", "")


def test_create_with_an_ollama(arriero: Arriero, ollama: Ollama, tmp_path: Path) -> None:
    server = ollama({"/api/create": stream(b'{"status":"writing manifest"}\n{"status":"success"}\n')})
    (tmp_path / "Modelfile").write_text("FROM x\nSYSTEM Be kind.\nPARAMETER mirostat 1")
    ran = arriero("create", "mine", "-f", str(tmp_path / "Modelfile"))
    assert ran == (
        0,
        "",
        "warning: parameter mirostat is deprecated\ngathering model components\nwriting manifest\nsuccess\n",
    )
    bodies = [one.body for one in server.asked if one.path == "/api/create"]
    assert bodies == [{"system": "Be kind.", "from": "x", "model": "mine", "stream": True}]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (document({"error": "invalid model name"}, status=400), "invalid model name"),
        (stream(b'{"status":"parsing GGUF"}\n{"error":"the disk is full"}\n'), "the disk is full"),
        (stream(b'{"status":"parsing GGUF"}\n'), "the server ended its reports before the work was finished"),
    ],
)
def test_what_the_server_says_is_said(
    reply: Reply, error: str, arriero: Arriero, ollama: Ollama, tmp_path: Path
) -> None:
    ollama({"/api/create": reply})
    (tmp_path / "Modelfile").write_text("FROM x")
    ran = arriero("create", "mine", "-f", str(tmp_path / "Modelfile"))
    assert (ran.status, ran.err.splitlines()[-1]) == (1, f"Error: {error}")


def test_reports_are_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with ProgressDisplay(out) as display:
        for report in (
            Progress(status="pulling manifest"),
            Progress(status="pulling 0123456789ab", total=10, completed=1),
            Progress(status="pulling 0123456789ab", total=10, completed=10),
            Progress(status="success"),
        ):
            display.update(report)
    assert out.getvalue() == "pulling manifest\npulling 0123456789ab\nsuccess\n"


def test_a_terminal_gets_bars() -> None:
    out = Terminal()
    with ProgressDisplay(out) as display:
        display.update(Progress(status="pulling [x]", total=10, completed=1))
        display.update(Progress(status="pulling [x]", total=10, completed=10))
        display.update(Progress(status="success"))
    assert "pulling [x]" in out.getvalue()
    assert "100%" in out.getvalue()
    assert "success" in out.getvalue()


def test_paths_of_a_modelfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    assert expand("x.gguf", tmp_path) == tmp_path / "x.gguf"
    assert expand("/abs/x.gguf", tmp_path) == Path("/abs/x.gguf")
    assert expand("~/x.gguf", tmp_path) == Path("/home/ana/x.gguf")
    with pytest.raises(CommandFailed, match=r"~nobodysuch/x\.gguf: there is no such user"):
        expand("~nobodysuch/x.gguf", tmp_path)
    with pytest.raises(CommandFailed, match="no path"):
        expand("a\0b", tmp_path)


@pytest.mark.parametrize("base", ["/nowhere/model.gguf", "./model", "model.gguf"])
def test_a_path_of_a_modelfile_that_is_not_there(arriero: Arriero, ollama: Ollama, tmp_path: Path, base: str) -> None:
    """No server is asked for a model of that name."""
    server = ollama({})
    (tmp_path / "Modelfile").write_text(f"FROM {base}\n")
    ran = arriero("create", "mine", "-f", str(tmp_path / "Modelfile"))
    assert (ran.status, ran.err.splitlines()[-1]) == (1, f"Error: FROM {base}: there is no such file or folder")
    assert all(asked.path != "/api/create" for asked in server.asked)


def test_files_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=NO_FILES):
        files_of(tmp_path)
    (tmp_path / "b.bin").write_bytes(b"b")
    assert files_of(tmp_path) == {"b.bin": tmp_path / "b.bin"}
    (tmp_path / "a.gguf").write_bytes(b"a")
    (tmp_path / "config.json").write_text("{}")
    assert files_of(tmp_path) == {"a.gguf": tmp_path / "a.gguf"}
    outside = tmp_path.parent / "outside.gguf"
    outside.write_bytes(b"x")
    (tmp_path / "c.gguf").symlink_to(outside)
    with pytest.raises(CommandFailed, match=r"^insecure path: c\.gguf"):
        files_of(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    for name in ("1_Pooling/config.json", "deep/er/config.json", "tokenizer.model", "README.md", "flax_model.msgpack"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert list(files_of(tmp_path)) == ["model.safetensors", "1_Pooling/config.json", "config.json", "tokenizer.model"]


def test_digest_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * 2_500_000)
    read: list[int] = []
    assert digest_of(path, read.append) == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert read == [1 << 20, 2 << 20, 2_500_000]


def test_prune_and_verify_need_no_server(arriero: Arriero, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    assert arriero("prune") == (0, "removed 0 files, 0 B\n", "")
    assert json.loads(arriero("prune", "--json").out) == {"removed": [], "bytes": 0, "broken": []}
    assert arriero("verify") == (0, "", "")
    assert arriero("verify", "nope") == (1, "", "Error: model 'nope' is in no models folder\n")
    assert not (tmp_path / "models").exists()

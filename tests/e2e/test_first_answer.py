"""`make run` after its setup, with the real server and the built-in model: an answer, nothing left, nothing touched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_first_answer_comes_whatever_the_user_has_set(tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "a temporary folder"
    (home / ".ollama" / "models").mkdir(parents=True)
    (home / ".ollama" / "models" / "sentinel").write_text("untouched")
    temporary.mkdir()
    nowhere = "http://192.0.2.1:80"
    elsewhere = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "OLLAMA_HOST"), nowhere)
    elsewhere |= {"OLLAMA_MODELS": "/nowhere", "ARRIERO_API_KEY": "not known to first_run"}
    env = {**os.environ, **elsewhere, "HOME": str(home), "TMPDIR": str(temporary)}
    done = subprocess.run(
        [sys.executable, "-m", "scripts.first_run"],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    question, _, rest = done.stdout.partition(">>> ")[2].partition("\n")
    assert question
    answer, _, end = rest.partition("\n\n(")
    assert len(answer.split()) >= 2
    assert "tokens/s; the server is stopped)" in end
    assert end.count(".venv/bin/arriero ") == 3
    shown = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n\n(")[2].partition("```")[0]
    bare = re.sub(r"OLLAMA_HOST=\S+ ", "", end)  # the usual port may be taken
    assert re.sub(r"\d+", "N", shown) == re.sub(r"\d+", "N", bare)
    # Written: nothing below the home but Python's or the compiler's own caches, and nothing that stays.
    assert [path.name for path in (home / ".ollama").rglob("*")] == ["models", "sentinel"]
    assert not (home / ".local").exists()
    assert list(temporary.iterdir()) == []

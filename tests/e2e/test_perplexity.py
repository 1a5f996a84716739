"""`arriero perplexity`, as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.serving import clean_environment


def perplexity(home: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "arriero", "perplexity", *arguments]
    return subprocess.run(command, env=clean_environment(home), input=text, capture_output=True, text=True, timeout=110)


def test_known_words_are_foretold_better_than_noise(tmp_path: Path) -> None:
    known, noise = "The capital of France is Paris. " * 8, "zq xv kj wq vz pq jx " * 12
    file = tmp_path / "text.txt"
    file.write_text(known)
    arguments = ("--context", "32", "--threads", "1", "--json")
    told = perplexity(tmp_path, "demo", str(file), *arguments, "--kv-cache-type", "f16", "--kv-cache-type", "q8_0")
    assert told.returncode == 0, told.stderr
    rows = json.loads(told.stdout)
    assert [row["kv_cache_type"] for row in rows] == ["f16", "q8_0"]
    other = perplexity(tmp_path, "demo", "-", *arguments, "--windows", "2", text=noise)
    (row,) = json.loads(other.stdout)
    assert (row["windows"], row["context"]) == (2, 32)
    assert rows[0]["perplexity"] < row["perplexity"]


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("some words that are long enough")
    absent = perplexity(tmp_path, "nowhere", str(file))
    assert (absent.returncode, "not found" in absent.stderr) == (1, True)
    short = perplexity(tmp_path, "demo", str(file), "--json")
    assert f"the text has {json.loads(short.stdout)[0]['context']} tokens, fewer than a window of 512" in short.stderr
    wrong = perplexity(tmp_path, "demo", str(file), "--kv-cache-type", "q3")
    assert (wrong.returncode, "must be one of" in wrong.stderr) == (1, True)

"""The rules of a checked tree: file sizes, and skips that a strict run refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import check_file_size

CONFTEST = Path(__file__).parents[2] / "conftest.py"


def test_a_long_file_needs_a_reason() -> None:
    counts = {"src/a.py": 400, "src/b.py": 401, "tests/c.py": 900, "tests/d.py": 500}
    listed = {"tests/c.py": "one table of golden bytes", "tests/d.py": " "}
    found = check_file_size.complaints(counts, listed)
    assert [line.partition(":")[0] for line in found] == ["src/b.py", "tests/d.py"]


def test_a_reason_that_is_no_longer_needed_is_named() -> None:
    found = check_file_size.complaints({"src/a.py": 10}, {"src/a.py": "was long", "src/gone.py": "was here"})
    assert [line.partition(":")[0] for line in found] == ["src/a.py", "src/gone.py"]


def test_the_rule_counts_source_and_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.arriero.file-size]\n")
    for name, lines in (("src/x/long.py", 401), ("tests/fine.py", 400), ("training/longer.py", 500)):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("x = 1\n" * lines)
    assert check_file_size.main(tmp_path) == 1
    assert capsys.readouterr().out.startswith("src/x/long.py: 401 lines")


def test_every_locked_package_is_in_the_notices() -> None:
    root = CONFTEST.parents[1]
    locked = [line.partition("==")[0] for line in (root / "requirements.lock").read_text().splitlines() if "==" in line]
    noted = {line.partition(" ")[0] for line in (root / "THIRD_PARTY_NOTICES").read_text().splitlines()}
    assert locked
    assert set(locked) <= noted


def _suite(folder: Path, tests: str, strict: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a suite of its own under our conftest, without the plugins that it has no use for: they take a second."""
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "test_it.py").write_text(f"import pytest\n\n{tests}")
    env = {**os.environ, "ARRIERO_STRICT": strict, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **more}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(folder),
        *arguments,
    ]
    return subprocess.run([*command, str(folder)], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)


PASSING = "def test_a(): pass\n"
CALLED = "def test_b(): pytest.skip('node: not installed')\n"
MARKED = "@pytest.mark.skipif(True, reason='redis: not installed')\ndef test_c(): pass\n"
MODULE = "pytest.skip('shared data: ARRIERO_TEST_DATA is not set', allow_module_level=True)\n"
GPU = "def test_d(): pytest.skip('gpu: none here')\n"
EXPECTED_FAILURE = "@pytest.mark.xfail(reason='llama.cpp bug 1')\ndef test_e(): assert False\n"


@pytest.mark.parametrize("skipping", [CALLED, MARKED, MODULE])
def test_a_strict_run_fails_at_a_skip(tmp_path: Path, skipping: str) -> None:
    assert _suite(tmp_path, PASSING + skipping, strict="1").returncode != 0


@pytest.mark.parametrize("skipping", [CALLED, MARKED])
def test_another_run_only_counts_it(tmp_path: Path, skipping: str) -> None:
    done = _suite(tmp_path, PASSING + skipping, strict="")
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout


def test_the_closing_count_names_each_reason(tmp_path: Path) -> None:
    twice = CALLED + CALLED.replace("test_b", "test_b2")
    done = _suite(tmp_path, PASSING + twice + MARKED, strict="")
    assert "    2  node: not installed" in done.stdout
    assert "    1  redis: not installed" in done.stdout


def test_a_missing_gpu_and_an_expected_failure_pass_a_strict_run(tmp_path: Path) -> None:
    done = _suite(tmp_path, PASSING + GPU + EXPECTED_FAILURE, strict="1")
    assert done.returncode == 0, done.stdout
    assert "    1  gpu: none here" in done.stdout


def test_a_parallel_run_counts_and_refuses_as_one(tmp_path: Path) -> None:
    """A module that skips is collected in each process, and counts once; so does a touched Ollama folder."""
    (tmp_path / "test_module.py").write_text(f"import pytest\n\n{MODULE}")
    done = _suite(tmp_path, PASSING + CALLED, "1", "-p", "xdist", "-n", "2")
    assert done.returncode == 1, done.stdout
    assert "2 skipped" in done.stdout
    assert "    1  shared data: ARRIERO_TEST_DATA is not set" in done.stdout
    assert "    1  node: not installed" in done.stdout
    done = _suite(tmp_path, TOUCH, "", "-p", "xdist", "-n", "2")
    assert done.returncode == 1, done.stdout
    assert ".ollama/history" in done.stdout


TOUCH = "def test_f():\n    from pathlib import Path\n    (Path.home() / '.ollama' / 'history').touch()\n"


def test_a_test_that_writes_into_the_ollama_folder_fails_the_run(tmp_path: Path) -> None:
    done = _suite(tmp_path, TOUCH, strict="")
    assert done.returncode == 1
    assert ".ollama/history" in done.stdout


def test_the_home_of_the_user_and_their_settings_do_not_reach_a_test(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    tests = (
        "import os\nfrom pathlib import Path\n"
        f"def test_g():\n    assert Path.home() != Path({str(tmp_path / 'home')!r})\n"
        "    assert not {'OLLAMA_HOST', 'https_proxy', 'XDG_CACHE_HOME', 'ARRIERO_API_KEY'} & set(os.environ)\n"
    )
    names = ("OLLAMA_HOST", "https_proxy", "XDG_CACHE_HOME", "ARRIERO_API_KEY")
    env = {"HOME": str(tmp_path / "home"), **dict.fromkeys(names, "/x")}
    done = _suite(tmp_path, tests, strict="", **env)
    assert done.returncode == 0, done.stdout

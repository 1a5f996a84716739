"""What holds for every test: a home of its own, none of the user's settings, and skips that are counted.

A skip's reason reads "what: why", for instance "node: not installed" or "gpu: none here"; with ARRIERO_STRICT=1 any
but a GPU's fails the run. So does a test that changes the Ollama folder in the home.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ALLOWED_WHEN_STRICT = "gpu:"
_SETTINGS_OF_TESTS = ("ARRIERO_STRICT", "ARRIERO_TEST_DATA", "ARRIERO_SOAK_SECONDS", "ARRIERO_FUZZ_EXAMPLES")


class SkipCount:
    """Why tests did not run, and how many for each reason."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.tests: Counter[str] = Counter()
        self.modules: Counter[str] = Counter()

    @property
    def reasons(self) -> Counter[str]:
        """How many tests and whole modules did not run, by reason."""
        return self.tests + self.modules

    def _note(self, report: pytest.TestReport | pytest.CollectReport, counter: Counter[str]) -> None:
        # An expected failure is reported as skipped too; it ran.
        if report.skipped and not hasattr(report, "wasxfail"):
            text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            counter[text.removeprefix("Skipped: ")] += 1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test was skipped, in its set-up or by its own call."""
        self._note(report, self.tests)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A whole module was skipped."""
        self._note(report, self.modules)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A process of a parallel run ends. Its tests' reports came here; what it left out as a whole did not."""
        for reason, count in getattr(node, "workeroutput", {}).get("modules_skipped", {}).items():
            self.modules[reason] = max(self.modules[reason], count)  # every process collects every file

    def refused(self) -> list[str]:
        """The reasons that a strict run does not accept."""
        return [reason for reason in self.reasons if self.strict and not reason.startswith(ALLOWED_WHEN_STRICT)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a strict run that left something out; a process of a parallel run tells what it did not collect."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["modules_skipped"] = dict(self.modules)
        if self.refused():
            _fail(session)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The closing count."""
        terminalreporter.section(f"{self.reasons.total()} skipped")
        for reason, count in self.reasons.most_common():
            terminalreporter.line(f"{count:5}  {reason}")
        if self.refused():
            refusal = f"ARRIERO_STRICT=1: skips that do not begin with {ALLOWED_WHEN_STRICT!r} fail"
            terminalreporter.line(refusal, red=True)


class SentinelHome:
    """A temporary home whose `.ollama` nobody may touch: its listing, bytes and times are compared at the end."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="arriero-home-"))
        self.ollama = self.path / ".ollama"
        manifest = self.ollama / "models" / "manifests" / "registry.ollama.ai" / "library" / "sentinel" / "latest"
        for file in (manifest, self.ollama / "models" / "blobs" / f"sha256-{'0' * 64}", self.ollama / "id_ed25519"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("sentinel\n")
        self.before = self.state()

    def state(self) -> dict[str, tuple[int, int, bytes]]:
        """Every entry's mode, time of change and content."""
        entries = [self.ollama, *sorted(self.ollama.rglob("*"))]
        return {
            str(entry.relative_to(self.path)): (
                entry.stat().st_mode,
                entry.stat().st_mtime_ns,
                entry.read_bytes() if entry.is_file() else b"",
            )
            for entry in entries
        }

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run in which anything there changed."""
        after = self.state()
        changed = sorted(name for name in {*self.before, *after} if self.before.get(name) != after.get(name))
        shutil.rmtree(self.path, ignore_errors=True)
        if changed:
            print(f"\nA test changed the user's Ollama folder: {', '.join(changed)}")
            _fail(session)


def _fail(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is collected: a home of our own, and nothing that is set for Ollama, arriero or a proxy."""
    strict = os.environ.get("ARRIERO_STRICT") == "1"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; our programs would inherit that
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        ours = name.startswith(("OLLAMA_", "ARRIERO_", "XDG_")) and name not in _SETTINGS_OF_TESTS
        if ours or name.lower().endswith("_proxy"):
            del os.environ[name]
    config.pluginmanager.register(SkipCount(strict), "arriero-skip-count")
    if hasattr(config, "workerinput"):
        return  # a process of a parallel run has its home from the one that started it, which looks after it
    home = SentinelHome()
    os.environ["HOME"] = str(home.path)
    config.pluginmanager.register(home, "arriero-sentinel-home")

"""Skips are counted by reason; with ARRIERO_STRICT=1 any but a GPU's fails the run.

A reason reads "what: why", for instance "node: not installed" or "gpu: none here".
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

ALLOWED_WHEN_STRICT = "gpu:"


class SkipCount:
    """Why tests did not run, and how many for each reason."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.reasons: Counter[str] = Counter()

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        # An expected failure is reported as skipped too; it ran.
        if report.skipped and not hasattr(report, "wasxfail"):
            text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.reasons[text.removeprefix("Skipped: ")] += 1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test was skipped, in its set-up or by its own call."""
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A whole module was skipped."""
        self._note(report)

    def refused(self) -> list[str]:
        """The reasons that a strict run does not accept."""
        return [reason for reason in self.reasons if self.strict and not reason.startswith(ALLOWED_WHEN_STRICT)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a strict run that left something out."""
        if self.refused() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The closing count."""
        terminalreporter.section(f"{self.reasons.total()} skipped")
        for reason, count in self.reasons.most_common():
            terminalreporter.line(f"{count:5}  {reason}")
        if self.refused():
            terminalreporter.line(
                f"ARRIERO_STRICT=1: skips that do not begin with {ALLOWED_WHEN_STRICT!r} fail", red=True
            )


_OURS = ("ARRIERO_STRICT", "ARRIERO_TEST_DATA", "ARRIERO_SOAK_SECONDS")


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is collected: count skips, and forget what the user has set for Ollama, arriero or a proxy."""
    config.pluginmanager.register(SkipCount(os.environ.get("ARRIERO_STRICT") == "1"), "arriero-skip-count")
    for name in list(os.environ):
        if (name.startswith(("OLLAMA_", "ARRIERO_")) and name not in _OURS) or name.lower().endswith("_proxy"):
            del os.environ[name]

"""Shows the progress of long work: bars on a terminal, else one line a status. Knows no command."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from arriero.core import library


class ProgressDisplay:
    """Shows reports as they come, each status once; those with a size as a bar of their own."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = ""
        self._tasks: dict[str, TaskID] = {}
        self._bars: Progress | None = None
        if out.isatty():
            columns = (BarColumn(), TaskProgressColumn(), DownloadColumn(), TransferSpeedColumn())
            text = TextColumn("{task.description}", markup=False)
            self._bars = Progress(text, *columns, TimeRemainingColumn(compact=True), console=Console(file=out))

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def update(self, report: library.Progress) -> None:
        """Show one report."""
        if self._bars is not None and report.total:
            task = self._tasks.get(report.status)
            if task is None:
                task = self._tasks[report.status] = self._bars.add_task(report.status, total=report.total)
            self._bars.update(task, completed=report.completed, total=report.total)
        elif report.status != self._last and report.status not in self._tasks:
            if self._bars is None:
                self._out.write(f"{report.status}\n")
                self._out.flush()
            else:
                self._bars.console.print(report.status, markup=False, highlight=False)
        self._last = report.status

"""SpareWorker: at most one worker process that has imported everything and waits for a model. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from arriero.backends.child import Child, ChildState, surroundings
from arriero.core import messages as wire


class SpareWorker:
    """Made by `make`, given away by `take`. One that dies meanwhile is forgotten: nobody waits for it.

    `environment` are the variables of the workers it may become. `on_take` is called with each start of a worker, and
    whether the spare one could be had.
    """

    def __init__(
        self,
        runner: str,
        environment: Mapping[str, str],
        on_take: Callable[[bool], None] = lambda taken: None,
    ) -> None:
        self._runner, self._environment, self._on_take = runner, dict(environment), on_take
        self._child: Child | None = None
        self._around: tuple[object, ...] = ()

    @property
    def pid(self) -> int | None:
        """The process id of the spare worker, None where there is none."""
        return self._child.pid if self._child else None

    @property
    def is_ready(self) -> bool:
        """Whether a worker waits that has imported everything."""
        return self._child is not None and self._child.state is ChildState.READY

    async def make(self) -> None:
        """Start a process, unless there is one; it imports while this returns. OSError if it cannot be started."""
        if self._child is not None:
            return
        child = self._child = Child(lambda reports: self._heard(child, reports), lambda reason: self._forget(child))
        self._around = surroundings(self._environment)
        try:
            await child.spawn(self._environment)
        except BaseException:
            self._forget(child)
            await child.stop()
            raise
        child.send(wire.Prepare(runner=self._runner))

    def take(self, runner: str, environment: Mapping[str, str]) -> Child | None:
        """Give the worker away, if it is ready and what it read when it started is what a new one would read."""
        child = self._child
        fits = runner == self._runner and self.is_ready and self._around == surroundings(environment)
        if fits:
            self._child = None
        self._on_take(fits)
        return child if fits else None

    def gone(self) -> None:
        """The worker that was given away had died: a new one is started in its place."""
        self._on_take(False)

    async def close(self) -> None:
        """End the process, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop()

    @staticmethod
    def _heard(child: Child, reports: list[wire.Report]) -> None:
        if any(isinstance(report, wire.Prepared) for report in reports):
            child.mark_ready()

    def _forget(self, child: Child) -> None:
        if self._child is child:  # else it was closed, and another has been made since
            self._child = None

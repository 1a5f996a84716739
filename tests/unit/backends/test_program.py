"""Programs of ours in processes of their own; what they do with files is tested where they are asked for."""

from __future__ import annotations

from arriero.backends.child import WORKER_ENVIRONMENT
from arriero.backends.program import run_program


def test_a_programs_threads_wait_as_a_workers_do() -> None:
    """On a busy machine threads that spin without end make a program some times slower."""
    said: list[bytes] = []
    statement = "import os; print(os.environ['GOMP_SPINCOUNT'])"
    run_program("timeit", ["-n", "1", "-r", "1", statement], lambda: None, on_line=said.append)
    assert said[0].decode().strip() == WORKER_ENVIRONMENT["GOMP_SPINCOUNT"]

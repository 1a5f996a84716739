"""A server that may use less than the machine has plans with that, and says so. `ulimit -v` needs no rights."""

from __future__ import annotations

import json
import sys
import urllib.error
from pathlib import Path

import psutil
import pytest

from tests.e2e.serving import serve


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v: only Linux holds a process to it")
def test_a_server_keeps_to_what_it_may_use(tmp_path: Path) -> None:
    allowed = psutil.virtual_memory().total // 2 >> 20  # MiB
    reason = f"the limit of the address space (ulimit -v) allows {allowed} MiB"
    bounded = ("sh", "-c", f'ulimit -v {allowed << 10}; exec "$0" -m arriero "$@"', sys.executable)
    with serve(tmp_path, command=bounded) as server:
        assert f"{reason} of memory; CPUs: " in server.log.read_text()
        plan = json.loads(server.post("/api/show", {"model": "demo", "memory": True}))["memory"]
        assert plan["bound"] == reason
        assert plan["total"] < plan["free_memory"] < allowed << 20
        assert server.metrics()["arriero_memory_allowed_bytes"] == allowed << 20
        with pytest.raises(urllib.error.HTTPError) as refused:
            server.load(num_ctx=2**30)
        assert refused.value.code == 500
        told = json.loads(refused.value.read())["error"]
        assert f"MiB are there ({reason}): ask for a smaller num_ctx" in told
        server.load()
        (loaded,) = json.loads(server.get("/api/ps"))["models"]
        assert loaded["size"] < allowed << 20

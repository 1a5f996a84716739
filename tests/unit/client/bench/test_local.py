"""Finding and weighing a server's processes."""

from __future__ import annotations

import os
import socket

from arriero.client.bench.local import hooks_of, listener, pss_bytes, tree_bytes
from arriero.client.bench.target import Target


def test_who_listens_is_found_and_weighed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert listener(url) == os.getpid()
        hooks = hooks_of(Target(name="x", url=url, kind="openai"))
        assert hooks.memory is not None
        assert hooks.memory() >= 1 << 20
        assert hooks.unload is None
    assert hooks_of(Target(name="x", url=url, kind="ollama")).memory is None
    assert listener("http://192.0.2.1:80") is None


def test_a_tree_weighs_what_its_processes_do() -> None:
    assert 0 < pss_bytes(os.getpid()) <= tree_bytes(os.getpid()) * 1.2
    assert pss_bytes(2**22 + 1) == 0

"""The official JavaScript package `@anthropic-ai/sdk`, unmodified, against a real server on a real port."""

from __future__ import annotations

import json

import pytest

from tests.e2e import node_packages
from tests.e2e.automaton import SAYS, TOLD
from tests.e2e.serving import Server

CHECKS = ["count", "errors", "helper", "message", "models", "stream", "tools"]


@pytest.fixture(scope="module")
def results(known_server: Server) -> dict[str, str]:
    packages = node_packages.installed()
    found: dict[str, str] = json.loads(
        node_packages.run(packages, "anthropic_client.mjs", known_server.url, SAYS, TOLD)
    )
    assert sorted(found) == CHECKS
    return found


@pytest.mark.parametrize("what", CHECKS)
def test_anthropic(results: dict[str, str], what: str) -> None:
    assert results[what] == "ok"

"""Any body on OpenAI's and Ollama's routes, down to a worker with the fake runner: no error is a bug's.

A third of them at least make the runner work. `ARRIERO_FUZZ_EXAMPLES` says how many are tried.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings

from arriero.core.errors import ModelNotFound
from arriero.core.model import ModelDetails, ModelSpec
from arriero.observe.metrics import Metrics
from arriero.server.asgi import create_app
from arriero.server.options import ServerOptions
from arriero.service.options import ServiceOptions
from arriero.service.service import Service
from tests.unit.protocols.openai.bodies import ANY

EXAMPLES = int(os.environ.get("ARRIERO_FUZZ_EXAMPLES", "300"))
TEMPLATE = (
    "{% if tools %}<tools>{{ tools | tojson }}</tools><tool_call>{% endif %}"
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
)
ECHO = ModelSpec(
    name="echo:latest",
    path="/none",
    digest="0" * 64,
    size=1,
    modified_at=0.0,
    details=ModelDetails(context_length=2048),
    capabilities=("completion", "tools"),
    chat_template=TEMPLATE,
    runner="fake",
)
REFUSED = {400, 404}
ROUND = 5000  # hypothesis remembers all that it tried in a round


class OneModel:
    """A catalog of one."""

    def find(self, name: str) -> ModelSpec:
        if name not in ("echo", "echo:latest"):
            raise ModelNotFound(f"model '{name}' not found", model=name)
        return ECHO

    def models(self) -> list[ModelSpec]:
        return [ECHO]


def metric(metrics: Metrics, name: str) -> float:
    lines = [line for line in metrics.render().decode().splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


class Watched(Metrics):
    """Counts bugs where a test can look after every request: rendering all metrics takes longer than answering."""

    bugs = 0

    def internal_error(self) -> None:
        self.bugs += 1
        super().internal_error()


def test_any_body() -> None:
    metrics, statuses = Watched(), Counter[int]()
    service = Service(OneModel(), ServiceOptions(keep_alive=-1, context_length=384), metrics)  # type: ignore[arg-type]
    app = create_app(service, ServerOptions(), metrics)
    with asyncio.Runner() as runner:
        http = httpx.AsyncClient(base_url="http://box.local", transport=httpx.ASGITransport(app), trust_env=False)
        try:
            for left in range(EXAMPLES, 0, -ROUND):
                ask(min(left, ROUND), http, runner, metrics, statuses)
            generated = metric(metrics, "arriero_added_total")
        finally:
            runner.run(service.close())
    assert metric(metrics, "arriero_internal_errors_total") == 0
    assert sum(statuses.values()) >= EXAMPLES
    assert statuses[200] >= sum(statuses.values()) / 3
    assert generated >= sum(statuses.values()) / 3


def ask(count: int, http: httpx.AsyncClient, runner: asyncio.Runner, metrics: Watched, statuses: Counter[int]) -> None:
    """Try `count` bodies."""

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(both=ANY)
    def exchange(both: tuple[str, bytes]) -> None:
        route, body = both
        response = runner.run(http.post(route, content=body, timeout=60))
        statuses[response.status_code] += 1
        assert metrics.bugs == 0
        if response.status_code == 200:
            assert response.content
            assert b"worker_died" not in response.content
            return
        error: Any = response.json()["error"]
        text = error["message"] if route.startswith("/v1/") else error
        assert text
        if response.status_code == 500:  # Ollama's own status for options of the wrong type
            assert route.startswith("/api/")
            assert "must be" in text or "invalid" in text
        else:
            assert response.status_code in REFUSED, text

    exchange()

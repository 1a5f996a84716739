"""Any body on each API's routes, down to a worker with the fake runner: no error is a bug's.

A third of each API's bodies at least make the runner work. `ARRIERO_FUZZ_EXAMPLES` says how many are tried on each;
`make fuzz` tries 100,000 and keeps the counts.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from arriero.core.errors import ModelNotFound
from arriero.core.model import ModelDetails, ModelSpec
from arriero.observe.metrics import Metrics
from arriero.server.asgi import create_app
from arriero.server.options import ServerOptions
from arriero.service.options import ServiceOptions
from arriero.service.service import Service
from tests.unit.protocols.anthropic import bodies as anthropic
from tests.unit.protocols.openai import bodies as openai_and_ollama

EXAMPLES = int(os.environ.get("ARRIERO_FUZZ_EXAMPLES", "120"))
PART = 12_500  # bodies of one test: several run side by side
PARTS = max(1, EXAMPLES // PART)
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
AT_ONCE = 8  # bodies that are asked together
BESIDE = ("/v1/messages/count_tokens", "/v1/conversations")  # routes that generate nothing

Body = tuple[str, bytes]  # route and body
_OURS = openai_and_ollama.ROUTES
_MESSAGES = st.sampled_from(["/v1/messages"] * 5 + ["/v1/messages/count_tokens"])


def _of_routes(prefix: str) -> st.SearchStrategy[Body]:
    routes = sorted(route for route in _OURS if route.startswith(prefix))
    return st.one_of([st.tuples(st.just(route), openai_and_ollama.bodies(route)) for route in routes])


BODIES: dict[str, st.SearchStrategy[Body]] = {
    "openai": _of_routes("/v1/"),
    "ollama": _of_routes("/api/"),
    "anthropic": st.tuples(_MESSAGES, anthropic.BODIES),
}


class OneModel:
    """A catalog of one, by two names."""

    def find(self, name: str) -> ModelSpec:
        if name not in ("echo", "echo:latest", "demo"):
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


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("api", BODIES)
def test_any_body(
    api: str,
    part: int,
    record_property: Callable[[str, object], None],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    metrics, statuses, count = Watched(), Counter[int](), EXAMPLES // PARTS
    reached = 0
    caplog.set_level(logging.ERROR)
    options = ServiceOptions(keep_alive=-1, context_length=128, responses=tmp_path / "responses.sqlite")
    catalog: Any = OneModel()
    service = Service(catalog, options, metrics)
    app = create_app(service, ServerOptions(), metrics)
    with asyncio.Runner() as runner:
        http = httpx.AsyncClient(base_url="http://box.local", transport=httpx.ASGITransport(app), trust_env=False)

        async def one(route: str, body: bytes) -> None:
            nonlocal reached
            response = await http.post(route, content=body, timeout=60)
            statuses[response.status_code] += 1
            check(api, response)
            reached += response.status_code == 200 and route not in BESIDE

        async def together(bodies: list[Body]) -> None:
            await asyncio.gather(*(one(route, body) for route, body in bodies))

        def ask(bodies: list[Body]) -> None:
            runner.run(together(bodies))
            assert metrics.bugs == 0

        try:
            for start in range(0, count, ROUND):
                tried = settings(
                    max_examples=-(-min(count - start, ROUND) // AT_ONCE),
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    database=None,
                    phases=[Phase.generate] if PARTS > 1 else list(Phase),
                )
                tried(seed(part * 1_000_003 + start)(_exchange(ask, BODIES[api])))()
            generated = metric(metrics, "arriero_added_total")
        finally:
            runner.run(service.close())
    bugs = metric(metrics, "arriero_internal_errors_total")
    for name, value in (("api", api), ("bodies", statuses.total()), ("reached_the_runner", reached)):
        record_property(name, value)
    record_property("internal_errors", int(bugs))
    record_property("statuses", " ".join(f"{status}:{number}" for status, number in sorted(statuses.items())))
    assert bugs == 0
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []  # no crash
    assert statuses.total() >= count
    assert min(reached, generated) >= statuses.total() / 3


def _exchange(ask: Callable[[list[Body]], None], body: st.SearchStrategy[Body]) -> Callable[[], None]:
    @given(bodies=st.lists(body, min_size=AT_ONCE, max_size=AT_ONCE))
    def exchange(bodies: list[Body]) -> None:
        ask(bodies)

    return exchange


def check(api: str, response: httpx.Response) -> None:
    """An answer, or an error of the decoders in the API's shape."""
    if response.status_code == 200:
        assert response.content
        return
    error: Any = response.json()["error"]
    text = error if api == "ollama" else error["message"]
    assert text
    if response.status_code == 500:  # Ollama's own status for options of the wrong type
        assert api == "ollama"
        assert "must be" in text or "invalid" in text
    else:
        assert response.status_code in REFUSED, text
